"""The package's readers, found by their names, each with the seeds that it reads.

A public function ``read_...``, ``load_...`` or ``open_...`` that is given a path is a reader.  Its
seeds are those of ``seeds.py`` that it takes without an error, so that a new reader of a known
format is attacked without being listed; one that reads none fails a test.  CALLS says what a reader
is given besides a path; THROUGH lists ways to files that no such function leads to.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import minicaffe
from minicaffe import TRAIN, Net
from minicaffe.errors import MinicaffeError
from minicaffe.proto import NetParameter
from minicaffe.proto.text import parse_text

from . import hdf5, seeds
from .bounds import bounded
from .outcome import REFUSED, Outcome
from .sandbox import clean
from .target import Target
from .trees import Tree

_NAME = re.compile(r"(read|load|open)_\w+")
_PASSED_OVER = ("minicaffe.backend", "minicaffe.layers", "minicaffe.testing", "minicaffe.__main__")
SIZE = (3, 8, 8)
CALLS: dict[str, Callable] = {  # by a reader's name: how it is called
    "read_file": lambda read, path: read(path, 2**20),
    "read_text": lambda read, path: read(path, NetParameter),
    "read_image": lambda read, path: read(path, *SIZE),
    "read_idx": lambda read, path: read(path, 3 if "images" in path.name else 1),
    "open_dataset": lambda read, path: read(path, SIZE),
    "open_image_folder": lambda read, path: read(path, SIZE),
}


def _small(path: Path) -> str:
    """The small net's prototxt, beside a file."""
    net = path.parent / "deploy.prototxt"
    if not net.exists():
        net.write_text(seeds.NET.replace("include { phase: TEST stage: \"deploy\" not_stage: 'x' }",
                                         ""))
    return str(net)


def _weights(path: Path) -> Path:
    weights = path.parent / "deploy.caffemodel"
    if not weights.exists():
        seeds.small_net().save(weights)
    return weights


def _trained(path: Path, **options):
    from minicaffe.tools.trained import TrainedNet
    return TrainedNet(_weights(path), _small(path), device="numpy", **options)


def _mean(path: Path) -> None:
    if path.suffix in (".npy", ".binaryproto"):
        _trained(path, mean=str(path))
    else:
        raise MinicaffeError("mean", "another suffix")


def _labels(path: Path) -> None:
    from minicaffe.tools.classify import Classifier
    if path.name != "labels.txt":
        raise MinicaffeError("labels", "another name")
    Classifier(_trained(path), labels=str(path))


def _restore(path: Path) -> None:
    from minicaffe import SGDSolver
    if ".solverstate" not in path.name:
        raise MinicaffeError("state", "another name")
    solver = minicaffe.proto.SolverParameter(base_lr=1, lr_policy="fixed", max_iter=1)
    solver.net_param.CopyFrom(parse_text(Path(_small(path)).read_text(), NetParameter))
    made = SGDSolver(solver, device="numpy")
    made.net.copy_from(_weights(path))
    made.restore(str(path))


def _copy_from(path: Path) -> None:
    if ".caffemodel" not in path.name:
        raise MinicaffeError("weights", "another name")
    Net(_small(path), TRAIN, device="numpy").copy_from(path)


THROUGH: dict[str, Callable[[Path], object]] = {
    "mean": _mean, "labels": _labels, "restore": _restore, "copy_from": _copy_from}


class Reader(Target):
    """One reader, and the seeds that it reads."""

    def __init__(self, name: str, call: Callable[[Path], object], trees: list[Tree]):
        self.name, self.call, self.trees = name, call, trees

    def warm(self):
        for tree in self.trees:
            self.attempt(tree)

    def make(self, rng: Random) -> Tree:
        tree = rng.choice(self.trees)
        if hdf5.is_hdf5(tree) and rng.random() < 0.5:
            return hdf5.random_file(tree, rng)
        return tree.mutated(rng, self.trees)

    def attempt(self, item: Tree) -> Outcome:
        clean(self.scratch)
        path = item.write(self.scratch)
        return bounded(lambda: self._read(path), item.size)

    def _read(self, path: Path) -> Outcome | None:
        try:
            self.call(path)
        except FileNotFoundError as error:
            if isinstance(error, MinicaffeError) or not path.exists():
                return Outcome(REFUSED)  # the mutator left it out
            raise
        return None

    def smaller(self, item: Tree) -> Iterator[Tree]:
        return item.smaller()

    def size(self, item: Tree) -> int:
        return item.size

    def save(self, item: Tree, folder: Path) -> None:
        item.write(folder)


def found() -> dict[str, Callable]:
    """All readers of the package, by module and name."""
    readers = {}
    for module in pkgutil.walk_packages(minicaffe.__path__, "minicaffe."):
        if module.name.startswith(_PASSED_OVER):
            continue
        with suppress(ImportError):  # of what is not installed here
            content = vars(importlib.import_module(module.name))
            readers.update((f"{module.name.removeprefix('minicaffe.')}.{name}", value)
                           for name, value in content.items()
                           if _is_reader(name, value) and value.__module__ == module.name)
    return readers


def _is_reader(name: str, value: object) -> bool:
    if not (inspect.isfunction(value) and _NAME.fullmatch(name)):
        return False
    first = next(iter(inspect.signature(value).parameters.values()), None)
    return first is not None and "Path" in str(first.annotation)


def _call(function: Callable) -> Callable[[Path], object]:
    special = CALLS.get(function.__name__)
    return (lambda path: special(function, path)) if special else function


@cache
def targets(folder: Path) -> dict[str, Reader]:
    """A target for each reader, with its seeds, which may be none.

    Args:
        folder: an empty one to write seeds into.
    """
    calls = {name: _call(function) for name, function in found().items()} | THROUGH
    trees = seeds.seeds()
    readers: dict[str, list[Tree]] = {name: [] for name in calls}
    for k, tree in enumerate(trees):
        place = folder / str(k)
        place.mkdir()
        path = tree.write(place)
        for name, call in calls.items():
            with suppress(Exception):
                call(path)
                readers[name].append(tree)
    return {name: Reader(name, calls[name], fit) for name, fit in readers.items()}
