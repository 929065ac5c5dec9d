"""Layers that run as one leave behind what they leave one by one."""

import numpy
import pytest

from minicaffe import TEST, TRAIN, Layer
from minicaffe.backend import get_backend
from minicaffe.backend.cpu import CpuBackend, get_num_threads, set_num_threads
from minicaffe.layers.batch_norm import BatchNorm
from minicaffe.layers.split import Split
from minicaffe.net.memory_sharing import lifetimes
from minicaffe.testing import assert_close, assert_same

DEVICES = pytest.mark.parametrize("device", ["cpu", "strict"])


@pytest.fixture(autouse=True)
def strict_fuses(monkeypatch):
    monkeypatch.setattr(get_backend("strict"), "fuses", get_backend("cpu").fuses, raising=False)


X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: %s } } }'
CONV = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "h"
  convolution_param { num_output: 5 kernel_size: 3 bias_term: false
                      weight_filler { type: "xavier" } } }
"""
POWER = """
layer { name: "conv" type: "Power" bottom: "x" top: "h" power_param { scale: 0.5 shift: 1 } }
"""
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "h" top: "%s" %s }'
SCALE = 'layer { name: "scale" type: "Scale" bottom: "%s" top: "%s" %s }'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "%s" %s }'
BIAS = "scale_param { bias_term: true }"
LEAKY = "relu_param { negative_slope: 0.25 }"
GLOBAL = "batch_norm_param { use_global_stats: true }"
LOSS = """
layer { name: "ip" type: "InnerProduct" bottom: "%s" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "target" type: "Input" top: "target" input_param { shape { dim: 6 dim: 4 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""


def normalizing(top="h", norm="", scale=BIAS, relu="", before=CONV, shape="6 dim: 3 dim: 6 dim: 7"):
    """A net with a convolution, BatchNorm, and unless None Scale and ReLU behind it."""
    behind = "" if scale is None else SCALE % (top, top, scale)
    behind += "" if relu is None else RELU % (top, top, relu)
    return X % shape + before + NORM % (top, norm) + behind + LOSS % top


def adding(coeff="", relu="", bottoms=2):
    """A net that adds up several inner products of x."""
    names = [f"x{k}" for k in range(bottoms)]
    products = "".join(f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{name}" '
                       'inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }'
                       for name in names)
    return (X % "6 dim: 5" + products + 'layer { name: "sum" type: "Eltwise" '
            + " ".join(f'bottom: "{name}"' for name in names)
            + f' top: "y" eltwise_param {{ {coeff} }} }}' + RELU % ("y", "y", relu) + LOSS % "y")


def group_names(net):
    return [[step.layer.name for step in group.steps] for group in net.plan.groups]


def feed(net, seed=0):
    rng = numpy.random.default_rng(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].shape)


def fill_parameters(net):
    """Numbers of both signs for every parameter; for BatchNorm's, positive ones."""
    rng = numpy.random.default_rng(1)
    for layer in net.layers:
        for blob in layer.blobs:
            numbers = rng.normal(size=blob.shape)
            blob.data[...] = 1 + abs(numbers) if isinstance(layer, BatchNorm) else numbers


def hook(index):
    """Needs a seam between any two layers."""


def two(make_net, text, phase=TRAIN, **options):
    """Two nets of a text; the second runs its layers one by one."""
    nets = [make_net(text, phase, **options) for _ in range(2)]
    nets[1].before_forward(hook)
    nets[1].before_backward(hook)
    for net in nets:
        fill_parameters(net)
        feed(net)
    return nets


def state(net):
    """All that can be seen of a net: its blobs and parameters."""
    found = {f"{part} of {name}": getattr(blob, part).copy()
             for name, blob in net.blobs.items() for part in ("data", "diff")}
    for name, blobs in net.params.items():
        for k, blob in enumerate(blobs):
            found.update({f"{name}[{k}]": blob.data.copy(), f"d {name}[{k}]": blob.diff.copy()})
    return found


def check_alike(fused, apart, tolerance=2e-6):
    one, other = state(fused), state(apart)
    assert one.keys() == other.keys()
    for name in one:
        assert_close(one[name], other[name], tolerance, name)


def train(net, passes=2):
    """Several passes both ways; the parameters' diffs add up, as with iter_size."""
    for seed in range(passes):
        feed(net, seed)
        net.forward()
        net.backward()


# ------------------------------------------------------------------------------- the same numbers

@DEVICES
@pytest.mark.parametrize("top", ["h", "z"], ids=["in-place", "apart"])
@pytest.mark.parametrize("norm", ["", GLOBAL], ids=["batch", "global"])
@pytest.mark.parametrize("scale, relu", [
    (BIAS, ""), (BIAS, LEAKY), (BIAS, None), ("", ""), ("", None), (None, ""), (None, LEAKY)])
def test_a_normalization_computes_what_its_layers_do(make_net, device, top, norm, scale, relu):
    fused, apart = two(make_net, normalizing(top, norm, scale, relu), device=device)
    expected = ["conv"] * (top == "h") + ["norm", "scale", "relu"]
    expected = [name for name in expected if not (scale is None and name == "scale"
                                                  or relu is None and name == "relu")]
    assert group_names(fused) == [expected]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)
    assert fused.plan.groups[0].folded and not apart.plan.groups[0].folded
    if scale is not None:
        assert fused.params["scale"][0].diff.any()
    assert fused.blobs["x"].shape == (6, 3, 6, 7) and fused.params["conv"][0].diff.any()


@pytest.mark.parametrize("before", [CONV, POWER], ids=["convolution", "power"])
@pytest.mark.parametrize("norm", ["", GLOBAL])
def test_forward_has_the_bits_of_single_layers(make_net, before, norm):
    fused, apart = two(make_net, normalizing(norm=norm, before=before,
                                             shape="6 dim: 3 dim: 61 dim: 53"), device="cpu")
    for net in (fused, apart):
        net.forward()
    one, other = state(fused), state(apart)
    for name in one:
        assert_same(one[name], other[name], name)
    assert 0.2 < (fused.blobs["h"].data == 0).mean() < 0.8


def test_backward_masks_what_relu_masks(make_net):
    """It computes z again, with the same bits: what was 0 then is not above it now."""
    text, plain = ("force_backward: true " + normalizing(
        "z", relu=relu, before="", shape="6 dim: 60 dim: 40").replace('"h"', '"x"')
        for relu in ("", None))
    fused, apart = two(make_net, text, device="cpu")
    linear, _ = two(make_net, plain, device="cpu")
    linear.params["scale"][1].data[...] = 0
    x = numpy.random.default_rng(0).integers(0, 8, (6, 60, 40))
    for net in (fused, apart, linear):
        net.blobs["x"].data[...] = x
    shift = -linear.forward(["z"])["z"][0, :, 0]
    for net in (fused, apart):
        net.params["scale"][1].data[...] = shift
        net.forward()
        net.blobs["z"].diff[...] = 1
        net.backward(start="relu")
    assert fused.plan.groups[0].folded
    assert (fused.blobs["z"].data[0, :, 0] == 0).all()
    for net in (fused, apart):
        assert ((net.blobs["z"].diff != 0) == (net.blobs["z"].data > 0)).all()


@pytest.mark.parametrize("shape", ["6 dim: 3", "6 dim: 3 dim: 4", "6 dim: 3 dim: 2 dim: 3 dim: 4",
                                   "6 dim: 1 dim: 1", "6 dim: 70 dim: 1"])
def test_a_normalization_may_have_any_number_of_axes(make_net, shape):
    fused, apart = two(make_net, "force_backward: true " + normalizing(before=POWER, shape=shape),
                       device="cpu")
    assert group_names(fused) == [["norm", "scale", "relu"]]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)


def test_behind_an_inner_product_too(make_net):
    before = """layer { name: "conv" type: "InnerProduct" bottom: "x" top: "h"
        inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
        """
    fused, apart = two(make_net, normalizing(before=before), device="cpu")
    assert group_names(fused) == [["conv", "norm", "scale", "relu"]]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)


@DEVICES
@pytest.mark.parametrize("relu", ["", LEAKY])
@pytest.mark.parametrize("bottoms, coeff", [
    (2, ""), (2, "coeff: 0.5 coeff: -2"), (3, ""), (4, "coeff: 1 coeff: 2 coeff: -1 coeff: 0")])
def test_a_sum_with_a_relu_computes_what_its_layers_do(make_net, device, bottoms, coeff, relu):
    fused, apart = two(make_net, adding(coeff, relu, bottoms), device=device)
    assert group_names(fused) == [["sum", "relu"]]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart, 0 if device == "cpu" else 1e-6)
    assert fused.blobs["x1"].diff.any()


def test_a_sum_with_a_relu_gives_gradients_only_to_those_that_ask(make_net):
    text = adding().replace('top: "x0"', 'top: "x0" param { lr_mult: 0 } param { lr_mult: 0 }')
    fused, apart = two(make_net, text, device="cpu")
    assert group_names(fused) == [["sum", "relu"]]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)
    assert fused.blobs["x1"].diff.any() and not fused.blobs["x0"].diff.any()


@pytest.mark.parametrize("text", [normalizing(), normalizing("z"), normalizing(norm=GLOBAL),
                                  adding()])
def test_in_float64_too(make_net, text):
    fused, apart = two(make_net, text, device="cpu", dtype="float64")
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart, 1e-13)


@DEVICES
@pytest.mark.parametrize("which", [(1, 1), (0, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("norm", ["", GLOBAL], ids=["batch", "global"])
def test_scale_learns_what_it_is_to_learn(make_net, device, norm, which):
    rates = "".join(f"param {{ lr_mult: {rate} }} " for rate in which)
    fused, apart = two(make_net, normalizing(norm=norm, scale=rates + BIAS), device=device)
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)
    assert [blob.diff.any() for blob in fused.params["scale"]] == list(which)


@pytest.mark.parametrize("top", ["h", "z"])
def test_a_net_for_tests_computes_what_its_layers_do(make_net, top):
    fused, apart = two(make_net, normalizing(top), TEST, device="cpu")
    assert len(fused.plan.groups[0].steps) == 3 + (top == "h")
    for net in (fused, apart):
        train(net, 1)
    check_alike(fused, apart)


@pytest.mark.filterwarnings("error")
def test_an_empty_batch_passes(make_net):
    net = make_net(normalizing("z"), device="cpu")
    for name in net.inputs:
        net.blobs[name].reshape(0, *net.blobs[name].shape[1:])
    before = net.params["norm"][2].data.copy()
    net.run_forward(0, net._layer_names.index("relu"))
    net.run_backward(net._layer_names.index("relu"))
    assert net.plan.groups[0].folded and net.blobs["z"].shape[0] == 0
    assert_same(net.params["norm"][2].data, before, "weight")


@pytest.mark.filterwarnings("error")
def test_a_normalization_without_channels_passes(make_net):
    net = make_net("force_backward: true " + X % "2 dim: 0 dim: 3"
                   + 'layer { name: "norm" type: "BatchNorm" bottom: "x" top: "y" }'
                   + RELU % ("y", "y", ""), device="cpu")
    assert group_names(net) == [["norm", "relu"]]
    net.forward()
    net.backward(y=numpy.zeros((2, 0, 3)))
    assert net.plan.groups[0].folded and net.blobs["x"].diff.shape == (2, 0, 3)


def test_the_bits_do_not_depend_on_the_number_of_threads(make_net):
    text = normalizing("z", before=POWER, shape="6 dim: 3 dim: 64 dim: 80")
    results, threads = [], get_num_threads()
    try:
        for count in (1, threads):
            set_num_threads(count)
            net = make_net("force_backward: true " + text, device="cpu")
            fill_parameters(net)
            train(net)
            results.append(state(net))
    finally:
        set_num_threads(threads)
    for name in results[0]:
        assert_same(results[1][name], results[0][name], name)


# ------------------------------------------------------------------------------------- the groups

OTHER = 'layer { name: "other" type: "Silence" bottom: "%s" }'
SCALE_H = SCALE % ("h", "h", BIAS)
SEEN = (X % "6 dim: 3 dim: 6 dim: 7" + CONV + NORM % ("z", "") + "%s" + SCALE % ("z", "s", BIAS)
        + RELU % ("s", "s", "") + LOSS % "s")


class NormOfTestFusion(BatchNorm):
    """Computes the same, but who knows."""


@pytest.mark.parametrize("text, groups", [
    (normalizing(scale=None, relu=None), []),
    (normalizing() + OTHER % "h", [["conv", "norm", "scale", "relu"]]),
    (normalizing("z") + OTHER % "h", [["norm", "scale", "relu"]]),
    (normalizing().replace(RELU % ("h", "h", ""), RELU % ("h", "y", "")) + OTHER % "y",
     [["conv", "norm", "scale"]]),
    (normalizing().replace(SCALE_H, OTHER % "x" + SCALE_H), []),
    (SEEN % "", []),
    (normalizing(scale="scale_param { axis: 2 }"), []),
    (normalizing(scale="scale_param { num_axes: 2 }"), []),
    (normalizing(scale='bottom: "w"').replace('layer { name: "conv"',
     'layer { name: "w" type: "Input" top: "w" input_param { shape { dim: 5 } } }'
     ' layer { name: "conv"'), []),
    (normalizing().replace('"ReLU"', '"PReLU"'), [["conv", "norm", "scale"]]),
    (normalizing().replace('"BatchNorm"', '"NormOfTestFusion"'), []),
    (normalizing(norm="propagate_down: false"), []),
    (normalizing(scale=BIAS + "propagate_down: false"), []),
    (adding().replace("eltwise_param { ", "eltwise_param { operation: MAX "), []),
    (adding(bottoms=5), []),
    (adding().replace('"y" top: "y"', '"y" top: "z"'), []),
])
def test_only_layers_that_fit_make_a_group(make_net, text, groups):
    fused, apart = two(make_net, text, device="cpu")
    assert group_names(fused) == groups
    for net in (fused, apart):
        train(net, 1)
    check_alike(fused, apart)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_frozen_layers_make_a_group_that_saves_nothing(make_net, phase):
    frozen = "param { lr_mult: 0 } "
    text = normalizing(norm=3 * frozen, scale=2 * frozen + BIAS).replace(
        'bottom: "x" top: "h"', 'bottom: "x" top: "h" ' + frozen)
    fused, apart = two(make_net, text, phase, device="cpu")
    assert group_names(fused) == [["conv", "norm", "scale", "relu"]]
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)
    assert fused.layer_dict["norm"].saved is None and fused.params["ip"][0].diff.any()


@pytest.mark.parametrize("text", [normalizing(), adding()])
def test_the_reference_device_runs_layer_by_layer(make_net, text):
    assert group_names(make_net(text, device="numpy")) == []


def test_a_learning_scale_on_the_net_s_input_is_left_alone(make_net):
    """BatchNorm's input needs no gradient there, and Scale's would be one of its own."""
    text = normalizing(before="").replace('bottom: "h" top: "h"', 'bottom: "x" top: "h"', 1)
    fused, apart = two(make_net, text, device="cpu")
    assert group_names(fused) == []
    for net in (fused, apart):
        train(net)
    check_alike(fused, apart)


# ------------------------------------------------------------------------------------- the seams

SEAMS = pytest.mark.parametrize("text", [
    normalizing(), normalizing("z"), normalizing(norm=GLOBAL), normalizing("z", GLOBAL),
    normalizing(relu=None), normalizing(scale=None), normalizing(norm=GLOBAL, scale=None),
    adding()], ids=["in-place", "apart", "global", "global-apart", "no-relu", "no-scale",
                    "global-no-scale", "sum"])


@SEAMS
def test_a_hook_that_comes_between_the_passes_finds_all_that_layers_save(make_net, text):
    fused, apart = two(make_net, text, device="cpu")
    indices = []
    fused.forward()
    apart.forward()
    fused.before_backward(indices.append)
    for net in (fused, apart):
        net.backward()
    check_alike(fused, apart)
    assert indices == list(range(len(fused.layers)))[::-1]
    fused.remove_hook(indices.append)
    for net in (fused, apart):
        train(net, 1)
    check_alike(fused, apart)
    assert fused.plan.groups[0].folded


def inner_seams(net):
    """The names of layers behind which a group can be cut."""
    return [(step.layer.name, following.layer.name) for group in net.plan.groups
            for step, following in zip(group.steps, group.steps[1:])]


@SEAMS
def test_a_pass_may_end_and_begin_at_a_seam(make_net, text):
    count = len(inner_seams(make_net(text, device="cpu")))
    assert count
    for k in range(count):
        fused, apart = two(make_net, text, device="cpu")
        before, behind = inner_seams(fused)[k]
        for net in (fused, apart):
            net.forward()
            net.backward(end=behind)
            net.backward(start=before)
        check_alike(fused, apart)
        for net in (fused, apart):
            feed(net, 1)
            net.forward(end=before)
        check_alike(fused, apart)
        for net in (fused, apart):
            net.forward(start=behind)
            net.backward()
        check_alike(fused, apart)


@SEAMS
def test_layers_that_did_not_run_again_keep_what_they_saved(make_net, text):
    for k in range(len(inner_seams(make_net(text, device="cpu")))):
        fused, apart = two(make_net, text, device="cpu")
        before, _ = inner_seams(fused)[k]
        for net in (fused, apart):
            net.forward()
            feed(net, 1)
            net.forward(end=before)
            net.backward()
        check_alike(fused, apart)


def test_what_a_layer_behind_a_group_wrote_over_its_top_is_there_after_it_fell_apart(make_net):
    tanh = 'layer { name: "tanh" type: "TanH" bottom: "h" top: "h" }'
    net = make_net("force_backward: true " + X % "6 dim: 3 dim: 6 dim: 7" + CONV + NORM % ("h", "")
                   + SCALE % ("h", "h", BIAS) + tanh, TEST, device="cpu")
    assert group_names(net) == [["conv", "norm", "scale"]]
    fill_parameters(net)
    feed(net)
    h = net.forward()["h"].copy()
    net.blobs["h"].diff[...] = 1
    net.backward()  # for which the layers save what the group left out
    assert not net.plan.groups[0].folded
    assert (net.blobs["h"].data == h).all()


@pytest.mark.parametrize("norm", ["", GLOBAL])
@pytest.mark.parametrize("top", ["h", "z"])
def test_another_batch_size_may_come_with_a_hook(make_net, norm, top):
    text = normalizing(top, norm, before="").replace('bottom: "h"', 'bottom: "x"', 1)
    fused, apart = two(make_net, "force_backward: true " + text.replace('"h"', '"x"'), device="cpu")
    assert group_names(fused) == [["norm", "scale", "relu"]]
    for net in (fused, apart):
        train(net, 1)
    fused.before_forward(hook)
    for net in (fused, apart):
        for name in net.inputs:
            net.blobs[name].reshape(9, *net.blobs[name].shape[1:])
        train(net, 1)
    check_alike(fused, apart)


class LooksOfTestFusion(Layer):
    """A user's own layer: it sees what the layers before it made."""

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = abs(bottom[0].data).sum()


def test_a_layer_of_one_s_own_in_between_sees_what_is_made_there(make_net):
    look = 'layer { name: "look" type: "LooksOfTestFusion" bottom: "z" top: "seen" }'
    text = SEEN % look
    fused, apart = two(make_net, text, device="cpu")
    for net in (fused, apart):
        net.forward()
    assert fused.blobs["seen"].data > 0
    assert_same(fused.blobs["seen"].data, apart.blobs["seen"].data, "seen")


# --------------------------------------------------------------------------------------- memory

BLOCK = """
layer { name: "conv%(i)d" type: "Convolution" bottom: "%(x)s" top: "h%(i)d" convolution_param {
  num_output: 4 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "norm%(i)d" type: "BatchNorm" bottom: "h%(i)d" top: "%(n)s%(i)d" }
layer { name: "scale%(i)d" type: "Scale" bottom: "%(n)s%(i)d" top: "%(n)s%(i)d"
  scale_param { bias_term: true } }
layer { name: "inner%(i)d" type: "ReLU" bottom: "%(n)s%(i)d" top: "%(n)s%(i)d" }
layer { name: "sum%(i)d" type: "Eltwise" bottom: "%(x)s" bottom: "%(n)s%(i)d" top: "y%(i)d"
  eltwise_param { %(c)s } }
layer { name: "relu%(i)d" type: "ReLU" bottom: "y%(i)d" top: "y%(i)d" }
"""


def residual(top="h", add="coeff: 1 coeff: 0.5"):
    """Blocks whose blobs fan out and are added up again."""
    blocks = "".join(BLOCK % {"i": i, "x": f"y{i - 1}" if i else "x", "n": top, "c": add}
                     for i in range(4))
    return X % "6 dim: 4 dim: 9 dim: 8" + blocks + LOSS % "y3"


@pytest.mark.parametrize("device", ["numpy", "cpu", "strict"])
@pytest.mark.parametrize("top, add", [
    ("h", "coeff: 1 coeff: 0.5"), ("z", "coeff: 1 coeff: 0.5"), ("h", "coeff: 2 coeff: 0.5"),
    ("h", "operation: MAX"), ("h", "operation: PROD")])
@pytest.mark.parametrize("kept", [[], ["y1"], ["h2", "y3"]])
def test_shared_memory_changes_no_bit(make_net, device, top, add, kept):
    text = residual(top, add)
    whole, shared = make_net(text, device=device), make_net(text, device=device, keep=kept)
    for seed in range(3):
        for net in (whole, shared):
            feed(net, seed)
            net.forward()
            net.backward()
    groups = 8 if "coeff" in add else 4
    assert len(whole.plan.groups) == (0 if device == "numpy" else groups)
    for mine, its in zip(shared.learnable, whole.learnable, strict=True):
        assert_same(mine.blob.host.data, its.blob.host.data, mine.layer)
        assert_same(mine.blob.host.diff, its.blob.host.diff, mine.layer)
    for name in kept:
        assert_same(shared.blobs[name].diff, whole.blobs[name].diff, name)
    assert whole.params["conv0"][0].diff.any()


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("count", [3, 6])
def test_nor_where_many_blobs_are_added_up(make_net, device, count):
    names = [f"x{k}" for k in range(count)]
    text = (X % "6 dim: 5" + 'layer { name: "h" type: "InnerProduct" bottom: "x" top: "h" '
            'inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }'
            + "".join(f'layer {{ name: "{name}" type: "Power" bottom: "h" top: "{name}" '
                      f'power_param {{ scale: {k} }} }}' for k, name in enumerate(names))
            + 'layer { name: "sum" type: "Eltwise" top: "y" '
            + " ".join(f'bottom: "{name}"' for name in names) + " eltwise_param { "
            + " ".join(f"coeff: {k - 3}" for k in range(count)) + " } }" + LOSS % "y")
    nets = [make_net(text, device=device, keep=keep) for keep in (
        "all", [], [f"h_h_0_split_{k}" for k in range(count - 1)])]
    for net in nets:
        fill_parameters(net)
        train(net)
    for net in nets[1:]:
        for mine, its in zip(net.learnable, nets[0].learnable, strict=True):
            assert_same(mine.blob.diff, its.blob.diff, mine.layer)
    assert nets[0].params["h"][0].diff.any()


@pytest.mark.parametrize("keep", ["all", []])
def test_only_one_copy_is_saved(make_net, keep):
    net = make_net(residual(), device="cpu", keep=keep)
    feed(net)
    net.forward()
    net.backward()
    assert net.layer_dict["norm1"]._saved is not None
    assert net.layer_dict["scale1"]._saved is None


def test_where_nothing_can_run_backward_no_copy_is_saved(make_net):
    net = make_net(residual(), TEST, device="cpu", keep=[])
    feed(net)
    net.forward()
    assert [layer for layer in net.layers if getattr(layer, "saved", None) is not None] == []
    whole = make_net(residual(), TEST, device="cpu")
    feed(whole)
    assert_same(net.forward()["loss"], whole.forward()["loss"], "loss")


@pytest.mark.parametrize("kept, alike", [([], True), (["y1"], False)])
def test_a_gradient_that_is_passed_on_stays_where_it_is(make_net, kept, alike):
    """Along the way around a block, where nobody looks, there is one array for all diffs."""
    net = make_net(residual(), device="cpu", keep=kept)
    train(net, 1)
    above, way, below = (net.device_blobs[name].memory("diff").array for name in (
        "y2", net.bottom_names["sum2"][0], "y1"))
    first = net.device_blobs[net.bottom_names["conv2"][0]].memory("diff").array
    assert above is way
    assert (below is way or below is first) == alike


def test_what_a_sum_with_a_relu_reads_is_there_until_its_diffs_are_written(make_net):
    net = make_net(adding(), device="cpu")
    lives = lifetimes(net.graph, net.plan)
    y, dx = (lives[net.device_blobs[name].memory(part)] for name, part in (
        ("y", "data"), ("x1", "diff")))
    assert y.last >= dx.first


def test_a_backward_of_ones_own_is_not_taken_to_work_in_place():
    class SplitOfTestFusion(Split):
        def backward(self, top, propagate_down, bottom):
            pass

    assert Split.diff_in_place and not SplitOfTestFusion.diff_in_place


@pytest.fixture
def passes(monkeypatch):
    """What the backend's map and sums were asked for: how many large arrays each wrote and read."""
    seen = []

    def large(arrays):
        return sum(getattr(array, "size", 0) > 40 for array in arrays)

    def spy(name):
        run = getattr(CpuBackend, name)

        def seeing(self, function, out, *inputs, **more):
            if large(inputs):
                seen.append((name, large(out if isinstance(out, tuple) else (out,)), large(inputs)))
            run(self, function, out, *inputs, **more)

        return seeing

    for name in ("map", "sums"):
        monkeypatch.setattr(CpuBackend, name, spy(name))
    return seen


BIASES = [("map", 1, 1)] * 2  # of the inner products before a sum


@pytest.mark.parametrize("text, keep, forward, backward", [
    (normalizing(), "all", [("sums", 0, 1), ("sums", 0, 1), ("map", 1, 1)],
     [("sums", 0, 2), ("map", 1, 2)]),
    (normalizing(before=POWER), "all", [
        ("map", 1, 1), ("sums", 0, 1), ("sums", 0, 1), ("map", 2, 1)],
     [("sums", 0, 2), ("map", 1, 2), ("map", 1, 1)]),
    (normalizing("z"), "all", [("sums", 0, 1), ("sums", 0, 1), ("map", 1, 1)],
     [("sums", 0, 2), ("map", 2, 2)]),
    (normalizing(norm=GLOBAL), "all", [("map", 2, 1)], [("sums", 0, 2), ("map", 1, 2)]),
    (adding(), "all", [*BIASES, ("map", 1, 2)], [("map", 3, 2)]),
    (adding(), [], [*BIASES, ("map", 1, 2)], [("map", 2, 2)]),
])
def test_how_often_a_group_goes_through_memory(make_net, passes, text, keep, forward, backward):
    """The first sums of a forward pass are those of a few elements."""
    net = make_net("force_backward: true " + text, device="cpu", keep=keep)
    feed(net)
    net.run_forward()
    assert passes == forward
    passes.clear()
    net.run_backward()
    assert passes == backward
