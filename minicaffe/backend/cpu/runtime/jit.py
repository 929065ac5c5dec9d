"""``compiled``: numba's njit, with a cache on disk that never serves stale code.

numba keeps machine code beside a function's file and compiles again when that file changes, but
not when a function that was inlined from another file does; it executes whatever the cache says,
and dies of a damaged one.  ``disk_cache`` keeps the code instead.  While numba is at work, signals
wait: Ctrl-C would leave it in pieces, and no kernel could be compiled any more.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numba

from ...interrupts import signals_held
from . import disk_cache, numba_internals

_BACKEND = __package__.rpartition(".")[0]  # the modules whose functions these are
_SOURCES = str(disk_cache.PACKAGE / "backend")


def compiled(function: Callable | None = None, *, cache: bool = True, **options):
    """Decorate a function so that numba compiles it when it is first called.

    Args:
        cache: False for code that depends on more than the sources of the backend and the
            function's own file.
        options: more of ``numba.njit``'s, such as ``parallel=True``.
    """
    if function is None:
        return functools.partial(compiled, cache=cache, **options)
    with signals_held():
        made = numba.njit(nogil=True, error_model="numpy", **options)(function)
        numba_internals.compile_within(made, signals_held)
        numba_internals.compile_once_for_all_literals(made)
        source = _source(function.__code__.co_filename) if cache else None
        if source is not None:
            numba_internals.keep_compiled(made, source, _read, _write)
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

    numba_internals.refuse_python(made, refuse)
    return made


@functools.lru_cache(maxsize=64)
def _source(file: str) -> str | None:
    """What changes when a file does; "" for the backend's own, on which the folder depends.

    Returns: None where there is no file, as for a function that was typed in.
    """
    if file.startswith(_SOURCES):
        return ""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def _read(name: str) -> bytes | None:
    folder = disk_cache.folder()
    return None if folder is None else disk_cache.read(folder / name)


def _write(name: str, code: bytes) -> None:
    folder = disk_cache.folder()
    if folder is not None:
        disk_cache.write(folder / name, code)


def from_text(source: str, name: str, names: dict[str, object], place: Callable) -> Callable:
    """The function ``name`` that a text defines, as if it stood where ``place`` stands.

    numba's cache asks for a file and when it changed, and reads the lines there: in the middle of
    a docstring Python 3.13's tokenizer would fail.
    """
    lines_before = "\n" * (place.__code__.co_firstlineno - 1)
    exec(compile(lines_before + source.lstrip(), place.__code__.co_filename, "exec"), names)
    return names[name]


def _announce(module: str) -> None:
    """Say, once, that a kernel must be compiled: the first call then takes seconds."""
    if module.startswith(_BACKEND):
        _say_once()


@functools.cache
def _say_once() -> None:
    logging.getLogger("minicaffe.cpu").info(
        "compiling kernels that are new here, to be kept: this run starts some seconds later")


numba_internals.when_compiling(_announce)
