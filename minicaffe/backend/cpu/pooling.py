"""Pooling over two axes, compiled: threads share out the planes (one channel of one image)."""

from __future__ import annotations

import numpy

from .jit import compiled
from .shares import shared


@compiled
def _inside(i, size, kernel, stride, pad):
    """Along one axis: the elements that window i covers, without the padding."""
    first = i * stride - pad
    return range(max(first, 0), min(first + kernel, size))


@shared
def _max(part, parts, x, y, mask, kernel, stride, pad):
    planes, height, width = x.shape
    for plane in range(part, planes, parts):
        for i in range(y.shape[1]):
            rows = _inside(i, height, kernel[0], stride[0], pad[0])
            for j in range(y.shape[2]):
                columns = _inside(j, width, kernel[1], stride[1], pad[1])
                largest, place = numpy.float32(-numpy.inf), -1
                for r in rows:
                    for c in columns:
                        if x[plane, r, c] > largest:
                            largest, place = x[plane, r, c], r * width + c
                y[plane, i, j] = largest
                mask[plane, i, j] = place


@shared
def _max_backward(part, parts, dy, mask, dx):
    planes = dy.shape[0]
    for plane in range(part, planes, parts):
        dx[plane] = 0
        for i in range(dy.shape[1]):
            if mask[plane, i] >= 0:
                dx[plane, mask[plane, i]] += dy[plane, i]


@compiled
def _area(i, j, height, width, kernel, stride, pad):
    """Of a window: the part inside the data and its padding."""
    top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
    return numpy.float32((min(top + kernel[0], height + pad[0]) - top)
                         * (min(left + kernel[1], width + pad[1]) - left))


@shared
def _average(part, parts, x, y, kernel, stride, pad):
    planes, height, width = x.shape
    for plane in range(part, planes, parts):
        for i in range(y.shape[1]):
            rows = _inside(i, height, kernel[0], stride[0], pad[0])
            for j in range(y.shape[2]):
                columns = _inside(j, width, kernel[1], stride[1], pad[1])
                total = numpy.float32(0)
                for r in rows:
                    for c in columns:
                        total += x[plane, r, c]
                y[plane, i, j] = total / _area(i, j, height, width, kernel, stride, pad)


@shared
def _average_backward(part, parts, dy, dx, kernel, stride, pad):
    planes, height, width = dx.shape
    for plane in range(part, planes, parts):
        dx[plane] = 0
        for i in range(dy.shape[1]):
            rows = _inside(i, height, kernel[0], stride[0], pad[0])
            for j in range(dy.shape[2]):
                columns = _inside(j, width, kernel[1], stride[1], pad[1])
                share = dy[plane, i, j] / _area(i, j, height, width, kernel, stride, pad)
                for r in rows:
                    for c in columns:
                        dx[plane, r, c] += share


def max_forward(threads: int, x, y, mask, window) -> None:
    """The largest element of each window; of equal ones the first, row by row."""
    _max(threads, _planes(x), _planes(y), _planes(mask),
         window.kernel, window.stride, window.pad)


def max_backward(threads: int, dy, mask, dx) -> None:
    """Each dy goes to the element that was the largest."""
    planes = dx.shape[0] * dx.shape[1]
    flat = (a.reshape(planes, a.shape[2] * a.shape[3]) for a in (dy, mask, dx))
    _max_backward(threads, *flat)


def average_forward(threads: int, x, y, window) -> None:
    """The sum of each window over its area."""
    _average(threads, _planes(x), _planes(y), window.kernel, window.stride, window.pad)


def average_backward(threads: int, dy, dx, window) -> None:
    """Each element of a window receives dy / area."""
    _average_backward(threads, _planes(dy), _planes(dx),
                      window.kernel, window.stride, window.pad)


def _planes(array):
    """View (N, C, height, width) as (N * C, height, width)."""
    return array.reshape(-1, *array.shape[2:])
