"""The left matrix of a product, with the rows of a tile side by side, so that it is read in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from ..runtime.bounded_cache import bounded_cache
from ..runtime.parallel import parallel
from ..runtime.workspace import Workspace, strided
from ..vectors.llvm import LANES, ROWS, TALL


class Matrix(NamedTuple):
    """Where the left matrix of each group lies, as ``multiply`` takes it."""

    flat: numpy.ndarray
    size: int  # of a group
    row: numpy.ndarray
    col: numpy.ndarray


@parallel
def _pack(part, parts, group, rows, w, begin, group_stride, row_stride, channels, channel_stride,
          taps, tap_stride, packed):
    """ROWS rows side by side: ``packed[tile, k, i]``, where k counts channels and taps of each."""
    tiles = (rows + ROWS - 1) // ROWS
    size = channels * taps * ROWS + LANES
    for tile in range(part, group * tiles, parts):
        first, count = tile % tiles * ROWS, min(ROWS, rows - tile % tiles * ROWS)
        start = begin + tile // tiles * group_stride + first * row_stride
        for c in range(channels):
            for i in range(count):
                source, target = start + i * row_stride + c * channel_stride, tile * size + i
                for k in range(taps):
                    packed[target + (c * taps + k) * ROWS] = w[source + k * tap_stride]


@bounded_cache
def _packed_rows(rows: int, depth: int) -> numpy.ndarray:
    """Where each row of a packed matrix begins."""
    row = numpy.arange(-(-rows // TALL) * TALL)
    row = numpy.minimum(row, -(-rows // ROWS) * ROWS - 1)
    return row // ROWS * (depth * ROWS + LANES) + row % ROWS


def packed(workspace: Workspace, threads: int, w, start: int, group: int, rows: int,
            *strides: int) -> Matrix:
    """The weights, from ``start``, with rows side by side; strides: of a group, a row,
    channels and their stride, taps and their stride."""
    depth = strides[2] * strides[4]
    size = -(-rows // ROWS) * (depth * ROWS + LANES)
    memory = workspace.floats("weights", group * size)
    _pack(threads if group * rows * depth > 50_000 else 1, group, rows, w.reshape(-1), start,
          *strides, memory)
    return Matrix(memory, size, _packed_rows(rows, depth), strided(depth, ROWS))
