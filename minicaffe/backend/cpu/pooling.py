"""Pooling over two axes, compiled: threads share out the planes (one channel of one image).

A window is reduced in two steps: first down its columns, for all columns of the image, a vector of
them at a time; then along the row that this leaves, which lies in scratch memory with the padding
on both sides.  That takes kernel_h + kernel_w steps instead of kernel_h * kernel_w.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
from numpy import float32, int32, uint64

from .runtime.bounded_cache import bounded_cache
from .runtime.jit import inner
from .runtime.parallel import parallel
from .runtime.workspace import aligned
from .vectors.blocks import clear_floats
from .vectors.llvm import LANES
from .vectors.short_loops import (
    count_from,
    fill,
    lane_sum,
    load,
    load_every,
    prefetch,
    store,
    store_every,
    where,
)

_ROWS = 8  # in one step before the next reads them: who reads what was just written has to wait
_AHEAD = 1024  # floats: how early to fetch, as no processor foresees that rows are read thrice
_CLEARED = 4096  # floats: small planes are set to zero together
_LOWEST, _ZERO = float32(-numpy.inf), float32(0)


@inner
def _inside(i, size, kernel, stride, pad):
    """Along one axis: where window i begins and ends in the data, without the padding."""
    first = i * stride - pad
    return max(first, 0), min(first + kernel, size)


# ----------------------------------------------------------------------------------------- max

@inner(inline="always")
def _largest_down(x, plane, width, first, last, values, places, row):
    """Of each column: the largest of rows ``first`` to ``last``, and its place in the plane."""
    for c in range(0, width, LANES):
        largest, place = fill(_LOWEST), fill(int32(-1))
        for r in range(first, last):
            seen = load(x, plane + r * width + c, width - c, _LOWEST)
            prefetch(x, plane + r * width + c + _AHEAD)
            larger = seen > largest
            largest = where(larger, seen, largest)
            place = where(larger, count_from(r * width + c), place)
        store(largest, values, row + c, LANES)
        store(place, places, row + c, LANES)


@inner(inline="always")
def _largest_along(values, places, row, kernel, stride, y, mask, at, count):
    """The largest of each window of columns; of equal ones that of the first place."""
    for j in range(0, count, LANES):
        begin = row + j * stride
        largest, place = load_every(values, begin, stride), load_every(places, begin, stride)
        for c in range(begin + 1, begin + kernel):
            seen, there = load_every(values, c, stride), load_every(places, c, stride)
            better = (seen > largest) | ((seen == largest) & (there < place))
            largest, place = where(better, seen, largest), where(better, there, place)
        store(largest, y, at + j, count - j)
        store(place, mask, at + j, count - j)


@parallel
def _max(part, parts, x, y, mask, kernel, stride, pad, values, places):
    """values, places: for each part _ROWS rows, whose padding holds what is never the largest."""
    values, places, room = values[part], places[part], values.shape[1] // _ROWS
    (planes, height, width), (rows, columns) = (x.shape[0] * x.shape[1], *x.shape[2:]), y.shape[2:]
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        for top in range(0, rows, _ROWS):
            bottom = min(top + _ROWS, rows)
            for i in range(top, bottom):
                first, last = _inside(i, height, kernel[0], stride[0], pad[0])
                _largest_down(x, plane * height * width, width, first, last,
                              values, places, (i - top) * room + pad[1])
            for i in range(top, bottom):
                _largest_along(values, places, (i - top) * room, kernel[1], stride[1],
                               y, mask, (plane * rows + i) * columns, columns)


@parallel
def _max_backward(part, parts, dy, mask, dx, area, windows):
    planes, some = dx.size // area, max(1, _CLEARED // area)
    end = planes * (part + 1) // parts
    for begin in range(planes * part // parts, end, some):
        last = min(begin + some, end)
        clear_floats(dx, begin * area, (last - begin) * area)
        for plane in range(begin, last):
            start = uint64(plane * area)
            for o in range(uint64(plane * windows), uint64((plane + 1) * windows)):
                if mask[o] >= 0:
                    dx[start + uint64(mask[o])] += dy[o]


# ------------------------------------------------------------------------------------- average

@inner(inline="always")
def _sums_down(x, plane, width, first, last, sums, row):
    """The sum of each column's rows ``first`` to ``last``."""
    for c in range(0, width, LANES):
        total = fill(_ZERO)
        for r in range(first, last):
            total = total + load(x, plane + r * width + c, width - c, _ZERO)
            prefetch(x, plane + r * width + c + _AHEAD)
        store(total, sums, row + c, LANES)


@inner(inline="always")
def _averages_along(sums, row, kernel, stride, height, widths, y, at, count):
    """The sum of each window of columns over the window's area."""
    for j in range(0, count, LANES):
        begin = row + j * stride
        total = load_every(sums, begin, stride)
        for c in range(begin + 1, begin + kernel):
            total = total + load_every(sums, c, stride)
        store(total / (fill(height) * load_every(widths, j, 1)), y, at + j, count - j)


@parallel
def _average(part, parts, x, y, size, output, kernel, stride, pad, heights, widths, sums):
    """heights, widths: of the windows, up to the padding's border; sums: as ``values`` above."""
    sums, room = sums[part], sums.shape[1] // _ROWS
    (height, width), (rows, columns) = size, output
    planes = y.size // (rows * columns)
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        for top in range(0, rows, _ROWS):
            bottom = min(top + _ROWS, rows)
            for i in range(top, bottom):
                first, last = _inside(i, height, kernel[0], stride[0], pad[0])
                _sums_down(x, plane * height * width, width, first, last,
                           sums, (i - top) * room + pad[1])
            for i in range(top, bottom):
                _averages_along(sums, (i - top) * room, kernel[1], stride[1], heights[uint64(i)],
                                widths, y, (plane * rows + i) * columns, columns)


@inner(inline="always")
def _shares_along(dy, at, count, height, widths, shares, last, stride):
    """dy / area of each window, where its last column lies."""
    for j in range(0, count, LANES):
        area = fill(height) * load_every(widths, j, 1)
        store_every(load(dy, at + j, count - j, _ZERO) / area, shares, last + j * stride, stride)


@inner(inline="always")
def _add_up(shares, row, kernel, dx, plane, width, first, last):
    """Add to each column, in rows ``first`` to ``last``, the shares of the windows over it."""
    for c in range(0, width, LANES):
        total = load_every(shares, row + c, 1)
        for k in range(1, kernel):
            total = total + load_every(shares, row + c + k, 1)
        for r in range(first, last):
            at = plane + r * width + c
            store(load(dx, at, width - c, _ZERO) + total, dx, at, width - c)


@parallel
def _average_backward(part, parts, dy, dx, size, output, kernel, stride, pad, heights, widths,
                      shares):
    """shares: for each part _ROWS rows of zeros, which stay where no window has its last column."""
    shares, room = shares[part], shares.shape[1] // _ROWS
    (height, width), (rows, columns) = size, output
    planes = dy.size // (rows * columns)
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        clear_floats(dx, plane * height * width, height * width)
        for top in range(0, rows, _ROWS):
            bottom = min(top + _ROWS, rows)
            for i in range(top, bottom):
                _shares_along(dy, (plane * rows + i) * columns, columns, heights[uint64(i)],
                              widths, shares, (i - top) * room + kernel[1] - 1, stride[1])
            for i in range(top, bottom):
                first, last = _inside(i, height, kernel[0], stride[0], pad[0])
                _add_up(shares, (i - top) * room + pad[1], kernel[1],
                        dx, plane * height * width, width, first, last)


@parallel
def _mean(part, parts, x, y, area):
    """The average where the window is the whole plane."""
    for plane in range(y.size * part // parts, y.size * (part + 1) // parts):
        total = fill(_ZERO)
        for i in range(0, area, LANES):
            total = total + load(x, plane * area + i, area - i, _ZERO)
        y[uint64(plane)] = lane_sum(total) / float32(area)


@parallel
def _mean_backward(part, parts, dy, dx, area):
    for plane in range(dy.size * part // parts, dy.size * (part + 1) // parts):
        share = fill(dy[uint64(plane)] / float32(area))
        for i in range(0, area, LANES):
            store(share, dx, plane * area + i, area - i)


# ---------------------------------------------------------------------------------- for callers

def max_forward(threads: int, x, y, mask, window) -> None:
    """The largest element of each window; of equal ones the first, row by row."""
    kernel, stride, pad = window.kernel, window.stride, window.pad
    rows = _rows("largest", -numpy.inf, threads, x.shape[3], y.shape[3], kernel[1], stride[1],
                 pad[1])
    _max(threads, x, y, mask, kernel, stride, pad, rows.values, rows.places)


def max_backward(threads: int, dy, mask, dx) -> None:
    """Each dy goes to the element that was the largest."""
    _max_backward(threads, dy.reshape(-1), mask.reshape(-1), dx.reshape(-1),
                  math.prod(dx.shape[2:]), math.prod(dy.shape[2:]))


def average_forward(threads: int, x, y, window) -> None:
    """The sum of each window over its area."""
    _averages(_mean, _average, threads, x, y, x.shape[2:], y.shape[2:], window)


def average_backward(threads: int, dy, dx, window) -> None:
    """Each element of a window receives dy / area."""
    _averages(_mean_backward, _average_backward, threads, dy, dx, dx.shape[2:], dy.shape[2:],
              window)


def _averages(whole, general, threads, source, target, size, output, window) -> None:
    """Call one of the two, with what it needs."""
    source, target = source.reshape(-1), target.reshape(-1)
    if window.kernel == size and not any(window.pad):
        return whole(threads, source, target, math.prod(size))
    heights, widths = (_extents(*sides) for sides in zip(
        size, output, window.kernel, window.stride, window.pad))
    rows = _rows(general.__name__, 0, threads, size[1], output[1], window.kernel[1],
                 window.stride[1], window.pad[1])
    general(threads, source, target, size, output, window.kernel, window.stride, window.pad,
            heights, widths, rows.values)


class _Rows(NamedTuple):
    """Scratch memory: (threads, _ROWS rows with room for the padding and whole vectors)."""

    values: numpy.ndarray
    places: numpy.ndarray

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.places.nbytes


@bounded_cache
def _rows(use: str, padding: float, threads: int, width: int, columns: int, kernel: int,
          stride: int, pad: int) -> _Rows:
    """The same for each call of equal sizes, as nobody writes to what lies beside a row."""
    reach = max(pad + width, (columns + LANES) * stride)
    shape = threads, _ROWS * aligned(kernel + reach + 2 * LANES)
    return _Rows(numpy.full(shape, padding, float32), numpy.full(shape, -1, int32))


@bounded_cache
def _extents(size: int, count: int, kernel: int, stride: int, pad: int) -> numpy.ndarray:
    """Along one axis: the extent of each window up to the padding's border, and some ones."""
    first = numpy.arange(count) * stride - pad
    extents = numpy.ones(count + LANES, float32)
    extents[:count] = numpy.minimum(first + kernel, size + pad) - first
    return extents
