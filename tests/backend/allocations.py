"""What a piece of work allocates."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def allocated(work: Callable[[], object]) -> int:
    """The most bytes that Python allocates in a later call of the work, above what was there."""
    work()
    tracemalloc.start()
    try:
        work()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
