"""``minicaffe train``: train a net on a data set, with progress and a test at the end."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable

from ..errors import ParameterError
from ..solvers.keeper import Keeper
from ..solvers.snapshots import SnapshotError
from . import task
from .report import Report

DESCRIPTION = """\
Train a net, test it, and print its accuracy on the test part of the data.

Without options: the small convolutional net of models/digits.py on handwritten digits, which are
inside the package. The last line printed is "test accuracy = ...".

DATA is a name (digits, mnist, fashion-mnist, cifar10: looked for in the folder that MINICAFFE_DATA
names, else downloaded once into the cache folder) or a path: a folder or zip of pictures with one
folder a class, perhaps under train/ and test/; a folder with MNIST's idx files; an archive of
CIFAR-10; an .npz file. Without a test part a fifth of the samples is held out as one.
"""

EPILOG = """\
examples:
  COMMAND
  COMMAND --model lenet
  COMMAND --model lenet --data fashion-mnist --log lenet.jsonl --plot lenet.png
  COMMAND --model cifar10_quick --data my_pictures/ --patience 5
  COMMAND --model cifar10_quick --data my_pictures/ --weights cifar10_quick_iter_5000.caffemodel
  COMMAND --solver my_solver.prototxt --data cifar10
  COMMAND --iterations 2000 --lr 0.02 --seed 7 --snapshot 500
  COMMAND --iterations 2000 --resume

Ctrl-C finishes the iteration, writes a snapshot and stops; --resume, with the same options, goes
on from there as if it had never stopped. Beside the snapshots lie ..._deploy.prototxt and what else
"minicaffe classify" needs. Exit status: 0 done, 2 a mistake in the options or files, 3 the target
accuracy was missed, 130 interrupted.
"""


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    what = parser.add_argument_group("what to train")
    what.add_argument("--model", metavar="NAME|FILE", help="a net of models/ by name, a Python "
                      "file like those, or a prototxt (default: digits)")
    what.add_argument("--solver", metavar="FILE", help="a solver prototxt; without --model its "
                      "net is trained (default: the model's own settings)")
    what.add_argument("--data", metavar="DATA", help="what to train on; it takes the place of the "
                      "net's data layers (default: what the model is meant for, else digits)")
    what.add_argument("--mirror", action="store_true", help="learn from pictures mirrored at "
                      "random as well")
    what.add_argument("--shift", type=_positive, default=0, metavar="N", help="learn from pictures "
                      "moved by up to N pixels each way")
    what.add_argument("--image-size", type=_size, metavar="HxW", help="bring pictures of your own "
                      "to this size (default: that of the net's input)")
    what.add_argument("--weights", metavar="FILE", help="start from these weights, a .caffemodel "
                      "or .h5: fine-tuning; layers of another shape start afresh")
    what.add_argument("--resume", metavar="FILE", nargs="?", const="", help="go on from this "
                      ".solverstate, or from the newest one of this training")
    how = parser.add_argument_group("how to train (default: as the model or solver file says)")
    how.add_argument("--iterations", type=_positive, metavar="N", help="train for N iterations")
    how.add_argument("--batch-size", type=_positive, metavar="N", help="samples an iteration")
    how.add_argument("--lr", type=_rate, metavar="X", help="base learning rate")
    how.add_argument("--display", type=_positive, metavar="N", help="show the loss every N "
                     "iterations")
    how.add_argument("--test-interval", type=_positive, metavar="N",
                     help="test every N iterations")
    how.add_argument("--seed", type=_seed, metavar="N",
                     help="of weights, dropout and the order of the data (else 1)")
    how.add_argument("--validation", type=_share, metavar="X", help="hold out this share of the "
                     "training part: the tests meanwhile are of it, and choose the best weights "
                     "(default: 0, all is trained on and the last weights count; 0.1 with "
                     "--patience)")
    how.add_argument("--patience", type=_positive, metavar="N", help="stop after N tests in a row "
                     "without a better one")
    how.add_argument("--device", default="cpu", metavar="NAME",
                     help="cpu (compiled by numba) or numpy (the plain reference) (default: cpu)")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--snapshot-dir", metavar="DIR", help="folder for weights and solver states "
                     "(else snapshots); they are called after the solver file, or else the model, "
                     "and the data where it is not the model's own")
    out.add_argument("--snapshot", type=_positive, metavar="N",
                     help="write a snapshot every N iterations, not only at the end")
    out.add_argument("--keep", type=_positive, metavar="N", help="of the snapshots keep the best "
                     "and the last N (default: 2 with --snapshot or --patience, else all)")
    out.add_argument("--log", metavar="FILE", help="append what is displayed as JSON lines")
    out.add_argument("--plot", metavar="FILE", help="draw loss, accuracy and rate into this .png, "
                     ".svg or .pdf")
    out.add_argument("--target-accuracy", type=_share, metavar="X",
                     help="exit with status 3 if the test accuracy is below X, such as 0.97")
    return parser


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _sides(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return _whole(height), _whole(width or height)


def _checked(convert: Callable, fits: Callable, expected: str) -> Callable[[str], float]:
    """What argparse calls for an option's text: its value, if that is one that fits."""
    def parse(text: str):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got '{text}'")
        return value
    return parse


_positive = _checked(_whole, lambda n: n >= 1, "a whole number of 1 or more")
_seed = _checked(_whole, lambda n: n < 2**63, "a whole number below 2^63")
_rate = _checked(float, lambda x: 0 <= x < math.inf, "a number of 0 or more")
_share = _checked(float, lambda x: 0 <= x <= 1, "a share from 0 to 1, such as 0.97")
_size = _checked(_sides, lambda size: min(size) >= 1, "a height and width such as 64x48, or one")


def run(options: argparse.Namespace) -> int:
    """Train as the options say; returns the exit status."""
    for option in ("seed", "weights"):
        if options.resume is not None and getattr(options, option) is not None:
            raise ParameterError(f"--{option}", "not with --resume", "both",
                                 "the solver state brings its own.")
    began = time.monotonic()
    training = task.prepare(options)
    solver = training.solver
    keep = options.keep or (2 if options.snapshot or options.patience else None)
    keeper = Keeper(solver, training.watch, options.patience, keep)
    part = "validation" if training.watch else "test"
    with Report(solver, options.log, options.plot, training.batch_size, part) as report:
        task.begin(training, options)
        unsaved = None
        try:
            with report.progress():
                solver.solve()
        except SnapshotError as error:
            unsaved = error  # the training itself is done: its result is told all the same
        finally:
            report.draw()
        if unsaved:
            print(f"SnapshotError: {unsaved}", file=sys.stderr)
        elif solver.stop_requested and not keeper.out_of_patience:
            print(f"stopped after iteration {solver.iter}; "
                  f"go on with the same options and --resume {solver.last_snapshot}")
            return 130
        else:
            print(f"{solver.iter} iterations in {time.monotonic() - began:.1f} s; "
                  f"weights: {_weights_of(solver.last_snapshot)}")
        status = _conclude(training, keeper, options.target_accuracy, report)
        return 2 if unsaved else status


def _weights_of(state: str | None) -> str:
    return (state or "none").replace(".solverstate", ".caffemodel")


def _conclude(training: task.Training, keeper: Keeper, target: float | None,
              report: Report) -> int:
    """Test, print the accuracy as the last line, and hold it against the target."""
    solver = training.solver
    if keeper.best:
        iteration, value = keeper.best
        print(f"best {training.watch} on the validation part: {value:.4f} at iteration {iteration}"
              + (f"; patience ended after iteration {solver.iter}" * keeper.out_of_patience))
        if keeper.best_weights:
            solver.net.copy_from(keeper.best_weights)
            print(f"tested below: {keeper.best_weights}")
    if not solver.test_nets:
        return 0
    results, confusion = training.evaluate()
    report.write(event="final", iteration=solver.iter, **results)
    if confusion is not None:
        print(confusion.text())
    accuracy = results.get(training.accuracy)
    if accuracy is None:
        print("test " + ", ".join(f"{name} = {value:.4f}" for name, value in results.items()))
        return 0
    missed = target is not None and accuracy < target
    if missed:
        print(f"below the target accuracy {target}")
    print(f"test accuracy = {accuracy:.4f}")
    return 3 if missed else 0
