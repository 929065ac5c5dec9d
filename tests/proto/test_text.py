"""Prototxt is read as Caffe reads it; what is wrong in it is named with file, line and column."""

import logging
import math
import struct

import pytest
from google.protobuf import text_format

from minicaffe.errors import FileFormatError, MinicaffeError, ParseError
from minicaffe.proto import (
    ConvolutionParameter,
    Datum,
    LayerParameter,
    NetParameter,
    PoolingParameter,
    SolverParameter,
    TransformationParameter,
    V1LayerParameter,
)
from minicaffe.proto.schema import MESSAGES
from minicaffe.proto.text import parse_text, read_text, to_text

SYNTAX = """\
name: "net" # a comment with { and "
layer{name:"c1" type : 'Convolution';top:"x",
  convolution_param: { num_output: 0x10 kernel_size: [3, 5] pad: [] engine: CUDNN
    weight_filler < type: "gauss" 'ian' std:1e-2 > bias_term: f } }
layer { name: "p\\n\\"\\101\\x42" loss_weight: [.5, 1., -2, 0.1f, inf]
  include { phase: 1 } include: { phase: TEST } propagate_down: true propagate_down: 0
  scale_param {} }
"""


def parsed(text, message=LayerParameter, **options):
    return parse_text(text, message, "n.prototxt", **options)


def error_of(text, message=LayerParameter, **options):
    with pytest.raises(ParseError) as caught:
        parsed(text, message, **options)
    return str(caught.value)


def test_all_of_the_syntax_is_read_as_protobuf_reads_it():
    assert parsed(SYNTAX, NetParameter) == text_format.Parse(SYNTAX, NetParameter())


def test_values_come_out_of_the_syntax():
    first, second = parsed(SYNTAX, NetParameter).layer
    assert first.type == "Convolution"
    convolution = first.convolution_param
    assert (convolution.num_output, list(convolution.kernel_size)) == (16, [3, 5])
    assert convolution.weight_filler.type == "gaussian"
    assert convolution.bias_term is False
    assert second.name == 'p\n"AB'
    assert list(second.loss_weight) == pytest.approx([0.5, 1, -2, 0.1, math.inf])
    assert [rule.phase for rule in second.include] == [1, 1]
    assert list(second.propagate_down) == [True, False]
    assert second.HasField("scale_param")


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t])
def test_windows_files_are_read_alike(change):
    assert parsed(change(SYNTAX), NetParameter) == parsed(SYNTAX, NetParameter)


def test_lists_of_messages_are_read():
    layer = parsed('param [{ lr_mult: 1 }, < lr_mult: 2 >]')
    assert [spec.lr_mult for spec in layer.param] == [1, 2]


def test_nan_negative_and_octal_numbers_are_read():
    assert math.isnan(parsed("loss_weight: -nan").loss_weight[0])
    assert parsed("crop_param { axis: -1 offset: 010 }").crop_param.axis == -1
    assert parsed("crop_param { offset: 010 }").crop_param.offset == [8]


def test_bytes_take_any_escape():
    datum = parsed(r'data: "\377\x00\u00e9" "\?"', Datum)
    assert datum.data == b"\xff\x00\xc3\xa9?"


def test_text_is_added_to_a_message_that_is_given():
    layer = LayerParameter(name="a")
    assert parsed('type: "ReLU"', layer) is layer
    assert (layer.name, layer.type) == ("a", "ReLU")


@pytest.mark.parametrize(
    "text, message",
    [
        ('name: "a" @', "n.prototxt:1:11: unexpected character '@'."),
        ('\n  name: "a', "n.prototxt:2:9: the string that starts here has no closing \"."),
        ("name: a", "n.prototxt:1:7: expected a string in quotes for 'name', got 'a'. "
                    'Hint: write "a"'),
        ('name "a"', "n.prototxt:1:6: expected ':' after 'name', got \"a\"."),
        ("name:", "n.prototxt:1:6: expected a string in quotes for 'name', got the end of the "
                  "file."),
        ("pooling_param: 3", "n.prototxt:1:16: expected '{' after 'pooling_param', got '3'."),
        ('name: "a"\nname: "b"', "n.prototxt:2:1: 'name' is given twice, first on line 1."),
        ("pooling_param { pool: MAXX }",
         "n.prototxt:1:23: expected one of MAX, AVE, STOCHASTIC for 'pool', got 'MAXX'. "
         "Hint: did you mean 'MAX'?"),
        ("pooling_param { pool: 7 }",
         "n.prototxt:1:23: expected one of MAX, AVE, STOCHASTIC for 'pool', got '7'."),
        ('pooling_param { pool: "MAX" }',
         "n.prototxt:1:23: expected one of MAX, AVE, STOCHASTIC for 'pool', got \"MAX\". "
         "Hint: PoolingParameter.PoolMethod is written without quotes"),
        ("pooling_param { stride: 2.0 }",
         "n.prototxt:1:25: expected an integer for 'stride', got '2.0'."),
        ("pooling_param { stride: 3x3 }",
         "n.prototxt:1:25: expected an integer for 'stride', got '3x3'."),
        ("pooling_param { stride: -1 }",
         "n.prototxt:1:25: expected 'stride' between 0 and 4294967295, got '-1'."),
        ("pooling_param { stride: [1] }",
         "n.prototxt:1:25: expected a single value for 'stride', got a list."),
        ("pooling_param { global_pooling: yes }",
         "n.prototxt:1:33: expected true or false for 'global_pooling', got 'yes'."),
        ('loss_weight: "1"', "n.prototxt:1:14: expected a number for 'loss_weight', got \"1\"."),
        ("loss_weight: [1 2]",
         "n.prototxt:1:17: expected ']' for the '[' opened on line 1, got '2'."),
        ("\nlrn_param {\n alpha: 1",
         "n.prototxt:3:10: expected '}' for the '{' opened on line 2, got the end of the file."),
        ('name: "a" }', "n.prototxt:1:11: expected the name of a field, got '}'. "
                        "Hint: one closing brace too many?"),
        ("clip_param { max: 1 }", "n.prototxt:1:12: ClipParameter needs 'min'."),
        ('name: "\udcff"', "n.prototxt:1:7: expected UTF-8 text for 'name', got \"\\xff\"."),
        (r'name: "\UFFFFFFFF"', "n.prototxt:1:7: expected escapes of characters that exist, "
                                r'got "\UFFFFFFFF".'),
    ],
)
def test_errors_name_the_place_and_the_cure(text, message):
    assert error_of(text) == message


OLD = ", or 'layers {' for 'layer {' in the whole file"
WHOLE = "write 'layer {' for 'layers {', with types in quotes, in the whole file"


@pytest.mark.parametrize(
    "given, hint",
    [
        ('"Softmax"', f"write type: SOFTMAX, or {WHOLE}"),
        ("'SoftmaxWithLoss'", f"write type: SOFTMAX_LOSS, or {WHOLE}"),
        ('"SOFTMAX_LOSS"', f"write type: SOFTMAX_LOSS, or {WHOLE}"),
        ('"BatchNorm"', f"old layers have no 'BatchNorm': {WHOLE}"),
        ("BatchNorm", f"old layers have no BatchNorm: {WHOLE}"),
        ("InnerProduct", "did you mean INNER_PRODUCT?"),
        ("relu", "did you mean RELU?"),
        ("CONVOLUTOIN", "did you mean CONVOLUTION?"),
        ("EuclideanLoss", "did you mean EUCLIDEAN_LOSS?"),
    ],
)
def test_a_type_that_old_layers_lack_is_told_with_what_it_is_called_there(given, hint):
    got = given if given[0] in "\"'" else f"'{given}'"
    assert error_of(f"layers {{ type: {given} }}", NetParameter) == (
        "n.prototxt:1:16: expected a type of old layers, without quotes, such as CONVOLUTION, got "
        f"{got}. Hint: {hint}")


@pytest.mark.parametrize(
    "given, hint",
    [
        ("CONVOLUTION", f'write "Convolution"{OLD}'),
        ("SOFTMAX_LOSS", f'write "SoftmaxWithLoss"{OLD}'),
        ("Convolution", 'write "Convolution"'),
        ("relu", 'write "ReLU"'),
        ("MyLayer", 'write "MyLayer"'),
    ],
)
def test_a_type_without_quotes_is_told_as_it_is_called_today(given, hint):
    assert error_of(f"type: {given}") == (
        f"n.prototxt:1:7: expected a string in quotes for 'type', got '{given}'. Hint: {hint}")


@pytest.mark.parametrize(
    "message, typo, meant",
    [
        ("ConvolutionParameter", "num_outputs", "num_output"),
        ("ConvolutionParameter", "numOutput", "num_output"),
        ("ConvolutionParameter", "kernal_size", "kernel_size"),
        ("ConvolutionParameter", "kernelsize", "kernel_size"),
        ("ConvolutionParameter", "kernel", "kernel_size"),
        ("ConvolutionParameter", "stide", "stride"),
        ("ConvolutionParameter", "weight_fillers", "weight_filler"),
        ("LayerParameter", "convolution_params", "convolution_param"),
        ("LayerParameter", "conv_param", "convolution_param"),
        ("LayerParameter", "poling_param", "pooling_param"),
        ("LayerParameter", "botom", "bottom"),
        ("LayerParameter", "tpye", "type"),
        ("LayerParameter", "blobs_lr", "param"),
        ("ParamSpec", "lr_multi", "lr_mult"),
        ("NetParameter", "Layer", "layer"),
    ],
)
def test_a_typo_is_an_error_with_the_field_that_was_meant(message, typo, meant):
    assert error_of(f"{typo}: 1", MESSAGES[message]) == (
        f"n.prototxt:1:1: {message} has no field '{typo}'. Hint: did you mean '{meant}'?"
    )


@pytest.mark.parametrize("message, field, hint", [
    ("SolverParameter", "layer", "a net has it: --model, in Python Net, reads it."),
    ("SolverParameter", "input_dim", "a net has it: --model, in Python Net, reads it."),
    ("NetParameter", "base_lr", "a solver has it: --solver, in Python get_solver, reads it."),
    ("NetParameter", "net", "a solver has it: --solver, in Python get_solver, reads it."),
])
def test_a_net_in_the_place_of_a_solver_is_told_and_a_solver_in_that_of_a_net(message, field, hint):
    assert error_of(f"{field}: 1", MESSAGES[message]) == (
        f"n.prototxt:1:1: {message} has no field '{field}'. Hint: {hint}")


@pytest.mark.parametrize(
    "layer, name, home",
    [
        ('type: "Convolution"', "stride", "convolution_param { }"),
        ('type: "Convolution"', "lr_mult", "param { }"),
        ('type: "Deconvolution"', "num_output", "convolution_param { }"),
        ('type: "Pooling"', "pool", "pooling_param { }"),
        ('type: "ReLU"', "negative_slope", "relu_param { }"),
        ('type: "SoftmaxWithLoss"', "ignore_label", "loss_param { }"),
        ('type: "Data"', "mirror", "transform_param { } or data_param { }"),
        ('type: "Python"', "layer", "python_param { }"),
        ('type: "MyLayer"', "decay_mult", "param { }"),
        ("", "kernel_size", "convolution_param { } or pooling_param { }"),
        ("", "share_mode", "param { }"),
    ],
)
def test_a_field_that_stands_astray_is_an_error_with_its_place(layer, name, home):
    assert error_of(f"{layer}\n{name}: 1") == (
        f"n.prototxt:2:1: LayerParameter has no field '{name}'. Hint: it belongs in {home}"
    )


@pytest.mark.parametrize(
    "layer, name, hint",
    [
        ("type: INNER_PRODUCT", "num_output", "it belongs in inner_product_param { }"),
        ("", "negative_slope", "it belongs in relu_param { }"),
        ("type: RELU", "lr_mult", "did you mean 'blobs_lr'?"),
    ],
)
def test_a_field_astray_in_a_v1_layer_is_an_error_too(layer, name, hint):
    assert error_of(f"{layer}\n{name}: 1", V1LayerParameter) == (
        f"n.prototxt:2:1: V1LayerParameter has no field '{name}'. Hint: {hint}"
    )


def test_a_field_of_another_type_is_no_field_astray(caplog):
    assert parsed('type: "Permute" order: 0 axis: 1').type == "Permute"
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    "text, block",
    [
        ('\nlayer { name: "a" type: "ReLU"\nlayer { }', "LayerParameter 'a'"),
        ("\nlayers < type: RELU\nlayers: { }", "V1LayerParameter"),
        ('layer { name: "a" type: "ReLU"\nrelu_param {\nlayer { } }', "ReLUParameter"),
    ],
)
def test_a_missing_brace_is_told_by_the_layer_that_follows(text, block):
    mark = ">" if "<" in text else "}"
    assert error_of(text, NetParameter) == (
        f"n.prototxt:3:1: a '{mark}' is missing before this line: {block}, opened on line 2, "
        "is not closed."
    )


def test_parameters_of_forks_types_are_skipped_with_a_warning(caplog):
    layer = parsed('name: "a" type: "BN"\nbn_param: { x: 1 y < z: ["}", 2] > }\ntop: "b"')
    assert (layer.name, layer.top) == ("a", ["b"])
    assert caplog.messages == ["n.prototxt:2: LayerParameter has no field 'bn_param': skipped"]


def test_the_own_parameters_of_an_unknown_type_are_no_typo(caplog):
    assert parsed('type: "SELU" selu_param { alpha: 1 }').type == "SELU"
    assert len(caplog.messages) == 1
    assert "did you mean 'elu_param'" in error_of('type: "ReLU" selu_param { alpha: 1 }')


@pytest.mark.parametrize(
    "text", ['convolution_param { gadget: 1 }', 'type: "ReLU" gadget: 1', 'gadget: 1 type: "ReLU"'])
def test_a_field_that_nobody_has_is_refused_where_it_might_count(text):
    kind = "LayerParameter" if "ReLU" in text else "ConvolutionParameter"
    column = text.index("gadget") + 1
    assert error_of(text) == (
        f"n.prototxt:1:{column}: {kind} has no field 'gadget'. Hint: Caffe refuses it as well; "
        "leave it out if it changes nothing.")


def test_a_net_of_more_unknown_fields_than_any_fork_has_is_refused(caplog):
    text = "\n".join(f"zq{k}x: 1" for k in range(100))
    parsed(text, NetParameter)
    assert error_of(f"{text} zqx: 1", NetParameter) == (
        "n.prototxt:100:10: expected at most 100 different fields that Caffe lacks, got more. "
        "Hint: is it a net for Caffe?")


@pytest.mark.parametrize("value", [': 1', ': "a" "b"', ': [1, { a: 2 }]', " { }", ": < a: 'b' >"])
def test_unknown_values_of_every_kind_are_skipped(value):
    assert parsed(f"gadget{value} name: 'a'").name == "a"


def test_an_unknown_field_is_warned_of_once_a_file(caplog):
    text = 'layer { gadget: 1 } layer { gadget: 2 } layer { widget { } }'
    with caplog.at_level(logging.WARNING, "minicaffe"):
        parsed(text, NetParameter)
    assert [message.split("'")[1] for message in caplog.messages] == ["gadget", "widget"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("gadget 1", "n.prototxt:1:8: expected a value for 'gadget', got '1'."),
        ("gadget: }", "n.prototxt:1:9: expected a value for 'gadget', got '}'."),
        ("gadget { a: [ 1 }", "n.prototxt:1:17: expected ']' for the '[' opened on line 1, "
                              "got '}'."),
        ("gadget {\n", "n.prototxt:2:1: expected '}' for the '{' opened on line 1, "
                       "got the end of the file."),
    ],
)
def test_unknown_fields_must_still_be_well_formed(text, message):
    assert error_of(text) == message


def test_strict_refuses_every_unknown_field():
    assert error_of("base_Ir: 1", SolverParameter, strict=True) == (
        "n.prototxt:1:1: SolverParameter has no field 'base_Ir'. Hint: did you mean 'base_lr'?"
    )
    assert error_of("gadget: 1", SolverParameter, strict=True) == (
        "n.prototxt:1:1: SolverParameter has no field 'gadget'."
    )
    net = "net_param { layer { permute_param { order: 0 } } }"
    assert len(parsed(net, SolverParameter, strict=True).net_param.layer) == 1


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path):
    (tmp_path / "solver.prototxt").write_text("")
    missing = tmp_path / "sovler.prototxt"
    with pytest.raises(FileNotFoundError) as caught:
        read_text(missing, NetParameter)
    assert str(caught.value) == f"{missing}: no such file. Hint: did you mean 'solver.prototxt'?"
    assert isinstance(caught.value, MinicaffeError)
    with pytest.raises(FileNotFoundError, match="expected a file, got a folder"):
        read_text(tmp_path, NetParameter)
    with pytest.raises(FileNotFoundError, match="no such file: there is no folder"):
        read_text(tmp_path / "no" / "net.prototxt", NetParameter)


def test_a_binary_file_is_not_taken_for_a_prototxt(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(NetParameter(name="n", force_backward=True).SerializeToString())
    with pytest.raises(FileFormatError) as caught:
        read_text(path, NetParameter)
    assert str(caught.value) == (
        f"{path}: expected a prototxt, which is text (NetParameter), got binary data at byte 1. "
        "Hint: weights (.caffemodel) are read by Net(prototxt, weights, phase) or net.copy_from"
    )


def test_a_comment_in_another_encoding_does_no_harm(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b"\xef\xbb\xbf# caf\xe9\nname: 'caf\xc3\xa9'")
    assert read_text(path, NetParameter).name == "café"


@pytest.mark.parametrize(
    "value, shown", [(0.01, "0.01"), (1 / 255, "0.003921569"), (1e-8, "1e-08")]
)
def test_floats_print_short_and_come_back_the_same(value, shown):
    text = to_text(TransformationParameter(scale=value))
    assert text == f"scale: {shown}\n"
    back = parse_text(text, TransformationParameter).scale
    assert struct.pack("<f", back) == struct.pack("<f", value)


def test_written_text_is_read_back():
    net = parsed(SYNTAX, NetParameter)
    net.layer[1].name = "é\x01\\'"
    assert parse_text(to_text(net), NetParameter) == net
    pooling = PoolingParameter(ceil_mode=False, pool=1)
    assert parse_text(to_text(pooling), PoolingParameter) == pooling
    assert "engine: WINOGRAD" in to_text(ConvolutionParameter(engine=104))
