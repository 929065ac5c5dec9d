"""Zips of strangers: what is in them, within bounds that the size of the file sets."""

from __future__ import annotations

import io
import os
import threading
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ..errors import FileFormatError
from .reading import UNPACKED, check_unpacked, file_size, opened, reading

HINT = "make the zip anew."
TIMES = 4  # how many times as large as packed a file in it may be, see ``check_unpacked``
DIRECTORY = 2**20  # bytes that the list of the files may have in any zip, else half of the zip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others a few bytes unpack to gigabytes


class ZipReader:
    """A zip that is open to be read, one thread at a time.

    Args:
        hint: what errors advise.

    Attributes:
        size: its bytes.  names: of the files and folders in it, each once.

    Errors: FileFormatError; UnreadableFileError.
    """

    def __init__(self, path: str | os.PathLike, hint: str = HINT):
        self.path, self._hint = path, hint
        with opened(path, hint) as file:  # which says what it is, if no file
            self.size = file_size(file)
        with reading(path, hint):
            file = _LimitedReader(path, max(DIRECTORY, self.size // 2))
            weakref.finalize(self, file.close)
            self._archive = zipfile.ZipFile(file)
            file.most = None
        self.names = list(dict.fromkeys(self._archive.namelist()))
        if sum(info.compress_size for info in self._archive.infolist()) > self.size:
            raise FileFormatError(str(path), "files that lie side by side", "some that overlap",
                                  hint)
        self._lock = threading.Lock()

    def where(self, name: str) -> str:
        """What a file in it is called in messages."""
        return f"{self.path}{os.sep}{name}"

    def file_size(self, name: str) -> int:
        """The bytes of a file in it."""
        return self._archive.getinfo(name).file_size

    def packed_size(self, name: str) -> int:
        """The bytes that a file takes in the zip."""
        return self._archive.getinfo(name).compress_size

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file in it, which gives no more bytes than it says.

        Errors: FileFormatError for one that is encrypted or packed in an uncommon way, and for
        whatever is damaged.
        """
        info, where = self._archive.getinfo(name), self.where(name)
        told = ("one with a password" if info.flag_bits & 1 else
                "" if info.compress_type in _METHODS else "one packed in another way than Deflate")
        if told:
            raise FileFormatError(where, "a file that can be unpacked", told, self._hint)
        with reading(where, self._hint), self._lock, self._archive.open(info) as file:
            yield file

    def read(self, name: str) -> bytes:
        """The content of a file.  Errors: FileFormatError, for too large a one too."""
        size = self.file_size(name)
        if size > UNPACKED:
            check_unpacked(self.where(name), size, self.packed_size(name), TIMES, self._hint)
        with self.open(name) as file:
            return file.read(size)


class _LimitedReader(io.BufferedReader):
    """A file of which at most so many bytes are read at a time, while there is a limit."""

    def __init__(self, path: str | os.PathLike, most: int):
        super().__init__(io.FileIO(path))
        self._path = path
        self.most: int | None = most

    def read(self, size: int | None = -1) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise FileFormatError(str(self._path), f"a list of files of at most {self.most} "
                                  "bytes", size, HINT)
        return super().read(size)
