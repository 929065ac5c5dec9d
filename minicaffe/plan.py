"""The steps of a pass: layers one by one, or fused with a neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import NetError
from .layer import Layer

if TYPE_CHECKING:
    from .net import Net

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
        self._is_dead_end = bool(self.top) and any(self.propagate_down) and (
            type(self.layer).backward is Layer.backward)
        self._losses = [(blob, net.loss_weights[blob.name]) for blob in self.top
                        if blob.name in net.loss_weights]

    def reshape(self) -> None:
        """Let the layer size its tops if one of its blobs has another shape than before.

        The diff of a loss that takes another size is its weight again, where backward starts.
        """
        blobs = self.bottom + self.top
        if self._shapes != [blob.shape for blob in blobs] or self.layer.reshapes_always:
            counts = [blob.count for blob, _ in self._losses]
            self._shapes = None  # should the layer refuse
            self.layer.reshape(self.bottom, self.top)
            self._shapes = [blob.shape for blob in blobs]
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
        """Run the layer's backward.  Errors: NetError for one that has none and would need it."""
        if self.backward_needed:
            if self._is_dead_end:
                raise NetError(self.layer.where, "a backward method, as its bottoms' gradients are "
                               "asked for", "none", "propagate_down: false stops them here.")
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
