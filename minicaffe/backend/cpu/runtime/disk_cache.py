"""Where compiled code is kept for the next process: a folder, and files with check sums.

The folder's name is a hash of everything that the code depends on: all sources of the backend, the
versions of the compiler and the processor.  An old folder is not overwritten but left behind, and
removed after a month.

Whoever can write to the folder could have this process do anything.  So it must belong to the
user, and be closed to others.  The check sums are for what faults of disks leave behind: LLVM would
crash on it.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy

from . import numba_internals

log = logging.getLogger("minicaffe")

PACKAGE = Path(__file__).resolve().parents[3]
SOURCES = ("backend/**/*.py", "elementwise.py")
_MONTH = 30 * 24 * 3600
_SUM = 32  # bytes at the beginning of a file
_LARGEST = 64 * 2**20  # bytes of a file: a kernel takes some 10 kB
_OPEN = os.O_RDONLY
for _flag in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):  # a pipe would be waited for
    _OPEN |= getattr(os, _flag, 0)


@functools.cache
def folder() -> Path | None:
    """The folder for compiled code, or None where there is no fit one."""
    places = cache_places(os.environ, sys.platform, PACKAGE / "backend" / "cpu")
    name = "kernels-" + digest(PACKAGE, SOURCES)
    chosen, refused = first_fit(place / name for place in places)
    instead = "Nothing is kept." if chosen is None else f"{chosen} is used instead."
    for other, reason in refused.items():
        log.warning("%s: expected a folder of mode 700 that belongs to you, to keep compiled code "
                    "in, got %s. %s", other, reason, instead)
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked and not refused and chosen is not None and chosen.parent != places[0]:
        log.warning("NUMBA_CACHE_DIR=%s: no folder for compiled code can be made there. %s", asked,
                    instead)
    if chosen is None:
        note_once("no folder can be written to keep compiled code in: it is compiled again in "
                  "every process. Set NUMBA_CACHE_DIR to a writable folder.")
    else:
        remove_stale(chosen, time.time() - _MONTH)
    return chosen


@functools.cache
def note_once(text: str) -> None:
    log.warning(text)


def cache_places(environment: Mapping[str, str], platform: str, package: Path) -> list[Path]:
    """Where compiled code may be kept, best first; NUMBA_CACHE_DIR is, if set.

    An installed package comes last: what lies in it would stay there when it is uninstalled, and
    Python would take the rest for the package.
    """
    places = []
    if environment.get("XDG_CACHE_HOME"):
        places.append(Path(environment["XDG_CACHE_HOME"]) / "minicaffe")
    elif platform == "win32":
        if environment.get("LOCALAPPDATA"):
            places.append(Path(environment["LOCALAPPDATA"]) / "minicaffe" / "cache")
    elif environment.get("HOME"):
        caches = "Library/Caches" if platform == "darwin" else ".cache"
        places.append(Path(environment["HOME"]) / caches / "minicaffe")
    installed = {"site-packages", "dist-packages"} & set(package.parts)
    places.insert(len(places) if installed else 0, package / "__pycache__")
    if environment.get("NUMBA_CACHE_DIR"):
        places.insert(0, Path(environment["NUMBA_CACHE_DIR"]) / "minicaffe")
    return places


def first_fit(folders: Iterable[Path]) -> tuple[Path | None, dict[Path, str]]:
    """The first folder that is the user's own, or can be made; and those before it that are there
    but may not be trusted, with what is wrong with them."""
    refused = {}
    for each in folders:
        try:
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            reason = _distrusted(each)
            if reason is not None:
                refused[each] = reason
            elif os.access(each, os.W_OK) or any(each.iterdir()):  # a full one is of use
                with suppress(OSError):
                    os.utime(each)
                return each, refused
        except OSError:
            continue
    return None, refused


def _distrusted(each: Path) -> str | None:
    """Why others may have put something into a folder, or None."""
    found = each.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "a link"
    if not hasattr(os, "geteuid"):  # Windows, where a user's folders are closed to others anyway
        return None
    if found.st_uid != os.geteuid():
        return f"one of user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    return f"mode {mode:o}" if mode & 0o077 else None


def remove_stale(ours: Path, before: float) -> None:
    """Remove the user's folders of other versions beside ours, unless used since ``before``."""
    for other in ours.parent.glob("kernels-*"):
        try:
            if other != ours and _distrusted(other) is None and other.stat().st_mtime < before:
                shutil.rmtree(other, ignore_errors=True)
        except OSError:
            continue  # another process was faster


def digest(package: Path, sources: Iterable[str]) -> str:
    """A hash of the source files, the versions of what compiles them and the processor."""
    parts = (*numba_internals.versions(), numpy.__version__, sys.version, *numba_internals.target())
    result = hashlib.sha256("\n".join(parts).encode())
    for file in sorted(file for pattern in sources for file in package.glob(pattern)):
        result.update(f"\n{file.relative_to(package).as_posix()}\n".encode())
        result.update(file.read_bytes())
    return result.hexdigest()[:16]


def read(file: Path) -> bytes | None:
    """What was written to a file, or None where it is not there, not whole or not the user's."""
    try:
        with open(os.open(file, _OPEN), "rb", buffering=0) as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                return None
            if hasattr(os, "geteuid") and (
                    found.st_uid != os.geteuid() or found.st_mode & 0o022):
                return None
            content = opened.read()
    except OSError:
        return None
    if content[:_SUM] != _check_sum(file, content[_SUM:]):
        log.debug("%s: damaged compiled code is replaced", file)
        return None
    return content[_SUM:]


def write(file: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, as another process may read or write it meanwhile.

    Where that cannot be done, as the disk is full, one warning says so.
    """
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
        try:
            with open(handle, "wb") as opened:
                opened.write(_check_sum(file, content) + content)
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        note_once(f"{file.parent}: compiled code cannot be kept: {error.strerror}")


def _check_sum(file: Path, content: bytes) -> bytes:
    """It covers the file's name: one that was given another file's is not whole, either."""
    return hashlib.blake2b(file.name.encode() + b"\n" + content, digest_size=_SUM).digest()
