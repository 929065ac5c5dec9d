"""Comparing arrays, with messages that say where and by how much they differ."""

from __future__ import annotations

import numpy
from numpy.typing import ArrayLike


def assert_close(got: ArrayLike, expected: ArrayLike, tolerance: float, what: str) -> None:
    """Check that two arrays have one shape, and agree up to rounding.

    Args:
        tolerance: the largest difference, relative to the largest expected value.
        what: names the array in the message.

    Errors: AssertionError with the index at which they differ most, both values there, and the
    tolerance.  A NaN agrees with nothing but a NaN.
    """
    got, expected = numpy.asarray(got, float), numpy.asarray(expected, float)
    if got.shape != expected.shape:
        raise AssertionError(f"{what}: expected shape {expected.shape}, got {got.shape}")
    largest = numpy.abs(expected[numpy.isfinite(expected)]).max(initial=1e-3)
    allowed = tolerance * largest
    equal = (got == expected) | numpy.isnan(got) & numpy.isnan(expected)
    with numpy.errstate(invalid="ignore"):  # infinity less infinity
        off = numpy.where(equal, 0, numpy.nan_to_num(numpy.abs(got - expected), nan=numpy.inf))
    if (off > allowed).any():
        index = numpy.unravel_index(off.argmax(), off.shape)
        place = ", ".join(str(i) for i in index)
        raise AssertionError(
            f"{what} at ({place}): expected {expected[index]:.8g}, got {got[index]:.8g}, "
            f"tolerance {allowed:.2g}; {(off > allowed).sum()} of {off.size} elements differ")


def assert_same(got: ArrayLike, expected: ArrayLike, what: str) -> None:
    """Check that two arrays are equal, bit for bit.  Errors: AssertionError as assert_close."""
    assert_close(got, expected, 0.0, what)
