"""Matrix products from tiles: the compiled ``matmul``, and what convolution shares with it.

A few columns of the right matrix are copied into panels, (depth, COLUMNS) each and read from front
to back, DEPTH rows of them at a time: such a piece stays in the nearest cache while all rows of
the left matrix go by.  If the rows of that matrix lie side by side, they are copied into panels as
well.  One thread adds up an element's products, in order: the sums do not depend on the number of
threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from ..runtime.bounded_cache import bounded_cache
from ..runtime.jit import inner
from ..runtime.parallel import parallel
from ..runtime.workspace import Scratch, Workspace, strided, zeros
from ..vectors.blocks import copy_vector, fetch, transpose_block
from ..vectors.llvm import COLUMNS, LANES, ROWS, TALL
from .dots import FEW, dots
from .microkernel import multiply_tall_tile, multiply_tile
from .operands import Ends, Factors, Left, Matrix, Panels, Right, Tile

DEPTH = 256  # rows of a panel at a time: 32 KiB
_ROWS = 48  # that a thread computes at a time, at least
_SHALLOW = 128  # depth of a product up to which rows go by all panels of a block in turn
_PANELS = 2**16  # floats of panels that rows go by in turn: 256 KiB
_PACKED = 256  # rows of the left matrix that are packed at a time, at most
_LARGE = 2**18  # floats of a matrix that the caches near a core do not hold


@inner
def multiply(count, depth, left, right, ends, tile):
    """``count`` rows of a product of ``depth`` terms, two vectors wide, or one where the tile's
    right_count is 0: see ``operands``."""
    if tile.right_count > 0:
        for i in range(0, count, ROWS):
            multiply_tile(i, min(ROWS, count - i), depth, left, right, ends, tile)
    else:
        for i in range(0, count, TALL):
            multiply_tall_tile(i, min(TALL, count - i), depth, left, right, ends, tile)


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


class _Cut(NamedTuple):
    """How a product is cut into blocks, which threads share out."""

    height: int  # of the product
    width: int
    depth: int
    rows: int  # of a block
    span: int  # columns of a block
    deep: int  # terms of the sums that are added up at a time
    step: int  # rows for which all of a block's panels are used in turn


@parallel
def _product(part, parts, cut: _Cut, a: Matrix, left: Factors, b: Matrix, out: Matrix,
             panels: Panels, results: Scratch, zero, accumulate):
    """One thread's share of the product: some blocks.

    left: a itself, or, where its size is not 0, room for panels of a, to which it is copied.
    results: room for a block's columns, where those of out do not lie side by side.
    """
    down = (cut.height + cut.rows - 1) // cut.rows
    units = down * ((cut.width + cut.span - 1) // cut.span)
    panels_at, result_at, left_at = part * panels.size, part * results.size, part * left.size
    slope, in_rows, held = numpy.float32(1), out.j_stride == 1, -1
    is_large = cut.height * cut.width > _LARGE
    for unit in range(units * part // parts, units * (part + 1) // parts):
        i, j = unit % down * cut.rows, unit // down * cut.span
        count, columns = min(cut.rows, cut.height - i), min(cut.span, cut.width - j)
        for k in range(0, cut.depth, cut.deep):
            depth = min(cut.deep, cut.depth - k)
            if j != held or cut.depth > cut.deep:
                pack(columns, depth, b.flat, k * b.i_stride + j * b.j_stride, b.i_stride,
                     b.j_stride, panels.flat, panels_at)
                held = j
            first_row, first_col = i, k
            if left.size:  # the table's second half is for the last, less deep panels
                pack(count, depth, a.flat, i + k * a.j_stride, a.j_stride, 1, left.flat, left_at)
                first_row, first_col = 0 if depth == cut.deep else left.row.size // 2, 0
            ends = Ends(zero, -1 if k or accumulate and in_rows else 0, False, slope)
            for r in range(0, count, cut.step):
                rows = min(cut.step, count - r)
                for c in range(0, columns, COLUMNS):
                    panel, rest = panels_at + c * depth, columns - c
                    y_at = (i + r) * out.i_stride + j + c if in_rows else result_at + r * COLUMNS
                    for q in range(rows if is_large and in_rows else 0):
                        fetch(out.flat, y_at + q * out.i_stride + 2 * COLUMNS, COLUMNS)
                    multiply(rows, depth,
                             Left(left.flat, left_at, left.row, first_row + r, left.col, first_col),
                             Right(panels.flat, panel, panel + LANES, panels.line, 0), ends,
                             Tile(out.flat if in_rows else results.flat, y_at,
                                  out.i_stride if in_rows else COLUMNS,
                                  0, rest, LANES, max(0, rest - LANES)))
        if not in_rows:
            for c in range(columns):
                at = i * out.i_stride + (j + c) * out.j_stride
                for r in range(count):
                    value, place = results.flat[result_at + r * COLUMNS + c], at + r * out.i_stride
                    out.flat[place] = out.flat[place] + value if accumulate else value


def matmul(workspace: Workspace, threads: int, a, b, out, accumulate: bool) -> None:
    """``out = a @ b``, or ``out += a @ b``, of float32 matrices with any strides."""
    height, width = out.shape
    few = min(height, width) <= FEW and a.strides[1] == b.strides[0] == a.itemsize
    if height > width if few else _cost(b.T, a.T, out.T) < _cost(a, b, out):
        a, b, out = b.T, a.T, out.T
    (height, depth), width = a.shape, b.shape[1]
    if few:
        dots(threads, height, width, depth, flat(a), flat(b), flat(out), accumulate)
    else:
        _matmul(workspace, threads, height, width, depth, flat(a), flat(b), flat(out), accumulate)


def _matmul(workspace: Workspace, threads: int, height: int, width: int, depth: int,
            a: Matrix, b: Matrix, out: Matrix, accumulate: bool) -> None:
    """``matmul`` by tiles."""
    cut, packed, row, col, line = _tiling(threads, height, width, depth, a.i_stride, a.j_stride,
                                          out.j_stride == 1)
    memory = workspace.floats("packed", threads * packed) if packed else a.flat
    size = cut.deep * cut.span + LANES
    _product(threads, cut, a, Factors(memory, packed, row, col), b, out,
             Panels(workspace.floats("panel", threads * size), size, line),
             workspace.shared("result", threads, cut.rows * COLUMNS), zeros(height), accumulate)


class _Tiling(NamedTuple):
    """A product's cut, and the tables of places that go with it."""

    cut: _Cut
    packed: int  # floats of panels to which a thread copies what it needs of the left matrix
    row: numpy.ndarray  # of the left matrix, or of those panels
    col: numpy.ndarray
    line: numpy.ndarray  # of the right matrix's panels

    @property
    def nbytes(self) -> int:
        return self.row.nbytes + self.col.nbytes + self.line.nbytes


@bounded_cache
def _tiling(threads: int, height: int, width: int, depth: int, i_stride: int, k_stride: int,
            in_rows: bool) -> _Tiling:
    """How to cut a product of a left matrix with these strides.

    in_rows: whether the elements of the result's rows lie side by side.
    """
    across = -(-width // COLUMNS)
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
    rows = -(-rows // TALL) * TALL
    cut = _Cut(height, width, depth, rows, blocks * COLUMNS, deep,
               rows if depth > _SHALLOW else 2 * TALL)
    line = strided(deep, COLUMNS)
    if packs:
        packed = -(-rows // COLUMNS) * deep * COLUMNS + LANES
        return _Tiling(cut, packed, _panel_rows(rows, deep, depth % deep), line, line)
    return _Tiling(cut, 0, strided(height, i_stride, TALL), strided(depth, k_stride), line)


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


def flat(matrix) -> Matrix:
    """A matrix as compiled code takes it."""
    rows, columns = matrix.shape
    if matrix.flags.c_contiguous:
        return Matrix(matrix.reshape(-1), columns, 1)
    if matrix.flags.f_contiguous:
        return Matrix(matrix.T.reshape(-1), 1, rows)
    i_stride, j_stride = (stride // matrix.itemsize for stride in matrix.strides)
    size = (rows - 1) * i_stride + (columns - 1) * j_stride + 1
    memory = numpy.lib.stride_tricks.as_strided(matrix, (size,), (matrix.itemsize,))
    return Matrix(memory, i_stride, j_stride)
