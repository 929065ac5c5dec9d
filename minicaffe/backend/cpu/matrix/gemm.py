"""Matrix products from tiles: the compiled ``matmul``, and what convolution shares with it.

A few columns of the right matrix are copied into panels, (depth, COLUMNS) each and read from front
to back, DEPTH rows of them at a time: such a piece stays in the nearest cache while all rows of
the left matrix go by.  If the rows of that matrix lie side by side, they are copied into panels as
well.  One thread adds up an element's products, in order: the sums do not depend on the number of
threads.
"""

from __future__ import annotations

import numpy

from ..runtime.bounded_cache import bounded_cache
from ..runtime.jit import inner
from ..runtime.parallel import parallel
from ..runtime.workspace import Workspace, strided, zeros
from ..vectors.blocks import copy_vector, fetch, transpose_block
from ..vectors.llvm import COLUMNS, LANES, ROWS, TALL
from .dots import FEW, dots
from .microkernel import multiply_tall_tile, multiply_tile

DEPTH = 256  # rows of a panel at a time: 32 KiB
_ROWS = 48  # that a thread computes at a time, at least
_SHALLOW = 128  # depth of a product up to which rows go by all panels of a block in turn
_PANELS = 2**16  # floats of panels that rows go by in turn: 256 KiB
_PACKED = 256  # rows of the left matrix that are packed at a time, at most
_LARGE = 2**18  # floats of a matrix that the caches near a core do not hold


@inner
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


@inner
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


@inner
def add_some(source, source_at, target, target_at, count):
    """``target[:count] += source[:count]``."""
    first, at = numpy.uint64(source_at), numpy.uint64(target_at)
    for i in range(numpy.uint64(count)):
        target[at + i] += source[first + i]


@parallel
def _product(part, parts, height, width, depth, rows, span, deep, step, a, a_stride,
             left, left_size, row, col, b, k_stride, j_stride, line, panels, panels_size, zero,
             results, out, i_stride, out_j_stride, accumulate, large):
    """One thread's share of the product: blocks of ``rows`` rows and ``span`` columns.

    step: rows for which all of a block's panels are used in turn.
    a_stride: what lies between two columns of a, if they are to be copied into panels, in ``left``;
    else 0, and left is a.
    large: whether out is so large that what is written next is to be fetched from memory.
    """
    down = (height + rows - 1) // rows
    units = down * ((width + span - 1) // span)
    panels_at, result_at, left_at = part * panels_size, part * rows * COLUMNS, part * left_size
    slope, in_rows, held = numpy.float32(1), out_j_stride == 1, -1
    for unit in range(units * part // parts, units * (part + 1) // parts):
        i, j = unit % down * rows, unit // down * span
        count, columns = min(rows, height - i), min(span, width - j)
        for k in range(0, depth, deep):
            end = min(depth, k + deep)
            if j != held or depth > deep:
                pack(columns, end - k, b, k * k_stride + j * j_stride, k_stride, j_stride,
                     panels, panels_at)
                held = j
            first_row, first_col = i, k
            if a_stride:  # the table's second half is for the last, less deep panels
                pack(count, end - k, a, i + k * a_stride, a_stride, 1, left, left_at)
                first_row, first_col = 0 if end - k == deep else row.size // 2, 0
            bias_at = -1 if k or accumulate and in_rows else 0
            for r in range(0, count, step):
                for c in range(0, columns, COLUMNS):
                    panel, rest = panels_at + c * (end - k), columns - c
                    y_at = (i + r) * i_stride + j + c if in_rows else result_at + r * COLUMNS
                    for q in range(min(step, count - r) if large and in_rows else 0):
                        fetch(out, y_at + q * i_stride + 2 * COLUMNS, COLUMNS)
                    multiply(min(step, count - r), end - k, left, left_at, row, first_row + r,
                             col, first_col, panels, panel, panel + LANES, line, 0, zero,
                             bias_at, False, slope, out if in_rows else results, y_at,
                             i_stride if in_rows else COLUMNS, 0, rest, LANES,
                             max(0, rest - LANES))
        if not in_rows:
            for c in range(columns):
                at = i * i_stride + (j + c) * out_j_stride
                for r in range(count):
                    value, place = results[result_at + r * COLUMNS + c], at + r * i_stride
                    out[place] = out[place] + value if accumulate else value


def matmul(workspace: Workspace, threads: int, a, b, out, accumulate: bool) -> None:
    """``out = a @ b``, or ``out += a @ b``, of float32 matrices with any strides."""
    height, width = out.shape
    few = min(height, width) <= FEW and a.strides[1] == b.strides[0] == a.itemsize
    if height > width if few else _cost(b.T, a.T, out.T) < _cost(a, b, out):
        a, b, out = b.T, a.T, out.T
    (height, depth), width = a.shape, b.shape[1]
    left, right, result = flat(a), flat(b), flat(out)
    if few:
        (a, a_stride, _), (b, _, b_stride) = left, right
        dots(threads, height, width, depth, a, a_stride, b, b_stride, *result, accumulate)
    else:
        _matmul(workspace, threads, height, width, depth, *left, right, result, accumulate)


def _matmul(workspace: Workspace, threads: int, height: int, width: int, depth: int,
            a, i_stride: int, k_stride: int, b: tuple, out: tuple, accumulate: bool) -> None:
    """``matmul`` by tiles, of flat arrays, each with its strides."""
    across, in_rows = -(-width // COLUMNS), out[2] == 1
    # a single panel may be longer, if what it is multiplied with is read from front to back
    deep = min(depth, 4 * DEPTH if across == 1 and k_stride == 1 else DEPTH)
    most = min(across, _PANELS // (deep * COLUMNS))
    packs = i_stride == 1 < k_stride and in_rows and across > 1
    if packs:
        blocks, rows = most, min(_PACKED, -(-height * across // (2 * threads * most)))
    else:
        blocks = min(across // (4 * threads), most) or 1 if in_rows else 1
        rows = max(_ROWS, -(-height * across // (4 * threads * blocks)))
    # a tall tile reads TALL places of rows, wherever a block begins
    rows, span = -(-rows // TALL) * TALL, blocks * COLUMNS
    if packs:
        left_size = -(-rows // COLUMNS) * deep * COLUMNS + LANES
        left = workspace.floats("packed", threads * left_size)
        row, col = _panel_rows(rows, deep, depth % deep), strided(deep, COLUMNS)
    else:
        left_size, left = 0, a
        row, col = strided(height, i_stride, TALL), strided(depth, k_stride)
    panels = deep * span + LANES
    _product(threads, height, width, depth, rows, span, deep,
             rows if depth > _SHALLOW else 2 * TALL, a, k_stride if packs else 0,
             left, left_size, row, col, *b, strided(deep, COLUMNS),
             workspace.floats("panel", threads * panels), panels, zeros(height),
             workspace.floats("result", threads * rows * COLUMNS), *out, accumulate,
             height * width > _LARGE)


@bounded_cache
def _panel_rows(rows: int, depth: int, rest: int) -> numpy.ndarray:
    """Where each row of the left matrix begins in panels of a depth, and in those of the rest."""
    row = numpy.arange(rows)
    return numpy.concatenate([row // COLUMNS * deep * COLUMNS + row % COLUMNS
                              for deep in (depth, rest)])


def _cost(a, b, out) -> float:
    """Cycles that a product takes for each step along its depth, about.

    Of its tiles, of copying b into panels, faster along its rows, and of reading a, slow where its
    columns lie one after the other, and of writing down its columns.
    """
    (height, depth), width = a.shape, b.shape[1]
    tile = TALL if width <= LANES else ROWS
    tiles = -(-height // tile) * -(-width // COLUMNS) * ROWS
    copies = width * (0.1 if b.strides[1] == b.itemsize else 0.5)
    reads = 0 if a.strides[1] == a.itemsize else 0.3 * height
    writes = 0 if out.strides[1] == out.itemsize else 1.5 * height * width / depth
    return tiles + copies + reads + writes


def flat(matrix) -> tuple[numpy.ndarray, int, int]:
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
