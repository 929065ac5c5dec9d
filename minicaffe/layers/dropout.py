"""Dropout: leave out random elements while training."""

from __future__ import annotations

from ..elementwise import multiply, positive, where
from ..errors import ParameterError
from ..layer import TRAIN, Layer


def drop(x, u, ratio, scale):
    """``scale * x`` where the random number u in [0, 1) is at least ratio, else 0."""
    return where(u >= ratio, scale * x, 0 * x)


class Dropout(Layer):
    """TRAIN: ``y = x * mask / (1 - ratio)``, ``dx = dy * mask / (1 - ratio)``; TEST: y = x.

    An element of the mask is 1 with probability 1 - ratio.  It depends on the seed, the number of
    the pass, the layer's name and the element alone: on every device and for any number of
    threads the same, and a resumed training goes on with the masks it would have had.

    Bottom: x, any shape.  Top: y, the same; may be in place.
    Params: dropout_ratio (0.5), in [0, 1).  Of forks: scale_train (true); false leaves 1 / (1 -
    ratio) out of TRAIN, and in TEST ``y = (1 - ratio) * x``; sample_weights_test (false); true
    leaves elements out in TEST too.
    Source: Srivastava et al. (2014), in the inverted form.
    """

    bottoms = tops = 1
    in_place = True
    backward_reads = ()
    keeps_signs = True
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.dropout_param
        self.ratio = param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise ParameterError(self.where, "dropout_ratio in [0, 1)", self.ratio)
        self.drops = self.phase == TRAIN or param.sample_weights_test
        self.scale = 1 / (1 - self.ratio) if param.scale_train else 1.0  # where it drops
        self.factor = 1.0 if param.scale_train else 1 - self.ratio  # where it does not
        self.key = self.uses_random()

    def reshape(self, bottom, top):
        top[0].reshape_like(bottom[0])
        if self.drops:
            self.random = self.buffer(bottom[0].shape)

    def forward(self, bottom, top):
        x, y = bottom[0].data, top[0].data
        if self.drops:
            self.backend.uniform(self.key, self.random)
            self.backend.map(drop, y, x, self.random, self.ratio, self.scale)
        else:
            self._pass(y, x)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        if self.drops:
            self.backend.map(drop, dx, dy, self.random, self.ratio, self.scale)
        else:
            self._pass(dx, dy)

    def _pass(self, to, array) -> None:
        if self.factor != 1:
            self.backend.map(multiply, to, array, self.factor)
        elif to is not array:
            self.backend.map(positive, to, array)
