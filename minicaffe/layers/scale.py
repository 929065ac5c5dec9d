"""Scale: multiply each channel by a number, and add another."""

from __future__ import annotations

from ..blob import Blob
from ..elementwise import multiply, positive
from .broadcast import _Broadcast


def multiply_add(x, w, b):
    """``w * x + b``."""
    return w * x + b


def product_and_itself(dy, x):
    """``dy * x`` and ``dy``: what the gradients of w and of b sum up."""
    return dy * x, dy


class Scale(_Broadcast):
    """``y = w * x + b``, where w and b repeat along the axes they lack.

    ``dx = w * dy``;  ``dw += sum of dy * x``, ``db += sum of dy``, over those axes

    Bottom: x, any shape; optionally w, whose axes are those of x from ``axis`` on.
    Top: y, the shape of x; may be in place.
    Params: axis (1), num_axes (1; -1: all, 0: w is one number), filler (1), bias_term (false),
    bias_filler (0).
    Blobs: w, unless it is a bottom; b, of the shape of w, with ``bias_term``.
    """

    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.scale_param
        shape = self.setup_operand(bottom, param, 1)
        self.bias = self.add_blob(shape, param.bias_filler) if param.bias_term else None

    def forward(self, bottom, top):
        w = self.operand(bottom)
        if self.bias is None:
            self.run(multiply, bottom, top, w)
        else:
            self.run(multiply_add, bottom, top, w, self.bias.data.reshape(self.along))

    def operands(self, bottom: list[Blob]) -> tuple:
        """w and b, with the axes of x; 0 where there is no b."""
        return self.operand(bottom), (
            0 if self.bias is None else self.bias.data.reshape(self.along))

    def add_sums(self, of_products, of_dy) -> None:
        """Where they are asked for: ``dw +=`` the sums of dy * x, ``db +=`` those of dy."""
        for asked, blob, total in zip(self.param_propagate_down, self.parameters,
                                      (of_products, of_dy)):
            if asked:
                blob.diff[...] += total.reshape(blob.shape)

    def backward(self, top, propagate_down, bottom):
        x, dy = self.input(bottom), top[0].diff
        db = None
        if self.bias is not None and self.param_propagate_down[-1]:
            db = self.bias.diff.reshape(self.along)
        if db is not None and len(bottom) == 1 and self.param_propagate_down[0]:
            dw = self.parameters[0].diff.reshape(self.along)
            self.backend.sums(product_and_itself, (dw, db), dy, x, accumulate=True)
        else:
            self.add_gradient(multiply, propagate_down, bottom, dy, x)
            if db is not None:
                self.backend.sums(positive, db, dy, accumulate=True)
        if propagate_down[0]:
            self.backend.map(multiply, bottom[0].diff, dy, self.operand(bottom))
