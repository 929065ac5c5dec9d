"""The contract of a device: an array library and a small closed set of hot primitives.

Every primitive stands here once, in plain array code: slow but right.  It is what runs on the
device ``numpy``, and what every fast backend, which overrides it, is tested against.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ..elementwise import where
from ..errors import ParameterError, ShapeError
from ..window import Window
from . import convolution, pooling


class Backend:
    """The reference backend, on NumPy.

    Attributes:
        name: the name of the device, as ``set_device`` takes it.
        xp: the array library; what layers use for everything that is not a primitive.
        is_host: True if its arrays are NumPy arrays, so that a blob and its host view are one.
        fuses: names of the layer types whose forward pass a convolution's epilogue can take in.
    """

    name = "numpy"
    xp = numpy
    is_host = True
    fuses: frozenset[str] = frozenset()

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

    # -------------------------------------------------------------------------- element-wise

    def map(self, function: Callable, out, *inputs) -> None:
        """``out = function(*inputs)``, element by element.

        Args:
            function: a formula of single elements, written with ``minicaffe.elementwise``, that
                returns one value, or one for each array of ``out``.  It has no ``if``: ``where``.
            out: an array, or a tuple of them of one shape; may be among the inputs.
            inputs: arrays of out's size, one-element arrays of this device, or Python numbers.
                A number that changes belongs here: one that the formula captures is compiled into
                its code, and a new value makes new code, which is kept.

        Errors: ShapeError where outputs or inputs have other sizes; ParameterError for an ``if``.
        """
        outs = out if isinstance(out, tuple) else (out,)
        check_sizes(function, outs, inputs)
        shape = outs[0].shape
        arrays = (x if numpy.isscalar(x) or x.size == 1 else x.reshape(shape) for x in inputs)
        try:
            values = function(*arrays)
        except ValueError as error:
            if "truth value" not in str(error):
                raise
            raise ParameterError(f"formula '{function.__name__}'", "no if, and, or, not",
                                 "one of them", "where(condition, a, b) of minicaffe.elementwise "
                                 "chooses element by element.") from error
        for target, value in zip(outs, values if isinstance(out, tuple) else (values,)):
            target[...] = value

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
        self.xp.subtract(x, x.max(axis=1, keepdims=True), out=y)
        self.xp.exp(y, out=y)
        y /= y.sum(axis=1, keepdims=True)

    # ---------------------------------------------------------------------------- convolution
    # x (N, C, *spatial), w (O, C / group, *kernel), b (O,) or None, y (N, O, *output spatial)

    def conv_forward(self, x, w, b, y, window: Window, group: int,
                     slope: float | None = None, columns=None) -> None:
        """``y = W @ im2col(x) + b``, image by image; then, if ``slope`` is given, a ReLU with it.

        columns: an array (N, C * k, pixels) that receives the column matrices, for backward.
        """
        convolution.forward(self, x, w, b, y, window, group, columns)
        if slope is not None:
            self.map(leaky, y, y, slope)

    def conv_backward_weight(self, x, dy, dw, db, window: Window, group: int,
                             columns=None) -> None:
        """``dW += dy @ col.T`` and ``db += dy`` summed over pixels; dw or db may be None.

        columns: those that forward filled, which saves a second im2col.
        """
        convolution.backward_weight(self, x, dy, dw, db, window, group, columns)

    def conv_backward_data(self, dy, w, dx, window: Window, group: int) -> None:
        """``dx = col2im(W.T @ dy)``."""
        convolution.backward_data(self, dy, w, dx, window, group)

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


def check_sizes(function: Callable, outs: tuple, inputs: tuple) -> None:
    """What ``map`` asks of its arrays; compiled loops would run past the end of a smaller one.

    Errors: ShapeError unless the outputs have one shape, and each input their size or one element.
    """
    shapes, size = {out.shape for out in outs}, outs[0].size
    sizes = {getattr(value, "size", 1) for value in inputs} - {1, size}
    if len(shapes) > 1:
        raise ShapeError(f"formula '{function.__name__}'", "outputs of one shape",
                         " and ".join(map(str, sorted(shapes))))
    if sizes:
        raise ShapeError(f"formula '{function.__name__}'", f"inputs of 1 or {size} elements",
                         " and ".join(map(str, sorted(sizes))))


def leaky(x, slope):
    """``x if x > 0 else slope * x``: a ReLU with a slope on its negative side."""
    return where(x > 0, x, slope * x + 0)  # -0.0 + 0 is 0.0: a slope of 0 leaves no minus sign
