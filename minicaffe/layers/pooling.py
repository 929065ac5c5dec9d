"""Pooling: the largest element, or the mean, of each window."""

from __future__ import annotations

from ..errors import ParameterError
from ..layer import Layer
from ..proto import PoolingParameter
from ..window import Window


class Pooling(Layer):
    """Each channel by itself, window by window.

    MAX: ``y = max over the window of x``; ``dx`` = the sum of dy of the windows whose largest
    element (of equal ones the first) it is.
    AVE: ``y = sum over the window of x / area``; ``dx`` = the sum of dy / area of its windows.  The
    area counts the padding, up to its border.

    Bottom: x (N, C, H, W).  Top: y (N, C, h, w), sizes by ``Window``, rounded up by default;
    with MAX optionally the position row * W + column of each largest element.
    Params: pool (MAX), kernel_size or kernel_h and kernel_w, stride (1), pad (0), each also per
    axis; global_pooling (false); round_mode (CEIL), or the forks' ceil_mode, round_below.
    """

    bottoms = 1
    tops = (1, 2)
    backward_reads = ()
    only_primitives = True

    def setup(self, bottom, top):
        self.method = self.param.pooling_param.pool
        if self.method == PoolingParameter.STOCHASTIC:
            raise ParameterError(self.where, "pool: MAX or AVE", "STOCHASTIC")
        self.is_max = self.method == PoolingParameter.MAX
        if len(top) > 1 and not self.is_max:
            raise ParameterError(self.where, "one top with pool: AVE", len(top),
                                 "only MAX has positions to give.")
        self.only_primitives = type(self).only_primitives and len(top) == 1

    def reshape(self, bottom, top):
        shape = bottom[0].shape
        self.expect(len(shape) == 4, "a bottom of 4 axes (N, C, H, W)", shape)
        self.window = Window.of_pooling(self.param.pooling_param, shape[2:], self.where)
        output = self.window.output_shape(shape[2:], self.where)
        for y in top:
            y.reshape(*shape[:2], *output)
        if self.is_max:
            self.mask = self.buffer(top[0].shape, "int32")

    def forward(self, bottom, top):
        x, y = bottom[0].data, top[0].data
        if self.is_max:
            self.backend.max_pool_forward(x, y, self.mask, self.window)
            if len(top) > 1:
                top[1].data[...] = self.mask
        else:
            self.backend.average_pool_forward(x, y, self.window)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].diff
        if self.is_max:
            self.backend.max_pool_backward(dy, self.mask, dx)
        else:
            self.backend.average_pool_backward(dy, dx, self.window)
