"""Prototxt text as tokens, and tokens as the values of fields."""

from __future__ import annotations

import re
from typing import NamedTuple

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from ..errors import ParseError, nearest

_TOKEN = re.compile(
    r"""(?P<skip>(?:\s|\#[^\n]*)+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[-+.\w]+)
      | (?P<mark>[:{}<>\[\],;])""",
    re.VERBOSE,
)
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[fF]?")
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
    """A piece of the text: ``kind`` is string, word, mark or end; ``start`` its offset."""

    kind: str
    text: str
    start: int

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the file"
        return self.text if self.kind == "string" else f"'{self.text}'"


class Source:
    """A prototxt's text and name: cuts it into tokens, says where one stands, reads its value."""

    def __init__(self, text: str, file: str):
        self.text, self.file = text, file

    def line(self, offset: int) -> int:
        """The line, from 1, of an offset in the text."""
        return self.text.count("\n", 0, offset) + 1

    def error(self, token: Token, expected: str, got: object = None, hint: str = "") -> ParseError:
        """An error at a token, with file, line and column (from 1)."""
        column = token.start - self.text.rfind("\n", 0, token.start)
        return ParseError(f"{self.file}:{self.line(token.start)}:{column}", expected, got, hint)

    def tokens(self) -> list[Token]:
        """All tokens, without space and comments, and one of kind ``end``."""
        found, offset = [], 0
        while offset < len(self.text):
            match = _TOKEN.match(self.text, offset)
            if match is None:
                raise self._bad_character(offset)
            if match.lastgroup != "skip":
                found.append(Token(match.lastgroup, match.group(), offset))
            offset = match.end()
        found.append(Token("end", "", offset))
        return found

    def _bad_character(self, offset: int) -> ParseError:
        token = Token("mark", self.text[offset], offset)
        if token.text in "\"'":
            return self.error(token, f"the string that starts here has no closing {token.text}")
        shown = token.text if token.text.isprintable() else ascii(token.text)[1:-1]
        return self.error(token, f"unexpected character '{shown}'")

    def string(self, tokens: list[Token], field: FieldDescriptor) -> str | bytes:
        """The joined content of adjacent strings: bytes, or text if the field is a string."""
        try:
            value = b"".join(
                _ESCAPE.sub(_unescape, token.text[1:-1].encode("utf-8")) for token in tokens
            )
            return value if field.type == FieldDescriptor.TYPE_BYTES else value.decode("utf-8")
        except UnicodeError as error:
            raise self.error(tokens[0], f"UTF-8 text for '{field.name}'", tokens[0]) from error
        except (ValueError, OverflowError) as error:  # \U beyond the last code point
            raise self.error(tokens[0], "escapes of characters that exist", tokens[0]) from error

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
    return None if integer is None else float(integer)


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, short, long, letter = match.groups()
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if octal:
        return bytes([int(octal, 8) & 255])
    if letter:
        return _LETTERS.get(letter, letter)
    return chr(int(short or long, 16)).encode("utf-8")
