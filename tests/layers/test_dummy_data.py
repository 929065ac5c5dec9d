"""DummyData: tops that fillers fill."""

import numpy as np
import pytest

import minicaffe
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import assert_same

DEVICES = ["numpy", "cpu", "strict"]
RANDOM = 'data_filler { type: "gaussian" std: 2 }'


def made(fields, tops=("a", "b"), device="numpy", seed=1, name="dummy"):
    tops = " ".join(f'top: "{top}"' for top in tops)
    text = f'layer {{ name: "{name}" type: "DummyData" {tops} dummy_data_param {{ {fields} }} }}'
    return minicaffe.Net(parse_text(text, NetParameter), minicaffe.TEST, device=device, seed=seed)


def passes(net, count=1):
    """A copy of the first top after each of some passes."""
    return [net.forward()["a"].copy() for _ in range(count)]


@pytest.mark.parametrize("device", DEVICES)
def test_each_top_has_its_shape_and_filler(device):
    net = made('shape { dim: 2 dim: 3 } shape { dim: 4 } data_filler { value: 5 } '
               'data_filler { type: "uniform" min: 1 max: 2 }', device=device)
    found = net.forward()
    assert_same(found["a"], np.full((2, 3), 5), "a")
    assert found["b"].shape == (4,) and ((1 <= found["b"]) & (found["b"] <= 2)).all()


def test_one_shape_and_one_filler_are_for_all_tops():
    found = made(f"shape {{ dim: 2 dim: 3 }} {RANDOM}").forward()
    assert found["a"].shape == found["b"].shape == (2, 3)
    assert (found["a"] != found["b"]).all()


def test_without_a_filler_tops_are_0():
    assert_same(passes(made("shape { dim: 3 }", "a"))[0], np.zeros(3), "a")


def test_num_channels_height_and_width_are_the_old_shape():
    net = made("num: 2 channels: 3 height: 4 width: 5 num: 1 channels: 1 height: 1 width: 6")
    assert net.blobs["a"].shape == (2, 3, 4, 5) and net.blobs["b"].shape == (1, 1, 1, 6)


@pytest.mark.parametrize("device", DEVICES)
def test_random_tops_are_filled_anew_in_every_pass_and_alike_on_every_device(device):
    first, second = passes(made(f"shape {{ dim: 9 }} {RANDOM}", "a", device), 2)
    again = passes(made(f"shape {{ dim: 9 }} {RANDOM}", "a"), 2)
    assert (first != second).all()
    assert_same([first, second], again, "a")


def test_random_tops_depend_on_seed_and_name():
    nets = [made(f"shape {{ dim: 9 }} {RANDOM}", "a", **other)
            for other in ({}, {"seed": 2}, {"name": "other"})]
    a, b, c = (passes(net)[0] for net in nets)
    assert (a != b).all() and (a != c).all() and (b != c).all()


@pytest.mark.parametrize("device", DEVICES)
def test_constant_tops_are_filled_once_so_that_a_user_may_write_into_them(device):
    net = made("shape { dim: 3 } data_filler { value: 5 }", "a", device)
    assert_same(passes(net)[0], [5, 5, 5], "a")
    net.blobs["a"].data[1] = 8
    assert_same(passes(net)[0], [5, 8, 5], "a")


@pytest.mark.parametrize("fields, expected", [
    ("shape { dim: 2 } shape { dim: 2 }",
     "DummyData 'dummy': expected one shape, or one for each of 3 tops, got 2."),
    ("", "DummyData 'dummy': expected one shape, or one for each of 3 tops, got 0."),
    ("shape { dim: 2 } data_filler { value: 1 } data_filler { value: 1 }",
     "DummyData 'dummy': expected one data_filler, or one for each of 3 tops, got 2."),
])
def test_errors_say_what_was_expected(fields, expected):
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        made(fields, ("a", "b", "c"))
    assert str(caught.value) == expected


def test_constants_are_there_before_the_first_pass_and_may_be_written_over():
    net = made("shape { dim: 2 } data_filler { value: 3 }", tops=["x"])
    assert net.blobs["x"].data.tolist() == [3, 3]
    net.blobs["x"].data[0] = 5
    assert net.forward()["x"].tolist() == [5, 3]
    net.blobs["x"].reshape(3)
    assert net.forward()["x"].tolist() == [3, 3, 3]
