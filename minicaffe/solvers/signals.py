"""Ctrl-C while training: finish the iteration, then stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("minicaffe")


@contextmanager
def stop_on_interrupt(solver) -> Iterator[None]:
    """Turn the first interrupt into ``solver.stop_requested``; a second one interrupts at once."""
    previous = signal.getsignal(signal.SIGINT)
    if (threading.current_thread() is not threading.main_thread()
            or previous in (signal.SIG_IGN, None)):
        yield  # only the main thread may handle signals; a job in the background ignores this one
        return

    def request_stop(number, frame):
        solver.stop_requested = True
        signal.signal(signal.SIGINT, previous)
        _log.warning("interrupted: finishing iteration %d; once more stops at once", solver.iter)

    signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
