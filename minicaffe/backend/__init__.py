"""Devices by name: ``get_backend("cpu")``, and the current one that new nets run on."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DeviceError, nearest
from .base import Backend
from .interrupts import signals_held


def _numpy() -> Backend:
    return Backend()


def _cpu() -> Backend:
    with signals_held():  # numba cannot be imported twice
        from .cpu import CpuBackend
    return CpuBackend()


_makers: dict[str, Callable[[], Backend]] = {"numpy": _numpy, "cpu": _cpu}
_made: dict[str, Backend] = {}
_current = "cpu"
_gpu = 0


def register_backend(name: str, maker: Callable[[], Backend]) -> None:
    """Make a device known by name; ``maker`` is called when it is first used."""
    _makers[name] = maker


def get_backend(name: str | None = None) -> Backend:
    """The backend of a device, or of the current one.

    Errors: DeviceError for an unknown name, or where a part that the device needs is missing.
    """
    name = _current if name is None else name
    if name not in _makers:
        raise DeviceError(f"device '{name}'", f"one of {', '.join(sorted(_makers))}", repr(name),
                          nearest(str(name), _makers))
    if name not in _made:
        _made[name] = _makers[name]()
    return _made[name]


def set_device(device: str | int) -> None:
    """Choose the device that nets made from now on run on: ``numpy`` or ``cpu``.

    A number, as in pycaffe, says which GPU ``set_mode_gpu`` means, and chooses nothing yet.

    Errors: DeviceError, at once, where the device cannot be used.
    """
    global _current, _gpu
    if isinstance(device, int):
        _gpu = device
        return
    get_backend(device)
    _current = device


def set_mode_cpu() -> None:
    """Run nets made from now on on the CPU (pycaffe's name for ``set_device("cpu")``)."""
    set_device("cpu")


def set_mode_gpu() -> None:
    """Run nets made from now on on the GPU that ``set_device`` numbered, or else on GPU 0.

    Errors: DeviceError, always: this version has no backend for GPUs yet.
    """
    raise DeviceError(f"GPU {_gpu}", "this version of minicaffe computes on CPUs alone",
                      hint="caffe.set_mode_cpu() runs the same nets.")
