"""Convolution with 3x3 kernels at stride 1 by Winograd's method: 16 products where the definition
takes 36, or 36 where it takes 144, for ``edge`` * ``edge`` outputs, edge 2 or 4.

The outputs are cut into tiles of that size.  What a tile depends on, a patch, is transformed; so
are the filters; then each of the (edge + 2)^2 elements is a matrix product of its own, tiles by
channels by outputs; and the products are transformed back.  See ``transforms`` for the formula.

Inside, channels come last, LANES of them side by side: an image is copied to padded planes pixel by
pixel, so that every transform works on whole vectors wherever tiles lie, and however small the
image is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from .gemm import add_some
from .gemm import DEPTH, multiply
from .jit import compiled
from .microkernel import COLUMNS, LANES, TALL, add_vector, clear_floats, transpose_block
from .recent import recent
from .shares import shared
from .transforms import (
    collect_block,
    filters2,
    filters4,
    gradients2,
    gradients4,
    outputs2,
    outputs4,
    patches2,
    patches4,
    spread_block,
    sums2,
    sums4,
)
from .workspace import Workspace, aligned, strided, zeros

_SCRATCH = 1 << 17  # floats of transformed patches in a block of tiles, about


class Plane(NamedTuple):
    """How an image lies in memory, pixel by pixel, LANES channels of each."""

    height: int  # of the image
    width: int
    pad: int  # rows above the image, in front of which tile 0 begins
    line: int  # floats of a row
    size: int  # floats
    pixel: numpy.ndarray  # (height * width rounded up,): where each lies

    @property
    def nbytes(self) -> int:
        return self.pixel.nbytes


@recent
def _plane(height: int, width: int, pad: int, rows: int, columns: int) -> Plane:
    """A plane of ``rows`` * ``columns`` pixels, the image behind ``pad`` of them on either axis."""
    place = numpy.add.outer((numpy.arange(height) + pad) * columns,
                            numpy.arange(width) + pad).reshape(-1)
    behind = numpy.full(LANES, rows * columns)
    return Plane(height, width, pad, columns * LANES, (rows * columns + 1) * LANES,
                 numpy.concatenate([place, behind]) * LANES)


class Grid(NamedTuple):
    """The tiles of a convolution; those of all images are counted row by row."""

    edge: int
    rows: int  # of tiles in an image
    across: int  # tiles in a row
    images: int
    step: int  # rows of tiles in a block


# ------------------------------------------------------------------------------ planes and tiles

@compiled
def _spread(x, x_at, channels, image_size, p, grid, first, end, reach, planes, at):
    """Copy up to LANES channels of what the tile rows first to end reach into planes, one for each
    image: ``reach`` rows more than they have themselves."""
    row = first
    while row < end:
        image = row // grid.rows
        last = min(end, (image + 1) * grid.rows)
        top = max(0, (row - image * grid.rows) * grid.edge - p.pad) * p.width
        bottom = min(p.height, (last - image * grid.rows) * grid.edge + reach - p.pad) * p.width
        for i in range(top, bottom, LANES):
            spread_block(x, x_at + image * image_size + i, p.height * p.width, channels, bottom - i,
                         planes, at, p.pixel, i)
        at += p.size
        row = last


@compiled
def _collect(planes, at, p, grid, first, end, y, y_at, outputs, image_size):
    """Copy up to LANES outputs of the tile rows first to end out of planes."""
    row = first
    while row < end:
        image = row // grid.rows
        last = min(end, (image + 1) * grid.rows)
        top = (row - image * grid.rows) * grid.edge * p.width
        bottom = min(p.height, (last - image * grid.rows) * grid.edge) * p.width
        for i in range(top, bottom, LANES):
            collect_block(planes, at, p.pixel, i, y, y_at + image * image_size + i,
                          p.height * p.width, outputs, bottom - i)
        at += p.size
        row = last


@compiled
def _place(p, grid, first, row):
    """Where the first tile of a row lies in planes whose first is that of the row ``first``."""
    image = row // grid.rows
    return ((image - first // grid.rows) * p.size
            + (row - image * grid.rows) * grid.edge * p.line)


@compiled
def _transform_patches(x, x_at, channels, image_size, p, grid, first, end, planes, at,
                       v, v_at, step, size):
    """``v[t, tile, c] = (B.T @ d @ B)[t]`` for all tiles of some rows."""
    for c in range(0, channels, LANES):
        _spread(x, x_at + c * p.height * p.width, min(LANES, channels - c), image_size, p, grid,
                first, end, 2, planes, at)
        target = v_at + c
        for row in range(first, end):
            source = at + _place(p, grid, first, row)
            for _ in range(grid.across):
                if grid.edge == 2:
                    patches2(planes, source, p.line, LANES, v, target, 4 * size, size)
                else:
                    patches4(planes, source, p.line, LANES, v, target, 6 * size, size)
                source += grid.edge * LANES
                target += step


# --------------------------------------------------------------------------------------- filters

@shared
def _transform_filters(part, parts, edge, group, outputs, depth, w, start, group_stride,
                       output_stride, depth_stride, turn, taps, u):
    """``u[g, t, panel, k, j] = (G @ g @ G.T)[t]`` of output ``panel * COLUMNS + j``; turn: -1 to
    turn filters round, else 1."""
    panels = (outputs + COLUMNS - 1) // COLUMNS
    blocks = (outputs + LANES - 1) // LANES
    size, at = panels * depth * COLUMNS, part * LANES * LANES
    units = group * blocks * depth
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, block, k = unit // (blocks * depth), unit // depth % blocks, unit % depth
        j = block * LANES
        transpose_block(w, start + g * group_stride + j * output_stride + k * depth_stride,
                        output_stride, min(LANES, outputs - j), 9, taps, at, LANES)
        source = at if turn > 0 else at + 8 * LANES
        target = j // COLUMNS * depth * COLUMNS + k * COLUMNS + j % COLUMNS
        if edge == 2:
            filters2(taps, source, 3 * turn * LANES, turn * LANES,
                     u, g * 16 * size + target, 4 * size, size)
        else:
            filters4(taps, source, 3 * turn * LANES, turn * LANES,
                     u, g * 36 * size + target, 6 * size, size)


# --------------------------------------------------------------------------------------- forward

@compiled
def _multiply_tiles(tiles, depth, points, panels, first, end, v, v_at, v_size, row, col, u, u_at,
                    line, outputs, zero, m, m_at, m_size):
    """``m[t, tile, j]`` for the outputs of panels first to end."""
    width = (end - first) * COLUMNS
    for t in range(points):
        for panel in range(first, end):
            target = m_at + t * m_size + (panel - first) * COLUMNS
            right = min(COLUMNS, outputs - panel * COLUMNS) - LANES
            source = u_at + (t * panels + panel) * depth * COLUMNS
            for k in range(0, depth, DEPTH):
                place = source + k * COLUMNS
                multiply(tiles, min(DEPTH, depth - k), v, v_at + t * v_size, row, 0, col, k,
                         u, place, place + LANES, line, 0, zero, 0 if k == 0 else -1, 0,
                         numpy.float32(1), m, target, width, 0, LANES, LANES, max(0, right))


@shared
def _forward(part, parts, grid, group, channels, outputs, width, splits, x, p, u, bias, slope, y, q,
             row, col, line, zero, planes, planes_size, results, results_size, v, v_size, m, m_size):
    """One thread's share: some blocks of tiles, and of the panels of outputs."""
    points = (grid.edge + 2) ** 2
    panels = (outputs + COLUMNS - 1) // COLUMNS
    blocks = (grid.images * grid.rows + grid.step - 1) // grid.step
    units = group * blocks * splits
    at, results_at = part * planes_size, part * results_size
    v_at, m_at = part * v_size * points, part * m_size * points
    step = row[1]
    clear_floats(planes, at, planes_size)
    held = -1
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, block, piece = unit // (blocks * splits), unit // splits % blocks, unit % splits
        first = block * grid.step
        end = min(first + grid.step, grid.images * grid.rows)
        if unit // splits != held:
            _transform_patches(x, g * channels * p.height * p.width, channels,
                               group * channels * p.height * p.width, p, grid, first, end,
                               planes, at, v, v_at, step, v_size)
            held = unit // splits
        for panel in range(panels * piece // splits, panels * (piece + 1) // splits, width):
            last = min(panel + width, panels * (piece + 1) // splits)
            _multiply_tiles((end - first) * grid.across, channels, points, panels, panel, last,
                            v, v_at, v_size, row, col, u, g * points * panels * channels * COLUMNS,
                            line, outputs, zero, m, m_at, m_size)
            _transform_back(grid, first, end, outputs, panel, last, g, group, m, m_at, m_size, bias, slope,
                            results, results_at, y, q)


@compiled
def _transform_back(grid, first, end, outputs, panel, last, g, group, m, m_at, m_size, bias, slope,
                    planes, at, y, q):
    """``y = A.T @ m @ A``, plus the bias, through a ReLU, for the outputs of some panels."""
    width = (last - panel) * COLUMNS
    for j in range(0, min(width, outputs - panel * COLUMNS), LANES):
        source, o = m_at + j, g * outputs + panel * COLUMNS + j
        for row in range(first, end):
            target = at + _place(q, grid, first, row)
            for _ in range(grid.across):
                if grid.edge == 2:
                    outputs2(m, source, 4 * m_size, m_size,
                             planes, target, q.line, LANES, bias, o, slope)
                else:
                    outputs4(m, source, 6 * m_size, m_size,
                             planes, target, q.line, LANES, bias, o, slope)
                source += width
                target += grid.edge * LANES
        _collect(planes, at, q, grid, first, end, y, o * q.height * q.width,
                 min(LANES, outputs - panel * COLUMNS - j), group * outputs * q.height * q.width)


# ------------------------------------------------------------------------ gradient of the weights

@compiled
def _transform_gradients(dy, dy_at, outputs, image_size, q, grid, first, end, planes, at, r, r_at, size):
    """``r[t, panel, tile, j] = (A @ dy @ A.T)[t]`` for all tiles of some rows."""
    tiles = (end - first) * grid.across
    for o in range(0, outputs, LANES):
        _spread(dy, dy_at + o * q.height * q.width, min(LANES, outputs - o), image_size, q, grid,
                first, end, 0, planes, at)
        target = r_at + o // COLUMNS * tiles * COLUMNS + o % COLUMNS
        for row in range(first, end):
            source = at + _place(q, grid, first, row)
            for _ in range(grid.across):
                if grid.edge == 2:
                    gradients2(planes, source, q.line, LANES, r, target, 4 * size, size)
                else:
                    gradients4(planes, source, q.line, LANES, r, target, 6 * size, size)
                source += grid.edge * LANES
                target += COLUMNS


@shared
def _weight(part, parts, grid, pieces, group, channels, outputs, deep, x, p, dy, q, one, step, line,
            ones, zero, planes, planes_size, v, v_size, r, r_size, sums, sums_size, biases):
    """One thread's share: for some pieces of the batch, the products of ``deep`` channels' patches
    with all gradients."""
    points = (grid.edge + 2) ** 2
    panels, splits = (outputs + COLUMNS - 1) // COLUMNS, (channels + deep - 1) // deep
    blocks = (grid.images * grid.rows + grid.step - 1) // grid.step
    at, v_at, r_at = part * planes_size, part * v_size * points, part * r_size * points
    images = (grid.step + grid.rows - 2) // grid.rows + 1
    slope = numpy.float32(1)
    clear_floats(planes, at, planes_size)
    units = pieces * group * splits
    for unit in range(units * part // parts, units * (part + 1) // parts):
        piece, g, c = unit // (group * splits), unit // splits % group, unit % splits * deep
        count = min(deep, channels - c)
        total = unit * sums_size
        clear_floats(sums, total, points * panels * count * COLUMNS)
        if c == 0:
            clear_floats(biases, (piece * group + g) * panels * COLUMNS, panels * COLUMNS)
        for block in range(blocks * piece // pieces, blocks * (piece + 1) // pieces):
            first = block * grid.step
            end = min(first + grid.step, grid.images * grid.rows)
            tiles = (end - first) * grid.across
            _transform_patches(x, (g * channels + c) * p.height * p.width, count,
                               group * channels * p.height * p.width, p, grid, first, end,
                               planes, at, v, v_at, step[1], v_size)
            _transform_gradients(dy, g * outputs * q.height * q.width, outputs,
                                 group * outputs * q.height * q.width, q, grid, first, end,
                                 planes, at + images * p.size, r, r_at, r_size)
            for t in range(points):
                for panel in range(panels):
                    right = max(0, min(COLUMNS, outputs - panel * COLUMNS) - LANES)
                    source = r_at + t * r_size + panel * tiles * COLUMNS
                    multiply(count, tiles, v, v_at + t * v_size, one, 0, step, 0,
                             r, source, source + LANES, line, 0, zero, -1, 0, slope,
                             sums, total + (t * panels + panel) * count * COLUMNS, COLUMNS,
                             0, LANES, LANES, right)
                    if c == 0 and t == grid.edge + 3:
                        multiply(1, tiles, ones, 0, one, 0, one, 0,
                                 r, source, source + LANES, line, 0, zero, -1, 0, slope,
                                 biases, ((piece * group + g) * panels + panel) * COLUMNS, COLUMNS,
                                 0, LANES, LANES, right)


@shared
def _add_sums(part, parts, edge, pieces, group, channels, outputs, deep, sums, sums_size, biases,
              lines, dw, db):
    """One thread's share of adding the pieces of the batch, in order, and of
    ``dw += G.T @ sums @ G``."""
    points = (edge + 2) ** 2
    panels, splits = (outputs + COLUMNS - 1) // COLUMNS, (channels + deep - 1) // deep
    across, down = (outputs + LANES - 1) // LANES, (channels + LANES - 1) // LANES
    at = part * 10 * LANES * LANES
    block_at = at + 9 * LANES * LANES
    for unit in range(part, group * across * down, parts):
        g, j, first = unit // (across * down), unit // down % across * LANES, unit % down * LANES
        rows, columns = min(LANES, channels - first), min(LANES, outputs - j)
        count = min(deep, channels - first // deep * deep)
        size = panels * count * COLUMNS
        place = ((g * splits + first // deep) * sums_size + j // COLUMNS * count * COLUMNS
                 + first % deep * COLUMNS + j % COLUMNS)
        for c in range(rows):
            source = place + c * COLUMNS
            for t in range(points):
                for piece in range(1, pieces):
                    add_vector(sums, source + t * size + piece * group * splits * sums_size,
                               sums, source + t * size, LANES)
            if edge == 2:
                sums2(sums, source, 4 * size, size,
                      lines, at + 9 * c * LANES, 3 * LANES, LANES)
            else:
                sums4(sums, source, 6 * size, size,
                      lines, at + 9 * c * LANES, 3 * LANES, LANES)
        for k in range(0, 9 * rows, LANES):
            transpose_block(lines, at + k * LANES, LANES, min(LANES, 9 * rows - k), columns,
                            lines, block_at, LANES)
            for i in range(columns):
                add_some(lines, block_at + i * LANES, dw,
                         ((g * outputs + j + i) * channels + first) * 9 + k,
                         min(LANES, 9 * rows - k))
        if len(db) and first == 0:
            for i in range(columns):
                for piece in range(pieces):
                    db[g * outputs + j + i] += biases[(piece * group + g) * panels * COLUMNS + j + i]


# ----------------------------------------------------------------------------------------- calls

def forward(workspace: Workspace, threads: int, x, w, b, y, window, group: int,
            slope: float | None, edge: int) -> None:
    """``convolution.forward`` for 3x3 kernels at stride 1, in tiles of edge * edge outputs."""
    channels, outputs = w.shape[1], len(w) // group
    u = _filters(workspace, threads, edge, w, group, outputs, channels, 0, 9 * outputs * channels,
                 9 * channels, 9, 1)
    _convolve(workspace, threads, edge, x, u, b, y, window.pad, group, slope)


def backward_data(workspace: Workspace, threads: int, dy, w, dx, window, group: int,
                  edge: int) -> None:
    """``convolution.backward_data``: a convolution of dy by the filters turned round."""
    channels, outputs = w.shape[1], len(w) // group
    u = _filters(workspace, threads, edge, w, group, channels, outputs, 0, 9 * outputs * channels,
                 9, 9 * channels, -1)
    _convolve(workspace, threads, edge, dy, u, None, dx, [2 - pad for pad in window.pad], group,
              None)


def _filters(workspace: Workspace, threads: int, edge: int, w, group: int, outputs: int,
             depth: int, *places: int):
    panels = -(-outputs // COLUMNS)
    u = workspace.floats("filters", group * (edge + 2)**2 * panels * depth * COLUMNS)
    _transform_filters(threads, edge, group, outputs, depth, w.reshape(-1), *places,
                       workspace.floats("taps", threads * LANES * LANES), u)
    return u


def _convolve(workspace: Workspace, threads: int, edge: int, x, u, b, y, pad, group: int,
              slope: float | None) -> None:
    channels, outputs, points = x.shape[1] // group, y.shape[1] // group, (edge + 2)**2
    panels = -(-outputs // COLUMNS)
    grid, p, q, images = _grid(edge, x.shape, y.shape, pad, points * (aligned(channels) + LANES),
                               threads * 2)
    tiles = grid.step * grid.across
    blocks = group * -(-grid.images * grid.rows // grid.step)
    splits = 1 if blocks >= 2 * threads else min(panels, threads)
    width = max(1, min(panels, _RESULTS // (points * tiles * COLUMNS)))
    v_size, m_size = _apart(tiles * (aligned(channels) + LANES)), _apart(tiles * width * COLUMNS)
    _forward(threads, grid, group, channels, outputs, width, splits, x.reshape(-1), p, u,
             _bias(workspace, b, y.shape[1]), numpy.float32(1 if slope is None else slope),
             y.reshape(-1), q, strided(tiles, aligned(channels) + LANES, TALL), strided(channels, 1),
             strided(DEPTH, COLUMNS), zeros(tiles),
             workspace.floats("planes", threads * images * p.size), images * p.size,
             workspace.floats("results", threads * images * q.size), images * q.size,
             workspace.floats("patches", threads * points * v_size), v_size,
             workspace.floats("products", threads * points * m_size), m_size)


def _apart(size: int) -> int:
    """An odd number of cache lines: pieces so far apart do not compete for places in a cache."""
    return aligned(size) + (aligned(size) // LANES + 1) % 2 * LANES


def _bias(workspace: Workspace, b, outputs: int):
    """The bias, or zeros, with LANES of slack behind."""
    bias = workspace.floats("bias", outputs + LANES)
    bias[:outputs] = 0 if b is None else b.reshape(-1)
    return bias


def _grid(edge: int, x_shape, y_shape, pad, floats: int, parts: int) -> tuple:
    """(grid, plane of the input, plane of the output, images that a block touches at most)."""
    rows, across = (-(-size // edge) for size in y_shape[2:])
    total = x_shape[0] * rows
    step = max(1, min(_SCRATCH // floats, _TILES) // across)
    step = min(step, max(1, -(-_FEW // across), total // parts))
    images = (step + rows - 2) // rows + 1
    columns = edge * across
    if pad[0] != pad[1]:
        raise ValueError
    return (Grid(edge, rows, across, x_shape[0], step),
            _plane(*x_shape[2:], pad[0], edge * rows + 2, columns + 2),
            _plane(*y_shape[2:], 0, edge * rows, columns), images)


_TILES, _FEW, _RESULTS = 128, 16, 1 << 16


def backward_weight(workspace: Workspace, threads: int, x, dy, dw, db, window, group: int,
                    edge: int) -> None:
    """``convolution.backward_weight``; the shape fixes in which order sums are taken."""
    channels, outputs, points = dw.shape[1], len(dw) // group, (edge + 2)**2
    panels, deep = -(-outputs // COLUMNS), min(channels, _DEEP)
    splits = -(-channels // deep)
    step = aligned(deep) + LANES
    grid, p, q, images = _grid(edge, x.shape, dy.shape, window.pad,
                               points * (step + panels * COLUMNS), 1)
    tiles = grid.step * grid.across
    blocks = -(-grid.images * grid.rows // grid.step)
    sums_size = points * panels * deep * COLUMNS
    pieces = max(1, min(blocks, _PIECES // (group * splits), _SUMS // (group * splits * sums_size)))
    planes_size = images * (p.size + q.size)
    v_size, r_size = _apart(tiles * step), _apart(panels * tiles * COLUMNS)
    sums = workspace.floats("sums", pieces * group * splits * sums_size)
    biases = workspace.floats("biases", pieces * group * panels * COLUMNS)
    _weight(threads, grid, pieces, group, channels, outputs, deep, x.reshape(-1), p,
            dy.reshape(-1), q, strided(max(deep, tiles), 1, TALL), strided(max(2, tiles), step),
            strided(tiles, COLUMNS), numpy.ones(max(deep, tiles) + TALL, numpy.float32), zeros(1),
            workspace.floats("planes", threads * planes_size), planes_size,
            workspace.floats("patches", threads * points * v_size), v_size,
            workspace.floats("gradients", threads * points * r_size), r_size, sums, sums_size, biases)
    _add_sums(threads, edge, pieces, group, channels, outputs, deep, sums, sums_size, biases,
              workspace.floats("lines", threads * 10 * LANES * LANES), dw.reshape(-1),
              zeros(0) if db is None else db.reshape(-1))


_DEEP, _PIECES, _SUMS = 128, 16, 1 << 23
