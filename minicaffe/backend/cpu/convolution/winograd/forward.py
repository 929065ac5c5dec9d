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

from .....window import Window
from ...matrix.gemm import multiply
from ...matrix_copies import copy
from ...runtime.jit import inner
from ...runtime.parallel import parallel
from ...runtime.workspace import Workspace, aligned, strided, zeros
from ...vectors.blocks import clear_floats, fetch, transpose_block
from ...vectors.llvm import COLUMNS, LANES, TALL
from .tiles import apart, collect, place_of, spread, tiles_of
from .transforms import multiply_narrow, transform_back, transform_filters, transform_patches

EDGE = 3  # of tiles where nothing else is asked for
_PRODUCTS = 1 << 16  # floats of products that are transformed back at a time
_TERMS = {2: 128, 3: 64}  # of a sum, by edge, before it is added to the others: keeps digits


@inner
def patches(x, g, channel, channels, t, first, end, planes, at, v, v_at, step, v_size):
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

@parallel
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


@parallel
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
            patches(x, g, 0, t.channels, t, first, end, planes, at, v, v_at, step, v_size)
        stop = panels * (piece + 1) // splits
        for panel in range(panels * piece // splits, stop, width):
            last = min(panel + width, stop)
            _multiply(t, g, first, end, panel, last, deep, v, v_at, v_size, row, col, u, u_size,
                      line, zero, m, m_at, m_size)
            _back(t, g, first, end, panel, last, m, m_at, m_size, bias, slope,
                  results, results_at, y)


@inner
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
                multiply(tiles, min(deep, t.channels - k), v, v_at + element * v_size, row, 0,
                         col, k, u, place, place + LANES, line, 0, zero, 0 if k == 0 else -1, False,
                         numpy.float32(1), m, target, width, 0, LANES, LANES, right)


@inner
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
    bias = zeros(y.shape[1] + LANES)
    if b is not None:  # whole vectors are read of it
        bias = workspace.floats("bias", y.shape[1] + LANES)
        copy(1, b.reshape(1, -1), bias[:y.shape[1]].reshape(1, -1))
    _forward(threads, t, width, splits, deep, x.reshape(-1), u, u_size, bias,
             numpy.float32(1 if slope is None else slope), y.reshape(-1), step,
             strided(tiles, step, TALL), strided(t.channels, 1), strided(deep, COLUMNS),
             zeros(tiles),
             workspace.floats("padded", threads * t.held * t.source.size),
             workspace.floats("result", threads * t.held * t.target.size),
             workspace.floats("panel", threads * points * v_size), v_size,
             workspace.floats("products", threads * points * m_size), m_size)
