"""The wire format of Protocol Buffers, walked in place: big arrays never become messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import FileFormatError
from .atomic_files import existing_file

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """One field of a message, or a run of numbers that all carry their own tag.

    ``start`` and ``stop`` bound its payload in the file; ``value`` is a varint's value, as the
    signed 64-bit integer it encodes; ``stride`` is the distance between the numbers of a run.
    """

    number: int
    wire: int
    start: int
    stop: int
    value: int = 0
    stride: int = 0


class Scanner:
    """A file's bytes and the fields in them.

    Errors:
        FileFormatError: naming the file, the offset and what was being read there.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = existing_file(path)
        self.data = np.fromfile(self.path, np.uint8)
        self.view = memoryview(self.data)
        self.size = len(self.view)

    def error(self, offset: int, what: str, got: str, hint: str = "") -> FileFormatError:
        return FileFormatError(f"{self.path} at byte {offset}", what, got, hint)

    def varint(self, offset: int, stop: int, what: str) -> tuple[int, int]:
        """An unsigned integer of 7 bits a byte, and the offset behind it."""
        if offset < stop and self.view[offset] < 128:  # most are of one byte
            return self.view[offset], offset + 1
        value, position = 0, offset
        for shift in range(0, 70, 7):
            if position >= stop:
                raise self.error(offset, what, "the end of the data: the file is truncated")
            byte = self.view[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, position
        raise self.error(offset, what, "an integer of more than 10 bytes")

    def fields(self, start: int, stop: int, what: str) -> Iterator[Field]:
        """The fields of the message between two offsets; ``what`` is its name for errors."""
        position = start
        while position < stop:
            tag_start = position
            tag, position = self.varint(position, stop, what)
            number, wire = tag >> 3, tag & 7
            if number == 0 or wire not in (VARINT, FIXED64, BYTES, FIXED32):
                raise self.error(tag_start, what, f"bytes that are not one ({tag:#x})")
            if wire == VARINT:
                value, end = self.varint(position, stop, what)
                signed = value - (1 << 64) if value >> 63 else value
                yield Field(number, wire, position, end, signed)
            elif wire == BYTES:
                size, position = self.varint(position, stop, what)
                end = position + size
                if end > stop:
                    got = f"only {stop - position} of {size} bytes: the file is truncated"
                    raise self.error(position, f"field {number} of {what}", got)
                yield Field(number, wire, position, end)
            else:
                field = self._run(number, wire, tag_start, position, stop)
                end = field.stop
                if end > stop:
                    got = "the end of the data: the file is truncated"
                    raise self.error(position, f"field {number} of {what}", got)
                yield field
            position = end

    def _run(self, number: int, wire: int, tag_start: int, position: int, stop: int) -> Field:
        """All the numbers from here on that carry the same tag, as one field.

        Old files hold every float by itself behind a tag byte: a loop would take minutes.
        """
        width = _WIDTHS[wire]
        stride = position - tag_start + width
        count, block = 1, 64
        following = tag_start + stride
        # The fields that hold many numbers have one-byte tags.
        alike = (position - tag_start == 1 and following < stop
                 and self.view[following] == self.view[tag_start])
        while alike:
            tags = self.data[tag_start + count * stride : stop : stride][:block]
            other = np.flatnonzero(tags != self.data[tag_start])
            count += int(other[0]) if other.size else len(tags)
            if other.size or len(tags) < block:
                break
            block *= 2
        return Field(number, wire, position, position + (count - 1) * stride + width, 0, stride)

    def numbers(self, field: Field, dtype: str) -> np.ndarray:
        """The numbers of a packed field or of a run, as an array of their own."""
        dtype = np.dtype(dtype)
        native = dtype.newbyteorder("=")
        if field.wire == BYTES:
            if (field.stop - field.start) % dtype.itemsize:
                size = field.stop - field.start
                raise self.error(field.start, f"numbers of {dtype.itemsize} bytes", f"{size} bytes")
            return np.frombuffer(self.view[field.start : field.stop], dtype).astype(native)
        if _WIDTHS.get(field.wire) != dtype.itemsize:
            raise self.error(field.start, f"numbers of {dtype.itemsize} bytes", "other data")
        count = (field.stop - field.start) // field.stride + 1
        return np.ndarray((count,), dtype, self.data, field.start, (field.stride,)).astype(native)

    def integers(self, field: Field, what: str, most: int) -> list[int]:
        """The value of a varint field, or those of a packed one, which holds at most ``most``."""
        if field.wire == VARINT:
            return [field.value]
        if field.wire != BYTES:
            raise self.error(field.start, f"integers in {what}", "other data")
        values, position = [], field.start
        while position < field.stop:
            if len(values) == most:
                raise self.error(field.start, f"at most {most} integers in {what}", "more")
            value, position = self.varint(position, field.stop, what)
            values.append(value - (1 << 64) if value >> 63 else value)
        return values

    def text(self, field: Field) -> str:
        """The content of a string field."""
        return bytes(self.view[field.start : field.stop]).decode("utf-8", errors="replace")


def varint(value: int) -> bytes:
    """An integer that is not negative, in 7 bits a byte."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(number: int, size: int) -> bytes:
    """The bytes in front of a field that holds ``size`` bytes: a message, string or packed list."""
    return varint(number << 3 | BYTES) + varint(size)
