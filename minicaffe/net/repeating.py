"""Forward passes that are repeated without their layers: when, and which of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from ..blob import Moves
from .fusion import Group
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
        for group in self._groups:  # a repeated pass does not go through Group.forward
            group.folded = True

    def _run(self) -> None:
        for part in self._parts:
            part.forward()

    def __getstate__(self) -> dict:
        """For a copy, whose arrays are others: without what has been noted."""
        return {**vars(self), "_moves_before": -1, "_repeat": None}


def repeatables(parts: Iterable[Step | Group], moves: Moves
                 ) -> list[Step | Group | Repeatable]:
    """The same, those that can be repeated put together, as many in a row as there are."""
    found: list[Step | Group | Repeatable] = []
    for repeats, some in itertools.groupby(parts, lambda part: part.only_primitives):
        members = list(some)
        found.extend([Repeatable(members, moves)] if repeats else members)
    return found
