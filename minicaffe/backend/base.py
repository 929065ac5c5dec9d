"""The contract of a device: an array library and a small closed set of hot primitives.

Every primitive stands here once, in plain array code: slow but right.  It is what runs on the
device ``numpy``, and what every fast backend, which overrides it, is tested against.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ..elementwise import leaky
from ..window import Window
from . import convolution, lstm, pooling, winograd
from .formula_shapes import check_sizes, check_sums, evaluated
from .registry import get_backend


class Backend:
    """The reference backend, on NumPy.

    Attributes:
        name: the name of the device, as ``set_device`` takes it.
        xp: the array library; what layers use for everything that is not a primitive.
        is_host: True if its arrays are NumPy arrays, so that a blob and its host view are one.
        fuses: names of the layer types that it computes within the pass of the layer before them:
            see ``minicaffe/net/fusion/``.
    """

    name = "numpy"
    xp = numpy
    is_host = True
    fuses: frozenset[str] = frozenset()

    def __reduce__(self):
        """Copies, and what is unpickled in another process, find the device by its name."""
        return get_backend, (self.name,)

    # ------------------------------------------------------------------------------- arrays

    def zeros(self, shape, dtype):
        """A new array of zeros on this device."""
        return self.xp.zeros(shape, dtype)

    def upload(self, host: numpy.ndarray, array) -> None:
        """Copy a host array into an array of this device, of the same shape."""
        array[...] = host

    def download(self, array, host: numpy.ndarray) -> None:
        """Copy an array of this device into a host array of the same shape."""
        host[...] = array

    def record(self, function: Callable[[], object]) -> Callable[[], bool] | None:
        """Run a function, and note which primitives it calls, with which arrays and numbers.

        Returns: what makes these calls again, on what the arrays then hold, faster than the
        function would; it gives False, and has done nothing, where that cannot be done any more.
        None from a backend that cannot repeat calls, or not these.  Where arrays have host copies,
        it looks after none of them.
        """
        function()
        return None

    def copy(self, x, out) -> None:
        """``out = x``: matrices of one shape, of whose rows each lies in one piece."""
        out[...] = x

    # -------------------------------------------------------------------------- element-wise

    def map(self, function: Callable, out, *inputs) -> None:
        """``out = function(*inputs)``, element by element.

        Args:
            function: a formula of single elements, written with ``minicaffe.elementwise``, that
                returns one value, or one for each array of ``out``.  It has no ``if``: ``where``.
            out: an array, or a tuple of them of one shape; may be among the inputs.
            inputs: arrays of out's size, one-element arrays of this device, Python numbers, or
                arrays of one shape that repeat along some axes of out, as (1, C, 1, 1) does beside
                (N, C, H, W): one number for each channel.
                A number that changes belongs here: one that the formula captures is compiled into
                its code, and a new value makes new code, which is kept.

        Errors: ShapeError where outputs or inputs have other sizes; ParameterError for an ``if``.
        """
        outs = out if isinstance(out, tuple) else (out,)
        check_sizes(function, outs, inputs)
        values = evaluated(function, outs[0].shape, inputs)
        if not isinstance(out, tuple):
            values = (values,)
        elif len(out) > 1:  # the formula may give back an input that the first output overwrites
            values = [self.xp.array(value) for value in values]
        for target, value in zip(outs, values):
            target[...] = value

    def sums(self, function: Callable, out, *inputs, accumulate: bool = False) -> None:
        """``out = function(*inputs)`` summed over the axes along which out has one element.

        Args:
            function: a formula as ``map`` takes it.
            out: an array, or a tuple of them of one shape, such as (1, C, 1, 1): for each channel
                the sum over a batch (N, C, H, W).
            inputs: as ``map`` takes them; the first one has the shape that is summed over, and
                those that repeat along it have out's.
            accumulate: add to what is in out.

        Sums are exact to about the last bit: they are taken in float64.

        Errors: as ``map``.
        """
        outs = out if isinstance(out, tuple) else (out,)
        view, shape = check_sums(function, outs, inputs), inputs[0].shape
        values = evaluated(function, shape, inputs)
        for target, value in zip(outs, values if isinstance(out, tuple) else (values,)):
            value = self.xp.broadcast_to(value, shape).reshape(view)
            total = value.sum(axis=(0, 2), dtype=numpy.float64).reshape(target.shape)
            target[...] = target + total if accumulate else total

    def neighbour_sums(self, x, out, size: int, axes: tuple[int, ...]) -> None:
        """``out[i] = `` the sum of x over a window around i, beyond the edges of x zeros.

        Args:
            x, out: two arrays of one shape.
            size: the window's extent along each of the ``axes``, an odd number.
        """
        result = x
        for axis in axes:
            total = result + 0
            for step in range(1, min(size // 2, x.shape[axis] - 1) + 1):
                ahead = (slice(None),) * axis + (slice(step, None),)
                behind = (slice(None),) * axis + (slice(None, -step),)
                total[behind] += result[ahead]
                total[ahead] += result[behind]
            result = total
        out[...] = result

    def uniform(self, key, out) -> None:
        """Fill ``out`` with numbers in [0, 1): element i depends on ``key`` and i alone.

        Args:
            key: one-element uint64 array.  out: float array, 24 random bits in each element.
        Source: SplitMix64 of Steele, Lea and Flood (2014), counted instead of iterated.
        """
        xp = self.xp
        z = xp.arange(1, out.size + 1, dtype=xp.uint64) * xp.uint64(0x9E3779B97F4A7C15) + key
        z = (z ^ (z >> xp.uint64(30))) * xp.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> xp.uint64(27))) * xp.uint64(0x94D049BB133111EB)
        z = z ^ (z >> xp.uint64(31))
        out[...] = ((z >> xp.uint64(40)).astype(out.dtype) * 2.0**-24).reshape(out.shape)

    # ------------------------------------------------------------------------------- matrices

    def matmul(self, a, b, out, accumulate: bool = False) -> None:
        """``out = a @ b``, or ``out += a @ b``; matrices, transposed ones as views ``w.T``."""
        if accumulate:
            out += a @ b
        else:
            out[...] = a @ b

    def softmax(self, x, y) -> None:
        """``y[:, c] = exp(x[:, c]) / sum over k of exp(x[:, k])``; x, y: (outer, C, inner)."""
        self.xp.subtract(x, x.max(axis=1, keepdims=True, initial=-self.xp.inf), out=y)
        self.xp.exp(y, out=y)
        y /= y.sum(axis=1, keepdims=True)

    # ----------------------------------------------------------------------------------- LSTM
    # Of T steps of N sequences: z and dz (T, N, 4, H), the numbers of the gates i, f, o and g;
    # tanh_c, y and dy (T, N, H); h, c (T + 1, N, H): what each step takes up, and the last one
    # leaves; cont (T + 1, N): cont[t] is what those of step t have been multiplied by; w (4 H, H)

    def lstm_forward(self, z, offset, w, cont, h, c, tanh_c, y) -> None:
        """From h[0], c[0] and what z holds of the inputs: the gates, in z, and all the rest.

        ``z += offset + h_t @ W.T``, step by step, then ``step`` of ``backend.lstm``.

        offset: (N, 4, H), or (1, 4, H) for all sequences.
        """
        lstm.forward(self, z, offset, w, cont, h, c, tanh_c, y)

    def lstm_backward(self, dy, z, w, cont, c, tanh_c, dz) -> None:
        """The gradient dz of z, from that of y and what ``lstm_forward`` left.

        ``dh = dy + cont_t+1 * dz_t+1 @ W``, step by step backwards, then ``step_backward``.
        """
        lstm.backward(self, dy, z, w, cont, c, tanh_c, dz)

    # ---------------------------------------------------------------------------- convolution
    # x (N, C, *spatial), w (O, C / group, *kernel), b (O,) or None, y (N, O, *output spatial)

    # algorithm: "im2col" or "winograd" force one; None: the device chooses by a rule

    def conv_forward(self, x, w, b, y, window: Window, group: int, slope: float | None = None,
                     columns=None, algorithm: str | None = None) -> None:
        """``y = W @ im2col(x) + b``, image by image; then, if ``slope`` is given, a ReLU with it.

        columns: an array (N, C * k, pixels) that receives the column matrices, for backward.
        """
        if algorithm == "winograd":
            winograd.forward(self, x, w, b, y, window, group)
        else:
            convolution.forward(self, x, w, b, y, window, group, columns)
        if slope is not None:
            self.map(leaky, y, y, slope)

    def conv_backward_weight(self, x, dy, dw, db, window: Window, group: int, columns=None,
                             algorithm: str | None = None) -> None:
        """``dW += dy @ col.T`` and ``db += dy`` summed over pixels; dw or db may be None.

        columns: those that forward filled, which saves a second im2col.
        """
        if algorithm == "winograd" and dw is not None:
            winograd.backward_weight(self, x, dy, dw, window, group)
            dw = None
        convolution.backward_weight(self, x, dy, dw, db, window, group, columns)

    def conv_backward_data(self, dy, w, dx, window: Window, group: int,
                           algorithm: str | None = None) -> None:
        """``dx = col2im(W.T @ dy)``."""
        if algorithm == "winograd":
            winograd.backward_data(self, dy, w, dx, window, group)
        else:
            convolution.backward_data(self, dy, w, dx, window, group)

    def conv_algorithms(self, x_shape: tuple[int, ...], w_shape: tuple[int, ...], window: Window,
                        group: int, algorithm: str | None = None) -> tuple[str, str, str]:
        """How conv_forward, conv_backward_weight and conv_backward_data compute such a convolution
        in float32: the name of an algorithm each."""
        return (algorithm or "im2col",) * 3

    def direct_forward(self, x, w, b, y, window: Window, group: int) -> None:
        """What conv_forward computes, from the definition, without a column matrix."""
        convolution.direct_forward(self, x, w, b, y, window, group)

    def direct_backward_weight(self, x, dy, dw, db, window: Window, group: int) -> None:
        """What conv_backward_weight computes, without a column matrix."""
        convolution.direct_backward_weight(self, x, dy, dw, db, window, group)

    def direct_backward_data(self, dy, w, dx, window: Window, group: int) -> None:
        """What conv_backward_data computes, without a column matrix."""
        convolution.direct_backward_data(self, dy, w, dx, window, group)

    # -------------------------------------------------------------------------------- pooling
    # x (N, C, H, W), y (N, C, h, w), mask int32 (N, C, h, w)

    def max_pool_forward(self, x, y, mask, window: Window) -> None:
        """The largest element of each window, and its position row * W + column in ``mask``."""
        pooling.max_forward(self, x, y, mask, window)

    def max_pool_backward(self, dy, mask, dx) -> None:
        """``dx[mask] += dy``, into a dx set to zero first."""
        pooling.max_backward(self, dy, mask, dx)

    def average_pool_forward(self, x, y, window: Window) -> None:
        """The sum of each window over its area, which includes padding but ends with it."""
        pooling.average_forward(self, x, y, window)

    def average_pool_backward(self, dy, dx, window: Window) -> None:
        """``dx = `` the sum of dy / area over the windows that an element lies in."""
        pooling.average_backward(self, dy, dx, window)
