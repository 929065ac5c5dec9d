"""Building a Net: layers and blobs made in order, parameters shared, gradients routed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..blob import Blob, Memory
from ..errors import NetError, WeightsError
from ..layer import TRAIN, Layer, check_blobs, check_counts, make_layer
from ..proto import ParamSpec
from .description import AUTOMATIC

if TYPE_CHECKING:
    from .net import Net

_log = logging.getLogger("minicaffe")
MULTIPLIERS = ("lr_mult", "decay_mult")


@dataclass
class Parameter:
    """A learnable blob: with those that share it, one thing to the solver.

    given: which of the multipliers the net states, in this layer or in one that shares the blob.
    """

    blob: Blob
    layer: str
    index: int
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    given: set[str] = field(default_factory=set)


def missing_tops(cls: type[Layer], param) -> int:
    """How many tops a loss needs more than it names; Caffe makes those itself."""
    least = cls.tops if isinstance(cls.tops, int) else cls.tops[0]
    return max(0, least - len(param.top)) if cls.is_loss else 0


def loss_weight(cls: type[Layer], param, top: int) -> float:
    """How much a layer's top counts in the loss: as the net says, or 1 for a loss's first."""
    if top < len(param.loss_weight):
        return param.loss_weight[top]
    return float(cls.is_loss and top == 0 and not param.loss_weight)


def build(net: Net) -> None:
    """Make the layers and blobs of ``net.param`` and wire them up.

    Sets the net's layers, device_blobs, top_blobs, bottom_blobs, inputs, outputs, learnable,
    loss_weights, layer_need_backward and bottom_need_backward.
    """
    net.layers, net._layer_names = [], []
    net.device_blobs, net.top_blobs, net.bottom_blobs = {}, [], []
    net.inputs, net.learnable, net.loss_weights = [], [], {}
    net.layer_need_backward, net.bottom_need_backward = [], []
    needs_gradient: dict[str, bool] = {}
    owners: dict[str, Parameter] = {}
    unused: dict[str, None] = {}
    for param in net.param.layer:
        layer = _make(net, param)
        bottom = [net.device_blobs[name] for name in param.bottom]
        net.bottom_need_backward.append(_wanted(layer, needs_gradient))
        top = _tops(net, layer)
        net.layers.append(layer)
        net._layer_names.append(param.name)
        net.bottom_blobs.append(bottom)
        net.top_blobs.append(top)
        index = len(net.layers) - 1
        layer.setup(net.bottoms_of(index), net.tops_of(index))
        check_blobs(layer)
        layer.reshape(net.bottoms_of(index), net.tops_of(index))
        learns = _parameters(net, layer, owners)
        need = (learns or any(net.bottom_need_backward[-1])
                or any(needs_gradient[name] for name in param.bottom))
        net.layer_need_backward.append(need)
        needs_gradient.update((name, need) for name in param.top)
        for name in param.bottom:
            unused.pop(name, None)
        unused.update((name, None) for name in param.top)
        if param.type == "Input":
            net.inputs.extend(param.top)
        _losses(net, layer)
    net.outputs = sorted(name for name in unused if not name.startswith(AUTOMATIC))
    _route(net)
    for layer, need in zip(net.layers, net.layer_need_backward):
        layer.need_backward = need
    if net.phase == TRAIN:
        refuse_labels(net)
        _warn_of_overwritten_blobs(net)


def _make(net: Net, param) -> Layer:
    if not param.HasField("phase"):
        param.phase = net.phase
    layer = make_layer(param, backend=net.backend, phase=param.phase, seed=net.seed,
                       dtype=net.dtype)
    namesakes = net._layer_names.count(param.name)
    if namesakes:
        layer.stream = (param.name, f"#{namesakes + 1}")
    check_counts(layer)
    if len(param.propagate_down) not in (0, len(param.bottom)):
        raise NetError(layer.where, f"propagate_down for each of {len(param.bottom)} bottoms",
                       len(param.propagate_down))
    return layer


def _warn_of_overwritten_blobs(net: Net) -> None:
    """Tell of numbers that are wrong, as they are in Caffe, as a layer in place has overwritten
    them: a bottom that shares its memory under another name, or a top that a gradient needs."""
    writers: dict[Memory, int] = {}  # the layer that wrote last into each memory
    makers: dict[str, int] = {}  # the layer whose numbers each blob is meant to hold
    for index, layer in enumerate(net.layers):
        bottoms, tops = net.bottom_blobs[index], net.top_blobs[index]
        for blob in bottoms:
            memory = blob.memory("data")
            if makers[blob.name] != writers[memory]:
                _log.warning("%s reads '%s', over which %s has written by another name for the "
                             "same memory; give the latter a top of its own", layer.where,
                             blob.name, net.layers[writers[memory]].where)
            if blob in tops:
                _warn_of_lost_top(net, writers[memory], memory, layer)
        named = {blob.memory("data"): blob.name for blob in bottoms if blob not in tops}
        for blob in tops:
            memory = blob.memory("data")
            if memory in named and blob not in bottoms:  # its numbers under another name
                makers[blob.name] = makers[named[memory]]
            else:
                makers[blob.name] = writers[memory] = index


def _warn_of_lost_top(net: Net, maker: int, memory: Memory, writer: Layer) -> None:
    layer = net.layers[maker]
    # those that say nothing are taken to read both, and most do not
    if layer.backward_reads == ("top",) and net.layer_need_backward[maker]:
        name = next(blob.name for blob in net.top_blobs[maker] if blob.memory("data") is memory)
        _log.warning("%s needs its top '%s' for its gradient, which will be wrong, as %s writes "
                     "over it; give the latter a top of its own", layer.where, name, writer.where)


def _tops(net: Net, layer: Layer) -> list[Blob]:
    """The blobs of a layer's tops: new ones, or a bottom's own where it works in place."""
    tops = []
    for name in layer.param.top:
        if name not in net.device_blobs:
            net.device_blobs[name] = Blob(net.backend, net.dtype, (), name)
        tops.append(net.device_blobs[name])
    return tops


def _wanted(layer: Layer, needs_gradient: dict[str, bool]) -> list[bool]:
    """Which bottoms' gradients something below the layer, or the net's writer, asks for."""
    param = layer.param
    if param.propagate_down:
        return list(param.propagate_down)
    return [needs_gradient[name] for name in param.bottom]


def _parameters(net: Net, layer: Layer, owners: dict[str, Parameter]) -> bool:
    """Enter a layer's parameters among the learnable ones, or share those of their name's owner.

    Returns whether one of them learns.
    """
    specs = layer.param.param
    if len(specs) > len(layer.parameters):
        raise NetError(layer.where, f"{len(layer.parameters)} or fewer param {{ }} entries, one "
                       "for each of its blobs", len(specs))
    learns = False
    for index, blob in enumerate(layer.parameters):
        spec = specs[index] if index < len(specs) else ParamSpec()
        mine = Parameter(blob, layer.name, index, spec.lr_mult, spec.decay_mult,
                         {what for what in MULTIPLIERS if spec.HasField(what)})
        if spec.name and spec.name in owners:
            _share(layer, mine, spec, owners[spec.name])
            mine = owners[spec.name]
        else:
            net.learnable.append(mine)
            if spec.name:
                owners[spec.name] = mine
        layer.param_propagate_down[index] = mine.lr_mult != 0
        learns = learns or mine.lr_mult != 0
    return learns


def _share(layer: Layer, mine: Parameter, spec, owner: Parameter) -> None:
    """Let a parameter be its owner's; a multiplier that the owner left open may be given here."""
    strict = spec.share_mode == ParamSpec.STRICT
    fits = (mine.blob.shape == owner.blob.shape if strict
            else mine.blob.count == owner.blob.count)
    if not fits:
        raise WeightsError(f"{layer.where}: parameter '{spec.name}'",
                           f"the shape {owner.blob.shape} of its owner, layer '{owner.layer}'",
                           mine.blob.shape,
                           "share_mode: PERMISSIVE asks for equal counts alone." if strict else "")
    for what in mine.given:
        if what in owner.given and getattr(mine, what) != getattr(owner, what):
            raise NetError(f"{layer.where}: parameter '{spec.name}'", f"the {what} "
                           f"{getattr(owner, what)} of its owner, layer '{owner.layer}'",
                           getattr(mine, what), "leave it out here.")
        setattr(owner, what, getattr(mine, what))
        owner.given.add(what)
    mine.blob.share(owner.blob)


def _losses(net: Net, layer: Layer) -> None:
    """Put each loss weight into the diff of its blob, where backward starts."""
    for j, blob in enumerate(net.top_blobs[-1]):
        weight = loss_weight(type(layer), layer.param, j)
        if weight:
            net.loss_weights[blob.name] = weight
            blob.diff[...] = weight


def _route(net: Net) -> None:
    """Drop the backward passes that no loss asks for; with force_backward ask for all."""
    under_loss: set[str] = set()
    stopped: set[str] = set()
    for i in reversed(range(len(net.layers))):
        param, layer = net.param.layer[i], net.layers[i]
        contributes = any(loss_weight(type(layer), param, j) or top in under_loss
                          for j, top in enumerate(param.top))
        if not contributes or stopped.issuperset(param.top):
            net.layer_need_backward[i] = False
            net.bottom_need_backward[i] = [False] * len(param.bottom)
        if contributes:
            under_loss.update(param.bottom)
        stopped.update(name for name, wanted in zip(param.bottom, net.bottom_need_backward[i])
                       if not wanted)
        if net.param.force_backward:
            _force(net, i)


def _force(net: Net, i: int) -> None:
    layer = net.layers[i]
    net.layer_need_backward[i] = True
    net.bottom_need_backward[i] = [
        j not in layer.no_gradient for j in range(len(net.param.layer[i].bottom))]
    layer.param_propagate_down[:] = [True] * len(layer.parameters)


def refuse_labels(net: Net) -> None:
    """Errors: NetError where backward would ask a layer for a gradient that it does not have."""
    for i, layer in enumerate(net.layers):
        for j in layer.no_gradient if net.layer_need_backward[i] else ():
            if j < len(net.bottom_need_backward[i]) and net.bottom_need_backward[i][j]:
                raise NetError(layer.where, f"a bottom {j} that no learning layer makes, as it has "
                               "no gradient to give", f"'{net.param.layer[i].bottom[j]}'",
                               "propagate_down: true for the other bottoms, false for this one.")
