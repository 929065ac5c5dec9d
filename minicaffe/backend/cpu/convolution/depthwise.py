"""Depthwise convolution, compiled: each output sees one channel, one plane of an image.

A plane is copied into the middle of its padding, split into the phases of the strides (s, t):
phase (a, b) holds rows a, a + s, ... of the padded plane, and of those the columns b, b + t, ...
What a tap sees from one output to the next are then neighbours in one phase, so that a whole plane
of outputs, laid out in rows as long as a phase's, is a weighted sum of shifted phases::

    y[i] = sum over taps of w[tap] * image[shift[tap] + i]

Rows need no thought there: what comes out behind the end of a row of y is not copied to y, and dy
has zeros there.  Likewise dw is a sum of products over i, and dx, phase by phase, the sum of the
taps of the phase with the opposite shifts.  Memory is the limit: the next plane is fetched
meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy import float32

from ....errors import ShapeError
from ....window import Window
from ..matrix.operands import Output
from ..runtime.bounded_cache import bounded_cache
from ..runtime.jit import inner
from ..runtime.parallel import parallel
from ..runtime.workspace import Scratch, Workspace, aligned, strided, zeros
from ..vectors.blocks import clear_floats, fetch
from ..vectors.llvm import LANES
from .depthwise_taps import (
    BLOCK,
    correlate_taps,
    join_pairs,
    read_some,
    split_pairs,
    weigh_taps,
    write_some,
)

_AHEAD = 2048  # floats from what is copied to what is fetched
_inlined = inner(forceinline=True)  # a call would take time to hand over all the places


class Places(NamedTuple):
    """Where the numbers of a plane lie; arrays are int64.  A tuple: compiled code takes those."""

    width: int  # of x
    pad: int  # on the left of x
    stride: int  # of columns
    even: int  # from the start of a padded row to x's columns 0, 2, ..., for stride 2
    odd: int  # to its columns 1, 3, ...
    phase: int  # floats of a phase
    image: int  # of all phases
    line: int  # of a row of a phase
    rows: int  # of y
    columns: int
    span: int  # from the first to the last output, in rows of ``line`` floats
    grad: int  # floats of dy so laid out, with a margin
    margin: int  # before dy, for the opposite shifts
    begin: int  # of the part of a phase that has x in it
    end: int
    row: numpy.ndarray  # (rows of x,): where each lies in the phases
    tap: numpy.ndarray  # (taps,): the shifts
    order: numpy.ndarray  # (outputs * taps,): a channel's weights, sorted by phase
    back: numpy.ndarray  # (outputs * taps,): and their opposite shifts into its planes of dy
    first: numpy.ndarray  # (phases + 1,): where each phase begins in those two

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self if isinstance(part, numpy.ndarray))


@bounded_cache
def _places(window: Window, outputs: int, spatial: tuple[int, int],
            output: tuple[int, int]) -> Places:
    """The places for channels of the size ``spatial`` with so many outputs each.

    Errors: ShapeError where a window at ``output`` would lie outside of the padded plane.
    """
    (s, t), (top, left), (height, width) = window.stride, window.pad, spatial
    reach = [d * (k - 1) for k, d in zip(window.kernel, window.dilation)]
    room = [size + 2 * pad for size, pad in zip(spatial, window.pad)]
    if any((o - 1) * step + e >= r for o, step, e, r in zip(output, (s, t), reach, room)):
        raise ShapeError("convolution", f"an output that fits into {spatial} for {window}", output)
    line = -(-room[1] // t)
    phase = aligned(-(-room[0] // s) * line + LANES)
    row = numpy.arange(top, top + height, dtype=numpy.int64)
    down, across = (numpy.arange(k, dtype=numpy.int64) * d
                    for k, d in zip(window.kernel, window.dilation))
    of_phase = numpy.add.outer(down % s * t, across % t).reshape(-1)
    shift = numpy.add.outer(down // s * line, across // t).reshape(-1)
    margin = aligned(shift[-1])
    grad = aligned(margin + phase + BLOCK)
    phases = numpy.tile(of_phase, outputs)
    order = numpy.argsort(phases, kind="stable")
    back = numpy.concatenate([k * grad + margin - shift for k in range(outputs)])
    even, odd = (place % t * phase + place // t for place in (left, left + 1))
    return Places(
        width, left, t, even, odd, phase, aligned(s * t * phase + BLOCK), line, *output,
        (output[0] - 1) * line + output[1], grad, margin, top // s * line + left // t,
        (top + height - 1) // s * line + (left + width - 1) // t + 1,
        row % s * t * phase + row // s * line, of_phase * phase + shift, order, back[order],
        numpy.searchsorted(phases[order], numpy.arange(s * t + 1)))


@_inlined
def _copy_in(x, x_at, p, image, at):
    """Copy a plane of x into its phases; the padding stays zero.

    Rows come in the order of their places: one mends what a vector wrote behind the one before.
    """
    for i in range(len(p.row)):
        source, target = x_at + i * p.width, at + p.row[i]
        if p.stride > 1:  # more is copied than there are outputs, during which to fetch the next
            fetch(x, source + _AHEAD, p.width)
        if p.stride == 1:
            for j in range(0, p.width, LANES):
                read_some(x, source + j, image, target + p.pad + j, p.width - j)
        elif p.stride == 2:
            for j in range(0, p.width, 2 * LANES):
                split_pairs(x, source + j, target + p.even + j // 2, target + p.odd + j // 2,
                            image, p.width - j)
        else:
            for j in range(p.width):
                place = j + p.pad
                image[target + place % p.stride * p.phase + place // p.stride] = x[source + j]


@_inlined
def _copy_out(image, at, p, dx, dx_at):
    """Copy the phases to a plane of dx."""
    for i in range(len(p.row)):
        source, target = at + p.row[i], dx_at + i * p.width
        if p.stride == 1:
            for j in range(0, p.width, LANES):
                write_some(image, source + p.pad + j, dx, target + j, p.width - j)
        elif p.stride == 2:
            for j in range(0, p.width, 2 * LANES):
                join_pairs(image, source + p.even + j // 2, source + p.odd + j // 2,
                           dx, target + j, p.width - j)
        else:
            for j in range(p.width):
                place = j + p.pad
                dx[target + j] = image[source + place % p.stride * p.phase + place // p.stride]


@_inlined
def _copy_dy(dy, dy_at, p, grad, at):
    """Copy a plane of dy to rows of ``line`` floats; what lies between them stays zero."""
    for i in range(p.rows):
        for j in range(0, p.columns, LANES):
            read_some(dy, dy_at + i * p.columns + j, grad, at + i * p.line + j, p.columns - j)


@parallel
def _forward(part, parts, planes, channels, outputs, x, w, y: Output, p: Places, order,
             images, results: Scratch):
    """One thread's share: some planes of x, one after the other.

    order: 0, 1, ... (taps,): that of the weights.
    """
    at, result_at, taps, size = (part * p.image, part * results.size, len(p.tap),
                                 len(p.row) * p.width)
    clear_floats(images, at, p.image)
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        _copy_in(x, plane * size, p, images, at)
        for k in range(outputs):
            o, y_at = plane % channels * outputs + k, (plane * outputs + k) * p.rows * p.columns
            for i in range(0, p.span, BLOCK):
                weigh_taps(images, at + i, p.tap, 0, taps, w, o * taps, order,
                           y.bias[o], y.slope, results.flat, result_at + i)
                fetch(x, (plane + 1) * size + i, BLOCK)
                fetch(y.flat, y_at + i, BLOCK)
            for i in range(p.rows):
                for j in range(0, p.columns, LANES):
                    write_some(results.flat, result_at + i * p.line + j,
                               y.flat, y_at + i * p.columns + j, p.columns - j)


@parallel
def _weight(part, parts, batch, channels, x, dy, dw, db, p: Places, images, grads, sums: Scratch):
    """One thread's share: some channels, each through the whole batch."""
    at, grad_at, sums_at = part * p.image, part * p.grad, part * sums.size
    total = (len(p.tap) + 1) * LANES
    outputs = sums.size // total
    size, dy_size = len(p.row) * p.width, p.rows * p.columns
    clear_floats(images, at, p.image)
    clear_floats(grads, grad_at, p.grad)
    for c in range(channels * part // parts, channels * (part + 1) // parts):
        clear_floats(sums.flat, sums_at, sums.size)
        for n in range(batch):
            plane = n * channels + c
            following = plane + channels if n + 1 < batch else c + 1
            _copy_in(x, plane * size, p, images, at)
            for k in range(outputs):
                _copy_dy(dy, (plane * outputs + k) * dy_size, p, grads, grad_at)
                for i in range(0, p.span, BLOCK):
                    correlate_taps(images, at + i, p.tap, len(p.tap), grads, grad_at + i,
                                   sums.flat, sums_at + k * total)
                    fetch(x, following * size + i, BLOCK)
                    fetch(dy, (following * outputs + k) * dy_size + i, BLOCK)
        for k in range(outputs):
            _add_lanes(sums.flat, sums_at + k * total, c * outputs + k, len(p.tap), dw, db)


@inner
def _add_lanes(sums, at, o, taps, dw, db):
    """Add the sums of output o to dw and, if there is one, db."""
    for k in range(taps + 1):
        total = float32(0)
        for lane in range(LANES):
            total += sums[at + k * LANES + lane]
        if k < taps:
            dw[o * taps + k] += total
        elif len(db):
            db[o] += total


@parallel
def _data(part, parts, planes, channels, outputs, dy, w, dx, p: Places, images, grads):
    """One thread's share: some planes of dx, one after the other."""
    at, grad_at = part * p.image, part * outputs * p.grad
    size, dy_size = len(p.row) * p.width, p.rows * p.columns
    clear_floats(grads, grad_at, outputs * p.grad)
    for plane in range(planes * part // parts, planes * (part + 1) // parts):
        for k in range(outputs):
            _copy_dy(dy, (plane * outputs + k) * dy_size, p, grads,
                     grad_at + k * p.grad + p.margin)
        w_at, dx_at = plane % channels * len(p.order), plane * size
        for phase in range(len(p.first) - 1):
            for i in range(p.begin, p.end, BLOCK):
                weigh_taps(grads, grad_at + i, p.back, p.first[phase], p.first[phase + 1],
                           w, w_at, p.order, float32(0), float32(1),
                           images, at + phase * p.phase + i)
                fetch(dx, dx_at + phase * (p.end - p.begin) + i, BLOCK)
                if phase == 0:
                    fetch(dy, (plane + 1) * outputs * dy_size + i, BLOCK)
        _copy_out(images, at, p, dx, dx_at)


def suits(x_shape: tuple, w_shape: tuple, window: Window, group: int) -> bool:
    """Whether this is a depthwise convolution over two axes: several channels, a group each."""
    return len(x_shape) == 4 and group == x_shape[1] > 1


def forward(workspace: Workspace, threads: int, x, w, b, y, window: Window, group: int,
            slope: float | None) -> None:
    """``y``: the sum of x under the window times w, plus b; then a ReLU unless slope is None."""
    batch, channels = x.shape[:2]
    outputs = len(w) // channels
    p = _places(window, outputs, x.shape[2:], y.shape[2:])
    _forward(threads, batch * channels, channels, outputs, x.reshape(-1), w.reshape(-1),
             Output(y.reshape(-1), zeros(len(w)) if b is None else b.reshape(-1),
                    float32(1 if slope is None else slope)), p, strided(len(p.tap), 1),
             workspace.floats("padded", threads * p.image),
             workspace.shared("result", threads, aligned(p.span + BLOCK)))


def backward_weight(workspace: Workspace, threads: int, x, dy, dw, db, window: Window,
                    group: int) -> None:
    """``dw +=`` the sum of x under the window times dy; ``db +=`` that of dy, unless it is None."""
    batch, channels = x.shape[:2]
    outputs = len(dw) // channels
    p = _places(window, outputs, x.shape[2:], dy.shape[2:])
    _weight(threads, batch, channels, x.reshape(-1), dy.reshape(-1), dw.reshape(-1),
            zeros(0) if db is None else db.reshape(-1), p,
            workspace.floats("padded", threads * p.image),
            workspace.floats("panel", threads * p.grad),
            workspace.shared("sums", threads, outputs * (len(p.tap) + 1) * LANES))


def backward_data(workspace: Workspace, threads: int, dy, w, dx, window: Window,
                  group: int) -> None:
    """``dx``: for each pixel the sum over the windows it lies in of their dy times its weight."""
    batch, channels = dx.shape[:2]
    outputs = len(w) // channels
    p = _places(window, outputs, dx.shape[2:], dy.shape[2:])
    _data(threads, batch * channels, channels, outputs, dy.reshape(-1), w.reshape(-1),
          dx.reshape(-1), p, workspace.floats("padded", threads * p.image),
          workspace.floats("panel", threads * outputs * p.grad))
