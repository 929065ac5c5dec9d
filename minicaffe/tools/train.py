"""``minicaffe train``: train a net on a data set, with progress and a test at the end."""

from __future__ import annotations

import argparse
import sys
import time

from ..errors import ParameterError
from ..solvers import Checkpoints
from ..solvers.snapshots import SnapshotError
from . import train_options
from .report import Report
from .snapshot_folder import SnapshotFolder, guard
from .start import start
from .train_options import TrainOptions
from .training import Training, prepare

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
    return train_options.add_options(parser)


SAVED = ("seed", "weights")  # options whose effect a solver state brings along


def run(options: argparse.Namespace) -> int:
    """Train as the options say; returns the exit status."""
    return train(TrainOptions.of(options))


def train(options: TrainOptions) -> int:
    """Train, test, and print what came of it; returns the exit status."""
    for option in SAVED:
        if options.resume is not None and getattr(options, option) is not None:
            raise ParameterError(f"--{option} and --resume", "one of them", "both",
                                 f"a solver state brings its own {option}.")
    began = time.monotonic()
    training = prepare(options)
    solver = training.solver
    folder = guard(solver)
    try:
        return _train(training, folder, options, began)
    finally:
        folder.close()


def _train(training: Training, folder: SnapshotFolder, options: TrainOptions,
           began: float) -> int:
    solver = training.solver
    keep = options.keep or (2 if options.snapshot or options.patience else None)
    checkpoints = Checkpoints(solver, training.monitor, options.patience, keep)
    part = "validation" if training.monitor else "test"
    with Report(solver, options.log, options.plot, training.batch_size, part) as report:
        start(training.solver, training.dataset, folder, options)
        unsaved = None
        try:
            with report.progress():
                solver.solve()
                if training.monitor and solver.iter % solver.param.test_interval and not (
                        solver.stop_requested):
                    solver.test_all()  # the last weights may be the best
        except SnapshotError as error:
            unsaved = error  # the training itself is done: its result is told all the same
        finally:
            report.draw()
        if unsaved:
            print(f"SnapshotError: {unsaved}", file=sys.stderr)
        elif solver.stop_requested and not checkpoints.out_of_patience:
            less = "".join(f" but --{option}" for option in SAVED if getattr(options, option)
                           is not None)
            print(f"stopped after iteration {solver.iter}; "
                  f"go on with the same options{less} and --resume {solver.last_snapshot}")
            return 130
        else:
            print(f"{solver.iter} iterations in {time.monotonic() - began:.1f} s; "
                  f"weights: {_weights_of(solver.last_snapshot)}")
        status = _conclude(training, checkpoints, options.target_accuracy, report)
        return 2 if unsaved else status


def _weights_of(state: str | None) -> str:
    return (state or "none").replace(".solverstate", ".caffemodel")


def _conclude(training: Training, checkpoints: Checkpoints, target: float | None,
              report: Report) -> int:
    """Test, print the accuracy as the last line, and hold it against the target."""
    solver = training.solver
    if checkpoints.best:
        iteration, value = checkpoints.best
        ended = f"; patience ended after iteration {solver.iter}"
        print(f"best {training.monitor} on the validation part: {value:.4f} at iteration "
              f"{iteration}{ended * checkpoints.out_of_patience}")
        if checkpoints.best_weights:
            solver.net.copy_from(checkpoints.best_weights)
            print(f"tested below: {checkpoints.best_weights}")
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
