"""A training as the options of ``minicaffe train`` ask for it: its net, its data, its solver."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..data import Batches, Dataset
from ..data.feeding import samples_of
from ..errors import ParameterError, ShapeError
from ..layer import TEST
from ..net import Net
from ..proto import NetParameter, SolverParameter, hdf5
from ..solvers import Solver
from ..solvers.nets import solver_param
from . import models, plot
from .confusion import Confusion, evaluate, scores_blob
from .option_values import check_writable
from .start import settings_of
from .train_options import TrainOptions
from .training_data import augment, classes_of, open_samples, warn_of_few

_log = logging.getLogger("minicaffe.train")
HELD_OUT = 0.1  # the share of the training part that patience needs to choose by


@dataclass
class Training:
    """A solver with the data it learns from.

    Attributes:
        dataset: what is learned from, and the test part for the end; None where the net's own
            layers bring the data.
        monitor: the output of the test net that tells what is best on the validation part; None
            where there is no such part.
        accuracy: the output of the test net that is the accuracy, if any.
        batch_size: samples an iteration.
    """

    solver: Solver
    dataset: Dataset | None
    monitor: str | None
    accuracy: str | None
    batch_size: int

    def evaluate(self) -> tuple[dict[str, float], Confusion | None]:
        """Test on the test part: the mean of each output, and which class was taken for which."""
        solver, tested = self.solver, self.solver.test_nets[0]
        judged = scores_blob(tested)
        if self.dataset is None or judged is None:
            return solver.test(0), None
        net = Net(tested.param, TEST, keep=list(judged), device=tested.backend.name,
                  seed=tested.seed)
        net.share_with(solver.net)
        net.source = Batches(samples_of(self.dataset, net.param, TEST),
                             transforms=tested.source.transforms)
        return evaluate(net, net.source.batches(net), *judged, classes=self.dataset.classes)


def prepare(options: TrainOptions) -> Training:
    """Read the files and the data that the options name, and build the solver.

    Errors: MinicaffeError for whatever does not fit.
    """
    name = options.model or ("" if options.solver else "digits")
    model = models.load(name) if name else None
    param = solver_param(options.solver) if options.solver else model.solver()
    net = model.net() if model else _own_net(param, options.solver)
    meant_for = model.data if model else "digits"
    _set_options(param, options, _stem(options, name, meant_for))
    _check_outputs(param, options)
    dataset = open_samples(options, meant_for, net)
    if dataset and model:
        net = model.net(classes=classes_of(dataset), shape=dataset.x.shape[1:])
    if options.batch_size:
        models.set_batch_size(net, options.batch_size)
    if dataset:
        augment(net, options.mirror, options.shift, dataset.x.shape[1:])
    param.ClearField("train_net_param")
    param.net_param.CopyFrom(net)
    return _training(param, dataset, options)


def _own_net(param: SolverParameter, file: str) -> NetParameter:
    if not param.HasField("net_param"):
        raise ParameterError(file, "a net: one for training and testing", "none",
                             "name it in the file, or give --model.")
    return param.net_param


def _stem(options: TrainOptions, model: str, meant_for: str) -> str:
    """What the names of the snapshots begin with: model or solver file, and the data if it is not
    what the model is meant for, so that trainings on different data do not overwrite each other."""
    stem = Path(options.solver or model).stem
    data = Path(options.data or meant_for).name.split(".")[0]
    return stem if data in (meant_for, stem, "") else f"{stem}_{data}"


def _set_options(param: SolverParameter, options: TrainOptions, stem: str) -> None:
    for option, field in (("iterations", "max_iter"), ("snapshot", "snapshot"), ("lr", "base_lr"),
                          ("test_interval", "test_interval"), ("display", "display")):
        if getattr(options, option) is not None:
            setattr(param, field, getattr(options, option))
    if options.seed is not None or param.random_seed < 0:
        param.random_seed = 1 if options.seed is None else options.seed
    own = options.solver and param.snapshot_prefix != str(Path(options.solver).with_suffix(""))
    if options.snapshot_dir or not own:
        param.snapshot_prefix = os.path.join(options.snapshot_dir or "snapshots", stem)


def _check_outputs(param: SolverParameter, options: TrainOptions) -> None:
    """Errors: ParameterError, MinicaffeError for what could not be written after a training."""
    if options.log and options.log == options.plot:
        raise ParameterError("--log and --plot", "two files", f"'{options.log}' for both")
    for option, name in (("--log", options.log), ("--plot", options.plot)):
        if name:
            check_writable(option, name)
    if options.plot:
        plot.check_output(options.plot)
    if param.snapshot_format == SolverParameter.HDF5:
        hdf5.import_h5py()


# ----------------------------------------------------------------------------------- the solver

def _training(param: SolverParameter, dataset: Dataset | None, options: TrainOptions) -> Training:
    share = options.validation
    if share is None:
        share = HELD_OUT if options.patience else 0
    if options.patience and not share:
        raise ParameterError("--patience", "a validation part to judge by", "--validation 0")
    if dataset is None:
        if share:
            raise ParameterError("--validation and --patience", "data of known length", "a net "
                                 "whose own layers bring the data", "--data gives another one.")
        solver = Solver(param, keep=[], device=options.device)
    else:
        # apart from the seed of the training, which a resumed one learns from its state
        learned = dataset.hold_out(share, seed=0) if share else dataset
        if share:
            _log.info("%d of them are held out as the validation part", len(learned.test_x))
            warn_of_few(len(learned.test_x), "validation")
        dataset = replace(dataset, x=learned.x, y=learned.y)
        _test_everything(param)
        try:
            solver = Solver(param, keep=[], device=options.device, data=learned)
        except ShapeError as error:
            raise ShapeError(error.where, error.expected, error.got,
                             f"{error.hint} The samples of {dataset.name} have the shape "
                             f"{dataset.x.shape[1:]}.".lstrip()) from error
    if not solver.net.loss_weights:
        raise ParameterError(f"net '{solver.net.name}'", "a loss to train it by, such as a layer "
                             "of type SoftmaxWithLoss", "none")
    accuracy, monitor = _judges(solver, options, share)
    fed = next(iter(solver.net.source.arrays)) if dataset else None
    size = solver.net.device_blobs[fed].shape[0] if fed else 1
    training = Training(solver, dataset, monitor, accuracy, size * param.iter_size)
    solver.notes["settings"] = settings_of(solver.param, training.batch_size, share, dataset)
    return training


def _judges(solver: Solver, options: TrainOptions, share: float) -> tuple[str | None, str | None]:
    """The outputs of the test net that are the accuracy, and that tell what is best.

    Errors: ParameterError where the options need one that the net does not have.
    """
    accuracy = _output_of(solver, "Accuracy")
    if options.target_accuracy is not None and accuracy is None:
        raise ParameterError("--target-accuracy", "a net with an Accuracy layer for phase TEST",
                             "none")
    monitor = (accuracy or _output_of(solver, "Loss")) if share else None
    if share and monitor is None:
        raise ParameterError("--validation", "a net with an accuracy or a loss to choose by in "
                             "phase TEST", "none")
    return accuracy, monitor


def _test_everything(param: SolverParameter) -> None:
    """Every sample of the test part once, whatever a file says about another data set's."""
    del param.test_iter[:]
    if not param.test_interval:
        param.test_interval = param.max_iter + 1
        param.test_initialization = False


def _output_of(solver: Solver, kind: str) -> str | None:
    """The test net's output that a layer of such a type makes."""
    for net in solver.test_nets[:1]:
        for layer in net.layers:
            if layer.type.endswith(kind) and layer.param.top[0] in net.outputs:
                return layer.param.top[0]
    return None
