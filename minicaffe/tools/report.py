"""What a training shows and writes down: the progress bar and the log file."""

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

from ..solvers import Solver

_log = logging.getLogger("minicaffe")


class Report:
    """Listens to a solver.

    Args:
        log: a file to which each display, test and snapshot is appended as a JSON object on a line
            of its own: ``event``, ``iteration``, its numbers, ``seconds`` since the start; or None.
    """

    def __init__(self, solver: Solver, log: str | Path | None):
        self._solver, self._log = solver, log
        self._file = None
        self._began = time.monotonic()
        self._stack = ExitStack()

    def __enter__(self) -> Report:
        if self._log:
            self._file = self._stack.enter_context(open(self._log, "a"))
        self._solver.listen(lambda event: self.write(**event))
        return self

    def __exit__(self, *error) -> None:
        with suppress(OSError):  # a full disk was told when it was met
            self._stack.close()

    def write(self, **event) -> None:
        """One line of the log file, if there is one; a full disk ends the log, not the training."""
        if not self._file:
            return
        event["seconds"] = round(time.monotonic() - self._began, 3)
        try:
            print(json.dumps(event), file=self._file, flush=True)
        except OSError as error:
            _log.warning("%s: %s; nothing more is written there", self._log, error.strerror)
            self._file = None

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
                       for name, value in event.items() if isinstance(value, float)}
                numbers.update(new)
                if not bar.disable:
                    bar.set_postfix(numbers, refresh=False)
                elif new:
                    _say(f"iteration {event['iteration']}: "
                         + ", ".join(f"{name} {value}" for name, value in new.items()))
            solver.listen(show)
            solver.add_callback(lambda: None, lambda: bar.update(solver.iter + 1 - bar.n))
            yield


def _say(line: str) -> None:
    """A line to those who watch, if there is still somebody."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
