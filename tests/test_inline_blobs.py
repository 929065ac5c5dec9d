"""Weights that a net's description brings along: as Caffe, the net begins with them."""

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe.errors import WeightsError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text

INPUT = 'input: "x" input_shape { dim: 1 dim: 2 } '
LAYER = """layer { name: "f" type: "InnerProduct" bottom: "x" top: "f" %s
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { value: 9 } } }
"""
W = "blobs { shape { dim: 2 dim: 2 } data: 1 data: 2 data: 3 data: 4 }"
B = "blobs { shape { dim: 2 } data: 10 data: 20 }"


def net_of(text, **options):
    return caffe.Net(parse_text(text, NetParameter), caffe.TEST, **options)


def result(net):
    return net.forward(x=np.ones((1, 2)))["f"].ravel().tolist()


@pytest.mark.parametrize("device, dtype", [
    ("numpy", "float32"), ("numpy", "float64"), ("cpu", "float32"), ("strict", "float32")])
def test_they_take_the_place_of_the_fillers(device, dtype):
    net = net_of(INPUT + LAYER % (W + B), device=device, dtype=dtype)
    assert result(net) == [13, 27]


@pytest.mark.parametrize("weights", [
    "blobs { num: 1 channels: 1 height: 2 width: 2 data: [1, 2, 3, 4] }",
    "blobs { shape { dim: [1, 1, 2, 2] } data: [1, 2, 3, 4] }",
    "blobs { shape { dim: [2, 2] } double_data: [1, 2, 3, 4] }"])
def test_they_have_the_forms_of_files(weights):
    assert result(net_of(INPUT + LAYER % (weights + B))) == [13, 27]


def test_layers_of_old_nets_bring_them_too():
    text = INPUT + (LAYER % (W + B)).replace("layer {", "layers {").replace('"InnerProduct"',
                                                                             "INNER_PRODUCT")
    assert result(net_of(text)) == [13, 27]
    v0 = f"""layers {{ bottom: "x" top: "f" layer {{ name: "f" type: "innerproduct" num_output: 2
        weight_filler {{ type: "xavier" }} {W} {B} }} }}"""
    assert result(net_of(INPUT + v0)) == [13, 27]


def test_a_caffemodel_read_as_a_message_is_a_net_with_its_weights(tmp_path):
    first = net_of(INPUT + LAYER % (W + B))
    first.params["f"][1].data[...] = [5, 6]
    first.save(tmp_path / "n.caffemodel")
    param = NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    assert result(caffe.Net(param, caffe.TEST)) == [8, 13]


def test_a_spec_may_bring_them():
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[1, 2]))
    n.f = L.InnerProduct(n.x, num_output=2, bias_term=False, blobs=[
        dict(shape=dict(dim=[2, 2]), data=[1, 2, 3, 4])])
    assert result(caffe.Net(n, caffe.TEST)) == [3, 7]


def test_the_owner_of_shared_parameters_brings_them():
    shared = 'param { name: "w" } param { name: "b" }'
    text = INPUT + LAYER % (W + B + shared) + (LAYER % shared).replace('"f"', '"g"')
    net = net_of(text)
    assert net.forward(x=np.ones((1, 2)))["g"].ravel().tolist() == [13, 27]


def test_a_file_of_weights_counts_more(tmp_path):
    net_of(INPUT + LAYER % (W + "blobs { shape { dim: 2 } data: [0, 0] }")).save(
        tmp_path / "n.caffemodel")
    net = net_of(INPUT + LAYER % (W + B), weights=tmp_path / "n.caffemodel")
    assert result(net) == [3, 7]


def test_statistics_of_batch_norm_are_taken():
    net = net_of("""input: "x" input_shape { dim: 1 dim: 2 }
        layer { name: "f" type: "BatchNorm" bottom: "x" top: "f" batch_norm_param { eps: 0 }
          blobs { shape { dim: 2 } data: [2, 4] } blobs { shape { dim: 2 } data: [8, 8] }
          blobs { shape { dim: 1 } data: 2 } }""")
    assert result(net) == [0, -0.5]


@pytest.mark.parametrize("blobs, told", [
    ("blobs { shape { dim: [4] } data: [1, 2, 3, 4] }" + B,
     "InnerProduct 'f': blob 0 in the net: expected the shape (2, 2), got (4,)."),
    (W + "blobs { shape { dim: 3 } data: [1, 2, 3] }",
     "InnerProduct 'f': blob 1 in the net: expected the shape (2,), got (3,)."),
    ("blobs { shape { dim: [2, 2] } data: [1, 2] }" + B,
     "InnerProduct 'f': blob 0 in the net: expected a blob of shape (2, 2), got 2 numbers."),
    (W, "InnerProduct 'f': the blobs in the net: expected 2, got 1."),
    (W + B + B, "InnerProduct 'f': the blobs in the net: expected 2, got 3.")])
def test_what_does_not_fit_is_told_with_the_layer(blobs, told):
    with pytest.raises(WeightsError) as caught:
        net_of(INPUT + LAYER % blobs)
    assert str(caught.value) == told


def test_test_nets_of_a_solver_have_those_of_the_train_net():
    solver = caffe.proto.SolverParameter(base_lr=0.5, lr_policy="fixed", max_iter=1, test_iter=[1],
                                         test_interval=5)
    solver.net_param.CopyFrom(parse_text(INPUT + LAYER % (W + B), NetParameter))
    made = caffe.get_solver(solver)
    for net in (made.net, *made.test_nets):
        assert net.params["f"][0].data.tolist() == [[1, 2], [3, 4]]
