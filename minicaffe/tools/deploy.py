"""A net as it is used: pictures in, probabilities out; and the files that say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data_layers import brings_data
from ..errors import NetError
from ..layer import TEST
from ..net.description import filter_net
from ..proto import (
    ConvolutionParameter,
    LayerParameter,
    NetParameter,
    NetState,
    TransformationParameter,
)
from ..proto.atomic_files import atomic_write
from ..proto.text import to_text
from ..proto.upgrade import upgrade_net
from ..proto.wire import write_blob
from .input_shapes import sample_shapes, shape_wanted, stored_size

OUTPUTS = {"SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
OWN_ENGINES = ConvolutionParameter.IM2COL  # from this number on, real Caffe knows none


# ------------------------------------------------------------------------------------------ files

def write_deploy(net: NetParameter, stem: str, *, transform=None, classes: Sequence[str] = (),
                 shape: Sequence[int] | None = None) -> Path:
    """Write beside snapshots ``<stem>_iter_<n>.caffemodel`` what using them takes.

    ``<stem>_deploy.prototxt``, the net of ``deploy_net``, with how its pictures are transformed;
    ``<stem>_labels.txt``, the name of a class a line; ``<stem>_mean.binaryproto``, the mean
    picture, if one is subtracted.

    All fields are those of real Caffe.  OpenCV reads them too, but refuses ``round_mode: FLOOR`` of
    a pool; it wants ``ceil_mode: false`` in its place, which real Caffe refuses.

    Args:
        net: the net that is trained.
        transform: the ``Transform`` of its data; None: as the net's data layer says.
        classes: their names; () where nobody gave any.
        shape: (C, H, W) of the pictures, before they are cropped.

    Returns: the deploy file's path.
    Errors: as ``deploy_net``; OSError where the files cannot be written.
    """
    deployed = deploy_net(net, shape)
    if transform is not None:
        _set_transform(data_input(deployed), transform, f"{stem}_mean.binaryproto")
    labels = Path(f"{stem}_labels.txt")
    if classes:
        with atomic_write(labels) as file:
            file.write("".join(f"{' '.join(str(name).split())}\n" for name in classes).encode())
    else:
        labels.unlink(missing_ok=True)  # of an earlier net of this name
    path = Path(f"{stem}_deploy.prototxt")
    with atomic_write(path) as file:
        file.write(to_text(deployed).encode())
    return path


def _set_transform(layer: LayerParameter, transform, mean_file: str) -> None:
    """Say in real Caffe's own fields how pictures become the numbers of an Input."""
    param, mean = layer.transform_param, transform.mean
    param.CopyFrom(_at_test(transform.param, stored_size(layer)))
    if mean is None:
        return
    for name in ("mean_file", "mean_value", "subtract_mean"):
        param.ClearField(name)
    if mean.ndim == 1:
        param.mean_value.extend(mean.tolist())
    else:
        write_blob(mean_file, mean[None])  # four axes, as Caffe's own means have
        param.mean_file = Path(mean_file).name


def _at_test(param: TransformationParameter, size: Sequence[int]) -> TransformationParameter:
    """What a TransformationParameter says of phase TEST, in fields that real Caffe has.

    Only a border that no crop cuts off again, around pictures of a size (H, W), has to stay, and a
    mean that nobody computed.
    """
    new = TransformationParameter()
    new.CopyFrom(param)
    new.ClearField("mirror")
    if 0 < param.crop_size <= min(size, default=param.crop_size):
        new.ClearField("pad")
    return new


# ------------------------------------------------------------------------------------------- nets

def deploy_net(net: NetParameter, shape: Sequence[int] | None = None) -> NetParameter:
    """The net of phase TEST without labels and what needs them, for one picture at a time.

    Losses and accuracies go, and whatever only they read; the scores under a SoftmaxWithLoss
    become the probabilities ``prob`` of a Softmax, those under a SigmoidCrossEntropyLoss of a
    Sigmoid (of several losses the one with the largest weight, the last of these, is ``prob``).
    What brings the data becomes an Input, with the data layer's ``transform_param`` for who reads
    pictures; where they are cropped, its ``image_data_param`` tells their size before.  A net that
    is deployed already stays as it is.

    Args:
        net: of any format; it is not changed.
        shape: (C, H, W) of the pictures before they are cropped, where the net does not tell.

    Errors: NetError where nothing is left; ParameterError where the shape must be told.
    """
    state = NetState(phase=TEST, level=net.state.level, stage=net.state.stage)
    chosen = filter_net(upgrade_net(net), state)
    kept, judges, gone = _without_losses(list(chosen.layer))
    wanted = _wanted(kept, judges, gone)
    live = []
    for layer in reversed(kept):
        if wanted.intersection(layer.top):
            live.append(layer)
            wanted.update(layer.bottom)
    if not any(layer.bottom for layer in live):
        raise NetError(f"net '{net.name or 'net'}'", "a layer that makes something of the data in "
                       "phase TEST", "none")
    deployed = NetParameter(name=chosen.name)
    for layer in reversed(live):
        deployed.layer.append(_input(layer, wanted, shape) if brings_data(layer) else layer)
    for layer in deployed.layer:
        for field in ("include", "exclude", "phase", "loss_weight", "blobs"):
            layer.ClearField(field)
        if layer.convolution_param.engine >= OWN_ENGINES:
            layer.convolution_param.ClearField("engine")
    return deployed


def data_input(net: NetParameter) -> LayerParameter:
    """The Input of a deployed net that pictures go into.  Errors: NetError where there is none."""
    for layer in net.layer:
        if layer.type == "Input":
            return layer
    raise NetError(f"net '{net.name or 'net'}'", "an Input for the data", "none")


def _is_judge(layer: LayerParameter) -> bool:
    """Whether a layer compares results with what they should be."""
    return (layer.type.endswith("Loss") or layer.type in ("Accuracy", "DetectionEvaluate")
            or any(layer.loss_weight))


def _without_losses(layers: list[LayerParameter]):
    """The layers that stay, probabilities in the place of losses; the losses and accuracies; the
    layers that read what these made."""
    kept, judges, gone = [], [], []
    lost: set[str] = set()
    for layer in layers:
        if not _is_judge(layer):
            dropped = lost.intersection(layer.bottom)
            (gone if dropped else kept).append(layer)
            lost.update(layer.top if dropped else ())
            continue
        judges.append(layer)
        output = _output(layer, layers)
        lost.update(set(layer.top).difference(output.top if output else ()))
        if output:
            kept.append(output)
    _name_outputs(kept, judges, layers)
    return kept, judges, gone


def _output(judge: LayerParameter, layers: Iterable[LayerParameter]) -> LayerParameter | None:
    """The layer that makes probabilities of the scores of a loss, if none does so already."""
    kind = OUTPUTS.get(judge.type)
    scores = _scores(judge, layers)
    if kind is None or any(layer.type == kind and scores in layer.bottom for layer in layers):
        return None
    output = LayerParameter(name=judge.name, type=kind, bottom=[scores], top=judge.top[1:2])
    if judge.HasField("softmax_param"):
        output.softmax_param.CopyFrom(judge.softmax_param)
    return output


def _name_outputs(kept, judges, layers) -> None:
    """Call the new outputs ``prob``, or after their scores if there are several."""
    weights = {judge.name: judge.loss_weight[0] if judge.loss_weight else 1.0 for judge in judges}
    new = [layer for layer in kept if layer.type in OUTPUTS.values() and layer.name in weights
           and not any(layer is old for old in layers)]
    taken = {name for layer in layers for name in (layer.name, *layer.top)}
    main = max(reversed(new), key=lambda layer: weights[layer.name], default=None)
    for layer in new:
        name = "prob" if layer is main else f"{layer.bottom[0]}_prob"
        while name in taken:
            name += "_"
        taken.add(name)
        layer.name = name
        if not layer.top:
            layer.top.append(name)


def _scores(judge: LayerParameter, layers: Iterable[LayerParameter]) -> str:
    """The bottom of a loss or accuracy that the net computes; labels come from outside."""
    brought = {top for layer in layers if brings_data(layer) for top in layer.top}
    return next((name for name in judge.bottom if name not in brought), judge.bottom[0])


def _wanted(kept, judges, gone) -> set[str]:
    """The blobs for whose sake the net is run: its outputs, and what the losses judged.

    A layer in place reads a blob and makes it anew; what the last of them makes is an output,
    unless another layer reads it.
    """
    unread: set[str] = set()
    made: set[str] = set()
    for layer in kept:
        unread.difference_update(layer.bottom)
        if not brings_data(layer):
            unread.update(layer.top)
            made.update(layer.top)
    unread.difference_update(name for layer in (*judges, *gone) for name in layer.bottom)
    return unread | made.intersection(_scores(judge, kept) for judge in judges)


# ----------------------------------------------------------------------------------------- inputs

def _input(layer: LayerParameter, wanted: set[str], shape) -> LayerParameter:
    """An Input in the place of what brought the data, without the labels."""
    new = LayerParameter(name=layer.name, type="Input")
    samples = sample_shapes(layer, shape)
    for j, top in enumerate(layer.top):
        if top in wanted:
            if j >= len(samples):
                raise shape_wanted(layer, j)
            new.top.append(top)
            new.input_param.shape.add(dim=(1, *samples[j]))
    size = stored_size(layer)
    if shape is not None:
        size = tuple(shape[1:]) if len(shape) == 3 else ()
    if size and size != tuple(new.input_param.shape[0].dim)[2:]:
        new.image_data_param.new_height, new.image_data_param.new_width = size
    if layer.HasField("transform_param"):
        new.transform_param.CopyFrom(_at_test(layer.transform_param, size))
    return new
