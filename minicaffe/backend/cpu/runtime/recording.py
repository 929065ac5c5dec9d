"""Recordings: the compiled calls of a pass, kept to be made again without Python in between.

Python needs some 10 microseconds for a layer: to see that its arrays fit, to look up tables, to
hand 20 arguments over.  That is as long as a small net computes for one image.  So what a function
calls can be noted, with where its arguments lie, and all of it be called again by one call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

from . import parallel as parallel
from .threads import get_num_threads, lock, work

_AWAKE = 5_000  # nanoseconds of work that pay for two threads which are awake, as they now are
_SHORT = 30_000  # nanoseconds: what takes one thread less is done before another has woken up


class Recording:
    """The calls of compiled code that a function makes, and the arrays that they work on."""

    def __init__(self, function: Callable[[], object]):
        """Run the function, and note its calls."""
        journal, brief = [], work.brief
        try:
            work.nanoseconds, work.brief, parallel.journals.current = 0.0, _AWAKE, journal
            function()
        finally:
            parallel.journals.current, work.brief = None, brief
        self.is_complete = None not in journal
        if not self.is_complete:
            return
        self._threads = get_num_threads()
        alone = self._threads == 1 or work.nanoseconds < _SHORT
        self._loop = 0 if alone else parallel.loop_address()
        self._held = journal  # and so all arrays, of which the calls know no more than addresses
        self._arguments = [numpy.empty(start(0, 0, 0, *arguments), numpy.uint8)
                           for start, _, arguments in journal]
        self._calls = numpy.array(
            [(start(place.ctypes.data, 0, 0, *arguments), 1 if alone else threads,
              place.ctypes.data)
             for (start, threads, arguments), place in zip(journal, self._arguments)],
            numpy.int64).reshape(-1, 3)

    def repeat(self) -> bool:
        """Make all calls again, on the same arrays.

        Returns: False where that cannot be done, and nothing was.
        """
        if self._threads != get_num_threads():
            return False
        with lock:
            parallel.call_all(self._loop, self._calls)
        return True
