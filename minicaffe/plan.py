"""The steps of a pass, and where each blob's memory lies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .blob import Memory
from .layer import Layer

if TYPE_CHECKING:
    from .net import Net

_log = logging.getLogger("minicaffe")


class Step:
    """One layer with its blobs, and the ReLU in place that its forward pass takes in, if any."""

    def __init__(self, net: Net, index: int):
        self.index = index
        self.layer = net.layers[index]
        self.bottom, self.top = net.bottoms_of(index), net.tops_of(index)
        self.propagate_down = net.bottom_need_backward[index]
        self.backward_needed = net.layer_need_backward[index]
        self.absorbed: Step | None = None
        self._shapes: list[tuple[int, ...]] | None = None
        self._losses = [(blob, net.loss_weights[blob.name]) for blob in self.top
                        if blob.name in net.loss_weights]

    def reshape(self) -> None:
        """Let the layer size its tops if a bottom has another shape than before.

        The diff of a loss that takes another size is its weight again, where backward starts.
        """
        shapes = [blob.shape for blob in self.bottom]
        if shapes != self._shapes or self.layer.reshapes_always:
            counts = [blob.count for blob, _ in self._losses]
            self.layer.reshape(self.bottom, self.top)
            self._shapes = shapes
            for (blob, weight), count in zip(self._losses, counts):
                if blob.count != count:
                    blob.diff[...] = weight

    def forward(self, fused: bool) -> None:
        """Run the layer; ``fused`` with the one it absorbed."""
        self.reshape()
        if fused:
            self.absorbed.reshape()
            self.layer.forward(self.bottom, self.top, slope=self.absorbed.layer.slope)
        else:
            self.layer.forward(self.bottom, self.top)

    def backward(self) -> None:
        if self.backward_needed:
            self.layer.backward(self.top, self.propagate_down, self.bottom)


class Plan:
    """All steps of a net, fused where nothing that stays visible changes."""

    def __init__(self, net: Net):
        self.steps = [Step(net, i) for i in range(len(net.layers))]
        for step, following in zip(self.steps, self.steps[1:]):
            if _fusible(step, following):
                step.absorbed = following

    def forward(self, first: int, last: int, whole: bool = True) -> Iterator[tuple[Step, bool]]:
        """The steps from layer ``first`` to layer ``last``, each with whether it runs fused.

        whole: False where a seam between any two layers is needed, as by a hook.
        """
        index = first
        while index <= last:
            step = self.steps[index]
            fused = whole and step.absorbed is not None and index < last
            yield step, fused
            index += 2 if fused else 1

    def backward(self, first: int, last: int) -> Iterator[Step]:
        """The steps from layer ``first`` down to layer ``last``.

        Backward runs layer by layer: the diff between a convolution and its ReLU is masked in
        place, which is what unfused layers leave in that blob too.
        """
        return reversed(self.steps[last:first + 1])


def _fusible(step: Step, following: Step) -> bool:
    """A convolution with a ReLU in place behind it, on a backend whose epilogue takes it."""
    layer, relu = step.layer, following.layer
    return (layer.takes_epilogue and relu.param.type in layer.backend.fuses
            and following.bottom == step.top == following.top)


# --------------------------------------------------------------------------------------- memory

def share_memory(net: Net, kept: frozenset[str], with_backward: bool) -> dict[str, frozenset[str]]:
    """Lay blobs whose lives do not overlap onto one arena.

    Args:
        kept: names of blobs that keep memory of their own.
        with_backward: whether backward passes will follow the forward ones.

    Returns: for each blob that was not kept, which of "data" and "diff" cannot be read.
    """
    lives = _lifetimes(net, with_backward)
    own = {blob.memory(part) for name, blob in net.device_blobs.items() if name in kept
           for part in ("data", "diff")}
    movable = {memory: life for memory, life in lives.items() if memory not in own and life.written}
    offsets, total = _first_fit(movable)
    if movable:
        memory = next(iter(movable))
        arena = memory.backend.zeros((total,), memory.dtype)
        for memory, offset in offsets.items():
            memory.place(arena[offset:offset + movable[memory].size])
        _log.debug("%s: %d arrays share %.1f MiB instead of %.1f", net.name, len(movable),
                   total * memory.dtype.itemsize / 2**20,
                   sum(life.size for life in movable.values()) * memory.dtype.itemsize / 2**20)
    hidden = {}
    for name, blob in net.device_blobs.items():
        parts = {part for part in ("data", "diff") if blob.memory(part) in movable}
        if parts:
            hidden[name] = frozenset(parts)
    return hidden


class _Life:
    """From which step to which step an array is needed, and how large it is.

    written: whether its first use writes it; if not, its numbers are the user's, or a loss weight.
    """

    def __init__(self, first: int, written: bool):
        self.first = self.last = first
        self.written, self.size = written, 0


def _lifetimes(net: Net, with_backward: bool) -> dict[Memory, _Life]:
    lives: dict[Memory, _Life] = {}

    def use(blob, part: str, time: int, writes: bool) -> None:
        life = lives.setdefault(blob.memory(part), _Life(time, writes))
        life.last, life.size = time, max(life.size, blob.count)

    layers = len(net.layers)
    for i in range(layers):
        fed = not net.layers[i].param.bottom  # by the user, or once: not anew in every pass
        for blob in net.bottoms_of(i):
            use(blob, "data", i, False)
        for blob in net.tops_of(i):
            use(blob, "data", i, not fed)
    for i in reversed(range(layers)) if with_backward else ():
        time, layer = 2 * layers - i, net.layers[i]
        if not net.layer_need_backward[i] or type(layer).backward is Layer.backward:
            continue
        for blob in net.tops_of(i):
            use(blob, "diff", time, False)
            if "top" in layer.backward_reads:
                use(blob, "data", time, False)
        for j, blob in enumerate(net.bottoms_of(i)):
            if "bottom" in layer.backward_reads:
                use(blob, "data", time, False)
            if net.bottom_need_backward[i][j]:
                use(blob, "diff", time, True)
    return lives


def _first_fit(lives: dict[Memory, _Life]) -> tuple[dict[Memory, int], int]:
    """An offset for each array: the largest first, each at the lowest place that is free."""
    placed: list[tuple[int, int, _Life]] = []
    offsets: dict[Memory, int] = {}
    for memory, life in sorted(lives.items(), key=lambda item: -item[1].size):
        size = -(-life.size // 16) * 16  # whole cache lines
        offset = 0
        for start, end, _ in sorted(
                (entry for entry in placed if entry[2].first <= life.last
                 and life.first <= entry[2].last), key=lambda entry: entry[0]):
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, life))
        offsets[memory] = offset
    return offsets, max((end for _, end, _ in placed), default=0)
