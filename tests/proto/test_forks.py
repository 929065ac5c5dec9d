"""Fields, values and layer types of forks: computed, skipped with a warning, or refused by name."""

import numpy as np
import pytest

import minicaffe as caffe
from minicaffe.errors import MinicaffeError, NetError, ParseError
from minicaffe.proto import LayerParameter, NetParameter, SolverParameter, schema
from minicaffe.proto.forks import ForkField, fork_field, fork_types
from minicaffe.proto.schema import MESSAGES
from minicaffe.proto.text import parse_text

ROWS = [ForkField(*row) for row in schema.read_table("forks.tsv")]


def made(text, **shape):
    """What a net of one layer makes of 0, 1, 2, ..."""
    (name, dims), = shape.items()
    net = caffe.Net(parse_text(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {dim}" for dim in dims)} }} '
        f'layer {{ name: "l" bottom: "{name}" top: "y" {text} }}', NetParameter), caffe.TEST)
    x = net.blobs[name].data
    x[...] = np.arange(x.size).reshape(x.shape)
    return net.forward()["y"]


def gappy(x, rows, columns):
    """The sums of 3x3 elements with gaps between them, zeros around x."""
    padded = np.pad(x, 2)
    offsets = [(i * rows, j * columns) for i in range(3) for j in range(3)]
    height, width = (len(padded) - 2 * rows, len(padded) - 2 * columns)
    return sum(padded[i:i + height, j:j + width] for i, j in offsets)


@pytest.mark.parametrize("field, rows, columns", [
    ("hole: 2", 2, 2), ("hole: 1", 1, 1), ("hole_h: 2 hole_w: 1", 2, 1), ("hole_w: 2", 1, 2)])
def test_hole_is_dilation(field, rows, columns):
    y = made(f"""type: "Convolution"
        convolution_param {{ {field} num_output: 1 pad: 2 kernel_size: 3
        bias_term: false weight_filler {{ value: 1 }} }}""", x=(1, 1, 5, 5))
    x = np.arange(25.0).reshape(5, 5)
    np.testing.assert_array_equal(y[0, 0], gappy(x, rows, columns))


@pytest.mark.parametrize("field, right", [
    ("round_below: true", [14, 16, 26, 28]), ("ceil_mode: false", [14, 16, 26, 28]),
    ("round_below: false", [14, 16, 17, 26, 28, 29, 32, 34, 35])])
def test_pooling_rounds_as_forks_say(field, right):
    y = made(f'type: "Pooling" pooling_param {{ kernel_size: 3 stride: 2 {field} }}',
             x=(1, 1, 6, 6))
    assert y.ravel().tolist() == right


def test_the_table_has_rows_of_its_form():
    for row in ROWS:
        assert row.message == "*" or row.message in MESSAGES, row
        assert row.type in ("bool", "number", "string", "message"), row
        assert row.harmless == "any" or row.does, row
        if row.message != "*":
            assert row.field not in MESSAGES[row.message].DESCRIPTOR.fields_by_name, row
    assert len({(row.message, row.field) for row in ROWS}) == len(ROWS)


def written(row, harmless):
    """A text with the field, with a value that changes nothing or one that does something."""
    if row.type == "message":
        return f"{row.field} {{ anything: 1 }}"
    plain = {"bool": "true", "number": "7", "string": '"words"'}[row.type]
    if row.harmless not in ("any", "none"):
        other = {"bool": {"true": "false", "false": "true"}.get(row.harmless)}.get(row.type, plain)
        plain = row.harmless.split("|")[0] if harmless else other
    return f"{row.field}: {plain}"


def named(rows):
    return dict(argvalues=rows, ids=[f"{row.message}.{row.field}" for row in rows])


@pytest.mark.parametrize("row", **named([
    row for row in ROWS if row.harmless != "none" and row.message != "*"]))
def test_what_changes_nothing_is_skipped_with_one_warning(row, caplog):
    text = written(row, harmless=True)
    parse_text(f"{text}\n{text}", MESSAGES[row.message], "n.prototxt",
               strict=row.message == "SolverParameter")
    assert caplog.messages == [f"n.prototxt:1: {row.message} has no field '{row.field}': skipped"]


@pytest.mark.parametrize("row", **named([
    row for row in ROWS if row.harmless != "any" and row.message != "*"]))
def test_what_changes_numbers_is_refused_by_name(row):
    with pytest.raises(ParseError) as caught:
        parse_text(written(row, harmless=False), MESSAGES[row.message], "n.prototxt",
                   strict=row.message == "SolverParameter")
    hint = f" Hint: {row.hint}" if row.hint else ""
    assert str(caught.value) == (
        f"n.prototxt:1:1: {row.message} has no field '{row.field}'; in forks of Caffe it "
        f"{row.does}, which is not done here.{hint}")


@pytest.mark.parametrize("message, text, harmless", [
    ("SolverParameter", "larc: f", True), ("SolverParameter", "larc: 0", True),
    ("SolverParameter", "larc: True", False), ("SolverParameter", "min_lr: 0.0", True),
    ("SolverParameter", "min_lr: 1e-5", False), ("SolverParameter", "min_lr: x", False),
    ("SolverParameter", "min_lr: [0, 1]", False)])
def test_values_count_however_they_are_written(message, text, harmless):
    if harmless:
        parse_text(text, MESSAGES[message], strict=True)
    else:
        with pytest.raises(ParseError, match="in forks of Caffe"):
            parse_text(text, MESSAGES[message], strict=True)


def test_an_engine_of_a_fork_is_the_default_with_one_warning(caplog):
    layers = parse_text("""
        layer { type: "Convolution" convolution_param { engine: MKL2017 num_output: 3 } }
        layer { type: "ReLU" relu_param { engine: MKLDNN } engine: "MKL2017" }
        layer { type: "Pooling" pooling_param { engine: MKL2017 } }
        layer { type: "BatchNorm" batch_norm_param { engine: MKL2017 eps: 1 } }
        layers { type: LRN lrn_param { engine: MKL2017 } engine: "MKLDNN" }""",
                        NetParameter, "n.prototxt")
    assert caplog.messages == ["n.prototxt:2: engine: MKL2017 is taken as DEFAULT"]
    assert layers.layer[0].convolution_param.engine == 0
    assert layers.layer[0].convolution_param.num_output == 3
    with pytest.raises(ParseError, match="got 'WINOGARD'. Hint: did you mean 'WINOGRAD'"):
        parse_text("convolution_param { engine: WINOGARD }", LayerParameter)


def test_old_layers_have_the_fields_of_forks_too(caplog):
    parse_text('layers { forward_type: FLOAT16 }', NetParameter, "n")
    assert caplog.messages == ["n:1: V1LayerParameter has no field 'forward_type': skipped"]


def test_a_field_that_no_fork_has_is_unknown():
    assert fork_field("PoolingParameter", "gadget") is None
    assert fork_field("PoolingParameter", "relu") is None


@pytest.mark.parametrize("field", ["eval_type: \"detection\"", "ap_version: \"11point\"",
                                   "show_per_class_result: true"])
def test_a_solver_of_ssd_is_read(tmp_path, field):
    path = tmp_path / "solver.prototxt"
    path.write_text(f"base_lr: 0.1 {field} lr_policy: 'fixed'")
    solver = caffe.proto.upgrade.read_solver(path)
    assert isinstance(solver, SolverParameter) and solver.lr_policy == "fixed"


@pytest.mark.parametrize("given, meant", [
    ("RELU", "ReLU"), ("Relu", "ReLU"), ("relu", "ReLU"), ("CONVOLUTION", "Convolution"),
    ("INNER_PRODUCT", "InnerProduct"), ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
    ("softmax_loss", "SoftmaxWithLoss"), ("innerproduct", "InnerProduct"), ("conv", "Convolution"),
    ("Convolutoin", "Convolution"), ("Pool", "Pooling"), ("RLeU", "ReLU"), ("Elu", "ELU"),
    ("SoftmaxLoss", "SoftmaxWithLoss"),
    ("EUCLIDEAN_LOSS", "EuclideanLoss"), ("Batchnorm", "BatchNorm"), ("ROIpooling", "ROIPooling"),
    ("relu6", "ReLU6"), ("HDF5_DATA", "HDF5Data"), ("Droput", "Dropout")])
def test_a_type_spelt_otherwise_is_told_as_it_is_called(given, meant):
    with pytest.raises(NetError) as caught:
        caffe.Net(NetParameter(layer=[LayerParameter(name="x", type=given)]), caffe.TEST)
    assert str(caught.value) == (f"layer 'x': expected a known layer type, got '{given}'. "
                                 f"Hint: did you mean '{meant}'?")


@pytest.mark.parametrize("given", ["GELU", "CELU", "LReLU", "ReLU9", "Pooling3D", "Convolution3D",
                                   "Softmax2", "BatchNorm2", "MyLayer", "Dense"])
def test_another_function_is_no_misspelt_one(given):
    with pytest.raises(NetError, match="Hint: known types: AbsVal, "):
        caffe.Net(NetParameter(layer=[LayerParameter(name="x", type=given)]), caffe.TEST)


@pytest.mark.parametrize("name", sorted(set(fork_types()) - set(caffe.layer_type_list())))
def test_a_type_of_forks_is_told_with_those_that_have_it(name):
    with pytest.raises(MinicaffeError) as caught:
        caffe.Net(NetParameter(layer=[LayerParameter(name="x", type=name)]), caffe.TEST)
    assert str(caught.value) == (
        f"layer 'x': expected a layer type that this version has, got '{name}', which forks of "
        f"Caffe have ({fork_types()[name]}). Hint: a class {name}, derived from Layer, adds it.")
