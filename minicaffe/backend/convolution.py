"""Convolution in plain array code, for any number of spatial axes: the reference.

The six lines that matter, image by image and group by group::

    col = im2col(x)              (C * k, pixels): column p is the window at output pixel p
    y = W @ col + b              W as a matrix (O, C * k)
    dW += dy @ col.T             each weight met column row k at every pixel: sum of the products
    db += dy summed over pixels
    dcol = W.T @ dy              each column entry went into all O outputs of its pixel
    dx = col2im(dcol)            an input pixel was copied into several columns: their sum

``b`` may be None; ``backend`` supplies xp, matmul and map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from ..window import Window


def taps(window: Window, output: tuple[int, ...]) -> Iterator[tuple]:
    """For each position in the kernel the slices of the padded input that it meets, in order."""
    axes = range(len(output))
    for tap in product(*(range(k) for k in window.kernel)):
        start = [tap[a] * window.dilation[a] for a in axes]
        yield tuple(slice(start[a], start[a] + (output[a] - 1) * window.stride[a] + 1,
                          window.stride[a]) for a in axes)


def padded(xp, x, window: Window):
    """x (..., *spatial) inside a border of zeros."""
    if not any(window.pad):
        return x
    spatial = x.shape[x.ndim - len(window.pad):]
    lead = x.shape[:x.ndim - len(window.pad)]
    out = xp.zeros(lead + tuple(s + 2 * p for s, p in zip(spatial, window.pad)), x.dtype)
    out[_inside(spatial, window)] = x
    return out


def _inside(spatial, window: Window) -> tuple:
    return (..., *(slice(p, p + s) for s, p in zip(spatial, window.pad)))


def im2col(xp, x, window: Window, output: tuple[int, ...], col) -> None:
    """x (C, *spatial) -> col (C * k, pixels), row (c, tap), column the output pixel."""
    image = padded(xp, x, window)
    rows = col.reshape(x.shape[0], -1, *output)
    for k, where in enumerate(taps(window, output)):
        rows[:, k] = image[(slice(None), *where)]


def col2im(xp, col, window: Window, output: tuple[int, ...], dx) -> None:
    """The transpose of im2col: dx (C, *spatial) = the sum of the columns' copies of each pixel."""
    spatial = dx.shape[1:]
    image = xp.zeros((dx.shape[0], *(s + 2 * p for s, p in zip(spatial, window.pad))), dx.dtype)
    rows = col.reshape(dx.shape[0], -1, *output)
    for k, where in enumerate(taps(window, output)):
        image[(slice(None), *where)] += rows[:, k]
    dx[...] = image[_inside(spatial, window)]


def forward(backend, x, w, b, y, window: Window, group: int, columns=None) -> None:
    """``y = W @ im2col(x) + b``."""
    C, O = x.shape[1] // group, w.shape[0] // group
    output, pixels = y.shape[2:], math.prod(y.shape[2:])
    col = None if columns is not None else _column_matrix(backend, x, w, window, pixels)
    for n in range(x.shape[0]):
        for g in range(group):
            rows = slice(g * O, (g + 1) * O)
            if columns is not None:
                taken = w[0].size
                col = columns[n, g * taken:(g + 1) * taken]
            cols = _columns(backend, x[n, g * C:(g + 1) * C], window, output, col)
            backend.matmul(w[rows].reshape(O, -1), cols, y[n, rows].reshape(O, pixels))
        if b is not None:
            y[n] += b.reshape(-1, *(1,) * len(output))


def backward_weight(backend, x, dy, dw, db, window: Window, group: int, columns=None) -> None:
    """``dW += dy @ col.T``, ``db += dy`` summed over pixels."""
    C, O = x.shape[1] // group, dy.shape[1] // group
    output, pixels = dy.shape[2:], math.prod(dy.shape[2:])
    if dw is not None:
        col = None if columns is not None else _column_matrix(backend, x, dw, window, pixels)
        for n in range(x.shape[0]):
            for g in range(group):
                rows = slice(g * O, (g + 1) * O)
                if columns is not None and not window.is_pointwise:
                    taken = dw[0].size
                    cols = columns[n, g * taken:(g + 1) * taken]
                else:
                    cols = _columns(backend, x[n, g * C:(g + 1) * C], window, output, col)
                backend.matmul(dy[n, rows].reshape(O, pixels), cols.T,
                               dw[rows].reshape(O, -1), accumulate=True)
    _add_pixels(dy, db)


def _add_pixels(dy, db) -> None:
    """``db += dy`` summed over samples and pixels; db may be None."""
    if db is not None:
        db += dy.sum(axis=(0, *range(2, dy.ndim)))


def backward_data(backend, dy, w, dx, window: Window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``."""
    C, O = dx.shape[1] // group, w.shape[0] // group
    output, pixels = dy.shape[2:], math.prod(dy.shape[2:])
    col = _column_matrix(backend, dx, w, window, pixels)
    for n in range(dx.shape[0]):
        for g in range(group):
            rows, image = slice(g * O, (g + 1) * O), dx[n, g * C:(g + 1) * C]
            dcol = image.reshape(C, pixels) if window.is_pointwise else col
            backend.matmul(w[rows].reshape(O, -1).T, dy[n, rows].reshape(O, pixels), dcol)
            if not window.is_pointwise:
                col2im(backend.xp, dcol, window, output, image)


def _column_matrix(backend, x, w, window: Window, pixels: int):
    """Room for one column matrix; a pointwise window needs none."""
    if window.is_pointwise:
        return None
    return backend.xp.empty((w[0].size, pixels), x.dtype)


def _columns(backend, x, window: Window, output, col):
    """The columns of one image; a pointwise window's are the image itself."""
    if window.is_pointwise:
        return x.reshape(x.shape[0], -1)
    im2col(backend.xp, x, window, output, col)
    return col


# The same three products from the definition: for each tap of the kernel, the input pixels that it
# meets times the weights there.  No column matrix is built.

def direct_forward(backend, x, w, b, y, window: Window, group: int) -> None:
    """``y[n, o, p] = b[o] + sum over c, tap of w[o, c, tap] * x[n, c, p * stride + tap]``."""
    xp, output = backend.xp, y.shape[2:]
    image = _grouped(padded(xp, x, window), group, 1)
    kernel, result = _taps_last(w, group), _grouped(y, group, 1)
    result[...] = 0 if b is None else b.reshape(group, -1, *(1,) * len(output))
    for k, where in enumerate(taps(window, output)):
        result += xp.einsum("goc,ngc...->ngo...", kernel[..., k], image[(..., *where)])


def direct_backward_weight(backend, x, dy, dw, db, window: Window, group: int) -> None:
    """``dw[o, c, tap] += sum over n, p of dy[n, o, p] * x[n, c, p * stride + tap]``."""
    xp, output = backend.xp, dy.shape[2:]
    image, grad = _grouped(padded(xp, x, window), group, 1), _grouped(dy, group, 1)
    if dw is not None:
        kernel = _taps_last(dw, group)
        for k, where in enumerate(taps(window, output)):
            seen = image[(..., *where)]
            N, G, O, C = grad.shape[0], group, grad.shape[2], seen.shape[2]
            kernel[..., k] += xp.einsum("ngop,ngcp->goc", grad.reshape(N, G, O, -1),
                                        seen.reshape(N, G, C, -1))
    _add_pixels(dy, db)


def direct_backward_data(backend, dy, w, dx, window: Window, group: int) -> None:
    """``dx[n, c, p * stride + tap] += sum over o of w[o, c, tap] * dy[n, o, p]``."""
    xp, output, spatial = backend.xp, dy.shape[2:], dx.shape[2:]
    full = xp.zeros(dx.shape[:2] + tuple(s + 2 * p for s, p in zip(spatial, window.pad)), dx.dtype)
    image, grad, kernel = _grouped(full, group, 1), _grouped(dy, group, 1), _taps_last(w, group)
    for k, where in enumerate(taps(window, output)):
        image[(..., *where)] += xp.einsum("goc,ngo...->ngc...", kernel[..., k], grad)
    dx[...] = full[_inside(spatial, window)]


def _grouped(array, group: int, axis: int):
    """View ``axis`` as (group, the rest of it)."""
    shape = array.shape
    return array.reshape(*shape[:axis], group, shape[axis] // group, *shape[axis + 1:])


def _taps_last(w, group: int):
    """View weights (O, C, *kernel) as (group, O / group, C, taps)."""
    return w.reshape(group, w.shape[0] // group, w.shape[1], -1)
