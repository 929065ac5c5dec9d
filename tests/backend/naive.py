"""Convolution, pooling and more from their definitions: one loop over everything that meets."""

from __future__ import annotations

from itertools import product

import numpy


def meetings(x_shape, w_shape, y_shape, window, group):
    """All (n, o, output pixel, channel of x, c, tap, input pixel) that a convolution multiplies."""
    outputs, channels = w_shape[0] // group, w_shape[1]
    ranges = [range(size) for size in (x_shape[0], *w_shape[:2], *y_shape[2:], *w_shape[2:])]
    axes = len(window.kernel)
    for n, o, c, *rest in product(*ranges):
        pixel, tap = tuple(rest[:axes]), tuple(rest[axes:])
        place = tuple(p * s + t * d - pad for p, s, t, d, pad in zip(
            pixel, window.stride, tap, window.dilation, window.pad))
        if all(0 <= i < size for i, size in zip(place, x_shape[2:])):
            yield n, o, pixel, o // outputs * channels + c, c, tap, place


def convolution(x, w, b, dy, window, group):
    """(y, dw, db, dx) in float64."""
    y, dw, dx = (numpy.zeros(a.shape) for a in (dy, w, x))
    for n, o, pixel, channel, c, tap, place in meetings(x.shape, w.shape, dy.shape, window, group):
        y[n, o][pixel] += w[o, c][tap] * x[n, channel][place]
        dw[o, c][tap] += dy[n, o][pixel] * x[n, channel][place]
        dx[n, channel][place] += w[o, c][tap] * dy[n, o][pixel]
    axes = tuple(range(2, dy.ndim))
    if b is not None:
        y += b.reshape(-1, *(1,) * len(axes))
    return y, dw, dy.sum(axis=(0, *axes), dtype=numpy.float64), dx


def windows(shape, window, output):
    """Each output pixel with the input pixels of its window and its area, padding included."""
    height, width = shape[2:]
    for i, j in product(*map(range, output)):
        top, left = i * window.stride[0] - window.pad[0], j * window.stride[1] - window.pad[1]
        bottom = min(top + window.kernel[0], height + window.pad[0])
        right = min(left + window.kernel[1], width + window.pad[1])
        inside = [(r, c) for r in range(max(top, 0), min(bottom, height))
                  for c in range(max(left, 0), min(right, width))]
        yield i, j, inside, (bottom - top) * (right - left)


def max_pool(x, dy, window):
    """(y, mask, dx)."""
    y, mask, dx = numpy.zeros(dy.shape), numpy.zeros(dy.shape, int), numpy.zeros(x.shape)
    for n, c in product(range(x.shape[0]), range(x.shape[1])):
        for i, j, inside, _ in windows(x.shape, window, dy.shape[2:]):
            values = [x[n, c, r, s] for r, s in inside]
            r, s = inside[values.index(max(values))]
            y[n, c, i, j], mask[n, c, i, j] = x[n, c, r, s], r * x.shape[3] + s
            dx[n, c, r, s] += dy[n, c, i, j]
    return y, mask, dx


def average_pool(x, dy, window):
    """(y, dx)."""
    y, dx = numpy.zeros(dy.shape), numpy.zeros(x.shape)
    for n, c in product(range(x.shape[0]), range(x.shape[1])):
        for i, j, inside, area in windows(x.shape, window, dy.shape[2:]):
            y[n, c, i, j] = sum(float(x[n, c, r, s]) for r, s in inside) / area
            for r, s in inside:
                dx[n, c, r, s] += dy[n, c, i, j] / area
    return y, dx


def neighbour_sums(x, size, axes):
    """The sum of x over the window of ``size`` along each of the axes around each element."""
    out, reach = numpy.zeros(x.shape), range(-(size // 2), size // 2 + 1)
    for index in numpy.ndindex(*x.shape):
        for steps in product(reach, repeat=len(axes)):
            place = list(index)
            for axis, step in zip(axes, steps):
                place[axis] += step
            if all(0 <= i < n for i, n in zip(place, x.shape)):
                out[index] += x[tuple(place)]
    return out
