"""From the description of a net to its Graph: layers and blobs made in order, parameters shared,
gradients routed."""

from __future__ import annotations

import logging
from collections import defaultdict

from ..allocation import ran_out
from ..blob import Blob, Memory
from ..errors import NetError, WeightsError
from ..layer import TRAIN, Layer, make_layer
from ..proto import NetParameter, ParamSpec
from .checks import check_blobs, check_counts, refuse_gradient_to_labels, warn_of_overwritten_blobs
from .description import AUTOMATIC, loss_weight
from .graph import Graph, Parameter

_log = logging.getLogger("minicaffe")
MULTIPLIERS = ("lr_mult", "decay_mult")


def build(param: NetParameter, phase: int, backend, dtype, seed: int) -> Graph:
    """Make the layers and blobs of a description, whose blobs have one reader each, and wire them.

    Errors: NetError, ShapeError, ParameterError, WeightsError for what cannot be built.
    """
    graph = Graph(param, phase, backend, dtype)
    needs_gradient: dict[str, bool] = {}
    owners: dict[str, Parameter] = {}
    unread: dict[str, None] = {}
    contents = _Contents(graph)
    for layer_param in param.layer:
        layer = _make(graph, layer_param, seed)
        index = len(graph.layers)
        graph.layers.append(layer)
        graph.bottoms.append([graph.blobs[name] for name in layer_param.bottom])
        graph.bottom_needs_backward.append(_bottoms_needing_gradient(layer, needs_gradient))
        graph.tops.append(_tops(graph, layer, contents))
        _set_up(layer, graph.bottoms_of(index), graph.tops_of(index))
        learns = _parameters(graph, layer, owners)
        need = (learns or any(graph.bottom_needs_backward[-1]) or param.force_backward
                or any(needs_gradient[name] for name in layer_param.bottom))
        graph.layer_needs_backward.append(need)
        contents.note(index)
        needs_gradient.update((name, need) for name in layer_param.top)
        for name in layer_param.bottom:
            unread.pop(name, None)
        unread.update((name, None) for name in layer_param.top)
        if layer_param.type == "Input":
            graph.inputs.extend(layer_param.top)
        _losses(graph, layer)
    graph.outputs = sorted(name for name in unread if not name.startswith(AUTOMATIC))
    _drop_needless_backward(graph)
    for layer, need in zip(graph.layers, graph.layer_needs_backward):
        layer.need_backward = need
    if phase == TRAIN:
        refuse_gradient_to_labels(graph)
        warn_of_overwritten_blobs(graph)
    return graph


def _make(graph: Graph, param, seed: int) -> Layer:
    if not param.HasField("phase"):
        param.phase = graph.phase
    layer = make_layer(param, backend=graph.backend, phase=param.phase, seed=seed,
                       dtype=graph.dtype)
    layer.moves = graph.moves
    namesakes = sum(other.name == param.name for other in graph.layers)
    if namesakes:
        layer.stream = (param.name, f"#{namesakes + 1}")
    check_counts(layer)
    if len(param.propagate_down) not in (0, len(param.bottom)):
        raise NetError(layer.where, f"propagate_down for each of {len(param.bottom)} bottoms",
                       len(param.propagate_down))
    return layer


def _set_up(layer: Layer, bottom: list[Blob], top: list[Blob]) -> None:
    try:
        layer.setup(bottom, top)
        check_blobs(layer)
        layer.reshape(bottom, top)
    except MemoryError as error:
        raise ran_out(layer.where, bottom) from error


# --------------------------------------------------------------------------------- layers in place

class _Contents:
    """What each memory holds at this place in the net, and whose backward pass will read it."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._writers: dict[Memory, int] = {}  # the layer that wrote last
        self._readers: defaultdict[Memory, list[int]] = defaultdict(list)  # those since then

    def note(self, index: int) -> None:
        """Layer ``index`` has read its bottoms and written its tops."""
        layer, bottoms = self._graph.layers[index], self._graph.bottoms[index]
        shared = {blob.memory("data") for blob in bottoms if blob not in self._graph.tops[index]}
        for blob in bottoms:
            self._readers[blob.memory("data")].append(index)
        for blob in self._graph.tops[index]:
            memory = blob.memory("data")
            if memory not in shared:  # if it is, the layer leaves the numbers as they are
                self._writers[memory] = index
                in_place = blob in bottoms and "bottom" in layer.backward_reads
                self._readers[memory] = [index] * in_place  # its backward reads y where x was

    def needed_by(self, memory: Memory, writer: Layer) -> Layer | None:
        """A layer whose backward pass needs what the memory holds, and not merely its signs where
        ``writer``, which is about to write over it, keeps those."""
        graph = self._graph
        reading = [index for index in self._readers[memory]
                   if "bottom" in graph.layers[index].backward_reads]
        last = self._writers.get(memory)
        if last is not None and "top" in graph.layers[last].backward_reads:
            reading.append(last)
        for layer in (graph.layers[index] for index in reading
                      if graph.layer_needs_backward[index]):
            if layer.has_backward and not (layer.backward_reads_signs and writer.keeps_signs):
                return layer
        return None


def _tops(graph: Graph, layer: Layer, contents: _Contents) -> list[Blob]:
    """The blobs of a layer's tops: new ones, or a bottom's own where it works in place.

    Where the gradient of a layer before needs what stands in that bottom, the top gets memory of
    its own for its data after all: the diffs stay where they are in a layer in place.
    """
    tops = []
    for name in layer.param.top:
        blob = graph.blobs.get(name)
        if blob is None:
            blob = Blob(graph.backend, graph.dtype, (), name, graph.moves)
        elif reader := contents.needed_by(blob.memory("data"), layer):
            if _needs_one_blob(layer):
                _log.warning("%s needs '%s' for its gradient, which will be wrong, as %s writes "
                             "over it; give the latter a top of its own", reader.where, name,
                             layer.where)
            else:
                before = blob
                blob = Blob(graph.backend, graph.dtype, (), name, graph.moves)
                blob.share(before, "diff")
        graph.blobs[name] = blob
        tops.append(blob)
    return tops


def _needs_one_blob(layer: Layer) -> bool:
    """Whether a layer in place may count on its top being its bottom: code of a user's may."""
    return layer.param.type == "Python" or type(layer).reshape is Layer.reshape


# -------------------------------------------------------------------------------------- parameters

def _parameters(graph: Graph, layer: Layer, owners: dict[str, Parameter]) -> bool:
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
            graph.learnable.append(mine)
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


# --------------------------------------------------------------------------------------- gradients

def _bottoms_needing_gradient(layer: Layer, needs_gradient: dict[str, bool]) -> list[bool]:
    """Which bottoms get a gradient: as propagate_down says, else where a layer before needs it."""
    param = layer.param
    if param.propagate_down:
        return list(param.propagate_down)
    return [needs_gradient[name] for name in param.bottom]


def _losses(graph: Graph, layer: Layer) -> None:
    """Put each loss weight into the diff of its blob, where backward starts."""
    for j, blob in enumerate(graph.tops[-1]):
        weight = loss_weight(type(layer), layer.param, j)
        if weight:
            graph.loss_weights[blob.name] = weight
            blob.diff[...] = weight


def _drop_needless_backward(graph: Graph) -> None:
    """Drop the backward passes that no loss asks for; with force_backward ask for all."""
    under_loss: set[str] = set()
    stopped: set[str] = set()
    for i in reversed(range(len(graph.layers))):
        param, layer = graph.param.layer[i], graph.layers[i]
        contributes = any(loss_weight(type(layer), param, j) or top in under_loss
                          for j, top in enumerate(param.top))
        if not contributes or stopped.issuperset(param.top):
            graph.layer_needs_backward[i] = False
            graph.bottom_needs_backward[i] = [False] * len(param.bottom)
        if contributes:
            under_loss.update(param.bottom)
        stopped.update(name for name, wanted in zip(param.bottom, graph.bottom_needs_backward[i])
                       if not wanted)
        if graph.param.force_backward:
            _force(graph, i)


def _force(graph: Graph, i: int) -> None:
    layer = graph.layers[i]
    graph.layer_needs_backward[i] = True
    graph.bottom_needs_backward[i] = [
        j not in layer.no_gradient for j in range(len(graph.param.layer[i].bottom))]
    layer.param_propagate_down[:] = [True] * len(layer.parameters)
