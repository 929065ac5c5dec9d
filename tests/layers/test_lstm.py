"""LSTM agrees with its definition, and goes on where the last pass ended."""

from math import exp, tanh

import numpy as np
import pytest

import minicaffe
from minicaffe import TEST, TRAIN
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import OneLayerNet, assert_close, assert_same, check_layer

from .naive import numbers, refusal

DEVICES = ["numpy", "cpu", "strict"]
H = 3
EXPOSED = 'top: "y" top: "h_T" top: "c_T" '


def layer(fields=f"num_output: {H}"):
    return f'type: "LSTM" recurrent_param {{ {fields} }}'


def exposed(fields=f"num_output: {H}"):
    return EXPOSED + layer(fields + " expose_hidden: true")


def marks(T, N, *begin):
    """cont: 1 everywhere but at the places (t, n) where a sequence begins."""
    cont = np.ones((T, N))
    for place in begin:
        cont[place] = 0
    return cont


def sigmoid(z):
    return 1 / (1 + exp(-z))


def steps(x, cont, w_x, b, w_h, h, c, w_s=None, s=None):
    """y, and the last h and c, number by number; h, c (N, H)."""
    T, N = cont.shape
    units, h, c = w_h.shape[1], h.copy(), c.copy()
    y = np.zeros((T, N, units))
    for t, n in np.ndindex(T, N):
        begun = cont[t, n] * h[n]
        z = [b[row] + sum(w_x[row] * x[t, n].ravel()) + sum(w_h[row] * begun)
             + (0 if s is None else sum(w_s[row] * s[n].ravel())) for row in range(len(b))]
        for k in range(units):
            i, f, o, g = z[k], z[units + k], z[2 * units + k], z[3 * units + k]
            c[n, k] = sigmoid(f) * cont[t, n] * c[n, k] + sigmoid(i) * tanh(g)
            h[n, k] = sigmoid(o) * tanh(c[n, k])
        y[t, n] = h[n]
    return y, h, c


def from_zeros(x, cont, w_x, b, w_h, w_s=None, s=None):
    zeros = np.zeros((cont.shape[1], w_h.shape[1]))
    return steps(x, cont, w_x, b, w_h, zeros, zeros, w_s, s)[0]


# ------------------------------------------------------------------------------- one pass

@pytest.mark.parametrize("shape, cont", [
    ((5, 2, 4), marks(5, 2, 0)),
    ((5, 2, 4), marks(5, 2, 0, (2, 0), (3, 0), (3, 1))),  # a sequence of one step, too
    ((4, 3, 2, 2), marks(4, 3, 0, (2, 1))),
    ((3, 2), marks(3, 2, 0)),
    ((1, 2, 4), marks(1, 2, 0)),
    ((4, 1, 4), marks(4, 1, 0)),
    ((3, 2, 4), [[0, 0], [0.5, 0.25], [2, 1]]),
], ids=str)
def test_each_step_takes_up_the_last_one_unless_cont_is_0(shape, cont):
    check_layer(layer(), {"x": numbers(*shape), "cont": cont}, from_zeros)


def test_a_static_bottom_counts_in_every_step():
    inputs = {"x": numbers(4, 2, 3), "cont": marks(4, 2, 0, (2, 0)), "s": numbers(2, 1, 5, seed=1)}
    check_layer(layer(), inputs, lambda x, cont, s, w_x, b, w_s, w_h:
                from_zeros(x, cont, w_x, b, w_h, w_s, s))


@pytest.mark.parametrize("static", [False, True])
def test_exposed_states_come_from_bottoms_and_are_tops(static):
    def expected(x, cont, *others):
        s, (h, c, w_x, b, *w_s, w_h) = (others[0] if static else None), others[static:]
        y, h, c = steps(x, cont, w_x, b, w_h, h[0], c[0], *w_s, s=s)
        return y, h[None], c[None]

    inputs = {"x": numbers(4, 2, 5), "cont": marks(4, 2, (0, 1), (2, 0)),
              "s": numbers(2, 4, seed=1), "h_0": numbers(1, 2, H, seed=2),
              "c_0": numbers(1, 2, H, seed=3)}
    if not static:
        del inputs["s"]
    check_layer(exposed(), inputs, expected, ignored_tops=(1, 2))


@pytest.mark.parametrize("shape", [(6, 33, 20), (3, 40, 7), (2, 1, 50)])
def test_larger_shapes_agree_with_the_reference(shape):
    T, N, _ = shape
    check_layer(layer("num_output: 37"), {"x": numbers(*shape), "cont": marks(T, N, 0, (1, 0))},
                params=[0.2 * numbers(148, shape[2]), numbers(148), 0.2 * numbers(148, 37)],
                gradient=False)


@pytest.mark.parametrize("device", DEVICES)
def test_large_sums_saturate_the_gates(device):
    net = OneLayerNet(layer("num_output: 1"), {"x": [[[200]], [[-200]]], "cont": [[0], [1]]},
                      params=[np.ones((4, 1)), np.zeros(4), np.zeros((4, 1))], device=device)
    assert_close(net.forward()[0], [[[tanh(1)]], [[0]]], 1e-6, "y")
    for name, diff in zip(net.diff_names, net.backward([np.ones((2, 1, 1))])):
        assert np.isfinite(diff).all() or "'cont'" in name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(0, 2, 4), (3, 0, 4)])
def test_no_steps_and_no_sequences_pass(shape, device):
    net = OneLayerNet(layer(), {"x": np.zeros(shape), "cont": np.zeros(shape[:2])}, device=device)
    assert net.forward()[0].shape == (*shape[:2], H)
    dx, _, *dparams = net.backward([np.zeros((*shape[:2], H))])
    assert dx.shape == shape and not any(diff.any() for diff in dparams)


def test_blobs_are_filled_by_the_filler_of_weights_and_that_of_the_bias():
    net = minicaffe.Net(parse_text("""
layer { name: "in" type: "Input" top: "x" top: "cont" top: "s" input_param {
        shape { dim: 5 dim: 2 dim: 4 } shape { dim: 5 dim: 2 } shape { dim: 2 dim: 6 } } }
layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" bottom: "s" top: "y" recurrent_param {
        num_output: 3 weight_filler { type: "constant" value: 2 }
        bias_filler { type: "constant" value: 3 } } }""", NetParameter), TEST)
    shapes = [(12, 4), (12,), (12, 6), (12, 3)]
    for blob, shape, value in zip(net.params["l"], shapes, (2, 3, 2, 2), strict=True):
        assert_same(blob.data, np.full(shape, value), blob.name)


# ------------------------------------------------------------------------- from pass to pass

def in_pieces(net, x, cont, sizes):
    """The tops y of several passes, one after the other, as one array."""
    found, start = [], 0
    for size in sizes:
        net.reshape({"x": x[start:start + size], "cont": cont[start:start + size]})
        found.append(net.forward()[0])
        start += size
    return np.concatenate(found)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sizes", [(2, 2, 2), (4, 2), (1, 3, 2)])
def test_a_pass_goes_on_where_the_last_one_ended(sizes, device):
    x, cont = numbers(6, 2, 4), marks(6, 2, (0, 0), (4, 1))  # (0, 1) goes on, from zeros
    net = OneLayerNet(layer(), {"x": x[:1], "cont": cont[:1]}, device=device)
    expected = from_zeros(x, cont, *(blob.data.astype(float) for blob in net.params))
    assert_close(in_pieces(net, x, cont, sizes), expected, 1e-5, "y")


@pytest.mark.parametrize("device", DEVICES)
def test_other_sequences_begin_with_zeros(device):
    net = OneLayerNet(layer(), {"x": numbers(3, 2, 4), "cont": marks(3, 2)}, device=device)
    first = net.forward()[0]
    for N in (5, 2):
        net.reshape({"x": numbers(3, N, 4), "cont": marks(3, N)})
        y = net.forward()[0]
    assert_same(y, first, "y")


@pytest.mark.parametrize("device", DEVICES)
def test_a_state_that_was_carried_over_counts_as_one_from_a_bottom(device):
    x, cont, weights = numbers(3, 2, 4), marks(3, 2, (0, 1)), numbers(3, 2, H, seed=1)
    carried = OneLayerNet(layer(), {"x": x, "cont": marks(3, 2, 0)}, device=device)
    states = OneLayerNet(exposed(), {"x": x, "cont": marks(3, 2, 0), "h_0": np.zeros((1, 2, H)),
                                     "c_0": np.zeros((1, 2, H))}, device=device)
    carried.forward()
    _, h, c = states.forward()
    carried.inputs["cont"] = cont
    states.inputs.update(cont=cont, h_0=h, c_0=c)
    assert_same(carried.forward()[0], states.forward()[0], "y")
    dx, _, *dparams = carried.backward([weights])
    dx_too, _, _, _, *dparams_too = states.backward([weights, h, c])
    for a, b in zip([dx, *dparams], [dx_too, *dparams_too], strict=True):
        assert_same(a, b, "a diff; those of the last states count for nothing")


@pytest.mark.parametrize("device", DEVICES)
def test_no_gradient_goes_back_to_before_a_sequence_began(device):
    net = OneLayerNet(layer(), {"x": numbers(5, 2, 4), "cont": marks(5, 2, 0, (3, 0))},
                      device=device)
    net.forward()
    weights = np.zeros((5, 2, H))
    weights[4] = 1
    dx = net.backward([weights])[0]
    assert not dx[:3, 0].any() and dx[3:, 0].all() and dx[:, 1].all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("T, N, units", [(1, 1, 1), (1, 3, 1), (4, 1, 1), (4, 3, 1), (1, 1, 3)])
def test_the_smallest_sequences_and_memories_pass(T, N, units, dtype, device):
    net = OneLayerNet(layer(f"num_output: {units}"), {"x": numbers(T, N, 1), "cont": marks(T, N)},
                      device=device, dtype=dtype)
    weights = [blob.data.astype(float) for blob in net.params]
    assert_close(net.forward()[0], from_zeros(numbers(T, N, 1), marks(T, N), *weights), 1e-5, "y")
    assert net.backward([np.ones((T, N, units))])[0].shape == (T, N, 1)


NET = """
layer { name: "in" type: "Input" top: "x" top: "cont"
        input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "l" bottom: "x" bottom: "cont" top: "y" type: "LSTM" recurrent_param {
        num_output: 3 weight_filler { type: "xavier" } } }
"""
LOSS = 'layer { name: "loss" type: "Power" bottom: "y" top: "loss" loss_weight: 1 }'


def net_of(text, phase=TRAIN, **options):
    net = minicaffe.Net(parse_text(text, NetParameter), phase, seed=1, **options)
    net.blobs["x"].data[...] = numbers(3, 2, 4)
    net.blobs["cont"].data[...] = 1
    return net


def test_a_file_of_weights_holds_no_states(tmp_path):
    net, read = net_of(NET, TEST), net_of(NET, TEST)
    first = net.forward()["y"].copy()
    assert (net.forward()["y"] != first).any()  # it took up what the first pass left
    net.save(tmp_path / "lstm.caffemodel")
    read.copy_from(tmp_path / "lstm.caffemodel")
    assert_same(read.forward()["y"], first, "y")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("keep", ["all", []])
def test_a_layer_in_place_behind_it_changes_nothing_in_it(device, keep):
    found = []
    for top in ("y2", "y"):
        twice = f'layer {{ name: "twice" type: "Power" bottom: "y" top: "{top}" ' \
                'power_param { scale: 2 } }'
        net = net_of(NET + twice + LOSS.replace('"y"', f'"{top}"'), device=device, keep=keep)
        for _ in range(2):
            net.clear_param_diffs()
            net.forward()
            net.backward()
        found.append([net.blobs["loss"].data, *(blob.diff for blob in net.params["l"])])
    for a, b in zip(*found, strict=True):
        assert_same(b, a, "the loss, or a diff")
        assert a.any()


@pytest.mark.parametrize("device", DEVICES)
def test_without_backward_it_saves_less_and_computes_the_same(device):
    trained = net_of("force_backward: true" + NET, device=device)
    deployed = net_of(NET, TEST, device=device)
    for _ in range(2):
        for net in (trained, deployed):
            net.forward()
        assert_same(deployed.blobs["y"].data, trained.blobs["y"].data, "y")
    assert trained.layer_dict["l"].dz is not None
    assert deployed.layer_dict["l"].dz is None


def test_the_gradient_of_x_is_left_out_where_nothing_below_learns():
    found = []
    for force in ("", "force_backward: true"):
        net = net_of(force + NET + LOSS)
        net.forward()
        net.backward()
        assert net.blobs["x"].diff.any() == bool(force)
        found.append([blob.diff.copy() for blob in net.params["l"]])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, 1e-6, "a diff")


def test_it_counts_its_products():
    net = OneLayerNet(layer(), {"x": numbers(5, 2, 4), "cont": marks(5, 2), "s": numbers(2, 6)})
    wanted = 5 * 2 * (12 * 4 + 12 * 3) + 2 * 12 * 6
    assert net.layer.multiply_adds(net.bottoms, net.tops) == wanted


# ------------------------------------------------------------------------------- refusals

X, CONT = np.zeros((5, 2, 4)), np.zeros((5, 2))
STATE = np.zeros((1, 2, H))


@pytest.mark.parametrize("text, inputs, expected", [
    (layer(""), [X, CONT],
     "ParameterError: LSTM 'l': expected num_output of 1 or more, got 0."),
    (layer(), [X[0, 0], CONT],
     "ShapeError: LSTM 'l': expected a first bottom of 2 or more axes, got (4,). Hint: the first "
     "axis counts the steps, the second the sequences."),
    (layer(), [X[:, :, :0], CONT],
     "ShapeError: LSTM 'l': expected a first bottom of 1 or more numbers a step and sequence, got "
     "(5, 2, 0)."),
    (layer(), [X, CONT, np.zeros((2, 0))],
     "ShapeError: LSTM 'l': expected a static bottom of 1 or more numbers a sequence, got (2, 0)."),
    (layer(), [X, CONT[0]],
     "ShapeError: LSTM 'l': expected a second bottom of shape (5, 2), got (2,). Hint: 0 where a "
     "sequence begins, else 1."),
    (layer(), [X, CONT, np.zeros(())],
     "ShapeError: LSTM 'l': expected a static bottom for 2 sequences, got (). Hint: its first "
     "axis counts them."),
    (layer(), [X, CONT.T],
     "ShapeError: LSTM 'l': expected a second bottom of shape (5, 2), got (2, 5). Hint: 0 where a "
     "sequence begins, else 1."),
    (layer(), [X, CONT, np.zeros((3, 6))],
     "ShapeError: LSTM 'l': expected a static bottom for 2 sequences, got (3, 6). Hint: its first "
     "axis counts them."),
    (exposed(), [X, CONT, STATE, STATE[0]],
     "ShapeError: LSTM 'l': expected states of shape (1, 2, 3), got (2, 3)."),
    (layer(), [X], "NetError: LSTM 'l': expected 2 to 3 bottoms, got 1 (0)."),
    (layer(), [X, CONT, X, X], "NetError: LSTM 'l': expected 2 to 3 bottoms, got 4 (0, 1, 2, 3)."),
    (exposed(), [X, CONT, STATE], "NetError: LSTM 'l': expected 4 to 5 bottoms, got 3 (0, 1, 2)."),
    (layer() + ' top: "y" top: "h_T"', [X, CONT],
     "NetError: LSTM 'l': expected 1 top, got 2 (y, h_T)."),
])
def test_errors_say_what_was_expected(text, inputs, expected):
    assert refusal(text, {str(i): array for i, array in enumerate(inputs)}) == expected


@pytest.mark.parametrize("changed, expected", [
    ({"x": np.zeros((5, 2, 3))}, "4 and 6 inputs a step, as when its weights were made, got "
                                 "3 and 6."),
    ({"s": np.zeros((2, 7))}, "4 and 6 inputs a step, as when its weights were made, got 4 and 7."),
])
def test_bottoms_that_no_longer_fit_the_weights_are_refused(changed, expected):
    net = OneLayerNet(layer(), {"x": X, "cont": CONT, "s": np.zeros((2, 6))})
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net.reshape(changed)
    assert str(caught.value) == f"LSTM 'l': expected {expected}"


def test_a_state_that_something_learned_is_refused():
    learned = """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 3
        axis: 2 } }
layer { name: "cut" type: "Slice" bottom: "h" top: "h_0" top: "c_0" top: "rest" slice_param {
        axis: 0 } }
layer { name: "l" bottom: "x" bottom: "cont" bottom: "h_0" bottom: "c_0" """
    text = NET.replace('layer { name: "l" bottom: "x" bottom: "cont"', learned) \
        .replace('top: "y"', EXPOSED).replace("weight_filler", "expose_hidden: true weight_filler")
    with pytest.raises(minicaffe.MinicaffeError) as caught:
        net_of(text + LOSS)
    assert str(caught.value) == (
        "LSTM 'l': expected a bottom 2 that no learning layer makes, as it has no gradient to "
        "give, got 'h_0'. Hint: propagate_down: true for the other bottoms, false for this one.")
