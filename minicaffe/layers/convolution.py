"""Convolution, of any number of spatial axes; how it is computed is its engine's business."""

from __future__ import annotations

import math

from ..backend import winograd
from ..errors import ParameterError
from ..layer import Layer
from ..proto import ConvolutionParameter
from ..window import Window
from .convolution_engines import ENGINES


class Convolution(Layer):
    """Each output pixel is a weighted sum of the window of x around it.

    With ``col = im2col(x)``, whose columns are the windows::

        y = W @ col + b
        dW += dy @ col.T        db += dy summed over pixels and samples
        dcol = W.T @ dy         dx = col2im(dcol)

    Bottom: x (N, C, *spatial), one or more, all of one shape.  Top: y (N, O, *output), one each.
    Params: num_output (O), kernel_size, stride (1), pad (0), dilation (1; in old forks hole), each
    once or per spatial axis, or for two axes kernel_h, kernel_w, ...; group (1): outputs of a group
    see its inputs alone; bias_term (true), axis (1): where C is; weight_filler, bias_filler;
    engine: IM2COL, DIRECT, TRANSPOSED or WINOGRAD; DEFAULT, CAFFE and CUDNN choose by a rule.
    Blobs: W (O, C / group, *kernel), b (O,).
    """

    bottoms = tops = (1, None)
    tops_like_bottoms = True
    backward_reads = ("bottom",)
    takes_epilogue = True
    keep_columns = False  # True: backward uses forward's columns, for N times their memory
    only_primitives = True

    def setup(self, bottom, top):
        param, shape = self.param.convolution_param, bottom[0].shape
        self.channel = self.axis(param.axis, bottom[0])
        self.window = Window.of_convolution(param, len(shape) - self.channel - 1, self.where)
        self.outputs, self.group = param.num_output, param.group
        self.C = shape[self.channel]
        if self.outputs < 1:
            raise ParameterError(self.where, "num_output of 1 or more", self.outputs)
        if self.group < 1 or self.outputs % self.group or self.C % self.group:
            raise ParameterError(self.where, "a group that divides num_output "
                                 f"({self.outputs}) and the channels ({self.C})", self.group)
        self.weight = self.add_blob((self.outputs, self.C // self.group, *self.window.kernel),
                                    param.weight_filler)
        self.bias = self.add_blob((self.outputs,), param.bias_filler) if param.bias_term else None
        # without spatial axes the engines see one, of one pixel
        self.pixel = () if self.window.kernel else (1,)
        self.engine = self._engine(param.engine)
        self.keep_columns = (self.keep_columns and self.engine.uses_columns
                             and not self.window.is_pointwise)

    def _engine(self, number: int):
        name = ConvolutionParameter.Engine.Name(number)
        window = self.window if not self.pixel else Window((1,), (1,), (0,), (1,))
        if name == "WINOGRAD" and not winograd.suits(window):
            raise ParameterError(self.where, "kernel_size 3, stride 1, dilation 1 and a pad of at "
                                 "most 2, on two axes, for engine WINOGRAD",
                                 f"{window.kernel}, {window.stride}, {window.dilation} and "
                                 f"{window.pad}")
        return ENGINES[name](self.backend, window, self.group)

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        axes = self.channel + 1 + len(self.window.kernel)
        self.expect(len(shape) == axes, f"a bottom of {axes} axes", shape)
        self.expect(shape[self.channel] == self.C, f"{self.C} channels, as when its weights were "
                    "made", shape)
        output = self.window.output_shape(shape[self.channel + 1:], self.where)
        for x, y in zip(bottom, top):
            self.expect(x.shape == shape, f"bottoms of one shape {shape}", x.shape)
            y.reshape(*shape[:self.channel], self.outputs, *output)
        if self.keep_columns:
            rows = self.C * math.prod(self.window.kernel)
            self.columns = [self.buffer((math.prod(shape[:self.channel]), rows, math.prod(output)))
                            for _ in bottom]

    def algorithms(self, bottom) -> tuple[str, str, str]:
        """The names of the algorithms by which its engine computes y, dW and dx."""
        shape = bottom[0].shape
        return self.engine.algorithms(
            (math.prod(shape[:self.channel]), *shape[self.channel:], *self.pixel),
            self.weight.shape + self.pixel)

    def multiply_adds(self, bottom, top):
        return sum(y.count for y in top) * math.prod(self.weight.shape[1:])

    def _images(self, array):
        """View an array as (N, channels, *spatial)."""
        return array.reshape(math.prod(array.shape[:self.channel]), *array.shape[self.channel:],
                             *self.pixel)

    def _filters(self, array):
        """View an array of the weights' shape as (O, C / group, *kernel)."""
        return array.reshape(array.shape + self.pixel) if self.pixel else array

    def _kept(self, i: int) -> dict:
        return {"columns": self.columns[i]} if self.keep_columns else {}

    def forward(self, bottom, top, slope: float | None = None):
        """slope: that of a ReLU in place which follows, computed in the same pass."""
        self.compute(bottom, top, self.weight.data, None if self.bias is None else self.bias.data,
                     slope)

    def compute(self, bottom, top, w, b, slope: float | None = None) -> None:
        """Forward with weights w and bias b, which may be None."""
        for i, (x, y) in enumerate(zip(bottom, top)):
            self.engine.forward(self._images(x.data), self._filters(w), b, self._images(y.data),
                                slope, **self._kept(i))

    def backward(self, top, propagate_down, bottom):
        w = self._filters(self.weight.data)
        dw = self._filters(self.weight.diff) if self.param_propagate_down[0] else None
        db = self.bias.diff if self.bias is not None and self.param_propagate_down[1] else None
        for i, (x, y) in enumerate(zip(bottom, top)):
            dy = self._images(y.diff)
            if dw is not None or db is not None:
                self.engine.backward_weight(self._images(x.data), dy, dw, db, **self._kept(i))
            if propagate_down[i]:
                self.engine.backward_data(dy, w, self._images(x.diff))
