"""Prototxt: a message read from text, with errors that name file, line and column, and written.

Source: the text format of Protocol Buffers, as far as Caffe's users write it: comments, both
quotes, adjacent strings, ``name: {`` as well as ``name {`` and ``name <``, lists in brackets.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ..errors import FileFormatError, in_line
from .atomic_files import existing_file
from .kinds import HEAD, refuse_other_kinds
from .layer_params import field_of
from .room import Room, message_cost, value_cost
from .schema import PACKAGE, is_repeated
from .tokens import Source, Token
from .unknown_fields import Unknown, hint_for_type

MessageT = TypeVar("MessageT", bound=Message)

_CLOSING = {"{": "}", "<": ">", "[": "]"}
_OWN_PARAM = re.compile(r"^(\s*)\[caffe\.own\d*\.(\w+)\](?= \{$)", re.MULTILINE)  # as it is read
_NO_NAME = " ''"
_LONGEST_NAME = 200
_DEEPEST = 100  # blocks in each other that are passed over
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def parse_text(
    text: str, message: type[MessageT] | MessageT, file: str = "<text>", strict: bool = False
) -> MessageT:
    """Read a message from prototxt text.

    Args:
        text: the prototxt.
        message: a message class, or a message to add to.
        file: the name that errors and warnings give the text.
        strict: make every unknown field of the outermost message an error, but those of forks that
            change nothing.

    A field that the message lacks is an error, as in Caffe, with what it must have meant. Skipped,
    with one warning a name, are fields of forks whose value changes nothing (``forks.tsv``), and
    those of a net, or of a layer whose type is none of Caffe's, that are no slip of the pen.

    Errors:
        ParseError: ``where`` is file:line:column.
    """
    if isinstance(message, type):
        message = message()
    text = text.removeprefix("\ufeff")
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which is told where it stands
        content = text.encode("utf-8", "surrogatepass")
    _Parser(content, file).parse(message, strict)
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
    content = path.read_bytes()
    expected = f"a prototxt, which is text ({message_class.DESCRIPTOR.name})"
    if content:
        refuse_other_kinds(path, content[:HEAD], expected)
    control = _CONTROL.search(content)
    if control:
        raise FileFormatError(
            str(path),
            expected,
            f"binary data at byte {control.start()}",
            "weights (.caffemodel) are read by Net(prototxt, weights, phase) or net.copy_from",
        )
    message = message_class()
    # Comments in another encoding do no harm; bytes that are not UTF-8 elsewhere are found later.
    _Parser(content.removeprefix(codecs.BOM_UTF8), str(path)).parse(message, strict)
    return message


def to_text(message: Message) -> str:
    """A message as prototxt, floats as short as they can be (0.01)."""
    text = text_format.MessageToString(message, as_utf8=True)
    return _OWN_PARAM.sub(r"\1\2", text)


class _Parser:
    """Reads tokens into messages, one method for each construct of the syntax."""

    def __init__(self, content: bytes, file: str):
        self.source = Source(content, file)
        self.tokens = self.source.tokens()
        self.token, self.following = next(self.tokens), None
        self.room = Room(len(content))
        self.strict_type: Descriptor | None = None
        self.unknown = Unknown(self.source)

    def advance(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.token, self.following = self.following or next(self.tokens), None
        return token

    def peek(self) -> Token:
        """The token behind the next one."""
        if self.following is None:
            self.following = next(self.tokens) if self.token.kind != "end" else self.token
        return self.following

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
        unknown: dict[str, Token] = {}
        while not self.closes(opening):
            token = self.name_of_field()
            field = field_of(message.DESCRIPTOR, token.text)
            if field is not None:
                self.field(message, field, given, token)
            elif not self.skip_field(message, token, opening):
                unknown.setdefault(token.text, token)
            self.accept(",", ";")
        for token in unknown.values():  # a layer's type, which matters, is known by now
            self.unknown.judge(message, token, strict=message.DESCRIPTOR == self.strict_type)
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

    def name_of_field(self) -> Token:
        """The name of the next field; protobuf writes that of a layer of one's own in brackets."""
        token = self.advance()
        if token.text == "[" and self.token.text.startswith(f"{PACKAGE}."):
            token = self.advance()
            token = token._replace(text=token.text.rpartition(".")[2])
            if not self.accept("]"):
                raise self.source.error(self.token, "']'", self.token)
        if (token.kind != "word" or len(token.text) > _LONGEST_NAME
                or not token.text.isidentifier()):
            hint = "one closing brace too many?" if token.text in ("}", ">") else ""
            raise self.source.error(token, "the name of a field", token, hint)
        return token

    def field(self, message: Message, field: FieldDescriptor, given: dict[str, Token],
              token: Token) -> None:
        """Read the value, or list of values, of the field that a token names."""
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
        elif field.enum_type is not None and token.text not in field.enum_type.values_by_name:
            if self.unknown.is_value_of_fork(field, token):
                return
            value = self.source.scalar(token, field)
        else:
            value = self.source.scalar(token, field)
        if is_repeated(field):
            self.take(value_cost(value), token)
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    def take(self, cost: int, token: Token) -> None:
        """Errors: ParseError where the message grows beyond what a file of this size may take."""
        if not self.room.take(cost):
            raise self.source.error(token, "a message that takes a few times the memory of its "
                                    "text", "very many small fields")

    def string(self, token: Token, field: FieldDescriptor) -> str | bytes:
        if token.kind != "string":
            hint = f'write "{in_line(token.text)}"' if token.kind == "word" else ""
            if (field.containing_type.name, field.name) == ("LayerParameter", "type"):
                hint = hint_for_type(token) or hint
            raise self.source.error(token, f"a string in quotes for '{field.name}'", token, hint)
        content = self.source.string(token)
        if self.token.kind == "string":
            content = bytearray(content)
        while self.token.kind == "string":
            content += self.source.string(self.advance())
        if field.type == FieldDescriptor.TYPE_BYTES:
            return bytes(content)
        try:
            return content.decode("utf-8")
        except UnicodeError as error:
            raise self.source.error(token, f"UTF-8 text for '{field.name}'", token) from error

    def submessage(self, message: Message, field: FieldDescriptor) -> None:
        opening = self.accept("{", "<")
        if not opening:
            raise self.source.error(self.token, f"'{{' after '{field.name}'", self.token)
        self.take(message_cost(field.message_type), opening)
        child = getattr(message, field.name)
        if is_repeated(field):
            child = child.add()
        else:
            child.SetInParent()  # "relu_param { }" counts as given
        self.fields(child, opening)

    def skip_field(self, message: Message, token: Token, opening: Token | None) -> bool:
        """Pass over a field that the message lacks; whether forks of Caffe are known to have it."""
        if opening and token.text in ("layer", "layers") and self.at_block():
            block = f"{message.DESCRIPTOR.name} '{in_line(getattr(message, 'name', ''))}'"
            raise self.source.error(
                token,
                f"a '{_CLOSING[opening.text]}' is missing before this line: "
                f"{block.removesuffix(_NO_NAME)}, "
                f"opened on line {self.source.line(opening.start)}, is not closed",
            )
        value = self.skip_value(token.text)
        return self.unknown.is_of_fork(message.DESCRIPTOR, token, value)

    def at_block(self) -> bool:
        """Whether the value that comes next is a message."""
        return any(token.text in ("{", "<") for token in (self.token, self.peek()))  # or ": {"

    def skip_value(self, name: str) -> str | None:
        """Pass over the value of an unknown field; returns it if it is a scalar.

        It may be a list or a whole message too.
        """
        colon = self.accept(":")
        opened = [token for token in [self.accept(*_CLOSING)] if token]
        scalar = None
        if not opened:
            if not colon or self.token.kind not in ("word", "string"):
                raise self.source.error(self.token, f"a value for '{name}'", self.token)
            scalar = self.token.text
            while self.advance().kind == "string" and self.token.kind == "string":
                pass
        while opened:
            if self.token.kind == "end" or self.token.text in ("}", ">", "]"):
                if self.token.text != _CLOSING[opened[-1].text]:
                    raise self.unclosed(opened[-1])
                opened.pop()
            elif self.token.kind == "mark" and self.token.text in _CLOSING:
                opened.append(self.token)
                if len(opened) > _DEEPEST:
                    raise self.source.error(self.token, f"blocks at most {_DEEPEST} deep", "more")
            self.advance()
        return scalar
