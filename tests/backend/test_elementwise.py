"""What the compiled ``map`` and ``sums`` remember of a call, and what they must look at again."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu import elementwise


def draw(*shape):
    return numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)


def doubled(x):
    return 2 * x


def test_an_output_is_found_among_the_inputs_under_any_name():
    x, y = draw(4, 6), draw(4, 6)
    outs = x, y
    inputs = (y, x, x.reshape(24), y[:], x.copy(), x[:1], 3.0, x.T[:, ::-1], y.reshape(6, 4)[1:])
    assert elementwise._twins(inputs, outs) == (1, 0, 0, 1, *[None] * 5)


@pytest.mark.parametrize("name", [lambda x: x, lambda x: x.reshape(8, 50), lambda x: x[:]])
def test_a_map_onto_its_own_input(name):
    x, y = draw(20, 20), draw(20, 20)
    expected = x - 2 * y
    get_backend("cpu").map(lambda x, y: (x - 2 * y, x), (name(x), name(y)), x, y)
    numpy.testing.assert_allclose(x, expected, rtol=1e-6)


def test_a_call_with_arrays_of_another_form_is_a_call_of_its_own():
    backend, x = get_backend("cpu"), draw(6, 8)
    wide = numpy.zeros((6, 16), numpy.float32)
    double = numpy.zeros((6, 8))
    inputs = x, numpy.tile(x, 2)[:, :8], x.astype(float), x.reshape(8, 6)
    for out in (numpy.zeros_like(x), wide[:, :8], double, numpy.zeros_like(x)):
        for value in inputs:
            out[...] = 0
            backend.map(doubled, out, value)
            assert (out == 2 * x).all()
    assert not wide[:, 8:].any()


def test_a_number_or_an_array_of_one_element_in_its_place():
    backend, x, out = get_backend("cpu"), draw(5), draw(5)
    for factor in (2, 2.5, numpy.float64(3), numpy.full(1, 4, numpy.float32), True):
        backend.map(lambda x, factor: factor * x, out, x, factor)
        assert (out == numpy.float32(factor) * x).all()


def test_a_variable_that_a_formula_captured_may_change():
    factor = 2.0

    def scaled(x):
        return factor * x

    x, out = draw(5), draw(5)
    for factor in (2.0, 3.0):  # noqa: B007
        get_backend("cpu").map(scaled, out, x)
        assert (out == factor * x).all()


def test_ever_new_shapes_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(elementwise, "_REMEMBERED", 3)
    calls = elementwise.Calls()
    for size in range(1, 12):
        x = draw(size)
        assert calls.map(doubled, (x,), (x,))
        assert len(calls._calls) <= 3
    assert len(calls._loops) == 1


def test_arrays_that_compiled_code_does_not_take_are_left_alone():
    calls, x = elementwise.Calls(), draw(4, 6)
    before = x.copy()
    for out in (x.astype(float), x[:, ::2], x.T, x[:0]):
        assert not calls.map(doubled, (out,), (1.0,))
        assert not calls.sums(doubled, None, (numpy.zeros(1, numpy.float32),), (out,), False)
    assert (x == before).all()
