"""What the layers of a net make, cost and hold, counted before it ever runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..blob import Memory
from ..layer import TRAIN
from ..layers.convolution import Convolution
from ..net import Net
from ..net import memory_sharing as memory_sharing

_RECURRENT = ("LSTM", "RNN")  # the first axis of their sequences is time
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSummary:
    """What one layer makes and costs.

    Attributes:
        bottom, top: the shapes of its blobs.  in_place: whether it writes over its bottom.
        multiply_adds: of a forward pass.
        blob_bytes: memory of its tops that no layer before it has.  parameter_bytes: likewise.
        algorithms: by which a convolution's y, dW and dx are computed; None where one is not.
        fused_into: the layer whose forward pass computes this one too.
    """

    name: str
    type: str
    bottom: list[Shape]
    top: list[Shape]
    in_place: bool
    parameters: int
    multiply_adds: int
    blob_bytes: int
    parameter_bytes: int
    algorithms: list[str | None] | None
    fused_into: str | None


@dataclass(frozen=True)
class Summary:
    """A net's layers, and their sums.

    Attributes:
        batch_size: samples a pass; None where the first axis does not count them.
        blob_bytes: with keep='all'.  shared_bytes: with keep=[].
        file_bytes: the numbers in a file of its weights.
    """

    name: str
    phase: str
    device: str
    batch_size: int | None
    layers: list[LayerSummary]
    parameters: int
    multiply_adds: int
    blob_bytes: int
    shared_bytes: int
    parameter_bytes: int
    file_bytes: int


def summarize(net: Net) -> Summary:
    """What the layers of a net cost for the shapes that it has now."""
    has_backward = net.graph.runs_backward
    lives = memory_sharing.lifetimes(net.graph, net.plan)
    sizes = {memory: life.size * memory.dtype.itemsize for memory, life in lives.items()}
    kept = *net.inputs, *net.outputs, *net.loss_weights
    shared = memory_sharing.movable_lifetimes(net.graph, kept, lives)
    _, arena = memory_sharing.first_fit(shared.values())  # what keep=[] has for these
    layers = list(_layers(net, dict(sizes), has_backward))
    return Summary(
        name=net.name, phase="train" if net.phase == TRAIN else "test", device=net.backend.name,
        batch_size=_batch_size(net), layers=layers,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        blob_bytes=sum(sizes.values()),
        shared_bytes=arena * net.dtype.itemsize + sum(
            size for memory, size in sizes.items() if memory not in shared),
        parameter_bytes=sum(layer.parameter_bytes for layer in layers),
        file_bytes=sum(4 * blob.count for layer in net.layers for blob in layer.parameters))


def _layers(net: Net, sizes: dict[Memory, int], has_backward: bool) -> Iterator[LayerSummary]:
    """The layers in order.  ``sizes``, of the memory of blobs, is used up meanwhile."""
    parts = ("data", "diff")
    owned = {blob.memory("data"): blob.count for layer in net.layers for blob in layer.parameters}
    fused = {step.index: group.steps[0].layer.name
             for group in net.plan.groups for step in group.steps[1:]}
    for step in net.plan.steps:
        layer, bottom, top = step.layer, step.bottom, step.top
        mine = sum(owned.pop(blob.memory("data"), 0) for blob in layer.parameters)
        copies = 2 if net.phase == TRAIN else 1
        yield LayerSummary(
            name=layer.name, type=layer.type, bottom=[blob.shape for blob in bottom],
            top=[blob.shape for blob in top],
            in_place=any(blob in bottom for blob in top),
            parameters=mine, multiply_adds=layer.multiply_adds(bottom, top),
            blob_bytes=sum(sizes.pop(blob.memory(part), 0) for blob in top for part in parts),
            parameter_bytes=mine * net.dtype.itemsize * copies,
            algorithms=_algorithms(step, has_backward), fused_into=fused.get(step.index))


def _algorithms(step, has_backward: bool) -> list[str | None] | None:
    """How a convolution is computed, as far as it will be."""
    if not isinstance(step.layer, Convolution):
        return None
    learns = has_backward and step.backward_needed
    wanted = (True, learns and step.layer.param_propagate_down[0],
              learns and any(step.propagate_down))
    return [name if runs else None
            for name, runs in zip(step.layer.algorithms(step.bottom), wanted)]


def _batch_size(net: Net) -> int | None:
    """The first axis of the net's first blob, if it counts samples."""
    first = next(iter(net.device_blobs.values()), None)
    if first is None or not first.shape:
        return None
    sequences = (bottom[0].memory("data") for layer, bottom in zip(net.layers, net.graph.bottoms)
                 if layer.type in _RECURRENT)
    return None if first.memory("data") in sequences else first.shape[0]
