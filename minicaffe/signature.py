"""What ``help(L.Convolution)`` and ``inspect.signature`` tell: a layer type's parameters."""

from __future__ import annotations

import inspect
from functools import lru_cache
from inspect import Parameter, Signature

from google.protobuf.descriptor import FieldDescriptor

from .errors import NetError
from .layer import Layer, layer_class
from .proto import LayerParameter
from .proto.layer_params import fields_of, param_messages
from .proto.schema import is_repeated

_PYTHON = {
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_ENUM: str,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_MESSAGE: dict,
    FieldDescriptor.CPPTYPE_STRING: str,
}
# What L.Anything(...) takes besides the parameters of its type.
_OF_EVERY_LAYER = ("name", "param", "loss_weight", "propagate_down", "include", "exclude", "phase")


def signature_and_doc(type_name: str) -> tuple[Signature, str]:
    """How the function that makes a layer of a type is called, and its docstring."""
    try:
        cls = layer_class(LayerParameter(type=type_name))
    except NetError:
        cls = None
    return _described(type_name, cls, tuple(parameters(type_name).items()))


def parameters(type_name: str) -> dict[str, FieldDescriptor]:
    """The fields by name that a layer type's own messages have, without those of every layer."""
    fields = fields_of(LayerParameter.DESCRIPTOR)
    found: dict[str, FieldDescriptor] = {}
    for message in param_messages(type_name):
        for name, field in fields[message].message_type.fields_by_name.items():
            if not name.endswith("param"):  # such a name means the message itself
                found.setdefault(name, field)
    return found


@lru_cache(1000)
def _described(type_name: str, cls: type[Layer] | None, fields: tuple) -> tuple[Signature, str]:
    general = [(name, LayerParameter.DESCRIPTOR.fields_by_name[name]) for name in _OF_EVERY_LAYER]
    given = dict(general) | dict(fields)
    ordered = [*fields, *((name, field) for name, field in general if given[name] is field)]
    takes = [Parameter(name, Parameter.KEYWORD_ONLY, default=_default(field),
                       annotation=_annotation(field)) for name, field in ordered]
    takes.insert(len(fields), Parameter("ntop", Parameter.KEYWORD_ONLY, default=1, annotation=int))
    takes.insert(len(fields), Parameter("in_place", Parameter.KEYWORD_ONLY, default=False,
                                        annotation=bool))
    signature = Signature([Parameter("bottoms", Parameter.VAR_POSITIONAL), *takes])
    about = f"A layer of type {type_name}{'' if cls else ', for which there is no class'}."
    if cls and cls.__doc__:
        about = inspect.cleandoc(cls.__doc__)
    lines = [f"    {name}: {_told(field)}" for name, field in fields]
    listed = "\n".join(["Parameters (None: not given):", *lines]) if lines else "Parameters: none."
    return signature, f"{about}\n\n{listed}"


def _default(field: FieldDescriptor):
    if is_repeated(field) or not field.has_default_value:
        return None
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return float(f"{field.default_value:.7g}")  # 0.1, not 0.10000000149011612
    return field.default_value


def _annotation(field: FieldDescriptor):
    kind = _PYTHON.get(field.cpp_type, int)
    return kind | list[kind] if is_repeated(field) else kind


def _told(field: FieldDescriptor) -> str:
    """A field's type and default in words."""
    if field.enum_type is not None:
        kind = " or ".join(field.enum_type.values_by_name)
    elif field.message_type is not None:
        kind = f"a dict of {', '.join(field.message_type.fields_by_name)}"
    else:
        kind = _PYTHON.get(field.cpp_type, int).__name__
    default = _default(field)
    many = ", or a list of them" if is_repeated(field) else ""
    return f"{kind}{many}" + ("" if default is None else f" (default: {default})")
