"""Where the numbers of a convolution lie, for any number of spatial axes, as tables of places.

A padded image is a flat array.  An entry (k, p) of its column matrix is the padded image's element
``tap[k] + pixel[p]``: the sum of where tap k lies in a window and where window p starts.

The innermost axis is split into its phases, first the elements 0, s, 2 s, ... of a row, then
1, s + 1, ..., so that the windows of a row of output pixels start one after the other for any
stride s.  A vector of a panel of the column matrix is then put together from runs: of pixels in one
row of the output.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy

from ....errors import ShapeError
from ....window import Window
from ..runtime.bounded_cache import bounded_cache
from ..runtime.workspace import aligned
from ..vectors.llvm import LANES, TALL


class Tables(NamedTuple):
    """The places of one convolution; arrays are int64.  A tuple, since compiled code takes those.
    """

    depth: int  # rows of the column matrix: channels * taps
    pixels: int  # and its columns
    image: int  # floats of a padded image, and slack behind it
    width: int  # of a row of the image, without padding
    across: int  # pixels in a row of the output
    pad: int  # of the innermost axis
    step: int  # stride of the innermost axis
    inside: bool  # the padded image is the image itself
    pointwise: bool  # and so is the column matrix
    phase: int  # elements of a row of the padded image in each phase
    phases: int  # of them that some tap meets, the first ones
    line: numpy.ndarray  # (rows of the image,): where each starts in the padded image; -1: nowhere
    tap: numpy.ndarray  # (depth rounded up to TALL,)
    pixel: numpy.ndarray  # (pixels,)
    first: numpy.ndarray  # (LANES of pixels + 1,): number of each vector's first run
    source: numpy.ndarray  # (runs,): where lane 0 of its vector would be, were it of one run only
    lane: numpy.ndarray  # (runs,): the first that it fills
    vector: numpy.ndarray  # (vectors, 3): of pixels of one row: start, first pixel, how many

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self if isinstance(part, numpy.ndarray))


@bounded_cache
def tables(window: Window, channels: int, spatial: tuple[int, ...], output: tuple[int, ...],
           apart: int = 0) -> Tables:
    """The tables of an image (channels, *spatial), in padding with its rows so many floats apart.

    Errors: ShapeError where a window at ``output`` would lie outside of the padded image.
    """
    room = [size + 2 * pad for size, pad in zip(spatial, window.pad)]
    for axis in range(len(output)):
        last = (output[axis] - 1) * window.stride[axis]
        if last + window.dilation[axis] * (window.kernel[axis] - 1) >= room[axis]:
            raise ShapeError("convolution", f"an output that fits into {spatial} for {window}",
                             output)
    step = window.stride[-1]
    phase = -(-room[-1] // step) + apart
    shape = (channels, *room[:-1], step * phase)
    strides = [math.prod(shape[axis + 1:]) for axis in range(len(shape))]

    channel = [numpy.arange(channels) * strides[0]]
    outer = list(zip(strides[1:-1], spatial, window.pad, window.kernel, window.stride,
                     window.dilation, output))
    across = numpy.arange(window.kernel[-1]) * window.dilation[-1]
    tap = _sums(channel + [numpy.arange(k) * d * stride for stride, _, _, k, _, d, _ in outer]
                + [across % step * phase + across // step])
    line = _sums(channel + [_met(n, p, k, s, d, o) * stride for stride, n, p, k, s, d, o in outer])
    start = _sums([numpy.arange(o) * s * stride for stride, _, _, _, s, _, o in outer])
    pixel = _sums([start, numpy.arange(output[-1])])
    inside = step == 1 and not any(window.pad) and not apart
    return Tables(len(tap), len(pixel), aligned(math.prod(shape) + LANES), spatial[-1],
                  output[-1], window.pad[-1], step, inside, window.is_pointwise, phase,
                  int(max(across % step)) + 1, numpy.maximum(line, -1), _rounded_up(tap), pixel,
                  *_runs(start, output[-1]), _vectors(start, output[-1]))


def _sums(axes: list[numpy.ndarray]) -> numpy.ndarray:
    """All sums of one number of each axis, the last axis running fastest."""
    return functools.reduce(lambda a, b: numpy.add.outer(a, b).reshape(-1), axes,
                            numpy.zeros(1, numpy.int64))


def _met(size: int, pad: int, kernel: int, stride: int, dilation: int, output: int):
    """Where the elements of an axis lie; far below zero those that no window meets."""
    place = numpy.arange(size) + pad
    met = numpy.add.outer(numpy.arange(output) * stride, numpy.arange(kernel) * dilation)
    return numpy.where(numpy.isin(place, met), place, -2**40)


def _rounded_up(tap: numpy.ndarray) -> numpy.ndarray:
    """Rows are taken up to TALL at a time: repeat the last to fill up."""
    return numpy.concatenate([tap, numpy.repeat(tap[-1:], -len(tap) % TALL)])


def _runs(start: numpy.ndarray, width: int) -> tuple[numpy.ndarray, ...]:
    """Cut the pixels, rows of ``width``, at the ends of rows and every LANES pixels."""
    first, source, lane = [0], [], []
    for pixel in range(0, len(start) * width, LANES):
        at, end = pixel, min(pixel + LANES, len(start) * width)
        while at < end:
            row, column = divmod(at, width)
            run = min(width - column, end - at)
            source.append(start[row] + column - (at - pixel))
            lane.append(at - pixel)
            at += run
        first.append(len(source))
    return tuple(numpy.array(table, numpy.int64) for table in (first, source, lane))


def _vectors(start: numpy.ndarray, width: int) -> numpy.ndarray:
    """Cut the pixels at the ends of rows and of vectors only; of an odd number, add an empty one.
    """
    vectors = [(start[row] + column, row * width + column, min(LANES, width - column))
               for row in range(len(start)) for column in range(0, width, LANES)]
    return numpy.array(vectors + [(0, 0, 0)] * (len(vectors) % 2), numpy.int64)
