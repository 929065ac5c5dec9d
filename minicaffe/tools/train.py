"""``minicaffe train``: train a net on a data set, with a progress bar and a test at the end."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..data import DATASETS, Dataset
from ..errors import ParameterError
from ..proto import SolverParameter
from ..solvers import Solver
from ..solvers.nets import solver_param
from ..solvers.snapshots import SnapshotError
from . import models
from .report import Report

DESCRIPTION = """\
Train a net, test it, and print its accuracy on the test part of the data.

Without options: the small convolutional net of models/digits.py on handwritten digits, which are
inside the package. The last line printed is "test accuracy = ...".
"""

EPILOG = """\
examples:
  COMMAND
  COMMAND --iterations 2000 --lr 0.02 --seed 7
  COMMAND --model my_net.py --log training.jsonl
  COMMAND --solver my_solver.prototxt
  COMMAND --snapshot 100
  COMMAND --resume snapshots/digits_iter_400.solverstate

Ctrl-C finishes the iteration, writes a snapshot and stops; --resume, with the same options, goes
on from there as if it had never stopped. Exit status: 0 done, 2 a mistake in the options or files,
3 the target accuracy was missed, 130 interrupted.
"""


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    what = parser.add_argument_group("what to train")
    what.add_argument("--model", metavar="NAME|FILE", help="a net of models/ by name, a Python "
                      "file like those, or a prototxt, with inputs for pictures (N, 1, 8, 8) and "
                      "labels (N,) (default: digits)")
    what.add_argument("--solver", metavar="FILE", help="a solver prototxt; without --model its "
                      "net is trained (default: the model's own settings)")
    what.add_argument("--weights", metavar="FILE", help="start from these weights, a .caffemodel "
                      "or .h5: fine-tuning")
    what.add_argument("--resume", metavar="FILE", help="go on from this .solverstate")
    how = parser.add_argument_group("how to train (default: as the model or solver file says)")
    how.add_argument("--iterations", type=_positive, metavar="N", help="train for N iterations")
    how.add_argument("--batch-size", type=_positive, metavar="N", help="samples an iteration")
    how.add_argument("--lr", type=_rate, metavar="X", help="base learning rate")
    how.add_argument("--seed", type=_seed, metavar="N",
                     help="of weights, dropout and the order of the data (else 1)")
    how.add_argument("--device", default="cpu", metavar="NAME",
                     help="cpu (compiled by numba) or numpy (the plain reference) (default: cpu)")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--snapshot-dir", metavar="DIR",
                     help="folder for weights and solver states (else snapshots)")
    out.add_argument("--snapshot", type=_positive, metavar="N",
                     help="write a snapshot every N iterations, not only at the end")
    out.add_argument("--log", metavar="FILE", help="append what is displayed as JSON lines")
    out.add_argument("--target-accuracy", type=_share, metavar="X",
                     help="exit with status 3 if the test accuracy is below X, such as 0.97")
    return parser


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


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


def run(options: argparse.Namespace) -> int:
    """Train as the options say; returns the exit status."""
    for option in ("seed", "weights"):
        if options.resume and getattr(options, option) is not None:
            raise ParameterError(f"--{option}", "not with --resume", "both",
                                 "the solver state brings its own.")
    began = time.monotonic()
    param = _settings(options)
    _check_folder(os.path.dirname(param.snapshot_prefix) or ".")
    dataset = DATASETS["digits"]()
    solver = make_solver(param, dataset, options)
    with Report(solver, options.log) as report:
        unsaved = None
        try:
            with report.progress():
                solver.solve()
        except SnapshotError as error:
            unsaved = error  # the training itself is done: its result is told all the same
        if unsaved:
            print(f"SnapshotError: {unsaved}", file=sys.stderr)
        elif solver.stop_requested:
            print(f"stopped after iteration {solver.iter}; "
                  f"go on with the same options and --resume {solver.last_snapshot}")
            return 130
        else:
            print(f"{solver.iter} iterations in {time.monotonic() - began:.1f} s; "
                  f"weights: {_weights_of(solver.last_snapshot)}")
        status = _conclude(solver, options.target_accuracy, report)
        return 2 if unsaved else status


def _settings(options) -> SolverParameter:
    """The SolverParameter with its net: of the solver file, the model, and the options."""
    name = options.model or ("" if options.solver else "digits")
    model = models.load(name) if name else None
    param = solver_param(options.solver) if options.solver else model.solver()
    stem = Path(options.solver or name).stem
    if model:
        param.ClearField("train_net_param")
        param.net_param.CopyFrom(model.net())
    elif not param.HasField("net_param"):
        raise ParameterError(options.solver, "a net: one for training and testing", "none",
                             "name it in the file, or give --model.")
    if options.batch_size:
        models.set_batch_size(param.net_param, options.batch_size)
    if options.iterations:
        param.max_iter = options.iterations
    if options.snapshot:
        param.snapshot = options.snapshot
    if options.lr is not None:
        param.base_lr = options.lr
    if options.seed is not None or param.random_seed < 0:
        param.random_seed = 1 if options.seed is None else options.seed
    own = options.solver and param.snapshot_prefix != str(Path(options.solver).with_suffix(""))
    if options.snapshot_dir or not own:
        param.snapshot_prefix = os.path.join(options.snapshot_dir or "snapshots", stem)
    return param


def make_solver(param: SolverParameter, dataset: Dataset, options) -> Solver:
    """A solver whose nets are fed the data set, where they have inputs to feed."""
    inputs = [top for layer in param.net_param.layer if layer.type == "Input" for top in layer.top]
    feeding = {}
    if inputs:
        if len(set(inputs)) != 2:
            raise ParameterError("model", "two inputs, the data and its labels",
                                 ", ".join(sorted(set(inputs))))
        feeding = {"data": (dataset.x, dataset.y), "test_data": (dataset.test_x, dataset.test_y)}
        if set(inputs) == {"data", "label"}:  # in whatever order the net names them
            feeding = {which: dict(zip(("data", "label"), arrays))
                       for which, arrays in feeding.items()}
        # every sample of the test part once, whatever the file says about another data set's
        del param.test_iter[:]
        if not param.test_interval:
            param.test_interval = param.max_iter + 1
            param.test_initialization = False
    solver = Solver(param, keep=[], device=options.device, **feeding)
    if not solver.net.loss_weights:
        raise ParameterError(f"net '{solver.net.name}'", "a loss to train it by, such as a layer "
                             "of type SoftmaxWithLoss", "none")
    if options.weights:
        solver.net.copy_from(options.weights)
    if options.resume:
        solver.restore(options.resume)
        if solver.iter >= param.max_iter:
            raise ParameterError(options.resume, f"a state before iteration {param.max_iter}",
                                 solver.iter, "--iterations N trains on, up to iteration N.")
    if options.target_accuracy is not None and _accuracy_of(solver) is None:
        raise ParameterError("--target-accuracy", "a net with an Accuracy layer for phase TEST",
                             "none")
    return solver


def _accuracy_of(solver: Solver) -> str | None:
    """The test net's output that is the accuracy."""
    layers = solver.test_nets[0].layers if solver.test_nets else ()
    return next((layer.param.top[0] for layer in layers if layer.type == "Accuracy"), None)


def _check_folder(folder: str) -> None:
    """Errors: ParameterError, before anything is trained, where snapshots could not be written."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        probe = Path(folder) / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ParameterError("--snapshot-dir", "a folder that can be written",
                             f"'{folder}' ({error.strerror})", "give another one.") from None


def _weights_of(state: str | None) -> str:
    return (state or "none").replace(".solverstate", ".caffemodel")


def _conclude(solver: Solver, target: float | None, report: Report) -> int:
    """Test, print the accuracy as the last line, and hold it against the target."""
    if not solver.test_nets:
        return 0
    results = solver.test(0)
    report.write(event="final", iteration=solver.iter, **results)
    accuracy = results.get(_accuracy_of(solver))
    if accuracy is None:
        print("test " + ", ".join(f"{name} = {value:.4f}" for name, value in results.items()))
        return 0
    missed = target is not None and accuracy < target
    if missed:
        print(f"below the target accuracy {target}")
    print(f"test accuracy = {accuracy:.4f}")
    return 3 if missed else 0
