"""Dropout: its masks, which are functions of seed, pass, name and element."""

import numpy as np
import pytest

from minicaffe import TEST, TRAIN
from minicaffe.testing import OneLayerNet, assert_same, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]


def layer(ratio=0.5, name="drop", more=""):
    return f'name: "{name}" type: "Dropout" dropout_param {{ dropout_ratio: {ratio} {more} }}'


def masked_ones(count=2000, ratio=0.5, passes=1, device="numpy", dtype="float32", name="drop",
                seed=1):
    """What the last of some passes makes of ones."""
    made = OneLayerNet(layer(ratio, name), {"x": np.ones(count)}, phase=TRAIN, seed=seed,
                       device=device, dtype=dtype)
    made.forward()
    for _ in range(passes - 1):
        made.net.run_forward()
    return made.tops[0].data.copy()


@pytest.mark.parametrize("ratio", [0.5, 0.3, 0])
def test_training_keeps_the_rules_of_layers(ratio):
    check_layer(layer(ratio), {"x": numbers(3, 4, 5)}, phase=TRAIN)


def test_testing_passes_everything_through():
    check_layer(layer(), {"x": numbers(3, 4, 5)}, lambda x: x, phase=TEST)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.75])
@pytest.mark.parametrize("device", DEVICES)
def test_elements_are_left_out_at_the_ratio_and_the_mean_stays(device, ratio):
    y = masked_ones(20000, ratio, device=device)
    assert set(np.unique(y)) == {0, np.float32(1 / (1 - np.float32(ratio)))}
    assert abs((y == 0).mean() - ratio) < 0.015  # four standard deviations
    assert abs(y.mean() - 1) < 0.05


@pytest.mark.parametrize("device", DEVICES)
def test_the_gradient_has_the_mask_of_the_forward_pass(device):
    net = OneLayerNet(layer(0.4), {"x": np.ones(100)}, phase=TRAIN, device=device)
    y, = net.forward()
    dx, = net.backward([np.ones(100)])
    assert_same(dx, y, "dx")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES)
def test_the_mask_is_the_same_on_every_device(device, dtype):
    assert_same(masked_ones(passes=3, device=device, dtype=dtype), masked_ones(passes=3), "mask")


def test_masks_of_other_passes_names_and_seeds_differ():
    masks = [masked_ones(), masked_ones(passes=2), masked_ones(name="other"), masked_ones(seed=2)]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert 0.4 < (a == b).mean() < 0.6  # as two independent masks agree


def test_an_element_keeps_its_number_in_a_larger_blob():
    assert_same(masked_ones(3000)[:2000], masked_ones(2000), "mask")


@pytest.mark.parametrize("ratio", ["1", "-0.5"])
def test_a_ratio_out_of_range_is_refused(ratio):
    assert refusal(layer(ratio), {"x": np.ones(3)}) == (
        f"ParameterError: Dropout 'drop': expected dropout_ratio in [0, 1), got {float(ratio)}.")


@pytest.mark.parametrize("device", DEVICES)
def test_scale_train_false_of_forks_scales_in_tests_instead(device):
    text = layer(0.75, more="scale_train: false")
    check_layer(text, {"x": numbers(3, 4)}, lambda x: x * 0.25, phase=TEST)
    made = OneLayerNet(text, {"x": np.full(2000, 3)}, phase=TRAIN, device=device)
    y, = made.forward()
    assert set(np.unique(y)) == {0, 3} and 0.7 < (y == 0).mean() < 0.8
    dx, = made.backward([np.full(2000, 5)])
    assert_same(dx, np.where(y == 3, 5, 0), "dx")
    check_layer(layer(0.75, more="scale_train: true"), {"x": numbers(3, 4)}, lambda x: x)


@pytest.mark.parametrize("device", DEVICES)
def test_sample_weights_test_of_forks_drops_in_tests_too(device):
    made = OneLayerNet(layer(0.5, more="sample_weights_test: true"), {"x": np.ones(2000)},
                       phase=TEST, device=device)
    y, = made.forward()
    assert set(np.unique(y)) == {0, 2}
    dx, = made.backward([np.ones(2000)])
    assert_same(dx, y, "dx")
    before = y.copy()
    made.net.run_forward()
    assert (made.tops[0].data != before).any()
