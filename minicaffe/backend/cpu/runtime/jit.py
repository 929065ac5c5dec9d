"""``compiled``: numba's njit, with a cache on disk that never serves stale code.

numba keeps machine code beside a function's file and compiles again when that file changes, but
not when a function that was inlined from another file does.  So the cache lies in a folder whose
name is a hash of everything that the code depends on: all sources of the backend, numba's version
and the processor.  An old folder is not overwritten but left behind, and removed after a month.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
from numba.core import event, types

log = logging.getLogger("minicaffe")

PACKAGE = Path(__file__).resolve().parents[3]
SOURCES = ("backend/**/*.py", "elementwise.py")
_BACKEND = __package__.rpartition(".")[0]  # the modules whose functions these are
_MONTH = 30 * 24 * 3600


def compiled(function: Callable | None = None, *, cache: bool = True, **options):
    """Decorate a function so that numba compiles it when it is first called.

    Args:
        cache: False for code that depends on more than the sources of the backend.
        options: more of ``numba.njit``'s, such as ``parallel=True``.
    """
    if function is None:
        return functools.partial(compiled, cache=cache, **options)
    folder = _cache_folder() if cache else None
    with _caching_in(folder):
        made = numba.njit(cache=folder is not None, nogil=True, error_model="numpy",
                          **options)(function)
    if folder is not None:
        _forgive(made._cache, folder)
    _forget_literals(made)
    return made


def inner(function: Callable | None = None, **options):
    """``compiled``, for a function that only compiled code calls.

    No way in from Python is made for it, which would take as long to compile as the rest.
    """
    if function is None:
        return functools.partial(inner, **options)
    made = compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)

    def refuse(*arguments, **named):
        raise TypeError(f"{function.__qualname__} is for calls from compiled code: it has no way "
                        "in from Python")

    made._insert = lambda *way_in: None  # numba would call an address that is null
    made._compile_for_args = refuse
    return made


def _forget_literals(made) -> None:
    """Compile a function once, not anew for each number that stands in a call of it."""
    template = made.get_call_template
    made.get_call_template = lambda arguments, named: template(
        tuple([types.unliteral(kind) for kind in arguments]), named)


def _forgive(cache, folder: Path) -> None:
    """Let a damaged file in the cache, or a full disk, cost no more than compiling again."""
    load, save = cache.load_overload, cache.save_overload

    def load_or_compile(*arguments):
        try:
            return load(*arguments)
        except Exception:  # whatever unpickling what a power cut left behind may raise
            log.debug("%s: damaged compiled code is replaced", folder, exc_info=True)
            with suppress(OSError):
                cache.flush()
            return None

    def save_if_possible(*arguments):
        try:
            save(*arguments)
        except OSError as error:
            _note_once(f"{folder}: compiled code cannot be kept: {error.strerror}")

    cache.load_overload, cache.save_overload = load_or_compile, save_if_possible


def from_text(source: str, name: str, names: dict[str, object], place: Callable) -> Callable:
    """The function ``name`` that a text defines, as if it stood where ``place`` stands.

    numba's cache asks for a file and when it changed, and reads the lines there: in the middle of
    a docstring Python 3.13's tokenizer would fail.
    """
    lines_before = "\n" * (place.__code__.co_firstlineno - 1)
    exec(compile(lines_before + source.lstrip(), place.__code__.co_filename, "exec"), names)
    return names[name]


@contextmanager
def _caching_in(folder: Path | None) -> Iterator[None]:
    """numba reads this setting while it decorates; the user's own functions keep theirs."""
    before = numba.config.CACHE_DIR
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def _cache_folder() -> Path | None:
    """The folder for compiled code, or None where nothing can be written."""
    places = cache_places(os.environ, sys.platform, PACKAGE / "backend" / "cpu")
    name = "kernels-" + digest(PACKAGE, SOURCES)
    folder = first_writable(place / name for place in places)
    if folder is None:
        _note_once("no folder can be written to keep compiled code in: it is compiled again in "
                   "every process. Set NUMBA_CACHE_DIR to a writable folder.")
    else:
        remove_stale(folder, time.time() - _MONTH)
    return folder


@functools.cache
def _note_once(text: str) -> None:
    log.warning(text)


def cache_places(environment: Mapping[str, str], platform: str, package: Path) -> list[Path]:
    """Where compiled code may be kept, best first: NUMBA_CACHE_DIR if set, and then only there.

    An installed package comes last: what lies in it would stay there when it is uninstalled, and
    Python would take the rest for the package.
    """
    if environment.get("NUMBA_CACHE_DIR"):
        return [Path(environment["NUMBA_CACHE_DIR"]) / "minicaffe"]
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
    return places


def first_writable(folders: Iterable[Path]) -> Path | None:
    """The first of the folders that can be made and written to."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            os.utime(folder)
        except OSError:
            continue
        return folder
    return None


def remove_stale(folder: Path, before: float) -> None:
    """Remove the folders of other versions beside this one, unless used since ``before``."""
    for other in folder.parent.glob("kernels-*"):
        try:
            if other != folder and other.is_dir() and other.stat().st_mtime < before:
                shutil.rmtree(other, ignore_errors=True)
        except OSError:
            continue  # another process was faster


def digest(package: Path, sources: Iterable[str]) -> str:
    """A hash of the source files, the compiler's version and the processor."""
    parts = (numba.__version__, llvmlite.__version__, *processor())
    result = hashlib.sha256("\n".join(parts).encode())
    for file in sorted(file for pattern in sources for file in package.glob(pattern)):
        result.update(f"\n{file.relative_to(package).as_posix()}\n".encode())
        result.update(file.read_bytes())
    return result.hexdigest()[:16]


def processor() -> tuple[str, str]:
    """Name and features, such as "+avx2,-avx512f", of the processor that numba compiles for."""
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    return (llvmlite.binding.get_host_cpu_name() if name is None else name,
            llvmlite.binding.get_host_cpu_features().flatten() if features is None else features)


class _Announcer(event.Listener):
    """Says so, once, when a kernel must be compiled: the first call then takes seconds."""

    def on_start(self, event):
        module = event.data["dispatcher"].py_func.__module__ or ""
        if module.startswith(_BACKEND):
            _say_once()

    def on_end(self, event):
        pass


@functools.cache
def _say_once() -> None:
    logging.getLogger("minicaffe.cpu").info(
        "compiling kernels that are new here, to be kept: this run starts some seconds later")


event.register("numba:compile", _Announcer())
