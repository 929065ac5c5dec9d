"""Files of a .tar.gz by their names; nothing in it that is no plain file is looked at."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from ..errors import FileFormatError
from .reading import AGAIN, check_unpacked, file_size, opened

HEADER_BYTES = 4096  # of a header that is a file of its own, such as a long name of the next file
_BLOCK = 512
_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE)


def tar_files(path: str | os.PathLike, wanted: Collection[str], most: int,
              times: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the regular files of certain names, in whatever folders they are.

    Args:
        most: bytes of one file.
        times: how many times as large as packed the archive may be, see ``check_unpacked``.

    Errors: FileFormatError; UnreadableFileError.
    """
    with opened(path) as file:
        stream, told = _Unpacked(file, str(path), times), {}
        while any(block := stream.block()):
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if member.type in _HEADERS:
                if member.size > HEADER_BYTES:
                    raise tarfile.ReadError(f"a header of {member.size} bytes")
                told |= _told(stream.padded(member.size), member.type)
                continue
            size = int(told.get(b"size", member.size))
            name = PurePosixPath(told.get(b"path", b"").decode() or member.name).name
            told = {}
            if member.type == tarfile.GNUTYPE_SPARSE or size < 0:
                raise tarfile.ReadError("a file with holes")
            if name in wanted and member.isreg():
                if size > most:
                    raise FileFormatError(f"{path}{os.sep}{name}",
                                          f"a file of at most {most} bytes", size, AGAIN)
                yield name, stream.padded(size)
            elif member.isreg() or member.type not in tarfile.SUPPORTED_TYPES:
                stream.skip(size)  # links and folders have nothing behind them
        stream.skip_all()


class _Unpacked:
    """What a gzip file holds, in order, as far as it is not too much.

    Args: see ``tar_files`` and ``check_unpacked``.
    """

    def __init__(self, file: BinaryIO, where: str, times: int):
        self._packed, self._where, self._times = file_size(file), where, times
        self._stream = gzip.GzipFile(fileobj=file)
        self._read = 0

    def block(self) -> bytes:
        """The next 512 bytes; none at the end.  Errors: EOFError for fewer, or an empty file."""
        return b"" if self._read and not self._stream.peek(1) else self._bytes(_BLOCK)

    def padded(self, size: int) -> bytes:
        """So many bytes; what is left of their last block is passed over."""
        data = self._bytes(size)
        self._bytes(-size % _BLOCK)
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes, and what is left of their last block."""
        size += -size % _BLOCK
        self._count(size)
        while size:
            piece = len(self._stream.read(min(size, 1 << 20)))
            if not piece:
                raise EOFError("it ends in the middle of a file")
            size -= piece

    def skip_all(self) -> None:
        """Pass over what is left to the end, where gzip compares its check sum."""
        while piece := self._stream.read(1 << 20):
            self._count(len(piece))

    def _bytes(self, size: int) -> bytes:
        self._count(size)
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError("it ends in the middle of a file")
        return data

    def _count(self, size: int) -> None:
        self._read += size
        check_unpacked(self._where, self._read, self._packed, self._times,
                       "unpack it, and give the folder.")


def _told(content: bytes, kind: bytes) -> dict[bytes, bytes]:
    """What a header of its own says of the next file: of GNU's its name, of pax's all records,
    each "length key=value"."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {b"path": content.rstrip(b"\0")}
    records = {}
    while content and kind == tarfile.XHDTYPE:
        length = int(content.partition(b" ")[0])
        key, _, value = content[:max(0, length - 1)].partition(b" ")[2].partition(b"=")
        records[key] = value
        content = content[max(1, length):]
    return records
