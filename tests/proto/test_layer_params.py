"""Parameters given beside a layer's class: in text, in Python, in binary files and in errors."""

import importlib
import sys

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe import layers as L
from minicaffe import params as P
from minicaffe.errors import ParameterError, ParseError
from minicaffe.layer import Layer
from minicaffe.proto import FillerParameter, LayerParameter, NetParameter
from minicaffe.proto.layer_params import field_name, param_messages
from minicaffe.proto.text import parse_text, to_text

FIELDS = {"exponent": 3.0, "sign": True, "count": int, "label": "none", "weights": [float],
          "filler": FillerParameter, "fillers": [FillerParameter], "kind": ("SOFT", "HARD"),
          "limit": float}


class RaiseOfTests(Layer):
    """``y = x ^ exponent``.  Bottom: x, any shape.  Top: y, the same."""

    param_fields = FIELDS
    bottoms = tops = 1

    def setup(self, bottom, top):
        self.exponent = self.param.raise_of_tests_param.exponent

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data ** self.exponent


TEXT = """layer { name: "r" type: "RaiseOfTests" bottom: "x" top: "r"
  raise_of_tests_param { exponent: 2 weights: [1, 2] kind: HARD filler { value: 7 } } }"""
INPUT = 'input: "x" input_shape { dim: 2 } '


def cubed(net):
    return net.forward(x=[2, 3])["r"].tolist()


def test_text_gives_them_and_the_layer_reads_them():
    net = caffe.Net(parse_text(INPUT + TEXT, NetParameter), caffe.TEST)
    assert cubed(net) == [4, 9]
    param = net.layers[-1].param.raise_of_tests_param
    assert (list(param.weights), param.kind, param.filler.value) == ([1, 2], 1, 7)
    assert param.sign is True and param.label == "none" and param.limit == 0
    assert not param.HasField("limit") and not param.HasField("count")


def test_without_them_the_defaults_hold():
    text = INPUT + 'layer { name: "r" type: "RaiseOfTests" bottom: "x" top: "r" }'
    assert cubed(caffe.Net(parse_text(text, NetParameter), caffe.TEST)) == [8, 27]


def test_python_gives_them():
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[2]))
    n.r = L.RaiseOfTests(n.x, exponent=4, kind="HARD", weights=[1], filler=dict(value=2),
                         fillers=[dict(min=1)], count=2 ** 40, name="r")
    assert cubed(caffe.Net(n, caffe.TEST)) == [16, 81]
    param = n.to_proto().layer[1].raise_of_tests_param
    assert param.kind == P.RaiseOfTests.HARD == 1 and param.count == 2 ** 40
    n.r = L.RaiseOfTests(n.x, raise_of_tests_param=dict(exponent=1))
    assert n.to_proto().layer[1].raise_of_tests_param.exponent == 1


def test_they_are_written_as_they_are_read():
    net = parse_text(TEXT, NetParameter)
    text = to_text(net)
    assert "\n  raise_of_tests_param {\n" in text
    assert parse_text(text, NetParameter) == net
    assert "[caffe.own.raise_of_tests_param] {" in str(net)  # what protobuf itself writes
    assert parse_text(str(net), NetParameter) == net
    assert NetParameter.FromString(net.SerializeToString()) == net


def test_a_caffemodel_holds_them(tmp_path):
    caffe.Net(parse_text(INPUT + TEXT, NetParameter), caffe.TEST).save(tmp_path / "n.caffemodel")
    net = NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    assert net.layer[1].raise_of_tests_param.exponent == 2


@pytest.mark.parametrize("text, told", [
    ("[caffe.raise_of_tests_param { }", "expected ']', got '{'."),
    ("[caffe.own.gadget_param] { a: 1 }", "LayerParameter has no field 'gadget_param'. Hint: "
     "Caffe refuses it as well; leave it out if it changes nothing."),
    ("[raise_of_tests_param] { }", "expected the name of a field, got '['."),
    ("raise_of_tests_param { exponnet: 2 }", "RaiseOfTestsParameter has no field 'exponnet'. "
     "Hint: did you mean 'exponent'?"),
    ("raise_of_test_param { }", "LayerParameter has no field 'raise_of_test_param'. "
     "Hint: did you mean 'raise_of_tests_param'?"),
    ("exponent: 2", "LayerParameter has no field 'exponent'. Hint: it belongs in "
     "raise_of_tests_param { }"),
    ("raise_of_tests_param { kind: HRAD }", "expected one of SOFT, HARD for 'kind', got 'HRAD'. "
     "Hint: did you mean 'HARD'?")])
def test_errors_in_text_know_them(text, told):
    kind = "ReLU" if "gadget" in text else "RaiseOfTests"
    with pytest.raises(ParseError) as caught:
        parse_text(f'type: "{kind}" {text}', LayerParameter)
    assert str(caught.value).endswith(told)


def test_errors_in_python_know_them():
    with pytest.raises(ParameterError) as caught:
        L.RaiseOfTests(exponnet=3)
    assert str(caught.value) == (
        "RaiseOfTests: unknown parameter 'exponnet'. Hint: did you mean 'exponent'?")
    with pytest.raises(ParameterError, match="expected one of SOFT, HARD for 'kind', got 'x'"):
        L.RaiseOfTests(kind="x")


def test_a_class_derived_from_it_takes_them_too():
    class RaiseMoreOfTests(RaiseOfTests):
        param_fields = {"more": 1}

    class MyConvolutionOfTests(caffe.layer._types["Convolution"]):
        pass

    assert param_messages("RaiseMoreOfTests") == ("raise_more_of_tests_param",
                                                  "raise_of_tests_param")
    layer = L.RaiseMoreOfTests(exponent=5, more=2).to_proto().layer[0]
    assert (layer.raise_of_tests_param.exponent, layer.raise_more_of_tests_param.more) == (5, 2)
    assert L.MyConvolutionOfTests(num_output=2).to_proto().layer[0].convolution_param.num_output


def test_a_class_may_be_defined_again():
    def define(fields):
        return type("AgainOfTests", (Layer,), {"param_fields": fields, "__module__": __name__})

    def read(text):
        text = f'type: "AgainOfTests" again_of_tests_param {{ {text} }}'
        return parse_text(text, LayerParameter).again_of_tests_param

    for _ in range(2):
        define({"a": 1})
    old = parse_text("again_of_tests_param { a: 5 }", LayerParameter)
    define({"a": 2.0, "b": 3})
    assert (read("b: 4").a, read("").b, read("a: 0.5").a) == (2, 3, 0.5)
    assert old.again_of_tests_param.a == 2  # of the earlier class: not given in this one
    define({"a": 1})
    assert read("").a == 1


@pytest.mark.parametrize("fields, told", [
    ({"a": None}, "a default, a type, a list of one type or a tuple of names for 'a', got None"),
    ({"a": []}, r"a default, .* for 'a', got \[\]"), ({"a": [3]}, r"a default, .*, got \[3\]"),
    ({"a": object}, "a default, .* for 'a', got <class 'object'>"),
    ({"name": 1}, "names that no layer has otherwise, .*, got 'name'"),
    ({"in_place": True}, "got 'in_place'"), ({"a b": 1}, "got 'a b'"),
    ({"my_param": 1}, "got 'my_param'")])
def test_fields_of_another_form_are_refused_where_they_are_written(fields, told):
    with pytest.raises(ParameterError, match=f"^WrongOfTests: param_fields: expected .*{told}"):
        type("WrongOfTests", (Layer,), {"param_fields": fields})


def test_a_type_of_the_schema_has_its_parameters_there():
    with pytest.raises(ParameterError) as caught:
        type("HingeLoss", (Layer,), {"param_fields": {"a": 1}})
    assert str(caught.value) == ("HingeLoss: param_fields: expected none, as the schema has "
                                 "hinge_loss_param, got some.")


def test_a_module_may_be_imported_after_nets_were_read(tmp_path, monkeypatch):
    text = INPUT + TEXT.replace("RaiseOfTests", "LateOfTests").replace("raise_of", "late_of")
    early = parse_text(text, NetParameter)
    assert len(early.layer[0].ListFields()) == 4  # what nobody knows is skipped with a warning
    (tmp_path / "late_of_tests.py").write_text("""
from proto_test import RaiseOfTests


class LateOfTests(RaiseOfTests):
    param_fields = RaiseOfTests.param_fields

    def setup(self, bottom, top):
        self.exponent = self.param.late_of_tests_param.exponent
""")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "proto_test", sys.modules[__name__])
    importlib.import_module("late_of_tests")
    assert cubed(caffe.Net(parse_text(text, NetParameter), caffe.TEST)) == [4, 9]


@pytest.mark.parametrize("name, field", [
    ("MyLayer", "my_layer_param"), ("ReLU6", "relu6_param"), ("Cube", "cube_param"),
    ("ROIPooling", "roi_pooling_param"), ("LSTMUnit", "lstm_unit_param"), ("BN", "bn_param"),
    ("Conv2D", "conv2d_param"), ("my_layer", "my_layer_param")])
def test_fields_are_called_as_caffe_calls_them(name, field):
    assert field_name(name) == field


def test_arrays_may_be_given():
    layer = L.RaiseOfTests(weights=np.arange(3)).to_proto().layer[0]
    assert list(layer.raise_of_tests_param.weights) == [0, 1, 2]
