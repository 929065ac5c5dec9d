"""PReLU: a ReLU that learns the slope of its negative side."""

from __future__ import annotations

from ..elementwise import leaky, where
from .broadcast import along, constant
from .buffered import _SavesInput
from .relu import leaky_backward


def negative_part(x, dy):
    """``dy * x`` where x has the slope, else 0."""
    return where(x > 0, 0, dy * x)


class PReLU(_SavesInput):
    """``y = x if x > 0 else a * x``, with one slope a for each channel.

    ``dx = dy if x > 0 else a * dy``;  ``da += sum of (0 if x > 0 else dy * x)`` over the channel

    Bottom: x (N, C, ...).  Top: y, the same; may be in place.
    Params: channel_shared (false): one slope for all; filler (0.25).
    Blobs: a (C,), or () with ``channel_shared``.
    Source: He et al., Delving Deep into Rectifiers (2015).
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.prelu_param
        self.expect(len(bottom[0].shape) > 1, "a bottom of 2 or more axes", bottom[0].shape)
        self.slope = self.add_blob(() if param.channel_shared else bottom[0].shape[1:2],
                                   param.filler if param.HasField("filler") else constant(0.25))

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        x, shape = bottom[0].shape, self.slope.shape
        self.expect(shape in ((), x[1:2]), f"{shape} channels, as when its slopes were made", x)
        self.along = along(1, shape, x)

    def forward(self, bottom, top):
        self.run(leaky, bottom, top, self.slope.data.reshape(self.along))

    def backward(self, top, propagate_down, bottom):
        x, dy = self.input(bottom), top[0].diff
        if self.param_propagate_down[0]:
            self.backend.sums(negative_part, self.slope.diff.reshape(self.along), x, dy,
                              accumulate=True)
        if propagate_down[0]:
            self.backend.map(leaky_backward, bottom[0].diff, x, dy,
                             self.slope.data.reshape(self.along))
