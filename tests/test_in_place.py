"""Layers in place one behind the other: what a gradient needs is not written over."""

import numpy
import pytest

from minicaffe import Layer, layer_type_list
from minicaffe.layer import layer_class
from minicaffe.proto import LayerParameter

ONE_TO_ONE = sorted(
    kind for kind in layer_type_list()
    for cls in [layer_class(LayerParameter(type=kind))]
    if cls.in_place and cls.backward is not Layer.backward and kind != "Python"
    and cls.__module__.startswith("minicaffe.layers."))
PARAMETERS = {"Power": "power_param { power: 2 scale: 0.5 shift: 0.3 }",
              "ReLU": "relu_param { negative_slope: 0.1 }",
              "Scale": "scale_param { filler { value: 0.7 } }",
              "Clip": "clip_param { min: 0.2 max: 0.9 }",
              "Log": "log_param { shift: 30 }",
              "Reshape": "reshape_param { shape { dim: [0, -1] } }"}
X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [4, 3] } } }\n'


def plain(kind, name, bottom, top, more=""):
    return (f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" '
            f'{PARAMETERS.get(kind, "")} {more} }}\n')


def ip(name, bottom, more=""):
    return plain("InnerProduct", name, bottom, name, f"""{more} inner_product_param {{
        num_output: 3 weight_filler {{ type: "gaussian" std: 1 }} }}""")


def in_a_row(kinds, in_place, between=""):
    """An inner product, layers of the given types one behind the other, and a loss."""
    text, top = X + ip("a", "x"), "a"
    for k, kind in enumerate(kinds):
        below, top = top, top if in_place else f"t{k}"
        text += plain(kind, f"l{k}", below, top)
        if between and k == 0:
            text += plain(between, "between", top, "b")
            top = "b"
    return text + ip("out", top, "loss_weight: 1")


def fed(net):
    net.blobs["x"].data[...] = numpy.random.default_rng(0).normal(size=(4, 3))
    return net


def gradients(net):
    net = fed(net)
    net.clear_param_diffs()
    net.forward()
    net.backward()
    return [parameter.blob.diff.copy() for parameter in net.learnable]


@pytest.mark.parametrize("second", ONE_TO_ONE)
@pytest.mark.parametrize("first", ONE_TO_ONE)
def test_gradients_are_right_where_layers_in_place_follow_each_other(make_net, first, second):
    context = {"device": "numpy", "dtype": "float64", "seed": 4}
    apart = gradients(make_net(in_a_row([first, second], False), **context))
    for more in ({}, {"keep": []}):
        together = gradients(make_net(in_a_row([first, second], True), **context, **more))
        for mine, its in zip(together, apart, strict=True):
            numpy.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("between", ["", "Flatten", "Reshape"])
@pytest.mark.parametrize("kinds", [
    ("ReLU", "BNLL"), ("ELU", "Sigmoid"), ("Sigmoid", "Dropout"), ("Clip", "BatchNorm"),
    ("ReLU", "BNLL", "Exp"), ("TanH", "ReLU", "Power"), ("Exp", "Dropout", "ReLU", "Log")])
def test_they_are_on_a_device_that_fuses_layers_and_under_another_name(
        make_net, device, kinds, between):
    apart = gradients(make_net(in_a_row(kinds, False, between), device=device, seed=4))
    together = gradients(make_net(in_a_row(kinds, True, between), device=device, seed=4))
    for mine, its in zip(together, apart, strict=True):
        numpy.testing.assert_allclose(mine, its, rtol=2e-5, atol=1e-6)


def test_a_blob_shows_what_the_last_layer_in_place_has_written(make_net):
    net = fed(make_net(in_a_row(["ReLU", "Exp"], True), seed=4))
    apart = fed(make_net(in_a_row(["ReLU", "Exp"], False), seed=4))
    net.forward()
    apart.forward()
    numpy.testing.assert_array_equal(net.blobs["a"].data, apart.blobs["t1"].data)
    net.backward()
    apart.backward()
    numpy.testing.assert_allclose(net.blobs["a"].diff, apart.blobs["a"].diff, rtol=1e-6)


@pytest.mark.parametrize("first, second", [
    ("ReLU", "Dropout"), ("ReLU", "ReLU"), ("ReLU", "ELU"), ("BatchNorm", "Scale"),
    ("Scale", "ReLU"), ("PReLU", "Dropout")])
def test_layers_in_place_share_memory_where_no_gradient_suffers(make_net, first, second):
    net = make_net(in_a_row([first, second], True))
    assert net.graph.bottoms[3][0] is net.graph.tops[3][0]


def test_a_layer_in_place_spares_what_another_reader_of_its_memory_needs(make_net):
    """b reads s in its backward pass, and f, over which r writes, lies in the same memory."""
    def text(top):
        return (X + ip("a", "x") + plain("Flatten", "f", "a", "f")
                + ip("b", "a", "loss_weight: 1")
                + plain("Power", "r", "f", top)
                + ip("out", top, "loss_weight: 1"))
    context = {"device": "numpy", "dtype": "float64", "seed": 4}
    for mine, its in zip(gradients(make_net(text("f"), **context)),
                         gradients(make_net(text("g"), **context)), strict=True):
        numpy.testing.assert_allclose(mine, its, rtol=1e-9)


class OnlyWhenItLikes(Layer):
    """Works in place alone: it has no reshape, and writes little of its top."""

    in_place = True

    def forward(self, bottom, top):
        top[0].data[0] = 1

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[0] = 0


def test_a_layer_that_counts_on_one_blob_gets_it_with_a_warning(make_net, caplog):
    net = fed(make_net(in_a_row(["Sigmoid", "OnlyWhenItLikes"], True)))
    assert ("Sigmoid 'l0' needs 'a' for its gradient, which will be wrong, as OnlyWhenItLikes 'l1' "
            "writes over it; give the latter a top of its own") in caplog.text
    net.forward()
    assert (net.blobs["a"].data[0] == 1).all() and (net.blobs["a"].data[1:] < 1).all()
