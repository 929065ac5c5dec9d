"""exp, log and their kin of the device ``cpu``, against NumPy in double precision."""

from __future__ import annotations

import math
import re

import numpy
import pytest
from numpy import float32, float64, inf, nan, uint64

from minicaffe import elementwise
from minicaffe.backend import get_backend
from minicaffe.elementwise import exp, expm1, log, log1p, power, tanh

ONE = [exp, expm1, log, log1p, tanh]
SPECIAL = numpy.array([
    0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5, -2.5, inf, -inf, nan, 1e-45, -1e-45, 1e-38,
    -1e-38, 3e38, -3e38, 1e9, -1e9, 2**24 - 1, 1 - 2**24, 2**24, 0.99999994, -0.99999994, 1.0000001,
    88.7, 88.8, -87.4, -103.9, -104.1], float32)
# numbers of every size: each 9973rd of all bit patterns
ALL = numpy.arange(0, 2**32, 9973, dtype=uint64).astype(numpy.uint32).view(float32)


def run(function, *inputs):
    out = numpy.zeros_like(inputs[0])
    get_backend("cpu").map(function, out, *inputs)
    return out


def exact(function, *inputs):
    with numpy.errstate(all="ignore"):
        return function(*(numpy.asarray(x, float64) for x in inputs))


def last_places(actual, expected):
    """The largest distance in units of the last place of a float32; what is no number is equal."""
    with numpy.errstate(over="ignore"):
        rounded = expected.astype(float32)
    finite = numpy.isfinite(rounded)
    numpy.testing.assert_array_equal(actual[~finite], rounded[~finite])
    unit = numpy.spacing(abs(rounded[finite])).astype(float64)
    return (abs(actual[finite].astype(float64) - expected[finite]) / unit).max()


def bits(x):
    """The bits of each element; of a NaN, of which there are many, those of one."""
    return numpy.where(numpy.isnan(x), float32(nan), x).view(numpy.int32)


@pytest.mark.parametrize("function", ONE)
def test_results_are_right_to_one_and_a_half_units_in_the_last_place(function):
    near_zero = numpy.random.default_rng(0).normal(size=100_000).astype(float32)
    for x in (ALL, near_zero, SPECIAL):
        assert last_places(run(function, x), exact(function, x)) <= 1.5


@pytest.mark.parametrize("function", ONE)
def test_zeros_have_the_sign_that_numpy_gives_them(function):
    x = numpy.concatenate([SPECIAL, ALL])
    actual, expected = run(function, x), exact(function, x)
    zero = actual == 0
    assert (numpy.signbit(actual[zero]) == numpy.signbit(expected[zero])).all()


@pytest.mark.parametrize("exponent", [2, 0.5, -1, -0.75, 3, 1.7, -3.3, 1e-6, 50, 51, 100.5])
def test_a_power_is_right_to_three_fifths_of_a_unit(exponent):
    assert last_places(run(power, ALL, exponent), exact(power, ALL, float32(exponent))) <= 0.6


def test_a_power_of_special_numbers_is_what_numpy_gives():
    x, y = (part.reshape(-1) for part in numpy.meshgrid(SPECIAL, SPECIAL))
    actual, expected = run(power, x, y), exact(power, x, y)
    assert last_places(actual, expected) <= 0.6
    known = ~numpy.isnan(expected)
    assert (numpy.signbit(actual) == numpy.signbit(expected))[known].all()


def test_whole_powers_of_whole_numbers_are_exact():
    x = numpy.arange(-9, 10, dtype=float32)
    for exponent in range(8):
        assert (run(power, x, exponent) == x.astype(int) ** exponent).all()


@pytest.mark.parametrize("function", [*ONE, power])
def test_a_result_depends_neither_on_its_place_nor_on_the_number_of_threads(
        monkeypatch, function):
    monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", 0)
    x = numpy.random.default_rng(1).normal(scale=10, size=10_000).astype(float32)
    more = (1.7,) if function is power else ()
    whole = bits(run(function, x, *more))
    for start in range(70):  # the first elements of a loop may be the last ones of another
        part = run(function, x[start:start + 150].copy(), *more)
        assert (bits(part) == whole[start:start + 150]).all()
    monkeypatch.setattr("minicaffe.backend.cpu.runtime.threads.work.brief", inf)
    assert (bits(run(function, x, *more)) == whole).all()


@pytest.mark.parametrize("function", [*ONE, power])
def test_loops_around_them_run_on_vectors(function):
    from minicaffe.backend.cpu.formulas import scalar
    from minicaffe.backend.cpu.runtime.jit import compiled

    formula = scalar(function)

    def one(x, out):
        for i in range(uint64(x.size)):
            out[i] = formula(x[i])

    def two(x, out):
        for i in range(uint64(x.size)):
            out[i] = formula(x[i], x[i])

    loop = compiled(two if function is power else one, cache=False)
    x = numpy.ones(3, float32)
    loop(x, x)
    code, = loop.inspect_llvm().values()
    assert re.search(r"call [^@]*<\d+ x (float|double)> @llvm.fmuladd", code)
    assert not re.search(rf"@{function.__name__}f?\(", code)


@pytest.mark.parametrize("formula, same", [
    (lambda x: elementwise.exp(x), exp), (lambda x: numpy.tanh(x), tanh),
    (lambda x: elementwise.where(x > 0, x, elementwise.log1p(x)),
     lambda x: elementwise.where(x > 0, x, log1p(x)))])
def test_a_formula_may_name_a_function_by_its_module(formula, same):
    assert (bits(run(formula, SPECIAL)) == bits(run(same, SPECIAL))).all()


def test_a_constant_of_a_module_is_taken_in_single_precision_too():
    x = numpy.full(1, 1e8, float32)
    assert run(lambda x: (x + math.pi) - x, x) == 0  # in doubles 3.14 would be left
