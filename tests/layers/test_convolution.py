"""Convolution agrees with its definition, by every engine."""

import numpy as np
import pytest

import minicaffe
from minicaffe.layers.convolution import Convolution
from minicaffe.layers.relu import ReLU
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import OneLayerNet, assert_close, check_layer

from .naive import convolve, numbers, refusal

# name: shape of x, outputs, kernel, stride, pad, dilation, group, shape of y
CASES = {
    "one axis": ((2, 3, 9), 4, [3], [2], [1], [1], 1, (5,)),
    "two axes": ((2, 3, 6, 5), 4, [3, 3], [1, 1], [0, 0], [1, 1], 1, (4, 3)),
    "three axes": ((1, 2, 4, 5, 3), 3, [2, 3, 1], [1, 2, 1], [0, 1, 0], [1, 1, 1], 1, (3, 3, 3)),
    "rectangular": ((2, 2, 7, 5), 3, [5, 2], [1, 2], [2, 0], [1, 1], 1, (7, 2)),
    "groups": ((2, 6, 5, 5), 4, [3, 3], [1, 1], [1, 1], [1, 1], 2, (5, 5)),
    "depthwise": ((2, 3, 5, 4), 3, [3, 3], [1, 1], [1, 1], [1, 1], 3, (5, 4)),
    "dilation": ((1, 2, 8, 9), 3, [3, 2], [1, 1], [2, 0], [2, 3], 1, (8, 6)),
    "dilation and stride": ((1, 2, 9, 9), 2, [3, 3], [2, 3], [1, 2], [2, 2], 1, (4, 3)),
    "stride over kernel": ((2, 2, 9, 8), 3, [2, 2], [3, 4], [0, 0], [1, 1], 1, (3, 2)),
    "stride leaves a rest": ((1, 2, 8, 8), 2, [3, 3], [2, 2], [0, 0], [1, 1], 1, (3, 3)),
    "pad over kernel": ((1, 2, 3, 3), 2, [2, 2], [1, 2], [3, 2], [1, 1], 1, (8, 3)),
    "pointwise": ((2, 4, 3, 5), 3, [1, 1], [1, 1], [0, 0], [1, 1], 1, (3, 5)),
    "pointwise groups": ((2, 4, 3, 5), 2, [1, 1], [1, 1], [0, 0], [1, 1], 2, (3, 5)),
    "pointwise stride": ((2, 3, 5, 4), 2, [1, 1], [2, 2], [0, 0], [1, 1], 1, (3, 2)),
    "whole input": ((3, 2, 4, 3), 5, [4, 3], [1, 1], [0, 0], [1, 1], 1, (1, 1)),
}


def text(outputs, kernel, stride, pad, dilation, group, more=""):
    fields = [f"num_output: {outputs}", f"group: {group}", more]
    for name, values in (("kernel_size", kernel), ("stride", stride), ("pad", pad),
                         ("dilation", dilation)):
        fields += [f"{name}: {value}" for value in values]
    return f'type: "Convolution" convolution_param {{ {" ".join(fields)} }}'


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def test_is_the_sum_of_the_definition(case):
    shape, outputs, kernel, stride, pad, dilation, group, output = case
    check_layer(text(outputs, kernel, stride, pad, dilation, group), {"x": numbers(*shape)},
                lambda x, w, b: convolve(x, w, b, output, stride, pad, dilation, group))


@pytest.mark.parametrize("engine", ["DEFAULT", "IM2COL", "DIRECT", "TRANSPOSED"])
def test_without_spatial_axes_is_a_matrix_product(engine):
    check_layer(text(4, [3], [2], [], [], 1, f"engine: {engine}"), {"x": numbers(5, 3)},
                lambda x, w, b: x @ w.T + b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_engines_agree(case, device, bias):
    shape, *settings, _ = case
    found = {}
    for engine in ("IM2COL", "DIRECT", "TRANSPOSED"):
        more = f"engine: {engine} bias_term: {str(bias).lower()}"
        net = OneLayerNet(text(*settings, more), {"x": numbers(*shape)}, device=device)
        found[engine] = net.forward() + net.backward(net.top_weights())
    assert len(found["IM2COL"]) == 3 + bias  # y, dx, dw, db
    for engine in ("DIRECT", "TRANSPOSED"):
        for i, (got, expected) in enumerate(zip(found[engine], found["IM2COL"])):
            assert_close(got, expected, 1e-5, f"{engine} on {device}: array {i}")


@pytest.mark.parametrize("engine", ["DIRECT", "TRANSPOSED"])
def test_engines_keep_the_rules_of_layers(engine):
    check_layer(text(4, [3, 2], [2, 1], [1, 0], [1, 2], 2, f"engine: {engine}"),
                {"x": numbers(2, 4, 5, 6)},
                lambda x, w, b: convolve(x, w, b, (3, 4), (2, 1), (1, 0), (1, 2), 2))


WINOGRAD = {  # shape, outputs, pad, group, output
    "plain": ((2, 3, 6, 4), 4, [0, 0], 1, (4, 2)),
    "odd": ((2, 4, 5, 7), 6, [1, 1], 2, (5, 7)),
    "wide pads": ((1, 2, 3, 4), 3, [2, 2], 1, (5, 6)),
    "unequal pads": ((1, 2, 4, 3), 3, [1, 2], 1, (4, 5)),
    "one output": ((1, 2, 3, 3), 2, [0, 0], 1, (1, 1)),
    "many channels": ((1, 40, 6, 5), 36, [1, 1], 1, (6, 5)),
}


@pytest.mark.parametrize("name", WINOGRAD)
def test_winograd_is_the_sum_of_the_definition(name):
    shape, outputs, pad, group, output = WINOGRAD[name]
    check_layer(text(outputs, [3, 3], [1, 1], pad, [1, 1], group, "engine: WINOGRAD"),
                {"x": numbers(*shape)},
                lambda x, w, b: convolve(x, w, b, output, [1, 1], pad, [1, 1], group),
                gradient=name != "many channels")  # 13,000 weights: the others suffice for these


@pytest.mark.parametrize("engine", ["DEFAULT", "CAFFE", "CUDNN"])
def test_engines_of_released_nets_choose_by_the_rule(engine):
    x = numbers(2, 3, 5, 5)
    nets = [OneLayerNet(text(2, [3], [1], [0], [1], 1, more), {"x": x})
            for more in ("", f"engine: {engine}")]
    np.testing.assert_array_equal(nets[0].forward(), nets[1].forward())


def test_axis_puts_the_axes_before_it_into_the_batch():
    check_layer(text(4, [2, 2], [1, 1], [0, 0], [1, 1], 1, "axis: 2"),
                {"x": numbers(2, 3, 2, 4, 3)},
                lambda x, w, b: convolve(x.reshape(6, 2, 4, 3), w, b, (3, 2), (1, 1), (0, 0),
                                         (1, 1), 1).reshape(2, 3, 4, 3, 2))


def test_several_bottoms_share_the_weights():
    layer = text(2, [3], [1], [1], [1], 1) + ' top: "p" top: "q"'

    def expected(a, b, w, bias):
        return [convolve(x, w, bias, (4, 4), (1, 1), (1, 1), (1, 1), 1) for x in (a, b)]

    check_layer(layer, {"a": numbers(2, 3, 4, 4), "b": numbers(2, 3, 4, 4, seed=1)}, expected)


def test_kernel_h_and_w_are_the_kernel_of_two_axes():
    check_layer('type: "Convolution" convolution_param { num_output: 2 kernel_h: 2 kernel_w: 3 '
                "stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1 }", {"x": numbers(1, 2, 4, 5)},
                lambda x, w, b: convolve(x, w, b, (3, 3), (1, 2), (0, 1), (1, 1), 1))


def test_without_a_bias_there_is_one_parameter():
    layer = text(2, [3], [1], [0], [1], 1, "bias_term: false")
    check_layer(layer, {"x": numbers(2, 2, 4, 4)},
                lambda x, w: convolve(x, w, None, (2, 2), (1, 1), (0, 0), (1, 1), 1))
    assert len(OneLayerNet(layer, {"x": numbers(2, 2, 4, 4)}).params) == 1


@pytest.mark.parametrize("engine", ["IM2COL", "DIRECT", "TRANSPOSED"])
@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_parameter_gets_no_diff(engine, device, frozen):
    net = OneLayerNet(text(2, [3], [1], [0], [1], 1, f"engine: {engine}"),
                      {"x": numbers(2, 2, 4, 4)}, device=device)
    net.layer.param_propagate_down[frozen] = False
    net.forward()
    dw_and_db = net.backward(net.top_weights())[1:]
    assert not dw_and_db[frozen].any() and dw_and_db[1 - frozen].all()


# ------------------------------------------------------------------------------- kept columns

@pytest.mark.parametrize("name", ["two axes", "groups", "pointwise", "three axes"])
@pytest.mark.parametrize("engine", ["IM2COL", "DIRECT", "TRANSPOSED"])
def test_kept_columns_change_no_number(monkeypatch, name, engine):
    shape, outputs, kernel, stride, pad, dilation, group, output = CASES[name]
    monkeypatch.setattr(Convolution, "keep_columns", True)
    check_layer(text(outputs, kernel, stride, pad, dilation, group, f"engine: {engine}"),
                {"x": numbers(*shape)},
                lambda x, w, b: convolve(x, w, b, output, stride, pad, dilation, group),
                gradient=engine == "IM2COL")


# -------------------------------------------------------------------------------- fused ReLU

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param {
  num_output: 5 kernel_size: 3 pad: 1 engine: %s weight_filler { type: "gaussian" std: 1 } } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: %s } }
"""


@pytest.mark.parametrize("engine", ["IM2COL", "DIRECT", "TRANSPOSED"])
@pytest.mark.parametrize("slope", [0, 0.25])
def test_a_fused_relu_gives_what_an_unfused_one_gives(monkeypatch, engine, slope):
    runs = []
    forward = ReLU.forward
    monkeypatch.setattr(ReLU, "forward", lambda *args: (runs.append(1), forward(*args)))
    found = []
    for fused in (True, False):
        net = minicaffe.Net(parse_text(NET % (engine, slope), NetParameter), minicaffe.TEST,
                            device="cpu", seed=3)
        if not fused:
            net.before_forward(lambda index: None)  # a hook needs the seam
        net.forward(x=numbers(2, 3, 7, 6))
        assert len(runs) == (not fused)
        net.backward(y=numbers(2, 5, 7, 6, seed=1))
        found.append([net.blobs["y"].data, net.blobs["y"].diff, net.blobs["x"].diff,
                      net.params["c"][0].diff, net.params["c"][1].diff])
    assert (found[0][0] < 0).any() == (slope > 0)
    for got, expected in zip(*found):
        assert_close(got, expected, 1e-6, engine)


# ------------------------------------------------------------------------------------ errors

X = {"x": np.zeros((2, 3, 5, 5))}


@pytest.mark.parametrize("fields, expected", [
    ("kernel_size: 3", "ParameterError: Convolution 'l': expected num_output of 1 or more, got 0."),
    ("num_output: 2", "ParameterError: Convolution 'l': expected kernel_size, or kernel_h and "
     "kernel_w, got neither."),
    ("num_output: 4 group: 2 kernel_size: 3", "ParameterError: Convolution 'l': expected a group "
     "that divides num_output (4) and the channels (3), got 2."),
    ("num_output: 4 group: 3 kernel_size: 3", "ParameterError: Convolution 'l': expected a group "
     "that divides num_output (4) and the channels (3), got 3."),
    ("num_output: 2 kernel_size: 5 engine: WINOGRAD", "ParameterError: Convolution 'l': expected "
     "kernel_size 3, stride 1, dilation 1 and a pad of at most 2, on two axes, for engine "
     "WINOGRAD, got (5, 5), (1, 1), (1, 1) and (0, 0)."),
    ("num_output: 2 kernel_size: 3 stride: 0", "ParameterError: Convolution 'l': expected stride "
     "of 1 or more, got (0, 0)."),
    ("num_output: 2 kernel_size: 3 axis: 4", "ShapeError: Convolution 'l': expected a bottom with "
     "an axis 4, got (2, 3, 5, 5)."),
    ("num_output: 2 kernel_size: 3 kernel_size: 3 kernel_size: 3", "ParameterError: Convolution "
     "'l': expected kernel_size once or 2 times (one for each spatial axis), got 3 times."),
    ("num_output: 2 kernel_size: 6", "ShapeError: Convolution 'l': expected an input of at least 6 "
     "along spatial axis 0 for kernel (6, 6), pad (0, 0), dilation (1, 1), got (5, 5). Hint: "
     "enlarge the input or the pad, or make the kernel smaller."),
])
def test_errors_say_what_was_expected(fields, expected):
    assert refusal(f'type: "Convolution" convolution_param {{ {fields} }}', X) == expected


def test_bottoms_of_different_shapes_are_refused():
    layer = text(2, [3], [1], [0], [1], 1) + ' top: "p" top: "q"'
    assert refusal(layer, {"a": numbers(2, 3, 5, 5), "b": numbers(2, 3, 5, 6)}) == (
        "ShapeError: Convolution 'l': expected bottoms of one shape (2, 3, 5, 5), got "
        "(2, 3, 5, 6).")


@pytest.mark.parametrize("shape, expected", [
    ((2, 4, 5, 5), "Convolution 'l': expected 3 channels, as when its weights were made, got "
     "(2, 4, 5, 5)."),
    ((2, 3, 5), "Convolution 'l': expected a bottom of 4 axes, got (2, 3, 5)."),
])
def test_a_bottom_that_no_longer_fits_the_weights_is_refused(shape, expected):
    net = OneLayerNet(text(2, [3], [1], [0], [1], 1), X)
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape({"x": np.zeros(shape)})
    assert str(caught.value) == expected
