"""Reading files of data: every failure names the file, and says what to do about it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy

from ..errors import FileFormatError, MinicaffeError, in_line, nearest
from ..proto.atomic_files import MissingFileError

AGAIN = "copy it again; if minicaffe downloaded it, delete it and it is downloaded again."
UNPACKED = 2**24  # bytes that a file may unpack to, however small it is


class UnreadableFileError(MinicaffeError, OSError):
    """A file that is there and that the system does not let us read."""


@contextmanager
def reading(path: str | os.PathLike, hint: str = AGAIN) -> Iterator[None]:
    """A block that does no more than read what is at ``path``.

    Errors:
        FileFormatError: for whatever a library raises on what a damaged file leads it to.
        UnreadableFileError: the system refuses, for want of permission for example.
    """
    try:
        yield
    except (MinicaffeError, ImportError):
        raise
    except OSError as error:
        if error.errno is None:  # gzip says "not a gzipped file" in this way
            raise damaged(path, error, hint) from error
        raise UnreadableFileError(str(path), f"cannot be read: {error.strerror}",
                                  hint="see to its permissions and its disk.") from error
    except Exception as error:
        raise damaged(path, error, hint) from error


@contextmanager
def opened(path: str | os.PathLike, hint: str = AGAIN) -> Iterator[BinaryIO]:
    """The file at ``path``, open to be read in a block that does no more than that.

    Errors: those of ``reading``; FileFormatError for a device or a pipe, which may have no end.
    """
    with reading(path, hint):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileFormatError(str(path), "a regular file", "a folder, a device or a pipe",
                                  "remove it.")
        with open(path, "rb") as file:
            yield file


def read_file(path: str | os.PathLike, most: int, what: str = "a file",
              hint: str = AGAIN) -> bytes:
    """The content of a file of at most so many bytes, ``what`` it is called in errors.

    Errors: those of ``opened``; FileFormatError for a larger one.
    """
    with opened(path, hint) as file:
        size = file_size(file)
        data = file.read(size + 1) if size <= most else b""
        if max(size, len(data)) > most:
            raise FileFormatError(str(path), f"{what} of at most {most} bytes",
                                  max(size, len(data)), hint)
        return data


def file_size(file: BinaryIO) -> int:
    """The bytes of an open file on a disk."""
    return os.fstat(file.fileno()).st_size


def read_up_to(file: BinaryIO, size: int) -> numpy.ndarray:
    """``size`` bytes, or all there are, as uint8.  Whoever asks has held the size to the file's."""
    data, place = numpy.empty(size, numpy.uint8), 0
    while place < size and (count := file.readinto(data[place:place + (1 << 20)])):
        place += count
    return data[:place]


def damaged(path: object, reason: object, hint: str = AGAIN) -> FileFormatError:
    """The error for a file that is cut short or altered."""
    told = in_line(reason).rstrip(".") or type(reason).__name__
    return FileFormatError(str(path), "a whole file", f"a damaged one ({told})", hint)


def existing_path(path: str | os.PathLike) -> Path:
    """The path, if a file or a folder is there.

    Errors: MissingFileError with the name of that folder that comes closest.
    """
    path = Path(path)
    with reading(path):
        if path.exists():
            return path
        if not path.parent.is_dir():
            raise MissingFileError(str(path), "no such file or folder: there is no folder "
                                                f"'{path.parent}'")
        neighbours = [entry.name for entry in path.parent.iterdir()]
    raise MissingFileError(str(path), "no such file or folder",
                           hint=nearest(path.name, neighbours))


def check_unpacked(where: str, size: int, packed: int, times: int, hint: str) -> None:
    """Whether a packed file may be unpacked; a few bytes can stand for billions of zeros.

    Args:
        size: the bytes of memory that it would take.  packed: those that it has on the disk.
        times: how many times as large as on the disk it may become, beside UNPACKED.

    Errors: FileFormatError.
    """
    most = UNPACKED + times * packed
    if size > most:
        raise FileFormatError(where, f"at most {most} bytes in a file packed to {packed}", size,
                              hint)
