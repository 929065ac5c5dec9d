"""Prototxt text as tokens, and tokens as the values of fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from ..errors import ParseError, in_line, nearest

# Only runs of one class of characters are repeated: a group would take memory for each character.
_TOKEN = re.compile(
    rb"""\s*(?:
        (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
      | (?P<word>[-+.\w]+)
      | (?P<mark>[:{}<>\[\],;])
      | (?P<comment>\#[^\n]*)
      | (?P<quote>["'])
      | (?P<end>\Z))""",
    re.VERBOSE,
)
_IN_STRING = {b"'": re.compile(rb"['\\\n]"), b'"': re.compile(rb'["\\\n]')}
_SHOWN = 200  # bytes of a string that errors show
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[fF]?")
_NOT_FINITE = re.compile(r"[-+]?(inf|infinity|nan)", re.IGNORECASE)
_ESCAPE = re.compile(
    rb"\\(?:[xX]([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))"
)
_LETTERS = {bytes([a]): bytes([b]) for a, b in zip(b"ntrabfv", b"\n\t\r\a\b\f\v", strict=True)}
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "t", "1"), True),
    **dict.fromkeys(("false", "False", "f", "0"), False),
}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Token(NamedTuple):
    """A piece of the text: ``kind`` is string, word, mark or end; ``start`` and ``stop`` bound it.

    ``text`` is what errors show: of a long string the beginning.
    """

    kind: str
    text: str
    start: int
    stop: int

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the file"
        return in_line(self.text if self.kind == "string" else f"'{self.text}'")


class Source:
    """A prototxt's bytes and name: cuts it into tokens, says where one stands, reads its value."""

    def __init__(self, content: bytes, file: str):
        self.content, self.file = content, file
        self._counted = (0, 1)  # an offset and its line

    def line(self, offset: int) -> int:
        """The line, from 1, of an offset in the text."""
        counted, line = self._counted if offset >= self._counted[0] else (0, 1)
        self._counted = (offset, line + self.content.count(b"\n", counted, offset))
        return self._counted[1]

    def error(self, token: Token, expected: str, got: object = None, hint: str = "") -> ParseError:
        """An error at a token, with file, line and column (from 1)."""
        begin = self.content.rfind(b"\n", 0, token.start) + 1
        column = len(_shown(self.content[begin:token.start])) + 1
        return ParseError(f"{self.file}:{self.line(token.start)}:{column}", expected, got, hint)

    def tokens(self) -> Iterator[Token]:
        """The tokens, without space and comments, and in the end those of kind ``end``."""
        content, match_at, offset = self.content, _TOKEN.match, 0
        while True:
            match = match_at(content, offset)
            if match is None:
                raise self._bad_character(offset)
            kind = match.lastgroup
            start, offset = match.span(kind)
            if kind == "comment":
                continue
            if kind == "word" or kind == "mark":
                yield Token(kind, match[kind].decode(), start, offset)
            elif kind == "end":
                yield Token(kind, "", start, offset)
            else:
                offset = offset if kind == "string" else self._end_of_string(start)
                text = _shown(content[start:min(offset, start + _SHOWN)])
                yield Token("string", text, start, offset)

    def _end_of_string(self, start: int) -> int:
        """The offset behind a string with escapes in it."""
        quote = self.content[start:start + 1]
        pattern, offset = _IN_STRING[quote], start + 1
        while match := pattern.search(self.content, offset):
            if match[0] == quote:
                return match.end()
            offset = match.end() + 1  # behind what is escaped, which is no end of a line
            if match[0] == b"\n" or self.content[match.end():offset] == b"\n":
                break
        closing = f"the string that starts here has no closing {quote.decode()}"
        raise self.error(Token("mark", "", start, start + 1), closing)

    def _bad_character(self, offset: int) -> ParseError:
        while self.content[offset:offset + 1].isspace():
            offset += 1
        letter = self.content[offset:offset + 4].decode("utf-8", "replace")[0]
        shown = letter if letter != "\ufffd" else _shown(self.content[offset:offset + 1])
        shown = shown if shown.isprintable() else ascii(shown)[1:-1]
        return self.error(Token("mark", letter, offset, offset + 1),
                          f"unexpected character '{shown}'")

    def string(self, token: Token) -> bytes | bytearray:
        """What a string token says.  Errors: ParseError for escapes of no character."""
        inner = self.content[token.start + 1:token.stop - 1]
        if b"\\" not in inner:
            return inner
        said, offset = bytearray(), 0
        try:
            for match in _ESCAPE.finditer(inner):
                said += inner[offset:match.start()]
                said += _unescape(match)
                offset = match.end()
        except (ValueError, OverflowError) as error:  # \U beyond the last code point, a surrogate
            raise self.error(token, "escapes of characters that exist", token) from error
        return said + inner[offset:]

    def scalar(self, token: Token, field: FieldDescriptor) -> int | float | bool:
        """The value of a single token for a field that is neither a string nor a message."""
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self._enum(token, field)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            value, expected = _BOOLEANS.get(token.text), "true or false"
        elif kind in _RANGES:
            value, expected = _integer(token.text), "an integer"
        else:
            value, expected = _float(token.text), "a number"
        if token.kind != "word" or value is None:
            raise self.error(token, f"{expected} for '{field.name}'", token)
        low, high = _RANGES.get(kind, (value, value))
        if value < low or value > high:
            raise self.error(token, f"'{field.name}' between {low} and {high}", token)
        return value

    def _enum(self, token: Token, field: FieldDescriptor) -> int:
        enum: EnumDescriptor = field.enum_type
        if token.kind == "word":
            if token.text in enum.values_by_name:
                return enum.values_by_name[token.text].number
            number = _integer(token.text)
            if number in enum.values_by_number:
                return number
        names = list(enum.values_by_name)
        hint = nearest(token.text, names)
        if token.kind == "string":
            hint = f"{enum.full_name.removeprefix('caffe.')} is written without quotes"
        raise self.error(token, f"one of {', '.join(names)} for '{field.name}'", token, hint)


def _shown(content: bytes) -> str:
    """A part of the text as errors show it, whatever its encoding."""
    return content.decode("utf-8", "backslashreplace")


def _integer(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    digits = text.lstrip("+-")
    octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
    try:
        return int(text, 8 if octal else 0)
    except ValueError:  # an 8 or 9 in an octal number
        return None


def _float(text: str) -> float | None:
    match = _FLOAT.fullmatch(text)
    if match:
        return float(match.group(1))
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    integer = _integer(text)
    try:
        return None if integer is None else float(integer)
    except OverflowError:
        return math.inf if integer > 0 else -math.inf


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, short, long, letter = match.groups()
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if octal:
        return bytes([int(octal, 8) & 255])
    if letter:
        return _LETTERS.get(letter, letter)
    return chr(int(short or long, 16)).encode("utf-8")
