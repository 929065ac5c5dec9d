"""The messages built from the schema table are Caffe's."""

import copy
import pickle

import pytest

from minicaffe import proto
from minicaffe.errors import FileFormatError
from minicaffe.proto import caffe_pb2, schema
from minicaffe.proto.layer_params import param_fields
from minicaffe.proto.schema import MESSAGES, is_repeated


def test_every_message_can_be_imported_by_name():
    assert set(proto.__all__) == set(MESSAGES)
    for name, message in MESSAGES.items():
        assert getattr(proto, name) is message
        assert getattr(caffe_pb2, name) is message


def test_bytes_on_the_wire_are_those_of_caffe():
    layer = proto.LayerParameter(name="a", type="ReLU", phase=caffe_pb2.TEST)
    layer.relu_param.negative_slope = 0.5
    assert layer.SerializeToString() == (
        b"\x0a\x01a" b"\x12\x04ReLU" b"\x50\x01" b"\xda\x07\x05\x0d\x00\x00\x00\x3f"
    )


def test_packed_lists_are_packed():
    assert proto.BlobShape(dim=[1, 300]).SerializeToString() == b"\x0a\x03\x01\xac\x02"
    assert proto.ConvolutionParameter(pad=[1, 2]).SerializeToString() == b"\x18\x01\x18\x02"


@pytest.mark.parametrize(
    "message, field, default",
    [
        ("ConvolutionParameter", "bias_term", True),
        ("ConvolutionParameter", "num_output", 0),
        ("PoolingParameter", "pool", 0),
        ("SolverParameter", "type", "SGD"),
        ("SolverParameter", "random_seed", -1),
        ("SolverParameter", "snapshot_format", 1),
        ("FillerParameter", "type", "constant"),
        ("BatchNormParameter", "eps", pytest.approx(1e-5)),
        ("HingeLossParameter", "norm", 1),
        ("NetState", "phase", 1),
    ],
)
def test_defaults(message, field, default):
    new = MESSAGES[message]()
    assert getattr(new, field) == default
    assert not new.HasField(field)


def test_enums_stand_where_protoc_puts_them():
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"
    assert caffe_pb2.PoolingParameter.AVE == 1
    assert caffe_pb2.ConvolutionParameter.Engine.Value("CUDNN") == 2
    assert caffe_pb2.V1LayerParameter.SOFTMAX_LOSS == 21


def test_our_own_fields_and_engines_have_numbers_that_caffe_does_not_use():
    assert proto.PoolingParameter.DESCRIPTOR.fields_by_name["ceil_mode"].number == 50001
    assert proto.SolverState.DESCRIPTOR.fields_by_name["random_seed"].number == 50001
    ticks = proto.SolverState.DESCRIPTOR.fields_by_name["test_tick"]
    assert ticks.number == 50002 and is_repeated(ticks)
    assert proto.SolverState.DESCRIPTOR.fields_by_name["notes"].number == 50003
    ours = proto.TransformationParameter.DESCRIPTOR.fields_by_name
    assert (ours["pad"].number, ours["subtract_mean"].number) == (50001, 50002)
    engines = proto.ConvolutionParameter.Engine
    values = [engines.Value(name) for name in ("IM2COL", "DIRECT", "TRANSPOSED", "WINOGRAD")]
    assert values == [101, 102, 103, 104]


def test_required_fields_are_required():
    assert not proto.ClipParameter(min=0).IsInitialized()
    assert proto.ClipParameter(min=0, max=1).IsInitialized()


def test_is_repeated_tells_lists_from_single_fields():
    fields = proto.NetParameter.DESCRIPTOR.fields_by_name
    assert is_repeated(fields["layer"]) and not is_repeated(fields["name"])


def test_messages_can_be_pickled_and_copied():
    net = proto.NetParameter(name="n")
    net.layer.add(name="a").param.add(lr_mult=2)
    assert pickle.loads(pickle.dumps(net)) == net
    assert copy.deepcopy(net) == net


def test_param_fields_are_found_by_layer_type():
    found = param_fields()
    assert found["LRN"] == "lrn_param"
    assert found["InnerProduct"] == "inner_product_param"
    assert found["HDF5Data"] == "hdf5_data_param"
    assert "Deconvolution" not in found


def test_a_row_of_too_few_columns_is_told_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "mine.tsv").write_text("a\tb\tc\n1\t2\t3\n1\t2\n")
    monkeypatch.setattr(schema, "__file__", str(tmp_path / "schema.py"))
    with pytest.raises(FileFormatError, match=r"mine.tsv:3: expected 3 columns between tabs: a, b, "
                                              "c, got 2"):
        list(schema.read_table("mine.tsv"))
