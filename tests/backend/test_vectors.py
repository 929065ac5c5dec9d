"""Vectors in compiled code: each function, lane by lane."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend.cpu.runtime.jit import compiled
from minicaffe.backend.cpu.vectors.short_loops import (
    LANES,
    count_from,
    fill,
    lane_sum,
    load,
    load_every,
    store,
    store_every,
    where,
)

nan = numpy.nan


def floats(*values):
    """LANES floats: the values, again and again."""
    return numpy.resize(numpy.array(values, numpy.float32), LANES)


@compiled(cache=False)
def _formula(a, b, out):
    x, y = load(a, 0, LANES, numpy.float32(0)), load(b, 0, LANES, numpy.float32(0))
    store(x + y, out[0], 0, LANES)
    store(x * y, out[1], 0, LANES)
    store(x / y, out[2], 0, LANES)
    one, nothing = fill(numpy.float32(1)), fill(numpy.float32(0))
    store(where(x > y, one, nothing), out[3], 0, LANES)
    store(where(x == y, one, nothing), out[4], 0, LANES)
    store(where((x > y) | (x == y), one, nothing), out[5], 0, LANES)
    store(where((x > y) & (y > x), one, nothing), out[6], 0, LANES)


@numpy.errstate(all="ignore")
def test_operators_work_lane_by_lane():
    a, b = floats(1, 2, 3, 0, nan, -0.0), floats(3, 2, 1, 0, 1, 0.0)
    out = numpy.full((7, LANES), 9, numpy.float32)
    _formula(a, b, out)
    numpy.testing.assert_array_equal(
        out, [a + b, a * b, a / b, a > b, a == b, a >= b, numpy.zeros(LANES)])


@compiled(cache=False)
def _smaller(a, limit, out):
    numbers = load(a, 0, LANES, numpy.int32(0))
    store(where(numbers < count_from(limit), fill(numpy.int32(-5)), numbers), out, 0, LANES)


def test_whole_numbers_are_counted_and_compared():
    a = numpy.resize(numpy.array([3, -7, 2**31 - 1], numpy.int32), LANES)
    out = numpy.zeros(LANES, numpy.int32)
    _smaller(a, 2, out)
    numpy.testing.assert_array_equal(out, numpy.where(a < numpy.arange(2, LANES + 2), -5, a))


@compiled(cache=False)
def _copy(a, at, count, out):
    store(load(a, at, count, numpy.float32(-1)), out, 0, LANES)
    store(load(a, at, LANES, numpy.float32(-1)), out, 2 * LANES + at, count)


@pytest.mark.parametrize("count", [0, 1, LANES - 1, LANES, LANES + 5])
def test_only_the_first_lanes_are_loaded_and_stored(count):
    a, out = numpy.arange(4 * LANES, dtype=numpy.float32), numpy.full(4 * LANES, 9, numpy.float32)
    _copy(a, 3, count, out)
    some = min(count, LANES)
    expected = numpy.full(4 * LANES, 9)
    expected[:LANES] = -1
    expected[:some] = a[3:3 + some]
    expected[2 * LANES + 3:2 * LANES + 3 + some] = a[3:3 + some]
    numpy.testing.assert_array_equal(out, expected)


@compiled(cache=False)
def _every(a, at, step, read, written):
    taken = load_every(a, at, step)
    store(taken, read, 0, LANES)
    store_every(taken, written, at, step)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.int32])
@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_elements_at_any_step_are_loaded_and_stored(step, dtype):
    a, read = numpy.arange(6 * LANES, dtype=dtype), numpy.zeros(LANES, dtype)
    written, expected = numpy.zeros((2, 6 * LANES), dtype)
    _every(a, 3, step, read, written)
    numpy.testing.assert_array_equal(read, a[3::step][:LANES])
    expected[3:3 + step * LANES:step] = read
    numpy.testing.assert_array_equal(written, expected)


@compiled(cache=False)
def _total(a):
    return lane_sum(load(a, 0, LANES, numpy.float32(0)))


def test_all_lanes_are_summed():
    assert _total(numpy.arange(LANES, dtype=numpy.float32)) == LANES * (LANES - 1) / 2
