"""The array in a .npy file, and those in a .npz file, a zip of such; only what is asked is read."""

from __future__ import annotations

import io
import math
import os
import sys
from typing import BinaryIO, NamedTuple

import numpy
from numpy.lib import format as npy

from ..errors import FileFormatError, in_line
from .reading import damaged, file_size, opened, read_up_to
from .zips import ZipReader

AGAIN = "make it anew."
HEADER_BYTES = 2**10  # of a .npy file; NumPy itself writes 128
_KINDS = "buifcSU"  # of dtypes: numbers and text


class Header(NamedTuple):
    """What a .npy file says of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: numpy.dtype
    bytes: int  # of the header itself

    @property
    def count(self) -> int:
        """How many items it has."""
        return math.prod(self.shape)


class Npz:
    """A .npz file.

    Attributes:
        size: its bytes.  names: of the arrays in it.

    Errors: FileFormatError; UnreadableFileError.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = path
        with opened(path, AGAIN) as file:
            if file.read(2) != b"PK":  # as every zip begins
                raise FileFormatError(str(path), "a .npz file", "something else, or an empty "
                                      "file")
        self._zip = ZipReader(path, AGAIN)
        self.size = self._zip.size
        self._files = {name.removesuffix(".npy"): name for name in self._zip.names}
        self.names = tuple(self._files)

    def header(self, name: str) -> Header:
        """The shape and type of an array, which are those that its bytes have room for.

        Errors: FileFormatError, for Python objects too, which could run code.
        """
        where = f"{self._path}: '{in_line(name)}'"
        with self._zip.open(self._files[name]) as file:
            header = _header(file, where)
        size = self._zip.file_size(self._files[name]) - header.bytes
        _check_size(size, header, self._path, f"'{in_line(name)}'")
        return header

    def array(self, name: str, header: Header) -> numpy.ndarray:
        """An array, whose header has been read.  Errors: FileFormatError."""
        with self._zip.open(self._files[name]) as file:
            file.read(header.bytes)
            return _content(file, header, self._path, f"'{in_line(name)}'")


def read_npy(path: str | os.PathLike) -> numpy.ndarray:
    """The array of a .npy file.

    Errors: FileFormatError, for Python objects too, which could run code; UnreadableFileError.
    """
    with opened(path, AGAIN) as file:
        header = _header(file, str(path))
        _check_size(file_size(file) - header.bytes, header, path, "an array")
        return _content(file, header, path, "the array")


def _check_size(size: int, header: Header, path: str | os.PathLike, what: str) -> None:
    if size != header.count * header.dtype.itemsize:
        raise damaged(path, f"{size} bytes for {what} of shape {in_line(header.shape, 80)}", AGAIN)


def _content(file: BinaryIO, header: Header, path: str | os.PathLike, what: str) -> numpy.ndarray:
    """What stands behind an array's header."""
    size = header.count * header.dtype.itemsize
    data = read_up_to(file, size)
    if len(data) < size:
        raise damaged(path, f"{what} is cut short", AGAIN)
    found = data.view(header.dtype)
    if header.dtype.kind == "U":  # Python crashes on letters that are none
        letters = data.view(numpy.dtype("u4").newbyteorder(header.dtype.byteorder))
        if letters.max(initial=0) > sys.maxunicode:
            raise damaged(path, f"{what} holds letters that are none", AGAIN)
    return found.reshape(header.shape, order="CF"[header.fortran])


def _header(file: BinaryIO, where: str) -> Header:
    start = file.read(8)
    if start[:6] != npy.MAGIC_PREFIX or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise FileFormatError(where, "an array as NumPy writes it", "something else", AGAIN)
    first = start[6:] == b"\1\0"
    length = file.read(2 if first else 4)
    size = int.from_bytes(length, "little")
    if size > HEADER_BYTES:
        raise FileFormatError(where, f"a header of at most {HEADER_BYTES} bytes", size, AGAIN)
    text = file.read(size)
    read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    shape, fortran, dtype = read(io.BytesIO(length + text))
    if dtype.hasobject:
        raise FileFormatError(where, "arrays of numbers", "Python objects, which could run code "
                              "when read")
    if dtype.kind not in _KINDS or not dtype.itemsize or min(shape, default=0) < 0:
        raise FileFormatError(where, "an array of numbers", in_line(dtype, 80), AGAIN)
    return Header(shape, fortran, dtype, len(start) + len(length) + size)
