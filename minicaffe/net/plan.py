"""The steps of a pass: layers one by one, groups of neighbours that run as one, and runs of both
that can be repeated without their layers."""

from __future__ import annotations

from collections.abc import Iterable

from .fusion import Group, groups
from .graph import Graph
from .repeating import Repeatable, repeatables
from .step import Step


class Plan:
    """All steps of a net, in groups where nothing that stays visible changes."""

    def __init__(self, graph: Graph):
        self.steps = [Step(graph, i) for i in range(len(graph.layers))]
        self.groups = groups(self.steps)
        self._moves = graph.moves
        self._group_of = {step.index: group for group in self.groups for step in group.steps}
        self._full_pass: list[Step | Group | Repeatable] | None = None

    def backward_reads(self, step: Step) -> tuple[str, ...]:
        """Whose values the backward pass of a step reads, of "bottom" and "top"."""
        group = self._group_of.get(step.index)
        return step.layer.backward_reads if group is None else group.backward_reads(step)

    def reshape(self) -> None:
        """Let every layer whose bottoms have another shape size its tops anew."""
        for step in self.steps:
            step.reshape()

    def forward(self, first: int, last: int, fused: bool = True
                ) -> Iterable[Step | Group | Repeatable]:
        """What runs from layer ``first`` to layer ``last``, in order.

        fused: False where each layer is to run by itself, as a hook needs it.
        """
        if fused and last - first == len(self.steps) - 1:
            if self._full_pass is None:
                self._full_pass = repeatables(self._parts(first, last, fused), self._moves)
            return self._full_pass
        return self._parts(first, last, fused)

    def backward(self, first: int, last: int, fused: bool = True) -> Iterable[Step | Group]:
        """What runs from layer ``first`` down to layer ``last``, in order."""
        return reversed(self._parts(last, first, fused))

    def _parts(self, first: int, last: int, fused: bool) -> list[Step | Group]:
        """The layers from ``first`` to ``last``; a group as one if it lies within, and else with
        all that its layers, which now run by themselves, expect from an earlier pass."""
        parts: list[Step | Group] = []
        for step in self.steps[first:last + 1]:
            group = self._group_of.get(step.index)
            if group is None:
                parts.append(step)
            elif fused and first <= group.first and group.last <= last:
                if step.index == group.first:
                    parts.append(group)
            else:
                group.unfold()
                parts.append(step)
        return parts
