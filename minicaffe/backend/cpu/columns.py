"""Padded images and the panels of their column matrices: im2col, and back.  See ``tables``."""

from __future__ import annotations

from .blocks import add_vector, copy_vector, copy_vectors
from .jit import compiled
from .llvm import COLUMNS, LANES


@compiled
def copy_in(x, x_at, t, image, at):
    """Copy an image into the middle of its padding."""
    for row in range(len(t.line)):
        source, target = x_at + row * t.width, at + t.line[row]
        if t.step == 1:
            for i in range(0, t.width, LANES):
                copy_vector(x, source + i, image, target + t.pad + i, t.width - i)
        else:
            for i in range(t.width):
                place = i + t.pad
                image[target + place % t.step * t.phase + place // t.step] = x[source + i]


@compiled
def copy_out(image, at, t, x, x_at):
    """Copy the middle of a padded image out."""
    for row in range(len(t.line)):
        source, target = at + t.line[row], x_at + row * t.width
        if t.step == 1:
            for i in range(0, t.width, LANES):
                copy_vector(image, source + t.pad + i, x, target + i, t.width - i)
        else:
            for i in range(t.width):
                place = i + t.pad
                x[target + i] = image[source + place % t.step * t.phase + place // t.step]


@compiled
def im2col(image, at, t, panel, first, end, columns, columns_at):
    """Rows first to end of one panel of the column matrix.

    A run is copied as a whole vector where that fits; the next run mends its end.
    """
    for run in range(t.first[panel], t.first[panel + 1]):
        target = t.target[run]
        copy_vectors(image, at + t.source[run], t.tap, first, end, columns, columns_at + target,
                     COLUMNS, t.length[run] if target + LANES > COLUMNS else LANES)


@compiled
def col2im(result, at, k_first, k_end, t, panel, image, image_at):
    """Add a block of rows of one panel of dcol to where im2col copied them from."""
    for k in range(k_first, k_end):
        source, target = at + (k - k_first) * COLUMNS, image_at + t.tap[k]
        for run in range(t.first[panel], t.first[panel + 1]):
            add_vector(result, source + t.target[run], image, target + t.source[run],
                       t.length[run])
