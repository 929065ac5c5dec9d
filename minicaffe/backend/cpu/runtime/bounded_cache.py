"""``bounded_cache``: results kept for the next call, as long as they take little memory."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable

LIMIT = 64 * 2**20  # bytes: the tables of a deep net; one that meets ever new sizes drops old ones


def bounded_cache(function: Callable) -> Callable:
    """Decorate a function of hashable arguments whose results have ``nbytes``, like arrays.

    Results used longest ago are dropped until all take at most LIMIT bytes; the newest one stays,
    whatever its size.  Only one thread may call it at a time.
    """
    results: OrderedDict = OrderedDict()  # by arguments, used longest ago first
    held = 0

    @functools.wraps(function)
    def look_up(*arguments):
        nonlocal held
        result = results.get(arguments)
        if result is not None:
            results.move_to_end(arguments)
        else:
            result = function(*arguments)
            held += result.nbytes
            while results and held > LIMIT:
                held -= results.popitem(last=False)[1].nbytes
            results[arguments] = result
        return result

    return look_up
