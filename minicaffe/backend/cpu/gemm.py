"""Matrix products from tiles: the compiled ``matmul``, and ``multiply``, which convolution shares.

The right matrix is first copied into panels of COLUMNS columns, each (depth, COLUMNS) and read
from front to back; a tile of the product is ROWS rows of the left matrix times one panel.  One
thread adds up an element's products, in order: the sums do not depend on the number of threads.
"""

from __future__ import annotations

import numpy

from .jit import compiled
from .microkernel import (
    COLUMNS,
    LANES,
    ROWS,
    add_vector,
    clear_floats,
    copy_floats,
    multiply_tile,
)
from .shares import shared
from .workspace import Workspace, strided

DEPTH = 384  # rows of a panel at a time: 48 KiB, which stay in the second-level cache
HEIGHT = 8 * ROWS  # rows of the product that a thread computes at a time


@compiled
def multiply(height, depth, a, a_at, row, row_at, col, panel, panel_at, result, result_at):
    """``result = A @ panel``: (height, depth) @ (depth, COLUMNS), height rounded up to tiles.

    A's element (i, k) is ``a[a_at + row[row_at + i] + col[k]]``.
    """
    clear_floats(result, result_at, (height + ROWS - 1) // ROWS * ROWS * COLUMNS)
    for k in range(0, depth, DEPTH):
        for i in range(0, height, ROWS):
            multiply_tile(min(DEPTH, depth - k), a, a_at, row, row_at + i, col, k,
                          panel, panel_at + k * COLUMNS, result, result_at + i * COLUMNS)


@compiled
def pack(count, k_first, k_end, b, b_at, k_stride, j_stride, panel, panel_at):
    """Copy rows k_first to k_end of ``count`` columns of a matrix into a panel."""
    if j_stride == 1:
        for k in range(k_first, k_end):
            copy_floats(b, b_at + k * k_stride, panel, panel_at + k * COLUMNS, count)
        return
    for k in range(k_first, k_end, LANES):  # of a few rows at a time the panel stays in the cache
        for j in range(count):
            for i in range(k, min(k + LANES, k_end)):
                panel[panel_at + i * COLUMNS + j] = b[b_at + i * k_stride + j * j_stride]


@compiled
def _store(result, at, rows, columns, out, out_at, i_stride, j_stride, accumulate):
    """Write, or add, a block of the product."""
    if j_stride == 1 and not accumulate:
        for i in range(rows):
            copy_floats(result, at + i * COLUMNS, out, out_at + i * i_stride, columns)
        return
    whole = columns // LANES * LANES if j_stride == 1 else 0
    for i in range(rows):
        for j in range(0, whole, LANES):
            add_vector(result, at + i * COLUMNS + j, out, out_at + i * i_stride + j, LANES)
    for j in range(whole, columns):
        for i in range(rows):
            value, place = result[at + i * COLUMNS + j], out_at + i * i_stride + j * j_stride
            out[place] = out[place] + value if accumulate else value


@shared
def _pack_all(part, parts, width, depth, b, k_stride, j_stride, panels):
    """One thread's share of copying b into panels."""
    blocks = (depth + DEPTH - 1) // DEPTH
    units = (width + COLUMNS - 1) // COLUMNS * blocks
    for unit in range(part, units, parts):
        j, k = unit // blocks * COLUMNS, unit % blocks * DEPTH
        pack(min(COLUMNS, width - j), k, min(k + DEPTH, depth), b, j * j_stride,
             k_stride, j_stride, panels, j * depth)


@shared
def _product(part, parts, height, width, depth, a, row, col, panels, results,
             out, i_stride, j_stride, accumulate):
    """One thread's share of the product: blocks of HEIGHT rows of a panel."""
    across = (width + COLUMNS - 1) // COLUMNS
    units = (height + HEIGHT - 1) // HEIGHT * across
    result_at = part * HEIGHT * COLUMNS
    for unit in range(units * part // parts, units * (part + 1) // parts):
        i, j = unit // across * HEIGHT, unit % across * COLUMNS
        rows, columns = min(HEIGHT, height - i), min(COLUMNS, width - j)
        multiply(rows, depth, a, 0, row, i, col, panels, j * depth, results, result_at)
        _store(results, result_at, rows, columns, out, i * i_stride + j * j_stride,
               i_stride, j_stride, accumulate)


def matmul(workspace: Workspace, threads: int, a, b, out, accumulate: bool) -> None:
    """``out = a @ b``, or ``out += a @ b``, of float32 matrices with any strides."""
    if _cost(b.shape[1], a.shape[0]) < 0.9 * _cost(a.shape[0], b.shape[1]):
        a, b, out = b.T, a.T, out.T
    (height, depth), width = a.shape, b.shape[1]
    flat_a, i_stride, k_stride = _flat(a)
    panels = workspace.floats("panel", -(-width // COLUMNS) * COLUMNS * depth)
    results = workspace.floats("result", threads * HEIGHT * COLUMNS)
    _pack_all(threads, width, depth, *_flat(b), panels)
    _product(threads, height, width, depth,
             flat_a, strided(height, i_stride, ROWS), strided(depth, k_stride),
             panels, results, *_flat(out), accumulate)


def _cost(height: int, width: int) -> int:
    """The time of a product, about: of the tiles, and of copying a matrix of ``width`` columns."""
    return -(-height // ROWS) * ROWS * -(-width // COLUMNS) + 2 * width


def _flat(matrix) -> tuple[numpy.ndarray, int, int]:
    """The memory of a matrix as a flat array, and its two strides, counted in elements."""
    rows, columns = matrix.shape
    if matrix.flags.c_contiguous:
        return matrix.reshape(-1), columns, 1
    if matrix.flags.f_contiguous:
        return matrix.T.reshape(-1), 1, rows
    i_stride, j_stride = (stride // matrix.itemsize for stride in matrix.strides)
    size = (rows - 1) * i_stride + (columns - 1) * j_stride + 1
    return numpy.lib.stride_tricks.as_strided(matrix, (size,), (matrix.itemsize,)), \
        i_stride, j_stride
