"""Which snapshots stay, and when a training that gets no better ends."""

from __future__ import annotations

from pathlib import Path

from . import snapshots
from .solver import Solver


class Keeper:
    """Listens to a solver: keeps its best snapshot and its last ones, and may end the training.

    What it knows is kept in ``solver.notes``, so that a resumed training goes on choosing.

    Args:
        watch: the output of the first test net that tells what is best: the largest, or of a name
            that ends in "loss" or "error" the smallest; None: no snapshot is the best.
            What it is computed on must not be what the training is finally judged by.
        patience: stop after so many tests in a row without a gain; None: never.
        keep: how many of the last snapshots stay; None: all.
    """

    def __init__(self, solver: Solver, watch: str | None = None, patience: int | None = None,
                 keep: int | None = None):
        self._solver, self._watch = solver, watch
        self._patience, self._keep = patience, keep
        self.out_of_patience = False
        solver.listen(self._hear)

    @property
    def best(self) -> tuple[int, float] | None:
        """The iteration of the best test so far and its value; None before the first."""
        notes = self._solver.notes
        return (notes["best_iteration"], notes["best_value"]) if "best_value" in notes else None

    @property
    def best_weights(self) -> str | None:
        """The file of the best weights, if it is there."""
        path = self.best and snapshots.paths(self._solver, self.best[0])[0]
        return path if path and Path(path).is_file() else None

    def _hear(self, event: dict) -> None:
        if event["event"] == "test" and event["net"] == 0 and self._watch in event:
            self._judge(event["iteration"], event[self._watch])
        elif event["event"] in ("snapshot", "restore"):
            self._rotate(event["iteration"])

    def _judge(self, iteration: int, value: float) -> None:
        notes = self._solver.notes
        if iteration <= notes.get("tested", 0):  # untrained, or tested once more when resumed
            return
        notes["tested"] = iteration
        if self.best is None or self._is_better(value, self.best[1]):
            notes.update(best_iteration=iteration, best_value=value, waited=0)
            self._solver.try_snapshot()
            return
        notes["waited"] += 1
        if self._patience and notes["waited"] >= self._patience:
            self.out_of_patience = self._solver.stop_requested = True

    def _is_better(self, value: float, than: float) -> bool:
        return value < than if self._watch.endswith(("loss", "error")) else value > than

    def _rotate(self, iteration: int) -> None:
        """Remove snapshots of this training that are neither the best nor among the last."""
        notes = self._solver.notes
        written = [*(n for n in notes.get("written", ()) if n < iteration), iteration]
        best = self.best and self.best[0]
        last = written if self._keep is None else written[-self._keep:]
        stay = [n for n in written if n == best or n in last]
        for old in set(written).difference(stay):
            for path in reversed(snapshots.paths(self._solver, old)):  # a state needs its weights
                Path(path).unlink(missing_ok=True)
        notes["written"] = stay
