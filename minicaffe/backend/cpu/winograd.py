"""Convolution with 3x3 kernels at stride 1 by Winograd's method, with fewer products.

The outputs are cut into tiles of ``edge`` * ``edge``.  The (edge + 2)^2 inputs that a tile depends
on, its patch, are transformed, and so are the filters; then each element t of the transforms is a
matrix product of its own, of tiles, channels and outputs; and the products are transformed back.
``transforms`` has the formula.  So 16 products do the work of 36 (edge 2), or 25 that of 81
(edge 3).  Larger tiles would lose more digits: with edge 3, results of normal random numbers are
wrong by 3 to 4e-7 of their size (root mean square), where those of ordinary sums are by 2 to 3e-7.
"""

from __future__ import annotations

import math

import numpy

from ...window import Window
from .blocks import add_lines, add_vector, clear_floats, fetch, transpose_block
from .gemm import add_some, multiply
from .jit import compiled
from .llvm import COLUMNS, LANES, TALL
from .shares import shared
from .tiles import BLOCK, apart, collect, place_of, spread, tiles_of
from .transforms import (
    multiply_narrow,
    transform_back,
    transform_filters,
    transform_gradients,
    transform_patches,
    transform_sums,
)
from .workspace import Workspace, aligned, strided, zeros

EDGE = 3  # of tiles where nothing else is asked for
_PRODUCTS = 1 << 16  # floats of products that are transformed back at a time
_TERMS = {2: 128, 3: 64}  # of a sum, by edge, before it is added to the others: keeps digits
_DEEP = 128  # channels whose weights' gradients are computed at a time
_PARTS = 16  # of a weight gradient's work at least, if the batch can be cut that often
_SUMS = 1 << 23  # floats that the sums over these parts take, unless one part needs more

# Written as plain numbers, numba would compile ``multiply`` anew for each.
_0, _LANES, _COLUMNS, _NO = numpy.int64(0), numpy.int64(LANES), numpy.int64(COLUMNS), numpy.bool_(0)


@compiled
def _patches(x, g, channel, channels, t, first, end, planes, at, v, v_at, step, v_size):
    """``v[t, tile, c]``: transforms of all patches of some rows of tiles; a tile's lie ``step``
    floats apart."""
    p = t.source
    for c in range(0, channels, LANES):
        start = g * t.channels + channel + c
        spread(x, start * p.height * p.width, min(LANES, channels - c), t.group * t.channels, p, t,
                first, end, planes, at)
        target = v_at + c
        for row in range(first, end):
            source = at + place_of(p, t, first, row)
            for _ in range(t.across):
                transform_patches(t, planes, source, p.line, LANES,
                                  v, target, (t.edge + 2) * v_size, v_size)
                source += t.edge * LANES
                target += step


# ----------------------------------------------------------------------------------- the rule

def suits(x_shape: tuple[int, ...], w_shape: tuple[int, ...], window: Window, group: int,
          gradient: bool = False) -> int:
    """The edge of the tiles to use for a convolution; 0 where ordinary sums are about as fast.

    gradient: of the weights; else that of the input, or the convolution itself.
    """
    if not (window.kernel == (3, 3) and window.stride == window.dilation == (1, 1)
            and max(window.pad) <= 2):
        return 0
    size = window.output_shape(x_shape[2:], "convolution")
    channels, outputs, points = w_shape[1], w_shape[0] // group, (EDGE + 2)**2
    # In cycles of 32 products, measured with LANES of 16.  A tile of a product takes some to begin
    # and to end, which counts where sums are short.
    around = 6 if channels == 16 else 18
    product = (channels + 6) * (outputs // 32) + (channels + around) * -(-(outputs % 32) // 16) / 2
    if gradient:
        product = channels * (outputs / 32 + 0.05)
    tiles = x_shape[0] * math.prod(-(-length // EDGE) for length in size)
    cycles = (tiles * (points * product + 1.1 * EDGE**2 * (channels + outputs))
              + 0.75 * points * channels * outputs + 30_000)
    ordinary = x_shape[0] * math.prod(size) * channels * outputs * (0.4 if gradient else 0.33)
    return EDGE if 1.1 * cycles < ordinary else 0


# ----------------------------------------------------------------------------------------- forward

@shared
def _filters(part, parts, t, w, group_stride, output_stride, depth_stride, turn, taps, u, u_size):
    """``u[g, t, panel, k, j]``: the transformed filters from channel k to output
    ``panel * COLUMNS + j``; turn: -1 if they are to be turned round, else 1."""
    panels, points = (t.outputs + COLUMNS - 1) // COLUMNS, (t.edge + 2) ** 2
    at = part * 16 * LANES
    source = at if turn > 0 else at + 8 * LANES
    units = t.group * panels * t.channels
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, panel, k = unit // t.channels // panels, unit // t.channels % panels, unit % t.channels
        target = g * points * u_size + (panel * t.channels + k) * COLUMNS
        start = g * group_stride + panel * COLUMNS * output_stride + k * depth_stride
        for j in range(0, min(COLUMNS, t.outputs - panel * COLUMNS), LANES):
            for tap in range(0, 9, LANES):
                transpose_block(w, start + j * output_stride + tap, output_stride,
                                min(LANES, t.outputs - panel * COLUMNS - j), min(LANES, 9 - tap),
                                taps, at + tap * LANES, LANES)
            transform_filters(t, taps, source, 3 * turn * LANES, turn * LANES,
                              u, target + j, (t.edge + 2) * u_size, u_size)


@shared
def _forward(part, parts, t, width, splits, deep, x, u, u_size, bias, slope, y, step, row, col,
             line, zero, planes, results, v, v_size, m, m_size):
    """One thread's share: some blocks of tiles, and of their outputs; ``width`` panels of outputs
    at a time."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    blocks = (t.images * t.rows + t.step - 1) // t.step
    at, results_at = part * t.held * t.source.size, part * t.held * t.target.size
    v_at, m_at = part * points * v_size, part * points * m_size
    clear_floats(planes, at, t.held * t.source.size)
    units, held = t.group * blocks * splits, -1
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, block, piece = unit // (blocks * splits), unit // splits % blocks, unit % splits
        first, end = block * t.step, min((block + 1) * t.step, t.images * t.rows)
        if unit // splits != held:
            held = unit // splits
            _patches(x, g, _0, t.channels, t, first, end, planes, at, v, v_at, step, v_size)
        stop = panels * (piece + 1) // splits
        for panel in range(panels * piece // splits, stop, width):
            last = min(panel + width, stop)
            _multiply(t, g, first, end, panel, last, deep, v, v_at, v_size, row, col, u, u_size,
                      line, zero, m, m_at, m_size)
            _back(t, g, first, end, panel, last, m, m_at, m_size, bias, slope,
                  results, results_at, y)


@compiled
def _multiply(t, g, first, end, panel, last, deep, v, v_at, v_size, row, col, u, u_size, line, zero,
              m, m_at, m_size):
    """``m[t, tile, j] = sum over k of v[t, tile, k] * u[g, t, k, j]`` for some panels of outputs;
    ``deep`` channels are added up at a time, which keeps more digits."""
    tiles, width = (end - first) * t.across, (last - panel) * COLUMNS
    points = (t.edge + 2) ** 2
    for element in range(points):
        for p in range(panel, last):
            u_at = (g * points + element) * u_size + p * t.channels * COLUMNS
            target = m_at + element * m_size + (p - panel) * COLUMNS
            right = max(0, min(COLUMNS, t.outputs - p * COLUMNS) - LANES)
            if right == 0 and t.channels == LANES:
                multiply_narrow(tiles, v, v_at + element * v_size, row[1], u, u_at, COLUMNS,
                                m, target, width)
                continue
            for k in range(0, t.channels, deep):
                place = u_at + k * COLUMNS
                fetch(u, place + deep * COLUMNS, deep * COLUMNS)
                multiply(tiles, min(deep, t.channels - k), v, v_at + element * v_size, row, _0,
                         col, k, u, place, place + LANES, line, _0, zero, 0 if k == 0 else -1, _NO,
                         numpy.float32(1), m, target, width, _0, _LANES, _LANES, right)


@compiled
def _back(t, g, first, end, panel, last, m, m_at, m_size, bias, slope, planes, at, y):
    """Transform the products back, add the bias and apply a ReLU, for some panels of outputs."""
    p, width = t.target, (last - panel) * COLUMNS
    for j in range(panel * COLUMNS, min(last * COLUMNS, t.outputs), LANES):
        source, o = m_at + j - panel * COLUMNS, g * t.outputs + j
        for row in range(first, end):
            target = at + place_of(p, t, first, row)
            for _ in range(t.across):
                transform_back(t, m, source, (t.edge + 2) * m_size, m_size,
                               planes, target, p.line, LANES, bias, o, slope)
                source += width
                target += t.edge * LANES
        collect(planes, at, p, t, first, end, y, o * p.height * p.width,
                 min(LANES, t.outputs - j), t.group * t.outputs)


def forward(workspace: Workspace, threads: int, x, w, b, y, window: Window, group: int,
            slope: float | None, edge: int) -> None:
    """``convolution.forward`` for 3x3 kernels at stride 1, in tiles of edge * edge."""
    channels = w.shape[1]
    _convolve(workspace, threads, edge, x, w, (9 * channels, 9, 1), b, y, window, group, slope)


def backward_data(workspace: Workspace, threads: int, dy, w, dx, window: Window, group: int,
                  edge: int) -> None:
    """``convolution.backward_data``: a convolution of dy by the filters turned round."""
    channels = w.shape[1]
    turned = Window(window.kernel, window.stride, tuple(2 - pad for pad in window.pad),
                    window.dilation)
    _convolve(workspace, threads, edge, dy, w, (9, 9 * channels, -1), None, dx, turned, group, None)


def _convolve(workspace: Workspace, threads: int, edge: int, x, w, strides: tuple[int, int, int],
              b, y, window: Window, group: int, slope: float | None) -> None:
    """strides: of the filters of an output, and of a channel; and whether they are turned.

    Errors: ShapeError where y is not of the shape that the window gives.
    """
    points, step = (edge + 2)**2, aligned(x.shape[1] // group) + LANES
    t = tiles_of(edge, x.shape, y.shape, window, group, points * step, threads)
    panels, tiles = -(-t.outputs // COLUMNS), t.step * t.across
    u_size = apart(panels * t.channels * COLUMNS)
    u = workspace.floats("filters", group * points * u_size)
    _filters(threads, t, w.reshape(-1), w.size // group, *strides,
             workspace.floats("block", threads * 16 * LANES), u, u_size)
    blocks = group * -(-t.images * t.rows // t.step)
    splits = min(panels, -(-threads // blocks))
    width = max(1, min(panels, _PRODUCTS // (points * tiles * COLUMNS)))
    deep = _TERMS[edge]
    v_size, m_size = apart(tiles * step), apart(tiles * width * COLUMNS)
    bias = workspace.floats("bias", y.shape[1] + LANES)
    bias[:y.shape[1]] = 0 if b is None else b.reshape(-1)
    _forward(threads, t, width, splits, deep, x.reshape(-1), u, u_size, bias,
             numpy.float32(1 if slope is None else slope), y.reshape(-1), step,
             strided(tiles, step, TALL), strided(t.channels, 1), strided(deep, COLUMNS),
             zeros(tiles),
             workspace.floats("padded", threads * t.held * t.source.size),
             workspace.floats("result", threads * t.held * t.target.size),
             workspace.floats("panel", threads * points * v_size), v_size,
             workspace.floats("products", threads * points * m_size), m_size)


# -------------------------------------------------------------------------- gradient of the weights

@compiled
def _gradients(dy, g, t, first, end, planes, at, r, r_at, r_size, biases, bias_at):
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
                                    r, target, (t.edge + 2) * r_size, r_size)
                source += t.edge * LANES
                target += COLUMNS


@shared
def _weight(part, parts, t, pieces, deep, x, dy, step, row, col, line, zero, planes, v, v_size,
            r, r_size, sums, sums_size, biases):
    """One thread's share: for some pieces of the batch, the products of ``deep`` channels' patches
    with all of dy."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    splits = (t.channels + deep - 1) // deep
    blocks = (t.images * t.rows + t.step - 1) // t.step
    at, v_at, r_at = (part * t.held * (t.source.size + t.target.size), part * points * v_size,
                      part * points * r_size)
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
            _patches(x, g, c, count, t, first, end, planes, at, v, v_at, step, v_size)
            _gradients(dy, g, t, first, end, planes, middle, r, r_at, r_size, biases, bias_at)
            for element in range(points):
                for panel in range(panels):
                    right = max(0, min(COLUMNS, t.outputs - panel * COLUMNS) - LANES)
                    place = r_at + element * r_size + panel * tiles * COLUMNS
                    total = (unit * points + element) * sums_size + panel * count * COLUMNS
                    multiply(count, tiles, v, v_at + element * v_size, row, _0, col, _0,
                             r, place, place + LANES, line, _0, zero, start, _NO,
                             numpy.float32(1), sums, total, _COLUMNS, _0, _LANES, _LANES, right)
            start = -1


@shared
def _add_sums(part, parts, t, pieces, deep, sums, sums_size, biases, lines, dw, db):
    """One thread's share of adding the pieces of the batch, in order, and to dw and db."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    splits, down = (t.channels + deep - 1) // deep, (t.channels + LANES - 1) // LANES
    between, at = t.group * splits * points * sums_size, part * 10 * LANES * LANES
    for unit in range(part, t.group * panels * down, parts):
        g, panel, c = unit // (panels * down), unit // down % panels, unit % down * LANES
        rows, count = min(LANES, t.channels - c), min(deep, t.channels - c // deep * deep)
        place = ((g * splits + c // deep) * points * sums_size
                 + (panel * count + c % deep) * COLUMNS)
        for element in range(points):
            start = place + element * sums_size
            for piece in range(1, pieces):
                for i in range(start, start + rows * COLUMNS, LANES):
                    add_vector(sums, piece * between + i, sums, i, LANES)
        o = panel * COLUMNS
        for j in range(0, min(COLUMNS, t.outputs - o), LANES):
            for k in range(rows):
                transform_sums(t, sums, place + k * COLUMNS + j, (t.edge + 2) * sums_size,
                               sums_size, lines, at + 9 * k * LANES, 3 * LANES, LANES)
            _add_rows(lines, at, 9 * rows, min(LANES, t.outputs - o - j), dw,
                      ((g * t.outputs + o + j) * t.channels + c) * 9, t.channels * 9)
        if len(db) and c == 0:
            for j in range(o, min(o + COLUMNS, t.outputs)):
                for piece in range(pieces):
                    db[g * t.outputs + j] += biases[(piece * t.group + g) * panels * COLUMNS + j]


@compiled
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
    most = min(_PARTS // units, _SUMS // (units * points * sums_size),
               -(-len(x) * dy[0, 0].size // (edge**2 * BLOCK)))
    pieces = 1 << max(1, most).bit_length() - 1
    t = tiles_of(edge, x.shape, dy.shape, window, group, points * (step + panels * COLUMNS),
               pieces)
    pieces, tiles = min(pieces, -(-t.images * t.rows // t.step)), t.step * t.across
    v_size, r_size = apart(tiles * step), apart(panels * tiles * COLUMNS)
    sums = workspace.floats("sums", pieces * units * points * sums_size)
    biases = workspace.floats("bias", pieces * group * panels * COLUMNS)
    _weight(threads, t, pieces, deep, x.reshape(-1), dy.reshape(-1), step,
            strided(deep, 1, TALL), strided(tiles, step), strided(tiles, COLUMNS), zeros(deep),
            workspace.floats("padded", threads * t.held * (t.source.size + t.target.size)),
            workspace.floats("panel", threads * points * v_size), v_size,
            workspace.floats("products", threads * points * r_size), r_size,
            sums, sums_size, biases)
    _add_sums(threads, t, pieces, deep, sums, sums_size, biases,
              workspace.floats("block", threads * 10 * LANES * LANES), dw.reshape(-1),
              zeros(0) if db is None else db.reshape(-1))
