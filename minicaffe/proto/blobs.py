"""The arrays in Caffe's binary files (BlobProto), read and written without becoming messages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from google.protobuf.message import Message

from ..errors import WeightsError
from .scan import BYTES, VARINT, Field, Scanner, header
from .schema import MESSAGES

_FIELDS = {field.name: field.number for field in MESSAGES["BlobProto"].DESCRIPTOR.fields}
_DIMS = [_FIELDS[name] for name in ("num", "channels", "height", "width")]
MOST_AXES = 32  # of a blob, as in Caffe
_MOST_PIECES = 1000
_LONGEST_AXIS = 2**31 - 1
# NVIDIA's fork writes the numbers as plain bytes, of one of these types.
_RAW_TYPE, _RAW_DATA = 10, 12
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}


def read_blob_at(scanner: Scanner, start: int, stop: int, owner: str = "") -> np.ndarray:
    """The array of the BlobProto between two offsets: float32, from half floats too, or float64.

    Args:
        owner: whose it is, for errors: "" or such as " of layer 'ip'".

    Errors:
        FileFormatError: numbers and shape that do not fit each other; a shape that Caffe has not;
            numbers in a type that is no float.
    """
    what = f"a blob{owner}"
    floats, doubles = _Numbers("<f4"), _Numbers("<f8")
    axes = _Axes()
    raw, raw_type = None, None
    for field in scanner.fields(start, stop, what):
        if field.number == _FIELDS["data"]:
            floats.add(scanner, field, what)
        elif field.number == _FIELDS["double_data"]:
            doubles.add(scanner, field, what)
        elif field.number == _RAW_DATA and field.wire == BYTES:
            raw = field
        elif field.number == _RAW_TYPE and field.wire == VARINT:
            raw_type = field.value
        else:
            axes.add(scanner, field, what)
    if raw is not None:
        values = _raw_numbers(scanner, raw, raw_type, what)
    else:
        values = (floats if doubles.first is None else doubles).array()
    shape = axes.shape(len(values))
    if min(shape, default=0) < 0 or math.prod(shape) != len(values):
        raise scanner.error(start, f"{what} of shape {shape}", f"{len(values)} numbers")
    if max(shape, default=0) > _LONGEST_AXIS or math.prod(dim or 1 for dim in shape) >= 2**60:
        raise scanner.error(start, f"{what} with axes that an array can have", shape)
    return values.reshape(shape)


class _MessageScanner(Scanner):
    """The bytes of a message that is part of a net's description."""

    def __init__(self, message: Message, where: str):
        self.path = where
        self.data = np.frombuffer(message.SerializeToString(), np.uint8)
        self.view = memoryview(self.data)
        self.size = len(self.view)

    def error(self, offset: int, what: str, got: object, hint: str = "") -> WeightsError:
        return WeightsError(self.path, what, got, hint)


def array_of(blob: Message, where: str) -> np.ndarray:
    """The array of a BlobProto, by the rules of those in files.

    Args:
        where: whose it is, for errors.

    Errors:
        WeightsError: what is a FileFormatError in files.
    """
    scanner = _MessageScanner(blob, where)
    return read_blob_at(scanner, 0, scanner.size)


def fits(stored: Sequence[int], own: Sequence[int]) -> bool:
    """Whether an array of a file has a parameter's shape.

    Equal shapes do, and, as old files have four axes always, those equal but for leading ones.
    """
    stored, own = tuple(stored), tuple(own)
    return stored == own or (
        len(stored) == 4 and len(own) <= 4 and stored == (1,) * (4 - len(own)) + own)


class _Numbers:
    """The numbers of a repeated field, in one piece or, in odd files, in some."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        self.first: np.ndarray | None = None
        self.pieces = 1
        self.joined = bytearray()  # all pieces, once there is a second one

    def add(self, scanner: Scanner, field: Field, what: str) -> None:
        piece = scanner.numbers(field, self.dtype)
        if self.first is None:
            self.first = piece
            return
        self.pieces += 1
        if self.pieces > _MOST_PIECES:
            raise scanner.error(field.start, f"the numbers of {what} in one piece", "very many")
        if not self.joined:
            self.joined += self.first.view(np.uint8).data
        self.joined += piece.view(np.uint8).data

    def array(self) -> np.ndarray:
        if self.first is None:
            return np.empty(0, np.float32)
        return np.frombuffer(self.joined, self.first.dtype) if self.joined else self.first


class _Axes:
    """A blob's shape: from the four numbers of old files, or from a BlobShape."""

    def __init__(self):
        self.old: dict[int, int] = {}
        self.dims: list[int] | None = None

    def add(self, scanner: Scanner, field: Field, what: str) -> None:
        if field.number in _DIMS and field.wire == VARINT:
            self.old[field.number] = field.value
        elif field.number == _FIELDS["shape"] and field.wire == BYTES:
            self.dims = []
            for item in scanner.fields(field.start, field.stop, f"the shape of {what}"):
                self.dims += scanner.integers(item, f"the shape of {what}", MOST_AXES)
                if len(self.dims) > MOST_AXES:
                    raise scanner.error(field.start, f"{what} of at most {MOST_AXES} axes", "more")

    def shape(self, count: int) -> tuple[int, ...]:
        """The shape; of a blob that tells none, ``count`` numbers in a row."""
        if self.old:  # they win over a BlobShape, as in Caffe
            return tuple(self.old.get(number, 0) for number in _DIMS)
        return (count,) if self.dims is None else tuple(self.dims)


def _raw_numbers(scanner: Scanner, raw: Field, kind: int | None, what: str) -> np.ndarray:
    if kind not in _RAW_TYPES:
        expected = "numbers that are double (0), float (1) or half (2) in raw_data"
        got = "no raw_data_type" if kind is None else f"raw_data_type {kind}"
        raise scanner.error(raw.start, f"{expected} of {what}", got)
    values = scanner.numbers(raw, _RAW_TYPES[kind])
    return values.astype(np.float32) if values.dtype.itemsize == 2 else values


def blob_parts(array: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A BlobProto in two parts: all that comes before its numbers, and the numbers."""
    array = np.asarray(array)
    double = array.dtype == np.float64
    values = np.ascontiguousarray(array, "<f8" if double else "<f4")
    shape = MESSAGES["BlobProto"](shape={"dim": array.shape}).SerializeToString()
    return shape + header(_FIELDS["double_data" if double else "data"], values.nbytes), values


def blob_field(number: int, array: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The same as a field of another message."""
    front, values = blob_parts(array)
    return header(number, len(front) + values.nbytes) + front, values
