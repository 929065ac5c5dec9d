"""The device ``strict``: NumPy behind a wall, which finds code that would not run on a GPU.

Its arrays behave as CuPy's do.  They refuse to mix with NumPy arrays, never turn into them by
themselves, and a reduction gives an array of no axes instead of a number.  A blob keeps a separate
copy for the host, so that one that is not brought up to date shows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import numpy
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..backend import register_backend
from ..backend.base import Backend

_UPLOADS = (numpy.array, numpy.asarray, numpy.ascontiguousarray)  # may be given NumPy arrays


class StrictArray(NDArrayOperatorsMixin):
    """An array of the device ``strict``: what a NumPy array does, among its own kind alone.

    Errors: TypeError where a NumPy array of one axis or more meets it, or where it would be turned
    into one without a word.
    """

    def __init__(self, array: numpy.ndarray):
        self._array = array

    def __array__(self, *args, **kwargs):
        raise TypeError("an array of the device was turned into a NumPy array; "
                        "Backend.download copies it to the host")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return _run(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _run(function, args, kwargs)

    def __getattr__(self, name: str):
        if name.startswith("_"):  # among them the ways by which NumPy would look inside
            raise AttributeError(name)
        return _on_device(getattr(self._array, name))

    def __getitem__(self, index):
        return _run(self._array.__getitem__, (index,), {})

    def __setitem__(self, index, value) -> None:
        _run(self._array.__setitem__, (index, value), {})

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self):
        return map(_wrapped, self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array.item())

    def __float__(self) -> float:
        return float(self._array.item())

    def __repr__(self) -> str:
        return f"Strict{self._array!r}"


class _Namespace:
    """A module of NumPy, or a function of it, that takes and gives arrays of the device."""

    def __init__(self, target: ModuleType | Callable):
        self._target = target

    def __call__(self, *args, **kwargs):
        return _run(self._target, args, kwargs)

    def __getattr__(self, name: str):
        return _on_device(getattr(self._target, name))


def _on_device(value):
    """An attribute of NumPy, or of an array, as the device shows it."""
    if inspect.isclass(value):
        return value  # float32, uint64: types are the host's
    return _Namespace(value) if callable(value) or inspect.ismodule(value) else _wrapped(value)


def _run(function: Callable, args: tuple, kwargs: dict):
    """Call a function of NumPy with what is inside the device's arrays.

    Errors: TypeError where one of its arguments is a NumPy array.
    """
    def inside(value):
        if isinstance(value, StrictArray):
            return value._array
        if isinstance(value, numpy.ndarray) and value.ndim and function not in _UPLOADS:
            raise TypeError(f"a NumPy array of shape {value.shape} met an array of the device; "
                            "Backend.upload copies it there")
        if isinstance(value, tuple | list):
            return type(value)(inside(item) for item in value)
        return value

    result = function(*inside(args), **{name: inside(value) for name, value in kwargs.items()})
    return _wrapped(result)


def _wrapped(value):
    if isinstance(value, numpy.ndarray | numpy.generic):
        return StrictArray(numpy.asarray(value))
    return tuple(map(_wrapped, value)) if isinstance(value, tuple) else value


class StrictBackend(Backend):
    """The reference primitives on :class:`StrictArray`; ``set_device("strict")``."""

    name = "strict"
    xp = _Namespace(numpy)
    is_host = False

    def upload(self, host: numpy.ndarray, array: StrictArray) -> None:
        array._array[...] = host

    def download(self, array: StrictArray, host: numpy.ndarray) -> None:
        host[...] = array._array


register_backend("strict", StrictBackend)
