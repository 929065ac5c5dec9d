"""SigmoidCrossEntropyLoss: the logistic loss of scores, each a yes or no of its own."""

from __future__ import annotations

import math

from ..elementwise import abs, exp, log1p, sigmoid, trunc, where
from ..layer import Layer
from .loss_normalizer import BATCH_SIZE, normalization_of, normalizer


def cross_entropy(x, target, ignore):
    """``log(1 + exp(x)) - x * target``, or 0 where the target is ignored.

    With ``log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))`` no exponential overflows, and a small
    loss of a large x is not what is left of two large numbers.
    """
    loss = x * (where(x > 0, 1, 0) - target) + log1p(exp(-abs(x)))
    return where(trunc(target) == ignore, 0, loss)


def cross_entropy_backward(x, target, ignore, scale):
    """``scale * (sigmoid(x) - target)``, or 0 where the target is ignored."""
    return where(trunc(target) == ignore, 0, scale * (sigmoid(x) - target))


class SigmoidCrossEntropyLoss(Layer):
    """How little probability the sigmoid of the scores gives to the targets.

    ``p = 1 / (1 + exp(-x))``; ``y = -1 / Z * sum of t * log p + (1 - t) * log(1 - p)``;
    ``dx = dy / Z * (p - t)``, and 0 where t, without its fraction, is ``ignore_label``

    Z is the number of elements (FULL), of those not ignored (VALID), of the samples, which are the
    first axis (BATCH_SIZE, the default), or 1 (NONE); at least 1.

    Bottom: x, scores of any shape; t, targets from 0 to 1, with as many samples and elements.
    Top: y, one number.
    Params: loss_param.ignore_label, loss_param.normalization.
    Errors: ShapeError for counts that do not fit.
    """

    bottoms = 2
    tops = 1
    is_loss = True
    no_gradient = (1,)
    backward_reads = ("bottom",)

    def setup(self, bottom, top):
        param = self.param.loss_param
        self.ignores = param.HasField("ignore_label")
        self.ignore = param.ignore_label if self.ignores else math.nan  # which equals no target
        self.normalization = normalization_of(param, BATCH_SIZE)

    def reshape(self, bottom, top):
        x, target = bottom
        self.expect(x.shape[:1] == target.shape[:1] and x.count == target.count,
                    f"a target for each score of {x.shape}", target.shape)
        top[0].reshape()

    def forward(self, bottom, top):
        x, target = bottom
        y = top[0].data
        self.backend.sums(cross_entropy, y, x.data, target.data, self.ignore)
        self.Z = self._normalizer(target)
        y /= self.Z

    def _normalizer(self, target):
        valid = self.xp.trunc(target.data) != self.ignore if self.ignores else None
        return normalizer(self.xp, self.normalization, target.count,
                          math.prod(target.shape[:1]), valid)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            x, target = bottom
            self.backend.map(cross_entropy_backward, x.diff, x.data, target.data, self.ignore,
                             top[0].diff / self.Z)
