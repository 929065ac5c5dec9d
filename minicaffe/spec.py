"""Nets written in Python, with pycaffe's names.

    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[64, 1, 28, 28]))
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    net = n.to_proto()

An argument is a field of the layer type's own parameter message, or else of LayerParameter; dicts
are messages, lists are repeated fields. A top is called as it is assigned, or ``Pooling1`` and so
on; its layer is called like its first top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .errors import ParameterError, nearest
from .layer import layer_type_list
from .proto.layer_params import fields_of, message_of, param_fields, param_messages
from .proto.schema import CAFFE_TYPES, MESSAGES, is_repeated
from .proto.type_names import meant_type
from .signature import signature_and_doc

NetParameter, LayerParameter = MESSAGES["NetParameter"], MESSAGES["LayerParameter"]

_KINDS = {
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_ENUM: "an integer",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "a 32-bit integer",
    FieldDescriptor.CPPTYPE_INT64: "a 64-bit integer",
    FieldDescriptor.CPPTYPE_MESSAGE: "a dict",
    FieldDescriptor.CPPTYPE_STRING: "a string",
    FieldDescriptor.CPPTYPE_UINT32: "an unsigned 32-bit integer",
    FieldDescriptor.CPPTYPE_UINT64: "an unsigned 64-bit integer",
}


class Top:
    """The ``n``-th output of a layer ``fn``."""

    def __init__(self, fn: Function, n: int):
        self.fn, self.n = fn, n

    def to_proto(self) -> Message:
        """A NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer: its type, the Tops it reads, its parameters, and the Tops it makes."""

    def __init__(self, type_name: str, inputs: Iterable[Top], params: Mapping[str, object]):
        self.type_name = type_name
        self.inputs = tuple(inputs)
        self.params = {name: value for name, value in params.items() if value is not None}
        for i, top in enumerate(self.inputs):
            if not isinstance(top, Top):
                raise TypeError(f"{type_name} input {i} is not a Top (type is {type(top)})")
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))
        self.assign_params(LayerParameter())  # so that a mistake shows where it was made

    def assign_params(self, layer: Message) -> None:
        """Set the layer's parameters in its LayerParameter message.

        Errors:
            ParameterError: a parameter that the layer type does not have, or a value amiss.
        """
        name = self.params.get("name")
        where = f"{self.type_name} '{name}'" if name else self.type_name
        for key, value in self.params.items():
            assign_proto(self._message_with(layer, key, where), key, value, where)

    def _message_with(self, layer: Message, key: str, where: str) -> Message:
        """The message a parameter belongs to: the type's own, or else the layer itself."""
        own = param_messages(self.type_name)
        fields = fields_of(layer.DESCRIPTOR)
        if not key.endswith("param"):
            for field in own:
                if key in fields[field].message_type.fields_by_name:
                    return getattr(layer, field)
        if key in fields:
            return layer
        names = [name for field in own for name in fields[field].message_type.fields_by_name]
        hint = _hint_for_type(self.type_name) or nearest(key, [*names, *fields])
        if not hint and names:
            hint = f"{self.type_name} has {', '.join(names)}"
        raise ParameterError(where, f"unknown parameter '{key}'", hint=hint)


class NetSpec:
    """Tops by name: ``n.conv1 = L.Convolution(...)``, ``n['conv1']``, ``n.to_proto()``.

    Args:
        name: what the net is called.
    """

    def __init__(self, name: str = ""):
        super().__setattr__("tops", {})
        super().__setattr__("_net_name", name)

    def __setattr__(self, name: str, top: Top | Function) -> None:
        if not isinstance(top, (Top, Function)):
            raise ParameterError(
                f"NetSpec '{name}'",
                "the top of a layer",
                f"{len(top)} of them" if isinstance(top, tuple) else repr(top),
                "n.data, n.label = L.Data(..., ntop=2)" if isinstance(top, tuple) else "",
            )
        self.tops[name] = top

    def __getattr__(self, name: str) -> Top | Function:
        # "tops" is missing while being copied
        if name in ("tops", "_net_name") or name not in self.tops:
            raise AttributeError(f"the net has no top '{name}'")
        return self.tops[name]

    def __setitem__(self, name: str, top: Top | Function) -> None:
        setattr(self, name, top)

    def __getitem__(self, name: str) -> Top | Function:
        return self.tops[name]

    def to_proto(self) -> Message:
        """A NetParameter of all layers that the tops need, called by their names."""
        net = _assemble(self.tops.values(), {top: name for name, top in self.tops.items()})
        if self._net_name:
            net.name = self._net_name
        return net


class Parameters:
    """``params.Pooling.MAX``: the enum values of a layer type's parameter message."""

    def __getattr__(self, type_name: str) -> type[Message]:
        message = message_of(type_name)
        if message is None:
            raise AttributeError(f"no layer type '{type_name}' with parameters")
        return message


def layer_function(type_name: str) -> Callable[..., Top | tuple[Top, ...] | Function]:
    """The function that makes a layer of a type from its bottoms and parameters.

    It returns the layer's top, or all of them if there are several (``ntop=2``), or the Function
    itself if there are none (``ntop=0``). ``in_place=True`` writes into the bottom.
    """

    def make_layer(*bottoms: Top, **params) -> Top | tuple[Top, ...] | Function:
        fn = Function(type_name, bottoms, params)
        if fn.ntop == 0:
            return fn
        return fn.tops[0] if fn.ntop == 1 else fn.tops

    make_layer.__name__ = make_layer.__qualname__ = type_name
    make_layer.__signature__, make_layer.__doc__ = signature_and_doc(type_name)
    return make_layer


def to_proto(*tops: Top | Function) -> Message:
    """A NetParameter of all layers that the tops need, with names made from the types."""
    return _assemble(tops, {})


def param_name_dict() -> dict[str, str]:
    """Layer types and the stems of their parameter fields: ``InnerProduct: inner_product``."""
    return {kind: field.removesuffix("_param") for kind, field in param_fields().items()}


def assign_proto(proto: Message, name: str, value: object, where: str = "") -> None:
    """Set a field of a message from plain Python.

    Args:
        value: a dict for a message; a list, tuple or array for a repeated field, where a single
            value will do as well; an enum's number or name.
        where: the name that errors give the message.

    Errors:
        ParameterError: no such field, or not a value for it.
    """
    where = where or proto.DESCRIPTOR.name
    known = fields_of(proto.DESCRIPTOR)
    if name not in known:
        hint = nearest(name, known)
        raise ParameterError(where, f"unknown parameter '{name}'", hint=hint)
    field = known[name]
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if is_repeated(field):
        for item in value if isinstance(value, (list, tuple, range)) else [value]:
            _assign_item(proto, field, item, where)
    elif field.message_type is not None:
        _assign_message(getattr(proto, name), value, f"{where} {name}")
    else:
        _assign_item(proto, field, value, where)


def _assign_item(proto: Message, field: FieldDescriptor, value: object, where: str) -> None:
    """Set a scalar field, or append one item to a repeated one."""
    if field.message_type is not None:
        _assign_message(getattr(proto, field.name).add(), value, f"{where} {field.name}")
        return
    kind = _KINDS[field.cpp_type]
    if field.enum_type is not None:
        names = field.enum_type.values_by_name
        kind = f"one of {', '.join(names)}"
        if isinstance(value, str) and value in names:
            value = names[value].number
    try:
        if is_repeated(field):
            getattr(proto, field.name).append(value)
        else:
            setattr(proto, field.name, value)
    except (TypeError, ValueError) as error:
        raise ParameterError(where, f"{kind} for '{field.name}'", repr(value)) from error


def _assign_message(proto: Message, value: object, where: str) -> None:
    proto.SetInParent()
    if isinstance(value, type(proto)):
        proto.MergeFrom(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            assign_proto(proto, key, item, where)
    else:
        raise ParameterError(where, "a dict", repr(value))


def _hint_for_type(type_name: str) -> str:
    """The layer type that a type nobody knows must have meant, as a hint, or ""."""
    known = layer_type_list()
    if type_name in known or type_name in CAFFE_TYPES or param_messages(type_name):
        return ""
    meant = meant_type(type_name, known)
    return f"did you mean '{meant}'?" if meant and meant != type_name else ""


def _in_order(tops: Iterable[Top | Function]) -> list[Function]:
    """All layers that the tops need, each behind the layers it reads."""
    done: dict[Function, None] = {}
    for top in tops:
        path = [top.fn if isinstance(top, Top) else top]
        while path:
            waiting = (bottom.fn for bottom in path[-1].inputs if bottom.fn not in done)
            following = next(waiting, None)
            if following is None:
                done[path.pop()] = None
            else:
                path.append(following)
    return list(done)


def _assemble(tops: Iterable[Top | Function], given: Mapping[Top | Function, str]) -> Message:
    """The net of all layers that the tops need.

    Args:
        given: names of tops, and of layers without tops; all others are called by their type and
            a number.
    """
    names, numbers = dict(given), Counter()

    def name_of(thing: Top | Function, type_name: str) -> str:
        if thing not in names:
            numbers[type_name] += 1
            names[thing] = f"{type_name}{numbers[type_name]}"
        return names[thing]

    net = NetParameter()
    written: dict[Function, Message] = {}
    for fn in _in_order(tops):
        layer = net.layer.add(type=fn.type_name)
        layer.bottom.extend(written[bottom.fn].top[bottom.n] for bottom in fn.inputs)
        if fn.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(name_of(top, fn.type_name) for top in fn.tops)
        layer.name = name_of(fn.tops[0] if fn.tops else fn, fn.type_name)
        fn.assign_params(layer)
        written[fn] = layer
    return net


params = Parameters()
