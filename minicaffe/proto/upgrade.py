"""Nets and solvers of all earlier formats, as the ones of today, as Caffe itself upgrades them."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf.message import Message

from ..errors import NetError, ParameterError, in_line
from .schema import MESSAGES, V1_TYPES
from .text import read_text
from .type_names import v1_name
from .upgrade_v0 import merge_padding, upgrade_v0_layer

NetParameter, LayerParameter = MESSAGES["NetParameter"], MESSAGES["LayerParameter"]
SolverParameter = MESSAGES["SolverParameter"]

_SOLVER_TYPES = {
    value.number: name
    for value, name in zip(
        SolverParameter.DESCRIPTOR.enum_types_by_name["SolverType"].values,
        ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"),
        strict=True,
    )
}
_V1_PARAM_SPECS = ("param", "blob_share_mode", "blobs_lr", "weight_decay")
_DATA_PARAMS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}
# Few bytes of an old file ask for one of these.
_MOST_PARAMETERS = 1000  # of a layer
_MOST_INPUTS = 1000
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")


def read_net(source: str | os.PathLike | Message) -> Message:
    """A net from a prototxt of any format, or from a NetParameter, as a NetParameter of today."""
    if isinstance(source, NetParameter):
        return upgrade_net(source)
    net = read_text(source, NetParameter)
    _upgrade(net, str(source))
    return net


def read_solver(path: str | os.PathLike) -> Message:
    """A solver from its prototxt, in which every unknown field is an error.

    Without a ``snapshot_prefix``, or with a folder as one, snapshots get the solver file's name.
    """
    path = Path(path)
    solver = upgrade_solver(read_text(path, SolverParameter, strict=True), str(path))
    if not solver.snapshot_prefix:
        solver.snapshot_prefix = str(path.with_suffix(""))
    elif Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / path.stem)
    return solver


def upgrade_net(net: Message, file: str = "") -> Message:
    """A copy of the net in today's format; one that is in it already stays as it is.

    V0 and V1 ``layers`` become ``layer``; ``input`` and its dims an Input layer; a data layer's
    own transform fields ``transform_param``; the statistics of BatchNorm get the multipliers 0.

    Args:
        net: a NetParameter.
        file: the name that errors give it.

    Errors:
        NetError: both formats in one net, unknown V0 types, inputs without shapes.
    """
    new = NetParameter()
    new.CopyFrom(net)
    _upgrade(new, file or "the net")
    return new


def _upgrade(new: Message, file: str) -> None:
    """``upgrade_net`` of a net that is the reader's own, in place."""
    if new.layers:
        if new.layer:
            raise NetError(file, "either 'layer' or, in old files, 'layers'", "both", _one_of(new))
        layers = merge_padding(list(new.layers), file)
        new.layer.extend(_upgrade_v1_layer(layer, file) for layer in layers)
        new.ClearField("layers")
    if new.input:
        _upgrade_input(new, file)
    for layer in new.layer:
        _upgrade_transform(layer)
        if layer.type == "BatchNorm":
            _freeze_statistics(layer)


def upgrade_solver(solver: Message, file: str = "") -> Message:
    """A copy of the solver whose type is a string (``type: "Adam"``), not ``solver_type: ADAM``."""
    new = SolverParameter()
    new.CopyFrom(solver)
    if new.HasField("solver_type"):
        if new.HasField("type"):
            where = file or "the solver"
            raise ParameterError(where, "either 'type' or, in old files, 'solver_type'", "both")
        new.type = _SOLVER_TYPES[new.solver_type]
        new.ClearField("solver_type")
    return new


def _upgrade_v1_layer(old: Message, file: str) -> Message:
    if old.HasField("layer"):
        new = upgrade_v0_layer(old, file)
        _upgrade_param_specs(new, (), (), old.layer.blobs_lr, old.layer.weight_decay)
        return new
    new = LayerParameter(type=V1_TYPES[old.type])
    for field, value in old.ListFields():
        if field.name == "type" or field.name in _V1_PARAM_SPECS:
            continue
        target = getattr(new, field.name)
        if hasattr(target, "extend"):
            target.extend(value)
        elif field.message_type is not None:
            target.CopyFrom(value)
        else:
            setattr(new, field.name, value)
    _upgrade_param_specs(new, *(getattr(old, name) for name in _V1_PARAM_SPECS))
    return new


def _upgrade_param_specs(layer: Message, names, share_modes, rates, decays) -> None:
    """Four lists over the layer's parameters, any of which may be short, as one list of specs."""
    fields = {"name": names, "share_mode": share_modes, "lr_mult": rates, "decay_mult": decays}
    count = max(map(len, fields.values()))
    if count > _MOST_PARAMETERS:
        raise NetError(f"layer '{layer.name}'", f"at most {_MOST_PARAMETERS} parameters", count)
    for _ in range(count):
        layer.param.add()
    for field, values in fields.items():
        for spec, value in zip(layer.param, values, strict=False):
            setattr(spec, field, value)


def _one_of(net: Message) -> str:
    """How the layers that are fewer, or the first of them, are written like the others."""
    if len(net.layer) <= len(net.layers):
        odd, kind = net.layer[0], v1_name(net.layer[0].type)
        like = f"layers {{ type: {kind} }}"
    else:
        odd, kind = net.layers[0], V1_TYPES[net.layers[0].type]
        like = f'layer {{ type: "{kind}" }}'
    return f"write '{odd.name}' as {like}." if kind else (
        "write 'layer {' for 'layers {', with types in quotes, in the whole file.")


def _upgrade_input(net: Message, file: str) -> None:
    """``input`` with ``input_shape`` or ``input_dim`` as one Input layer in front of the others.

    As in Caffe, shapes beyond the inputs, and inputs without any shape, are dropped; the latter
    must be made by a layer, then.
    """
    if len(net.input) > _MOST_INPUTS:
        raise NetError(file, f"at most {_MOST_INPUTS} inputs", len(net.input))
    names = list(net.input)
    count = len(net.input_shape) or -(-len(net.input_dim) // 4)  # four dims an input, in one list
    made = {top for layer in net.layer for top in layer.top}
    used = {bottom for layer in net.layer for bottom in layer.bottom}
    if count < len(names) and (count or used.intersection(names) - made):
        raise NetError(
            file,
            f"a shape for each of the {len(names)} inputs ({in_line(', '.join(names))})",
            f"{count}",
            "give each input an input_shape { dim: ... }, or four input_dim",
        )
    front = []
    if count:
        front.append(LayerParameter(name="input", type="Input", top=names))
        for i in range(len(names)):
            dims = net.input_shape[i].dim if net.input_shape else net.input_dim[4 * i : 4 * i + 4]
            front[0].input_param.shape.add(dim=dims)
    layers = [*front, *net.layer]
    for field in ("layer", "input", "input_shape", "input_dim"):
        net.ClearField(field)
    net.layer.extend(layers)


def _upgrade_transform(layer: Message) -> None:
    """The transform fields that a data layer's own message once had, to ``transform_param``."""
    data_param = _DATA_PARAMS.get(layer.type)
    if not data_param or not layer.HasField(data_param):
        return
    data = getattr(layer, data_param)
    for name in _TRANSFORMS:
        if data.HasField(name):
            if not layer.transform_param.HasField(name):
                setattr(layer.transform_param, name, getattr(data, name))
            data.ClearField(name)


def _freeze_statistics(layer: Message) -> None:
    """The mean, variance and scale factor of BatchNorm are measured, not learned."""
    while len(layer.param) < 3:
        layer.param.add()
    for spec in layer.param:
        spec.lr_mult = spec.decay_mult = 0
