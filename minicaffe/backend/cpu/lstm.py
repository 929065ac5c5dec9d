"""LSTM, compiled: threads share the units of each step, and Python is not entered between steps.

A thread multiplies the states of all sequences by the weights of its units, COLUMNS at a time, and
takes the sums, which are still in its caches, through the gates.  The weights are copied into
panels once a pass.  Arrays are flat here; their shapes are those that ``Backend`` tells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from .. import lstm
from ..lstm import GATES
from .formulas import scalar
from .matrix.dots import FEW, STEP, multiply_few
from .matrix.gemm import DEPTH, multiply, pack
from .matrix.operands import Ends, Left, Right, Tile
from .runtime.jit import compiled, inner
from .runtime.parallel import parallel, parallel_steps
from .runtime.workspace import Workspace, strided, zeros
from .vectors.llvm import COLUMNS, LANES, TALL
from .vectors.short_loops import apply, fill, load, store

_inlined = compiled(forceinline=True)
_step, _step_backward = scalar(lstm.step), scalar(lstm.step_backward)


@parallel
def _pack(part, parts, matrices, depth, width, w, size, k_stride, j_stride, panels):
    """The panels of some matrices (depth, width), one behind the other in w."""
    across = (width + COLUMNS - 1) // COLUMNS
    units = matrices * across
    for unit in range(units * part // parts, units * (part + 1) // parts):
        j = unit % across * COLUMNS
        pack(min(COLUMNS, width - j), depth, w, unit // across * size + j * j_stride,
             k_stride, j_stride, panels, unit * depth * COLUMNS)


@inner
def _own_units(part, parts, H):
    """The first of those that a thread computes, and the end: whole panels."""
    across = (H + COLUMNS - 1) // COLUMNS
    return across * part // parts * COLUMNS, min(H, across * (part + 1) // parts * COLUMNS)


class _Recurrent(NamedTuple):
    """The weights of a state, in panels and as they are, and the tables that multiply states by
    them."""

    panels: numpy.ndarray
    line: numpy.ndarray  # where a panel's rows lie
    flat: numpy.ndarray
    row: numpy.ndarray  # where the rows of states, or of their gradients, lie, and their columns
    col: numpy.ndarray
    zeros: numpy.ndarray  # what sums begin with


class _States(NamedTuple):
    """What the steps hand on, as ``Backend`` tells it."""

    cont: numpy.ndarray
    h: numpy.ndarray
    c: numpy.ndarray
    tanh_c: numpy.ndarray


class _Gradients(NamedTuple):
    """Those of h and c at the current step, and of z at all steps."""

    h: numpy.ndarray
    c: numpy.ndarray
    z: numpy.ndarray


@inner
def _panel_of(y, at, stride, first, width):
    """The tile of columns ``first`` to width, a panel at most, of rows that begin at ``at``."""
    return Tile(y, at + first, stride, 0, width - first, LANES, max(0, width - first - LANES))


@inner
def _multiply(count, depth, w, panel_at, a, a_at, start_at, tile):
    """``tile[i, j] = start + A[i] @ panel[:, j]`` for ``count`` rows.

    With start_at < 0 the start is what the tile holds, else 0.
    """
    for k in range(0, depth, DEPTH):
        place = panel_at + k * COLUMNS
        multiply(count, min(DEPTH, depth - k), Left(a, a_at, w.row, 0, w.col, k),
                 Right(w.panels, place, place + LANES, w.line, 0),
                 Ends(w.zeros, start_at if k == 0 else -1, False, numpy.float32(1)), tile)


@_inlined
def _load(array, at, count):
    return load(array, at, count, numpy.float32(0))


@_inlined
def _load_gates(z, at, H, count):
    """The four numbers of each of ``count`` units, in vectors."""
    return (_load(z, at, count), _load(z, at + H, count), _load(z, at + 2 * H, count),
            _load(z, at + 3 * H, count))


@_inlined
def _store_gates(gates, z, at, H, count):
    for gate in range(GATES):
        store(gates[gate], z, at + gate * H, count)


@parallel_steps
def _forward(part, parts, t, N, H, z, offset, offset_stride, w: _Recurrent, state: _States, y):
    """One thread's share of step t: some of the units, COLUMNS at a time, whose z stays near."""
    begin, end = _own_units(part, parts, H)
    gate_size = (H + COLUMNS - 1) // COLUMNS * COLUMNS * H
    for first in range(begin, end, COLUMNS):
        last = min(first + COLUMNS, end)
        for gate in range(GATES):
            target = (t * N * GATES + gate) * H
            if N > FEW:
                _multiply(N, H, w, gate * gate_size + first * H, state.h, t * N * H, -1,
                          _panel_of(z, target, GATES * H, first, H))
                continue
            for j in range(first, last, STEP):
                multiply_few(N, min(STEP, last - j), H, state.h, t * N * H, H,
                             w.flat, (gate * H + j) * H, H, z, target + j, GATES * H, 1, True)
        for n in range(N):
            place, after = t * N + n, (t + 1) * N + n
            for j in range(first, last, LANES):
                count, z_at = min(LANES, last - j), place * GATES * H + j
                z_i, z_f, z_o, z_g = _load_gates(z, z_at, H, count)
                b_i, b_f, b_o, b_g = _load_gates(offset, n * offset_stride + j, H, count)
                found = apply(_step, (z_i + b_i, z_f + b_f, z_o + b_o, z_g + b_g,
                                      _load(state.c, place * H + j, count),
                                      fill(state.cont[after])))
                _store_gates(found[:GATES], z, z_at, H, count)
                store(found[4], state.tanh_c, place * H + j, count)
                store(found[5], y, place * H + j, count)
                store(found[6], state.c, after * H + j, count)
                store(found[7], state.h, after * H + j, count)


@parallel_steps
def _backward(part, parts, step, T, N, H, dy, z, w: _Recurrent, state: _States, grad: _Gradients):
    """One thread's share of the step that is ``step`` ones before the last: some of the units."""
    begin, end = _own_units(part, parts, H)
    t = T - 1 - step
    if step:
        for j in range(begin, end, COLUMNS):
            _multiply(N, GATES * H, w, j * GATES * H, grad.z, (t + 1) * N * GATES * H, 0,
                      _panel_of(grad.h, 0, H, j, H))
    for n in range(N):
        place, going_on = t * N + n, fill(state.cont[(t + 1) * N + n])
        for j in range(begin, end, LANES):
            count, z_at, at, own = (min(LANES, end - j), place * GATES * H + j, place * H + j,
                                    n * H + j)
            found = apply(_step_backward, _load_gates(z, z_at, H, count) + (
                _load(state.tanh_c, at, count), _load(state.c, at, count), going_on,
                _load(dy, at, count), _load(grad.h, own, count), _load(grad.c, own, count)))
            _store_gates(found[:GATES], grad.z, z_at, H, count)
            store(found[4], grad.c, own, count)


def forward(workspace: Workspace, threads: int, z, offset, w, cont, h, c, tanh_c, y) -> None:
    """From the first step to the last."""
    T, N, _, H = z.shape
    width, w = -(-H // COLUMNS) * COLUMNS, w.reshape(-1)
    panels = workspace.floats("weights", GATES * width * H + LANES)
    if N > FEW:
        _pack(threads, GATES, H, H, w, H * H, 1, H, panels)
    _forward(threads, T, N, H, z.reshape(-1), offset.reshape(-1),
             GATES * H if len(offset) > 1 else 0,
             _Recurrent(panels, strided(min(H, DEPTH), COLUMNS), w, strided(N, H, TALL),
                        strided(H, 1), zeros(1)),
             _States(cont.reshape(-1), h.reshape(-1), c.reshape(-1), tanh_c.reshape(-1)),
             y.reshape(-1))


def backward(workspace: Workspace, threads: int, dy, z, w, cont, c, tanh_c, dz) -> None:
    """From the last step to the first."""
    T, N, _, H = z.shape
    depth, width = GATES * H, -(-H // COLUMNS) * COLUMNS
    panels, w = workspace.floats("weights", width * depth + LANES), w.reshape(-1)
    _pack(threads, 1, depth, H, w, 0, H, 1, panels)
    dh, dc = workspace.floats("dh", N * H), workspace.floats("dc", N * H)
    dh[:N * H], dc[:N * H] = 0, 0
    _backward(threads, T, T, N, H, dy.reshape(-1), z.reshape(-1),
              _Recurrent(panels, strided(min(depth, DEPTH), COLUMNS), w, strided(N, depth, TALL),
                         strided(depth, 1), zeros(N)),
              _States(cont.reshape(-1), zeros(0), c.reshape(-1), tanh_c.reshape(-1)),
              _Gradients(dh, dc, dz.reshape(-1)))
