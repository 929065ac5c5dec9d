"""Batches prepared on a thread of their own, while the net computes."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread

import numpy

Arrays = dict[str, numpy.ndarray]


class Prefetcher:
    """Prepares the batches of the next ticks, as long as the ticks come one after the other.

    Args:
        prepare: ``prepare(place, tick, spare)`` returns the arrays of a batch, a pure function of
            place and tick, perhaps in the memory of ``spare``, arrays of an earlier batch, or None.
            It is called on the thread: it may run no compiled code that starts threads itself.
        depth: how many batches it is ahead.

    One thread at a time may ask.  The thread begins with the second tick in a row and ends with the
    Prefetcher; a program that ends does not wait for it.
    """

    def __init__(self, prepare: Callable[[Hashable, int, Arrays | None], Arrays], depth: int = 2):
        self._prepare = prepare
        self._depth = depth
        self._last: tuple[Hashable, int] | None = None
        self._begin()

    def _begin(self) -> None:
        self._tasks: SimpleQueue | None = None
        self._pending: dict[tuple[Hashable, int], Future] = {}
        self._spares: deque[Arrays] = deque(maxlen=self._depth)
        self._process = os.getpid()

    def take(self, place: Hashable, tick: int) -> Arrays | None:
        """The batch, if it is prepared or about to be; None if the caller is to do it himself.

        The next ones are under way when it returns.
        Errors: whatever ``prepare`` raised for this batch.
        """
        if self._process != os.getpid():  # a fork has no threads: none would ever be ready
            self._begin()
        found = self._pending.pop((place, tick), None)
        if found is not None or self._last == (place, tick - 1):
            self._ask_for_those_after(place, tick)
        self._last = place, tick
        # one that is not begun yet is done sooner here; the thread does the next one meanwhile
        return None if found is None or found.cancel() else found.result()

    def give_back(self, arrays: Arrays) -> None:
        """Let the memory of a batch that was taken be used again."""
        self._spares.append(arrays)

    def _ask_for_those_after(self, place: Hashable, tick: int) -> None:
        """Begin the batches that follow; forget those that nobody will ask for."""
        wanted = [(place, tick + k) for k in range(1, self._depth + 1)]
        for key in [key for key in self._pending if key not in wanted]:
            self._pending.pop(key).cancel()
        if self._tasks is None:
            self._tasks = SimpleQueue()
            weakref.finalize(self, self._tasks.put, None)
            Thread(target=_work, args=(self._tasks,), name="minicaffe-data", daemon=True).start()
        for key in wanted:
            if key not in self._pending:
                spare = self._spares.popleft() if self._spares else None
                self._pending[key] = future = Future()
                self._tasks.put((future, self._prepare, *key, spare))


def _work(tasks: SimpleQueue) -> None:
    """Do one task after another, until there is None.  While it waits it holds on to nothing."""
    while (task := tasks.get()) is not None:
        _do(*task)
        del task


def _do(future: Future, prepare: Callable, *arguments) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(prepare(*arguments))
        except BaseException as error:  # it is raised where the batch is asked for
            future.set_exception(error)
