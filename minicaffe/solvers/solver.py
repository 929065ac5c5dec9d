"""The training loop: passes, updates, tests, displays, snapshots, in Caffe's order."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from os import PathLike, fspath

from .. import allocation, randomness
from ..data.feeding import Feeder
from ..data.transform import Transform
from ..errors import ParameterError, TrainingError
from ..net import Net
from ..proto import SolverParameter
from . import nets, snapshots
from .evaluation import Testing
from .lr_policy import check_policy, learning_rate
from .not_finite import find_not_finite
from .signals import stop_on_interrupt
from .types import OfType

_log = logging.getLogger("minicaffe")


class Solver(metaclass=OfType):
    """Trains a net as a SolverParameter says; a subclass for each type of update.

    Args:
        param: a solver prototxt, or the SolverParameter itself.
        data: what the train net's Input and data layers are fed: arrays, by name in a dict or in
            the order of their tops; a ``data.Dataset``; or a ``data.Batches``.  Arrays are shuffled
            anew in each epoch, and transformed by the layers' transform_param.  A data layer
            becomes an Input.  None: the net's own layers, or who writes into ``net.blobs``, bring
            the data.
        test_data: the same for the test nets, arrays in order; default: a Dataset's test part.
        keep, device: as for ``Net``.

    Attributes:
        net: the train net.  test_nets: the test nets.  iter: iterations done.
        lr: the rate of the next iteration.  last_snapshot: the newest solver state written.
        notes: what listeners want kept in snapshots, as JSON, and back after a restore.
        before_writing: called before each snapshot; it refuses to have it written by an OSError.

    A subclass named ``<Type>Solver`` gives the update rule and is the solver of that type.
    """

    history_per_parameter = 0

    def __init__(self, param: str | PathLike | SolverParameter, *, data=None, test_data=None,
                 keep="all", device: str | None = None):
        self.param = param  # a message by now: the metaclass has read the file
        check_policy(param)
        _check(param)
        self.seed = param.random_seed if param.random_seed >= 0 else randomness.default_seed()
        feeder = Feeder(data, test_data)
        options = dict(keep=keep, device=device, seed=self.seed)
        self.net = nets.train_net(self.param, feeder, **options)
        self.test_nets = nets.test_nets(self.param, feeder, self.net, **options)
        nets.check_test_iter(self.param, self.test_nets)
        self.testing = Testing(self.test_nets, self.param.test_iter)
        self.iter = 0
        self.last_snapshot: str | None = None
        self.notes: dict[str, object] = {}
        self.stop_requested = False
        self._solving = False
        self.history = [[allocation.zeros(self.net.backend, p.blob.shape, self.net.dtype,
                                          f"solver: the history of blob '{p.blob.name}'")
                         for _ in range(self.history_per_parameter)] for p in self.net.learnable]
        self._losses: deque = deque(maxlen=max(1, self.param.average_loss))
        self._callbacks: list[tuple[Callable, Callable]] = []
        self._listeners: list[Callable[[dict], None]] = []
        self.before_writing: list[Callable[[], None]] = []
        nets.load_weights(self.param.weights, self.net, self.test_nets)

    # ----------------------------------------------------------------------------- the update rule

    def update(self, parameter, history: list, rate: float, decay: float, scale: float) -> None:
        """Move one parameter against ``scale`` times its diff.  Every subclass has its own."""
        raise TypeError(f"{type(self).__name__} does not say how to update parameters")

    @property
    def lr(self) -> float:
        """The learning rate of the next iteration."""
        return learning_rate(self.param, self.iter)

    def apply_update(self) -> None:
        """Update every parameter by its diff."""
        rate = self.lr
        scale = self._clip_scale() / self.param.iter_size
        for parameter, history in zip(self.net.learnable, self.history):
            if parameter.lr_mult:
                self.update(parameter, history, rate * parameter.lr_mult,
                            self.param.weight_decay * parameter.decay_mult, scale)

    def _clip_scale(self) -> float:
        """What brings the norm of all diffs together down to clip_gradients; 1 if it is below."""
        limit = self.param.clip_gradients
        if limit < 0:
            return 1.0
        xp = self.net.backend.xp
        diffs = (p.blob.diff.ravel() for p in self.net.learnable)
        norm = math.sqrt(float(sum(xp.einsum("i,i->", d, d) for d in diffs)))
        return limit / norm if norm > limit else 1.0

    @property
    def transforms(self) -> dict[str, Transform]:
        """How inputs are transformed in phase TEST, by name: what a user of the net has to do."""
        return nets.test_transforms([*self.test_nets, self.net])

    # ------------------------------------------------------------------------------------ training

    def step(self, iterations: int) -> None:
        """Train for so many iterations, with the tests, displays and snapshots that fall due.

        Errors: TrainingError where the loss is found to be no number.
        """
        stop, param = self.iter + iterations, self.param
        self.stop_requested = False
        while self.iter < stop and not self.stop_requested:
            if (param.test_interval and self.iter % param.test_interval == 0
                    and (self.iter or param.test_initialization)):
                self._test_due()
                if self.stop_requested:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            nets.check_fed(self.net)
            self._accumulate()
            if param.display and self.iter % param.display == 0:
                self._display()
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            self.iter += 1
            if param.snapshot and self.iter % param.snapshot == 0:
                self.try_snapshot()

    def _accumulate(self) -> None:
        """Forward and backward, iter_size times; the diffs add up."""
        net, size = self.net, self.param.iter_size
        for parameter in net.learnable:
            parameter.blob.clear_diff()
        loss = 0
        for k in range(size):
            net.tick = self.iter * size + k
            net.forward_pass()
            loss = loss + net.loss()
            net.run_backward()
        self._losses.append(loss / size)

    def solve(self, resume_file: str | PathLike | None = None) -> None:
        """Train to max_iter, from the beginning or from a solver state, then snapshot and test.

        An interrupt (Ctrl-C) finishes the iteration, writes a snapshot and returns;
        ``stop_requested`` is True then.  Displays, tests and snapshots are logged by the logger
        "minicaffe" as INFO, which ``logging.basicConfig(level=logging.INFO)`` shows.
        """
        if not self.param.HasField("max_iter"):
            raise ParameterError("solver", "max_iter", "none")
        if resume_file is not None:
            self.restore(resume_file)
        param, self._solving = self.param, True
        try:
            with stop_on_interrupt(self):
                self.step(max(0, param.max_iter - self.iter))
                if param.display and self.iter % param.display == 0 and not self.stop_requested:
                    self._display()
                wanted = param.snapshot_after_train or self.stop_requested
                if wanted and not self._is_iteration_saved:
                    self.snapshot()
                self.check_finite()
                if (param.test_interval and self.iter % param.test_interval == 0
                        and not self.stop_requested):
                    self._test_due()
        finally:
            self._solving = False

    # ------------------------------------------------------------------------- tests and displays

    def _test_due(self) -> None:
        """The test of this iteration, on the same samples if it is repeated."""
        self.testing.begin(self.iter)
        self.test_all()

    def test_all(self) -> list[dict[str, float]]:
        """Test every test net; returns for each the mean of its outputs over test_iter passes."""
        results = [self.test(i) for i in range(len(self.test_nets))]
        for i, result in enumerate(results if not self._interrupted else ()):
            _log.info("Iteration %d, testing net #%d: %s", self.iter, i,
                      ", ".join(f"{name} = {value:.6g}" for name, value in result.items()))
            self._notify(event="test", iteration=self.iter, net=i, **result)
        return results

    def test(self, index: int = 0) -> dict[str, float]:
        """The mean of each number the test net puts out; arrays give ``name[i]`` entries.

        Passes: test_iter, or for data of known length as many as see every sample once.
        """
        return self.testing.run(index, lambda: self._interrupted)

    @property
    def _interrupted(self) -> bool:
        return self._solving and self.stop_requested

    @property
    def loss(self) -> float:
        """The mean loss of the last average_loss iterations; NaN before the first."""
        return sum(map(float, self._losses)) / len(self._losses) if self._losses else math.nan

    def _display(self) -> None:
        self.check_finite()
        _log.info("Iteration %d, loss = %.6g, lr = %.6g", self.iter, self.loss, self.lr)
        self._notify(event="train", iteration=self.iter, loss=self.loss, lr=self.lr)

    def check_finite(self) -> None:
        """Errors: TrainingError if the loss is no number any more, naming where it began."""
        if self._losses and not math.isfinite(float(self._losses[-1])):
            raise TrainingError(
                f"training at iteration {self.iter}", "a finite loss", float(self._losses[-1]),
                f"{find_not_finite(self.net)}; last good snapshot: {self.last_snapshot or 'none'}. "
                "A smaller base_lr, or clip_gradients, often helps.")

    # ------------------------------------------------------------------------------------ snapshots

    def snapshot(self) -> str:
        """Write weights and solver state; returns the state's file name.

        Errors: TrainingError where they cannot be written, or hold a value that is no number; what
        was written before stays as it was.
        """
        self.check_finite()
        self.last_snapshot = snapshots.write(self)
        _log.info("Iteration %d, snapshot %s", self.iter, self.last_snapshot)
        self._notify(event="snapshot", iteration=self.iter, file=self.last_snapshot)
        return self.last_snapshot

    def try_snapshot(self) -> bool:
        """A snapshot of this iteration, if there is none; returns whether there is one then.

        One that the disk refuses is logged, as it must not end the training.
        """
        try:
            if not self._is_iteration_saved:
                self.snapshot()
        except OSError as error:
            _log.error("Iteration %d: no snapshot: %s; training goes on, the last good one is %s",
                       self.iter, error, self.last_snapshot or "none")
        return self._is_iteration_saved

    @property
    def _is_iteration_saved(self) -> bool:
        """Whether the newest snapshot is one of this iteration, in its own place."""
        return self.last_snapshot is not None and snapshots.is_own(self, self.last_snapshot)

    def restore(self, path: str | PathLike) -> None:
        """Go on from a solver state, binary or HDF5.

        Its weights are looked for by their name beside it, then where it says, seen from the
        working directory; if neither exists, those that were loaded before stay.

        Errors: MinicaffeError where a file is missing, damaged or of another net.
        """
        snapshots.restore(self, fspath(path))
        self.last_snapshot = fspath(path)
        self._notify(event="restore", iteration=self.iter, file=self.last_snapshot)

    # ------------------------------------------------------------------------------- who listens

    def add_callback(self, on_start: Callable[[], None],
                     on_gradients_ready: Callable[[], None]) -> None:
        """Call these in each iteration: before its passes, and before its update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def listen(self, listener: Callable[[dict], None]) -> None:
        """Call ``listener(event)`` at each display, test, snapshot and restore.

        An event has ``event`` ("train", "test", "snapshot", "restore"), ``iteration`` and more.
        Each listener gets a dict of its own.
        """
        self._listeners.append(listener)

    def _notify(self, **event) -> None:
        for listener in self._listeners:
            listener(dict(event))

    def share_weights(self, net: Net) -> None:
        """Let another net use the train net's parameters."""
        net.share_with(self.net)


def _check(param) -> None:
    if param.iter_size < 1:
        raise ParameterError("solver: iter_size", "1 or more", param.iter_size)
    if param.regularization_type not in ("L1", "L2"):
        raise ParameterError("solver: regularization_type", "'L1' or 'L2'",
                             f"'{param.regularization_type}'")


def get_solver(param: str | PathLike | SolverParameter, **options) -> Solver:
    """The solver that a solver prototxt describes; options are those of ``Solver``."""
    return Solver(param, **options)
