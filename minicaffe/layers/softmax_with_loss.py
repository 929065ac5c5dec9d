"""SoftmaxWithLoss: the multinomial logistic loss of scores, computed stably in one layer."""

from __future__ import annotations

from ..layer import Layer
from .loss_normalizer import VALID, normalization_of, normalizer
from .softmax import as_classes, expect_labels


class SoftmaxWithLoss(Layer):
    """How little probability the softmax of the scores gives to the labels.

    ``p = softmax(x)``; ``y = -1 / Z * sum over places i of log p[label_i]``;
    ``dx_c = dy / Z * (p_c - [c == label])``, and 0 where the label is ``ignore_label``

    Z is the number of places (FULL), of those not ignored (VALID, the default), of the samples,
    which the axes before ``axis`` count (BATCH_SIZE), or 1 (NONE); at least 1.

    Bottom: x, scores with an axis ``axis`` of C; labels 0 .. C - 1, one for each place.
    Top: y, one number; optionally p.
    Params: softmax_param.axis (1); loss_param.ignore_label, loss_param.normalization.
    Errors: ShapeError for counts that do not fit; for a label out of range on host devices, and a
    loss of NaN on others, which would have to wait for the answer.
    """

    bottoms = 2
    tops = (1, 2)
    is_loss = True
    no_gradient = (1,)
    backward_reads = ("bottom",)

    def setup(self, bottom, top):
        param = self.param.loss_param
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None
        self.normalization = normalization_of(param, VALID)

    def reshape(self, bottom, top):
        x, label = bottom
        self.classes = self.axis(self.param.softmax_param.axis, x)
        expect_labels(self, x, self.classes, label, "softmax_param { axis } tells where they are.")
        self.prob = self.buffer(x.shape)
        outer, self.C, inner = as_classes(self.prob, self.classes).shape
        xp = self.xp
        self.index = xp.arange(outer)[:, None], xp.arange(inner)[None, :]
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape_like(x)

    def forward(self, bottom, top):
        xp = self.xp
        prob = as_classes(self.prob, self.classes)
        self.backend.softmax(as_classes(bottom[0].data, self.classes), prob)
        self._read_labels(bottom[1].data.reshape(prob.shape[0], prob.shape[2]))
        chosen = prob[self.index[0], self.label, self.index[1]]
        logs = xp.log(xp.maximum(chosen, xp.finfo(prob.dtype).tiny))
        logs = xp.where(self.in_range, logs, xp.nan)
        if self.ignore is not None:
            logs = xp.where(self.valid, logs, 0)
        top[0].data[...] = -logs.sum() / self._normalizer()
        if len(top) > 1:
            top[1].data[...] = self.prob

    def _read_labels(self, labels) -> None:
        """Labels as indices; those out of range become 0 and are remembered."""
        xp = self.xp
        self.valid = True if self.ignore is None else labels != self.ignore
        self.in_range = (labels >= 0) & (labels < self.C)
        if self.backend.is_host:
            bad = labels[~(self.in_range | (False if self.ignore is None else ~self.valid))]
            self.expect(bad.size == 0, f"labels from 0 to {self.C - 1}", list(bad[:5].tolist()),
                        "does num_output of the layer before count every class?")
        self.label = xp.where(self.in_range, labels, 0).astype(xp.int64)

    def _normalizer(self):
        return normalizer(self.xp, self.normalization, self.label.size, self.label.shape[0],
                          None if self.ignore is None else self.valid)

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        dx = as_classes(bottom[0].diff, self.classes)
        dx[...] = as_classes(self.prob, self.classes)
        dx[self.index[0], self.label, self.index[1]] -= 1
        if self.ignore is not None:
            dx *= self.valid[:, None, :]
        dx *= top[0].diff / self._normalizer()
