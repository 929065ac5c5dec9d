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
from typing import NamedTuple

import numpy

from .....window import Window
from ...matrix.gemm import multiply
from ...matrix.operands import Ends, Left, Output, Panels, Right, Sums, Tile
from ...matrix_copies import copy
from ...runtime.jit import inner
from ...runtime.parallel import parallel
from ...runtime.workspace import Workspace, aligned, strided, zeros
from ...vectors.blocks import clear_floats, fetch, transpose_block
from ...vectors.llvm import COLUMNS, LANES, TALL
from .tiles import Patches, Tiles, apart, collect, place_of, spread, tiles_of
from .transforms import multiply_narrow, transform_back, transform_filters, transform_patches

EDGE = 3  # of tiles where nothing else is asked for
_PRODUCTS = 1 << 16  # floats of products that are transformed back at a time
_TERMS = {2: 128, 3: 64}  # of a sum, by edge, before it is added to the others: keeps digits


@inner
def patches(x, g, channel, channels, t, first, end, planes, at, v, v_at):
    """``v[t, tile, c]``: transforms of all patches of some rows of tiles."""
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
                                  v.flat, target, (t.edge + 2) * v.size, v.size)
                source += t.edge * LANES
                target += v.step


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

class _Filters(NamedTuple):
    """Where the weights lie: strides of a group, an output and a channel."""

    flat: numpy.ndarray
    group_stride: int
    output_stride: int
    depth_stride: int
    turn: int  # -1 if the filters are to be turned round, else 1


@parallel
def _filters(part, parts, t: Tiles, w: _Filters, taps, u: Panels):
    """``u[g, t, panel, k, j]``: the transformed filters from channel k to output
    ``panel * COLUMNS + j``."""
    panels, points = (t.outputs + COLUMNS - 1) // COLUMNS, (t.edge + 2) ** 2
    at = part * 16 * LANES
    source = at if w.turn > 0 else at + 8 * LANES
    units = t.group * panels * t.channels
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, panel, k = unit // t.channels // panels, unit // t.channels % panels, unit % t.channels
        target = g * points * u.size + (panel * t.channels + k) * COLUMNS
        start = g * w.group_stride + panel * COLUMNS * w.output_stride + k * w.depth_stride
        for j in range(0, min(COLUMNS, t.outputs - panel * COLUMNS), LANES):
            for tap in range(0, 9, LANES):
                transpose_block(w.flat, start + j * w.output_stride + tap, w.output_stride,
                                min(LANES, t.outputs - panel * COLUMNS - j), min(LANES, 9 - tap),
                                taps, at + tap * LANES, LANES)
            transform_filters(t, taps, source, 3 * w.turn * LANES, w.turn * LANES,
                              u.flat, target + j, (t.edge + 2) * u.size, u.size)


class _Cut(NamedTuple):
    """How the work is cut."""

    splits: int  # pieces of the outputs that threads share out
    width: int  # panels of outputs at a time
    deep: int  # channels whose products are added up at a time: keeps digits


@parallel
def _forward(part, parts, t: Tiles, cut: _Cut, x, u: Panels, v: Patches, m: Sums, y: Output,
             planes, results):
    """One thread's share: some blocks of tiles, and of their outputs."""
    points, panels = (t.edge + 2) ** 2, (t.outputs + COLUMNS - 1) // COLUMNS
    blocks = (t.images * t.rows + t.step - 1) // t.step
    at, results_at = part * t.held * t.source.size, part * t.held * t.target.size
    v_at, m_at = part * points * v.size, part * points * m.size
    clear_floats(planes, at, t.held * t.source.size)
    units, held = t.group * blocks * cut.splits, -1
    for unit in range(units * part // parts, units * (part + 1) // parts):
        g, block = unit // (blocks * cut.splits), unit // cut.splits % blocks
        piece = unit % cut.splits
        first, end = block * t.step, min((block + 1) * t.step, t.images * t.rows)
        if unit // cut.splits != held:
            held = unit // cut.splits
            patches(x, g, 0, t.channels, t, first, end, planes, at, v, v_at)
        stop = panels * (piece + 1) // cut.splits
        for panel in range(panels * piece // cut.splits, stop, cut.width):
            last = min(panel + cut.width, stop)
            _multiply(t, g, (end - first) * t.across, panel, last, cut.deep, u, v, v_at, m, m_at)
            _back(t, g, first, end, panel, last, m, m_at, results, results_at, y)


@inner
def _multiply(t, g, tiles, panel, last, deep, u, v, v_at, m, m_at):
    """``m[t, tile, j] = sum over k of v[t, tile, k] * u[g, t, k, j]`` for some panels of outputs;
    ``deep`` channels are added up at a time, which keeps more digits."""
    points, width = (t.edge + 2) ** 2, (last - panel) * COLUMNS
    for element in range(points):
        a_at = v_at + element * v.size
        for p in range(panel, last):
            u_at = (g * points + element) * u.size + p * t.channels * COLUMNS
            target = m_at + element * m.size + (p - panel) * COLUMNS
            right = max(0, min(COLUMNS, t.outputs - p * COLUMNS) - LANES)
            if right == 0 and t.channels == LANES:
                multiply_narrow(tiles, v.flat, a_at, v.step, u.flat, u_at, COLUMNS,
                                m.flat, target, width)
                continue
            for k in range(0, t.channels, deep):
                place = u_at + k * COLUMNS
                fetch(u.flat, place + deep * COLUMNS, deep * COLUMNS)
                multiply(tiles, min(deep, t.channels - k),
                         Left(v.flat, a_at, v.row, 0, v.col, k),
                         Right(u.flat, place, place + LANES, u.line, 0),
                         Ends(m.zeros, 0 if k == 0 else -1, False, numpy.float32(1)),
                         Tile(m.flat, target, width, 0, LANES, LANES, right))


@inner
def _back(t, g, first, end, panel, last, m, m_at, planes, at, y):
    """Transform the products back, add the bias and apply a ReLU, for some panels of outputs."""
    p, width = t.target, (last - panel) * COLUMNS
    for j in range(panel * COLUMNS, min(last * COLUMNS, t.outputs), LANES):
        source, o = m_at + j - panel * COLUMNS, g * t.outputs + j
        for row in range(first, end):
            target = at + place_of(p, t, first, row)
            for _ in range(t.across):
                transform_back(t, m.flat, source, (t.edge + 2) * m.size, m.size,
                               planes, target, p.line, LANES, y.bias, o, y.slope)
                source += width
                target += t.edge * LANES
        collect(planes, at, p, t, first, end, y.flat, o * p.height * p.width,
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
    blocks = group * -(-t.images * t.rows // t.step)
    cut = _Cut(min(panels, -(-threads // blocks)),
               max(1, min(panels, _PRODUCTS // (points * tiles * COLUMNS))), _TERMS[edge])
    u_size = apart(panels * t.channels * COLUMNS)
    u = Panels(workspace.floats("filters", group * points * u_size), u_size,
               strided(cut.deep, COLUMNS))
    _filters(threads, t, _Filters(w.reshape(-1), w.size // group, *strides),
             workspace.floats("block", threads * 16 * LANES), u)
    v_size, m_size = apart(tiles * step), apart(tiles * cut.width * COLUMNS)
    bias = zeros(y.shape[1] + LANES)
    if b is not None:  # whole vectors are read of it
        bias = workspace.floats("bias", y.shape[1] + LANES)
        copy(1, b.reshape(1, -1), bias[:y.shape[1]].reshape(1, -1))
    _forward(threads, t, cut, x.reshape(-1), u,
             Patches(workspace.floats("panel", threads * points * v_size), v_size, step,
                     strided(tiles, step, TALL), strided(t.channels, 1)),
             Sums(workspace.floats("products", threads * points * m_size), m_size, zeros(tiles)),
             Output(y.reshape(-1), bias, numpy.float32(1 if slope is None else slope)),
             workspace.floats("padded", threads * t.held * t.source.size),
             workspace.floats("result", threads * t.held * t.target.size))
