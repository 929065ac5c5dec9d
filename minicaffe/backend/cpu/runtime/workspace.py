"""Scratch memory that is allocated once and grows to the largest size that was asked for."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy

from .bounded_cache import bounded_cache

_LINE = 16  # floats in a cache line


class Workspace:
    """Flat float32 buffers by name; what one holds lasts until the next request for it."""

    def __init__(self):
        self._buffers: dict[str, numpy.ndarray] = {}

    def floats(self, name: str, size: int) -> numpy.ndarray:
        """A buffer of at least ``size`` floats that starts at a cache line; one more is behind it.
        """
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            memory = numpy.zeros(size + 2 * _LINE, numpy.float32)
            skip = -memory.ctypes.data // 4 % _LINE
            buffer = self._buffers[name] = memory[skip:skip + size]
        return buffer

    def shared(self, name: str, threads: int, size: int) -> Scratch:
        """A buffer of ``size`` floats for each thread."""
        return Scratch(self.floats(name, threads * size), size)


class Scratch(NamedTuple):
    """A buffer of which each thread has ``size`` floats: thread p those from ``p * size`` on."""

    flat: numpy.ndarray
    size: int


def aligned(size: int) -> int:
    """The size rounded up to whole cache lines, so that neighbours share none."""
    return -(-size // _LINE) * _LINE


@bounded_cache
def strided(count: int, stride: int, multiple: int = 1) -> numpy.ndarray:
    """The places of ``count`` elements: 0, stride, ...; the last is repeated up to a multiple."""
    places = numpy.arange(-(-count // multiple) * multiple)
    return numpy.minimum(places, count - 1) * stride


@functools.lru_cache(maxsize=64)
def zeros(count: int) -> numpy.ndarray:
    """Zeros to be read only: the bias of a layer that has none."""
    return numpy.zeros(count, numpy.float32)
