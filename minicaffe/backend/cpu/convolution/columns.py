"""Padded images and the panels of their column matrices: im2col, and back.  See ``tables``."""

from __future__ import annotations

import numpy

from ..runtime.jit import inner
from ..vectors.blocks import add_vector, clear_floats, copy_vector
from ..vectors.llvm import COLUMNS, LANES
from ..vectors.strided_copies import copy_every, copy_runs, weave


@inner
def copy_in(x, x_at, t, image, at):
    """Copy an image into the middle of its padding, but for what no window meets."""
    if t.step == 1:
        for row in range(len(t.line)):
            if t.line[row] >= 0:
                for i in range(0, t.width, LANES):
                    copy_vector(x, x_at + row * t.width + i,
                                image, at + t.line[row] + t.pad + i, t.width - i)
        return
    for first in range(min(t.step, t.width)):
        phase, place = (first + t.pad) % t.step, (first + t.pad) // t.step
        if phase < t.phases:
            count, target = (t.width - first + t.step - 1) // t.step, phase * t.phase + place
            for row in range(len(t.line)):
                if t.line[row] >= 0:
                    copy_every(x, x_at + row * t.width + first, t.step,
                               image, at + t.line[row] + target, count)


@inner
def copy_out(image, at, t, x, x_at):
    """Copy the middle of a padded image out; zeros to what no window meets."""
    even, odd = _place(t, 0), _place(t, 1)
    for row in range(len(t.line)):
        source, target = at + t.line[row], x_at + row * t.width
        if t.line[row] < 0:
            clear_floats(x, target, t.width)
        elif t.step == 1:
            for i in range(0, t.width, LANES):
                copy_vector(image, source + t.pad + i, x, target + i, t.width - i)
        elif t.step == 2:
            for i in range(0, t.width, 2 * LANES):
                weave(image, source + even + i // 2, source + odd + i // 2, x, target + i,
                      t.width - i)
        else:
            for first in range(min(t.step, t.width)):
                there, here = numpy.uint64(source + _place(t, first)), numpy.uint64(target + first)
                step = numpy.uint64(t.step)
                for i in range(numpy.uint64((t.width - first + t.step - 1) // t.step)):
                    x[here + i * step] = image[there + i]


@inner
def _place(t, i):
    """Where element i of a row lies, from where the row starts in the padded image."""
    return (i + t.pad) % t.step * t.phase + (i + t.pad) // t.step


@inner
def im2col(image, at, t, panel, first, end, columns, columns_at):
    """Rows first to end of one panel of the column matrix."""
    for vector in range(2 * panel, min(2 * panel + 2, len(t.first) - 1)):
        copy_runs(image, at, t.tap, first, end, columns, columns_at + vector % 2 * LANES, COLUMNS,
                  t.source, t.lane, t.first[vector], t.first[vector + 1] - t.first[vector])


@inner
def col2im(result, at, size, t, first, end, first_row, rows, image, image_at):
    """Add rows first to end of dcol, ``size`` floats each of some rows of pixels, to where im2col
    would copy them from.

    Vectors that follow each other must not overlap in the image: to read what has not quite been
    written yet takes long.  So rows of pixels begin with a vector of their own, and those of the
    image lie ``apart``.
    """
    for k in range(first, end):
        for row in range(rows):
            source = at + (k - first) * size + row * t.across
            target = image_at + t.tap[k] + t.pixel[(first_row + row) * t.across]
            for i in range(0, t.across, LANES):
                add_vector(result, source + i, image, target + i, t.across - i)
