"""Scripts written for pycaffe run: its names, in its order, with its results."""

from collections import OrderedDict

import numpy
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.errors import DeviceError

OUTPUTS = 13
SIMPLE = f"""
name: "testnet" force_backward: true
layer {{ type: "DummyData" name: "data" top: "data" top: "label" dummy_data_param {{
  num: 5 channels: 2 height: 3 width: 4
  num: 5 channels: 1 height: 1 width: 1
  data_filler {{ type: "gaussian" std: 1 }} data_filler {{ type: "constant" }} }} }}
layer {{ type: "Convolution" name: "conv" bottom: "data" top: "conv"
  convolution_param {{ num_output: 11 kernel_size: 2 pad: 3
    weight_filler {{ type: "gaussian" std: 1 }} bias_filler {{ type: "constant" value: 2 }} }}
  param {{ decay_mult: 1 }} param {{ decay_mult: 0 }} }}
layer {{ type: "InnerProduct" name: "ip" bottom: "conv" top: "ip_blob"
  inner_product_param {{ num_output: {OUTPUTS}
    weight_filler {{ type: "gaussian" std: 2.5 }} bias_filler {{ type: "constant" value: -3 }} }} }}
layer {{ type: "SoftmaxWithLoss" name: "loss" bottom: "ip_blob" bottom: "label" top: "loss" }}
"""
DEPLOY = """
input: "data" input_shape { dim: 1 dim: 3 }
layer { type: "InnerProduct" name: "ip" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { type: "Softmax" name: "prob" bottom: "ip" top: "prob" }
"""


@pytest.fixture(autouse=True)
def on_the_device_numpy():
    caffe.set_device("numpy")
    yield
    caffe.set_mode_cpu()


@pytest.fixture
def write(tmp_path):
    def file(text, name="net.prototxt"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)
    return file


@pytest.fixture
def net(write):
    net = caffe.Net(write(SIMPLE), caffe.TRAIN)
    # labels are written into the net, which pycaffe's users may do before any pass
    net.forward(end="data")
    net.blobs["label"].data[...] = numpy.random.randint(OUTPUTS, size=net.blobs["label"].shape)
    return net


# ---------------------------------------------------------------------------------------- net

def test_phases_are_numbers():
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_data_can_be_written_in_rows_and_whole(net):
    net.blobs["data"].data[0] = net.blobs["data"].data[1]
    net.blobs["data"].data[...] = 7
    assert (net.blobs["data"].data == 7).all() and net.blobs["data"].data.dtype == numpy.float32


def test_memory_outlives_the_net(net):
    params = [blob for blobs in net.params.values() for blob in blobs]
    blobs = list(net.blobs.values())
    del net
    assert sum(blob.data.sum() for blob in params) and sum(blob.diff.sum() for blob in blobs) == 1


def test_names_of_layers_and_blobs(net):
    assert list(net._layer_names) == ["data", "conv", "ip", "loss"]
    assert list(net._blob_names) == list(net.blobs) == ["data", "label", "conv", "ip_blob", "loss"]
    assert list(net.layer_dict) == list(net._layer_names)
    for name, layer in zip(net._layer_names, net.layers):
        assert net.layer_dict[name] is layer
    assert [layer.type for layer in net.layers] == ["DummyData", "Convolution", "InnerProduct",
                                                    "SoftmaxWithLoss"]
    assert [len(layer.blobs) for layer in net.layers] == [0, 2, 2, 0]


def test_parameters_are_ordered_lists_of_blobs(net):
    assert isinstance(net.params, OrderedDict) and list(net.params) == ["conv", "ip"]
    assert [len(blobs) for blobs in net.params.values()] == [2, 2]
    assert net.params["conv"][0].data.shape == (11, 2, 2, 2)
    assert (net.params["conv"][1].data == 2).all() and (net.params["ip"][1].data == -3).all()
    assert net.params["ip"][0].num == OUTPUTS


def test_blobs_have_the_old_axes(net):
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width) == (5, 2, 3, 4)
    assert blob.count == 120 and list(blob.shape) == [5, 2, 3, 4]


def test_forward_and_backward_return_outputs_and_inputs(net):
    assert list(net.inputs) == [] and list(net.outputs) == ["loss"]
    assert list(net.forward()) == ["loss"]
    assert net.backward() == {}


def test_passes_start_and_end_at_layers(net):
    conv = net.forward(end="conv")["conv"].copy()
    assert conv.any() and not net.blobs["ip_blob"].data.any()
    assert net.forward(start="ip", end="ip")["ip_blob"].any()
    assert net.forward(start="loss")["loss"] > 0
    diffs = net.backward(start="loss", end="ip")
    assert list(diffs) == ["conv"] and diffs["conv"].any()
    assert not net.blobs["data"].diff.any()
    assert net.backward(start="conv", diffs=["data"])["data"].any()


def test_diffs_of_parameters_are_cleared(net):
    net.forward()
    net.backward()
    assert net.params["conv"][0].diff.any()
    net.clear_param_diffs()
    assert not any(blob.diff.any() for blobs in net.params.values() for blob in blobs)


def test_tops_and_bottoms_are_named_by_layer(net):
    assert net.top_names == OrderedDict([
        ("data", ["data", "label"]), ("conv", ["conv"]), ("ip", ["ip_blob"]), ("loss", ["loss"])])
    assert net.bottom_names == OrderedDict([
        ("data", []), ("conv", ["data"]), ("ip", ["conv"]), ("loss", ["ip_blob", "label"])])


def test_loss_weights_are_given_for_every_blob(net):
    assert net.blob_loss_weights == {"data": 0, "label": 0, "conv": 0, "ip_blob": 0, "loss": 1}


@pytest.mark.parametrize("load", [
    lambda net, weights: caffe.Net(net, caffe.TRAIN, weights=weights),
    lambda net, weights: caffe.Net(net, weights, caffe.TRAIN),
    lambda net, weights: caffe.Net(network_file=net, weights=weights, phase=caffe.TRAIN),
    lambda net, weights: caffe.Net(net, phase=caffe.TRAIN, weights=weights)])
def test_a_net_is_saved_and_loaded(net, write, tmp_path, load):
    weights = str(tmp_path / "w.caffemodel")
    net.save(weights)
    loaded = load(write(SIMPLE), weights)
    assert loaded.phase == caffe.TRAIN and loaded is not net
    for name, blobs in net.params.items():
        for mine, its in zip(blobs, loaded.params[name], strict=True):
            assert abs(mine.data - its.data).sum() == 0


def test_the_old_order_of_arguments_knows_both_phases(net, write, tmp_path):
    weights = str(tmp_path / "w.caffemodel")
    net.save(weights)
    for phase in (caffe.TRAIN, caffe.TEST):
        assert caffe.Net(write(SIMPLE), weights, phase).phase == phase


def test_weights_are_copied_and_shared(net, write, tmp_path):
    weights = str(tmp_path / "w.caffemodel")
    net.save(weights)
    other = caffe.Net(write(SIMPLE), caffe.TEST)
    other.copy_from(weights)
    assert (other.params["ip"][0].data == net.params["ip"][0].data).all()
    other.share_with(net)
    net.params["ip"][0].data[...] = 5
    assert (other.params["ip"][0].data == 5).all()


def test_a_deploy_net_classifies(write):
    net = caffe.Net(write(DEPLOY), caffe.TEST)
    assert net.inputs == ["data"] and net.outputs == ["prob"]
    assert net.forward(data=numpy.ones((1, 3)))["prob"].sum() == pytest.approx(1)
    net.blobs["data"].reshape(7, 3)
    net.blobs["data"].data[...] = numpy.random.rand(7, 3)
    net.reshape()
    assert net.blobs["prob"].data.shape == (7, 2)
    prob = net.forward()["prob"]
    numpy.testing.assert_allclose(prob.sum(axis=1), 1, rtol=1e-6)
    assert (net.blobs["prob"].data == prob).all()


def test_an_input_that_fans_out_is_split_under_the_name_of_the_upgraded_layer(write):
    net = caffe.Net(write(DEPLOY + DEPLOY.split("\n", 2)[2].replace('name: "ip"', 'name: "ip2"')
                          .replace('top: "ip"', 'top: "ip2"').replace('"prob"', '"prob2"')
                          .replace('bottom: "ip"', 'bottom: "ip2"')), caffe.TEST)
    assert "data_input_0_split_0" in net.blobs and "data_input_0_split_1" in net.blobs


def test_hooks_are_called_with_the_index_of_the_layer(net):
    seen = []
    net.before_forward(lambda i: seen.append(i))
    net.after_backward(lambda i: seen.append(-i))
    net.forward()
    net.backward()
    assert seen == [0, 1, 2, 3, -3, -2, -1, 0]


# ---------------------------------------------------------------------------- levels and stages

RULES = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: [1, 1] } } }
layer { name: "NoLevel" type: "InnerProduct" bottom: "data" top: "NoLevel"
  inner_product_param { num_output: 1 } }
layer { name: "Level0Only" type: "InnerProduct" bottom: "data" top: "Level0Only"
  include { min_level: 0 max_level: 0 } inner_product_param { num_output: 1 } }
layer { name: "Level1Only" type: "InnerProduct" bottom: "data" top: "Level1Only"
  include { min_level: 1 max_level: 1 } inner_product_param { num_output: 1 } }
layer { name: "Level>=0" type: "InnerProduct" bottom: "data" top: "Level>=0"
  include { min_level: 0 } inner_product_param { num_output: 1 } }
layer { name: "Stage" type: "InnerProduct" bottom: "data" top: "Stage"
  include { stage: "val" stage: "fine" } inner_product_param { num_output: 1 } }
layer { name: "PhaseTest" type: "InnerProduct" bottom: "data" top: "PhaseTest"
  include { phase: TEST } inner_product_param { num_output: 1 } }
"""


@pytest.mark.parametrize("phase, options, expected", [
    (caffe.TRAIN, {}, ["NoLevel", "Level0Only", "Level>=0"]),
    (caffe.TRAIN, {"level": 0}, ["NoLevel", "Level0Only", "Level>=0"]),
    (caffe.TRAIN, {"level": 1}, ["NoLevel", "Level1Only", "Level>=0"]),
    (caffe.TEST, {"level": -1}, ["NoLevel", "PhaseTest"]),
    (caffe.TRAIN, {"stages": ["val"]}, ["NoLevel", "Level0Only", "Level>=0"]),
    (caffe.TRAIN, {"stages": ["val", "fine"], "level": 2}, ["NoLevel", "Level>=0", "Stage"]),
])
def test_levels_stages_and_phases_choose_layers(write, phase, options, expected):
    net = caffe.Net(write(RULES), phase, **options)
    assert [name for name in net._layer_names if not name.startswith("data")] == expected


# ------------------------------------------------------------------------------- Python layers

class TenfoldLayer(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class FailingLayer(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("as it should")


class LearningLayer(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class PhaseLayer(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class TextLayer(caffe.Layer):
    def setup(self, bottom, top):
        self.value = eval(self.param_str)["value"]

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.value * bottom[0].data


def python_layer(name, cls, bottom, top, more=""):
    return (f'layer {{ type: "Python" name: "{name}" bottom: "{bottom}" top: "{top}" '
            f'python_param {{ module: "{__name__}" layer: "{cls}" {more} }} }}\n')


INPUT = 'name: "pythonnet" force_backward: true input: "data" input_shape { dim: [10, 9, 8] }\n'


def three_layers():
    return (INPUT + python_layer("one", "TenfoldLayer", "data", "one")
            + python_layer("two", "TenfoldLayer", "one", "two")
            + python_layer("three", "TenfoldLayer", "two", "three"))


def test_python_layers_run_forward_and_backward(write):
    net = caffe.Net(write(three_layers()), caffe.TRAIN)
    net.blobs["data"].data[...] = 8
    net.forward()
    assert (net.blobs["three"].data == 8000).all()
    net.blobs["three"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 7000).all()


def test_python_layers_take_other_shapes(write):
    net = caffe.Net(write(three_layers()), caffe.TRAIN)
    net.blobs["data"].reshape(4, 9, 8, 7)
    net.forward()
    assert all(blob.data.shape == (4, 9, 8, 7) for blob in net.blobs.values())


def test_errors_of_python_layers_come_through(write):
    with pytest.raises(RuntimeError, match="as it should"):
        caffe.Net(write(INPUT + python_layer("l", "FailingLayer", "data", "top")), caffe.TEST)


def test_python_layers_have_parameters(write, tmp_path):
    text = INPUT + python_layer("layer", "LearningLayer", "data", "top")
    net = caffe.Net(write(text), caffe.TRAIN)
    net.forward()
    net.backward()
    layer = net.layers[list(net._layer_names).index("layer")]
    assert (layer.blobs[0].data[0], layer.blobs[0].diff[0]) == (0, 1)
    layer.blobs[0].data[0] += layer.blobs[0].diff[0]
    assert layer.blobs[0].data[0] == 1
    net.save(str(tmp_path / "w.caffemodel"))
    layer.blobs[0].data[0] = -1
    net.copy_from(str(tmp_path / "w.caffemodel"))
    assert layer.blobs[0].data[0] == 1
    other = caffe.Net(write(text), caffe.TRAIN)
    other.share_with(net)
    assert other.layer_dict["layer"].blobs[0].data[0] == 1


def test_python_layers_know_their_phase(write):
    file = write(INPUT + python_layer("layer", "PhaseLayer", "data", "phase"))
    for phase in (caffe.TRAIN, caffe.TEST):
        assert caffe.Net(file, phase).forward()["phase"] == phase


def test_python_layers_get_their_text(write):
    net = caffe.Net(write(
        INPUT + python_layer("a", "TextLayer", "data", "a", "param_str: \"{'value': 10}\"")
        + python_layer("b", "TextLayer", "a", "b", "param_str: '{\"value\": 2}'")), caffe.TRAIN)
    net.blobs["data"].data[...] = 3
    assert (net.forward()["b"] == 60).all()


# ------------------------------------------------------------------------------------- net spec

def lenet(batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[batch_size, 1, 28, 28]),
                                         dict(dim=[batch_size, 1, 1, 1])], ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=10, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label)
    return n.to_proto()


def test_a_net_spec_makes_a_net_that_runs(write):
    net = caffe.Net(write(str(lenet(3))), caffe.TRAIN)
    assert list(net._layer_names) == ["data", "conv1", "pool1", "ip1", "relu1", "loss"]
    assert net.blobs["pool1"].data.shape == (3, 20, 12, 12)
    assert net.forward()["loss"] == pytest.approx(numpy.log(10), rel=1e-5)


def test_tops_without_names_are_numbered(write):
    data = L.DummyData(shape=dict(dim=[1, 2]))
    proto = L.InnerProduct(L.ReLU(data), num_output=2).to_proto()
    assert [layer.name for layer in proto.layer] == ["DummyData1", "ReLU1", "InnerProduct1"]
    assert caffe.to_proto(data).layer[0].type == "DummyData"
    assert caffe.Net(write(str(proto)), caffe.TEST).outputs == ["InnerProduct1"]


def test_a_consumer_of_nothing_that_is_named_is_still_found(write):
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[1, 2]))
    n.silence = L.Silence(n.data, ntop=0)
    assert caffe.Net(write(str(n.to_proto())), caffe.TEST)._layer_names == ["data", "silence"]


# --------------------------------------------------------------------------------------- module

def test_layer_types_are_listed():
    types = caffe.layer_type_list()
    assert {"Convolution", "InnerProduct", "Python", "Split"} <= set(types)
    assert types == sorted(types)


def test_modes_choose_the_device_of_the_nets_to_come(write):
    file = write(DEPLOY)
    assert caffe.Net(file, caffe.TEST).backend.name == "numpy"
    caffe.set_mode_cpu()
    assert caffe.Net(file, caffe.TEST).backend.name == "cpu"
    caffe.set_device(0)  # says which GPU; a script for the CPU may say it too
    assert caffe.Net(file, caffe.TEST).backend.name == "cpu"
    assert caffe.Net(file, caffe.TEST, device="numpy").backend.name == "numpy"


def test_an_unknown_device_is_named_with_its_neighbour():
    with pytest.raises(DeviceError, match=r"device 'cpuu': expected one of .*cpu.*, got 'cpuu'. "
                                          r"Hint: did you mean 'cpu'\?"):
        caffe.set_device("cpuu")


def test_messages_are_where_pycaffe_has_them():
    from minicaffe.proto import caffe_pb2
    param = caffe_pb2.NetParameter()
    param.layer.add(name="l")
    assert caffe.proto.caffe_pb2.NetParameter.FromString(param.SerializeToString()) == param
