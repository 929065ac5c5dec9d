"""Reading files of data: every failure names the file, and says what to do about it."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import FileFormatError, MinicaffeError, nearest
from ..proto.files import MissingFileError

AGAIN = "copy it again; if minicaffe downloaded it, delete it and it is downloaded again."
_DAMAGE = (EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


class UnreadableFileError(MinicaffeError, OSError):
    """A file that is there and that the system does not let us read."""


@contextmanager
def reading(path: str | os.PathLike, hint: str = AGAIN) -> Iterator[None]:
    """A block that reads the file at ``path``.

    Errors:
        FileFormatError: it is cut short, or its check sums are wrong.
        UnreadableFileError: the system refuses, for want of permission for example.
    """
    try:
        yield
    except MinicaffeError:
        raise
    except _DAMAGE as error:
        raise damaged(path, error, hint) from error
    except OSError as error:
        if error.errno is None:  # gzip says "not a gzipped file" in this way
            raise damaged(path, error, hint) from error
        raise UnreadableFileError(str(path), f"cannot be read: {error.strerror}",
                                  hint="see to its permissions and its disk.") from error


def damaged(path: object, reason: object, hint: str = AGAIN) -> FileFormatError:
    """The error for a file that is cut short or altered."""
    told = str(reason).rstrip(".") or type(reason).__name__
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


def read_up_to(file: BinaryIO, size: int) -> bytearray:
    """``size`` bytes, or all there are: memory grows with what comes, not with what is claimed."""
    data = bytearray()
    while len(data) < size:
        piece = file.read(min(size - len(data), 1 << 20))
        if not piece:
            break
        data += piece
    return data
