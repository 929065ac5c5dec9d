"""A ReLU computed within the pass of the layer before it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ...elementwise import leaky
from ...layers.eltwise import FEW, SUM, Eltwise, multiples, weighted_sum
from ...layers.relu import ReLU, leaky_backward
from .group import Group, gradients_pass, types_of


class ConvolutionReLU(Group):
    """A ReLU in the epilogue of a convolution; backward each runs by itself."""

    @classmethod
    def takes(cls, steps):
        return steps[0].layer.takes_epilogue and types_of(steps[1:]) == (ReLU,)

    def run_forward(self):
        convolution, relu = (step.layer for step in self.steps)
        convolution.forward(self.bottom, self.top, slope=relu.slope)


class SumReLU(Group):
    """A weighted sum of blobs, and its ReLU.

    ``y = relu(sum over k of c_k * x_k)``
    ``dz = dy if y > 0 else slope * dy``;  ``dx_k = c_k * dz``, and dz takes the place of dy
    """

    def __init__(self, steps):
        super().__init__(steps)
        self.add, self.relu = (step.layer for step in steps)

    @classmethod
    def takes(cls, steps):
        return (types_of(steps) == (Eltwise, ReLU) and steps[0].layer.operation == SUM
                and len(steps[0].bottom) <= FEW and gradients_pass(steps))

    def backward_reads(self, step):
        if step.layer is self.add:  # which writes its diffs while ReLU reads y
            return ("top",)
        return super().backward_reads(step)

    def run_forward(self):
        self.backend.map(_rectified(weighted_sum(len(self.bottom))), self.top[0].data,
                         self.relu.slope, *self.add.terms(self.bottom))

    def run_backward(self):
        (y,), dy = self.top, self.top[0].diff
        diffs, coeff = self.add.shares(self.steps[0].propagate_down, self.bottom)
        place = y.memory("diff").array  # where one of the others may live, if nobody can look
        if all(x.memory("diff").array is not place for x in self.bottom):
            diffs, coeff = (dy, *diffs), (1, *coeff)
        self.backend.map(_masked(multiples(len(diffs))), diffs if len(diffs) > 1 else diffs[0],
                         y.data, dy, self.relu.slope, *coeff)


@functools.cache
def _rectified(formula: Callable) -> Callable:
    """The formula's value, after a ReLU whose slope is the first input."""
    return lambda slope, *inputs: leaky(formula(*inputs), slope)


@functools.cache
def _masked(formula: Callable) -> Callable:
    """The formula of dz and further inputs, with ``dz = dy if y > 0 else slope * dy``."""
    return lambda y, dy, slope, *inputs: formula(leaky_backward(y, dy, slope), *inputs)
