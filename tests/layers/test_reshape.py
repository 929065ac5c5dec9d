"""Reshape: the same elements in another shape."""

import pytest

from minicaffe.testing import OneLayerNet, check_layer

from .naive import numbers, refusal


def layer(dims, fields=""):
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'type: "Reshape" reshape_param {{ shape {{ {shape} }} {fields} }}'


@pytest.mark.parametrize("dims, fields, shape", [
    ((0, -1), "", (2, 24)),
    ((0, 0, 3, 2), "", (2, 4, 3, 2)),
    ((0, 6, 4), "", (2, 6, 4)),
    ((0, 0, 0, 1), "", (2, 4, 6, 1)),
    ((-1, 0, 3), "", (4, 4, 3)),
    ((-1, 8, 3), "", (2, 8, 3)),
    ((-1,), "", (48,)),
    ((3, -1), "axis: 1", (2, 3, 8)),
    ((-1,), "axis: 1", (2, 24)),
    ((0, 2, 3), "axis: 1", (2, 4, 2, 3)),
    ((2, 3), "axis: -2", (2, 4, 2, 3)),
    ((1,), "axis: -1", (2, 4, 6, 1)),
    ((1, 1), "axis: 1 num_axes: 0", (2, 1, 1, 4, 6)),
    ((1,), "axis: 3", (2, 4, 6, 1)),
    ((1,), "num_axes: 0", (1, 2, 4, 6)),
    ((1,), "axis: -4 num_axes: 0", (1, 2, 4, 6)),
    ((2, -1), "axis: 1 num_axes: 1", (2, 2, 2, 6)),
    ((-1,), "num_axes: 2", (8, 6)),
    ((-1, 3), "axis: -2 num_axes: 1", (2, 4, 2, 3)),
    ((0,), "axis: 1 num_axes: 1", (2, 4, 6)),
])
def test_dims_take_the_place_of_axes_and_the_elements_stay_in_order(dims, fields, shape):
    check_layer(layer(dims, fields), {"x": numbers(2, 4, 6)}, lambda x: x.reshape(shape),
                gradient=dims == (0, -1))


def test_a_blob_without_axes_can_get_some():
    check_layer(layer((1, 1)), {"x": numbers()}, lambda x: x.reshape(1, 1))


def test_a_single_element_can_lose_its_axes():
    check_layer('type: "Reshape"', {"x": numbers(1, 1)}, lambda x: x.reshape(()), reshape=False)


def test_no_dims_take_axes_of_1_away():
    check_layer(layer((), "axis: 1 num_axes: 2"), {"x": numbers(3, 1, 1, 2)},
                lambda x: x.reshape(3, 2))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_top_takes_no_memory_of_its_own(device):
    net = OneLayerNet(layer((4, 3)), {"x": numbers(2, 6)}, device=device)
    net.forward()
    net.net.blobs["y"].data[3, 1] = 7
    assert net.net.blobs["x"].data[1, 4] == 7


@pytest.mark.parametrize("dims", [(-1, 0, -1), (-2, 4)])
def test_dims_that_say_nothing_are_refused(dims):
    assert refusal(layer(dims), {"x": numbers(2, 6)}) == (
        "ParameterError: Reshape 'l': expected dims of 0 or more, and at most one of -1, "
        f"got {list(dims)}.")


def test_a_negative_number_of_axes_is_refused():
    assert refusal(layer((1,), "num_axes: -2"), {"x": numbers(2, 6)}) == (
        "ParameterError: Reshape 'l': expected num_axes of -1 (all) or more, got -2.")


@pytest.mark.parametrize("axis", [3, -4])
def test_an_axis_out_of_range_is_refused(axis):
    assert refusal(layer((-1,), f"axis: {axis}"), {"x": numbers(2, 6)}) == (
        f"ShapeError: Reshape 'l': expected a bottom with a place {axis} for axes, got (2, 6).")


def test_more_axes_than_there_are_are_refused():
    assert refusal(layer((-1,), "axis: 1 num_axes: 2"), {"x": numbers(2, 6)}) == (
        "ShapeError: Reshape 'l': expected a bottom with 2 axes from axis 1 on, got (2, 6).")


def test_a_dim_of_0_without_an_axis_to_copy_is_refused():
    assert refusal(layer((2, 6, 0)), {"x": numbers(2, 6)}) == (
        "ShapeError: Reshape 'l': expected a bottom with an axis 2, which a dim of 0 copies, "
        "got (2, 6).")


@pytest.mark.parametrize("shape, dims, fields, expected, given", [
    ((2, 6), (5, -1), "", "12 elements of (2, 6)", 5),
    ((2, 6), (0, -1, 4), "", "12 elements of (2, 6)", 8),
    ((2, 6), (-1, 4), "axis: 1", "6 elements of (6,)", 4),
    ((2, 0), (-1, 0), "num_axes: 1", "2 elements of (2,)", 0),
])
def test_an_axis_that_cannot_be_inferred_is_refused(shape, dims, fields, expected, given):
    assert refusal(layer(dims, fields), {"x": numbers(*shape)}) == (
        f"ShapeError: Reshape 'l': expected dims that divide the {expected}, "
        f"got {list(dims)}, which give {given}.")


@pytest.mark.parametrize("dims, fields, shape", [
    ((3, -1), "axis: 1", (0, 3, 2)), ((0, -1), "", (0, 6)), ((0, 2, -1), "", (0, 2, 3)),
    ((-1, 0), "", (0, 6)), ((-1, 3), "", (0, 3)), ((0, 0, -1), "", (0, 6, 1))])
def test_a_batch_may_be_empty(dims, fields, shape):
    check_layer(layer(dims, fields), {"x": numbers(0, 6)}, lambda x: x.reshape(shape))


@pytest.mark.parametrize("dims, fields, shape", [
    ((0, 5), "", (2, 5)), ((3,), "axis: 1", (2, 3)), ((2,), "num_axes: 0", (2, 2, 6))])
def test_a_shape_of_another_number_of_elements_is_refused(dims, fields, shape):
    assert refusal(layer(dims, fields), {"x": numbers(2, 6)}) == (
        "ShapeError: Reshape 'l': expected a shape of 12 elements for a bottom of (2, 6), "
        f"got {shape}.")
