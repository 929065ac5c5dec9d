"""Winograd's convolution in plain array code, the reference: 3x3 kernels at stride 1, two axes.

Two neighbouring outputs of a filter of three taps ask for six products; four will do::

    y = A^T [(G w) * (B^T d)]        d: the four inputs that the two outputs see

          [1  0 -1  0]        [1    0   0 ]          [1  1  1  0]
    B^T = [0  1  1  0]    G = [1/2 1/2 1/2]    A^T = [0  1 -1 -1]
          [0 -1  1  0]        [1/2 -1/2 1/2]
          [0  1  0 -1]        [0    0   1 ]

In two dimensions, from both sides: a tile of 2 x 2 outputs from 16 products instead of 36, and no
column matrix.  With U = G w G^T and V = B^T d B, both (4, 4, ...)::

    M[i, j] = U[i, j] (O x C) @ V[i, j] (C x tiles)       Y = A^T M A
    dU[i, j] = dM[i, j] @ V[i, j].T   with dM = A dY A^T      dW += G^T dU G

and dx is the convolution of dy by the filters turned round.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).
"""

from __future__ import annotations

from ..window import Window

INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # B^T
FILTER = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))  # A^T
EDGE = 2  # of a tile of outputs


def suits(window: Window) -> bool:
    """Whether the method computes such a convolution, and its gradients."""
    return (window.kernel == (3, 3) and window.stride == window.dilation == (1, 1)
            and max(window.pad) <= 2)


def forward(backend, x, w, b, y, window: Window, group: int) -> None:
    """``y = W @ im2col(x) + b``, tile by tile."""
    xp = backend.xp
    C, O = x.shape[1] // group, w.shape[0] // group
    filters = _both_sides(xp, FILTER, w.transpose(2, 3, 0, 1))
    patches = _both_sides(xp, INPUT, _patches(xp, x, window.pad, y.shape[2:]))
    for g in range(group):
        products = xp.einsum("ijoc,ijnchw->ijnohw", filters[:, :, g * O:(g + 1) * O],
                             patches[:, :, :, g * C:(g + 1) * C])
        tiles = _both_sides(xp, OUTPUT, products)
        for i in range(EDGE):
            for j in range(EDGE):
                place = y[:, g * O:(g + 1) * O, i::EDGE, j::EDGE]
                place[...] = tiles[i, j, ..., :place.shape[2], :place.shape[3]]
    if b is not None:
        y += b.reshape(-1, 1, 1)


def backward_weight(backend, x, dy, dw, window: Window, group: int) -> None:
    """``dW += dy @ col.T``."""
    xp = backend.xp
    C, O = x.shape[1] // group, dw.shape[0] // group
    patches = _both_sides(xp, INPUT, _patches(xp, x, window.pad, dy.shape[2:]))
    tiles = xp.zeros((EDGE, EDGE, *dy.shape[:2], *patches.shape[-2:]), dy.dtype)
    for i in range(EDGE):
        for j in range(EDGE):
            place = dy[:, :, i::EDGE, j::EDGE]
            tiles[i, j, ..., :place.shape[2], :place.shape[3]] = place
    products = _both_sides(xp, tuple(zip(*OUTPUT)), tiles)
    for g in range(group):
        filters = xp.einsum("ijnohw,ijnchw->ijoc", products[:, :, :, g * O:(g + 1) * O],
                            patches[:, :, :, g * C:(g + 1) * C])
        dw[g * O:(g + 1) * O] += _both_sides(xp, tuple(zip(*FILTER)), filters).transpose(2, 3, 0, 1)


def backward_data(backend, dy, w, dx, window: Window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``: dy convolved by the filters turned round."""
    xp, O, C = backend.xp, w.shape[0] // group, w.shape[1]
    groups = w[:, :, ::-1, ::-1].reshape(group, O, C, 3, 3).swapaxes(1, 2)
    turned = Window(window.kernel, window.stride, tuple(2 - pad for pad in window.pad),
                    window.dilation)
    forward(backend, dy, xp.ascontiguousarray(groups.reshape(group * C, O, 3, 3)), None, dx, turned,
            group)


def _patches(xp, x, pad: tuple[int, int], output: tuple[int, int]):
    """x (N, C, H, W) as (4, 4, N, C, tiles down, tiles across): element (i, j) of each patch."""
    down, across = (-(-size // EDGE) for size in output)
    image = xp.zeros((*x.shape[:2], EDGE * down + 2, EDGE * across + 2), x.dtype)
    image[:, :, pad[0]:pad[0] + x.shape[2], pad[1]:pad[1] + x.shape[3]] = (
        x[:, :, :image.shape[2] - pad[0], :image.shape[3] - pad[1]])
    return xp.stack([xp.stack([image[:, :, i:i + EDGE * down:EDGE, j:j + EDGE * across:EDGE]
                               for j in range(EDGE + 2)]) for i in range(EDGE + 2)])


def _both_sides(xp, matrix: tuple, squares):
    """``T s T^T`` of squares s that the first two axes hold."""
    t = xp.asarray(matrix, squares.dtype)
    return xp.einsum("ai,ij...,bj->ab...", t, squares, t)
