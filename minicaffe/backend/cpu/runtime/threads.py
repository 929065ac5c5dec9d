"""How many threads compiled code runs on, which library starts them, and who may use them when.

``set_num_threads`` or the environment variable MINICAFFE_THREADS choose the number; results do not
depend on it.  After a fork the child runs on one thread, since the parent's others are gone.
"""

from __future__ import annotations

import logging
import os
import threading

from ....errors import ParameterError
from .numba_internals import has_started_threads, most_threads, prefer_layers

log = logging.getLogger("minicaffe")

# An empty parallel region costs 2 us under OpenMP, 76 us under workqueue and 200 us under TBB.
_LAYERS = ["omp", "tbb", "workqueue"]

_BRIEF = 20_000  # nanoseconds: a thread that sleeps takes half of it, or more, to wake up


# numba's workqueue aborts the process when two Python threads enter it, and all threads share one
# set of scratch buffers: whoever calls compiled code holds this.  A lock with methods in Python
# could be interrupted between being taken and being held, and would stay taken.
lock = threading.RLock()
_count: int | None = None
_alone = False


def get_num_threads() -> int:
    """The number of threads that compiled code runs on.

    Errors: ParameterError where MINICAFFE_THREADS is set to something else than a fitting number.
    """
    global _count
    if _count is None:
        text = os.environ.get("MINICAFFE_THREADS")
        if text is None:
            _count = launched()
        else:
            _count = _checked(int(text) if text.isdecimal() else text, "MINICAFFE_THREADS")
    return _count


class _Work(threading.local):
    """What a Python thread asks ``threads_for`` about.

    Attributes:
        nanoseconds: how long all of it takes one thread; who wants to know sets it to 0.
        brief: nanoseconds of work that several threads would do no faster.
    """

    nanoseconds = 0.0
    brief = _BRIEF


work = _Work()


def threads_for(nanoseconds: float) -> int:
    """How many threads to use for work that takes one thread about so long: for short work, one.

    The work is added up in ``work``.
    """
    work.nanoseconds += nanoseconds
    return get_num_threads() if nanoseconds >= work.brief else 1


def set_num_threads(count: int) -> None:
    """Run compiled code on ``count`` threads from now on.

    Errors: ParameterError for less than 1 or more than numba can start.
    """
    global _count
    _count = _checked(count, "set_num_threads")


def launched() -> int:
    """The largest possible number: one per core, or NUMBA_NUM_THREADS; 1 in a forked child."""
    return 1 if _alone else most_threads()


def _checked(count, where: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ParameterError(where, "a whole number of 1 or more", repr(count))
    if count > launched():
        raise ParameterError(
            where, f"at most {launched()} threads", count,
            "a forked process has only one; start it with multiprocessing's 'spawn' for more."
            if _alone else "set NUMBA_NUM_THREADS before the program starts, to start more.")
    return count


def choose_layer() -> None:
    """Prefer OpenMP, unless the user chose a threading layer or numba has started one, and let
    its threads sleep soon."""
    # OpenMP's threads wait for work by spinning, for milliseconds if they are let: two trainings at
    # once, or one beside a busy program, would be ten times slower.  3,000 turns last until the
    # next kernel.
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "3000"
    chosen = {"NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"} & set(os.environ)
    if not chosen:
        prefer_layers(_LAYERS)


def _after_fork() -> None:
    """OpenMP kills a child that enters it after a fork; on one thread nothing enters it."""
    global _count, _alone
    lock._at_fork_reinit()  # as the logging module does: whoever held it may not exist here
    if has_started_threads():
        _count, _alone = 1, True
        log.info("this forked process runs compiled code on one thread")


choose_layer()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
