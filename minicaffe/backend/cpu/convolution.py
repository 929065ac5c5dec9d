"""Convolution, compiled: columns are made panel by panel and never leave the caches.

An image here is one group's channels of one image of the batch: image i belongs to group
``i % group``, and groups need no further thought.  See ``tables`` for where the numbers lie.
"""

from __future__ import annotations

import numpy

from .gemm import DEPTH, multiply, pack
from .jit import compiled
from .microkernel import (
    COLUMNS,
    LANES,
    ROWS,
    add_vector,
    clear_floats,
    copy_floats,
    copy_vector,
    finish_vector,
    multiply_tile,
)
from .shares import shared
from .tables import tables
from .workspace import Workspace, strided, zeros

_PARTS = 16  # of a weight gradient's work at least, if the batch can be cut that often


@compiled
def _copy_in(x, x_at, t, image, at):
    """Copy an image into the middle of its padding."""
    for row in range(len(t.line)):
        source, target = x_at + row * t.width, at + t.line[row]
        if t.step == 1:
            copy_floats(x, source, image, target + t.pad, t.width)
        else:
            for i in range(t.width):
                place = i + t.pad
                image[target + place % t.step * t.phase + place // t.step] = x[source + i]


@compiled
def _copy_out(image, at, t, x, x_at):
    """Copy the middle of a padded image out."""
    for row in range(len(t.line)):
        source, target = at + t.line[row], x_at + row * t.width
        if t.step == 1:
            copy_floats(image, source + t.pad, x, target, t.width)
        else:
            for i in range(t.width):
                place = i + t.pad
                x[target + i] = image[source + place % t.step * t.phase + place // t.step]


# ------------------------------------------------------------------------------------- forward

@compiled
def _im2col(image, at, t, panel, columns, columns_at):
    """One panel of the column matrix.  A run copies a whole vector; the next one mends its end."""
    for k in range(t.depth):
        source, target = at + t.tap[k], columns_at + k * COLUMNS
        for run in range(t.first[panel], t.first[panel + 1]):
            copy_vector(image, source + t.source[run], columns, target + t.target[run])


@compiled
def _finish(result, at, rows, count, bias, bias_at, slope, y, y_at, pixels):
    """``y = result + bias``, and a ReLU with a slope; the slope 1 changes no number."""
    for i in range(rows):
        for j in range(0, count, LANES):
            finish_vector(result, at + i * COLUMNS + j, bias[bias_at + i], slope,
                          y, y_at + i * pixels + j, count - j)


@shared
def _forward(part, parts, images, group, outputs, x, w, bias, slope, y, t, row, col,
             padded, columns, columns_size, results):
    """One thread's share: some panels of some images, one after the other."""
    panels = len(t.first) - 1
    at, columns_at = part * t.image, part * columns_size
    result_at = part * len(row) * COLUMNS
    input_size = len(t.line) * t.width
    clear_floats(padded, at, t.image)
    held = -1
    for unit in range(images * panels * part // parts, images * panels * (part + 1) // parts):
        image, panel = unit // panels, unit % panels
        if image != held:
            _copy_in(x, image * input_size, t, padded, at)
            held = image
        _im2col(padded, at, t, panel, columns, columns_at)
        g = image % group
        multiply(outputs, t.depth, w, g * outputs * t.depth, row, 0, col,
                 columns, columns_at, results, result_at)
        first = panel * COLUMNS
        _finish(results, result_at, outputs, min(COLUMNS, t.pixels - first), bias, g * outputs,
                slope, y, image * outputs * t.pixels + first, t.pixels)


def forward(workspace: Workspace, threads: int, x, w, b, y, window, group: int,
            slope: float | None) -> None:
    """``y = W @ im2col(x) + b``, then a ReLU with ``slope`` unless that is None."""
    t = tables(window, w.shape[1], x.shape[2:], y.shape[2:])
    outputs = w.shape[0] // group
    columns_size = (t.depth + 1) * COLUMNS
    row = strided(outputs, t.depth, ROWS)
    _forward(threads, x.shape[0] * group, group, outputs, x.reshape(-1), w.reshape(-1),
             zeros(w.shape[0]) if b is None else b.reshape(-1),
             numpy.float32(1 if slope is None else slope), y.reshape(-1), t,
             row, strided(t.depth, 1), workspace.floats("padded", threads * t.image),
             workspace.floats("panel", threads * columns_size), columns_size,
             workspace.floats("result", threads * len(row) * COLUMNS))


# ---------------------------------------------------------------------- gradient of the weights

@shared
def _weight(part, parts, batch, batches, group, outputs, x, dy, t, padded, panels, sums):
    """One thread's share: for some parts of the batch the gradient of COLUMNS outputs' weights.

    A tile of dW.T is ROWS taps, read from the padded image, times the panel dy.T.
    """
    blocks = (outputs + COLUMNS - 1) // COLUMNS
    units = batches * group * blocks
    at, panel_at = part * t.image, part * DEPTH * COLUMNS
    size = (len(t.tap) + 1) * COLUMNS
    clear_floats(padded, at, t.image)
    for unit in range(part, units, parts):
        piece, g, block = unit // (group * blocks), unit // blocks % group, unit % blocks
        count = min(COLUMNS, outputs - block * COLUMNS)
        total = unit * size
        clear_floats(sums, total, size)
        for n in range(batch * piece // batches, batch * (piece + 1) // batches):
            image = n * group + g
            _copy_in(x, image * len(t.line) * t.width, t, padded, at)
            dy_at = (image * outputs + block * COLUMNS) * t.pixels
            for p in range(0, t.pixels, DEPTH):
                depth = min(DEPTH, t.pixels - p)
                pack(count, 0, depth, dy, dy_at + p, 1, t.pixels, panels, panel_at)
                for k in range(0, t.depth, ROWS):
                    multiply_tile(depth, padded, at, t.tap, k, t.pixel, p,
                                  panels, panel_at, sums, total + k * COLUMNS)
                bias_at = total + len(t.tap) * COLUMNS
                for q in range(depth):
                    for j in range(0, COLUMNS, LANES):
                        add_vector(panels, panel_at + q * COLUMNS + j, sums, bias_at + j, LANES)


@shared
def _add_sums(part, parts, batches, group, outputs, t, sums, dw, db):
    """One thread's share of adding the parts of the batch, in order, to dw and db."""
    blocks = (outputs + COLUMNS - 1) // COLUMNS
    units, size = group * blocks, (len(t.tap) + 1) * COLUMNS
    for unit in range(part, units, parts):
        first = unit // blocks * outputs + unit % blocks * COLUMNS
        for piece in range(1, batches):
            for i in range(0, size, LANES):
                add_vector(sums, (piece * units + unit) * size + i, sums, unit * size + i, LANES)
        for j in range(min(COLUMNS, outputs - unit % blocks * COLUMNS)):
            for k in range(t.depth):
                dw[(first + j) * t.depth + k] += sums[unit * size + k * COLUMNS + j]
            if len(db):
                db[first + j] += sums[unit * size + len(t.tap) * COLUMNS + j]


def backward_weight(workspace: Workspace, threads: int, x, dy, dw, db, window,
                    group: int) -> None:
    """``dW += dy @ col.T`` and, unless db is None, ``db += dy`` summed over pixels.

    The batch is cut into parts whose number the shape fixes, not the number of threads.
    """
    t = tables(window, dw.shape[1], x.shape[2:], dy.shape[2:])
    outputs = dw.shape[0] // group
    units = group * -(-outputs // COLUMNS)
    batches = min(len(x), -(-_PARTS // units))
    sums = workspace.floats("sums", batches * units * (len(t.tap) + 1) * COLUMNS)
    _weight(threads, len(x), batches, group, outputs, x.reshape(-1), dy.reshape(-1), t,
            workspace.floats("padded", threads * t.image),
            workspace.floats("panel", threads * DEPTH * COLUMNS), sums)
    _add_sums(threads, batches, group, outputs, t, sums, dw.reshape(-1),
              zeros(0) if db is None else db.reshape(-1))


# ------------------------------------------------------------------------ gradient of the input

@compiled
def _col2im(result, at, k_first, k_end, t, panel, image, image_at):
    """Add a block of rows of one panel of dcol to where im2col copied them from."""
    for k in range(k_first, k_end):
        source, target = at + (k - k_first) * COLUMNS, image_at + t.tap[k]
        for run in range(t.first[panel], t.first[panel + 1]):
            add_vector(result, source + t.target[run], image, target + t.source[run],
                       t.length[run])


@shared
def _data(part, parts, images, group, outputs, dy, w, dx, t, row, col,
          padded, panels, results):
    """One thread's share: some images."""
    at, panel_at, result_at = part * t.image, part * outputs * COLUMNS, part * DEPTH * COLUMNS
    for image in range(part, images, parts):
        clear_floats(padded, at, t.image)
        w_at = image % group * outputs * t.depth
        for panel in range(len(t.first) - 1):
            first = panel * COLUMNS
            pack(min(COLUMNS, t.pixels - first), 0, outputs, dy,
                 image * outputs * t.pixels + first, t.pixels, 1, panels, panel_at)
            for k in range(0, t.depth, DEPTH):
                end = min(k + DEPTH, t.depth)
                multiply(end - k, outputs, w, w_at, row, k, col, panels, panel_at,
                         results, result_at)
                _col2im(results, result_at, k, end, t, panel, padded, at)
        _copy_out(padded, at, t, dx, image * len(t.line) * t.width)


def backward_data(workspace: Workspace, threads: int, dy, w, dx, window, group: int) -> None:
    """``dx = col2im(W.T @ dy)``, panel by panel."""
    t = tables(window, w.shape[1], dx.shape[2:], dy.shape[2:])
    outputs = w.shape[0] // group
    _data(threads, dx.shape[0] * group, group, outputs, dy.reshape(-1), w.reshape(-1),
          dx.reshape(-1), t, strided(t.depth, 1, ROWS), strided(outputs, t.depth),
          workspace.floats("padded", threads * t.image),
          workspace.floats("panel", threads * outputs * COLUMNS),
          workspace.floats("result", threads * DEPTH * COLUMNS))
