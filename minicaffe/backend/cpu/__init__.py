"""The device ``cpu``: the primitives compiled by numba, on all cores, in float32.

Everything else (float64, columns that are asked for, arrays that are not contiguous) runs the
reference, by inheritance.  Results have the same bits for any number of threads.

To read it, begin with ``runtime/``, which all kernels use: ``jit`` (how functions are compiled and
kept), ``parallel`` and ``threads`` (how several threads run one), ``recording`` (how calls are
repeated).  ``vectors/`` has the machine's vectors and what moves numbers by them, ``matrix/`` the
tile that all products end up in, ``convolution/`` the algorithms and the rule that chooses among
them.  The rest is a file for each kind of primitive: ``elementwise`` with ``formulas``,
``pooling``, ``lstm``, ``softmax``, ``neighbours``, ``matrix_copies``, ``random_numbers``;
``sum_parts`` says how many parts a sum has, ``window_rule`` which windows are compiled.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy

from ...errors import DeviceError
from ...window import Window
from ..base import Backend

try:
    import numba.extending  # noqa: F401
except Exception as error:  # numba also fails on versions of NumPy that it does not know
    raise DeviceError("device 'cpu'", "numba, which compiles its kernels",
                      f"{type(error).__name__}: {error}",
                      "pip install numba, or use the device 'numpy'.") from error

from . import lstm, matrix_copies, neighbours, pooling, random_numbers, softmax
from .compiled_windows import is_compact
from .convolution import direct
from .convolution.algorithm_rule import choose
from .elementwise import Calls
from .matrix import gemm
from .runtime.parallel import prevent_recording
from .runtime.recording import Recording
from .runtime.threads import get_num_threads, lock, set_num_threads, threads_for
from .runtime.workspace import Workspace, zeros

__all__ = ["CpuBackend", "get_num_threads", "set_num_threads"]

_PRODUCT = 1 / 64  # nanoseconds for one product of a matrix multiplication, and its sum
_STEPS = 4  # so much shorter may a step be than other work, as the threads stay awake
_NUMBER = 1 / 16  # nanoseconds to read one number of a matrix


def _outside(primitive: Callable) -> Callable:
    """A primitive of the reference, which no recording of compiled calls can hold."""
    @functools.wraps(primitive)
    def run(*arguments, **options):
        prevent_recording()
        return primitive(*arguments, **options)

    return run


_Reference = type("_Reference", (Backend,), {
    name: _outside(value) for name, value in vars(Backend).items()
    if inspect.isfunction(value) and not name.startswith("_")})


class CpuBackend(_Reference):
    """The compiled backend."""

    name = "cpu"
    fuses = frozenset({"BatchNorm", "Scale", "ReLU"})

    def __init__(self):
        get_num_threads()  # a wrong MINICAFFE_THREADS shows now, not in the middle of a net
        self._workspace = Workspace()
        self._calls = Calls()

    def record(self, function: Callable[[], object]) -> Callable[[], bool] | None:
        with lock:
            recording = Recording(function)
        return recording.repeat if recording.is_complete else None

    def copy(self, x, out) -> None:
        if x.shape != out.shape or not all(
                _float32(a) and a.size and a.strides[1] == a.itemsize for a in (x, out)):
            return super().copy(x, out)
        with lock:
            matrix_copies.copy(threads_for(x.size / 8), x, out)

    def map(self, function: Callable, out, *inputs) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        with lock:
            done = self._calls.map(function, outs, inputs)
        if not done:
            super().map(function, out, *inputs)

    def sums(self, function: Callable, out, *inputs, accumulate: bool = False) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        with lock:
            done = self._calls.sums(function, self._workspace, outs, inputs, bool(accumulate))
        if not done:
            super().sums(function, out, *inputs, accumulate=accumulate)

    def neighbour_sums(self, x, out, size: int, axes: tuple[int, ...]) -> None:
        square = len(axes) == 2 and sorted(axes) == [x.ndim - 2, x.ndim - 1]
        if not _plain(x, out) or len(axes) != 1 and not square:
            return super().neighbour_sums(x, out, size, axes)
        with lock:
            if square:
                neighbours.within(self._workspace, threads_for(size * x.size / 16), x, out, size)
            else:
                neighbours.along(threads_for(size * x.size / 16), x, out, size, *axes)

    def uniform(self, key, out) -> None:
        if not _plain(out):
            return super().uniform(key, out)
        with lock:
            random_numbers.uniform(threads_for(out.size / 8), key.reshape(-1), out.reshape(-1))

    def matmul(self, a, b, out, accumulate: bool = False) -> None:
        if not all(_float32(x) and x.size and min(x.strides) >= 0 for x in (a, b, out)):
            return super().matmul(a, b, out, accumulate)
        with lock:
            time = max(a.size * out.shape[1] * _PRODUCT, (a.size + b.size) * _NUMBER)
            gemm.matmul(self._workspace, threads_for(time), a, b, out, bool(accumulate))

    def softmax(self, x, y) -> None:
        if not _plain(x, y):
            return super().softmax(x, y)
        with lock:
            softmax.softmax(threads_for(x.size / 2), x, y)

    # ----------------------------------------------------------------------------------- LSTM

    def lstm_forward(self, z, offset, w, cont, h, c, tanh_c, y) -> None:
        if not _plain(z, offset, w, cont, h, c, tanh_c, y):
            return super().lstm_forward(z, offset, w, cont, h, c, tanh_c, y)
        with lock:
            time = max(z[0].size * h.shape[-1] * _PRODUCT, w.size * _NUMBER)
            lstm.forward(self._workspace, threads_for(_STEPS * time),
                         z, offset, w, cont, h, c, tanh_c, y)

    def lstm_backward(self, dy, z, w, cont, c, tanh_c, dz) -> None:
        if not _plain(dy, z, w, cont, c, tanh_c, dz):
            return super().lstm_backward(dy, z, w, cont, c, tanh_c, dz)
        with lock:
            time = max(z[0].size * w.shape[-1] * _PRODUCT, w.size * _NUMBER)
            lstm.backward(self._workspace, threads_for(_STEPS * time),
                          dy, z, w, cont, c, tanh_c, dz)

    # ---------------------------------------------------------------------------- convolution

    def conv_forward(self, x, w, b, y, window: Window, group: int, slope: float | None = None,
                     columns=None, algorithm: str | None = None) -> None:
        if (columns is not None or not _plain(x, w, b, y)
                or not is_compact(window, x.shape[2:], y.shape[2:])):
            return super().conv_forward(x, w, b, y, window, group, slope, columns, algorithm)
        chosen = choose(x.shape, w.shape, window, group, algorithm).forward
        with lock:
            chosen.run(self._workspace, threads_for(y.size * w[0].size * chosen.work * _PRODUCT),
                       x, w, b, y, window, group, slope)

    def conv_backward_weight(self, x, dy, dw, db, window: Window, group: int, columns=None,
                             algorithm: str | None = None) -> None:
        if (columns is not None or dw is None or not _plain(x, dy, dw, db)
                or not is_compact(window, x.shape[2:], dy.shape[2:])):
            return super().conv_backward_weight(x, dy, dw, db, window, group, columns, algorithm)
        chosen = choose(x.shape, dw.shape, window, group, algorithm).weight
        with lock:
            chosen.run(self._workspace, threads_for(dy.size * dw[0].size * chosen.work * _PRODUCT),
                       x, dy, dw, db, window, group)

    def conv_backward_data(self, dy, w, dx, window: Window, group: int,
                           algorithm: str | None = None) -> None:
        if not (_plain(dy, w, dx) and is_compact(window, dx.shape[2:], dy.shape[2:])):
            return super().conv_backward_data(dy, w, dx, window, group, algorithm)
        chosen = choose(dx.shape, w.shape, window, group, algorithm).data
        with lock:
            chosen.run(self._workspace, threads_for(dy.size * w[0].size * chosen.work * _PRODUCT),
                       dy, w, dx, window, group)

    def conv_algorithms(self, x_shape: tuple[int, ...], w_shape: tuple[int, ...], window: Window,
                        group: int, algorithm: str | None = None) -> tuple[str, str, str]:
        x_shape, w_shape = tuple(x_shape), tuple(w_shape)
        if not is_compact(window, x_shape[2:], window.output_shape(x_shape[2:], "convolution")):
            return super().conv_algorithms(x_shape, w_shape, window, group, algorithm)
        return choose(x_shape, w_shape, window, group, algorithm).names

    def direct_forward(self, x, w, b, y, window: Window, group: int) -> None:
        if x.ndim != 4 or not _plain(x, w, b, y):
            return super().direct_forward(x, w, b, y, window, group)
        with lock:
            direct.forward(threads_for(2 * y.size * w[0].size), x, w,
                           zeros(len(w)) if b is None else b.reshape(-1), y,
                           window.stride, window.pad, window.dilation, group)

    def direct_backward_weight(self, x, dy, dw, db, window: Window, group: int) -> None:
        if x.ndim != 4 or dw is None or not _plain(x, dy, dw):
            return super().direct_backward_weight(x, dy, dw, db, window, group)
        with lock:
            direct.backward_weight(threads_for(2 * dy.size * dw[0].size), x, dy, dw,
                                   window.stride, window.pad, window.dilation, group)
        if db is not None:
            super().direct_backward_weight(x, dy, None, db, window, group)

    def direct_backward_data(self, dy, w, dx, window: Window, group: int) -> None:
        if dx.ndim != 4 or not _plain(dy, w, dx):
            return super().direct_backward_data(dy, w, dx, window, group)
        with lock:
            direct.backward_data(threads_for(2 * dy.size * w[0].size), dy, w, dx,
                                 window.stride, window.pad, window.dilation, group)

    # -------------------------------------------------------------------------------- pooling

    def max_pool_forward(self, x, y, mask, window: Window) -> None:
        if not (_plain(x, y) and _is_mask(mask) and _is_pooled(window, x, y)):
            return super().max_pool_forward(x, y, mask, window)
        with lock:
            pooling.max_forward(threads_for(x.size), x, y, mask, window)

    def max_pool_backward(self, dy, mask, dx) -> None:
        if not (_plain(dy, dx) and _is_mask(mask)):
            return super().max_pool_backward(dy, mask, dx)
        with lock:
            pooling.max_backward(threads_for(dx.size), dy, mask, dx)

    def average_pool_forward(self, x, y, window: Window) -> None:
        if not (_plain(x, y) and _is_pooled(window, x, y)):
            return super().average_pool_forward(x, y, window)
        with lock:
            pooling.average_forward(threads_for(x.size), x, y, window)

    def average_pool_backward(self, dy, dx, window: Window) -> None:
        if not (_plain(dy, dx) and _is_pooled(window, dx, dy)):
            return super().average_pool_backward(dy, dx, window)
        with lock:
            pooling.average_backward(threads_for(dx.size), dy, dx, window)


def _float32(array) -> bool:
    return array.dtype == numpy.float32 and array.flags.aligned


def _plain(*arrays) -> bool:
    """Whether compiled code takes these arrays; None stands for one that is absent."""
    return all(a is None or _float32(a) and a.flags.c_contiguous and a.size for a in arrays)


def _is_mask(array) -> bool:
    return array.dtype == numpy.int32 and array.flags.c_contiguous and array.flags.aligned


def _is_pooled(window: Window, x, y) -> bool:
    """Whether compiled code pools by such a window."""
    return (all(step == 1 for step in window.dilation)
            and is_compact(window, x.shape[2:], y.shape[2:]))
