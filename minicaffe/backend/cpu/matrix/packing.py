"""The left matrix of a product, with the rows of a tile side by side, so that it is read in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from ..runtime.bounded_cache import bounded_cache
from ..runtime.parallel import parallel
from ..runtime.workspace import Workspace, strided
from ..vectors.llvm import LANES, ROWS, TALL
from .operands import Factors


class Filters(NamedTuple):
    """Where the weights of a convolution lie: that of group g, row i, channel c and tap k at
    ``begin + g * group_stride + i * row_stride + c * channel_stride + k * tap_stride``."""

    flat: numpy.ndarray
    begin: int
    group_stride: int
    row_stride: int
    channels: int
    channel_stride: int
    taps: int
    tap_stride: int


@parallel
def _pack(part, parts, group, rows, w: Filters, packed):
    """ROWS rows side by side: ``packed[tile, k, i]``, where k counts channels and taps of each."""
    tiles = (rows + ROWS - 1) // ROWS
    size = w.channels * w.taps * ROWS + LANES
    for tile in range(part, group * tiles, parts):
        first, count = tile % tiles * ROWS, min(ROWS, rows - tile % tiles * ROWS)
        start = w.begin + tile // tiles * w.group_stride + first * w.row_stride
        for c in range(w.channels):
            for i in range(count):
                source = start + i * w.row_stride + c * w.channel_stride
                target = tile * size + i
                for k in range(w.taps):
                    packed[target + (c * w.taps + k) * ROWS] = w.flat[source + k * w.tap_stride]


@bounded_cache
def _packed_rows(rows: int, depth: int) -> numpy.ndarray:
    """Where each row of a packed matrix begins."""
    row = numpy.arange(-(-rows // TALL) * TALL)
    row = numpy.minimum(row, -(-rows // ROWS) * ROWS - 1)
    return row // ROWS * (depth * ROWS + LANES) + row % ROWS


def packed(workspace: Workspace, threads: int, group: int, rows: int, w: Filters) -> Factors:
    """The weights with rows side by side."""
    depth = w.channels * w.taps
    size = -(-rows // ROWS) * (depth * ROWS + LANES)
    memory = workspace.floats("weights", group * size)
    _pack(threads if group * rows * depth > 50_000 else 1, group, rows, w, memory)
    return Factors(memory, size, _packed_rows(rows, depth), strided(depth, ROWS))
