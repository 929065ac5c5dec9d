"""The net as it is used, made from the net that was trained, and the files that say so."""

import numpy
import pytest

from minicaffe import TEST, Net
from minicaffe.data.transform import Transform
from minicaffe.errors import NetError, ParameterError
from minicaffe.proto import NetParameter, TransformationParameter
from minicaffe.proto.text import parse_text
from minicaffe.proto.upgrade import read_net
from minicaffe.proto.wire import read_blob
from minicaffe.tools import models
from minicaffe.tools.deploy import deploy_net, write_deploy

INPUT = """layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 8 dim: 3 dim: 4 dim: 4 } shape { dim: 8 } } %s }
"""
DATA = """layer { name: "db" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.5 mirror: true %s } data_param { source: "x" batch_size: 9 } }
"""
BODY = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
"""
LOSS = """
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" %s }
"""


def deployed(text, shape=None):
    return deploy_net(parse_text(text, NetParameter, "net"), shape)


def chain(net):
    """The layers as (type, bottoms, tops)."""
    return [(layer.type, list(layer.bottom), list(layer.top)) for layer in net.layer]


# -------------------------------------------------------------------------------------------- nets

def test_labels_losses_and_accuracies_go_and_probabilities_come():
    net = deployed(INPUT % "" + BODY + LOSS % "")
    assert chain(net) == [("Input", [], ["data"]), ("InnerProduct", ["data"], ["ip"]),
                          ("Softmax", ["ip"], ["prob"])]
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [[1, 3, 4, 4]]
    assert net.layer[2].name == "prob"


def test_the_deployed_net_computes_what_the_trained_one_does():
    text = INPUT % "" + BODY.replace("num_output: 2", 'num_output: 2 weight_filler { type: '
                                     '"gaussian" }') + LOSS % ""
    net = Net(parse_text(text, NetParameter, "net"), TEST, device="numpy", seed=1)
    used = Net(deployed(text), TEST, device="numpy")
    used.share_with(net)
    x = numpy.random.default_rng(0).normal(size=(8, 3, 4, 4))
    scores = net.forward(blobs=["ip"], data=x)["ip"][:1]
    prob = numpy.exp(scores) / numpy.exp(scores).sum()
    numpy.testing.assert_allclose(used.forward(data=x[:1])["prob"], prob, rtol=1e-5)


def test_a_deployed_net_stays_as_it_is_and_the_net_given_too():
    net = parse_text(INPUT % "" + BODY + LOSS % "", NetParameter, "net")
    before = net.SerializeToString()
    once = deploy_net(net)
    assert net.SerializeToString() == before
    assert deploy_net(once) == once


def test_rules_of_phases_and_loss_weights_are_spent():
    text = BODY.replace('top: "ip"', 'top: "ip" include { phase: TEST } phase: TEST loss_weight: 0')
    net = deployed(DATA % "" + text + LOSS % "loss_weight: 2", (1, 5, 6))
    for layer in net.layer:
        assert not (layer.include or layer.exclude or layer.HasField("phase") or layer.loss_weight)
    assert chain(net)[0] == ("Input", [], ["data"]) and net.layer[0].name == "db"
    assert list(net.layer[0].input_param.shape[0].dim) == [1, 1, 5, 6]


def test_the_softmax_keeps_its_axis_and_the_name_of_a_top_that_is_read():
    net = deployed(INPUT % "" + BODY + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" top: "p"
  softmax_param { axis: -1 } }
layer { name: "flat" type: "Flatten" bottom: "p" top: "flat" }""")
    assert chain(net)[2:] == [("Softmax", ["ip"], ["p"]), ("Flatten", ["p"], ["flat"])]
    assert net.layer[2].softmax_param.axis == -1


def test_probabilities_that_are_there_already_are_not_made_twice():
    net = deployed(INPUT % "" + BODY + LOSS % "" +
                   'layer { name: "p" type: "Softmax" bottom: "ip" top: "p" }')
    assert chain(net)[2:] == [("Softmax", ["ip"], ["p"])]


def test_a_sigmoid_takes_the_place_of_its_loss_and_other_losses_just_go():
    net = deployed(INPUT % "" + BODY + LOSS.split("\nlayer")[0] + """
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "label" top: "loss" }""")
    assert chain(net)[2:] == [("Sigmoid", ["ip"], ["prob"])]
    for bottoms in ('bottom: "ip" bottom: "label"', 'bottom: "label" bottom: "ip"'):
        net = deployed(INPUT % "" + BODY +
                       f'layer {{ name: "l" type: "EuclideanLoss" {bottoms} top: "l" }}')
        assert chain(net) == [("Input", [], ["data"]), ("InnerProduct", ["data"], ["ip"])]


def test_a_layer_of_ones_own_that_counts_as_a_loss_is_one():
    net = deployed(INPUT % "" + BODY + """
layer { name: "l" type: "Reduction" bottom: "ip" top: "l" loss_weight: 1 }""")
    assert chain(net)[1:] == [("InnerProduct", ["data"], ["ip"])]


def test_of_several_losses_the_weightiest_gives_prob():
    second = BODY.replace('"ip"', '"ip2"')
    auxiliary = LOSS.replace('"ip"', '"ip2"').replace('"loss"', '"loss2"').replace(
        '"accuracy"', '"accuracy2"') % "loss_weight: 0.3"
    net = deployed(INPUT % "" + BODY + second + LOSS % "" + auxiliary)
    assert chain(net)[3:] == [("Softmax", ["ip"], ["prob"]), ("Softmax", ["ip2"], ["ip2_prob"])]
    net = deployed(INPUT % "" + BODY + second + LOSS % "" + auxiliary.replace("0.3", "1"))
    assert chain(net)[3:] == [("Softmax", ["ip"], ["ip_prob"]), ("Softmax", ["ip2"], ["prob"])]


def test_a_name_that_is_taken_is_not_taken_again():
    net = deployed(INPUT % "" + BODY.replace('top: "ip"', 'top: "prob"') + LOSS.replace(
        'bottom: "ip"', 'bottom: "prob"') % "")
    assert chain(net)[2:] == [("Softmax", ["prob"], ["prob_"])]


def test_what_only_labels_and_losses_needed_goes_too():
    net = deployed(INPUT % "" + """
layer { name: "halves" type: "Slice" bottom: "label" top: "l1" top: "l2" }
layer { name: "quiet" type: "Silence" bottom: "l2" }
""" + BODY + (LOSS % "").replace('bottom: "label"', 'bottom: "l1"') + """
layer { name: "weight" type: "Power" bottom: "l2" top: "weight" }
layer { name: "sum" type: "Eltwise" bottom: "loss" bottom: "weight" top: "sum" }
layer { name: "log" type: "Log" bottom: "sum" top: "log" }
layer { name: "unused" type: "Power" bottom: "data" top: "unused" }
layer { name: "hush" type: "Silence" bottom: "unused" }""")
    assert [layer.name for layer in net.layer] == ["in", "ip", "prob"]


def test_layers_in_place_stay():
    net = deployed(INPUT % "" + BODY +
                   'layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }' + LOSS % "")
    assert [layer.name for layer in net.layer] == ["in", "ip", "relu", "prob"]


RELU = 'layer { name: "relu%s" type: "ReLU" bottom: "ip" top: "ip" }'


@pytest.mark.parametrize("judged", ["", LOSS % ""])
def test_what_the_last_layer_in_place_makes_is_an_output(judged):
    net = deployed(INPUT % "" + BODY + RELU % 1 + RELU % 2 + judged)
    assert [layer.name for layer in net.layer] == ["in", "ip", "relu1", "relu2"] + ["prob"] * bool(
        judged)


def test_of_several_outputs_in_place_each_is_one():
    other = (BODY + RELU % 2).replace('"ip"', '"other"')
    net = deployed(INPUT % "" + BODY + RELU % 1 + other)
    assert [layer.name for layer in net.layer] == ["in", "ip", "relu1", "other", "relu2"]
    assert Net(net, TEST, device="numpy").outputs == ["ip", "other"]


def test_what_is_in_place_in_the_middle_is_no_output():
    net = deployed(INPUT % "" + BODY + RELU % 1 + """
        layer { name: "top" type: "InnerProduct" bottom: "ip" top: "top"
          inner_product_param { num_output: 2 } }""")
    assert Net(net, TEST, device="numpy").outputs == ["top"]


def test_outputs_that_were_never_judged_stay():
    net = deployed(INPUT % "" + BODY + BODY.replace('"ip"', '"features"') + LOSS % "")
    assert [layer.name for layer in net.layer] == ["in", "ip", "features", "prob"]


def test_what_should_come_out_may_be_what_went_in():
    net = deployed("""layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 8 dim: 2 } } }""" + BODY + """
layer { name: "l" type: "EuclideanLoss" bottom: "ip" bottom: "data" top: "l" }""")
    assert chain(net) == [("Input", [], ["data"]), ("InnerProduct", ["data"], ["ip"])]


def test_engines_that_only_minicaffe_has_are_left_to_the_reader():
    net = deployed(INPUT % "" + BODY + LOSS % "" + "".join(
        f'layer {{ name: "{engine}" type: "Convolution" bottom: "data" top: "{engine}" '
        f'convolution_param {{ num_output: 1 kernel_size: 3 engine: {engine} }} }}'
        for engine in ("WINOGRAD", "CAFFE")))
    engines = {layer.name: layer.convolution_param.HasField("engine") for layer in net.layer}
    assert engines["CAFFE"] and not engines["WINOGRAD"]


@pytest.mark.parametrize("source, shape", [
    ('type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 8 dim: 3 dim: 4 '
     'dim: 5 } shape { dim: 8 } }', [1, 3, 4, 5]),
    ('type: "DummyData" top: "data" top: "label" dummy_data_param { num: 8 num: 8 channels: 3 '
     'channels: 1 height: 4 height: 1 width: 5 width: 1 }', [1, 3, 4, 5]),
    ('type: "MemoryData" top: "data" top: "label" memory_data_param { batch_size: 2 channels: 3 '
     'height: 4 width: 5 }', [1, 3, 4, 5]),
    ('type: "ImageData" top: "data" top: "label" image_data_param { new_height: 4 new_width: 5 }',
     [1, 3, 4, 5]),
    ('type: "ImageData" top: "data" top: "label" image_data_param { new_height: 6 new_width: 7 '
     'is_color: false } transform_param { crop_size: 4 }', [1, 1, 4, 4]),
    ('type: "Input" top: "label" top: "data" input_param { shape { dim: 7 dim: 3 } }', [1, 3])])
def test_data_layers_that_declare_their_shape_become_inputs_of_it(source, shape):
    net = deployed(f'layer {{ name: "in" {source} }}' + BODY + LOSS % "")
    assert net.layer[0].type == "Input" and list(net.layer[0].top) == ["data"]
    assert list(net.layer[0].input_param.shape[0].dim) == shape


def test_old_formats_are_read_too():
    net = deployed("""input: "data" input_dim: 10 input_dim: 3 input_dim: 4 input_dim: 4
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }""")
    assert [layer.type for layer in net.layer] == ["Input", "InnerProduct", "Softmax"]
    assert list(net.layer[0].input_param.shape[0].dim) == [1, 3, 4, 4]


def test_a_crop_gives_the_input_its_size_and_the_size_before_is_told():
    net = deployed(DATA % "crop_size: 4" + BODY + LOSS % "", (3, 6, 7))
    layer = net.layer[0]
    assert list(layer.input_param.shape[0].dim) == [1, 3, 4, 4]
    assert (layer.image_data_param.new_height, layer.image_data_param.new_width) == (6, 7)
    assert layer.transform_param == TransformationParameter(scale=0.5, crop_size=4)
    assert deploy_net(net) == net
    layer = deployed(DATA % "crop_size: 6" + BODY + LOSS % "", (3, 6, 6)).layer[0]
    assert not layer.HasField("image_data_param")


@pytest.mark.parametrize("text, shape, kind, message", [
    (DATA % "" + BODY + LOSS % "", None, ParameterError, "Data 'db': expected the shape of 'data', "
     "which such a layer does not tell, got none. Hint: give it as channels, height and width, "
     "such as --image-size 3x224x224"),
    (DATA % "" + BODY.replace('bottom: "data"', 'bottom: "label"') + LOSS % "", (3, 4, 4),
     ParameterError, "Data 'db': expected the shape of 'label'"),
    (INPUT % "" + 'layer { name: "l" type: "EuclideanLoss" bottom: "data" bottom: "label" }', None,
     NetError, "net 'net': expected a layer that makes something of the data in phase TEST, got "
     "none")])
def test_what_cannot_be_deployed_is_told(text, shape, kind, message):
    with pytest.raises(kind) as caught:
        deployed(text, shape)
    assert str(caught.value).startswith(message)


# ------------------------------------------------------------------------------------------- files

def written(folder, text, **options):
    """The Input of the deploy file that is written for a net."""
    stem = str(folder / "mine")
    assert str(write_deploy(parse_text(text, NetParameter, "net"), stem, **options)
               ) == f"{stem}_deploy.prototxt"
    return read_net(f"{stem}_deploy.prototxt").layer[0]


def transform(text, mean=None):
    return Transform(parse_text(text, TransformationParameter), mean)


def test_the_deploy_file_is_the_deployed_net(tmp_path):
    net = parse_text(INPUT % "" + BODY + LOSS % "", NetParameter, "net")
    write_deploy(net, str(tmp_path / "mine"), classes=("cat", "maine\ncoon"))
    assert read_net(tmp_path / "mine_deploy.prototxt") == deploy_net(net)
    assert (tmp_path / "mine_labels.txt").read_text() == "cat\nmaine coon\n"


def test_without_names_no_labels_of_an_earlier_net_stay(tmp_path):
    written(tmp_path, INPUT % "" + BODY, classes=("a",))
    written(tmp_path, INPUT % "" + BODY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine_deploy.prototxt"]


def test_a_mean_picture_is_a_file_beside_the_net(tmp_path):
    mean = numpy.arange(48, dtype="float32").reshape(3, 4, 4)
    layer = written(tmp_path, INPUT % "" + BODY + LOSS % "", shape=(3, 4, 4), transform=transform(
        'subtract_mean: "image" scale: 0.25 mirror: true pad: 1 crop_size: 4', mean))
    assert layer.transform_param == TransformationParameter(
        scale=0.25, crop_size=4, mean_file="mine_mean.binaryproto")
    stored = read_blob(tmp_path / "mine_mean.binaryproto")
    assert stored.shape == (1, 3, 4, 4) and (stored[0] == mean).all()


def test_means_of_channels_are_values_and_no_field_of_ours_is_left(tmp_path):
    layer = written(tmp_path, INPUT % "" + BODY, shape=(3, 4, 4), transform=transform(
        'subtract_mean: "channel" pad: 1 crop_size: 3', numpy.float32([1, 2, 3.5])))
    assert layer.transform_param == TransformationParameter(crop_size=3, mean_value=[1, 2, 3.5])
    assert max(field.number for field, _ in layer.transform_param.ListFields()) < 50000
    assert not list(tmp_path.glob("*mean*"))


def test_a_border_that_no_crop_cuts_off_stays(tmp_path):
    for text, side in (("pad: 1", 6), ("pad: 1 crop_size: 5", 5)):
        net = (INPUT % "").replace("dim: 4", f"dim: {side}") + BODY
        layer = written(tmp_path, net, shape=(3, 4, 4), transform=transform(text))
        assert layer.transform_param.pad == 1


def test_without_a_transform_that_of_the_net_holds(tmp_path):
    layer = written(tmp_path, INPUT % "transform_param { scale: 2 mirror: true }" + BODY)
    assert layer.transform_param == TransformationParameter(scale=2)
    layer = written(tmp_path, INPUT % "" + BODY)
    assert not layer.HasField("transform_param")


def fields(message):
    """The numbers by name of the fields of a message, and of the messages in it."""
    for field, value in message.ListFields():
        yield field.full_name, field.number
        if field.message_type:
            for part in value if hasattr(value, "add") else [value]:
                yield from fields(part)


@pytest.mark.parametrize("name", models.names())
def test_real_caffe_knows_every_field_of_what_is_written_for_the_models(name, tmp_path):
    net = models.load(name).net()
    data = net.layer[0]
    mean = numpy.zeros(data.input_param.shape[0].dim[1], "float32")
    path = write_deploy(net, str(tmp_path / name), shape=data.input_param.shape[0].dim[1:],
                        transform=Transform(data.transform_param, mean))
    numbers = dict(fields(read_net(path)))
    assert "caffe.LayerParameter.type" in numbers and max(numbers.values()) < 50001
    if name == "resnet20":  # its pools round down, and the field of a fork does not say so
        assert "caffe.PoolingParameter.round_mode" in numbers
