"""Which classes a net takes for which: the confusion matrix of a test, as an array and as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from ..errors import ParameterError, ShapeError
from ..layer import TEST
from ..net import Net
from ..net.description import filter_net
from ..proto import LayerParameter, NetParameter, NetState
from ..proto.upgrade import upgrade_net
from ..solvers.output_means import OutputMeans

WHOLE = 20  # classes whose matrix still fits a terminal
LARGEST = 4096  # classes of which every pair is counted
WORST, CONFUSIONS = 20, 10  # what is told of more classes than that
COLUMNS = 80  # characters of a line


class Confusion:
    """Counts of (true class, predicted class).

    Args:
        classes: the names of the classes, or how many there are.

    Attributes:
        matrix: (K, K) counts; the row is the true class, the column the predicted one.
    """

    def __init__(self, classes: Sequence[str] | int):
        self.names = ([str(k) for k in range(classes)] if isinstance(classes, int)
                      else [str(name) for name in classes])
        self._named = not isinstance(classes, int)
        self.matrix = numpy.zeros((len(self.names), len(self.names)), numpy.int64)

    def add(self, labels: numpy.ndarray, predictions: numpy.ndarray) -> None:
        """Count samples: their true classes and the predicted ones, arrays of one size.

        Errors: ShapeError for different sizes; ParameterError for a class that there is not.
        """
        true, predicted = (numpy.asarray(array).ravel() for array in (labels, predictions))
        if true.size != predicted.size:
            raise ShapeError("confusion", "a prediction for each label",
                             f"{predicted.size} for {true.size}")
        for what, array in (("labels", true), ("predictions", predicted)):
            bad = array[~((array >= 0) & (array < len(self.names)))]
            if bad.size:
                raise ParameterError("confusion", f"{what} from 0 to {len(self.names) - 1}",
                                     bad[:5].tolist())
        numpy.add.at(self.matrix, (true.astype(numpy.intp), predicted.astype(numpy.intp)), 1)

    @property
    def accuracy(self) -> float:
        """The share of samples that were predicted right; NaN before the first."""
        total = int(self.matrix.sum())
        return int(self.matrix.trace()) / total if total else float("nan")

    @property
    def per_class(self) -> numpy.ndarray:
        """(K,) the accuracy of each class; NaN for a class without samples."""
        counts = self.matrix.sum(axis=1)
        return numpy.where(counts > 0, self.matrix.diagonal() / numpy.maximum(counts, 1),
                           numpy.nan)

    def text(self) -> str:
        """For a terminal: the matrix with the accuracy of each class, or what is worst of it."""
        if len(self.names) <= WHOLE:
            return self._whole()
        return f"{self._worst()}\n\n{self._frequent()}"

    def _whole(self) -> str:
        """The matrix; columns are headed by names where they fit, else by numbers."""
        longest = max(map(len, self.names))
        width = longest + sum(max(len(name), 4) + 2 for name in self.names) + len("  accuracy  ")
        numbered = self._named and width > COLUMNS
        heads = [str(k) for k in range(len(self.names))] if numbered else self.names
        rows = [f"{head} {name}" for head, name in zip(heads, self.names)]
        table = [["true", *heads, "accuracy"]]
        for k, name in enumerate(rows if numbered else self.names):
            counts = [str(count) if count or k == j else "."
                      for j, count in enumerate(self.matrix[k].tolist())]
            table.append([name, *counts, _percent(self.per_class[k])])
        return "\n".join(["predicted class of each column:", *_aligned(table)])

    def _worst(self) -> str:
        """The classes with the lowest accuracy, and what each is taken for most often."""
        accuracy, counts = self.per_class, self.matrix.sum(axis=1)
        seen = [k for k in numpy.argsort(accuracy, kind="stable").tolist() if counts[k]]
        table = [["class", "accuracy", "samples", "most often taken for"]]
        for k in seen[:WORST]:
            wrong = self.matrix[k].copy()
            wrong[k] = 0
            other = f"{self.names[wrong.argmax()]} ({wrong.max()})" if wrong.any() else "-"
            table.append([self.names[k], _percent(accuracy[k]), str(counts[k]), other])
        head = f"the {len(table) - 1} worst of {len(self.names)} classes:"
        return "\n".join([head, *_aligned(table, left=(0, 3))])

    def _frequent(self) -> str:
        """The pairs (true, predicted) that were confused most often."""
        wrong = self.matrix - numpy.diag(self.matrix.diagonal())
        order = numpy.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
        pairs = [divmod(int(place), len(self.names)) for place in order]
        table = [["times", "true", "predicted"]]
        table += [[str(wrong[pair]), *(self.names[k] for k in pair)]
                  for pair in pairs if wrong[pair]]
        if len(table) == 1:
            return "no confusions"
        return "\n".join(["the most frequent confusions:", *_aligned(table, left=(1, 2))])


def _percent(share: float) -> str:
    return "-" if share != share else f"{100 * share:.1f} %"


def _aligned(table: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Rows of equal columns, those of ``left`` to the left, the others to the right."""
    widths = [max(len(row[j]) for row in table) for j in range(len(table[0]))]
    lines = ("  ".join(cell.ljust(width) if j in left else cell.rjust(width)
                       for j, (cell, width) in enumerate(zip(row, widths))) for row in table)
    return [f"  {line.rstrip()}" for line in lines]


# ------------------------------------------------------------------------ of a net that is tested

def scores_blob(net: Net | NetParameter) -> tuple[str, str] | None:
    """The names of the blobs of scores and of labels that a test compares, or None.

    They are the bottoms of the net's first Accuracy or, without one, of its first SoftmaxWithLoss:
    in phase TEST, for a NetParameter.  A net made with ``keep=[scores, labels]`` has them to read.
    """
    judge = _judge(net)
    return judge and tuple(judge.bottom[:2])


def evaluate(net: Net, passes: int, scores: str, labels: str,
             classes: Sequence[str] = ()) -> tuple[dict[str, float], Confusion | None]:
    """Run so many passes of a net in phase TEST and compare scores with labels.

    Args:
        scores, labels: names of blobs, such as ``scores_blob`` finds.
        classes: the names of the first of them; the others are called by their numbers.

    Returns: the mean of each number the net puts out, every sample counting alike, and the
    confusion of the classes with the highest scores, or None for more than LARGEST classes; samples
    with ignore_label are left out.
    """
    axis, ignore = _places(net)
    count = net.device_blobs[scores].shape[axis]
    names = [*classes, *map(str, range(len(classes), count))] if classes else count
    confusion = Confusion(names) if count <= LARGEST else None
    means = OutputMeans(net)
    for _ in range(passes):
        means.run_pass()
        true = net.blobs[labels].data.ravel()
        counted = numpy.ones(true.shape, bool) if ignore is None else true != ignore
        predicted = net.blobs[scores].data.argmax(axis=axis).ravel()
        if confusion is not None:
            confusion.add(true[counted], predicted[counted])
    return means.result(), confusion


def _judge(net: Net | NetParameter) -> LayerParameter | None:
    """The layer that compares scores with labels, its bottoms named as before any Split."""
    if isinstance(net, Net):
        param = net.param
    else:
        param = filter_net(upgrade_net(net), NetState(phase=TEST))
    copies = {top: layer.bottom[0] for layer in param.layer if layer.type == "Split"
              for top in layer.top}
    for kind in ("Accuracy", "SoftmaxWithLoss"):
        for layer in param.layer:
            if layer.type == kind:
                found = LayerParameter()
                found.CopyFrom(layer)
                found.bottom[:] = [copies.get(name, name) for name in layer.bottom]
                return found
    return None


def _places(net: Net) -> tuple[int, int | None]:
    """The axis of the classes, and the label that does not count."""
    judge = _judge(net)
    if judge is None:
        return 1, None
    accuracy = judge.type == "Accuracy"
    axis = judge.accuracy_param.axis if accuracy else judge.softmax_param.axis
    param = judge.accuracy_param if accuracy else judge.loss_param
    return axis, param.ignore_label if param.HasField("ignore_label") else None
