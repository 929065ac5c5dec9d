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

from ..window import Window
from .taps import taps


def im2col(x, window: Window, output: tuple[int, ...], col) -> None:
    """x (C, *spatial) -> col (C * k, pixels), row (c, tap), column the output pixel."""
    rows = col.reshape(x.shape[0], math.prod(window.kernel), *output)
    if any(window.pad):
        col[...] = 0
    for tap in taps(window, x.shape[1:], output):
        rows[:, tap.index][tap.outputs] = x[tap.inputs]


def col2im(col, window: Window, output: tuple[int, ...], dx) -> None:
    """The transpose of im2col: dx (C, *spatial) = the sum of the columns' copies of each pixel."""
    rows = col.reshape(dx.shape[0], math.prod(window.kernel), *output)
    dx[...] = 0
    for tap in taps(window, dx.shape[1:], output):
        dx[tap.inputs] += rows[:, tap.index][tap.outputs]


def forward(backend, x, w, b, y, window: Window, group: int, columns=None) -> None:
    """``y = W @ im2col(x) + b``."""
    C, O, taken = x.shape[1] // group, w.shape[0] // group, math.prod(w.shape[1:])
    output, pixels = y.shape[2:], math.prod(y.shape[2:])
    col = None if columns is not None else _column_matrix(backend, x, w, window, pixels)
    for n in range(x.shape[0]):
        for g in range(group):
            rows = slice(g * O, (g + 1) * O)
            if columns is not None:
                col = columns[n, g * taken:(g + 1) * taken]
            cols = _columns(backend, x[n, g * C:(g + 1) * C], window, output, col)
            backend.matmul(w[rows].reshape(O, taken), cols, y[n, rows].reshape(O, pixels))
        if b is not None:
            y[n] += b.reshape(len(b), *(1,) * len(output))


def backward_weight(backend, x, dy, dw, db, window: Window, group: int, columns=None) -> None:
    """``dW += dy @ col.T``, ``db += dy`` summed over pixels."""
    C, O = x.shape[1] // group, dy.shape[1] // group
    output, pixels = dy.shape[2:], math.prod(dy.shape[2:])
    if dw is not None:
        taken = math.prod(dw.shape[1:])
        col = None if columns is not None else _column_matrix(backend, x, dw, window, pixels)
        for n in range(x.shape[0]):
            for g in range(group):
                rows = slice(g * O, (g + 1) * O)
                if columns is not None and not window.is_pointwise:
                    cols = columns[n, g * taken:(g + 1) * taken]
                else:
                    cols = _columns(backend, x[n, g * C:(g + 1) * C], window, output, col)
                backend.matmul(dy[n, rows].reshape(O, pixels), cols.T,
                               dw[rows].reshape(O, taken), accumulate=True)
    _add_pixels(dy, db)


def _add_pixels(dy, db) -> None:
    """``db += dy`` summed over samples and pixels; db may be None."""
    if db is not None:
        db += dy.sum(axis=(0, *range(2, dy.ndim)))


def backward_data(backend, dy, w, dx, window: Window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``."""
    C, O, taken = dx.shape[1] // group, w.shape[0] // group, math.prod(w.shape[1:])
    output, pixels = dy.shape[2:], math.prod(dy.shape[2:])
    col = _column_matrix(backend, dx, w, window, pixels)
    for n in range(dx.shape[0]):
        for g in range(group):
            rows, image = slice(g * O, (g + 1) * O), dx[n, g * C:(g + 1) * C]
            dcol = image.reshape(C, pixels) if window.is_pointwise else col
            backend.matmul(w[rows].reshape(O, taken).T, dy[n, rows].reshape(O, pixels), dcol)
            if not window.is_pointwise:
                col2im(dcol, window, output, image)


def _column_matrix(backend, x, w, window: Window, pixels: int):
    """Room for one column matrix; a pointwise window needs none."""
    if window.is_pointwise:
        return None
    try:
        return backend.xp.empty((math.prod(w.shape[1:]), pixels), x.dtype)
    except ValueError as error:  # NumPy's, for more than addresses can tell
        raise MemoryError(str(error)) from error


def _columns(backend, x, window: Window, output, col):
    """The columns of one image; a pointwise window's are the image itself."""
    if window.is_pointwise:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))
    im2col(x, window, output, col)
    return col


# The same three products from the definition: for each tap of the kernel, the input pixels that it
# meets times the weights there.  No column matrix is built.

def direct_forward(backend, x, w, b, y, window: Window, group: int) -> None:
    """``y[n, o, p] = b[o] + sum over c, tap of w[o, c, tap] * x[n, c, p * stride + tap]``."""
    xp, spatial, output = backend.xp, x.shape[2:], y.shape[2:]
    image, kernel, result = _grouped(x, group, 1), _taps_last(w, group), _grouped(y, group, 1)
    result[...] = 0 if b is None else b.reshape(
        group, len(b) // group, *(1,) * len(output))
    for tap in taps(window, spatial, output):
        result[tap.outputs] += xp.einsum("goc,ngc...->ngo...", kernel[..., tap.index],
                                         image[tap.inputs])


def direct_backward_weight(backend, x, dy, dw, db, window: Window, group: int) -> None:
    """``dw[o, c, tap] += sum over n, p of dy[n, o, p] * x[n, c, p * stride + tap]``."""
    xp, spatial, output = backend.xp, x.shape[2:], dy.shape[2:]
    image, grad = _grouped(x, group, 1), _grouped(dy, group, 1)
    if dw is not None:
        kernel = _taps_last(dw, group)
        for tap in taps(window, spatial, output):
            seen, met = image[tap.inputs], grad[tap.outputs]
            pixels = math.prod(seen.shape[3:])
            kernel[..., tap.index] += xp.einsum("ngop,ngcp->goc",
                                                met.reshape(*met.shape[:3], pixels),
                                                seen.reshape(*seen.shape[:3], pixels))
    _add_pixels(dy, db)


def direct_backward_data(backend, dy, w, dx, window: Window, group: int) -> None:
    """``dx[n, c, p * stride + tap] += sum over o of w[o, c, tap] * dy[n, o, p]``."""
    xp, spatial, output = backend.xp, dx.shape[2:], dy.shape[2:]
    image, grad, kernel = _grouped(dx, group, 1), _grouped(dy, group, 1), _taps_last(w, group)
    dx[...] = 0
    for tap in taps(window, spatial, output):
        image[tap.inputs] += xp.einsum("goc,ngo...->ngc...", kernel[..., tap.index],
                                       grad[tap.outputs])


def _grouped(array, group: int, axis: int):
    """View ``axis`` as (group, the rest of it)."""
    shape = array.shape
    return array.reshape(*shape[:axis], group, shape[axis] // group, *shape[axis + 1:])


def _taps_last(w, group: int):
    """View weights (O, C, *kernel) as (group, O / group, C, taps)."""
    return w.reshape(group, w.shape[0] // group, w.shape[1], math.prod(w.shape[2:]))
