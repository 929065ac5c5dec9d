"""Caffe's messages, built when imported from two tables: no protoc, no generated code.

``schema.tsv`` has one row a field, ``enums.tsv`` one row an enum value. Their column ``origin``
says whose it is: ``caffe`` (upstream), ``fork`` (common in forks of Caffe), ``minicaffe`` (ours,
with numbers that real Caffe skips). The parameters of a layer that is none of Caffe's stand beside
its class instead: ``layer_params.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
)
from google.protobuf.message import Message

from ..errors import FileFormatError

PACKAGE, FILE = "caffe", "minicaffe/caffe.proto"
OWN_NUMBERS = (100_000, 2**29)  # of LayerParameter, for the parameters of layers outside the schema
_pool = descriptor_pool.DescriptorPool()  # our own, so as not to clash with a real Caffe
_Field = descriptor_pb2.FieldDescriptorProto
_LABELS = {
    "optional": _Field.LABEL_OPTIONAL,
    "required": _Field.LABEL_REQUIRED,
    "repeated": _Field.LABEL_REPEATED,
}
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def read_table(name: str) -> Iterator[list[str]]:
    """The rows of a table of this folder, without its header, each a list of its columns.

    Errors: FileFormatError for a row with more or fewer columns than the header, naming its line.
    """
    path = Path(__file__).with_name(name)
    header, *rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise FileFormatError(f"{path}:{number}", f"{len(header)} columns between tabs: "
                                  f"{', '.join(header)}", len(row))
        yield row


def _describe_file() -> descriptor_pb2.FileDescriptorProto:
    """The two tables as one proto2 file of package ``caffe``."""
    file = descriptor_pb2.FileDescriptorProto(
        name=FILE, package=PACKAGE, syntax="proto2"
    )
    fields = list(read_table("schema.tsv"))
    names = dict.fromkeys(row[0] for row in fields)
    messages = {name: file.message_type.add(name=name) for name in names}
    enums = {}
    for path, name, number, _origin in read_table("enums.tsv"):
        if path not in enums:
            outer, _, inner = path.rpartition(".")
            enums[path] = (messages[outer] if outer else file).enum_type.add(name=inner)
        enums[path].value.add(name=name, number=int(number))
    for message, name, number, label, kind, default, packed, _origin in fields:
        field = messages[message].field.add(name=name, number=int(number), label=_LABELS[label])
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
        else:
            field.type = _Field.TYPE_ENUM if kind in enums else _Field.TYPE_MESSAGE
            field.type_name = f".{PACKAGE}.{kind}"
        if default:
            field.default_value = default
        if packed:
            field.options.packed = True
    first, end = OWN_NUMBERS
    messages["LayerParameter"].extension_range.add(start=first, end=end)
    return file


def add_file(description: descriptor_pb2.FileDescriptorProto) -> FileDescriptor:
    """Add messages to those that there are.  Errors: TypeError for names that are taken."""
    _pool.AddSerializedFile(description.SerializeToString())
    return _pool.FindFileByName(description.name)


def class_of(message: Descriptor) -> type[Message]:
    """The class of a message."""
    make_class = getattr(message_factory, "GetMessageClass", None)
    if make_class is None:  # protobuf before 4.22
        make_class = message_factory.MessageFactory(_pool).GetPrototype
    made = make_class(message)
    made.__module__ = "minicaffe.proto.caffe_pb2"  # where pickle finds the class again
    return made


def _build() -> tuple[dict[str, type[Message]], dict[str, EnumDescriptor]]:
    """Every message class by name, and every enum that lies outside of messages."""
    file = add_file(_describe_file())
    messages = {name: class_of(kind) for name, kind in file.message_types_by_name.items()}
    return messages, dict(file.enum_types_by_name)


MESSAGES, ENUMS = _build()


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether the field holds a list (protobuf 7 dropped ``label``, 4 has no ``is_repeated``)."""
    repeated = getattr(field, "is_repeated", None)
    return field.label == _Field.LABEL_REPEATED if repeated is None else repeated


# The layer types of Caffe 1.0.
CAFFE_TYPES = frozenset("""
    AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution
    Crop Data Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten
    HDF5Data HDF5Output HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit
    Log MVN MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU
    Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax
    SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData
    """.split())
_V1_SPELT_OTHERWISE = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
# The types of layers in old nets ("layers"), by their number, as they are called today.
V1_TYPES = {
    value.number: _V1_SPELT_OTHERWISE.get(
        value.name, "".join(word.capitalize() for word in value.name.split("_"))
    )
    for value in MESSAGES["V1LayerParameter"].DESCRIPTOR.enum_types_by_name["LayerType"].values
}
