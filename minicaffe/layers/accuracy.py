"""Accuracy: the share of samples whose label is among the best scores."""

from __future__ import annotations

from ..errors import ParameterError
from ..layer import Layer
from .softmax import as_classes, expect_labels


class Accuracy(Layer):
    """The share of places at which fewer than ``top_k`` other classes score as high as the label.

    ``y = 1 / n * sum over places i of [#{c : x_c >= x_label, c != label} < top_k]``

    A tie counts against the label.  Places with ``ignore_label`` do not count.  No gradient.

    Bottom: x, scores with an axis ``axis`` of C; labels 0 .. C - 1, one for each place.
    Top: y, one number; optionally (C,), the accuracy of each class (0 for one without samples).
    Params: top_k (1), axis (1), ignore_label.
    """

    bottoms = 2
    tops = (1, 2)
    no_gradient = (0, 1)
    backward_reads = ()

    def setup(self, bottom, top):
        param = self.param.accuracy_param
        self.top_k = param.top_k
        if self.top_k < 1:
            raise ParameterError(self.where, "top_k of 1 or more", self.top_k)
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None

    def reshape(self, bottom, top):
        x, label = bottom
        self.classes = self.axis(self.param.accuracy_param.axis, x)
        self.C = x.shape[self.classes]
        expect_labels(self, x, self.classes, label,
                      "accuracy_param { axis } tells where the classes are.")
        self.expect(self.top_k <= self.C, f"{self.top_k} or more classes for top_k", self.C)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.C)

    def forward(self, bottom, top):
        xp = self.xp
        x = as_classes(bottom[0].data, self.classes)
        labels = bottom[1].data.reshape(x.shape[0], x.shape[2])
        known = (labels >= 0) & (labels < self.C)
        label = xp.where(known, labels, 0).astype(xp.int64)
        score = x[xp.arange(x.shape[0])[:, None], label, xp.arange(x.shape[2])[None, :]]
        rivals = (x >= score[:, None, :]).sum(axis=1) - 1
        # a score that is not a number is no rival of itself: rivals is -1 then
        right = (rivals >= 0) & (rivals < self.top_k) & known
        counted = labels == labels if self.ignore is None else labels != self.ignore
        right &= counted
        top[0].data[...] = right.sum() / xp.maximum(counted.sum(), 1)
        if len(top) > 1:
            for c in range(self.C):
                of_class = counted & (labels == c)
                top[1].data[c] = (right & of_class).sum() / xp.maximum(of_class.sum(), 1)
