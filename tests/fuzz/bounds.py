"""Memory and time of one call, measured and bounded: in a forked process, on Linux."""

from __future__ import annotations

import math
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress

from . import outcome
from .outcome import FINE, MEMORY, TIME, Outcome

MIB = 2**20
ROOM = 64 * MIB  # that a call may take, and PER_BYTE for each byte of its input
PER_BYTE = 8
SLACK = 512 * MIB  # of addresses beyond that, for what is reserved and never touched
SECONDS = 5.0  # of the processor; what waits without working may take WAIT times that by the clock
WAIT = 4
_PAGE = os.sysconf("SC_PAGE_SIZE")


class OutOfTime(BaseException):
    """Raised in the call that took too long; no reader catches it."""


def bounded(call: Callable[[], object], size: int, room: int = ROOM, seconds: float | None = None
            ) -> Outcome:
    """What becomes of a call that may take ``room`` and PER_BYTE * ``size`` bytes of memory.

    Compiled code that never returns ends the process by SIGXCPU, some seconds later.

    Args:
        call: returns None or an Outcome.
        size: bytes of its input.
        seconds: of the processor, by default SECONDS; each MiB of input gives one more.
    """
    allowed = room + PER_BYTE * size
    seconds = (SECONDS if seconds is None else seconds) + size / MIB
    _reset_peak()
    start = _resident()
    _limit(resource.RLIMIT_AS, _addresses() + allowed + SLACK)
    _limit(resource.RLIMIT_CPU, math.ceil(_cpu() + seconds + 1))
    for timer, signum, limit in _timers(seconds):
        signal.signal(signum, _out_of_time)
        signal.setitimer(timer, limit)
    try:
        result = call()
    except MemoryError as error:
        result = outcome.of_error(error)
    except OutOfTime as error:
        result = outcome.of_error(error, TIME)
    except BaseException as error:
        result = outcome.of_error(error)
    finally:
        with suppress(OutOfTime):
            for timer, _, _ in _timers(0):
                signal.setitimer(timer, 0)
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
            _limit(kind, resource.RLIM_INFINITY)
    peak = _peak() - start
    if peak > allowed:
        return Outcome(MEMORY, "peak", f"{peak / MIB:.0f} MiB where {allowed / MIB:.0f} are allowed"
                       f" for {size} bytes; it ended: {result}")
    return result or Outcome(FINE)


def _timers(seconds: float):
    return ((signal.ITIMER_PROF, signal.SIGPROF, seconds),
            (signal.ITIMER_REAL, signal.SIGALRM, WAIT * seconds))


def _out_of_time(signum, frame):
    raise OutOfTime("too long")


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value, hard))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> int:
    return _statm()[1] * _PAGE


def _addresses() -> int:
    return _statm()[0] * _PAGE


def _statm() -> list[int]:
    with open("/proc/self/statm", "rb") as file:
        return [int(number) for number in file.read().split()]


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "wb") as file:
        file.write(b"5")


def _peak() -> int:
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
