"""What a training shows and writes down: the progress bar and the log file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..solvers import Solver


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
        self._stack.close()

    def write(self, **event) -> None:
        """One line of the log file, if there is one."""
        if self._file:
            event["seconds"] = round(time.monotonic() - self._began, 3)
            print(json.dumps(event), file=self._file, flush=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a progress bar of the solver's iterations, with the latest numbers."""
        solver, numbers = self._solver, {}
        # what is logged meanwhile goes above the bar
        with logging_redirect_tqdm(), tqdm(
                total=solver.param.max_iter, initial=solver.iter, unit="it", dynamic_ncols=True,
                mininterval=0.2) as bar:
            def show(event: dict) -> None:
                prefix = "test_" if event["event"] == "test" else ""
                numbers.update((prefix + name.removeprefix("test_"), f"{value:.4f}")
                               for name, value in event.items() if isinstance(value, float))
                bar.set_postfix(numbers, refresh=False)
            solver.listen(show)
            solver.add_callback(lambda: None, lambda: bar.update(solver.iter + 1 - bar.n))
            yield
