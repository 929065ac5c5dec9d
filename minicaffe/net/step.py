"""One step of a pass: a layer with its blobs."""

from __future__ import annotations

from ..allocation import ran_out
from ..errors import NetError
from ..layer import Layer
from .graph import Graph


class Step:
    """One layer with its blobs.

    Attributes:
        index: its place in the net.
        only_primitives: whether its forward is calls of primitives alone: see ``Layer``.
    """

    def __init__(self, graph: Graph, index: int):
        self.index = index
        self.layer = graph.layers[index]
        self.backend = self.layer.backend
        self.bottom, self.top = graph.bottoms_of(index), graph.tops_of(index)
        self.propagate_down = graph.bottom_needs_backward[index]
        self.backward_needed = graph.layer_needs_backward[index]
        self.only_primitives = not self.layer.reshapes_always and (
            self.layer.only_primitives or type(self.layer).forward is Layer.forward)
        self._shapes: list[tuple[int, ...]] | None = None
        self._lacks_backward = bool(self.top) and any(self.propagate_down) and (
            type(self.layer).backward is Layer.backward)
        self._losses = [(blob, graph.loss_weights[blob.name]) for blob in self.top
                        if blob.name in graph.loss_weights]

    def reshape(self) -> None:
        """Let the layer size its tops if one of its blobs has another shape than before.

        The diff of a loss that takes another size is its weight again, where backward starts.
        """
        blobs = self.bottom + self.top
        if self._shapes != [blob.shape for blob in blobs] or self.layer.reshapes_always:
            counts = [blob.count for blob, _ in self._losses]
            self._shapes = None  # should the layer refuse
            try:
                self.layer.reshape(self.bottom, self.top)
            except MemoryError as error:
                raise ran_out(self.layer.where, self.bottom) from error
            self._shapes = [blob.shape for blob in blobs]
            for (blob, weight), count in zip(self._losses, counts):
                if blob.count != count:
                    blob.diff[...] = weight

    def forward(self) -> None:
        """Run the layer."""
        self.reshape()
        try:
            self.layer.forward(self.bottom, self.top)
        except MemoryError as error:
            raise ran_out(self.layer.where, self.bottom) from error

    def backward(self) -> None:
        """Run the layer's backward.  Errors: NetError for one that has none and would need it."""
        if self.backward_needed:
            if self._lacks_backward:
                raise NetError(self.layer.where, "a backward method, as its bottoms' gradients are "
                               "asked for", "none", "propagate_down: false stops them here.")
            try:
                self.layer.backward(self.top, self.propagate_down, self.bottom)
            except MemoryError as error:
                raise ran_out(self.layer.where, self.bottom) from error
