"""BatchNorm: its numbers, its statistics, and that these are kept like weights."""

import numpy as np
import pytest

import minicaffe
from minicaffe import TEST, TRAIN
from minicaffe.proto import NetParameter, SolverParameter
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Solver
from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]
EPS = 1e-5


def layer(fields=""):
    return f'type: "BatchNorm" batch_norm_param {{ {fields} }}'


def channels(x):
    """The channels of x one after the other, each a view of its elements."""
    return [x] if x.ndim == 1 else [x[:, c] for c in range(x.shape[1])]


def normalized(x, means, variances, eps=EPS):
    y = x.copy()
    for channel, mean, variance in zip(channels(y), means, variances):
        channel[...] = (channel - mean) / np.sqrt(variance + eps)
    return y


def by_batch(x, *blobs, eps=EPS):
    return normalized(x, [c.mean() for c in channels(x)],
                      [((c - c.mean()) ** 2).mean() for c in channels(x)], eps)


def by_blobs(x, mean, variance, weight):
    return normalized(x, mean / weight, variance / weight)


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (6, 3), (7,), (2, 3, 2, 3, 2), (3, 1, 4),
                                   (40, 70, 3, 4)])
def test_training_normalizes_by_the_batch(shape):
    small = np.prod(shape) < 1000
    check_layer(layer(), {"x": numbers(*shape)}, by_batch, phase=TRAIN, gradient=small)


PARAMS = [[0.5, -2, 3], [4, 0.25, 9], [2]]


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (6, 3)])
@pytest.mark.parametrize("phase, fields", [(TEST, ""), (TRAIN, "use_global_stats: true")])
def test_testing_normalizes_by_the_blobs(shape, phase, fields):
    check_layer(layer(fields), {"x": numbers(*shape)}, by_blobs, params=PARAMS, phase=phase)


def test_a_test_may_use_its_batch_and_its_own_eps():
    check_layer(layer("use_global_stats: false eps: 0.5"), {"x": numbers(4, 3, 5)},
                lambda *arrays: by_batch(*arrays, eps=0.5), phase=TEST)


@pytest.mark.parametrize("device", DEVICES)
def test_blobs_of_nothing_count_as_mean_0_and_variance_0(device):
    net = OneLayerNet(layer("eps: 0.25"), {"x": [[1], [3]]}, params=[[5], [7], [0]], device=device)
    assert_same(net.forward()[0], [[2], [6]], "y")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fraction", [0.999, 0.5])
def test_each_training_pass_adds_to_the_blobs(device, fraction):
    net = OneLayerNet(layer(f"moving_average_fraction: {fraction}"), {"x": numbers(4, 3, 5)},
                      params=[[0] * 3, [0] * 3, [0]], phase=TRAIN, device=device)
    mean, variance, weight = np.zeros(3), np.zeros(3), 0
    for seed in range(3):
        x = net.inputs["x"] = numbers(4, 3, 5, seed=seed)
        net.forward()
        mean = fraction * mean + [c.mean() for c in channels(x)]
        variance = fraction * variance + [c.var(ddof=1) for c in channels(x)]
        weight = fraction * weight + 1
    for blob, expected in zip(net.params, (mean, variance, [weight])):
        assert_close(blob.data, expected, 1e-6, blob.name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("phase, fields", [(TEST, ""), (TRAIN, "use_global_stats: true")])
def test_blobs_that_are_used_stay_as_they_are(device, phase, fields):
    net = OneLayerNet(layer(fields), {"x": numbers(4, 3)}, params=PARAMS, phase=phase,
                      device=device)
    net.forward()
    for blob, before in zip(net.params, PARAMS):
        assert_same(blob.data, before, blob.name)


@pytest.mark.parametrize("device", DEVICES)
def test_one_element_a_channel_becomes_0_and_its_variance_stays_0(device):
    net = OneLayerNet(layer(), {"x": [[3, -4]]}, params=[[0] * 2, [0] * 2, [0]], phase=TRAIN,
                      device=device)
    assert_same(net.forward()[0], [[0, 0]], "y")
    assert_same(net.backward([[[1, 2]]])[0], [[0, 0]], "dx")
    assert_same(net.params[1].data, [0, 0], "variance")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("level", [100, 10000])
def test_a_level_far_from_0_costs_no_digits(device, level):
    x = (numbers(8, 3, 6, 6) + level).astype("float32")
    net = OneLayerNet(layer(), {"x": x}, phase=TRAIN, device=device)
    exact = by_batch(x.astype(float))
    assert_close(net.forward()[0], exact, level * 1e-7, "y")  # what float32 keeps of x - mean


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(128, 2, 40, 40), (50_000, 3), (100_000,), (3000, 2, 3)])
def test_an_outlier_in_front_costs_no_digits(device, shape):
    x = numbers(*shape)
    x.flat[0] = 3000
    net = OneLayerNet(layer(), {"x": x}, phase=TRAIN, device=device)
    assert_close(net.forward()[0], by_batch(x.astype(float)), 1e-5, "y")
    variances = [c.var(ddof=1) for c in channels(x.astype(float))]
    before = OneLayerNet(layer(), {"x": x}, phase=TRAIN, device=device).params[1].data.copy()
    assert_close(net.params[1].data - 0.999 * before, variances, 1e-5, "variance")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("value", [0.1, -7e8, 3e15])
@pytest.mark.parametrize("shape", [(7, 1, 3, 5), (130, 1), (999,)])
def test_equal_elements_have_variance_0(device, value, shape):
    net = OneLayerNet(layer(), {"x": np.full(shape, value)}, params=[[0], [0], [0]], phase=TRAIN,
                      device=device)
    y = net.forward()[0]
    assert abs(y).max() < 1
    assert_close(net.params[1].data / value**2, [0], 1e-9, "variance")


@pytest.mark.parametrize("device", DEVICES)
def test_an_empty_batch_passes_and_adds_nothing(device):
    net = OneLayerNet(layer(), {"x": np.zeros((0, 3, 2))}, params=PARAMS, phase=TRAIN,
                      device=device)
    assert net.forward()[0].shape == (0, 3, 2)
    assert net.backward([np.zeros((0, 3, 2))])[0].shape == (0, 3, 2)
    assert_same(net.params[2].data, [2], "weight")


@pytest.mark.parametrize("phase, copies", [(TRAIN, True), (TEST, False)])
def test_in_place_a_copy_is_kept_where_backward_needs_it(phase, copies):
    net = OneLayerNet('top: "x" ' + layer(), {"x": numbers(2, 3)}, params=PARAMS, phase=phase)
    net.forward()
    assert (net.layer.saved is not None) == copies


# ------------------------------------------------------------------------------ in a training

NET = """
layer { name: "in" type: "Input" top: "x" top: "t"
        input_param { shape { dim: 4 dim: 6 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "h" top: "h" %s }
layer { name: "scale" type: "Scale" bottom: "h" top: "h" scale_param { bias_term: true } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "h" bottom: "t" top: "loss" }
"""


def solver(tmp_path, device="cpu", specs=""):
    param = SolverParameter(base_lr=0.1, lr_policy="fixed", momentum=0.9, weight_decay=0.1,
                            test_iter=[1], test_interval=100, random_seed=1,
                            snapshot_prefix=str(tmp_path / "snap"))
    param.net_param.CopyFrom(parse_text(NET % specs, NetParameter))
    made = Solver(param, device=device)
    for net in (made.net, *made.test_nets):
        net.blobs["x"].data[...] = numbers(4, 6)
        net.blobs["t"].data[...] = [0, 1, 2, 1]
    return made


def statistics(net):
    return [blob.data.copy() for blob in net.params["norm"]]


@pytest.mark.parametrize("specs", ["", "param { lr_mult: 0 } " * 3, "param { lr_mult: 1 } " * 3])
def test_statistics_are_measured_and_neither_learned_nor_decayed(tmp_path, specs):
    made = solver(tmp_path, specs=specs)
    net, mean = made.net, np.zeros(3)
    for _ in range(3):
        w, b = (blob.data.astype(float) for blob in net.params["ip"])
        mean = np.float32(0.999) * mean + (numbers(4, 6) @ w.T + b).mean(axis=0)
        made.step(1)
    assert_close(net.params["norm"][0].data, mean, 1e-5, "sum of means")
    assert_close(net.params["norm"][2].data, [1 + 0.999 + 0.999 ** 2], 1e-6, "weight")
    assert not any(blob.diff.any() for blob in net.params["norm"])


@pytest.mark.parametrize("device", DEVICES)
def test_a_test_uses_the_statistics_of_the_training(tmp_path, device):
    made = solver(tmp_path, device)
    made.step(3)
    made.test()
    trained, tested = made.net, made.test_nets[0]
    h = numbers(4, 6) @ trained.params["ip"][0].data.T + trained.params["ip"][1].data
    y = by_blobs(h.astype(float), *(blob.astype(float) for blob in statistics(trained)))
    w, b = (blob.data for blob in trained.params["scale"])
    assert_close(tested.blobs["h"].data, w * y + b, 1e-4, "h")


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_a_resumed_training_has_the_statistics_of_one_that_never_stopped(tmp_path, device):
    straight = solver(tmp_path, device)
    straight.step(5)
    first = solver(tmp_path, device)
    first.step(2)
    second = solver(tmp_path, device)
    second.restore(first.snapshot())
    second.step(3)
    for name in ("ip", "norm", "scale"):
        for a, b in zip(straight.net.params[name], second.net.params[name], strict=True):
            assert_same(a.data, b.data, name)


def test_other_channels_than_those_of_the_statistics_are_refused():
    net = OneLayerNet(layer(), {"x": np.zeros((2, 3))}, params=PARAMS)
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape({"x": np.zeros((2, 4))})
    assert str(caught.value) == ("BatchNorm 'l': expected 3 channels, as when its statistics were "
                                 "made, got (2, 4).")


def test_a_single_number_is_refused():
    assert refusal(layer(), {"x": np.zeros(())}) == (
        "ShapeError: BatchNorm 'l': expected a bottom of 1 or more axes, got ().")
