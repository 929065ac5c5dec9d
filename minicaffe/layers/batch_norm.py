"""BatchNorm: bring each channel to mean 0 and variance 1."""

from __future__ import annotations

from ..blob import Blob
from ..elementwise import multiply, positive, sqrt, where
from ..layer import TEST
from .broadcast import along
from .buffered import _SavesInput

FEW = 64  # how many elements of a channel give a rough mean


def statistics(mean, variance, weight, eps):
    """The mean and ``1 / sqrt(variance + eps)`` of sums of that weight; nothing summed: all are 0.
    """
    scale = where(weight == 0, 0, 1 / where(weight == 0, 1, weight))
    return scale * mean, 1 / sqrt(scale * variance + eps)


def deviation_and_square(x, origin):
    """``x - origin`` and its square."""
    d = x - origin
    return d, d * d


def normalized(x, mean, factor):
    """``(x - mean) * factor``."""
    return (x - mean) * factor


def gradient_and_product(dy, x, mean, factor):
    """``dy`` and ``dy * y``."""
    return dy, dy * ((x - mean) * factor)


def normalized_backward(dy, x, mean, factor, mean_dy, mean_dy_y):
    """``(dy - mean_dy - mean_dy_y * y) * factor``."""
    return (dy - mean_dy - mean_dy_y * ((x - mean) * factor)) * factor


class BatchNorm(_SavesInput):
    """``y = (x - mean) / sqrt(variance + eps)``, channel by channel; Scale behind it learns more.

    Without ``use_global_stats`` mean and variance are those of the m elements that a channel has in
    the batch, and ``dx = (dy - mean of dy - y * mean of dy * y) / sqrt(variance + eps)``.  Each
    pass adds them to the blobs: ``blob = moving_average_fraction * blob +
    (mean, m / (m - 1) * variance, 1)``.
    With ``use_global_stats`` mean and variance are the first two blobs over the third, 0 before the
    first pass in TRAIN, and ``dx = dy / sqrt(variance + eps)``.

    Bottom: x (N, C, ...), or (N,): one channel.  Top: y, the same; may be in place.
    Params: use_global_stats (true in TEST, false in TRAIN), moving_average_fraction (0.999),
    eps (1e-5).
    Blobs: sums of means (C,), of variances (C,), of weights (1,).  They are measured, not learned:
    the lr_mult and decay_mult of a net's ``param`` do not apply.
    Source: Ioffe and Szegedy (2015).
    """

    bottoms = tops = 1
    backward_reads = ("bottom",)
    only_primitives = True

    def setup(self, bottom, top):
        param = self.param.batch_norm_param
        self.uses_blobs = self.phase == TEST
        if param.HasField("use_global_stats"):
            self.uses_blobs = param.use_global_stats
        self.only_primitives = type(self).only_primitives and self.uses_blobs
        self.channels = self._channels(bottom[0])
        for size in (self.channels, self.channels, 1):
            self.add_blob((size,))

    def _channels(self, x) -> int:
        self.expect(len(x.shape) > 0, "a bottom of 1 or more axes", x.shape)
        return x.shape[1] if len(x.shape) > 1 else 1

    def reads(self):
        return () if self.uses_blobs else super().reads()

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        x = bottom[0].shape
        self.expect(self._channels(bottom[0]) == self.channels,
                    f"{self.channels} channels, as when its statistics were made", x)
        self.along = along(1, x[1:2], x)
        self.mean, self.factor, self.origin, self.first, self.second = (
            self.buffer(self.along) for _ in range(5))

    def forward(self, bottom, top):
        self.find_statistics(bottom[0])
        self.run(normalized, bottom, top, self.mean, self.factor)

    def find_statistics(self, x: Blob) -> None:
        """Set mean and factor, 1 / sqrt(variance + eps), to those of the blobs or of the batch."""
        if self.uses_blobs:
            self._read_blobs()
        elif x.count:
            self._measure(x.data)

    def _read_blobs(self) -> None:
        mean, variance, weight = (blob.data for blob in self.parameters)
        self.backend.map(statistics, (self.mean.reshape(-1), self.factor.reshape(-1)),
                         mean, variance, weight, self.param.batch_norm_param.eps)

    def _measure(self, x) -> None:
        """Mean and variance of the batch, to use now and to add to the blobs."""
        # One pass over x suffices if it counts from an origin near the mean: variance = mean of
        # (x - origin)^2 - (mean of (x - origin))^2.  One element alone might lie far out, and
        # little of the variance would be left of the difference; the mean of a few does not.
        some = x[:-(-FEW * self.channels // (x.size // len(x)))]
        self.backend.sums(positive, self.origin, some)
        self.origin /= some.size // self.channels
        self.backend.sums(deviation_and_square, (self.first, self.second), x, self.origin)
        m = x.size // self.channels
        shift = self.first / m
        variance = self.second / m - shift * shift
        self.mean[...] = self.origin + shift
        self.factor[...] = 1 / self.xp.sqrt(variance + self.param.batch_norm_param.eps)
        fraction = self.param.batch_norm_param.moving_average_fraction
        for blob, value in zip(self.parameters,
                               (self.mean, m / max(m - 1, 1) * variance, self.xp.ones(1))):
            blob.data[...] = fraction * blob.data + value.reshape(blob.shape)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        x, dy, dx = self.input(bottom), top[0].diff, bottom[0].diff
        if self.uses_blobs:
            self.backend.map(multiply, dx, dy, self.factor)
            return
        means = self.first, self.second
        self.backend.sums(gradient_and_product, means, dy, x, self.mean, self.factor)
        for mean in means:
            mean /= max(1, x.size // max(1, self.channels))
        self.backend.map(normalized_backward, dx, dy, x, self.mean, self.factor, *means)
