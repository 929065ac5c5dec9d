"""help(L.Convolution) and inspect.signature tell what a layer takes."""

import inspect
import pydoc

import pytest

from minicaffe import layers as L
from minicaffe.layer import Layer, layer_type_list
from minicaffe.proto import MESSAGES
from minicaffe.proto.layer_params import param_messages


def parameters(function):
    return inspect.signature(function).parameters


def test_parameters_have_the_types_and_defaults_of_the_schema():
    takes = parameters(L.Convolution)
    assert takes["bottoms"].kind is inspect.Parameter.VAR_POSITIONAL
    told = {name: (takes[name].annotation, takes[name].default) for name in (
        "num_output", "bias_term", "kernel_size", "pad_h", "group", "weight_filler", "engine",
        "name", "ntop", "in_place", "param")}
    assert told == {
        "num_output": (int, None), "bias_term": (bool, True), "pad_h": (int, 0), "group": (int, 1),
        "kernel_size": (int | list[int], None), "weight_filler": (dict, None),
        "engine": (str, "DEFAULT"), "name": (str, None), "ntop": (int, 1),
        "in_place": (bool, False), "param": (dict | list[dict], None)}
    assert parameters(L.LRN)["beta"].default == 0.75
    assert parameters(L.BatchNorm)["eps"].default == 1e-5
    assert parameters(L.Pooling)["pool"].default == "MAX"


def test_help_has_the_docstring_of_the_class_and_each_parameter():
    text = pydoc.render_doc(L.Pooling, renderer=pydoc.plaintext)
    assert "largest element" in text and "Bottom: x (N, C, H, W)." in text
    assert "    pool: MAX or AVE or STOCHASTIC (default: MAX)\n" in text
    assert "    kernel_size: int\n" in text and "Pooling(*bottoms, pool: str = 'MAX'" in text
    text = pydoc.render_doc(L.InnerProduct, renderer=pydoc.plaintext)
    assert "weight_filler: a dict of type, value, min, max, mean, std, sparse, " in text
    assert "slice_point: int, or a list of them\n" in L.Slice.__doc__
    assert "Parameters: none." in L.AbsVal.__doc__


@pytest.mark.parametrize("name", layer_type_list())
def test_every_type_tells_all_that_it_takes(name):
    takes = parameters(getattr(L, name))
    fields = MESSAGES["LayerParameter"].DESCRIPTOR.fields_by_name
    for message in param_messages(name):
        if message in fields:
            assert set(takes) >= set(fields[message].message_type.fields_by_name)
    assert {"name", "param", "loss_weight", "include", "exclude"} <= takes.keys()


def test_what_is_told_may_be_given():
    given = {name: one.default for name, one in parameters(L.Convolution).items()
             if one.default is not inspect.Parameter.empty}
    layer = L.Convolution(**given).to_proto().layer[0]
    assert not layer.convolution_param.HasField("num_output")
    assert layer.convolution_param.bias_term is True


def test_types_without_a_class_are_told_by_their_messages():
    assert L.NeverDefined.__doc__ == (
        "A layer of type NeverDefined, for which there is no class.\n\nParameters: none.")
    assert parameters(L.HingeLoss)["norm"].default == "L1"


def test_parameters_beside_a_class_are_told_too():
    def define(default):
        return type("SignatureOfTests", (Layer,), {
            "param_fields": {"speed": default, "mode": ("A", "B")}, "__doc__": "It is fast."})

    define(2.5)
    assert parameters(L.SignatureOfTests)["speed"].default == 2.5
    assert L.SignatureOfTests.__doc__ == (
        "It is fast.\n\nParameters (None: not given):\n    speed: float (default: 2.5)\n"
        "    mode: A or B (default: A)")
    define(3.5)
    assert parameters(L.SignatureOfTests)["speed"].default == 3.5
