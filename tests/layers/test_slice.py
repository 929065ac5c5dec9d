"""Slice: the parts of a blob."""

import numpy as np
import pytest

from minicaffe.testing import check_layer

from .naive import numbers, refusal


def layer(fields="", tops=3):
    names = " ".join(f'top: "y{k}"' for k in range(tops))
    return f'type: "Slice" {names} slice_param {{ {fields} }}'


def cut(x, axis, points):
    """The parts of x between the points, element by element."""
    ends, parts = [0, *points, x.shape[axis]], []
    for start, end in zip(ends, ends[1:]):
        shape = list(x.shape)
        shape[axis] = end - start
        part = np.empty(shape)
        for index in np.ndindex(*shape):
            source = list(index)
            source[axis] += start
            part[index] = x[tuple(source)]
        parts.append(part)
    return parts


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -3, -4])
def test_the_slice_points_say_where_each_top_begins(axis):
    check_layer(layer(f"axis: {axis} slice_point: 1 slice_point: 4"), {"x": numbers(5, 6, 7, 5)},
                lambda x: cut(x, axis, [1, 4]), gradient=axis == -2)


@pytest.mark.parametrize("axis, tops", [(0, 2), (1, 3), (-1, 5), (1, 6)])
def test_without_slice_points_all_tops_are_of_one_size(axis, tops):
    x = numbers(4, 6, 5)
    size = x.shape[axis] // tops
    check_layer(layer(f"axis: {axis}", tops), {"x": x},
                lambda x: cut(x, axis, [size * k for k in range(1, tops)]))


@pytest.mark.parametrize("fields", ["", "axis: 1", "slice_dim: 1"])
def test_the_axis_is_1_by_default_and_had_an_older_name(fields):
    check_layer(layer(fields), {"x": numbers(2, 3, 3)}, lambda x: cut(x, 1, [1, 2]))


def test_the_older_name_is_heeded():
    check_layer(layer("slice_dim: 0 slice_point: 2", 2), {"x": numbers(3, 4)},
                lambda x: cut(x, 0, [2]))


def test_a_single_top_is_the_bottom():
    check_layer('type: "Slice"', {"x": numbers(2, 3)}, lambda x: x)


def test_an_axis_that_tops_do_not_divide_is_refused():
    assert refusal(layer(), {"x": numbers(2, 7)}) == (
        "ShapeError: Slice 'l': expected an axis 1 that 3 tops divide evenly, got 7. "
        "Hint: slice_point says where to cut.")


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_slice_points_is_refused(count):
    assert refusal(layer("slice_point: 1 " * count), {"x": numbers(2, 7)}) == (
        f"ParameterError: Slice 'l': expected 2 slice points for 3 tops, or none, got {count}.")


@pytest.mark.parametrize("points", [(0, 2), (2, 2), (4, 2), (2, 7), (2, 9)])
def test_slice_points_that_leave_a_top_empty_are_refused(points):
    fields = " ".join(f"slice_point: {point}" for point in points)
    assert refusal(layer(fields), {"x": numbers(2, 7)}) == (
        "ShapeError: Slice 'l': expected slice points that increase and lie within 1 to 6, "
        f"got {list(points)}.")


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_out_of_range_is_refused(axis):
    assert refusal(layer(f"axis: {axis}"), {"x": numbers(2, 6)}) == (
        f"ShapeError: Slice 'l': expected a bottom with an axis {axis}, got (2, 6).")


def test_two_names_for_the_axis_are_refused():
    assert refusal(layer("axis: 1 slice_dim: 1"), {"x": numbers(2, 6)}) == (
        "ParameterError: Slice 'l': expected either axis or slice_dim, got both. "
        "Hint: slice_dim is the older name of axis.")
