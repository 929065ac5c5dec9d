"""Concat: several blobs behind one another along one axis."""

from __future__ import annotations

from ..layer import Layer
from .slice import as_rows, named_axis, parts_of


class Concat(Layer):
    """The bottoms behind one another along ``axis``.

    ``y[p_k : p_k+1] = x_k``;  ``dx_k = dy[p_k : p_k+1]``, where x_k begins at p_k

    Bottom: x_k, one or more, of one shape but for their axis ``axis``.
    Top: y, that shape; its axis is as long as theirs together.
    Params: axis (1; its older name: concat_dim).
    """

    bottoms = (1, None)
    tops = 1
    backward_reads = ()
    only_primitives = True

    def reshape(self, bottom, top):
        axis = named_axis(self, self.param.concat_param, "concat_dim", bottom[0])
        before, behind = bottom[0].shape[:axis], bottom[0].shape[axis + 1:]
        for x in bottom[1:]:
            self.expect(len(x.shape) > axis and x.shape == (*before, x.shape[axis], *behind),
                        f"bottoms that differ on axis {axis} alone",
                        f"{bottom[0].shape} and {x.shape}")
        self.joined, self.sizes = axis, [x.shape[axis] for x in bottom]
        top[0].reshape(*before, sum(self.sizes), *behind)

    def forward(self, bottom, top):
        for x, y in zip(bottom, parts_of(top[0].data, self.joined, self.sizes)):
            self.backend.copy(as_rows(x.data, self.joined), y)

    def backward(self, top, propagate_down, bottom):
        parts = parts_of(top[0].diff, self.joined, self.sizes)
        for x, dy, wanted in zip(bottom, parts, propagate_down):
            if wanted:
                self.backend.copy(dy, as_rows(x.diff, self.joined))
