"""SGD: stochastic gradient descent with momentum, as Caffe defines it."""

from __future__ import annotations

from ..elementwise import sign
from .solver import Solver


def update_l2(w, dw, v, rate, momentum, decay, scale):
    """``v = momentum * v + rate * (scale * dw + decay * w)``;  ``w = w - v``."""
    v = momentum * v + rate * (scale * dw + decay * w)
    return w - v, v


def update_l1(w, dw, v, rate, momentum, decay, scale):
    """``v = momentum * v + rate * (scale * dw + decay * sign(w))``;  ``w = w - v``."""
    v = momentum * v + rate * (scale * dw + decay * sign(w))
    return w - v, v


class SGDSolver(Solver):
    """``v = momentum * v + rate * (g + decay * w)``;  ``w = w - v``

    g is the gradient's mean over iter_size passes, clipped; rate is lr * lr_mult and decay
    weight_decay * decay_mult of the parameter.  The rate stands inside v: when it falls, the
    steps already on their way do not.  History: v.

    Source: Bottou (2012), in the form of Krizhevsky et al. (2012).
    """

    history_per_parameter = 1

    def update(self, parameter, history, rate, decay, scale):
        w, dw, v = parameter.blob.data, parameter.blob.diff, history[0]
        formula = update_l1 if self.param.regularization_type == "L1" else update_l2
        self.net.backend.map(formula, (w, v), w, dw, v, rate, self.param.momentum, decay, scale)
