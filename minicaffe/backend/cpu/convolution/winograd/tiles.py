"""Where the tiles of ``winograd`` lie, and how images get there and back.

Channels come last there, LANES of them side by side: an image is copied to a plane pixel by pixel,
among zeros, so that all transforms work on whole vectors, wherever a tile lies and however small an
image is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from .....errors import ShapeError
from .....window import Window
from ...runtime.bounded_cache import bounded_cache
from ...runtime.jit import inner
from ...vectors.blocks import collect_block, spread_block
from ...vectors.llvm import LANES

BLOCK = 128  # tiles at a time: as many as share what is read of the filters
_FLOATS = 1 << 21  # that the transforms of a block take, at most
_FEW = 32  # tiles for which a block of their own is worth while


class Plane(NamedTuple):
    """How one image lies in scratch memory: pixel by pixel, LANES channels of each, among zeros."""

    height: int  # of the image
    width: int
    pad: int  # rows of zeros above it
    reach: int  # rows of tiles need so many rows of pixels more than they have
    line: int  # floats of a row
    size: int  # floats
    pixel: numpy.ndarray  # (height * width and LANES more,): where each lies

    @property
    def nbytes(self) -> int:
        return self.pixel.nbytes


@bounded_cache
def _plane(height: int, width: int, pad: tuple[int, int], reach: int, rows: int,
           columns: int) -> Plane:
    """The plane of an image that begins ``pad`` pixels into rows * columns of them."""
    place = numpy.add.outer((numpy.arange(height) + pad[0]) * columns,
                            numpy.arange(width) + pad[1]).reshape(-1)
    spare = numpy.full(LANES, rows * columns)  # where the rest of a last vector goes
    return Plane(height, width, pad[0], reach, columns * LANES, (rows * columns + 1) * LANES,
                 numpy.concatenate([place, spare]) * LANES)


class Tiles(NamedTuple):
    """The tiles of a convolution.  Their rows are counted through all images of the batch."""

    edge: int
    rows: int  # of tiles in an image
    across: int  # tiles in a row
    images: int
    step: int  # rows of a block
    held: int  # images that a block touches, at most
    group: int
    channels: int  # of a group, and its outputs
    outputs: int
    source: Plane  # of the input
    target: Plane  # of the output
    # ``edge`` zeros, for ``edge_of``.  Types of tuples that differ in their names alone numba takes
    # for one, up to its version 0.60.
    zeros: tuple[int, ...]


class Patches(NamedTuple):
    """Where the transforms of patches of x go: for each element of a transform ``size`` floats, in
    which a tile's channels lie side by side, ``step`` from one tile to the next."""

    flat: numpy.ndarray
    size: int
    step: int
    row: numpy.ndarray  # as the left matrix of a product: see ``Factors``
    col: numpy.ndarray


def edge_of(kind) -> int:
    """The edge, from numba's type of Tiles: while code is compiled, for those edges that are used.
    """
    return kind.types[-1].count


def tiles_of(edge: int, x_shape: tuple[int, ...], y_shape: tuple[int, ...], window: Window,
             group: int, floats: int, parts: int) -> Tiles:
    """The tiles of y, ``floats`` for each of them, in a number of blocks that is a multiple of
    ``parts`` where blocks of _FEW tiles are left.

    Errors: ShapeError where y is not of the shape that the window gives.
    """
    if tuple(window.output_shape(x_shape[2:], "convolution")) != tuple(y_shape[2:]):
        raise ShapeError("convolution", f"an output that fits into {tuple(x_shape[2:])} for "
                         f"{window}", tuple(y_shape[2:]))
    rows, across = (-(-size // edge) for size in y_shape[2:])
    total = x_shape[0] * rows
    blocks = -(-total // max(1, min(BLOCK, _FLOATS // floats) // across))
    if total * across >= parts * _FEW:
        blocks = -(-blocks // parts) * parts
    step = -(-total // blocks)
    return Tiles(
        edge, rows, across, x_shape[0], step, (step + rows - 2) // rows + 1,
        group, x_shape[1] // group, y_shape[1] // group,
        _plane(*x_shape[2:], window.pad, 2, edge * rows + 2, edge * across + 2),
        _plane(*y_shape[2:], (0, 0), 0, edge * rows, edge * across), (0,) * edge)


def apart(size: int) -> int:
    """An odd number of vectors: pieces so far apart do not compete for places in a cache."""
    return (-(-size // LANES) | 1) * LANES


# -------------------------------------------------------------------------------- there and back

@inner
def _part_of(p, t, row, end):
    """(image, pixels from, to, rows of tiles to): what the tile rows from ``row`` on reach of the
    image that it lies in."""
    image = row // t.rows
    last = min(end, (image + 1) * t.rows)
    top = max(0, (row - image * t.rows) * t.edge - p.pad)
    bottom = min(p.height, (last - image * t.rows) * t.edge + p.reach - p.pad)
    return image, top * p.width, bottom * p.width, last


@inner
def spread(x, x_at, channels, total, p, t, first, end, planes, at):
    """Copy up to LANES of ``total`` channels into planes, one for each image, as far as the tile
    rows first to end reach."""
    size, row = p.height * p.width, first
    while row < end:
        image, pixel, stop, row = _part_of(p, t, row, end)
        for i in range(pixel, stop, LANES):
            spread_block(x, x_at + image * total * size + i, size, channels, stop - i,
                         planes, at, p.pixel, i)
        at += p.size


@inner
def collect(planes, at, p, t, first, end, y, y_at, channels, total):
    """Copy up to LANES of ``total`` channels of the tile rows first to end out of planes."""
    size, row = p.height * p.width, first
    while row < end:
        image, pixel, stop, row = _part_of(p, t, row, end)
        for i in range(pixel, stop, LANES):
            collect_block(planes, at, p.pixel, i, y, y_at + image * total * size + i, size,
                          channels, stop - i)
        at += p.size


@inner
def place_of(p, t, first, row):
    """Where the first tile of a row lies in planes whose first is that of the row ``first``."""
    image = row // t.rows
    return (image - first // t.rows) * p.size + (row - image * t.rows) * t.edge * p.line
