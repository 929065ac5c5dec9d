"""InnerProduct: the fully connected layer."""

from __future__ import annotations

import math

from ..elementwise import add
from ..errors import ParameterError
from ..layer import Layer


class InnerProduct(Layer):
    """Every output is a weighted sum of all inputs of its sample.

    ``y = x @ W.T + b``;  ``dW += dy.T @ x``, ``db += sum over samples of dy``, ``dx = dy @ W``

    Bottom: x; the axes before ``axis`` count the samples (M), those from it on are the inputs (K).
    Top: y, the axes before ``axis`` and one of O.
    Params: num_output (O), bias_term (true), axis (1), transpose (false): W is (K, O) instead;
    weight_filler, bias_filler.
    Blobs: W (O, K), b (O,).
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.inner_product_param
        self.outputs = param.num_output
        if self.outputs < 1:
            raise ParameterError(self.where, "num_output of 1 or more", self.outputs)
        self.transposed = param.transpose
        self.expect(len(bottom[0].shape) > 1 or param.axis != 1, "a bottom of 2 or more axes",
                    bottom[0].shape, "the first axis counts the samples.")
        self.inputs = self._inputs(bottom[0])
        shape = (self.outputs, self.inputs)
        self.weight = self.add_blob(shape[::-1] if self.transposed else shape, param.weight_filler)
        self.bias = self.add_blob((self.outputs,), param.bias_filler) if param.bias_term else None

    def _inputs(self, x) -> int:
        self.first = self.axis(self.param.inner_product_param.axis, x)
        return math.prod(x.shape[self.first:])

    def reshape(self, bottom, top):
        self.expect(self._inputs(bottom[0]) == self.inputs, f"{self.inputs} inputs a sample, as "
                    "when its weights were made", bottom[0].shape)
        top[0].reshape(*bottom[0].shape[:self.first], self.outputs)

    def multiply_adds(self, bottom, top):
        return top[0].count * self.inputs

    def _matrices(self, x, y):
        """x as (M, K) and y as (M, O)."""
        samples = math.prod(x.shape[:self.first])
        return x.reshape(samples, self.inputs), y.reshape(samples, self.outputs)

    def forward(self, bottom, top):
        x, y = self._matrices(bottom[0].data, top[0].data)
        w = self.weight.data
        self.backend.matmul(x, w if self.transposed else w.T, y)
        if self.bias is not None:
            self.backend.map(add, y, y, self.bias.data.reshape(1, -1))

    def backward(self, top, propagate_down, bottom):
        x, dy = self._matrices(bottom[0].data, top[0].diff)
        w = self.weight.data
        if self.param_propagate_down[0]:
            dw, adds = self.weight.diff_to_add_to()
            if self.transposed:
                self.backend.matmul(x.T, dy, dw, accumulate=adds)
            else:
                self.backend.matmul(dy.T, x, dw, accumulate=adds)
        if self.bias is not None and self.param_propagate_down[1]:
            self.bias.diff[...] += dy.sum(axis=0)
        if propagate_down[0]:
            dx, _ = self._matrices(bottom[0].diff, top[0].diff)
            self.backend.matmul(dy, w.T if self.transposed else w, dx)
