"""Sums over windows of neighbours, compiled: along one axis, or over the last two."""

from __future__ import annotations

import math

import numpy
from numpy import float32, int32, uint64

from .runtime.bounded_cache import bounded_cache
from .runtime.jit import inner
from .runtime.parallel import parallel
from .runtime.workspace import aligned

_PIECE = 1024  # elements that stay in the nearest cache while all of a window are added


@inner
def _add(source, begin, target, at, count, adds):
    """``target[at:at + count]`` = or += ``source[begin:begin + count]``; indices are unsigned, as
    signed ones may count from the end, and loops over such are slow."""
    begin, at = uint64(begin), uint64(at)
    if adds:
        for i in range(uint64(count)):
            target[at + i] += source[begin + i]
    else:
        for i in range(uint64(count)):
            target[at + i] = source[begin + i]


@inner
def _add_all(source, begin, apart, steps, target, at, count):
    """``target[at:at + count]`` = the sum of ``source[begin + step * apart:]`` over the steps.

    The steps are a tuple: their number is known when this is compiled, and the loop over them
    becomes one line.
    """
    begin, at = uint64(begin), uint64(at)
    for i in range(uint64(count)):
        total = float32(0)
        for step in steps:
            total += source[begin + uint64(step * apart) + i]
        target[at + i] = total


@parallel
def _along(part, parts, x, out, channels, inner, steps):
    """x, out: flat (outer, channels, inner); the window's steps lie along the channels."""
    reach, pieces = len(steps) // 2, (inner + _PIECE - 1) // _PIECE
    units = x.size // (channels * inner) * pieces
    for unit in range(units * part // parts, units * (part + 1) // parts):
        first = unit % pieces * _PIECE
        count, start = min(_PIECE, inner - first), unit // pieces * channels * inner + first
        for c in range(channels):
            at, lowest, end = start + c * inner, max(c - reach, 0), min(c + reach + 1, channels)
            if end - lowest == len(steps):
                _add_all(x, at, inner, steps, out, at, count)
                continue
            for other in range(lowest, end):
                _add(x, start + other * inner, out, at, count, other > lowest)


@parallel
def _within(part, parts, x, out, width, size, place, scratch):
    """x, out: flat (planes, height, width).

    A step to the next row or column is a shift of the flat plane: by ``width``, or by one where
    that does not lead into another row.  place: the column of each element of a plane.
    """
    reach, area, nothing = size // 2, place.size, float32(0)
    total = scratch[part]
    planes = x.size // area
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        start = plane * area
        _add(x, start, total, 0, area, False)
        for step in range(width, min(reach * width + 1, area), width):
            _add(x, start + step, total, 0, area - step, True)
            _add(x, start, total, step, area - step, True)
        _add(total, 0, out, start, area, False)
        begin = uint64(start)
        for step in range(1, min(reach, width - 1) + 1):
            shift, last = uint64(step), int32(width - step)
            for i in range(uint64(area - step)):  # with the element to the right
                out[begin + i] += total[i + shift] if place[i] < last else nothing
            for i in range(uint64(area - step)):  # and that one with it
                out[begin + shift + i] += total[i] if place[i] < last else nothing


def along(threads: int, x, out, size: int, axis: int) -> None:
    """The sum over a window of ``size`` along one axis."""
    reach = min(size // 2, x.shape[axis] - 1)
    steps = tuple(range(-reach, reach + 1))
    _along(threads, x.reshape(-1), out.reshape(-1), x.shape[axis], math.prod(x.shape[axis + 1:]),
           steps)


@bounded_cache
def _columns(height: int, width: int) -> numpy.ndarray:
    """The column of each element of a flat plane."""
    return numpy.tile(numpy.arange(width, dtype=int32), height)


def within(workspace, threads: int, x, out, size: int) -> None:
    """The sum over a square of ``size`` by ``size`` elements of the last two axes."""
    place = _columns(*x.shape[-2:])
    room = threads * aligned(place.size)
    scratch = workspace.floats("neighbours", room)[:room].reshape(threads, -1)
    _within(threads, x.reshape(-1), out.reshape(-1), x.shape[-1], size, place, scratch)
