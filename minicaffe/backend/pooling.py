"""Pooling of (N, C, H, W) in plain array code: the reference."""

from __future__ import annotations

from ..window import Window
from .convolution import taps


def _bordered(xp, x, window: Window, output, border):
    """x inside a border wide enough for every window, the last ones of a ceil included."""
    H, W = x.shape[2:]
    reach = [(o - 1) * s + k for o, s, k in zip(output, window.stride, window.kernel)]
    top, left = window.pad
    out = xp.full(x.shape[:2] + (max(reach[0], top + H), max(reach[1], left + W)), border, x.dtype)
    out[:, :, top:top + H, left:left + W] = x
    return out


def max_forward(backend, x, y, mask, window: Window) -> None:
    """The largest element of each window; of equal ones the first, row by row."""
    xp, (H, W) = backend.xp, x.shape[2:]
    image = _bordered(xp, x, window, y.shape[2:], -xp.inf)
    position = _bordered(xp, xp.arange(H * W, dtype=mask.dtype).reshape(1, 1, H, W),
                         window, y.shape[2:], -1)
    y[...] = -xp.inf
    mask[...] = -1
    for where in taps(window, y.shape[2:]):
        seen = image[(..., *where)]
        larger = seen > y
        y[...] = xp.where(larger, seen, y)
        mask[...] = xp.where(larger, position[(..., *where)], mask)


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
        sides.append(end - start)
    return (sides[0][:, None] * sides[1][None, :]).astype(dtype)


def average_forward(backend, x, y, window: Window) -> None:
    """The sum of each window over its area."""
    xp, output = backend.xp, y.shape[2:]
    image = _bordered(xp, x, window, output, 0)
    y[...] = 0
    for where in taps(window, output):
        y += image[(..., *where)]
    y /= areas(xp, window, x.shape[2:], output, y.dtype)


def average_backward(backend, dy, dx, window: Window) -> None:
    """Each element of a window receives dy / area."""
    xp, (H, W), output = backend.xp, dx.shape[2:], dy.shape[2:]
    image = _bordered(xp, xp.zeros_like(dx), window, output, 0)
    share = dy / areas(xp, window, (H, W), output, dy.dtype)
    for where in taps(window, output):
        image[(..., *where)] += share
    top, left = window.pad
    dx[...] = image[:, :, top:top + H, left:left + W]
