"""What layers save for backward: where, when, and what they then need no more."""

import pytest

from minicaffe import TEST, TRAIN, Net
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text
from minicaffe.testing import OneLayerNet, assert_same

from .naive import numbers

DEVICES = ["numpy", "cpu", "strict"]
BATCH_NORM = 'type: "BatchNorm"'
GLOBAL = 'type: "BatchNorm" batch_norm_param { use_global_stats: true }'
SCALE = 'type: "Scale" scale_param { bias_term: true }'
POWER = 'type: "Power" power_param { power: 2 }'


@pytest.mark.parametrize("text, copies", [
    (BATCH_NORM, True), (GLOBAL, False), (SCALE, True), ('type: "PReLU"', True),
    ('type: "Bias"', False), (POWER, True), ('type: "Power"', False)])
def test_in_place_a_layer_saves_what_it_would_read_and_reads_no_blob(text, copies):
    own, in_place = (OneLayerNet(f'bottom: "x" top: "{top}" {text}', {"x": numbers(2, 3)},
                                 phase=TRAIN).layer for top in ("y", "x"))
    assert own.backward_reads == (("bottom",) if copies else ()) and own.saved is None
    assert in_place.backward_reads == () and (in_place.saved is not None) == copies


def test_a_backward_of_ones_own_is_taken_to_read_the_top_too():
    from minicaffe.layers.scale import Scale

    class ScaleOfTestBuffered(Scale):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)

    for top, reads in (("y", ("bottom", "top")), ("x", ("top",))):
        net = OneLayerNet(f'type: "ScaleOfTestBuffered" bottom: "x" top: "{top}"',
                          {"x": numbers(2, 3)})
        assert net.layer.backward_reads == reads


# -------------------------------------------------------------------------- while a net trains

INPUT = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
"""
BLOCK = """
layer { name: "conv%(i)d" type: "Convolution" bottom: "%(x)s" top: "h%(i)d" convolution_param {
        num_output: 3 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "norm%(i)d" type: "BatchNorm" bottom: "h%(i)d" top: "h%(i)d"
        batch_norm_param { use_global_stats: false } }
layer { name: "scale%(i)d" type: "Scale" bottom: "h%(i)d" top: "h%(i)d"
        scale_param { bias_term: true } }
layer { name: "sum%(i)d" type: "Eltwise" bottom: "h%(i)d" bottom: "%(x)s" top: "y%(i)d" }
layer { name: "relu%(i)d" type: "ReLU" bottom: "y%(i)d" top: "y%(i)d" }
"""
LOSS = """
layer { name: "ip" type: "InnerProduct" bottom: "y3" top: "ip" inner_product_param {
        num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "labels" type: "Input" top: "t" input_param { shape { dim: 4 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "t" top: "loss" }
"""
BLOCKS = "".join(BLOCK % {"i": i, "x": f"y{i - 1}" if i else "x"} for i in range(4))
RESIDUAL = INPUT + BLOCKS + LOSS


def net_of(text, phase=TRAIN, **options):
    net = Net(parse_text(text, NetParameter), phase, seed=1, **options)
    net.blobs["x"].data[...] = numbers(4, 3, 8, 8)
    if "t" in net.blobs:
        net.blobs["t"].data[...] = [0, 4, 2, 1]
    return net


def parameters(net, part="data"):
    return [getattr(blob, part).copy() for blobs in net.params.values() for blob in blobs]


@pytest.mark.parametrize("device", DEVICES)
def test_shared_memory_changes_no_bit_of_a_training_in_place(device):
    results = []
    for keep in ("all", []):
        net = net_of(RESIDUAL, device=device, keep=keep)
        before = parameters(net)
        for _ in range(3):
            net.clear_param_diffs()
            net.forward()
            net.backward()
            for parameter in net.learnable:
                parameter.blob.host.data[...] -= 0.1 * parameter.blob.host.diff
        results.append(parameters(net))
    for whole, shared, start in zip(*results, before, strict=True):
        assert_same(shared, whole, "a parameter")
        assert (whole != start).any()


def test_blobs_that_no_backward_reads_share_their_memory():
    """Convolution, BatchNorm and Scale in place, Eltwise: none reads the blob again."""
    net = net_of(RESIDUAL, keep=[], device="numpy")
    net.forward()
    places = {net.device_blobs[f"h{i}"].data.__array_interface__["data"][0] for i in range(4)}
    assert len(places) < 4


# ----------------------------------------------------------------------- where no backward follows

ALL = INPUT + "".join(f'layer {{ name: "{name}" {text} bottom: "{bottom}" top: "{top}" }}'
                      for name, text, bottom, top in [
    ("norm", 'type: "BatchNorm" batch_norm_param { use_global_stats: false }', "x", "x"),
    ("scale", SCALE, "x", "x"), ("prelu", 'type: "PReLU"', "x", "x"), ("power", POWER, "x", "x"),
    ("lrn", 'type: "LRN"', "x", "a"), ("swish", 'type: "Swish"', "a", "b"),
    ("softmax", 'type: "Softmax"', "b", "c")])
BUFFERS = {"norm": "saved", "scale": "saved", "prelu": "saved", "power": "saved", "lrn": "around",
           "swish": "slope", "softmax": "products"}


def buffers(net):
    return {name for name, attribute in BUFFERS.items()
            if getattr(net.layer_dict[name], attribute) is not None}


@pytest.mark.parametrize("device", DEVICES)
def test_a_net_without_backward_saves_nothing_and_computes_the_same(device):
    trained = net_of("force_backward: true" + ALL, device=device)
    deployed = net_of(ALL, TEST, device=device)
    for net in (trained, deployed):
        net.forward()
    assert buffers(trained) == set(BUFFERS) and buffers(deployed) == set()
    for name in "xabc":
        assert_same(deployed.blobs[name].data, trained.blobs[name].data, name)


def test_a_test_net_with_a_loss_can_run_backward():
    """Its layers learn, and the loss asks them; so they save what they need for it."""
    trained, tested = (net_of(RESIDUAL, phase, device="numpy") for phase in (TRAIN, TEST))
    for net in (trained, tested):
        net.forward()
        net.backward()
    for mine, its in zip(parameters(tested, "diff"), parameters(trained, "diff"), strict=True):
        assert_same(mine, its, "a diff")
    assert tested.params["scale0"][0].diff.any()


def test_where_no_gradient_is_needed_below_nothing_is_saved():
    first = f'layer {{ name: "first" {BATCH_NORM} bottom: "x" top: "x" }}'
    net = net_of(INPUT + first + BLOCKS + LOSS, device="numpy")
    net.forward()
    assert net.layer_dict["first"].saved is None
    assert net.layer_dict["norm0"].saved is not None
