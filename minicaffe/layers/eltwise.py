"""Eltwise: several blobs of one shape made one, element by element."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ..blob import Blob
from ..elementwise import maximum, multiply, where
from ..errors import ParameterError
from ..layer import Layer
from ..proto import EltwiseParameter

PROD, SUM, MAX = EltwiseParameter.PROD, EltwiseParameter.SUM, EltwiseParameter.MAX
FEW = 4  # bottoms of a sum that one formula takes: each number of them is compiled for itself


@functools.cache
def weighted_sum(n: int) -> Callable:
    """The formula ``c_1 * x_1 + .. + c_n * x_n`` of x_n, c_n, .., x_1, c_1."""
    if n == 1:
        return multiply
    others = weighted_sum(n - 1)
    return lambda x, c, *rest: others(*rest) + c * x


@functools.cache
def multiples(n: int) -> Callable:
    """The formula ``c_1 * d, .., c_n * d`` of d, c_1, .., c_n."""
    if n == 1:
        return multiply
    if n == 2:
        return lambda d, p, q: (p * d, q * d)
    others = multiples(n - 1)
    return lambda d, c, *rest: (c * d,) + others(d, *rest)


def quotient(y, x, dy):
    """``y / x * dy``."""
    return y / x * dy


def larger(a, b):
    """The larger of two numbers, and its index, 0 or 1; 1 where they are equal."""
    return maximum(a, b), where(a > b, 0, 1)


def larger_still(y, winner, x, k):
    """The same of the largest number so far and number k; k has to be larger to win."""
    return maximum(y, x), where(x > y, k, winner)


def if_winner(winner, dy, k):
    """``dy`` where number k has won, else 0."""
    return where(winner == k, dy, 0)


class Eltwise(Layer):
    """The sum, the product or the maximum of its bottoms, element by element.

    SUM: ``y = sum over k of coeff_k * x_k``;  ``dx_k = coeff_k * dy``
    PROD: ``y = product over k of x_k``;  ``dx_k = dy * product over j != k of x_j``, or
    ``dx_k = dy * y / x_k`` without stable_prod_grad: faster for many bottoms, NaN where x_k is 0
    MAX: ``y = max over k of x_k``;  ``dx_k = dy if x_k is the maximum else 0``

    The gradient of a maximum goes to one bottom alone: among equal ones to the first, but to the
    second where the first two are equal, as in Caffe.

    Bottom: x_k, two or more of one shape.  Top: y, the same.
    Params: operation (SUM), coeff (1 for each bottom; of a SUM, a MAX ignores it),
    stable_prod_grad (true).
    """

    bottoms = (2, None)
    tops = 1
    diff_in_place = True
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.eltwise_param
        self.operation = param.operation
        self.coeff = list(param.coeff) or [1.0] * len(bottom)
        if len(self.coeff) != len(bottom):
            raise ParameterError(self.where, f"one coeff for each of {len(bottom)} bottoms, or "
                                 "none", len(self.coeff))
        if param.coeff and self.operation == PROD:
            raise ParameterError(self.where, "no coeff for PROD", list(param.coeff),
                                 "only a SUM is weighted.")
        self.stable = param.stable_prod_grad
        self.backward_reads = () if self.operation != PROD else (
            ("bottom",) if self.stable else ("bottom", "top"))
        self.diff_in_place = (self.diff_in_place and self.operation == SUM
                              and len(bottom) <= FEW)

    def reshape(self, bottom, top):
        for x in bottom[1:]:
            self.expect(x.shape == bottom[0].shape, "bottoms of one shape",
                        f"{bottom[0].shape} and {x.shape}")
        top[0].reshape_like(bottom[0])
        if self.operation == MAX:
            self.winner = self.buffer(bottom[0].shape)

    def forward(self, bottom, top):
        run, y, (a, b, *others) = self.backend.map, top[0].data, [x.data for x in bottom]
        if self.operation == SUM:
            run(weighted_sum(min(len(bottom), FEW)), y, *self.terms(bottom[:FEW]))
            for x, c in zip(bottom[FEW:], self.coeff[FEW:]):
                run(weighted_sum(2), y, x.data, c, y, 1)
        elif self.operation == PROD:
            run(multiply, y, a, b)
            for x in others:
                run(multiply, y, y, x)
        else:
            run(larger, (y, self.winner), a, b)
            for k, x in enumerate(others, 2):
                run(larger_still, (y, self.winner), y, self.winner, x, k)

    def terms(self, bottom: list[Blob]) -> list:
        """What ``weighted_sum`` takes for the first bottoms."""
        pairs = list(zip(bottom, self.coeff))
        return [value for x, c in reversed(pairs) for value in (x.data, c)]

    def shares(self, propagate_down: list[bool], bottom: list[Blob]) -> tuple[tuple, list[float]]:
        """The diffs that are asked for, and the coefficient of each."""
        asked = [k for k in range(len(bottom)) if propagate_down[k]]
        return tuple(bottom[k].diff for k in asked), [self.coeff[k] for k in asked]

    def backward(self, top, propagate_down, bottom):
        dy = top[0].diff
        if self.operation == SUM:
            diffs, coeff = self.shares(propagate_down, bottom)
            for k in range(0, len(diffs), FEW):
                out = diffs[k:k + FEW]
                self.backend.map(multiples(len(out)), out if len(out) > 1 else out[0], dy,
                                 *coeff[k:k + FEW])
            return
        for k, x in enumerate(bottom):
            if not propagate_down[k]:
                continue
            if self.operation == MAX:
                self.backend.map(if_winner, x.diff, self.winner, dy, k)
            elif self.stable:
                first, *others = (other.data for j, other in enumerate(bottom) if j != k)
                self.backend.map(multiply, x.diff, dy, first)
                for other in others:
                    self.backend.map(multiply, x.diff, x.diff, other)
            else:
                self.backend.map(quotient, x.diff, top[0].data, x.data, dy)
