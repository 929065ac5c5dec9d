"""Fields, values and types of a prototxt that Caffe does not have: skipped, or refused with a hint.
"""

from __future__ import annotations

import logging

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .forks import fork_field
from .schema import CAFFE_TYPES, V1_TYPES
from .tokens import Source, Token
from .type_names import todays_type, v1_name
from .typos import hint_for_field

_LAYERS = ("LayerParameter", "V1LayerParameter")
_NOT_IN_CAFFE = "Caffe refuses it as well; leave it out if it changes nothing."
_MOST = 100  # different names that a file may have and Caffe not
_log = logging.getLogger("minicaffe")


class Unknown:
    """What is unknown in one text; of each name it warns once."""

    def __init__(self, source: Source):
        self.source = source
        self.warned: set[str] = set()
        self.hints: dict[tuple[str, str, str], str] = {}  # a net repeats a field in each layer

    def is_of_fork(self, kind: Descriptor, token: Token, value: str | None) -> bool:
        """Whether a field that a message lacks is known as a fork's, and may be skipped.

        Args:
            token: the field's name.
            value: as it is written, None for a list or a message.

        Errors: ParseError where the field does in the fork what is not done here.
        """
        known = fork_field(kind.name, token.text)
        if known is None:
            return False
        if not known.changes_nothing(value):
            raise self.source.error(token, f"{kind.name} has no field '{token.text}'; in forks of "
                                    f"Caffe it {known.does}, which is not done here",
                                    hint=known.hint)
        self._warn(token, token.text, f"{kind.name} has no field '{token.text}': skipped")
        return True

    def is_value_of_fork(self, field: FieldDescriptor, token: Token) -> bool:
        """Whether a value that an enum lacks is known as a fork's, and stands for the default.

        Errors: ParseError for the type of an old layer, with what it is called there.
        """
        known = fork_field(field.containing_type.name, field.name)
        if known is not None and known.changes_nothing(token.text):
            default = field.enum_type.values_by_number[field.default_value].name
            self._warn(token, field.name, f"{field.name}: {token.text} is taken as {default}")
            return True
        if (field.containing_type.name, field.name) == ("V1LayerParameter", "type"):
            self._check_v1_type(token)
        return False

    def judge(self, message: Message, token: Token, strict: bool) -> None:
        """Warn of a field that no one is known to have, where it may be skipped.

        That is so in a net, and in a layer whose type is none of Caffe's, as its parameters may be.

        Errors: ParseError elsewhere, where it is a slip of the pen, and where ``strict``.
        """
        name, kind, layer_type = token.text, message.DESCRIPTOR, ""
        if kind.name in _LAYERS:
            layer_type = V1_TYPES[message.type] if kind.name == _LAYERS[1] else message.type
        key = (name, kind.name, layer_type)
        if key not in self.hints:
            self.hints[key] = hint_for_field(name, kind, layer_type)
        may_be_skipped = not strict and (kind.name == "NetParameter" or (
            kind.name in _LAYERS and layer_type not in CAFFE_TYPES))
        if self.hints[key] or not may_be_skipped:
            hint = self.hints[key] or ("" if strict else _NOT_IN_CAFFE)
            raise self.source.error(token, f"{kind.name} has no field '{name}'", hint=hint)
        self._warn(token, name, f"{kind.name} has no field '{name}': skipped")

    def _warn(self, token: Token, name: str, text: str) -> None:
        if name in self.warned:
            return
        self.warned.add(name)
        if len(self.warned) > _MOST:
            raise self.source.error(token, f"at most {_MOST} different fields that Caffe lacks",
                                    "more", "is it a net for Caffe?")
        _log.warning("%s:%d: %s", self.source.file, self.source.line(token.start), text)

    def _check_v1_type(self, token: Token) -> None:
        """Errors: ParseError for a type that old layers lack, with what it is called there."""
        if token.kind == "word" and token.text.isdigit():
            return
        name = token.text.strip("\"'")
        old = v1_name(name)
        if token.kind == "string":
            hint = (f"write type: {old}, or" if old else f"old layers have no '{name}':")
            hint += " write 'layer {' for 'layers {', with types in quotes, in the whole file"
        else:
            hint = f"did you mean {old}?" if old else (
                f"old layers have no {name}: write 'layer {{' for 'layers {{', with types in "
                "quotes, in the whole file")
        raise self.source.error(token, "a type of old layers, without quotes, such as CONVOLUTION",
                                token, hint)


def hint_for_type(token: Token) -> str:
    """What is right for a layer's type that stands without quotes, as in old nets, or ""."""
    today = todays_type(token.text)
    if token.kind != "word" or not today:
        return ""
    whole = ", or 'layers {' for 'layer {' in the whole file" if token.text.isupper() else ""
    return f'write "{today}"{whole}'
