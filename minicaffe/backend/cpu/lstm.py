"""LSTM, compiled: threads share the units of each step, and Python is not entered between steps.

A thread multiplies the states of all sequences by the weights of its units, COLUMNS at a time, and
takes the sums, which are still in its caches, through the gates.  The weights are copied into
panels once a pass.  Arrays are flat here; their shapes are those that ``Backend`` tells.
"""

from __future__ import annotations

import numpy

from .. import lstm
from ..lstm import GATES
from .formulas import scalar
from .matrix.dots import FEW, STEP, multiply_few
from .matrix.gemm import DEPTH, multiply, pack
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


@inner
def _multiply(N, depth, width, a, a_at, row, col, panels, panel_at, line, start, start_at,
              y, y_at, stride):
    """``y[i, j] = start + A[i] @ panel[:, j]`` for N rows and ``width`` columns, a panel at most.

    With start_at < 0 the start is what y holds.
    """
    for k in range(0, depth, DEPTH):
        left = panel_at + k * COLUMNS
        multiply(N, min(DEPTH, depth - k), a, a_at, row, 0, col, k, panels, left, left + LANES,
                 line, 0, start, start_at if k == 0 else -1, False, numpy.float32(1),
                 y, y_at, stride, 0, width, LANES, max(0, width - LANES))


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
def _forward(part, parts, t, N, H, z, offset, offset_stride, w, panels, row, col, line, zero,
             cont, h, c, tanh_c, y):
    """One thread's share of step t: some of the units, COLUMNS at a time, whose z stays near."""
    begin, end = _own_units(part, parts, H)
    gate_size = (H + COLUMNS - 1) // COLUMNS * COLUMNS * H
    for first in range(begin, end, COLUMNS):
        last = min(first + COLUMNS, end)
        for gate in range(GATES):
            target = (t * N * GATES + gate) * H
            if N > FEW:
                _multiply(N, H, H - first, h, t * N * H, row, col, panels,
                          gate * gate_size + first * H, line, zero, -1, z, target + first,
                          GATES * H)
                continue
            for j in range(first, last, STEP):
                multiply_few(N, min(STEP, last - j), H, h, t * N * H, H, w, (gate * H + j) * H, H,
                             z, target + j, GATES * H, 1, True)
        for n in range(N):
            place, after = t * N + n, (t + 1) * N + n
            for j in range(first, last, LANES):
                count, z_at = min(LANES, last - j), place * GATES * H + j
                z_i, z_f, z_o, z_g = _load_gates(z, z_at, H, count)
                b_i, b_f, b_o, b_g = _load_gates(offset, n * offset_stride + j, H, count)
                found = apply(_step, (z_i + b_i, z_f + b_f, z_o + b_o, z_g + b_g,
                                      _load(c, place * H + j, count), fill(cont[after])))
                _store_gates(found[:GATES], z, z_at, H, count)
                store(found[4], tanh_c, place * H + j, count)
                store(found[5], y, place * H + j, count)
                store(found[6], c, after * H + j, count)
                store(found[7], h, after * H + j, count)


@parallel_steps
def _backward(part, parts, step, T, N, H, dy, z, panels, row, col, line, zero, cont, c, tanh_c,
              dh, dc, dz):
    """One thread's share of the step that is ``step`` ones before the last: some of the units."""
    begin, end = _own_units(part, parts, H)
    t = T - 1 - step
    if step:
        for j in range(begin, end, COLUMNS):
            _multiply(N, GATES * H, H - j, dz, (t + 1) * N * GATES * H, row, col, panels,
                      j * GATES * H, line, zero, 0, dh, j, H)
    for n in range(N):
        place, going_on = t * N + n, fill(cont[(t + 1) * N + n])
        for j in range(begin, end, LANES):
            count, z_at, at, own = (min(LANES, end - j), place * GATES * H + j, place * H + j,
                                    n * H + j)
            found = apply(_step_backward, _load_gates(z, z_at, H, count) + (
                _load(tanh_c, at, count), _load(c, at, count), going_on, _load(dy, at, count),
                _load(dh, own, count), _load(dc, own, count)))
            _store_gates(found[:GATES], dz, z_at, H, count)
            store(found[4], dc, own, count)


def forward(workspace: Workspace, threads: int, z, offset, w, cont, h, c, tanh_c, y) -> None:
    """From the first step to the last."""
    T, N, _, H = z.shape
    width, w = -(-H // COLUMNS) * COLUMNS, w.reshape(-1)
    panels = workspace.floats("weights", GATES * width * H + LANES)
    if N > FEW:
        _pack(threads, GATES, H, H, w, H * H, 1, H, panels)
    _forward(threads, T, N, H, z.reshape(-1), offset.reshape(-1),
             GATES * H if len(offset) > 1 else 0, w, panels, strided(N, H, TALL), strided(H, 1),
             strided(min(H, DEPTH), COLUMNS), zeros(1), cont.reshape(-1), h.reshape(-1),
             c.reshape(-1), tanh_c.reshape(-1), y.reshape(-1))


def backward(workspace: Workspace, threads: int, dy, z, w, cont, c, tanh_c, dz) -> None:
    """From the last step to the first."""
    T, N, _, H = z.shape
    depth, width = GATES * H, -(-H // COLUMNS) * COLUMNS
    panels = workspace.floats("weights", width * depth + LANES)
    _pack(threads, 1, depth, H, w.reshape(-1), 0, H, 1, panels)
    dh, dc = workspace.floats("dh", N * H), workspace.floats("dc", N * H)
    dh[:N * H], dc[:N * H] = 0, 0
    _backward(threads, T, T, N, H, dy.reshape(-1), z.reshape(-1), panels, strided(N, depth, TALL),
              strided(depth, 1), strided(min(depth, DEPTH), COLUMNS), zeros(N), cont.reshape(-1),
              c.reshape(-1), tanh_c.reshape(-1), dh, dc, dz.reshape(-1))
