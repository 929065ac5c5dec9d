"""The steps of a pass: layers one by one, groups of neighbours that run as one, and runs of both
that can be repeated without their layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from ..blob import Moves
from .fusion import Group, groups
from .graph import Graph
from .step import Step


class Repeatable:
    """Steps and groups one behind the other, whose forward passes are calls of primitives alone.

    A pass runs their layers; if no blob has moved since, the next one also notes which calls they
    make, and those that follow make these calls without the layers.
    """

    def __init__(self, parts: Sequence[Step | Group], moves: Moves):
        self.index = parts[0].index
        self._parts = parts
        self._groups = [part for part in parts if isinstance(part, Group)]
        self._backend = parts[0].backend
        self._moves = moves
        self._moves_before = -1  # how often blobs had moved after the last pass of the layers
        self._repeat: Callable[[], bool] | None = None
        self._is_refused = False

    def forward(self) -> None:
        """Run them all."""
        if self._moves_before != self._moves.count:
            self._repeat, self._is_refused = None, False
            self._run()
            self._moves_before = self._moves.count
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
        return {**vars(self), "_moves_before": -1, "_repeat": None}


class Plan:
    """All steps of a net, in groups where nothing that stays visible changes."""

    def __init__(self, graph: Graph):
        self.steps = [Step(graph, i) for i in range(len(graph.layers))]
        self.groups = groups(self.steps)
        self._moves = graph.moves
        self._group_of = {step.index: group for group in self.groups for step in group.steps}
        self._whole: list[Step | Group | Repeatable] | None = None

    def backward_reads(self, step: Step) -> tuple[str, ...]:
        """Whose values the backward pass of a step reads, of "bottom" and "top"."""
        group = self._group_of.get(step.index)
        return step.layer.backward_reads if group is None else group.backward_reads(step)

    def reshape(self) -> None:
        """Let every layer whose bottoms have another shape size its tops anew."""
        for step in self.steps:
            step.reshape()

    def forward(self, first: int, last: int, whole: bool = True
                ) -> Iterable[Step | Group | Repeatable]:
        """What runs from layer ``first`` to layer ``last``, in order.

        whole: False where a seam between any two layers is needed, as by a hook.
        """
        if whole and last - first == len(self.steps) - 1:
            if self._whole is None:
                self._whole = _repeatables(self._parts(first, last, whole), self._moves)
            return self._whole
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


def _repeatables(parts: Iterable[Step | Group], moves: Moves
                 ) -> list[Step | Group | Repeatable]:
    """The same, those that can be repeated put together, as many in a row as there are."""
    found: list[Step | Group | Repeatable] = []
    for repeats, some in itertools.groupby(parts, lambda part: part.only_primitives):
        members = list(some)
        found.extend([Repeatable(members, moves)] if repeats else members)
    return found
