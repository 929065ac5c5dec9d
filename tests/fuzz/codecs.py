"""Formats inside formats: taken apart, so that a change behind a check sum is met by the reader.

A codec takes bytes apart into parts, [head, body] each, both bytes, and puts such parts together
again with the lengths and check sums that belong to them.
"""

from __future__ import annotations

import gzip
import io
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

from minicaffe.proto import scan

Parts = list[list[bytes]]


class Codec(NamedTuple):
    """matches: whether bytes look like this format.  unpack, pack: from and to bytes."""

    matches: Callable[[bytes], bool]
    unpack: Callable[[bytes], Parts]
    pack: Callable[[Parts], bytes]


def of(data: bytes) -> Codec | None:
    """The codec that takes these bytes apart."""
    return next((codec for codec in CODECS if codec.matches(data)), None)


# ------------------------------------------------------------------------------------- containers

def _unpack_gzip(data: bytes) -> Parts:
    return [[b"", gzip.decompress(data)]]


def _pack_gzip(parts: Parts) -> bytes:
    return b"".join(gzip.compress(body, 1, mtime=0) for _, body in parts)


def _unpack_zip(data: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [[info.filename.encode("utf-8", "surrogateescape"), archive.read(info)]
                for info in archive.infolist()]


def _pack_zip(parts: Parts) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for head, body in parts:
            info = zipfile.ZipInfo(head.decode("utf-8", "replace"), (2000, 1, 1, 0, 0, 0))
            kind = zipfile.ZIP_DEFLATED if len(body) > 4096 else zipfile.ZIP_STORED
            archive.writestr(info, body, kind, 1)
    return file.getvalue()


def _unpack_tar(data: bytes) -> Parts:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        return [[member.name.encode("utf-8", "surrogateescape"), archive.extractfile(member).read()]
                for member in archive if member.isfile()]


def _pack_tar(parts: Parts) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for head, body in parts:
            info = tarfile.TarInfo(head.decode("utf-8", "surrogateescape"))
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return file.getvalue()


# --------------------------------------------------------------------------------- chunks of files

_PNG = b"\x89PNG\r\n\x1a\n"


def _unpack_png(data: bytes) -> Parts:
    parts, at = [], len(_PNG)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        parts.append([data[at + 4:at + 8], data[at + 8:at + 8 + size]])
        at += 12 + size
    return parts


def _pack_png(parts: Parts) -> bytes:
    return _PNG + b"".join(
        struct.pack(">I", len(body)) + head + body + struct.pack(">I", zlib.crc32(head + body))
        for head, body in parts)


_NPY = b"\x93NUMPY\x01\x00"


def _unpack_npy(data: bytes) -> Parts:
    size = int.from_bytes(data[8:10], "little")
    return [[b"", data[10:10 + size]], [b"", data[10 + size:]]]


def _pack_npy(parts: Parts) -> bytes:
    header = b"".join(body for _, body in parts[:1])
    return (_NPY + struct.pack("<H", len(header) & 0xffff) + header
            + b"".join(body for _, body in parts[1:]))


def _unpack_pickle(data: bytes) -> Parts:
    places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    return [[b"", data[start:stop]] for start, stop in zip(places, places[1:])]


def _join(parts: Parts) -> bytes:
    return b"".join(head + body for head, body in parts)


# -------------------------------------------------------------------------------------- protobuf

def varint(value: int) -> bytes:
    """A number as protobuf writes it, one below 0 as its 64 bits."""
    return scan.varint(value & 2**64 - 1)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _unpack_wire(data: bytes) -> Parts:
    """Fields: the head is the tag, the body what follows, without the length where it has one."""
    parts, at = [], 0
    while at < len(data):
        tag, after = _read_varint(data, at)
        head, at, wire = data[at:after], after, tag & 7
        if wire == 0:
            stop = _read_varint(data, at)[1]
        elif wire == 2:
            size, at = _read_varint(data, at)
            stop = at + size
        else:
            stop = at + {1: 8, 5: 4}[wire]
        if stop > len(data) or not 0 < tag >> 3 < 2**29:
            raise ValueError("not a message")
        parts.append([head, data[at:stop]])
        at = stop
    return parts


def _pack_wire(parts: Parts) -> bytes:
    return b"".join(head + (varint(len(body)) if head and head[0] & 7 == 2 else b"") + body
                    for head, body in parts)


def _is_wire(data: bytes) -> bool:
    try:
        return len(data) > 1 and bool(_unpack_wire(data))
    except (IndexError, KeyError, ValueError):
        return False


CODECS = (
    Codec(lambda data: data[:2] == b"\x1f\x8b", _unpack_gzip, _pack_gzip),
    Codec(lambda data: data[:2] == b"PK", _unpack_zip, _pack_zip),
    Codec(lambda data: data[257:262] == b"ustar", _unpack_tar, _pack_tar),
    Codec(lambda data: data.startswith(_PNG), _unpack_png, _pack_png),
    Codec(lambda data: data.startswith(_NPY), _unpack_npy, _pack_npy),
    Codec(lambda data: data[:1] == b"\x80" and data[-1:] == b".", _unpack_pickle, _join),
    Codec(_is_wire, _unpack_wire, _pack_wire),
)
