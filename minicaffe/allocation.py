"""Memory for arrays, and one error where there is not enough of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from .errors import ShapeError


def zeros(backend, shape: Sequence[int], dtype, where: str):
    """An array of zeros on a device.

    Args:
        where: what it is for, for the error.

    Errors: ShapeError where it does not fit into memory.
    """
    try:
        return backend.zeros(tuple(shape), dtype)
    except (MemoryError, ValueError, OverflowError) as error:  # of NumPy, for sizes of all kinds
        raise does_not_fit(where, shape, dtype) from error


def does_not_fit(where: str, shape: Sequence[int], dtype) -> ShapeError:
    """The error for an array that memory does not hold; an axis of 0 counts as 1, as to NumPy."""
    size = math.prod(axis or 1 for axis in shape) * numpy.dtype(dtype).itemsize / 2**30 if sum(
        axis.bit_length() for axis in shape) < 1000 else math.inf
    return ShapeError(where, "a shape that fits into memory", f"{tuple(shape)}, {size:.4g} GiB")


def ran_out(where: str, bottom: Sequence) -> ShapeError:
    """The error for a layer to whose work on its bottoms a MemoryError put an end."""
    shapes = " and ".join(str(blob.shape) for blob in bottom) or "none"
    return ShapeError(where, "bottoms that leave it enough memory to work in", shapes,
                      "smaller ones need less.")
