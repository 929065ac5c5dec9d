"""The gradient of a convolution's weights, compiled, without a column matrix.

A tile of dW.T is some taps, each read where it lies in the padded image, times a panel of dy.T.
"""

from __future__ import annotations

import numpy

from ..matrix.gemm import DEPTH, add_some, multiply, pack
from ..matrix.operands import Ends, Factors, Left, Panels, Right, Tile
from ..runtime.parallel import parallel
from ..runtime.workspace import Workspace, strided, zeros
from ..sum_parts import parts_of_batch
from ..vectors.blocks import add_vector, clear_floats, transpose_block
from ..vectors.llvm import COLUMNS, LANES
from .columns import copy_in
from .index_tables import Tables, tables

_SPAN = 2**18  # floats of sums that are added to in turn: 1 MiB


@parallel
def _weight(part, parts, batches, group, outputs, x, dy, t: Tables, padded, panels: Panels, sums,
            ones: Factors):
    """One thread's share: for some parts of the batch the gradient of COLUMNS outputs' weights.

    A tile of dW.T is some taps, read from the padded image, times the panel dy.T.
    ones: a row of them, whose product with the panel is the gradient of the bias.
    """
    batch = x.size // (group * len(t.line) * t.width)
    blocks = (outputs + COLUMNS - 1) // COLUMNS
    units = batches * group * blocks
    at, panel_at = part * t.image, part * panels.size
    size = (t.depth + 1) * COLUMNS
    span, ends = max(1, _SPAN // size), Ends(ones.flat, -1, False, numpy.float32(1))
    if not t.inside:
        clear_floats(padded, at, t.image)
    first, last = units * part // parts, units * (part + 1) // parts
    while first < last:
        end = min(last, (first // blocks + 1) * blocks, first + span)
        piece, g = first // (group * blocks), first // blocks % group
        clear_floats(sums, first * size, (end - first) * size)
        for n in range(batch * piece // batches, batch * (piece + 1) // batches):
            image = n * group + g
            source, source_at = x, image * len(t.line) * t.width
            if not t.inside:
                copy_in(x, source_at, t, padded, at)
                source, source_at = padded, at
            for p in range(0, t.pixels, DEPTH):
                depth = min(DEPTH, t.pixels - p)
                for unit in range(first, end):
                    block, total = unit % blocks, unit * size
                    count = min(COLUMNS, outputs - block * COLUMNS)
                    pack(count, depth, dy, (image * outputs + block * COLUMNS) * t.pixels + p,
                         1, t.pixels, panels.flat, panel_at)
                    right = Right(panels.flat, panel_at, panel_at + LANES, panels.line, 0)
                    multiply(t.depth, depth, Left(source, source_at, t.tap, 0, t.pixel, p), right,
                             ends, Tile(sums, total, COLUMNS,
                                        0, LANES, LANES, max(0, count - LANES)))
                    multiply(1, depth, Left(ones.flat, 0, ones.row, 0, ones.col, 0), right,
                             ends, Tile(sums, total + t.depth * COLUMNS, COLUMNS,
                                        0, LANES, LANES, max(0, count - LANES)))
        first = end


@parallel
def _add_sums(part, parts, batches, group, outputs, t: Tables, sums, blocks_of, dw, db):
    """One thread's share of adding the parts of the batch, in order, to dw and db."""
    blocks = (outputs + COLUMNS - 1) // COLUMNS
    units, size = group * blocks, (t.depth + 1) * COLUMNS
    scratch = part * LANES * LANES
    for unit in range(part, units, parts):
        first = unit // blocks * outputs + unit % blocks * COLUMNS
        for piece in range(1, batches):
            for i in range(0, size, LANES):
                add_vector(sums, (piece * units + unit) * size + i, sums, unit * size + i, LANES)
        count = min(COLUMNS, outputs - unit % blocks * COLUMNS)
        for j in range(0, count, LANES):
            for k in range(0, t.depth, LANES):
                transpose_block(sums, unit * size + k * COLUMNS + j, COLUMNS,
                                min(LANES, t.depth - k), min(LANES, count - j),
                                blocks_of, scratch, LANES)
                for i in range(min(LANES, count - j)):
                    add_some(blocks_of, scratch + i * LANES, dw,
                             (first + j + i) * t.depth + k, min(LANES, t.depth - k))
        if len(db):
            for j in range(count):
                db[first + j] += sums[unit * size + t.depth * COLUMNS + j]


def backward_weight(workspace: Workspace, threads: int, x, dy, dw, db, window,
                    group: int) -> None:
    """``dW += dy @ col.T`` and, unless db is None, ``db += dy`` summed over pixels.

    The batch is cut into parts whose number the shape fixes, not the number of threads.
    """
    t = tables(window, dw.shape[1], x.shape[2:], dy.shape[2:])
    outputs = dw.shape[0] // group
    units = group * -(-outputs // COLUMNS)
    batches = parts_of_batch(len(x), units)
    sums = workspace.floats("sums", batches * units * (t.depth + 1) * COLUMNS)
    _weight(threads, batches, group, outputs, x.reshape(-1), dy.reshape(-1), t,
            workspace.floats("padded", 0 if t.inside else threads * t.image),
            Panels(workspace.floats("panel", threads * DEPTH * COLUMNS), DEPTH * COLUMNS,
                   strided(DEPTH, COLUMNS)), sums, _ONES)
    _add_sums(threads, batches, group, outputs, t, sums,
              workspace.floats("block", threads * LANES * LANES), dw.reshape(-1),
              zeros(0) if db is None else db.reshape(-1))


_ONES = Factors(numpy.ones(1, numpy.float32), 0, strided(DEPTH, 0), strided(DEPTH, 0))
