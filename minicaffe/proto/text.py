"""Prototxt: a message read from text, with errors that name file, line and column, and written.

Source: the text format of Protocol Buffers, as far as Caffe's users write it: comments, both
quotes, adjacent strings, ``name: {`` as well as ``name {`` and ``name <``, lists in brackets.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ..errors import FileFormatError, nearest
from .files import existing_file
from .schema import V1_TYPES, is_repeated
from .tokens import Source, Token
from .typos import misspelt, places

MessageT = TypeVar("MessageT", bound=Message)

_CLOSING = {"{": "}", "<": ">", "[": "]"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_log = logging.getLogger("minicaffe")


def parse_text(
    text: str, message: type[MessageT] | MessageT, file: str = "<text>", strict: bool = False
) -> MessageT:
    """Read a message from prototxt text.

    Args:
        text: the prototxt.
        message: a message class, or a message to add to.
        file: the name that errors and warnings give the text.
        strict: make every unknown field of the outermost message an error. Otherwise a field
            that looks like a slip of the pen is an error, and any other is skipped with a warning.

    Errors:
        ParseError: ``where`` is file:line:column.
    """
    if isinstance(message, type):
        message = message()
    _Parser(text.removeprefix("\ufeff"), file).parse(message, strict)
    return message


def read_text(
    path: str | os.PathLike, message_class: type[MessageT], strict: bool = False
) -> MessageT:
    """Read a message from a prototxt file; see :func:`parse_text`.

    Errors:
        MissingFileError: no such file.
        FileFormatError: the file is binary, such as a caffemodel.
        ParseError: the text is not a prototxt of this message.
    """
    path = existing_file(path)
    data = path.read_bytes()
    control = _CONTROL.search(data)
    if control:
        raise FileFormatError(
            str(path),
            f"a prototxt, which is text ({message_class.DESCRIPTOR.name})",
            f"binary data at byte {control.start()}",
            "weights (.caffemodel) are read by Net(prototxt, weights, phase) or net.copy_from",
        )
    # Comments in another encoding do no harm; bytes that are not UTF-8 elsewhere are found later.
    text = data.decode("utf-8-sig", errors="surrogateescape")
    return parse_text(text, message_class, str(path), strict)


def to_text(message: Message) -> str:
    """A message as prototxt, floats as short as they can be (0.01)."""
    return text_format.MessageToString(message, as_utf8=True)


class _Parser:
    """Reads tokens into messages, one method for each construct of the syntax."""

    def __init__(self, text: str, file: str):
        self.source = Source(text, file)
        self.tokens = self.source.tokens()
        self.position = 0
        self.strict_type: Descriptor | None = None
        self.warned: set[str] = set()

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def advance(self) -> Token:
        token = self.token
        self.position += token.kind != "end"
        return token

    def accept(self, *marks: str) -> Token | None:
        """The next token if it is one of these marks, else None and stay."""
        return self.advance() if self.token.kind == "mark" and self.token.text in marks else None

    def parse(self, message: Message, strict: bool) -> None:
        """Read all of the text into the message."""
        self.strict_type = message.DESCRIPTOR if strict else None
        self.fields(message, None)

    def fields(self, message: Message, opening: Token | None) -> None:
        """Read fields up to the brace that closes ``opening``, or to the end of the file."""
        first = opening or self.token
        given: dict[str, Token] = {}
        while not self.closes(opening):
            self.field(message, given, opening)
            self.accept(",", ";")
        if not message.IsInitialized():
            missing = ", ".join(f"'{name}'" for name in message.FindInitializationErrors())
            raise self.source.error(first, f"{message.DESCRIPTOR.name} needs {missing}")

    def closes(self, opening: Token | None) -> bool:
        """Whether the next token ends the block; a brace that does is consumed."""
        if self.token.kind == "end":
            if opening is None:
                return True
            raise self.unclosed(opening)
        return opening is not None and self.accept(_CLOSING[opening.text]) is not None

    def unclosed(self, opening: Token) -> Exception:
        line = self.source.line(opening.start)
        expected = f"'{_CLOSING[opening.text]}' for the '{opening.text}' opened on line {line}"
        return self.source.error(self.token, expected, self.token)

    def field(self, message: Message, given: dict[str, Token], opening: Token | None) -> None:
        """Read one field, with its value or list of values."""
        token = self.advance()
        if token.kind != "word" or not token.text.isidentifier():
            hint = "one closing brace too many?" if token.text in ("}", ">") else ""
            raise self.source.error(token, "the name of a field", token, hint)
        field = message.DESCRIPTOR.fields_by_name.get(token.text)
        if field is None:
            self.unknown_field(message, token, opening)
            return
        if not is_repeated(field):
            if token.text in given:
                line = self.source.line(given[token.text].start)
                twice = f"'{token.text}' is given twice, first on line {line}"
                raise self.source.error(token, twice)
            given[token.text] = token
        self.values(message, field)

    def values(self, message: Message, field: FieldDescriptor) -> None:
        """Read what stands after a field's name: one value, or a list of them in brackets."""
        colon = self.accept(":")
        if not colon and field.message_type is None:
            raise self.source.error(self.token, f"':' after '{field.name}'", self.token)
        bracket = self.accept("[")
        if not bracket:
            self.value(message, field)
            return
        if not is_repeated(field):
            raise self.source.error(bracket, f"a single value for '{field.name}'", "a list")
        while not self.accept("]"):
            self.value(message, field)
            if not self.accept(",") and self.token.text != "]":
                raise self.unclosed(bracket)

    def value(self, message: Message, field: FieldDescriptor) -> None:
        """Read one value into the message."""
        if field.message_type is not None:
            self.submessage(message, field)
            return
        token = self.advance()
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            value = self.string(token, field)
        else:
            value = self.source.scalar(token, field)
        if is_repeated(field):
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    def string(self, token: Token, field: FieldDescriptor) -> str | bytes:
        if token.kind != "string":
            hint = f'write "{token.text}"' if token.kind == "word" else ""
            raise self.source.error(token, f"a string in quotes for '{field.name}'", token, hint)
        tokens = [token]
        while self.token.kind == "string":
            tokens.append(self.advance())
        return self.source.string(tokens, field)

    def submessage(self, message: Message, field: FieldDescriptor) -> None:
        opening = self.accept("{", "<")
        if not opening:
            raise self.source.error(self.token, f"'{{' after '{field.name}'", self.token)
        child = getattr(message, field.name)
        if is_repeated(field):
            child = child.add()
        else:
            child.SetInParent()  # "relu_param { }" counts as given
        self.fields(child, opening)

    def unknown_field(self, message: Message, token: Token, opening: Token | None) -> None:
        """Refuse a field that the message does not have, or skip it with one warning a name."""
        name, kind = token.text, message.DESCRIPTOR
        if opening and name in ("layer", "layers") and self.at_block():
            block = f"{kind.name} '{getattr(message, 'name', '')}'".removesuffix(" ''")
            raise self.source.error(
                token,
                f"a '{_CLOSING[opening.text]}' is missing before this line: {block}, "
                f"opened on line {self.source.line(opening.start)}, is not closed",
            )
        strict = kind == self.strict_type
        hint = _hint(message, name) or (nearest(name, kind.fields_by_name) if strict else "")
        if hint or strict:
            raise self.source.error(token, f"{kind.name} has no field '{name}'", hint=hint)
        self.skip_value(name)
        if name not in self.warned:
            self.warned.add(name)
            line = self.source.line(token.start)
            _log.warning(
                "%s:%d: %s has no field '%s': skipped", self.source.file, line, kind.name, name
            )

    def at_block(self) -> bool:
        """Whether the value that comes next is a message."""
        following = self.tokens[self.position : self.position + 2]  # perhaps a colon before it
        return any(token.text in ("{", "<") for token in following)

    def skip_value(self, name: str) -> None:
        """Pass over the value of an unknown field: a scalar, a list or a whole message."""
        colon = self.accept(":")
        opened = [token for token in [self.accept(*_CLOSING)] if token]
        if not opened:
            if not colon or self.token.kind not in ("word", "string"):
                raise self.source.error(self.token, f"a value for '{name}'", self.token)
            while self.advance().kind == "string" and self.token.kind == "string":
                pass
        while opened:
            if self.token.kind == "end" or self.token.text in ("}", ">", "]"):
                if self.token.text != _CLOSING[opened[-1].text]:
                    raise self.unclosed(opened[-1])
                opened.pop()
            elif self.token.kind == "mark" and self.token.text in _CLOSING:
                opened.append(self.token)
            self.advance()


def _hint(message: Message, name: str) -> str:
    """What an unknown field of a message must have meant, or "" if it is somebody else's."""
    kind, layer_type = message.DESCRIPTOR, getattr(message, "type", "")
    if not isinstance(layer_type, str):
        layer_type = V1_TYPES.get(layer_type, "")
    homes = " or ".join(f"{home} {{ }}" for home in places(name, kind, layer_type))
    if homes:
        return f"it belongs in {homes}"
    meant = misspelt(name, kind.fields_by_name, layer_type)
    return f"did you mean '{meant}'?" if meant else ""
