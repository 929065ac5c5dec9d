"""Pooling of (N, C, H, W) in plain array code: the reference."""

from __future__ import annotations

from ..window import Window
from .taps import taps


def max_forward(backend, x, y, mask, window: Window) -> None:
    """The largest element of each window; of equal ones the first, row by row."""
    xp, (H, W) = backend.xp, x.shape[2:]
    position = xp.arange(H * W, dtype=mask.dtype).reshape(1, 1, H, W)
    y[...] = -xp.inf
    mask[...] = -1
    for tap in taps(window, x.shape[2:], y.shape[2:]):
        seen, largest = x[tap.inputs], y[tap.outputs]
        larger = seen > largest
        mask[tap.outputs] = xp.where(larger, position[tap.inputs], mask[tap.outputs])
        y[tap.outputs] = xp.where(larger, seen, largest)


def max_backward(backend, dy, mask, dx) -> None:
    """Each dy goes to the element that was the largest; ``mask`` -1 (an all-NaN window) nowhere."""
    xp, planes = backend.xp, dx.shape[0] * dx.shape[1]
    dx[...] = 0
    chosen, grad, target = (array.reshape(planes, array.shape[2] * array.shape[3])
                            for array in (mask, dy, dx))
    rows = xp.broadcast_to(xp.arange(planes)[:, None], chosen.shape)
    valid = chosen >= 0
    xp.add.at(target, (rows[valid], chosen[valid]), grad[valid])


def areas(xp, window: Window, spatial, output, dtype):
    """The area of each window (h, w): the part inside the data and its padding."""
    sides = []
    for axis in range(2):
        start = xp.arange(output[axis]) * window.stride[axis] - window.pad[axis]
        end = xp.minimum(start + window.kernel[axis], spatial[axis] + window.pad[axis])
        sides.append((end - start).astype(dtype))
    return sides[0][:, None] * sides[1][None, :]


def average_forward(backend, x, y, window: Window) -> None:
    """The sum of each window over its area."""
    spatial, output = x.shape[2:], y.shape[2:]
    y[...] = 0
    for tap in taps(window, spatial, output):
        y[tap.outputs] += x[tap.inputs]
    y /= areas(backend.xp, window, spatial, output, y.dtype)


def average_backward(backend, dy, dx, window: Window) -> None:
    """Each element of a window receives dy / area."""
    spatial, output = dx.shape[2:], dy.shape[2:]
    share = dy / areas(backend.xp, window, spatial, output, dy.dtype)
    dx[...] = 0
    for tap in taps(window, spatial, output):
        dx[tap.inputs] += share[tap.outputs]
