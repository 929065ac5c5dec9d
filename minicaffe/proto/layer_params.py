"""The parameters of layer types: which messages hold them, and those given beside a layer's class.

Caffe's own are in the schema. A class of another type may say what its parameters are::

    class Cube(Layer):
        param_fields = {"exponent": 3.0, "mode": ("SOFT", "HARD"), "weights": [float]}

which adds a message ``CubeParameter`` and its field ``cube_param`` to LayerParameter. It is an
extension of Protocol Buffers, as that may come at any time; real Caffe passes over it in files.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ..errors import ParameterError
from .schema import FILE, MESSAGES, OWN_NUMBERS, PACKAGE, add_file, class_of

_SUFFIX = "Parameter"
_Field = descriptor_pb2.FieldDescriptorProto
_KINDS = {bool: _Field.TYPE_BOOL, int: _Field.TYPE_INT64, float: _Field.TYPE_FLOAT,
          str: _Field.TYPE_STRING}
_LAYER = MESSAGES["LayerParameter"]
# Fields that every layer has, which L.Cube(...) takes as well.
_OF_EVERY_LAYER = {field.name for field in _LAYER.DESCRIPTOR.fields
                   if not field.name.endswith("_param")} | {"ntop", "in_place"}
# Messages that a layer type reads besides, or instead of, the one that is called like the type.
_MORE_PARAMS = {
    "ContrastiveLoss": ("loss_param",),
    "ConvolutionDepthwise": ("convolution_param",),
    "Data": ("transform_param",),
    "Deconvolution": ("convolution_param",),
    "DepthwiseConvolution": ("convolution_param",),
    "EuclideanLoss": ("loss_param",),
    "HingeLoss": ("loss_param",),
    "Im2col": ("convolution_param",),
    "ImageData": ("transform_param",),
    "InfogainLoss": ("loss_param",),
    "LSTM": ("recurrent_param",),
    "MemoryData": ("transform_param",),
    "MultinomialLogisticLoss": ("loss_param",),
    "RNN": ("recurrent_param",),
    "SigmoidCrossEntropyLoss": ("sigmoid_param", "loss_param"),
    "SoftmaxWithLoss": ("softmax_param", "loss_param"),
    "WindowData": ("transform_param",),
}

# What classes of layers outside the schema have added, by the name of the type.
_own: dict[str, FieldDescriptor] = {}
_rows: dict[str, dict] = {}
_numbers: set[int] = set()  # of all fields that were ever added
_parents: dict[str, tuple[str, ...]] = {}
_finders: list[Callable[[], object]] = []


def find_by(finder: Callable[[], object]) -> None:
    """Call ``finder``, which imports layers, before a type or its parameters count as unknown."""
    _finders.append(finder)


def add_type(name: str, parents: Sequence[str], fields: Mapping[str, object]) -> None:
    """Make a layer type and its parameters known.

    Args:
        parents: types that it derives from, whose parameters it takes too.
        fields: its own parameters: a default (True, 3, 3.0, "text"); a type (bool, int, float, str,
            a message's class), which has none; a list of one type, for any number of values; a
            tuple of names, of which one is chosen, by default the first. Later versions of a layer
            append to them, as their order numbers them in binary files.

    Errors: ParameterError for what is none of these, and for parameters that the schema has.
    """
    _parents[name] = tuple(parents)
    if not fields or _rows.get(name) == dict(fields):
        return
    where = f"{name}: param_fields"
    if name in _of_schema():
        raise ParameterError(where, f"none, as the schema has {_of_schema()[name]}", "some")
    file = _describe(name, fields, where)
    field, = add_file(file).extensions_by_name.values()
    class_of(field.message_type)
    with suppress(AttributeError, NotImplementedError):  # it is for protobuf 4 in pure Python
        _LAYER.RegisterExtension(field)
    setattr(_LAYER, field.name, property(lambda layer: layer.Extensions[field]))
    _own[name], _rows[name] = field, dict(fields)


def _describe(name: str, fields: Mapping, where: str):
    """A file with the message of a type's parameters, and the field of LayerParameter for it.

    A class that is defined anew gets a package of its own, as messages cannot be taken back.
    """
    versions = (f"{PACKAGE}.own{version or ''}" for version in count())
    first, end = OWN_NUMBERS
    numbers = ((first + zlib.crc32(f"{package}.{name}".encode()) % (end - first), package)
               for package in versions)
    tag, package = next(pair for pair in numbers if pair[0] not in _numbers)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}/{name}.proto", package=package, syntax="proto2", dependency=[FILE])
    message = file.message_type.add(name=name + _SUFFIX)
    for number, (key, value) in enumerate(fields.items(), 1):
        if not key.isidentifier() or key in _OF_EVERY_LAYER or key.endswith("param"):
            raise ParameterError(where, "names that no layer has otherwise, and that do not end in "
                                 "param", f"'{key}'")
        field = message.field.add(name=key, number=number, label=_Field.LABEL_OPTIONAL)
        if isinstance(value, list) and len(value) == 1:
            value, field.label = value[0], _Field.LABEL_REPEATED
            if not isinstance(value, type):
                value = None
        if not _set_kind(field, message, value):
            raise ParameterError(where, "a default, a type, a list of one type or a tuple of "
                                 f"names for '{key}'", repr(fields[key]))
    _numbers.add(tag)
    file.extension.add(
        name=field_name(name), number=tag, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE,
        type_name=f".{package}.{message.name}", extendee=f".{PACKAGE}.LayerParameter")
    return file


def _set_kind(field, message, value) -> bool:
    """Give a field its type and default; whether ``value`` tells them."""
    kind = value if isinstance(value, type) else type(value)
    if kind in _KINDS:
        field.type = _KINDS[kind]
        if kind is not value:
            field.default_value = str(value).lower() if kind is bool else str(value)
    elif kind is value and issubclass(kind, Message):
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{kind.DESCRIPTOR.full_name}"
    elif kind is tuple and value and all(isinstance(name, str) for name in value):
        enum = message.enum_type.add(name="".join(map(str.capitalize, field.name.split("_"))))
        for number, name in enumerate(value):
            enum.value.add(name=name, number=number)
        field.type, field.default_value = _Field.TYPE_ENUM, value[0]
        field.type_name = f"{message.name}.{enum.name}"  # seen from the file's package
    else:
        return False
    return True


def field_name(type_name: str) -> str:
    """The field for a type: ``my_layer_param`` for ``MyLayer``, ``relu6_param`` for ``ReLU6``."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type_name)
    return f"{parts.lower()}_param"


def fields_of(message: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields of a message by name, with those that layers have added."""
    if message != _LAYER.DESCRIPTOR or not _own:
        return message.fields_by_name
    return {**message.fields_by_name, **{field.name: field for field in _own.values()}}


def field_of(message: Descriptor, name: str) -> FieldDescriptor | None:
    """The field of a message, or None; layers that may add it are imported first."""
    field = message.fields_by_name.get(name)
    if field is None and message == _LAYER.DESCRIPTOR and name.endswith("_param"):
        _find()
        field = fields_of(message).get(name)
    return field


def _find() -> None:
    for finder in _finders:
        finder()


@cache
def _of_schema() -> dict[str, str]:
    return {
        field.message_type.name[: -len(_SUFFIX)]: field.name
        for field in _LAYER.DESCRIPTOR.fields
        if field.name.endswith("_param")
    }


def param_fields() -> dict[str, str]:
    """The parameter field of LayerParameter named after a layer type: ``LRN: lrn_param``."""
    return {**_of_schema(), **{name: field.name for name, field in _own.items()}}


def param_messages(type_name: str) -> tuple[str, ...]:
    """The fields of LayerParameter that hold a layer type's parameters, its own one first."""
    if type_name not in _of_schema() and type_name not in _MORE_PARAMS:
        _find()
    own = param_fields()
    found: list[str] = []
    for name in (type_name, *_parents.get(type_name, ())):
        found += [own[name]] if name in own else []
        found += _MORE_PARAMS.get(name, ())
    return tuple(dict.fromkeys(found))


def message_of(type_name: str) -> type[Message] | None:
    """The class of the message that is called after a layer type, or None."""
    message = MESSAGES.get(type_name + _SUFFIX)
    if message is None and type_name not in _own:
        _find()
    return class_of(_own[type_name].message_type) if type_name in _own else message
