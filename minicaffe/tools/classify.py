"""``minicaffe classify``: what pictures show, by a net that was trained."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy

from ..data.image import SUFFIXES
from ..data.reading import read_file
from ..errors import FileFormatError, MinicaffeError, NetError, ParameterError, in_line
from ..proto.atomic_files import MissingFileError, existing_file
from . import trained

_PATH = 1000  # characters of a path that are printed
_NAME_BYTES = 2**8  # of the name of a class, on average

DESCRIPTION = """\
Tell what pictures show: for each the classes of the highest probability.

Beside weights NAME_iter_1000.caffemodel that "train" wrote lie NAME_deploy.prototxt and
NAME_labels.txt: the net as it is used, and the names of its classes. For weights from elsewhere
give the net with --model and the names with --labels. A picture is cut to the aspect ratio of the
net's input and brought to its size.
"""

EPILOG = """\
examples:
  COMMAND --weights snapshots/pets_iter_1000.caffemodel picture.png
  COMMAND --weights snapshots/pets_iter_1000.caffemodel holidays/ --top 1 --json
  COMMAND --weights lenet_iter_10000.caffemodel --model lenet_train_test.prototxt \\
      --image-size 1x28x28 seven.png
  COMMAND --weights bvlc_alexnet.caffemodel --model deploy.prototxt --mean 104,117,123 \\
      --labels synset_words.txt cat.jpg

Exit status: 0 done, 2 a mistake in the options or files, or a picture that cannot be read; the
other pictures are classified all the same.
"""

SAME_NUMBERS = ("Dropout", "Flatten", "Reshape", "Split")  # in phase TEST they make what they read


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a picture, or a folder: "
                        "all pictures in it and in its folders")
    trained.add_options(parser)
    out = parser.add_argument_group("what comes out")
    out.add_argument("--labels", metavar="FILE", help="the names of the classes, one a line "
                     "(default: NAME_labels.txt beside the weights)")
    out.add_argument("--top", type=int, default=5, metavar="K", help="tell the K best classes "
                     "(default: 5)")
    out.add_argument("--json", action="store_true", help="print a JSON object a picture, a line "
                     "each")
    return parser


def run(options: argparse.Namespace) -> int:
    """Classify the pictures; returns the exit status."""
    if options.top < 1:
        raise ParameterError("--top", "a whole number of 1 or more", options.top)
    classifier = Classifier(trained.from_options(options), options.labels)
    status = 0
    for path, result in classifier.classify(_paths(options.pictures)):
        if isinstance(result, Exception):
            print(f"{type(result).__name__}: {result}", file=sys.stderr, flush=True)
            status = 2
        else:
            print(classifier.told(path, result, options.top, options.json), flush=True)
    return status


class Classifier:
    """A trained net that tells classes of pictures.

    Args:
        net: the net.
        labels: a file with the name of a class a line; default: the one beside the weights, or
            numbers for names.

    Attributes:
        classes: the name of each class.  unit: "probability", or "score" of a net without such.

    Errors: those of ``TrainedNet``; NetError for a net that does not give a score to each class;
    FileFormatError for names of classes that are not as many as these.
    """

    def __init__(self, net: trained.TrainedNet, labels: str | None = None):
        self._trained = net
        self._output, self.unit = _output(self._trained.net)
        blob = self._trained.net.device_blobs[self._output]
        if blob.count != blob.shape[1]:
            raise NetError(f"net '{self._trained.net.name}'", "a score for each class of a "
                           f"picture in '{self._output}'", f"the shape {blob.shape}",
                           "is the picture larger than those the net was trained with?")
        self.classes = _classes(net.weights, labels, blob.count)

    def classify(self, paths: Sequence[Path]) -> Iterator[tuple[Path, numpy.ndarray | Exception]]:
        """For each picture the scores of all classes, or the error that kept it from being read."""
        for start in range(0, len(paths), trained.BATCH):
            batch = {path: self._read(path) for path in paths[start:start + trained.BATCH]}
            good = {path: picture for path, picture in batch.items()
                    if isinstance(picture, numpy.ndarray)}
            if good:
                self._trained.forward(list(good.values()))
                scores = self._trained.net.device_blobs[self._output].host.data
                batch.update(zip(good, scores.reshape(len(good), -1).copy()))
            yield from batch.items()

    def _read(self, path: Path) -> numpy.ndarray | Exception:
        try:
            return self._trained.read(path)
        except ImportError:
            raise  # nor will another picture be read
        except (MinicaffeError, OSError) as error:
            return error

    def told(self, path: Path, scores: numpy.ndarray, top: int, as_json: bool) -> str:
        """The line that is printed for a picture: its ``top`` best classes."""
        best = numpy.argsort(-scores, kind="stable")[:top].tolist()
        if as_json:
            return json.dumps({"picture": str(path), "classes": [
                {"class": self.classes[k], "index": k, self.unit: float(scores[k])}
                for k in best]})
        if self.unit == "score":
            told = [f"{self.classes[k]} {scores[k]:.4g}" for k in best]
        else:  # classes that would be told as 0.0 % only if nothing else is
            best = [k for k in best if scores[k] >= 0.0005] or best
            told = [f"{self.classes[k]} {100 * scores[k]:.1f} %" for k in best]
        return f"{in_line(path, _PATH)}: {', '.join(told)}"


def _output(net) -> tuple[str, str]:
    """The blob of the classes' scores, and whether these are a "probability" or a "score"."""
    probable: set[str] = set()
    for layer in net.layers:
        gives = layer.type in ("Softmax", "Sigmoid") or (
            layer.type in SAME_NUMBERS and probable.intersection(layer.param.bottom))
        (probable.update if gives else probable.difference_update)(layer.param.top)
    found = [name for name in net.outputs if name in probable] or net.outputs
    if "prob" in found:
        found = ["prob"]
    if len(found) != 1:
        raise NetError(f"net '{net.name}'", "one output, or one called 'prob'", ", ".join(found))
    return found[0], "probability" if found[0] in probable else "score"


def _classes(weights, labels: str | None, count: int) -> list[str]:
    """The names of the classes; "class 3" where nobody tells them.

    Errors: FileFormatError for another number of names; what train wrote may be fewer, as a net
    may have scores to spare.
    """
    path = Path(f"{trained.stem_of(weights)}_labels.txt")
    if labels:
        path = existing_file(labels)
    names = []
    if path.is_file():
        text = read_file(path, (count + _NAME_BYTES) * _NAME_BYTES, "a file",
                         "name the classes in it, one a line.")
        names = [in_line(name) for name in text.decode("utf-8", "replace").splitlines()]
    if len(names) > count or labels and len(names) < count:
        raise FileFormatError(str(path), f"a name on a line for each of {count} classes",
                              f"{len(names)} lines")
    return names + [f"class {k}" for k in range(len(names), count)]


def _paths(given: Sequence[str]) -> list[Path]:
    """The pictures, those of folders in the order of their names; each once.

    Errors: MissingFileError for a folder without pictures.
    """
    paths: dict[Path, None] = {}
    for path in map(Path, given):
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.rglob("*")
                           if file.suffix.lower() in SUFFIXES and file.is_file())
            if not found:
                raise MissingFileError(str(path), "pictures in this folder", "none",
                                       f"their names end in {', '.join(SUFFIXES)}.")
        paths.update(dict.fromkeys(found))
    return list(paths)
