"""Ctrl-C, or a polite request to end, while training: finish the iteration, then stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("minicaffe")


@contextmanager
def stop_on_interrupt(solver) -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into ``solver.stop_requested``; a second one does
    what it did before.  One that is ignored, as by a job in the background, stays so."""
    previous = {}
    if threading.current_thread() is threading.main_thread():  # no other may handle signals
        known = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
        previous = {number: signal.getsignal(number) for number in known if number is not None}

    def request_stop(number, frame):
        solver.stop_requested = True
        signal.signal(number, previous[number])
        _log.warning("interrupted: finishing iteration %d; once more stops at once",
                     solver.iter + 1)

    ours = [number for number, handler in previous.items()
            if handler in (signal.default_int_handler, signal.SIG_DFL) or
            number == signal.SIGINT and callable(handler)]
    for number in ours:
        signal.signal(number, request_stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, previous[number])
