"""The steps of a pass: layers one by one, groups of neighbours that run as one, and runs of both
that can be repeated without their layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..blob import Memory
from ..errors import NetError
from ..layer import Layer

if TYPE_CHECKING:
    from .fusion import Group
    from .net import Net


class Step:
    """One layer with its blobs.

    Attributes:
        only_primitives: whether its forward is calls of primitives alone: see ``Layer``.
        groups: those that it stands for: none, where a Group has itself.
    """

    def __init__(self, net: Net, index: int):
        self.index = index
        self.layer = net.layers[index]
        self.backend = self.layer.backend
        self.bottom, self.top = net.bottoms_of(index), net.tops_of(index)
        self.propagate_down = net.bottom_need_backward[index]
        self.backward_needed = net.layer_need_backward[index]
        self.groups: tuple[Group, ...] = ()
        self.only_primitives = not self.layer.reshapes_always and (
            self.layer.only_primitives or type(self.layer).forward is Layer.forward)
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

    def forward(self) -> None:
        """Run the layer."""
        self.reshape()
        self.layer.forward(self.bottom, self.top)

    def backward(self) -> None:
        """Run the layer's backward.  Errors: NetError for one that has none and would need it."""
        if self.backward_needed:
            if self._is_dead_end:
                raise NetError(self.layer.where, "a backward method, as its bottoms' gradients are "
                               "asked for", "none", "propagate_down: false stops them here.")
            self.layer.backward(self.top, self.propagate_down, self.bottom)


class Repeatable:
    """Steps and groups one behind the other, whose forward passes are calls of primitives alone.

    A pass runs their layers; if no blob has moved since, the next one also notes which calls they
    make, and those that follow make these calls without the layers.
    """

    def __init__(self, parts: Sequence[Step | Group]):
        self.index = parts[0].index
        self._parts = parts
        self._groups = [group for part in parts for group in part.groups]
        self._backend = parts[0].backend
        self._moves = -1  # how often blobs, of any net, had moved after the last pass of the layers
        self._repeat: Callable[[], bool] | None = None
        self._is_refused = False

    def forward(self) -> None:
        """Run them all."""
        if self._moves != Memory.moves:
            self._repeat, self._is_refused = None, False
            self._run()
            self._moves = Memory.moves
        elif self._is_refused:
            self._run()
        elif self._repeat is None or not self._repeat():
            self._repeat = self._backend.record(self._run)
            self._is_refused = self._repeat is None
        for group in self._groups:
            group.folded = True

    def _run(self) -> None:
        for part in self._parts:
            part.forward()

    def __getstate__(self) -> dict:
        """For a copy, whose arrays are others: without what has been noted."""
        return {**vars(self), "_moves": -1, "_repeat": None}


class Plan:
    """All steps of a net, in groups where nothing that stays visible changes."""

    def __init__(self, net: Net):
        from .fusion import groups  # it imports layers, which importing minicaffe does not

        self.steps = [Step(net, i) for i in range(len(net.layers))]
        self.groups = groups(self.steps)
        self._group_of = {step.index: group for group in self.groups for step in group.steps}
        self._repeatables: list[Step | Group | Repeatable] | None = None

    def forward(self, first: int, last: int, whole: bool = True
                ) -> Iterable[Step | Group | Repeatable]:
        """What runs from layer ``first`` to layer ``last``, in order.

        whole: False where a seam between any two layers is needed, as by a hook.
        """
        if whole and last - first == len(self.steps) - 1:
            if self._repeatables is None:
                self._repeatables = _repeatables(self._parts(first, last, whole))
            return self._repeatables
        return self._parts(first, last, whole)

    def backward(self, first: int, last: int, whole: bool = True) -> Iterable[Step | Group]:
        """What runs from layer ``first`` down to layer ``last``, in order."""
        return reversed(self._parts(last, first, whole))

    def _parts(self, first: int, last: int, whole: bool) -> list[Step | Group]:
        """The layers from ``first`` to ``last``; a group as one if it lies within, and else with
        all that its layers, which now run by themselves, expect from an earlier pass."""
        parts: list[Step | Group] = []
        for step in self.steps[first:last + 1]:
            group = self._group_of.get(step.index)
            if group is None:
                parts.append(step)
            elif whole and first <= group.first and group.last <= last:
                if step.index == group.first:
                    parts.append(group)
            else:
                group.unfold()
                parts.append(step)
        return parts


def _repeatables(parts: Iterable[Step | Group]) -> list[Step | Group | Repeatable]:
    """The same, those that can be repeated in stretches, each as long as can be."""
    found: list[Step | Group | Repeatable] = []
    for repeats, some in itertools.groupby(parts, lambda part: part.only_primitives):
        members = list(some)
        found.extend([Repeatable(members)] if repeats else members)
    return found
