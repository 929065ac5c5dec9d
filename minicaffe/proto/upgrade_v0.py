"""Nets of Caffe's first format, where one flat message held the parameters of every layer type."""

from __future__ import annotations

from google.protobuf.message import Message

from ..errors import NetError, nearest
from .schema import MESSAGES

NetParameter, LayerParameter = MESSAGES["NetParameter"], MESSAGES["LayerParameter"]

# The types of today and the messages that hold their parameters.
_TYPES = {
    "accuracy": ("Accuracy", ""),
    "bnll": ("BNLL", ""),
    "concat": ("Concat", "concat_param"),
    "conv": ("Convolution", "convolution_param"),
    "data": ("Data", "data_param"),
    "dropout": ("Dropout", "dropout_param"),
    "euclidean_loss": ("EuclideanLoss", ""),
    "flatten": ("Flatten", ""),
    "hdf5_data": ("HDF5Data", "hdf5_data_param"),
    "hdf5_output": ("HDF5Output", "hdf5_output_param"),
    "im2col": ("Im2col", "convolution_param"),
    "images": ("ImageData", "image_data_param"),
    "infogain_loss": ("InfogainLoss", "infogain_loss_param"),
    "innerproduct": ("InnerProduct", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MultinomialLogisticLoss", ""),
    "pool": ("Pooling", "pooling_param"),
    "relu": ("ReLU", ""),
    "sigmoid": ("Sigmoid", ""),
    "softmax": ("Softmax", ""),
    "softmax_loss": ("SoftmaxWithLoss", ""),
    "split": ("Split", ""),
    "tanh": ("TanH", ""),
    "window_data": ("WindowData", "window_data_param"),
}
V0_TYPES = {old: new for old, (new, _param) in _TYPES.items()}
# The fields that are called otherwise today; all others kept their names.
_FIELDS = {
    "batchsize": "batch_size",
    "biasterm": "bias_term",
    "det_bg_threshold": "bg_threshold",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
    "det_fg_fraction": "fg_fraction",
    "det_fg_threshold": "fg_threshold",
    "kernelsize": "kernel_size",
    "shuffle_images": "shuffle",
}
_TRANSFORMS = {
    "cropsize": "crop_size",
    "meanfile": "mean_file",
    "mirror": "mirror",
    "scale": "scale",
}
_OF_EVERY_LAYER = ("name", "type", "blobs", "blobs_lr", "weight_decay")


def merge_padding(layers: list[Message], file: str) -> list[Message]:
    """The layers of a V0 net without those of type ``padding``: the convolution or pooling that
    reads one pads by itself and reads what it read."""
    kept, padding = [], {}
    for layer in layers:
        if layer.layer.type == "padding":
            for top in layer.top:
                padding[top] = layer
            continue
        for i, name in enumerate(layer.bottom):
            if name not in padding:
                continue
            if layer.layer.type not in ("conv", "pool"):
                raise NetError(
                    f"{file}: layer '{layer.layer.name}'",
                    f"a conv or pool layer after the padding layer '{padding[name].layer.name}'",
                    f"'{layer.layer.type}'",
                )
            if len(padding[name].bottom) != 1:
                where = f"{file}: padding layer '{padding[name].layer.name}'"
                raise NetError(where, "one bottom", len(padding[name].bottom))
            layer.layer.pad = padding[name].layer.pad
            layer.bottom[i] = padding[name].bottom[0]
        for top in layer.top:
            padding.pop(top, None)
        kept.append(layer)
    return kept


def upgrade_v0_layer(old: Message, file: str) -> Message:
    """A V1 layer that wraps a V0 layer, as a LayerParameter (but for its ParamSpecs)."""
    v0 = old.layer
    where = f"{file}: layer '{v0.name}'"
    if v0.type not in _TYPES:
        raise NetError(where, f"unknown type '{v0.type}'", hint=nearest(v0.type, _TYPES))
    kind, param = _TYPES[v0.type]
    new = LayerParameter(name=v0.name, type=kind, bottom=old.bottom, top=old.top, blobs=v0.blobs)
    for field, value in v0.ListFields():
        if field.name in _OF_EVERY_LAYER:
            continue
        if field.name == "hdf5_output_param":
            new.hdf5_output_param.CopyFrom(value)
            continue
        if field.name in _TRANSFORMS:
            setattr(new.transform_param, _TRANSFORMS[field.name], value)
            continue
        target = getattr(new, param) if param else None
        name = _FIELDS.get(field.name, field.name)
        known = target.DESCRIPTOR.fields_by_name if param else {}
        if name not in known:
            raise NetError(where, f"a layer of type '{v0.type}' has no field '{field.name}'")
        if field.message_type is not None:
            getattr(target, name).CopyFrom(value)
        elif hasattr(getattr(target, name), "append"):
            getattr(target, name).append(value)
        else:
            setattr(target, name, value)
    return new
