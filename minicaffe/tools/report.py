"""What a training shows and writes down: progress, the log file, the curves."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import MinicaffeError
from ..solvers import Solver
from .progress import Bar

_log = logging.getLogger("minicaffe")


class Report:
    """Listens to a solver.

    Args:
        log: a file to which each display, test, snapshot and restore, and the final test, are
            appended, each as a JSON object on a line of its own: ``event``, ``iteration``, its
            numbers, ``seconds`` since the start; or None.
        plot: a picture file of the curves, drawn at each snapshot and at the end; or None.  Of a
            resumed training they begin where the log file begins.
        batch_size: samples an iteration, to tell how many a second.
        part: what the tests meanwhile are of: "test" or "validation".
    """

    def __init__(self, solver: Solver, log: str | Path | None = None,
                 plot: str | Path | None = None, batch_size: int = 1, part: str = "test"):
        self._solver, self._log, self._plot = solver, log, plot
        self._batch_size, self._part = batch_size, part
        self._file = None
        self._events: list[dict] = []
        self._began = time.monotonic()
        self._clock = _Clock()
        self._show: Callable[[dict], None] = lambda event: None
        self._stack = ExitStack()

    def __enter__(self) -> Report:
        if self._log:
            if self._plot and Path(self._log).is_file():
                from .plot import read_log
                self._events = read_log(self._log)
            self._file = self._stack.enter_context(open(self._log, "a"))
        self._solver.listen(self._hear)
        self._solver.add_callback(self._clock.start, lambda: None)
        return self

    def __exit__(self, *error) -> None:
        with suppress(OSError):  # a full disk was told when it was met
            self._stack.close()

    def _hear(self, event: dict) -> None:
        """Complete an event of the solver, then write it down and show it."""
        if event["event"] == "train":
            rate = self._clock.rate() * self._batch_size
            if rate:
                event["images_per_second"] = round(rate, 1)
        else:
            self._clock.pause()
        if event["event"] == "test" and self._part != "test":
            event["part"] = self._part
        self.write(**event)
        self._show(event)
        if event["event"] == "snapshot" and event["iteration"] < self._solver.param.max_iter:
            self.draw()

    def write(self, **event) -> None:
        """Remember an event, and put it into the log file, if there is one; a full disk ends the
        log, not the training."""
        event["seconds"] = round(time.monotonic() - self._began, 3)
        if "lr" in event:  # of single precision, as solver files have it
            event["lr"] = float(f"{event['lr']:.7g}")
        self._events.append(event)
        if not self._file:
            return
        try:
            print(json.dumps(event), file=self._file, flush=True)
        except OSError as error:
            _log.warning("%s: %s; nothing more is written there", self._log, error.strerror)
            self._file = None

    def draw(self) -> None:
        """Draw the curves; what is wrong with their file ends the drawing, not the training."""
        if not self._plot:
            return
        from .plot import draw
        try:
            draw(self._events, self._plot)
        except (OSError, MinicaffeError) as error:
            _log.warning("%s; the curves are not drawn", error)
            self._plot = None

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a progress bar of the solver's iterations with the latest numbers on a terminal,
        and elsewhere a line for each display and test."""
        solver = self._solver
        # what is logged meanwhile goes above the bar
        with logging_redirect_tqdm(), Bar(solver.param.max_iter, solver.iter) as bar:
            def show(event: dict) -> None:
                numbers = self._numbers(event)
                line = f"iteration {event['iteration']}: " + ", ".join(
                    _told(name, value) for name, value in numbers.items())
                if not bar.disable:
                    bar.show_numbers(numbers)
                    if event["event"] == "test":  # those stay to be seen
                        bar.write(line, file=sys.stderr)
                elif numbers:
                    _say(line + self._left(event))
            self._show = show
            solver.add_callback(lambda: None, lambda: bar.update(solver.iter + 1 - bar.n))
            yield

    def _numbers(self, event: dict) -> dict[str, float]:
        """The numbers of an event that are shown, by the names they are shown by."""
        prefix = f"{self._part}_" if event["event"] == "test" else ""
        return {name if name in ("lr", "images_per_second")
                else prefix + name.removeprefix("test_"): value
                for name, value in event.items() if isinstance(value, float)}

    def _left(self, event: dict) -> str:
        """The time that the rest of the training takes, as far as one can say."""
        if "images_per_second" not in event:
            return ""
        rest = (self._solver.param.max_iter - event["iteration"]) * self._batch_size
        return f", {tqdm.format_interval(rest / event['images_per_second'])} left"


class _Clock:
    """How many iterations a second, those apart in which something else was done as well."""

    def __init__(self):
        self._began: float | None = None
        self._seconds, self._iterations = 0.0, 0

    def start(self) -> None:
        """An iteration begins, and with it ends the one before."""
        now = time.monotonic()
        if self._began is not None:
            self._seconds += now - self._began
            self._iterations += 1
        self._began = now

    def pause(self) -> None:
        """Something else was done: the iteration under way does not count."""
        self._began = None

    def rate(self) -> float:
        """Iterations a second since it was last asked; 0 where there was none."""
        rate = self._iterations / self._seconds if self._seconds else 0.0
        self._seconds, self._iterations = 0.0, 0
        return rate


def _told(name: str, value: float) -> str:
    """A number in the line of a display or test."""
    if name == "images_per_second":
        return f"images/s {value:.0f}"
    return f"{name} {value:.4g}" if name == "lr" else f"{name} {value:.4f}"


def _say(line: str) -> None:
    """A line to those who watch, if there is still somebody."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
