"""``signals_held``: signals wait while something is done that an exception would leave in pieces.

numba and llvmlite are such: an interrupt in the midst of them leaves kinds half registered, locks
taken, and memory freed twice.
"""

from __future__ import annotations

import _signal
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# The functions of ``signal`` call these, and turn each number into an enum, which takes far longer.
_get_handler, _set_handler = _signal.getsignal, _signal.signal
_NUMBERS = tuple(int(number) for number in signal.valid_signals())

_holding = False  # by the main thread, which alone handles signals


@contextmanager
def signals_held() -> Iterator[None]:
    """Let handlers of signals, that of Ctrl-C and a user's own, run afterwards: one may raise.

    Each signal that came is handled then, in order; if several handlers raise, the last one's
    error remains, as if it had interrupted the one before.  Where no signal can interrupt, as in
    other threads than the main one, or within another ``signals_held``, nothing changes.
    """
    global _holding
    if _holding or threading.get_ident() != threading.main_thread().ident:
        yield
        return
    came: list[int] = []
    handlers: dict = {}
    over = False

    def note(number, frame):
        if over:  # the handler could not be put back, see _put_back
            return handlers[number](number, frame)
        came.append(number)

    try:
        for number in _NUMBERS:
            handler = _get_handler(number)
            if callable(handler):
                handlers[number] = handler
                try:
                    _set_handler(number, note)
                except ValueError:  # a program that has Python in another thread than its main one
                    break
        _holding = True
        yield
    finally:
        _holding = False
        try:
            _put_back(handlers)
        finally:
            over = True
            _handle(came)


def _put_back(handlers: dict) -> None:
    """Set all handlers, even if one that is set already is called, and raises, meanwhile."""
    raised = None
    for number, handler in handlers.items():
        while _get_handler(number) is not handler:
            try:
                _set_handler(number, handler)
            except BaseException as error:
                raised = error
    if raised is not None:
        raise raised


def _handle(numbers: list[int]) -> None:
    """Send this process the signals, and raise the last error of their handlers."""
    raised = None
    for number in numbers:
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raised = error
    if raised is not None:
        raise raised
