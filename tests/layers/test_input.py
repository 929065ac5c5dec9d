"""Input: blobs that the user fills."""

import numpy as np
import pytest

import minicaffe
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import assert_same


def made(tops, shapes, device="numpy"):
    tops = " ".join(f'top: "{top}"' for top in tops)
    shapes = " ".join(f"shape {{ dim: {list(shape)} }}" for shape in shapes)
    text = f'layer {{ name: "in" type: "Input" {tops} input_param {{ {shapes} }} }}'
    return minicaffe.Net(parse_text(text, NetParameter), minicaffe.TEST, device=device)


@pytest.mark.parametrize("shapes, expected", [
    ([(2, 3), (4,)], [(2, 3), (4,)]),
    ([(2, 3)], [(2, 3), (2, 3)]),
    ([], [(), ()]),
])
def test_each_top_has_its_shape_or_the_one_of_all(shapes, expected):
    net = made(["a", "b"], shapes)
    assert [net.blobs[name].shape for name in net.inputs] == expected


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_a_pass_leaves_what_the_user_wrote(device):
    net = made(["a"], [(2, 3)], device)
    net.blobs["a"].data[...] = 5
    net.forward()
    assert_same(net.forward()["a"], np.full((2, 3), 5), "a")
    assert_same(net.forward(a=np.ones((2, 3)))["a"], np.ones((2, 3)), "a")


def test_another_number_of_shapes_is_refused():
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        made(["a", "b", "c"], [(2,), (3,)])
    assert str(caught.value) == (
        "Input 'in': expected one shape, or one for each of 3 tops, got 2 shapes.")
