"""Matrix products from tiles: the compiled ``matmul``, and what convolution shares with it.

A few columns of the right matrix are copied into panels, (depth, COLUMNS) each and read from front
to back, DEPTH rows of them at a time: such a piece stays in the nearest cache while all rows of
the left matrix go by.  One thread adds up an element's products, in order: the sums do not depend
on the number of threads.
"""

from __future__ import annotations

import numpy

from .jit import compiled
from .microkernel import (
    COLUMNS,
    LANES,
    ROWS,
    TALL,
    copy_vector,
    multiply_tall_tile,
    multiply_tile,
    transpose_block,
)
from .shares import shared
from .workspace import Workspace, strided, zeros

DEPTH = 256  # rows of a panel at a time: 32 KiB
HEIGHT = 8 * TALL  # rows of the product that a thread computes at a time, at least


@compiled
def multiply(count, depth, a, a_at, row, row_at, col, col_at, b, left, right, line, line_at,
             bias, bias_at, last, slope, y, y_at, stride, y_left, left_count, y_right, right_count):
    """``count`` rows of a product, two vectors wide, or one where right_count is 0.

    Arguments are those of ``multiply_tile``.
    """
    if right_count > 0:
        for i in range(0, count, ROWS):
            multiply_tile(min(ROWS, count - i), depth, a, a_at, row, row_at + i, col, col_at,
                          b, left, right, line, line_at, bias, bias_at + i if bias_at >= 0 else -1,
                          last, slope, y, y_at + i * stride, stride,
                          y_left, left_count, y_right, right_count)
    else:
        for i in range(0, count, TALL):
            multiply_tall_tile(min(TALL, count - i), depth, a, a_at, row, row_at + i, col, col_at,
                               b, left, right, line, line_at,
                               bias, bias_at + i if bias_at >= 0 else -1,
                               last, slope, y, y_at + i * stride, stride,
                               y_left, left_count, y_right, right_count)


@compiled
def pack(width, depth, b, b_at, k_stride, j_stride, panels, panels_at):
    """Copy ``depth`` rows of ``width`` columns of a matrix into panels, one after the other."""
    if j_stride == 1:
        for k in range(depth):
            for j in range(0, width, LANES):
                copy_vector(b, b_at + k * k_stride + j, panels,
                            panels_at + j // COLUMNS * depth * COLUMNS + k * COLUMNS + j % COLUMNS,
                            width - j)
    elif k_stride == 1:
        for j in range(0, width, LANES):
            at = panels_at + j // COLUMNS * depth * COLUMNS + j % COLUMNS
            for k in range(0, depth, LANES):
                transpose_block(b, b_at + k + j * j_stride, j_stride, min(LANES, width - j),
                                min(LANES, depth - k), panels, at + k * COLUMNS, COLUMNS)
    else:
        for j in range(width):
            at = panels_at + j // COLUMNS * depth * COLUMNS + j % COLUMNS
            for k in range(depth):
                panels[at + k * COLUMNS] = b[b_at + k * k_stride + j * j_stride]


@shared
def _product(part, parts, height, width, depth, rows, a, row, col, b, k_stride, j_stride, line,
             panels, panels_size, zero, results, out, i_stride, out_j_stride, accumulate):
    """One thread's share of the product: blocks of ``rows`` rows of a panel."""
    down = (height + rows - 1) // rows
    units = down * ((width + COLUMNS - 1) // COLUMNS)
    panel, result_at = part * panels_size, part * rows * COLUMNS
    slope = numpy.float32(1)
    for unit in range(units * part // parts, units * (part + 1) // parts):
        i, j = unit % down * rows, unit // down * COLUMNS
        count, columns = min(rows, height - i), min(COLUMNS, width - j)
        for k in range(0, depth, DEPTH):
            deep = min(DEPTH, depth - k)
            pack(columns, deep, b, k * k_stride + j * j_stride, k_stride, j_stride, panels, panel)
            if out_j_stride == 1:
                multiply(count, deep, a, 0, row, i, col, k, panels, panel, panel + LANES, line, 0,
                         zero, -1 if accumulate or k else 0, 0, slope,
                         out, i * i_stride + j, i_stride,
                         0, columns, LANES, max(0, columns - LANES))
            else:
                multiply(count, deep, a, 0, row, i, col, k, panels, panel, panel + LANES, line, 0,
                         zero, -1 if k else 0, 0, slope, results, result_at, COLUMNS,
                         0, columns, LANES, max(0, columns - LANES))
        if out_j_stride != 1:
            for c in range(columns):
                at = i * i_stride + (j + c) * out_j_stride
                for r in range(count):
                    value, place = results[result_at + r * COLUMNS + c], at + r * i_stride
                    out[place] = out[place] + value if accumulate else value


def matmul(workspace: Workspace, threads: int, a, b, out, accumulate: bool) -> None:
    """``out = a @ b``, or ``out += a @ b``, of float32 matrices with any strides."""
    if _cost(b.shape[1], a.shape[0]) < 0.9 * _cost(a.shape[0], b.shape[1]):
        a, b, out = b.T, a.T, out.T
    (height, depth), width = a.shape, b.shape[1]
    flat_a, i_stride, k_stride = _flat(a)
    panels = -(-width // COLUMNS)
    rows = max(HEIGHT, -(-height * panels // (4 * threads) // HEIGHT) * HEIGHT)
    panel = min(DEPTH, depth) * COLUMNS + LANES
    _product(threads, height, width, depth, rows,
             flat_a, strided(height, i_stride, TALL), strided(depth, k_stride),
             *_flat(b), strided(DEPTH, COLUMNS), workspace.floats("panel", threads * panel), panel,
             zeros(height), workspace.floats("result", threads * rows * COLUMNS),
             *_flat(out), accumulate)


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
