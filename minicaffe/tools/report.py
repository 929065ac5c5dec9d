"""What a training shows and writes down: progress, the log file, the curves."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import MinicaffeError
from ..solvers import Solver

_log = logging.getLogger("minicaffe")


class Report:
    """Listens to a solver.

    Args:
        log: a file to which each display, test, snapshot and restore is appended as a JSON object
            on a line of its own: ``event``, ``iteration``, its numbers, ``seconds`` since the
            start; or None.
        plot: a picture file of the curves, drawn at each snapshot and at the end; or None.  Of a
            resumed training they begin where the log file begins.
        batch_size: samples an iteration, to tell how many a second.
    """

    def __init__(self, solver: Solver, log: str | Path | None = None,
                 plot: str | Path | None = None, batch_size: int = 1):
        self._solver, self._log, self._plot = solver, log, plot
        self._batch_size = batch_size
        self._file = None
        self._events: list[dict] = []
        self._began = time.monotonic()
        self._mark: tuple[float, int] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Report:
        if self._log:
            if self._plot and Path(self._log).is_file():
                from .plot import read_log
                self._events = read_log(self._log)
            self._file = self._stack.enter_context(open(self._log, "a"))
        self._solver.listen(self._hear)
        self._solver.add_callback(self._start_clock, lambda: None)
        return self

    def __exit__(self, *error) -> None:
        with suppress(OSError):  # a full disk was told when it was met
            self._stack.close()

    def _hear(self, event: dict) -> None:
        if event["event"] == "train":
            rate = self._rate(event["iteration"])
            if rate:
                event["images_per_second"] = round(rate * self._batch_size, 1)
        self._mark = None
        self.write(**event)
        if event["event"] == "snapshot" and event["iteration"] < self._solver.param.max_iter:
            self.draw()

    def _start_clock(self) -> None:
        if self._mark is None:
            self._mark = time.monotonic(), self._solver.iter

    def _rate(self, iteration: int) -> float:
        """Iterations a second since the last display or test."""
        if self._mark is None or iteration == self._mark[1]:
            return 0.0
        return (iteration + 1 - self._mark[1]) / (time.monotonic() - self._mark[0])

    def write(self, **event) -> None:
        """Remember an event, and put it into the log file, if there is one; a full disk ends the
        log, not the training."""
        event["seconds"] = round(time.monotonic() - self._began, 3)
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
        solver, numbers = self._solver, {}
        # what is logged meanwhile goes above the bar
        with logging_redirect_tqdm(), tqdm(
                total=solver.param.max_iter, initial=solver.iter, unit="it", dynamic_ncols=True,
                mininterval=0.2, disable=not sys.stderr.isatty()) as bar:
            def show(event: dict) -> None:
                prefix = "test_" if event["event"] == "test" else ""
                new = {prefix + name.removeprefix("test_"): f"{value:.4f}"
                       for name, value in event.items()
                       if isinstance(value, float) and name != "images_per_second"}
                if "images_per_second" in event:
                    new["images/s"] = f"{event['images_per_second']:.0f}"
                numbers.update(new)
                if not bar.disable:
                    bar.set_postfix(numbers, refresh=False)
                elif new:
                    _say(f"iteration {event['iteration']}: "
                         + ", ".join(f"{name} {value}" for name, value in new.items())
                         + self._left(event))
            solver.listen(show)
            solver.add_callback(lambda: None, lambda: bar.update(solver.iter + 1 - bar.n))
            yield

    def _left(self, event: dict) -> str:
        """The time that the rest of the training takes, as far as one can say."""
        if "images_per_second" not in event:
            return ""
        rest = (self._solver.param.max_iter - event["iteration"]) * self._batch_size
        return f", {tqdm.format_interval(rest / event['images_per_second'])} left"


def _say(line: str) -> None:
    """A line to those who watch, if there is still somebody."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
