"""Which snapshots stay, and when a training that gets no better ends."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from ..errors import ParameterError, expect_known
from . import snapshots
from .output_means import output_names
from .solver import Solver

_log = logging.getLogger("minicaffe")


class Checkpoints:
    """Listens to a solver: keeps its best snapshot and its last ones, and may end the training.

    What it knows is among ``solver.notes``, so that a resumed training goes on choosing; from the
    state of a training with another snapshot_prefix, whose files are not its own, it starts anew.

    Args:
        monitor: the output of the first test net that tells what is best: of a loss the smallest,
            of all else the largest; None: no snapshot is the best.
            What it is computed on must not be what the training is finally judged by.
        patience: stop after so many tests in a row without a gain; None: never.
        keep_last: how many of the last snapshots stay; None: all.

    Attributes:
        out_of_patience: whether it ended the training.

    Errors: ParameterError for an unknown monitor, a number below 1, patience without a monitor.
    """

    def __init__(self, solver: Solver, monitor: str | None = None, patience: int | None = None,
                 keep_last: int | None = None):
        for name, value in (("patience", patience), ("keep_last", keep_last)):
            if value is not None and value < 1:
                raise ParameterError(f"Checkpoints: {name}", "1 or more, or None", value)
        if patience is not None and monitor is None:
            raise ParameterError("Checkpoints: patience", "a monitor that it waits for", "none")
        self._solver, self._monitor = solver, monitor
        self._patience, self._keep_last = patience, keep_last
        self._lower_is_better = monitor is not None and _is_loss(solver, monitor)
        self.out_of_patience = False
        solver.listen(self._hear)

    @property
    def best(self) -> tuple[int, float] | None:
        """The iteration and the value of the best test whose weights were written; None before."""
        notes = self._notes
        return (notes["best_iteration"], notes["best_value"]) if "best_value" in notes else None

    @property
    def best_weights(self) -> str | None:
        """The file of the best weights, if it is there."""
        path = self.best and snapshots.paths(self._solver, self.best[0])[0]
        return path if path and Path(path).is_file() else None

    @property
    def _notes(self) -> dict:
        return self._solver.notes.setdefault("checkpoints", {})

    def _hear(self, event: dict) -> None:
        if event["event"] == "test" and event["net"] == 0 and self._monitor in event:
            self._judge(event["iteration"], event[self._monitor])
        elif event["event"] == "snapshot":
            self._rotate(event["iteration"])
        elif event["event"] == "restore":
            if snapshots.is_own(self._solver, event["file"]):
                self._rotate(event["iteration"])
            else:
                self._notes.clear()

    def _judge(self, iteration: int, value: float) -> None:
        notes = self._notes
        if iteration <= notes.get("tested", 0):  # untrained, or tested once more when resumed
            return
        notes["tested"] = iteration
        if self._is_best(value):
            self._save(iteration, value)
            return
        notes["waited"] = notes.get("waited", 0) + 1
        if self._patience and notes["waited"] >= self._patience:
            self.out_of_patience = self._solver.stop_requested = True

    def _is_best(self, value: float) -> bool:
        if self.best is None or not math.isfinite(value):
            return math.isfinite(value)
        return value < self.best[1] if self._lower_is_better else value > self.best[1]

    def _save(self, iteration: int, value: float) -> None:
        """Write the best snapshot, which tells that it is the best; without it, the last best one
        stays the best."""
        notes, before = self._notes, self.best
        notes.update(best_iteration=iteration, best_value=value, waited=0)
        if self._solver.try_snapshot():
            return
        stays = "none is"
        del notes["best_iteration"], notes["best_value"]
        if before:
            notes["best_iteration"], notes["best_value"] = before
            stays = f"iteration {before[0]} stays"
        _log.error("Iteration %d: %s = %.6g was the best, but its weights could not be written; "
                   "%s the best", iteration, self._monitor, value, stays)

    def _rotate(self, iteration: int) -> None:
        """Remove snapshots of this training that are neither the best nor among the last."""
        notes = self._notes
        written = [*(n for n in notes.get("written", ()) if n < iteration), iteration]
        best = self.best and self.best[0]
        last = written if self._keep_last is None else written[-self._keep_last:]
        stay = [n for n in written if n == best or n in last]
        for old in set(written).difference(stay):
            for path in reversed(snapshots.paths(self._solver, old)):  # a state needs its weights
                Path(path).unlink(missing_ok=True)
        notes["written"] = stay


def _is_loss(solver: Solver, monitor: str) -> bool:
    """Whether training makes an output of the first test net smaller: it is the top of a loss."""
    if not solver.test_nets:
        raise ParameterError("Checkpoints: monitor", "a test net", "none",
                             "test_interval in the solver gives one.")
    net = solver.test_nets[0]
    outputs = {label: name for name in net.outputs
               for label in output_names(name, math.prod(net.device_blobs[name].shape))}
    expect_known(monitor, outputs, "Checkpoints: monitor",
                 f"an output of the test net: {', '.join(net.outputs)}")
    name = outputs[monitor]
    return net.loss_weights.get(name, 0) > 0 or any(
        layer.is_loss for layer in net.layers if name in layer.param.top)
