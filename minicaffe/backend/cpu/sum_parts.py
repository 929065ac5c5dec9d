"""How many parts a sum has: fixed by shapes, never by the number of threads.

A thread adds up some of the parts; then they are added to each other in order.  So a sum has the
same bits on any number of threads, which can be as many as it has parts.
"""

from __future__ import annotations

_MOST = 64  # parts of a sum of elements
_LEAST = 4  # times a chunk: elements of a part
_ROOM = 16  # times fewer sums of parts than elements: they must not outgrow what is summed up
_UNITS = 16  # of the gradient of weights at least, if the batch can be cut that often
_FLOATS = 1 << 23  # that Winograd's sums over parts of a batch take, unless one part needs more


def parts_of_sum(size: int, outputs: int, places: int, chunk: int) -> int:
    """Parts of the sums of ``Backend.sums``.

    Args:
        size: the elements that are summed up.  outputs: the sums that they make up.
        places: pieces of at most ``chunk`` elements between which a sum can be cut.
    """
    return max(1, min(size // (_LEAST * chunk), size // (_ROOM * outputs), _MOST, places))


def parts_of_batch(batch: int, units: int) -> int:
    """Parts of a batch whose gradients of weights are added up; each has so many ``units``, which
    threads share out."""
    return min(batch, -(-_UNITS // units))


def parts_of_tiles(units: int, floats: int, blocks: int) -> int:
    """Likewise by Winograd's method: a power of two.

    Args:
        floats: what the sums of one part take.  blocks: of tiles in a batch.
    """
    most = min(_UNITS // units, _FLOATS // floats, blocks)
    return 1 << max(1, most).bit_length() - 1
