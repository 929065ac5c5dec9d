import numpy
import pytest

from minicaffe import TEST, TRAIN, Layer
from minicaffe.errors import NetError, WeightsError

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }\n'
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'


def ip(name, bottom, top=None, outputs=3, more=""):
    """The text of an InnerProduct layer with random weights."""
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" '
            f'top: "{top or name}" {more} inner_product_param {{ num_output: {outputs} '
            'weight_filler { type: "gaussian" std: 1 } } }\n')


def loss(bottom, name="loss", more="", label="label"):
    return (f'layer {{ name: "{name}" type: "SoftmaxWithLoss" bottom: "{bottom}" '
            f'bottom: "{label}" top: "{name}" {more} }}\n')


def plain(kind, name, *bottoms, top=None, more=""):
    tops = f'top: "{top or name}"' if top != "" else ""
    return (f'layer {{ name: "{name}" type: "{kind}" '
            + " ".join(f'bottom: "{bottom}"' for bottom in bottoms) + f" {tops} {more} }}\n")


def fed(net, **labels):
    rng = numpy.random.default_rng(0)
    for name in net.inputs:
        net.blobs[name].data[...] = (labels.get(name, 1) if name == "label"
                                     else rng.normal(size=net.blobs[name].shape))
    return net


def trained_by(net):
    """Names of the layers whose backward pass runs."""
    needed = net.graph.layer_needs_backward
    return [name for name, runs in zip(net._layer_names, needed) if runs]


class CountedPass(Layer):
    """The bottom as it is; counts how often it runs backward."""

    bottoms = tops = 1

    def setup(self, bottom, top):
        self.asked = []

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.asked.append(list(propagate_down))
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


# ------------------------------------------------------------------------ inputs, outputs, phases

def test_inputs_are_in_order_and_outputs_in_that_of_the_alphabet(make_net):
    net = make_net(X + LABEL + ip("z", "x") + ip("a", "x") + plain("Silence", "s", "label", top=""))
    assert net.inputs == ["x", "label"]
    assert net.outputs == ["a", "z"]


def test_a_layer_takes_the_phase_of_the_net_or_its_own(make_net):
    net = make_net(X + plain("Dropout", "a", "x") + plain("Dropout", "b", "a", more="phase: TEST"))
    assert [layer.phase for layer in net.layers] == [TRAIN, TRAIN, TEST]


def test_levels_and_stages_choose_layers(make_net):
    text = X + ip("a", "x", more='include { stage: "a" }') + ip("b", "x", more=(
        "include { min_level: 2 }"))
    assert make_net(text)._layer_names == ["x"]
    assert make_net(text, stages=["a"])._layer_names == ["x", "a"]
    assert make_net(text, level=2)._layer_names == ["x", "b"]
    assert make_net('state { stage: "a" }' + text)._layer_names == ["x", "a"]


# ------------------------------------------------------------------------------- sums of diffs

@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
def test_the_diff_of_a_blob_is_the_sum_over_its_consumers(make_net, device):
    net = fed(make_net(X + ip("h", "x") + ip("a", "h", more="loss_weight: 1")
                       + ip("b", "h", more="loss_weight: 2")
                       + ip("c", "h", more="loss_weight: -3"), device=device))
    net.forward()
    net.backward()
    rows = sum(weight * net.params[name][0].data.sum(axis=0)
               for name, weight in (("a", 1), ("b", 2), ("c", -3)))
    numpy.testing.assert_allclose(net.blobs["h"].diff, [rows, rows], rtol=1e-5)


def test_sums_are_right_around_layers_in_place(make_net):
    net = fed(make_net(
        X + ip("h", "x") + plain("ReLU", "relu_h", "h", top="h") + ip("a", "h")
        + plain("ReLU", "relu_a", "a", top="a") + ip("a2", "a", more="loss_weight: 1")
        + ip("b", "h", more="loss_weight: 2")))
    net.forward()
    net.backward()
    w = {name: net.params[name][0].data for name in ("a", "a2", "b")}
    da = w["a2"].sum(axis=0) * (net.blobs["a"].data > 0)
    dh = (da @ w["a"] + 2 * w["b"].sum(axis=0)) * (net.blobs["h"].data > 0)
    numpy.testing.assert_allclose(net.blobs["h"].diff, dh, rtol=1e-5)
    numpy.testing.assert_allclose(net.params["h"][0].diff, dh.T @ net.blobs["x"].data, rtol=1e-5)


def test_a_consumer_that_is_no_loss_adds_nothing(make_net):
    with_it, without = (fed(make_net(
        X + LABEL + ip("h", "x") + loss("h") + more, phase=TRAIN))
        for more in (plain("Accuracy", "accuracy", "h", "label"), ""))
    for net in (with_it, without):
        net.forward()
        net.backward()
    assert (with_it.params["h"][0].diff == without.params["h"][0].diff).all()
    assert with_it.params["h"][0].diff.any()


# ----------------------------------------------------------------------------- shared parameters

def shared(name_a="w", name_b="w", a="", b="", outputs=3, more=""):
    return (X + ip("a", "x", more=f'param {{ name: "{name_a}" {a} }}')
            + ip("b", "x", outputs=outputs,
                 more=f'loss_weight: 1 param {{ name: "{name_b}" {b} }} {more}'))


def test_parameters_of_one_name_are_one_and_their_diffs_add_up(make_net):
    text = shared().replace('top: "a"', 'top: "a" loss_weight: 1')
    net = fed(make_net(text))
    a, b = (net.params[name][0] for name in "ab")
    assert a.data.base is b.data.base and a.diff.base is b.diff.base
    assert [(p.layer, p.index) for p in net.learnable] == [("a", 0), ("a", 1), ("b", 1)]
    net.forward()
    net.backward()
    numpy.testing.assert_allclose(a.diff, 2 * numpy.tile(net.blobs["x"].data.sum(axis=0), (3, 1)),
                                  rtol=1e-5)


def test_parameters_without_a_name_or_of_other_names_are_their_own(make_net):
    net = make_net(shared(name_b="v"))
    assert net.params["a"][0].data.base is not net.params["b"][0].data.base
    assert len(make_net(shared("", "")).learnable) == 4


def test_the_owner_fills_what_is_shared(make_net):
    assert (make_net(shared()).params["b"][0].data
            == make_net(shared(name_b="v")).params["a"][0].data).all()


def test_sharing_strictly_needs_one_shape(make_net):
    with pytest.raises(WeightsError) as error:
        make_net(shared(outputs=4))
    assert str(error.value) == (
        "InnerProduct 'b': parameter 'w': expected the shape (3, 3) of its owner, layer 'a', got "
        "(4, 3). Hint: share_mode: PERMISSIVE asks for equal counts alone.")


TRANSPOSED = X + ip("a", "x", outputs=6, more='param { name: "w" }') + (
    'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" %s } '
    "inner_product_param { num_output: 3 } }")


def test_sharing_permissively_needs_one_count(make_net):
    net = make_net(TRANSPOSED % "share_mode: PERMISSIVE")
    a, b = (net.params[name][0] for name in "ab")
    assert a.shape == (6, 3) and b.shape == (3, 6)
    assert a.data.ravel().tolist() == b.data.ravel().tolist() and a.data.any()
    with pytest.raises(WeightsError, match=r"expected the shape \(6, 3\) of its owner"):
        make_net(TRANSPOSED % "")
    with pytest.raises(WeightsError, match="parameter 'w'") as error:
        make_net(shared(outputs=4, b="share_mode: PERMISSIVE"))
    assert "Hint" not in str(error.value)


@pytest.mark.parametrize("what", ["lr_mult", "decay_mult"])
def test_multipliers_of_what_is_shared_agree_or_are_given_once(make_net, what):
    def multiplier(a, b):
        return getattr(make_net(shared(a=a and f"{what}: {a}", b=b and f"{what}: {b}"))
                       .learnable[0], what)

    assert multiplier("", "") == 1
    assert multiplier("3", "") == 3
    assert multiplier("3", "3") == 3
    assert multiplier("", "3") == 3
    with pytest.raises(NetError) as error:
        multiplier("2", "3")
    assert str(error.value) == (f"InnerProduct 'b': parameter 'w': expected the {what} 2.0 of its "
                                "owner, layer 'a', got 3.0. Hint: leave it out here.")


def test_a_third_layer_must_agree_with_the_multiplier_that_the_second_gave(make_net):
    third = ip("c", "x", more='param { name: "w" lr_mult: 4 }')
    with pytest.raises(NetError, match="InnerProduct 'c': parameter 'w': expected the lr_mult 3.0"):
        make_net(shared(b="lr_mult: 3") + third)


def test_a_layer_has_no_more_param_entries_than_blobs(make_net):
    with pytest.raises(NetError) as error:
        make_net(X + ip("a", "x", more="param { } param { } param { }"))
    assert str(error.value) == ("InnerProduct 'a': expected 2 or fewer param { } entries, one for "
                                "each of its blobs, got 3.")


# -------------------------------------------------------------------------------------- losses

def test_losses_are_weighted_and_summed(make_net):
    net = fed(make_net(X + LABEL + ip("h", "x") + loss("h", "l1")
                       + loss("h", "l2", "loss_weight: 0.25") + loss("h", "l3", "loss_weight: 0")))
    assert net.loss_weights == {"l1": 1, "l2": 0.25}
    assert {k: v for k, v in net.blob_loss_weights.items() if v} == {"l1": 1, "l2": 0.25}
    assert list(net.blob_loss_weights) == list(net.blobs)
    values = net.forward()
    assert net.loss() == pytest.approx(1.25 * values["l1"])
    net.backward()
    both = net.params["h"][0].diff.copy()
    alone = fed(make_net(X + LABEL + ip("h", "x") + loss("h", "l1")))
    alone.forward()
    alone.backward()
    numpy.testing.assert_allclose(both, 1.25 * alone.params["h"][0].diff, rtol=1e-5)
    assert "l3" not in trained_by(net)


def test_any_top_may_count_in_the_loss(make_net):
    net = fed(make_net(X + ip("h", "x", more="loss_weight: 0.5")))
    assert (net.blobs["h"].diff == 0.5).all()
    net.forward()
    assert net.loss() == pytest.approx(0.5 * net.blobs["h"].data.sum())


@pytest.mark.parametrize("given", ["", "loss_weight: 2"])
@pytest.mark.parametrize("consumers", [1, 2])
def test_a_loss_that_is_consumed_still_counts(make_net, given, consumers):
    def text(used):
        return X + LABEL + ip("h", "x") + loss("h", more=given) + "".join(
            plain("CountedPass", f"c{i}", "loss", more="loss_weight: 3") for i in range(used))

    net, alone = fed(make_net(text(consumers))), fed(make_net(text(0)))
    for each in (net, alone):
        each.forward()
        each.backward()
    weight = 2 if given else 1
    numpy.testing.assert_allclose(
        net.params["h"][0].diff, (weight + 3 * consumers) / weight * alone.params["h"][0].diff,
        rtol=1e-5)
    assert net.loss() == pytest.approx((weight + 3 * consumers) * net.blobs["loss"].data)


def test_a_loss_without_a_top_is_a_loss_all_the_same(make_net):
    text = X + LABEL + ip("h", "x") + loss("h")
    net = fed(make_net(text.replace('top: "loss"', "")))
    assert net.outputs == [] and net.loss_weights == {"(automatic)": 1}
    net.forward()
    assert net.loss() == fed(make_net(text)).forward()["loss"]


def test_the_weight_of_a_loss_that_grows_is_there_again(make_net):
    net = fed(make_net(X + ip("h", "x", more="loss_weight: 2")))
    net.blobs["x"].reshape(5, 3)
    fed(net).forward()
    net.backward()
    assert net.blobs["h"].diff.tolist() == [[2] * 3] * 5
    assert net.params["h"][1].diff.tolist() == [10] * 3


def test_a_diff_that_the_user_writes_over_a_loss_stays(make_net):
    net = fed(make_net(X + ip("h", "x", more="loss_weight: 2")))
    net.forward()
    net.backward(h=numpy.full((2, 3), 7))
    assert net.params["h"][1].diff.tolist() == [14] * 3
    net = fed(make_net(X + ip("h", "x", more="loss_weight: 2")))
    net.blobs["h"].diff[...] = 7
    net.forward()
    net.backward()
    assert net.params["h"][1].diff.tolist() == [14] * 3


# --------------------------------------------------------------- what backward does and leaves out

def test_backward_runs_where_something_below_learns_and_something_above_is_a_loss(make_net):
    net = fed(make_net(
        X + LABEL + plain("CountedPass", "below", "x") + ip("h", "below")
        + plain("CountedPass", "between", "h") + plain("CountedPass", "aside", "h")
        + loss("between")))
    assert trained_by(net) == ["h", "h_h_0_split", "between", "loss"]
    net.forward()
    net.backward()
    assert net.layer_dict["between"].asked == [[True]]
    assert net.layer_dict["below"].asked == net.layer_dict["aside"].asked == []
    assert net.graph.bottom_needs_backward[net._layer_names.index("h")] == [False]


def test_without_a_loss_nothing_runs_backward(make_net):
    assert trained_by(make_net(X + ip("h", "x"))) == []


def test_lr_mult_0_stops_the_weights_gradient_and_all_below(make_net):
    frozen = ip("frozen", "x", more="param { lr_mult: 0 } param { lr_mult: 0 }")
    net = fed(make_net(X + LABEL + frozen + ip("h", "frozen", more="param { lr_mult: 0 }")
                       + loss("h")))
    net.forward()
    net.backward()
    assert trained_by(net) == ["h", "loss"]
    assert not net.params["h"][0].diff.any() and net.params["h"][1].diff.any()
    assert not net.params["frozen"][1].diff.any()
    assert [p.lr_mult for p in net.learnable] == [0, 0, 0, 1]


def test_a_frozen_layer_still_passes_the_gradient_on(make_net):
    net = fed(make_net(X + LABEL + ip("h", "x") + ip(
        "frozen", "h", more="param { lr_mult: 0 } param { lr_mult: 0 }") + loss("frozen")))
    net.forward()
    net.backward()
    assert net.params["h"][0].diff.any() and not net.params["frozen"][0].diff.any()


def test_propagate_down_false_stops_the_gradient(make_net):
    net = fed(make_net(X + LABEL + ip("h", "x") + ip("top", "h", more="propagate_down: false")
                       + loss("top")))
    net.forward()
    net.backward()
    assert trained_by(net) == ["top", "loss"]
    assert not net.params["h"][0].diff.any() and net.params["top"][0].diff.any()


def test_a_gradient_that_is_stopped_is_still_that_of_the_blob_above(make_net):
    net = fed(make_net(X + LABEL + ip("h", "x") + ip(
        "top", "h", more="propagate_down: false param { lr_mult: 0 } param { lr_mult: 0 }")
        + loss("top")))
    net.forward()
    net.backward()
    assert trained_by(net) == ["top", "loss"]
    assert net.blobs["top"].diff.any() and not net.blobs["h"].diff.any()


def test_propagate_down_true_asks_for_a_gradient_that_nothing_needs(make_net):
    net = fed(make_net(X + LABEL + ip("h", "x", more="propagate_down: true") + loss("h")))
    net.forward()
    dx = net.backward()["x"]
    numpy.testing.assert_allclose(dx, net.blobs["h"].diff @ net.params["h"][0].data, rtol=1e-5)
    assert dx.any()


def test_propagate_down_counts_the_bottoms(make_net):
    with pytest.raises(NetError) as error:
        make_net(X + LABEL + ip("h", "x") + loss("h", more="propagate_down: true"))
    assert str(error.value) == ("SoftmaxWithLoss 'loss': expected propagate_down for each of 2 "
                                "bottoms, got 1.")


def test_force_backward_reaches_the_inputs_but_not_the_labels(make_net):
    net = fed(make_net("force_backward: true\n" + X + LABEL + ip(
        "frozen", "x", more="param { lr_mult: 0 }") + loss("frozen")))
    net.forward()
    diffs = net.backward()
    assert diffs["x"].any() and not diffs["label"].any()
    assert trained_by(net) == net._layer_names
    assert net.params["frozen"][0].diff.any(), "as in Caffe, lr_mult 0 does not stop it then"


def test_force_backward_gives_gradients_without_a_loss(make_net):
    net = fed(make_net("force_backward: true\n" + X + ip("h", "x"), phase=TEST))
    net.forward()
    dx = net.backward(h=numpy.ones((2, 3)))["x"]
    numpy.testing.assert_allclose(dx[0], net.params["h"][0].data.sum(axis=0), rtol=1e-5)


def learned_label(more=""):
    return X + ip("h", "x") + ip("l", "x", outputs=1) + loss("h", label="l", more=more)


def test_a_label_that_would_need_a_gradient_is_refused(make_net):
    with pytest.raises(NetError) as error:
        make_net(learned_label())
    assert str(error.value) == (
        "SoftmaxWithLoss 'loss': expected a bottom 1 that no learning layer makes, as it has no "
        "gradient to give, got 'l'. Hint: propagate_down: true for the other bottoms, false for "
        "this one.")
    net = make_net(learned_label(), phase=TEST)  # runs forward, as a test net of such a net does
    net.params["l"][0].data[...] = 0
    fed(net).forward()
    with pytest.raises(NetError, match="as it has no gradient to give"):
        net.backward()


def test_propagate_down_leaves_the_label_out(make_net):
    net = make_net(learned_label("propagate_down: true propagate_down: false"))
    net.params["l"][0].data[...] = 0
    fed(net).forward()
    net.backward()
    assert trained_by(net) == ["h", "loss"]
    assert net.params["h"][0].diff.any() and not net.params["l"][1].diff.any()


# --------------------------------------------------------------------------------- counts and types

@pytest.mark.parametrize("text, message", [
    (plain("InnerProduct", "a"), "InnerProduct 'a': expected 1 bottom, got 0 (none)."),
    (plain("InnerProduct", "a", "x", "label"),
     "InnerProduct 'a': expected 1 bottom, got 2 (x, label)."),
    (plain("Silence", "a", "x"), "Silence 'a': expected 0 tops, got 1 (a)."),
    (plain("Silence", "a", top=""), "Silence 'a': expected 1 or more bottoms, got 0 (none)."),
    (plain("Pooling", "a", "x", top=""), "Pooling 'a': expected 1 to 2 tops, got 0 (none)."),
    (plain("SoftmaxWithLoss", "a", "x"), "SoftmaxWithLoss 'a': expected 2 bottoms, got 1 (x)."),
    (plain("Convolution", "a", "x", "label"),
     "Convolution 'a': expected as many tops as bottoms, got 1 for 2."),
])
def test_a_layer_says_how_many_bottoms_and_tops_it_takes(make_net, text, message):
    with pytest.raises(NetError) as error:
        make_net(X + LABEL + text)
    assert str(error.value) == message


def test_an_unknown_type_is_named_with_its_neighbour(make_net):
    with pytest.raises(NetError) as error:
        make_net(X + plain("InerProduct", "a", "x"))
    assert str(error.value) == ("layer 'a': expected a known layer type, got 'InerProduct'. "
                                "Hint: did you mean 'InnerProduct'?")
    with pytest.raises(NetError, match=r"'a': expected a layer type that this version has, got "
                                       r"Caffe's 'MVN'. Hint: known types: AbsVal, .*"):
        make_net('layer { name: "a" type: "MVN" }')
    with pytest.raises(NetError, match=r"got 'Zzz'. Hint: known types: AbsVal, .*Softmax.*\.$"):
        make_net(X + plain("Zzz", "a", "x"))


def test_a_layer_of_the_users_is_found_by_its_class_name(make_net):
    net = fed(make_net(X + plain("CountedPass", "mine", "x")))
    assert (net.forward()["mine"] == net.blobs["x"].data).all()
    assert net.layers[1].type == "CountedPass"


OVERWRITTEN = ("reads 's_s_0_split_1', over which Scale 'r' has written by another name for the "
               "same memory; give the latter a top of its own")


@pytest.mark.parametrize("order, told", [("frb", True), ("fbr", False), ("bfr", False)])
def test_a_bottom_that_was_overwritten_under_another_name_is_told(make_net, caplog, order, told):
    layers = {"f": plain("Flatten", "f", "s"), "r": plain("Scale", "r", "f", top="f"),
              "b": plain("TanH", "b", "s", more="loss_weight: 1")}
    net = fed(make_net(X + ip("a", "x") + plain("ReLU", "s", "a")
                       + "".join(layers[name] for name in order)
                       + ip("out", "f", more="loss_weight: 1")))
    assert (OVERWRITTEN in caplog.text) == told and ("over which" in caplog.text) == told
    net.params["r"][0].data[...] = 3
    net.forward()
    relu = numpy.maximum(net.blobs["a"].data, 0)
    numpy.testing.assert_allclose(net.blobs["b"].data, numpy.tanh(3 * relu if told else relu),
                                  rtol=1e-5)
