"""Convolution, compiled: columns are made panel by panel and never leave the caches.

An image here is one group's channels of one image of the batch: image i belongs to group
``i % group``, and groups need no further thought.  See ``tables`` for where the numbers lie.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy

from ....window import Window
from ..matrix.gemm import DEPTH, multiply, pack
from ..matrix.operands import Ends, Factors, Left, Output, Panels, Right, Sums, Tile
from ..matrix.packing import Filters, packed
from ..runtime.parallel import parallel
from ..runtime.workspace import Workspace, strided, zeros
from ..vectors.blocks import clear_floats
from ..vectors.llvm import COLUMNS, LANES, ROWS, TALL
from .columns import col2im, copy_in, copy_out, im2col
from .index_tables import Tables, tables

_WIDTH = 8  # panels that share what is read of the weights
_ROWS = 64 // TALL * TALL  # of dcol at a time
_REUSE = 512  # output pixels from which it pays to pack the weights
_LARGER = 1.3  # products of padding, and of rows of no channel, than others: then col2im is faster


class _Cut(NamedTuple):
    """How the work is cut."""

    images: int
    group: int
    outputs: int  # of a group
    width: int  # panels of pixels that share what is read of the weights
    deep: int  # terms of the sums that are added up at a time
    direct: bool  # take vectors where they lie in the padded image, do not copy them to panels


@parallel
def _forward(part, parts, cut: _Cut, x, w: Factors, y: Output, t: Tables, padded, columns: Panels):
    """One thread's share: some panels of some images, ``cut.width`` panels at a time."""
    panels = (len(t.vector) if cut.direct else len(t.first)) // 2
    across = (panels + cut.width - 1) // cut.width
    units = cut.images * across
    source, at, columns_at = padded, part * t.image, part * columns.size
    input_size = len(t.line) * t.width
    held = -1
    for unit in range(units * part // parts, units * (part + 1) // parts):
        image, first = unit // across, unit % across * cut.width
        if t.inside and x.size - (image + 1) * input_size >= LANES:  # whole vectors are read
            source, at = x, image * input_size
        elif image != held and not t.pointwise:
            source, at = padded, part * t.image
            if held < 0:
                clear_floats(padded, at, t.image)
            copy_in(x, image * input_size, t, padded, at)
            held = image
        g, y_at = image % cut.group, image * cut.outputs * t.pixels
        for k in range(0, t.depth, cut.deep):
            depth = min(cut.deep, t.depth - k)
            left = Left(w.flat, g * w.size, w.row, 0, w.col, k)
            ends = Ends(y.bias, g * cut.outputs if k == 0 else -1,
                        y.slope != 1 and k + depth == t.depth, y.slope)
            if t.pointwise:
                pack(min(cut.width * COLUMNS, t.pixels - first * COLUMNS), depth, x,
                     image * input_size + k * t.pixels + first * COLUMNS, t.pixels, 1,
                     columns.flat, columns_at)
            for panel in range(first, min(first + cut.width, panels)):
                if cut.direct:
                    l, r = t.vector[2 * panel], t.vector[2 * panel + 1]
                    multiply(cut.outputs, depth, left,
                             Right(source, at + l[0], at + r[0], t.tap, k), ends,
                             Tile(y.flat, y_at, t.pixels, l[1], l[2], r[1], r[2]))
                    continue
                place = columns_at
                if t.pointwise:
                    place += (panel - first) * depth * COLUMNS
                else:
                    im2col(source, at, t, panel, k, k + depth, columns.flat, place)
                pixel, rest = panel * COLUMNS, t.pixels - panel * COLUMNS
                multiply(cut.outputs, depth, left,
                         Right(columns.flat, place, place + LANES, columns.line, 0), ends,
                         Tile(y.flat, y_at, t.pixels, pixel, rest, pixel + LANES,
                              max(0, rest - LANES)))


def forward(workspace: Workspace, threads: int, x, w, b, y, window, group: int,
            slope: float | None) -> None:
    """``y = W @ im2col(x) + b``, then a ReLU with ``slope`` unless that is None."""
    t = tables(window, w.shape[1], x.shape[2:], y.shape[2:])
    depth, outputs = t.depth, len(w) // group
    if len(x) * t.pixels >= _REUSE:
        weights = packed(workspace, threads, group, outputs,
                         Filters(w.reshape(-1), 0, outputs * depth, depth, 1, 0, depth, 1))
    else:
        weights = Factors(w.reshape(-1), outputs * depth, strided(outputs, depth, TALL),
                          strided(depth, 1))
    _convolve(workspace, threads, x, weights, b, y, group, slope, t)


def _convolve(workspace: Workspace, threads: int, x, weights: Factors, b, y, group: int,
              slope: float | None, t: Tables) -> None:
    outputs, images = y.shape[1] // group, len(x) * group
    deep = t.depth if t.depth <= 1.25 * DEPTH else -(-t.depth // -(-t.depth // DEPTH))
    direct = not t.pointwise and outputs <= 48 and t.pixels > 0.9 * len(t.vector) * LANES
    panels = (len(t.vector) if direct else len(t.first)) // 2
    width = max(1, min(_WIDTH, panels, images * panels // (4 * threads)))
    size = 0 if direct else deep * COLUMNS * (width if t.pointwise else 1) + LANES
    _forward(threads, _Cut(images, group, outputs, width, deep, direct), x.reshape(-1), weights,
             Output(y.reshape(-1), zeros(len(y[0])) if b is None else b.reshape(-1),
                    numpy.float32(1 if slope is None else slope)), t,
             workspace.floats("padded", 0 if t.pointwise else threads * t.image),
             Panels(workspace.floats("panel", threads * size), size, strided(deep, COLUMNS)))


# ------------------------------------------------------------------------ gradient of the input

def _turned(window: Window) -> Window:
    """Of a convolution that leads from dy to dx."""
    pad = tuple(d * (k - 1) - p for d, k, p in zip(window.dilation, window.kernel, window.pad))
    return Window(window.kernel, window.stride, pad, window.dilation)


def turns(window: Window, spatial: tuple[int, ...], output: tuple[int, ...],
          channels: int = ROWS) -> bool:
    """Whether dx, of so many channels in a group, is a convolution of dy, and that is less work
    than col2im.  A convolution computes half a tile of rows even for one channel."""
    half = (ROWS + 1) // 2
    rows = -(-channels // half) * half
    return (all(step == 1 for step in window.stride) and min(_turned(window).pad) >= 0
            and rows * math.prod(spatial) <= _LARGER * channels * math.prod(output))


def backward_data(workspace: Workspace, threads: int, dy, w, dx, window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``; at stride 1 that is a convolution of dy, by the filters turned
    round."""
    if not turns(window, dx.shape[2:], dy.shape[2:], w.shape[1]):
        return _scatter(workspace, threads, dy, w, dx, window, group)
    outputs, channels, taps = w.shape[0] // group, w.shape[1], w[0, 0].size
    t = tables(_turned(window), outputs, dy.shape[2:], dx.shape[2:])
    weights = packed(workspace, threads, group, channels,
                     Filters(w.reshape(-1), taps - 1, outputs * channels * taps, taps,
                             outputs, channels * taps, taps, -1))
    _convolve(workspace, threads, dy, weights, None, dx, group, None, t)


@parallel
def _scattered(part, parts, cut: _Cut, dy, w: Factors, dx, t: Tables, padded, panels: Panels,
               results: Sums):
    """One thread's share: some images; ``cut.width`` rows of pixels and ``cut.deep`` rows of dcol
    at a time."""
    at, panel_at, result_at = part * t.image, part * panels.size, part * results.size
    size = results.size // cut.deep
    for image in range(part, cut.images, parts):
        clear_floats(padded, at, t.image)
        for first in range(0, t.pixels // t.across, cut.width):
            pixel = first * t.across
            count = min(cut.width * t.across, t.pixels - pixel)
            pack(count, cut.outputs, dy, image * cut.outputs * t.pixels + pixel, t.pixels, 1,
                 panels.flat, panel_at)
            for k in range(0, t.depth, cut.deep):
                end = min(k + cut.deep, t.depth)
                left = Left(w.flat, image % cut.group * w.size, w.row, k, w.col, 0)
                ends = Ends(results.zeros, 0, False, numpy.float32(1))
                for j in range(0, count, COLUMNS):
                    place = panel_at + j * cut.outputs
                    multiply(end - k, cut.outputs, left,
                             Right(panels.flat, place, place + LANES, panels.line, 0), ends,
                             Tile(results.flat, result_at + j, size,
                                  0, LANES, LANES, max(0, min(LANES, count - j - LANES))))
                col2im(results.flat, result_at, size, t, k, end, first, count // t.across,
                       padded, at)
        copy_out(padded, at, t, dx, image * len(t.line) * t.width)


def _scatter(workspace: Workspace, threads: int, dy, w, dx, window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``, block by block."""
    t = tables(window, w.shape[1], dx.shape[2:], dy.shape[2:], LANES)
    outputs, deep = w.shape[0] // group, min(t.depth, _ROWS)
    rows = min(t.pixels // t.across, -(-_WIDTH * COLUMNS // t.across))
    size = -(-rows * t.across // COLUMNS) * COLUMNS
    panels = outputs * size + LANES
    _scattered(threads, _Cut(dx.shape[0] * group, group, outputs, rows, deep, False),
               dy.reshape(-1),
               Factors(w.reshape(-1), outputs * t.depth, strided(t.depth, 1, TALL),
                       strided(outputs, t.depth)),
               dx.reshape(-1), t, workspace.floats("padded", threads * t.image),
               Panels(workspace.floats("panel", threads * panels), panels,
                      strided(outputs, COLUMNS)),
               Sums(workspace.floats("result", threads * deep * size + LANES), deep * size,
                    zeros(deep)))
