"""The gradient of the weights of 3x3 kernels by Winograd's method: see ``winograd``.

Both x and dy are cut into tiles and transformed.  For each element t of the transforms, patches of
x times tiles of dy are a matrix product of its own, summed over all tiles of the batch; only what
this leaves is transformed back, to 3 * 3 numbers for each channel and output.
"""

from __future__ import annotations

import numpy

from .....window import Window
from ...matrix.gemm import add_some, multiply
from ...matrix.operands import Ends, Left, Panels, Right, Sums, Tile
from ...runtime.jit import inner
from ...runtime.parallel import parallel
from ...runtime.workspace import Workspace, aligned, strided, zeros
from ...sum_parts import parts_of_tiles
from ...vectors.blocks import add_lines, add_vector, clear_floats, transpose_block
from ...vectors.llvm import COLUMNS, LANES, TALL
from .forward import patches
from .tiles import BLOCK, Patches, Tiles, apart, place_of, spread, tiles_of
from .transforms import transform_gradients, transform_sums

_DEEP = 128  # channels whose weights' gradients are computed at a time


@inner
def _gradients(dy, g, t, first, end, planes, at, r, r_at, biases, bias_at):
    """``r[t, panel, tile, j]``: transforms of the tiles of dy; and, unless bias_at < 0,
    ``biases += dy``, summed over the tiles."""
    p, tiles = t.target, (end - first) * t.across
    for o in range(0, t.outputs, LANES):
        spread(dy, (g * t.outputs + o) * p.height * p.width, min(LANES, t.outputs - o),
                t.group * t.outputs, p, t, first, end, planes, at)
        target = r_at + o // COLUMNS * tiles * COLUMNS + o % COLUMNS
        for row in range(first, end):
            source = at + place_of(p, t, first, row)
            if bias_at >= 0:
                add_lines(planes, source, t.edge**2 * t.across, biases, bias_at + o)
            for _ in range(t.across):
                transform_gradients(t, planes, source, p.line, LANES,
                                    r.flat, target, (t.edge + 2) * r.size, r.size)
                source += t.edge * LANES
                target += COLUMNS


@parallel
def _weight(part, parts, t: Tiles, pieces, deep, x, dy, v: Patches, r: Panels, sums: Sums, biases,
            planes):
    """One thread's share: for some pieces of the batch, the products of ``deep`` channels' patches
    with all of dy."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    splits = (t.channels + deep - 1) // deep
    blocks = (t.images * t.rows + t.step - 1) // t.step
    at, v_at, r_at = (part * t.held * (t.source.size + t.target.size), part * points * v.size,
                      part * points * r.size)
    middle = at + t.held * t.source.size
    clear_floats(planes, at, t.held * (t.source.size + t.target.size))
    units = pieces * t.group * splits
    for unit in range(units * part // parts, units * (part + 1) // parts):
        piece, g, c = unit // (t.group * splits), unit // splits % t.group, unit % splits * deep
        count, start = min(deep, t.channels - c), 0
        bias_at = (piece * t.group + g) * panels * COLUMNS if c == 0 else -1
        if c == 0:
            clear_floats(biases, bias_at, panels * COLUMNS)
        for block in range(blocks * piece // pieces, blocks * (piece + 1) // pieces):
            first, end = block * t.step, min((block + 1) * t.step, t.images * t.rows)
            tiles = (end - first) * t.across
            patches(x, g, c, count, t, first, end, planes, at, v, v_at)
            _gradients(dy, g, t, first, end, planes, middle, r, r_at, biases, bias_at)
            ends = Ends(sums.zeros, start, False, numpy.float32(1))
            for element in range(points):
                left = Left(v.flat, v_at + element * v.size, v.row, 0, v.col, 0)
                for panel in range(panels):
                    right = max(0, min(COLUMNS, t.outputs - panel * COLUMNS) - LANES)
                    place = r_at + element * r.size + panel * tiles * COLUMNS
                    total = (unit * points + element) * sums.size + panel * count * COLUMNS
                    multiply(count, tiles, left, Right(r.flat, place, place + LANES, r.line, 0),
                             ends, Tile(sums.flat, total, COLUMNS, 0, LANES, LANES, right))
            start = -1


@parallel
def _add_sums(part, parts, t: Tiles, pieces, deep, sums: Sums, biases, lines, dw, db):
    """One thread's share of adding the pieces of the batch, in order, and to dw and db."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    splits, down = (t.channels + deep - 1) // deep, (t.channels + LANES - 1) // LANES
    between, at = t.group * splits * points * sums.size, part * 10 * LANES * LANES
    for unit in range(part, t.group * panels * down, parts):
        g, panel, c = unit // (panels * down), unit // down % panels, unit % down * LANES
        rows, count = min(LANES, t.channels - c), min(deep, t.channels - c // deep * deep)
        place = ((g * splits + c // deep) * points * sums.size
                 + (panel * count + c % deep) * COLUMNS)
        for element in range(points):
            start = place + element * sums.size
            for piece in range(1, pieces):
                for i in range(start, start + rows * COLUMNS, LANES):
                    add_vector(sums.flat, piece * between + i, sums.flat, i, LANES)
        o = panel * COLUMNS
        for j in range(0, min(COLUMNS, t.outputs - o), LANES):
            for k in range(rows):
                transform_sums(t, sums.flat, place + k * COLUMNS + j, (t.edge + 2) * sums.size,
                               sums.size, lines, at + 9 * k * LANES, 3 * LANES, LANES)
            _add_rows(lines, at, 9 * rows, min(LANES, t.outputs - o - j), dw,
                      ((g * t.outputs + o + j) * t.channels + c) * 9, t.channels * 9)
        if len(db) and c == 0:
            for j in range(o, min(o + COLUMNS, t.outputs)):
                for piece in range(pieces):
                    db[g * t.outputs + j] += biases[(piece * t.group + g) * panels * COLUMNS + j]


@inner
def _add_rows(lines, at, count, rows, out, out_at, stride):
    """``out[i, k] += lines[k, i]`` for i < rows, k < count."""
    block = at + 9 * LANES * LANES
    for k in range(0, count, LANES):
        transpose_block(lines, at + k * LANES, LANES, min(LANES, count - k), rows,
                        lines, block, LANES)
        for i in range(rows):
            add_some(lines, block + i * LANES, out, out_at + i * stride + k, min(LANES, count - k))


def backward_weight(workspace: Workspace, threads: int, x, dy, dw, db, window: Window,
                    group: int, edge: int) -> None:
    """``convolution.backward_weight``.  The shape fixes how the batch is cut into pieces."""
    channels, outputs, points = dw.shape[1], len(dw) // group, (edge + 2)**2
    panels, deep = -(-outputs // COLUMNS), min(channels, _DEEP)
    units, step = group * -(-channels // deep), aligned(deep) + LANES
    sums_size = apart(panels * deep * COLUMNS)
    pieces = parts_of_tiles(units, units * points * sums_size,
                            -(-len(x) * dy[0, 0].size // (edge**2 * BLOCK)))
    t = tiles_of(edge, x.shape, dy.shape, window, group, points * (step + panels * COLUMNS),
               pieces)
    pieces, tiles = min(pieces, -(-t.images * t.rows // t.step)), t.step * t.across
    v_size, r_size = apart(tiles * step), apart(panels * tiles * COLUMNS)
    sums = Sums(workspace.floats("sums", pieces * units * points * sums_size), sums_size,
                zeros(deep))
    biases = workspace.floats("bias", pieces * group * panels * COLUMNS)
    _weight(threads, t, pieces, deep, x.reshape(-1), dy.reshape(-1),
            Patches(workspace.floats("panel", threads * points * v_size), v_size, step,
                    strided(deep, 1, TALL), strided(tiles, step)),
            Panels(workspace.floats("products", threads * points * r_size), r_size,
                   strided(tiles, COLUMNS)), sums, biases,
            workspace.floats("padded", threads * t.held * (t.source.size + t.target.size)))
    _add_sums(threads, t, pieces, deep, sums, biases,
              workspace.floats("block", threads * 10 * LANES * LANES), dw.reshape(-1),
              zeros(0) if db is None else db.reshape(-1))
