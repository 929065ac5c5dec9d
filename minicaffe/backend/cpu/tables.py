"""Where the numbers of a convolution lie, for any number of spatial axes, as tables of places.

A padded image is a flat array.  An entry (k, p) of its column matrix is the padded image's element
``tap[k] + pixel[p]``: the sum of where tap k lies in a window and where window p starts.

The innermost axis is split into its phases, first the elements 0, s, 2 s, ... of a row, then
1, s + 1, ..., so that the windows of a row of output pixels start one after the other for any
stride s.  A panel of the column matrix is then copied in runs: of pixels in one row of the output,
and no more than one vector.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy

from ...errors import ShapeError
from ...window import Window
from .llvm import COLUMNS, LANES, TALL
from .recent import recent
from .workspace import aligned


class Tables(NamedTuple):
    """The places of one convolution; arrays are int64.  A tuple, since compiled code takes those.
    """

    depth: int  # rows of the column matrix: channels * taps
    pixels: int  # and its columns
    image: int  # floats of a padded image, and slack behind it
    width: int  # of a row of the image, without padding
    pad: int  # of the innermost axis
    step: int  # stride of the innermost axis
    inside: bool  # the padded image is the image itself
    pointwise: bool  # and so is the column matrix
    phase: int  # elements of a row of the padded image in each phase
    line: numpy.ndarray  # (rows of the image,): where each starts in the padded image
    tap: numpy.ndarray  # (depth rounded up to TALL,)
    pixel: numpy.ndarray  # (pixels,)
    first: numpy.ndarray  # (panels + 1,): number of each panel's first run
    source: numpy.ndarray  # (runs,): where each starts in the padded image
    target: numpy.ndarray  # (runs,): and in a row of its panel
    length: numpy.ndarray  # (runs,)
    vector: numpy.ndarray  # (vectors, 3): of pixels of one row: start, first pixel, how many

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self if isinstance(part, numpy.ndarray))


@recent
def tables(window: Window, channels: int, spatial: tuple[int, ...],
           output: tuple[int, ...]) -> Tables:
    """The tables of an image (channels, *spatial).

    Errors: ShapeError where a window at ``output`` would lie outside of the padded image.
    """
    room = [size + 2 * pad for size, pad in zip(spatial, window.pad)]
    for axis in range(len(output)):
        last = (output[axis] - 1) * window.stride[axis]
        if last + window.dilation[axis] * (window.kernel[axis] - 1) >= room[axis]:
            raise ShapeError("convolution", f"an output that fits into {spatial} for {window}",
                             output)
    step = window.stride[-1]
    phase = -(-room[-1] // step)
    shape = (channels, *room[:-1], step * phase)
    strides = [math.prod(shape[axis + 1:]) for axis in range(len(shape))]

    channel = [numpy.arange(channels) * strides[0]]
    outer = list(zip(strides[1:-1], spatial, window.pad, window.kernel, window.stride,
                     window.dilation, output))
    across = numpy.arange(window.kernel[-1]) * window.dilation[-1]
    tap = _sums(channel + [numpy.arange(k) * d * stride for stride, _, _, k, _, d, _ in outer]
                + [across % step * phase + across // step])
    line = _sums(channel + [(numpy.arange(n) + p) * stride for stride, n, p, *_ in outer])
    start = _sums([numpy.arange(o) * s * stride for stride, _, _, _, s, _, o in outer])
    pixel = _sums([start, numpy.arange(output[-1])])
    inside = step == 1 and not any(window.pad)
    return Tables(len(tap), len(pixel), aligned(math.prod(shape) + LANES), spatial[-1],
                  window.pad[-1], step, inside, window.is_pointwise, phase, line, _rounded_up(tap),
                  pixel, *_runs(start, output[-1]), _vectors(start, output[-1]))


def _sums(axes: list[numpy.ndarray]) -> numpy.ndarray:
    """All sums of one number of each axis, the last axis running fastest."""
    return functools.reduce(lambda a, b: numpy.add.outer(a, b).reshape(-1), axes,
                            numpy.zeros(1, numpy.int64))


def _rounded_up(tap: numpy.ndarray) -> numpy.ndarray:
    """Rows are taken up to TALL at a time: repeat the last to fill up."""
    return numpy.concatenate([tap, numpy.repeat(tap[-1:], -len(tap) % TALL)])


def _runs(start: numpy.ndarray, width: int) -> tuple[numpy.ndarray, ...]:
    """Cut the pixels, rows of ``width``, at the ends of rows, of panels and of vectors."""
    first, source, target, length = [0], [], [], []
    for panel in range(0, len(start) * width, COLUMNS):
        pixel, end = panel, min(panel + COLUMNS, len(start) * width)
        while pixel < end:
            row, column = divmod(pixel, width)
            run = min(width - column, end - pixel, LANES)
            source.append(start[row] + column)
            target.append(pixel - panel)
            length.append(run)
            pixel += run
        first.append(len(source))
    return tuple(numpy.array(table, numpy.int64) for table in (first, source, target, length))


def _vectors(start: numpy.ndarray, width: int) -> numpy.ndarray:
    """Cut the pixels at the ends of rows and of vectors only; of an odd number, add an empty one.
    """
    vectors = [(start[row] + column, row * width + column, min(LANES, width - column))
               for row in range(len(start)) for column in range(0, width, LANES)]
    return numpy.array(vectors + [(0, 0, 0)] * (len(vectors) % 2), numpy.int64)
