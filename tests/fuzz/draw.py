"""Random parameters of layers, drawn from the types of the schema's fields."""

from __future__ import annotations

from random import Random

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from minicaffe import fillers
from minicaffe.proto import LayerParameter
from minicaffe.proto.layer_params import param_messages
from minicaffe.proto.schema import is_repeated

_SMALL = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7)
_SIGNED = (*_SMALL, -1, -2)
_FLOATS = (0.0, 0.1, 0.25, 0.5, 1.0, 1.0, 1.5, 2.0, 3.0, -0.5, -1.0, 1e-3)
_HUGE = (2**31 - 1, 2**31 - 2, 65536, 1_000_000, -2**31, -1, 100)
_HUGE_FLOATS = (float("inf"), float("nan"), -float("inf"), 1e38, -1e38, 1e-40, 1e30)
_STRINGS = ("", "x", "minicaffe", "tests.fuzz.user_layer", "Halved", "xavier", "\u00e9")
_UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
_INTEGERS = (*_UNSIGNED, FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)


def messages(layer: LayerParameter) -> list[Message]:
    """The messages that hold a layer's parameters."""
    return [getattr(layer, name) for name in param_messages(layer.type)]


def parameters(layer: LayerParameter, rng: Random) -> None:
    """Draw the parameters of a layer that has none yet."""
    share = rng.choice((0.15, 0.3, 0.5))
    for message in messages(layer):
        if rng.random() < 0.9:
            message.SetInParent()
            fields(message, rng, share)


def fields(message: Message, rng: Random, share: float) -> None:
    """Draw some fields of a message, each with the probability ``share``."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < share:
            draw(message, field, rng)


def draw(message: Message, field: FieldDescriptor, rng: Random, huge: bool = False) -> None:
    """Draw one field anew.

    Args:
        huge: whether its numbers may be far beyond what is usual.
    """
    if field.is_extension:  # what a layer of one's own has declared beside its class
        fields(getattr(message, field.name), rng, 0.3)
        return
    message.ClearField(field.name)
    if field.message_type is not None:
        for _ in range(rng.choice((1, 1, 2)) if is_repeated(field) else 1):
            inner = getattr(message, field.name)
            inner = inner.add() if is_repeated(field) else inner
            inner.SetInParent()
            _inner(inner, rng)
    elif is_repeated(field):
        values = [_value(message, field, rng, huge) for _ in range(rng.choice((1, 1, 2, 3)))]
        getattr(message, field.name).extend(values)
    else:
        setattr(message, field.name, _value(message, field, rng, huge))


def _inner(message: Message, rng: Random) -> None:
    name = message.DESCRIPTOR.name
    if name == "BlobShape":
        message.dim.extend(rng.choice((1, 2, 3, 4)) for _ in range(rng.choice((1, 2, 3, 4))))
    elif name == "FillerParameter":
        fields(message, rng, 0.2)
        if message.type not in fillers._fillers or rng.random() < 0.9:
            message.type = rng.choice(sorted(fillers._fillers))
    else:
        fields(message, rng, 0.3)


def _value(message: Message, field: FieldDescriptor, rng: Random, huge: bool):
    kind = field.cpp_type
    if kind in _INTEGERS:
        value = rng.choice(_HUGE if huge else _SMALL if kind in _UNSIGNED else _SIGNED)
        return abs(value) if kind in _UNSIGNED else value
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(_HUGE_FLOATS if huge else _FLOATS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    text = rng.choice(_STRINGS)
    return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
