"""What compiled code is told of the matrices of a product: what lies where.

All memory is flat.  A NamedTuple stands for what belongs together, as compiled code takes those:
the first classes are for one product, two vectors wide, the others for a whole kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy


class Left(NamedTuple):
    """The left matrix, ``A[i, k] = flat[at + row[first_row + i] + col[first_col + k]]``.

    So matrices with any strides will do, packed ones, and images in which a column of A is a pixel
    and a row a tap.
    """

    flat: numpy.ndarray
    at: int
    row: numpy.ndarray  # (int64); as many rows are read as fill the last tile
    first_row: int
    col: numpy.ndarray  # (int64)
    first_col: int


class Right(NamedTuple):
    """The right matrix, ``B[k, j] = flat[left + line[first_line + k] + j]`` for the first vector;
    the second begins at ``right``."""

    flat: numpy.ndarray
    left: int
    right: int
    line: numpy.ndarray  # (int64)
    first_line: int


class Ends(NamedTuple):
    """How the sums begin and end: those of row i with ``bias[bias_at + i]``, or with what is there
    already if bias_at is negative; and by ``v if v > 0 else slope * v + 0``, as in ``leaky``, if
    ``last`` is true."""

    bias: numpy.ndarray
    bias_at: int
    last: bool
    slope: float  # float32


class Tile(NamedTuple):
    """Where the product goes: its row i begins at ``at + i * stride``, and there, with left_count
    and right_count elements, at left and right; a right_count of 0 says that there is one vector.
    """

    flat: numpy.ndarray
    at: int
    stride: int
    left: int
    left_count: int
    right: int
    right_count: int


class Matrix(NamedTuple):
    """A matrix, ``flat[i * i_stride + j * j_stride]``."""

    flat: numpy.ndarray
    i_stride: int
    j_stride: int


class Factors(NamedTuple):
    """Left matrices, of which number g is ``flat[g * size + row[i] + col[k]]``: one for each group
    of a convolution, or for each thread.  See ``Left``."""

    flat: numpy.ndarray
    size: int
    row: numpy.ndarray
    col: numpy.ndarray


class Panels(NamedTuple):
    """Right matrices in panels of COLUMNS columns, ``size`` floats for each thread, or element of
    a transform; row k of a panel lies at ``line[k]``.  See ``Right``."""

    flat: numpy.ndarray
    size: int
    line: numpy.ndarray


class Sums(NamedTuple):
    """Where sums are kept that are added to: ``size`` floats for each thread, or element of a
    transform."""

    flat: numpy.ndarray
    size: int
    zeros: numpy.ndarray  # what they begin with, one for each row of a product


class Output(NamedTuple):
    """What a convolution writes: its sums begin with the bias of their channel, and end by
    ``v if v > 0 else slope * v + 0``."""

    flat: numpy.ndarray
    bias: numpy.ndarray
    slope: float  # float32; 1 for none
