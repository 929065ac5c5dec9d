"""The harness finds each kind of mistake in a layer, and says where it is."""

import numpy as np
import pytest

import minicaffe
from minicaffe.errors import ParseError
from minicaffe.layer import TRAIN
from minicaffe.testing import OneLayerNet, check_gradient, check_layer, check_rules
from minicaffe.testing.declarations import check_repeated

X = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")


class Weighted(minicaffe.Layer):
    """``y = w * x^2`` with one number w; ``param_str`` names a mistake to make."""

    bottoms = tops = 1

    def setup(self, bottom, top):
        self.w = self.add_blob((1,))
        self.batch, self.calls = bottom[0].shape[0], 0

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        bug, (x, y) = self.param_str, (bottom[0].data, top[0].data)
        self.calls += 1
        if bug == "overwrites y first":
            y[...] = x
            y *= self.w.data
            y *= bottom[0].data
            return
        value = self.w.data * x * x
        if bug == "wrong value":
            value += 1
        if bug == "counts passes":
            value *= self.calls
        if bug == "size of the first batch":
            value *= x.shape[0] / self.batch
        if bug == "float32 only":
            value *= 1 + 1e-3 * (x.dtype == "float32")
        if bug == "writes half":
            y[:1] = value[:1]
        else:
            y[...] = value
        if bug == "writes its input":
            x[0, 0] = 9
        if bug == "uses NumPy":
            y += np.zeros(y.shape)

    def backward(self, top, propagate_down, bottom):
        bug, dy, x, dx = self.param_str, top[0].diff, bottom[0].data, bottom[0].diff
        dw = (dy * x * x).sum()
        if not self.param_propagate_down[0] and bug != "ignores param_propagate_down":
            pass
        elif bug == "sets its parameter's diff":
            self.w.diff[...] = dw
        else:
            self.w.diff[...] += -dw if bug == "wrong gradient of w" else dw
        if not propagate_down[0] and bug != "ignores propagate_down":
            return
        value = (-2 if bug == "wrong gradient of x" else 2) * self.w.data * x * dy
        if bug == "adds to its bottom's diff":
            dx += value
        elif bug == "writes half of the diff":
            dx[:1] = value[:1]
        else:
            dx[...] = value
        if bug == "writes its top's diff":
            dy[...] = 0
        if bug == "writes its top":
            top[0].data[...] = 0


def layer(bug=""):
    return f'type: "Weighted" python_param {{ param_str: "{bug}" }}'


def squares(x, w):
    return w * x * x


def message(bug, **options):
    with pytest.raises((AssertionError, TypeError)) as caught:
        check_layer(layer(bug), {"x": X}, squares, params=[[1.5]], **options)
    return str(caught.value)


def test_a_right_layer_passes():
    check_layer(layer(), {"x": X}, squares)
    check_layer(layer(), {"x": X}, squares(X, 1.5), params=[[1.5]])
    check_layer(layer(), {"x": X}, phase=TRAIN)


@pytest.mark.parametrize("bug, expected", [
    ("wrong value", "Weighted 'l' on numpy float64: top 'y' at (0, 0): expected 0.023712131, got "
     "1.0237121, tolerance 6.2e-06; 6 of 6 elements differ"),
    ("writes half", "Weighted 'l' on numpy float64: top 'y', run again with other numbers in it "
     "before at (1, 0): expected nan, got 7, tolerance 0; 3 of 6 elements differ"),
    ("counts passes", "top 'y', run again with other numbers in it before at"),
    ("writes its input", "bottom 'x' after both passes at (0, 0): expected 0.12573022, got 9"),
    ("adds to its bottom's diff", "diff of bottom 'x', run again with other numbers in it before"),
    ("writes half of the diff", "diff of bottom 'x', run again with other numbers in it before"),
    ("sets its parameter's diff", "diff of parameter 0 after two passes, which add up at (0)"),
    ("writes its top's diff", "top 'y': diff after backward at (1, 2)"),
    ("writes its top", "top 'y' after backward at"),
    ("ignores propagate_down", "diff of bottom 'x' with propagate_down False at (1, 1): expected "
     "7, got -1.1945353"),
    ("ignores param_propagate_down", "diff of parameter 0 with param_propagate_down False at (0)"),
    ("wrong gradient of x", "diff of bottom 'x' against central differences at (1, 1): expected "
     "-1.1945353, got 1.1945353, tolerance 1.2e-06"),
    ("wrong gradient of w", "diff of parameter 0 against central differences at (0)"),
    ("float32 only", "Weighted 'l' on numpy float32: top 'y' at (0, 2)"),
    ("size of the first batch", "top 'y' of twice the batch at"),
    ("uses NumPy", "a NumPy array of shape (2, 3) met an array of the device"),
])
def test_each_mistake_is_found_and_named(bug, expected):
    assert expected in message(bug)


def test_rules_can_be_checked_alone():
    check_rules(OneLayerNet(layer("wrong value"), {"x": X}), [np.ones((2, 3))])
    with pytest.raises(AssertionError, match="with propagate_down False"):
        check_rules(OneLayerNet(layer("ignores propagate_down"), {"x": X}), [np.ones((2, 3))])


def test_a_layer_that_says_in_place_and_cannot_be_is_found(monkeypatch):
    check_layer(layer("overwrites y first"), {"x": X}, squares)
    monkeypatch.setattr(Weighted, "in_place", True)
    assert "top 'x' in place at" in message("overwrites y first")


def test_a_layer_that_reads_more_in_backward_than_it_says_is_found(monkeypatch):
    monkeypatch.setattr(Weighted, "backward_reads", ("bottom",))
    check_layer(layer(), {"x": X}, squares)
    monkeypatch.setattr(Weighted, "backward_reads", ("top",))
    assert "without the data that backward_reads leaves out at (0, 0)" in message("")


class HalvedAboveZero(minicaffe.Layer):
    """``y = x / 2`` for x > 0, else 0; ``param_str`` names a mistake to make."""

    bottoms = tops = 1
    in_place = True
    only_primitives = True
    backward_reads = ("bottom",)
    backward_reads_signs = True
    keeps_signs = True

    def setup(self, bottom, top):
        self.passes = 0

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        self.passes += self.param_str == "counts passes"
        self.backend.map(lambda x, half: half * (x + abs(x)) / 2, top[0].data, bottom[0].data,
                         0.5 + self.passes)
        if self.param_str == "more than primitives":
            top[0].data[...] += 1 * (bottom[0].data > 0)
        if self.param_str == "below 0":
            top[0].data[...] -= 9

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            x, factor = bottom[0].data, 0.5 + self.passes
            if self.param_str == "reads values":
                factor = factor + 0 * x + 1e-3 * (x > 1.5)
            bottom[0].diff[...] = top[0].diff * (x > 0) * factor


def halved_above_zero(bug=""):
    param = f'type: "HalvedAboveZero" python_param {{ param_str: "{bug}" }}'
    check_layer(param, {"x": np.linspace(-2, 2, 6).reshape(2, 3)}, gradient=False,
                devices=["numpy", "cpu"])


def test_what_a_layer_declares_of_itself_is_held_against_what_it_does():
    halved_above_zero()
    with pytest.raises(AssertionError, match="cpu float32: top 'y' in pass 3, where calls are "
                       "repeated: only_primitives is not true of its forward, at"):
        halved_above_zero("more than primitives")
    with pytest.raises(AssertionError, match="backward_reads_signs is not true at"):
        halved_above_zero("reads values")
    with pytest.raises(AssertionError, match="what is above 0 in its top, and by keeps_signs in"):
        halved_above_zero("below 0")


def test_a_number_that_a_layer_changes_in_each_pass_is_found():
    """Of numbers that it hands to primitives a recording knows the first."""
    nets = [OneLayerNet('type: "HalvedAboveZero" python_param { param_str: "counts passes" }',
                        {"x": np.ones((2, 3))}, device="cpu") for _ in range(2)]
    with pytest.raises(AssertionError, match="in pass 3, where calls are repeated"):
        check_repeated(*nets)


def test_a_gradient_for_a_bottom_that_has_none_is_found():
    class WeightedLabel(Weighted):
        no_gradient = (0,)

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = 0

    with pytest.raises(AssertionError, match="diff of bottom 'x', which gets no gradient at"):
        check_layer('type: "WeightedLabel"', {"x": X}, gradient=False)


def test_devices_are_compared_with_the_first():
    class WeightedByDevice(Weighted):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= 2 if self.backend.name == "strict" else 1

    check_layer('type: "WeightedByDevice"', {"x": X}, devices=["numpy", "cpu"])
    with pytest.raises(AssertionError, match="WeightedByDevice 'l' on strict float32: top 'y' at"):
        check_layer('type: "WeightedByDevice"', {"x": X})


def test_parameters_must_fit():
    with pytest.raises(AssertionError, match="Weighted 'l' on numpy float32: has 1 parameters, "
                                             "got 2"):
        OneLayerNet(layer(), {"x": X}, params=[[1], [2]])
    with pytest.raises(AssertionError, match=r"parameter 0 has shape \(1,\), got \(2,\)"):
        OneLayerNet(layer(), {"x": X}, params=[[1, 2]])


def test_tops_must_be_as_many_as_expected():
    with pytest.raises(AssertionError, match="expected 3 tops, got 2"):
        check_layer('type: "Split" top: "a" top: "b"', {"x": X}, [X, X, X])


@pytest.mark.parametrize("text", [
    'type: "ReLU"', 'layer { type: "ReLU" }',
    ' layer { name: "r" type: "ReLU" bottom: "x" top: "y" }',
])
def test_a_layer_is_the_text_of_a_prototxt(text):
    check_layer(text, {"x": X}, lambda x: np.maximum(x, 0))


def test_a_mistake_in_the_text_shows_its_place():
    with pytest.raises(ParseError, match="layer:1:"):
        check_layer('type: "ReLU" relu_parm { }', {"x": X})


# --------------------------------------------------------------------------------- gradients

def test_corners_fail_unless_they_are_left_out():
    corner = {"x": [0.0, 1, -1]}
    with pytest.raises(AssertionError, match=r"bottom 'x' against central differences at \(0\)"):
        check_gradient('type: "ReLU"', corner)
    check_gradient('type: "ReLU"', corner, kinks=True)


def test_a_wrong_gradient_is_found_beside_a_corner():
    class WrongReLU(minicaffe.layers.relu.ReLU):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)
            bottom[0].diff[1] *= 2

    with pytest.raises(AssertionError, match=r"central differences at \(1\)"):
        check_gradient('type: "WrongReLU"', {"x": [0.0, 1, -1]}, kinks=True)


def test_corners_everywhere_leave_nothing_to_check():
    with pytest.raises(AssertionError, match="every element is a corner, none is left to check"):
        check_gradient('type: "ReLU"', {"x": [0.0, 0.0]}, kinks=True)


def test_a_gradient_wrong_by_a_millionth_part_of_a_percent_is_found():
    class AlmostWeighted(Weighted):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)
            bottom[0].diff[...] *= 1 + 1e-5

    check_gradient(layer(), {"x": X})
    with pytest.raises(AssertionError, match="central differences"):
        check_gradient('type: "AlmostWeighted"', {"x": X})


def test_parameters_that_do_not_learn_need_no_gradient():
    wrong = layer("wrong gradient of w")
    check_gradient(wrong + "param { lr_mult: 0 }", {"x": X})
    with pytest.raises(AssertionError, match="diff of parameter 0 against central differences"):
        check_gradient(wrong + "param { lr_mult: 1 }", {"x": X})


def test_ignored_tops_take_no_part():
    fields = 'type: "Pooling" top: "y" top: "mask" pooling_param { kernel_size: 2 }'
    x = {"x": np.random.default_rng(0).normal(size=(1, 1, 3, 3))}
    check_gradient(fields, x, ignored_tops=[1])
    net = OneLayerNet(fields, x)
    assert not net.top_weights([1])[1].any() and net.top_weights()[1].all()
