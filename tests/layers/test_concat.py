"""Concat: blobs behind one another."""

import numpy as np
import pytest

from minicaffe.testing import check_layer

from .naive import numbers, refusal


def layer(fields=""):
    return f'type: "Concat" concat_param {{ {fields} }}'


def bottoms(axis, *lengths, shape=(2, 3, 5, 4)):
    """Blobs of one shape but for an axis, of these lengths."""
    arrays = {}
    for k, length in enumerate(lengths):
        of_this = list(shape)
        of_this[axis] = length
        arrays[f"x{k}"] = numbers(*of_this, seed=k)
    return arrays


def joined(arrays, axis):
    """The arrays behind one another, element by element."""
    shape = list(arrays[0].shape)
    shape[axis] = sum(x.shape[axis] for x in arrays)
    y, start = np.empty(shape), 0
    for x in arrays:
        for index in np.ndindex(*x.shape):
            target = list(index)
            target[axis] = index[axis] + start
            y[tuple(target)] = x[index]
        start += x.shape[axis]
    return y


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -3, -4])
def test_bottoms_lie_behind_one_another_along_the_axis(axis):
    check_layer(layer(f"axis: {axis}"), bottoms(axis, 3, 1, 2), lambda *x: joined(x, axis),
                gradient=axis == -2)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_there_may_be_one_or_more(count):
    check_layer(layer(), bottoms(1, *range(1, count + 1), shape=(3, 0, 2)),
                lambda *x: joined(x, 1))


@pytest.mark.parametrize("fields", ["", "axis: 1", "concat_dim: 1"])
def test_the_axis_is_1_by_default_and_had_an_older_name(fields):
    check_layer(layer(fields), {"a": numbers(2, 2), "b": numbers(2, 3)}, lambda *x: joined(x, 1))


def test_the_older_name_is_heeded():
    check_layer(layer("concat_dim: 0"), {"a": numbers(2, 3), "b": numbers(1, 3)},
                lambda *x: joined(x, 0))


@pytest.mark.parametrize("other", [(2, 3, 5), (3, 3, 4), (2, 3), (2, 3, 4, 1), (2,)])
def test_bottoms_that_differ_on_another_axis_are_refused(other):
    assert refusal(layer(), {"a": numbers(2, 3, 4), "b": numbers(2, 1, 4),
                             "c": numbers(*other)}) == (
        f"ShapeError: Concat 'l': expected bottoms that differ on axis 1 alone, "
        f"got (2, 3, 4) and {other}.")


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_out_of_range_is_refused(axis):
    assert refusal(layer(f"axis: {axis}"), {"a": numbers(2, 6), "b": numbers(2, 6)}) == (
        f"ShapeError: Concat 'l': expected a bottom with an axis {axis}, got (2, 6).")


def test_two_names_for_the_axis_are_refused():
    assert refusal(layer("axis: 1 concat_dim: 1"), {"a": numbers(2, 6)}) == (
        "ParameterError: Concat 'l': expected either axis or concat_dim, got both. "
        "Hint: concat_dim is the older name of axis.")
