"""NetSpec writes the nets that pycaffe's writes."""

import copy

import numpy as np
import pytest

from minicaffe import Layer
from minicaffe import layer as layer_module
from minicaffe import layers as L
from minicaffe.errors import ParameterError
from minicaffe.proto import FillerParameter, LayerParameter, NetParameter
from minicaffe.proto.text import parse_text, to_text
from minicaffe.spec import (
    Function,
    NetSpec,
    Top,
    assign_proto,
    layer_function,
    param_name_dict,
    to_proto,
)
from minicaffe.spec import params as P


def layer(text):
    return parse_text(text, LayerParameter)


def made(top):
    return to_proto(top).layer[-1]


@pytest.fixture
def data():
    return L.Input(shape=dict(dim=[1, 3, 8, 8]))


def test_a_net_has_the_names_and_the_order_of_its_assignments():
    n = NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[2, 1]), dict(dim=2)], ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=3, weight_filler=dict(type="xavier"))
    n.relu = L.ReLU(n.ip, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu, n.label)
    n.quiet = L.Silence(n.label, ntop=0)
    assert list(n.to_proto().layer) == [layer(text) for text in (
        """name: "data" type: "DummyData" top: "data" top: "label"
           dummy_data_param { shape { dim: 2 dim: 1 } shape { dim: 2 } }""",
        """name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
           inner_product_param { num_output: 3 weight_filler { type: "xavier" } }""",
        """name: "relu" type: "ReLU" bottom: "ip" top: "ip" """,
        """name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" """,
        """name: "quiet" type: "Silence" bottom: "label" """,
    )]


def test_layers_that_are_not_assigned_get_numbers_and_stand_before_what_needs_them(data):
    n = NetSpec()
    n.sum = L.Eltwise(L.ReLU(L.ReLU(data)), L.Sigmoid(data))
    n.data = data
    assert [(la.name, list(la.bottom)) for la in n.to_proto().layer] == [
        ("data", []), ("ReLU1", ["data"]), ("ReLU2", ["ReLU1"]), ("Sigmoid1", ["data"]),
        ("sum", ["ReLU2", "Sigmoid1"]),
    ]


def test_a_net_without_a_spec_takes_its_names_from_the_types():
    data, label = L.DummyData(ntop=2)
    relu = L.ReLU(L.InnerProduct(data), in_place=True)
    net = L.SoftmaxWithLoss(relu, label).to_proto()
    assert isinstance(net, NetParameter)
    assert [(la.name, list(la.top)) for la in net.layer] == [
        ("DummyData1", ["DummyData1", "DummyData2"]), ("InnerProduct1", ["InnerProduct1"]),
        ("ReLU1", ["InnerProduct1"]), ("SoftmaxWithLoss1", ["SoftmaxWithLoss1"]),
    ]
    names = [la.name for la in to_proto(data, relu).layer]
    assert names == ["DummyData1", "InnerProduct1", "ReLU1"]


def test_a_net_can_be_made_again_and_after_a_change(data):
    n = NetSpec()
    n.ip = L.InnerProduct(data, num_output=3)
    assert n.to_proto() == n.to_proto()
    n.ip.fn.params["num_output"] = 4
    assert n.to_proto().layer[1].inner_product_param.num_output == 4


def test_a_chain_of_any_length_can_be_made(data):
    top = data
    for _ in range(3000):
        top = L.ReLU(top)
    assert len(top.to_proto().layer) == 3001


def test_arguments_go_to_the_messages_of_the_type(data):
    got = made(L.Convolution(
        data, name="c", num_output=4, kernel_size=[3, 5], pad=(1, 2), stride=np.int64(2),
        weight_filler=FillerParameter(std=2), bias_filler=dict(value=0.5), engine="IM2COL",
        param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)], include=dict(phase=1),
        propagate_down=True, loss_weight=np.float32(0.5)))
    assert got == layer("""name: "c" type: "Convolution" bottom: "Input1" top: "Convolution1"
        convolution_param { num_output: 4 kernel_size: 3 kernel_size: 5 pad: 1 pad: 2 stride: 2
          weight_filler { std: 2 } bias_filler { value: 0.5 } engine: IM2COL }
        param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } include { phase: TEST }
        propagate_down: true loss_weight: 0.5""")


@pytest.mark.parametrize(
    "kind, given, field, expected",
    [
        ("Deconvolution", dict(num_output=2), "convolution_param", "num_output: 2"),
        ("Deconvolution", dict(convolution_param=dict(num_output=2)), "convolution_param",
         "num_output: 2"),
        ("LSTM", dict(num_output=2), "recurrent_param", "num_output: 2"),
        ("SoftmaxWithLoss", dict(axis=2), "softmax_param", "axis: 2"),
        ("SoftmaxWithLoss", dict(normalization=P.Loss.NONE), "loss_param", "normalization: NONE"),
        ("SoftmaxWithLoss", dict(loss_param=dict(ignore_label=3)), "loss_param",
         "ignore_label: 3"),
        ("EuclideanLoss", dict(normalize=True), "loss_param", "normalize: true"),
        ("Data", dict(source="d", backend=P.Data.LMDB), "data_param",
         'source: "d"\nbackend: LMDB'),
        ("Data", dict(mean_value=[1, 2]), "transform_param", "mean_value: 1.0\nmean_value: 2.0"),
        ("Pooling", dict(pool=P.Pooling.AVE), "pooling_param", "pool: AVE"),
        ("Python", dict(module="m", layer="L", param_str="{}"), "python_param",
         'module: "m"\nlayer: "L"\nparam_str: "{}"'),
        ("Slice", dict(slice_point=np.array([1, 2])), "slice_param",
         "slice_point: 1\nslice_point: 2"),
        ("ReLU", dict(relu_param=dict()), "relu_param", ""),
    ],
)
def test_each_type_knows_its_messages(kind, given, field, expected):
    got = made(layer_function(kind)(**given))
    assert got.HasField(field)
    assert to_text(getattr(got, field)).strip() == expected


def test_a_type_that_caffe_lacks_takes_the_fields_of_every_layer(data):
    got = made(L.MyLayer(data, name="m", loss_weight=1))
    assert (got.type, got.name, got.loss_weight) == ("MyLayer", "m", [1])
    with pytest.raises(ParameterError) as caught:
        L.MyLayer(data, strength=1)
    assert str(caught.value) == "MyLayer: unknown parameter 'strength'."


@pytest.mark.parametrize("given", [dict(num_output=3), dict(nmae="x")])
def test_a_misspelt_type_is_told_by_any_argument_that_it_lacks(data, given):
    with pytest.raises(ParameterError) as caught:
        L.Convolutoin(data, **given)
    key, = given
    assert str(caught.value) == (
        f"Convolutoin: unknown parameter '{key}'. Hint: did you mean 'Convolution'?"
    )


@pytest.mark.parametrize("known", ["Sofmtax", "Eltwise", "BNLL"])
def test_a_type_that_is_registered_or_caffes_is_not_taken_for_another(data, known, monkeypatch):
    monkeypatch.setitem(layer_module._types, "Sofmtax", Layer)
    with pytest.raises(ParameterError) as caught:
        layer_function(known)(data, strength=1)
    assert "did you mean" not in str(caught.value)


def test_layers_list_their_types_for_completion(monkeypatch):
    monkeypatch.setitem(layer_module._types, "MyLayer", Layer)
    assert {"Convolution", "ReLU", "MyLayer", "__doc__"} <= set(dir(L))


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(num_outputs=3),
         "InnerProduct: unknown parameter 'num_outputs'. Hint: did you mean 'num_output'?"),
        (dict(nmae="x"), "InnerProduct: unknown parameter 'nmae'. Hint: did you mean 'name'?"),
        (dict(name="ip", gadget=1),
         "InnerProduct 'ip': unknown parameter 'gadget'. Hint: InnerProduct has num_output, "
         "bias_term, weight_filler, bias_filler, axis, transpose"),
        (dict(reluparam={}),
         "InnerProduct: unknown parameter 'reluparam'. Hint: did you mean 'relu_param'?"),
        (dict(weight_filler=dict(tpye="x")),
         "InnerProduct weight_filler: unknown parameter 'tpye'. Hint: did you mean 'type'?"),
        (dict(weight_filler="xavier"),
         "InnerProduct weight_filler: expected a dict, got 'xavier'."),
        (dict(num_output="3"),
         "InnerProduct: expected an unsigned 32-bit integer for 'num_output', got '3'."),
        (dict(num_output=-3),
         "InnerProduct: expected an unsigned 32-bit integer for 'num_output', got -3."),
        (dict(axis=1.5), "InnerProduct: expected a 32-bit integer for 'axis', got 1.5."),
        (dict(loss_weight=["a"]), "InnerProduct: expected a number for 'loss_weight', got 'a'."),
        (dict(phase="TRIAN"),
         "InnerProduct: expected one of TRAIN, TEST for 'phase', got 'TRIAN'."),
        (dict(phase=2), "InnerProduct: expected one of TRAIN, TEST for 'phase', got 2."),
        (dict(param=[3]), "InnerProduct param: expected a dict, got 3."),
    ],
)
def test_wrong_arguments_are_named_where_they_are_given(data, given, message):
    with pytest.raises(ParameterError) as caught:
        L.InnerProduct(data, **given)
    assert str(caught.value) == message


def test_bottoms_must_be_tops():
    tops = L.DummyData(ntop=2)
    with pytest.raises(TypeError) as caught:
        L.Silence(tops, ntop=0)
    assert str(caught.value) == "Silence input 0 is not a Top (type is <class 'tuple'>)"
    assert isinstance(L.Silence(*tops, ntop=0), Function)


def test_a_spec_is_a_dictionary_of_tops_too(data):
    n = NetSpec()
    n["conv/1"] = L.ReLU(data)
    n.data = data
    assert n["conv/1"] is n.tops["conv/1"]
    assert isinstance(n.data, Top) and n.data is data
    assert list(n.tops) == ["conv/1", "data"]
    assert [la.name for la in n.to_proto().layer] == ["data", "conv/1"]
    assert list(copy.copy(n).tops) == ["conv/1", "data"]
    with pytest.raises(AttributeError, match="the net has no top 'gadget'"):
        _ = n.gadget
    with pytest.raises(KeyError):
        n["gadget"]


def test_only_single_tops_can_be_assigned():
    n = NetSpec()
    with pytest.raises(ParameterError) as caught:
        n.data = L.DummyData(ntop=2)
    assert str(caught.value) == (
        "NetSpec 'data': expected the top of a layer, got 2 of them. "
        "Hint: n.data, n.label = L.Data(..., ntop=2)"
    )
    with pytest.raises(ParameterError, match="NetSpec 'x': expected the top of a layer, got 3."):
        n.x = 3


def test_layers_and_params_have_no_made_up_attributes():
    assert not hasattr(L, "__wrapped__")
    assert L.Convolution.__name__ == "Convolution"
    with pytest.raises(AttributeError, match="no layer type 'Poolng' with parameters"):
        _ = P.Poolng
    with pytest.raises(AttributeError):
        _ = P.Pooling.MEDIAN


def test_pycaffes_helpers_are_there():
    assert param_name_dict()["InnerProduct"] == "inner_product"
    filler = FillerParameter()
    assign_proto(filler, "variance_norm", "AVERAGE")
    assert filler.variance_norm == FillerParameter.AVERAGE
    with pytest.raises(ParameterError) as caught:
        assign_proto(filler, "sdt", 1)
    assert str(caught.value) == (
        "FillerParameter: unknown parameter 'sdt'. Hint: did you mean 'std'?")
