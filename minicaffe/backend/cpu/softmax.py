"""Softmax, compiled: threads share out the rows, or what lies side by side across the classes.

The order of each sum is the same wherever x and y lie.  Across, it is written out.  Along a row it
is LLVM's, which makes vectors of a sum in one order, and leaves another, element by element, for
arrays that overlap or lie near to each other.  So that loop writes to memory of its own, far from
x; it is fast in place, too.
"""

from __future__ import annotations

import numpy
from numpy import float32, uint64

from .runtime.parallel import parallel
from .vectors.transcendental import exp, ordered, unordered, where

_PIECE = 512  # elements of each channel that are worked on together
_APART = 256  # floats: more than what LLVM takes for near, the vectors of one turn of a loop


def softmax(threads: int, x, y) -> None:
    """``y[:, c] = exp(x[:, c]) / sum over k of exp(x[:, k])``; x, y: (outer, C, inner).

    A row with a NaN becomes NaN: its sum does, whatever was taken for the largest element.
    """
    outer, channels, inner = x.shape
    if inner == 1:
        _along(threads, x.reshape(-1), y.reshape(-1), channels)
    else:
        _across(threads, x.reshape(-1), y.reshape(-1), channels, inner)


@parallel(fastmath={"reassoc"})
def _along(part, parts, x, y, channels):
    """x, y: flat (rows, channels)."""
    rows = x.size // channels
    powers = numpy.empty(channels + 2 * _APART, float32)[_APART:_APART + channels]
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        start, end = uint64(row * channels), uint64((row + 1) * channels)
        highest = ordered(x[start])
        for i in range(start, end):
            rank = ordered(x[i])
            highest = where(rank > highest, rank, highest)
        largest, total = unordered(highest), float32(0)
        for i in range(uint64(channels)):
            value = exp(x[start + i] - largest)
            powers[i] = value
            total += value
        for i in range(uint64(channels)):
            y[start + i] = powers[i] / total


@parallel
def _across(part, parts, x, y, channels, inner):
    """x, y: flat (outer, channels, inner)."""
    largest, total = numpy.empty(_PIECE, float32), numpy.empty(_PIECE, float32)
    pieces = (inner + _PIECE - 1) // _PIECE
    units = x.size // (channels * inner) * pieces
    for unit in range(units * part // parts, units * (part + 1) // parts):
        first = unit % pieces * _PIECE
        count = uint64(min(_PIECE, inner - first))
        start = unit // pieces * channels * inner + first
        for i in range(count):
            largest[i] = x[uint64(start) + i]
            total[i] = 0
        for c in range(1, channels):
            begin = uint64(start + c * inner)
            for i in range(count):
                largest[i] = where(x[begin + i] > largest[i], x[begin + i], largest[i])
        for c in range(channels):
            begin = uint64(start + c * inner)
            for i in range(count):
                value = exp(x[begin + i] - largest[i])
                y[begin + i] = value
                total[i] += value
        for c in range(channels):
            begin = uint64(start + c * inner)
            for i in range(count):
                y[begin + i] /= total[i]
