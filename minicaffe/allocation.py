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
    """The error for an array that memory does not hold."""
    size = math.prod(shape) * numpy.dtype(dtype).itemsize / 2**30 if sum(
        axis.bit_length() for axis in shape) < 1000 else math.inf
    return ShapeError(where, "a shape that fits into memory", f"{tuple(shape)}, {size:.4g} GiB")


class WorkingMemory:
    """``with WorkingMemory(layer.where, bottom):`` lets the layer work.

    Errors: ShapeError, naming the layer and the shapes of its bottoms, where memory runs out.
    """

    def __init__(self, where: str, bottom: Sequence):
        self._where, self._bottom = where, bottom

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, MemoryError):
            shapes = " and ".join(str(blob.shape) for blob in self._bottom) or "none"
            raise ShapeError(self._where, "bottoms that leave it enough memory to work in", shapes,
                             "smaller ones need less.") from error
