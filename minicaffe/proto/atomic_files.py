"""Files that are there or clearly not, and files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import MinicaffeError, nearest


class MissingFileError(MinicaffeError, FileNotFoundError):
    """A file that was asked for and is not there."""


def existing_file(path: str | os.PathLike) -> Path:
    """The path, if a file is there.

    Errors:
        MissingFileError: naming the file of that folder whose name comes closest.
    """
    path = Path(path)
    if os.path.isfile(path):  # Path.is_file raises for names that are too long
        return path
    where = str(path)
    if os.path.isdir(path):
        raise MissingFileError(where, "a file", "a folder")
    if not os.path.isdir(path.parent):
        raise MissingFileError(where, f"no such file: there is no folder '{path.parent}'")
    with suppress(PermissionError), os.scandir(path.parent) as entries:
        neighbours = [entry.name for entry in entries if os.path.isfile(entry)]
        raise MissingFileError(where, "no such file", hint=nearest(path.name, neighbours))
    raise MissingFileError(where, "no such file that may be seen")


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A new path beside ``path`` to write to, which takes its place when the block ends well.

    If the block or the disk fails, the new file is removed and what stood at ``path`` still does.
    When the block has ended the file is on the disk, its name too: a power failure loses neither.
    A pipe or a device is not replaced: it is the path to write to itself.

    Errors:
        OSError: with the name of ``path`` in it, even where the system gives none (a full disk).
    """
    path = Path(path)
    direct = path.exists() and not path.is_file()
    if not direct:
        path = Path(os.path.realpath(path))
    target = path if direct else path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield target
        if not direct:
            with open(target, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(target, path)
            _sync_folder(path.parent)
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(target):
            raise  # about another file, which the block read
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if not direct:
            with suppress(OSError):  # of a disk that can only be read, which the error tells
                target.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk, so that what was moved there is still there after a power
    failure; where the system cannot, nothing is done."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some disks on a network
            raise
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file to write, which appears at ``path`` only when the block ends well."""
    with atomic_path(path) as target, open(target, "wb") as file:
        yield file


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; False while another one has it locked."""
    try:
        if sys.platform == "win32":
            import msvcrt
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # some disks on a network have no locks: nobody is kept out
        pass
    return True
