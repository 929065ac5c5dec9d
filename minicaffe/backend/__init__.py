"""Devices by name: ``get_backend("cpu")``, and the current one that new nets run on."""

from __future__ import annotations

from ..errors import DeviceError
from . import registry
from .base import Backend
from .interrupts import signals_held
from .registry import get_backend, register_backend

__all__ = ["Backend", "get_backend", "register_backend", "set_device", "set_mode_cpu",
           "set_mode_gpu"]

_gpu = 0


def _cpu() -> Backend:
    with signals_held():  # numba cannot be imported twice
        from .cpu import CpuBackend
    return CpuBackend()


register_backend("numpy", Backend)
register_backend("cpu", _cpu)


def set_device(device: str | int) -> None:
    """Choose the device that nets made from now on run on: ``numpy`` or ``cpu``.

    A number, as in pycaffe, says which GPU ``set_mode_gpu`` means, and chooses nothing yet.

    Errors: DeviceError, at once, where the device cannot be used.
    """
    global _gpu
    if isinstance(device, int):
        _gpu = device
    else:
        registry.choose(device)


def set_mode_cpu() -> None:
    """Run nets made from now on on the CPU (pycaffe's name for ``set_device("cpu")``)."""
    set_device("cpu")


def set_mode_gpu() -> None:
    """Run nets made from now on on the GPU that ``set_device`` numbered, or else on GPU 0.

    Errors: DeviceError, always: this version has no backend for GPUs yet.
    """
    raise DeviceError(f"GPU {_gpu}", "this version of minicaffe computes on CPUs alone",
                      hint="caffe.set_mode_cpu() runs the same nets.")
