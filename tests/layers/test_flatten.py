"""Flatten: several axes made one."""

import pytest

from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal


def layer(fields=""):
    return f'type: "Flatten" flatten_param {{ {fields} }}'


@pytest.mark.parametrize("fields, shape", [
    ("", (2, 60)),
    ("axis: 0", (120,)),
    ("axis: 2", (2, 3, 20)),
    ("axis: -2", (2, 3, 20)),
    ("end_axis: 2", (2, 12, 5)),
    ("axis: 0 end_axis: 1", (6, 4, 5)),
    ("axis: 0 end_axis: -3", (6, 4, 5)),
    ("axis: -3 end_axis: -2", (2, 12, 5)),
    ("axis: 2 end_axis: 2", (2, 3, 4, 5)),
    ("axis: 3", (2, 3, 4, 5)),
])
def test_the_axes_from_axis_to_end_axis_become_one(fields, shape):
    check_layer(layer(fields), {"x": numbers(2, 3, 4, 5)}, lambda x: x.reshape(shape),
                gradient=shape == (2, 60))


@pytest.mark.parametrize("shape, flat", [((1, 1, 1), (1, 1)), ((3, 1), (3, 1)), ((1, 7), (1, 7))])
def test_axes_of_1_are_axes_like_others(shape, flat):
    check_layer(layer(), {"x": numbers(*shape)}, lambda x: x.reshape(flat))


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_top_takes_no_memory_of_its_own(device):
    net = OneLayerNet(layer(), {"x": numbers(2, 3, 2)}, device=device)
    net.forward()
    net.net.blobs["x"].data[1, 0, 1] = 7
    assert net.net.blobs["y"].data[1, 1] == 7


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_a_net_that_keeps_little_computes_the_same(make_net, device):
    text = """force_backward: true
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }
      layer { name: "r" type: "ReLU" bottom: "x" top: "a" relu_param { negative_slope: 0.5 } }
      layer { name: "f" type: "Flatten" bottom: "a" top: "b" }
      layer { name: "s" type: "Softmax" bottom: "b" top: "c" }
      layer { name: "t" type: "ReLU" bottom: "b" top: "d" }
      layer { name: "g" type: "Flatten" bottom: "d" top: "e" flatten_param { axis: 0 } }"""
    x, dc, de = numbers(2, 3, 4), numbers(2, 12, seed=1), numbers(24, seed=2)
    found = []
    for keep in ("all", []):
        net = make_net(text, device=device, keep=keep)
        tops = net.forward(x=x)
        found.append((tops["c"].copy(), tops["e"].copy(), net.backward(c=dc, e=de)["x"].copy()))
    for name, kept, shared in zip("ced", *found):
        assert_same(shared, kept, name)


@pytest.mark.parametrize("fields, axis", [("", 1), ("axis: -2", -2), ("axis: 0 end_axis: 1", 1)])
def test_an_axis_out_of_range_is_refused(fields, axis):
    assert refusal(layer(fields), {"x": numbers(6)}) == (
        f"ShapeError: Flatten 'l': expected a bottom with an axis {axis}, got (6,).")


def test_an_end_axis_before_the_axis_is_refused():
    assert refusal(layer("axis: 2 end_axis: 0"), {"x": numbers(2, 3, 4)}) == (
        "ShapeError: Flatten 'l': expected an end_axis not before axis 2, got 0.")
