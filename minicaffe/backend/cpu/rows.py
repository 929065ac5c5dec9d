"""Softmax, copies and random numbers, compiled: rows, or runs of elements, are shared out to
threads."""

from __future__ import annotations

import numpy
from numpy import float32, int32, uint64

from .matrix.gemm import flat
from .runtime.parallel import parallel
from .vectors.transcendental import exp, ordered, unordered, where

_PIECE = 512  # elements of each channel that are worked on together


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
    for row in range(rows * part // parts, rows * (part + 1) // parts):
        start, end = uint64(row * channels), uint64((row + 1) * channels)
        highest = ordered(x[start])
        for i in range(start, end):
            place = ordered(x[i])
            highest = where(place > highest, place, highest)
        largest, total = unordered(highest), float32(0)
        for i in range(start, end):
            value = exp(x[i] - largest)
            y[i] = value
            total += value
        for i in range(start, end):
            y[i] /= total


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


def copy(threads: int, x, out) -> None:
    """``out = x``: matrices of one shape; a row's elements lie side by side."""
    _copy(threads, *flat(x)[:2], *flat(out)[:2], *x.shape)


@parallel
def _copy(part, parts, x, x_stride, out, out_stride, count, length):
    pieces = (length + _PIECE - 1) // _PIECE
    units = count * pieces
    for unit in range(units * part // parts, units * (part + 1) // parts):
        row, first = unit // pieces, unit % pieces * _PIECE
        source, target = uint64(row * x_stride + first), uint64(row * out_stride + first)
        for i in range(uint64(min(_PIECE, length - first))):
            out[target + i] = x[source + i]


@parallel
def uniform(part, parts, key, out):
    """Fill the flat ``out`` with numbers in [0, 1): SplitMix64, counted instead of iterated."""
    start = uint64(key[0])
    first, end = uint64(out.size * part // parts), uint64(out.size * (part + 1) // parts)
    for i in range(first, end):
        z = start + (i + uint64(1)) * uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
        z = z ^ (z >> uint64(31))
        out[i] = float32(int32(z >> uint64(40))) * float32(2.0**-24)
