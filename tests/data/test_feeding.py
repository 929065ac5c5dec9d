"""Feeding: data takes the place of a net's data layers, with their own transforms."""

import logging

import numpy
import pytest

from minicaffe import TEST, TRAIN
from minicaffe.data import Batches, Dataset
from minicaffe.data.feeding import Feeder, as_inputs, by_name, input_tops
from minicaffe.data.transform import Transform
from minicaffe.errors import ParameterError, ShapeError
from minicaffe.net.description import filter_net
from minicaffe.proto import NetParameter, NetState, TransformationParameter
from minicaffe.proto.text import parse_text
from minicaffe.proto.upgrade import read_net

X = numpy.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=numpy.uint8)
Y = numpy.arange(20)


def net_of(text, phase=TRAIN):
    return filter_net(read_net(parse_text(text, NetParameter)), NetState(phase=phase))


def data_layer(kind="Data", rest="data_param { batch_size: 7 }"):
    return net_of(f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {rest} }}'
                  'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }')


def fed(net, data=(X, Y), phase=TRAIN):
    return Feeder(data, data).feed(net, phase)


def shapes(layer):
    return [list(shape.dim) for shape in layer.input_param.shape]


@pytest.mark.parametrize("kind, rest", [
    ("Data", 'data_param { source: "nowhere_lmdb" backend: LMDB batch_size: 7 }'),
    ("ImageData", 'image_data_param { source: "list.txt" batch_size: 7 new_height: 99 }'),
    ("HDF5Data", "hdf5_data_param { batch_size: 7 }"),
    ("MemoryData", "memory_data_param { batch_size: 7 channels: 1 height: 1 width: 1 }"),
    ("WindowData", "window_data_param { batch_size: 7 }"),
    ("AnnotatedData", "data_param { batch_size: 7 }"),
    ("Python", """python_param { module: "voc" layer: "VOC" param_str: "{'batch_size': 7}" }"""),
    ("Python", """python_param { param_str: '{"split": "train", "batch_size": 7}' }"""),
    ("DummyData", "dummy_data_param { shape { dim: 7 dim: 1 } }"),
])
def test_a_data_layer_becomes_an_input_of_its_batch_size(kind, rest):
    net, source = fed(data_layer(kind, rest), {"label": Y, "data": X})
    layer = net.layer[0]
    assert (layer.type, layer.name, list(layer.top)) == ("Input", "d", ["data", "label"])
    assert shapes(layer) == [[7, 3, 8, 8], [7]]
    assert net.layer[1].type == "InnerProduct"
    assert {field.name for field, _ in layer.ListFields()} == {"name", "type", "top", "input_param"}
    assert source.shuffle and list(source.arrays) == ["label", "data"]


def test_rules_and_transform_stay_and_the_shape_is_the_transformed_one():
    text = """layer { name: "d" type: "Data" top: "data" top: "label" include { phase: %s }
                transform_param { crop_size: 5 mirror: true %s } data_param { batch_size: %d } }"""
    both = parse_text(text % ("TRAIN", "scale: 0.5", 7) + text % ("TEST", "", 9), NetParameter)
    for phase, size, scale in ((TRAIN, 7, 0.5), (TEST, 9, 1)):
        net, source = fed(filter_net(both, NetState(phase=phase)), phase=phase)
        layer, = net.layer
        assert shapes(layer) == [[size, 3, 5, 5], [size]]
        assert layer.include[0].phase == phase and layer.transform_param.crop_size == 5
        assert list(source.transforms) == ["data"]  # the label stays as it is
        assert source.transforms["data"].param.scale == scale
        assert source.shuffle == (phase == TRAIN)


def test_nets_of_the_oldest_formats_are_fed_too():
    net = net_of("""layers { name: "d" type: DATA top: "data" top: "label"
                      data_param { batch_size: 7 scale: 0.5 crop_size: 5 } }""")
    net, source = fed(net)
    assert shapes(net.layer[0]) == [[7, 3, 5, 5], [7]]
    assert source.transforms["data"].param.scale == 0.5


INPUTS = """layer { name: "i" type: "Input" top: "%s" top: "%s" %s
  input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } } }"""


def test_inputs_keep_their_shape_and_may_be_transformed():
    net = net_of(INPUTS % ("data", "label", "transform_param { scale: 0.25 }"))
    result, source = fed(net)
    assert result == net
    assert list(source.transforms) == ["data"]
    assert fed(net_of(INPUTS % ("data", "label", "transform_param { }")))[1].transforms == {}


def test_a_tuple_goes_in_the_order_of_the_layers():
    net = net_of(INPUTS % ("a", "b", "")
                 + """layer { name: "noise" type: "DummyData" top: "noise" }
                      layer { name: "w" type: "Parameter" top: "w" }
                      layer { name: "d" type: "HDF5Data" top: "c" hdf5_data_param
                              { batch_size: 4 } } layer { name: "r" type: "ReLU" bottom: "a" }""")
    assert input_tops(net) == ["a", "b", "c"]
    assert by_name(net, (1, 2, 3)) == {"a": 1, "b": 2, "c": 3}
    assert [layer.type for layer in as_inputs(net, {"c": (2,)}).layer] == [
        "Input", "DummyData", "Parameter", "Input", "ReLU"]


def test_data_layers_that_nothing_is_fed_to_stay():
    net = net_of(INPUTS % ("a", "b", "") + """
        layer { name: "d" type: "Data" top: "c" data_param { batch_size: 4 } }""")
    assert fed(net, {"a": X, "b": Y})[0] == net
    assert fed(net, None) == (net, None)


def test_ready_batches_are_used_as_they_are():
    plain = Batches({"data": X, "label": Y})
    net, source = fed(data_layer(), plain)
    assert source is plain and shapes(net.layer[0]) == [[7, 3, 8, 8], [7]]
    halved = Transform(TransformationParameter(scale=0.5, crop_size=4))
    own = Batches({"data": X, "label": Y}, batch_size=6, transforms={"data": halved})
    asking = data_layer(rest="transform_param { scale: 0.25 }")
    net, source = fed(asking, own)
    assert source is own and shapes(net.layer[0]) == [[6, 3, 4, 4], [6]]
    with pytest.raises(ParameterError, match="data: expected Batches with a transform for 'data', "
                       "as Data 'd' asks for one, got none. Hint: give the arrays themselves, or "):
        fed(asking, plain)


DATASET = Dataset(X, Y, X[:6] // 2, Y[:6])


@pytest.mark.parametrize("tops", [("data", "label"), ("label", "data"), ("a", "b")])
def test_each_net_takes_its_part_of_a_data_set(tops):
    first, second = tops
    net = net_of(f'layer {{ name: "d" type: "Data" top: "{first}" top: "{second}" '
                 'data_param { batch_size: 7 } }')
    feeder = Feeder(DATASET)
    x, y = ("a", "b") if "a" in tops else ("data", "label")
    for phase, samples, labels in ((TRAIN, X, Y), (TEST, X[:6] // 2, Y[:6])):
        source = feeder.feed(net, phase)[1]
        assert (source.arrays[x] == samples).all() and (source.arrays[y] == labels).all()
        assert source.shuffle == (phase == TRAIN)


def test_a_data_set_may_be_tested_on_other_data_and_a_net_may_take_no_labels():
    feeder = Feeder(DATASET, (X[:3], Y[:3]))
    assert feeder.feed(data_layer(), TEST)[1].length == 3
    assert Feeder((X, Y), DATASET).feed(data_layer(), TEST)[1].length == 6
    one = net_of('layer { name: "d" type: "Data" top: "pixels" data_param { batch_size: 7 } }')
    assert (Feeder(DATASET).feed(one, TRAIN)[1].arrays["pixels"] == X).all()
    three = net_of(INPUTS % ("a", "b", "") + 'layer { type: "Input" top: "c" }')
    with pytest.raises(ParameterError, match="one or two inputs, .*, got a, b, c"):
        Feeder(DATASET).feed(three, TRAIN)


class Stream:
    """A source of one's own, without arrays."""

    def batches(self, net):
        return 1

    def fill(self, net, tick):
        return 1


def test_another_source_feeds_inputs():
    stream, net = Stream(), net_of(INPUTS % ("data", "label", ""))
    assert fed(net, stream) == (net, stream)


@pytest.mark.parametrize("kind, expected", [
    ("image", X.mean(axis=0)), ("channel", X.mean(axis=(0, 2, 3)))])
def test_the_mean_of_the_training_part_is_subtracted_in_both_phases(kind, expected):
    rest = f"transform_param {{ subtract_mean: '{kind}' }} data_param {{ batch_size: 7 }}"
    feeder = Feeder((X, Y), (X[:5] // 2, Y[:5]))
    for phase in (TRAIN, TEST):
        _, source = feeder.feed(data_layer(rest=rest), phase)
        numpy.testing.assert_allclose(source.transforms["data"].mean, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["image", "channel"])
def test_lists_have_a_mean_too(kind):
    rest = f"transform_param {{ subtract_mean: '{kind}' }} data_param {{ batch_size: 7 }}"
    means = [fed(data_layer(rest=rest), data)[1].transforms["data"].mean
             for data in ((X, Y), (X.tolist(), list(Y)), (list(X), Y))]
    assert all((mean == means[0]).all() for mean in means)
    with pytest.raises(ParameterError, match="data: expected one sample or more in every array"):
        fed(data_layer(rest=rest), (X[:0], Y[:0]))


def test_without_data_to_train_on_there_is_no_mean_of_it():
    rest = "transform_param { subtract_mean: 'image' } data_param { batch_size: 7 }"
    with pytest.raises(ParameterError, match="Data 'd': the mean: expected data to train on for "
                                             "'data', whose mean is to be subtracted, got none"):
        Feeder(None, (X, Y)).feed(data_layer(rest=rest), TEST)


def test_a_missing_mean_file_gives_its_place_to_the_mean_of_the_data_and_says_so_once(caplog):
    rest = "transform_param { mean_file: 'no.binaryproto' } data_param { batch_size: 7 }"
    feeder = Feeder((X, Y), (X[:5], Y[:5]))
    with caplog.at_level(logging.WARNING, "minicaffe"):
        for phase in (TRAIN, TEST):
            _, source = feeder.feed(data_layer(rest=rest), phase)
            assert source.transforms["data"].mean.shape == (3, 8, 8)
    assert [record.getMessage() for record in caplog.records] == [
        "Data 'd': there is no mean_file 'no.binaryproto'; the mean image of the training data "
        "takes its place"]


@pytest.mark.parametrize("data, message", [
    ((X,), r"data: expected a tuple with an array for each input of \['data', 'label'\], got 1"),
    (X, r"expected a tuple with an array for each input of \['data', 'label'\], got ndarray"),
    ({"data": X, "lable": Y}, r"expected an array for each input of \['data', 'label'\], got "
     r"\['data', 'lable'\]. Hint: did you mean 'label'\?"),
    ({"data": X, "label": Y, "ip": Y}, r"each input of \['data', 'label'\], got .*'ip'"),
    ({}, r"expected an array for each input of \['data', 'label'\], got \[\]"),
    ((X, 5), "data 'label': expected an array of numbers, a row for each sample, got 5"),
    ({"data": X}, "data: expected an array for each top of Data 'd', whose place it takes: data, "
     "label, got none for label"),
])
def test_data_that_does_not_fit_the_layers_is_told(data, message):
    with pytest.raises(ParameterError, match=message):
        fed(data_layer(), data)


def test_every_input_must_be_fed():
    for net in (INPUTS % ("data", "label", ""), INPUTS % ("data", "label", "") + """
            layer { name: "d" type: "Data" top: "more" data_param { batch_size: 4 } }"""):
        with pytest.raises(ParameterError, match=r"an array for each input of .*, got \['data'\]"):
            fed(net_of(net), {"data": X})


@pytest.mark.parametrize("rest, error, message", [
    ("", ParameterError, "Data 'd': expected a batch_size, as data takes its place, got none"),
    ("data_param { batch_size: 7 } transform_param { crop_size: 9 }", ShapeError,
     "Data 'd': crop_size: expected at most 8"),
    ("data_param { batch_size: 7 } transform_param { mean_value: 1 mean_file: 'a' }",
     ParameterError, "Data 'd': expected one of .*, got mean_file and mean_value"),
    ("data_param { batch_size: 7 } transform_param { subtract_mean: 'immage' }", ParameterError,
     "Data 'd': subtract_mean: expected 'image' or 'channel', got 'immage'. Hint: did you mean"),
])
def test_mistakes_of_the_layer_name_it(rest, error, message):
    with pytest.raises(error, match=message):
        fed(data_layer(rest=rest))
