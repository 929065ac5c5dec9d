"""Labels: checked against the classes, and a test part held out in equal shares of each."""

from __future__ import annotations

import numpy

from .. import randomness
from ..errors import FileFormatError
from .dataset import Dataset

SHARE = 0.2


def checked_labels(labels: numpy.ndarray, where: str, classes: int, count: int) -> numpy.ndarray:
    """The labels as int64 (N,).

    Errors: FileFormatError unless there are ``count`` of them, from 0 to ``classes - 1``.
    """
    labels = numpy.asarray(labels)
    if len(labels) != count:
        raise FileFormatError(where, f"{count} labels, one for each picture", len(labels))
    wrong = numpy.flatnonzero((labels < 0) | (labels >= classes))[:1]
    if len(wrong):
        raise FileFormatError(where, f"labels from 0 to {classes - 1}",
                              f"{labels[wrong[0]]} at place {wrong[0]}")
    return labels.astype(numpy.int64)


def with_test_part(x, y: numpy.ndarray, classes: tuple[str, ...], name: str,
                   where: str) -> Dataset:
    """A data set of which a fifth of every class, always the same samples, is the test part.

    Args:
        x: (N, ...) samples; any rows of them can be asked for by an array of places.
        y: (N,) labels.

    Errors: FileFormatError for a class of one sample, which cannot be in both parts.
    """
    held = numpy.zeros(len(y), bool)
    for label in numpy.unique(y):
        rows = numpy.flatnonzero(y == label)
        if len(rows) < 2:
            told = f"'{classes[label]}'" if classes else label
            raise FileFormatError(where, "two samples or more of every class, as there is no test "
                                  "part and a fifth is held out as one", f"one of class {told}")
        order = randomness.generator(0, "held out", int(label)).permutation(len(rows))
        held[rows[order[:max(1, round(len(rows) * SHARE))]]] = True
    rest, out = numpy.flatnonzero(~held), numpy.flatnonzero(held)
    return Dataset(x[rest], y[rest], x[out], y[out], classes, name)
