"""ContrastiveLoss: pulls pairs of the same kind together and pushes others apart."""

from __future__ import annotations

from ..layer import Layer

TINY = 1e-4  # is added to a distance that something is divided by, as in Caffe


class ContrastiveLoss(Layer):
    """How far apart similar pairs are, and how much dissimilar ones fall short of a margin m.

    ``d_n = a_n - b_n``, ``D_n = |d_n|``, of N pairs
    ``y = 1 / 2N * sum over n of (D_n ^ 2 if similar_n else max(m - D_n, 0) ^ 2)``
    ``da_n = dy / N * d_n * (1 if similar_n else -max(m - D_n, 0) / D_n)``, ``db = -da``

    With legacy_version: ``max(m - D_n ^ 2, 0)`` in y, and ``-[D_n ^ 2 < m]`` in da.

    Bottom: a and b, the features of N pairs; similar (N,): 1, or 0 for a dissimilar pair.
    Top: y, one number.
    Params: margin (1), legacy_version (false).
    Source: Hadsell, Chopra and LeCun (2006).
    """

    bottoms = 3
    tops = 1
    is_loss = True
    no_gradient = (2,)
    backward_reads = ()

    def setup(self, bottom, top):
        param = self.param.contrastive_loss_param
        self.margin, self.legacy = param.margin, param.legacy_version

    def reshape(self, bottom, top):
        a, b, similar = bottom
        self.expect(len(a.shape) > 0 and a.shape[:1] == b.shape[:1] and a.count == b.count,
                    "as many pairs, and features of each, in both bottoms",
                    f"{a.shape} and {b.shape}")
        self.N = a.shape[0]
        self.expect(similar.count == self.N, f"{self.N} labels, one for each pair", similar.shape)
        self.difference = self.buffer((self.N, a.count // max(1, self.N)))
        self.pull = self.buffer((self.N, 1))
        top[0].reshape()

    def forward(self, bottom, top):
        xp, d, margin = self.xp, self.difference, self.margin
        a, b = (x.data.reshape(d.shape) for x in bottom[:2])
        similar = xp.abs(bottom[2].data.reshape(self.N, 1)) >= 1  # Caffe drops the fraction
        xp.subtract(a, b, out=d)
        square = (d * d).sum(axis=1, keepdims=True)
        if self.legacy:
            missing = xp.maximum(margin - square, 0)
            push, loss = xp.sign(missing), missing
        else:
            distance = xp.sqrt(square)
            missing = xp.maximum(margin - distance, 0)
            push, loss = missing / (distance + TINY), missing * missing
        self.pull[...] = xp.where(similar, 1, -push)
        top[0].data[...] = xp.where(similar, square, loss).sum() / (2 * max(1, self.N))

    def backward(self, top, propagate_down, bottom):
        for x, sign, wanted in zip(bottom[:2], (1, -1), propagate_down):
            if wanted:
                factor = sign * top[0].diff / max(1, self.N)
                x.diff[...] = (factor * self.pull * self.difference).reshape(x.shape)
