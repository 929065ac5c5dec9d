"""A training as the options of ``minicaffe train`` ask for it: its net, its data, its solver."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy

from ..data import Batches, Dataset
from ..data.feeding import input_tops
from ..data.sets import open_dataset
from ..errors import MinicaffeError, ParameterError
from ..graph import filter_net
from ..layer import TEST, TRAIN
from ..net import Net
from ..proto import NetParameter, NetState, SolverParameter
from ..proto.upgrade import upgrade_net
from ..solvers import Solver
from ..solvers.nets import solver_param
from . import models
from .confusion import Confusion, evaluate, scores_blob
from .deploy import write_deploy

_log = logging.getLogger("minicaffe")
HELD_OUT = 0.1  # the share of the training part that patience needs to choose by


@dataclass
class Training:
    """A solver with the data it learns from.

    Attributes:
        dataset: its test part is for the end; None where the net's own layers bring the data.
        watch: the output of the test net that tells what is best on the validation part; None
            where there is no such part.
        accuracy: the output of the test net that is the accuracy, if any.
        batch_size: samples an iteration.
    """

    solver: Solver
    dataset: Dataset | None
    watch: str | None
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
        arrays = feeding(list(tested.source.arrays), self.dataset.test_x, self.dataset.test_y)
        net.source = Batches(arrays, transforms=tested.source.transforms)
        return evaluate(net, net.source.batches(net), *judged, classes=self.dataset.classes)


def prepare(options) -> Training:
    """Read the files and the data that the options name, and build the solver.

    Errors: MinicaffeError for whatever does not fit.
    """
    name = options.model or ("" if options.solver else "digits")
    model = models.load(name) if name else None
    param = solver_param(options.solver) if options.solver else model.solver()
    plain = model.net() if model else _own_net(param, options.solver)
    _set_options(param, options, Path(options.solver or name).stem)
    _check_folder(os.path.dirname(param.snapshot_prefix) or ".")
    dataset = _dataset(options, model, plain)
    net = plain
    if dataset and model:
        net = model.net(classes=_classes(dataset), shape=dataset.x.shape[1:])
    if options.batch_size:
        models.set_batch_size(net, options.batch_size)
    param.ClearField("train_net_param")
    param.net_param.CopyFrom(net)
    return _training(param, dataset, options)


def _own_net(param: SolverParameter, file: str) -> NetParameter:
    if not param.HasField("net_param"):
        raise ParameterError(file, "a net: one for training and testing", "none",
                             "name it in the file, or give --model.")
    return param.net_param


def _set_options(param: SolverParameter, options, stem: str) -> None:
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


# ------------------------------------------------------------------------------------- the data

def _dataset(options, model: models.Model | None, net: NetParameter) -> Dataset | None:
    """What is trained on; None for a net whose own layers bring the data."""
    sources = _sources(net)
    if not options.data and not any(layer.type == "Input" for layer in sources):
        return None
    if not sources:
        raise ParameterError("--data", "a net with a layer that data can be fed to", "none")
    return open_dataset(options.data or (model.data if model else "digits"),
                        size=_picture_size(sources[0], options.image_size))


def _sources(net: NetParameter) -> list:
    """The layers of phase TRAIN that data may be fed to."""
    chosen = filter_net(upgrade_net(net), NetState(phase=TRAIN))
    tops = set(input_tops(chosen))
    return [layer for layer in chosen.layer if tops.intersection(layer.top) and not layer.bottom]


def _picture_size(layer, wanted: tuple[int, int] | None) -> tuple[int, int, int] | None:
    """(C, H, W) that pictures of a folder are brought to; None: they have one size already."""
    shape = tuple(layer.input_param.shape[0].dim[1:]) if layer.input_param.shape else ()
    channels = shape[0] if len(shape) == 3 else 3
    crop = layer.transform_param.crop_size
    if wanted:
        return channels, *wanted
    if crop and not layer.transform_param.pad:  # room to cut it out of: 224 of 256, as is usual
        return channels, crop * 8 // 7, crop * 8 // 7
    return shape if len(shape) == 3 else None


def _classes(dataset: Dataset) -> int:
    labels = numpy.concatenate([dataset.y, dataset.test_y])
    return max(len(dataset.classes), int(labels.max(initial=-1)) + 1)


def feeding(inputs: list[str], x, y) -> dict[str, object]:
    """Samples and labels by the names of a net's inputs: ``data`` and ``label``, or in order.

    Errors: ParameterError for more than two inputs.
    """
    names = list(dict.fromkeys(inputs))
    if not 1 <= len(names) <= 2:
        raise ParameterError("model", "one or two inputs, the data and its labels",
                             ", ".join(sorted(names)))
    if set(names) == {"data", "label"}:
        names = ["data", "label"]
    return dict(zip(names, (x, y)))


# ----------------------------------------------------------------------------------- the solver

def _training(param: SolverParameter, dataset: Dataset | None, options) -> Training:
    share = options.validation
    if share is None:
        share = HELD_OUT if options.patience else 0
    if dataset is None:
        if share:
            raise ParameterError("--validation and --patience", "data of known length", "a net "
                                 "whose own layers bring the data", "--data gives another one.")
        solver = Solver(param, keep=[], device=options.device)
    else:
        # apart from the seed of the training, which a resumed one learns from its state
        learned = dataset.hold_out(share, seed=0) if share else dataset
        inputs = [top for layer in _sources(param.net_param) for top in layer.top]
        _test_everything(param)
        solver = Solver(param, keep=[], device=options.device,
                        data=feeding(inputs, learned.x, learned.y),
                        test_data=feeding(inputs, learned.test_x, learned.test_y))
    if not solver.net.loss_weights:
        raise ParameterError(f"net '{solver.net.name}'", "a loss to train it by, such as a layer "
                             "of type SoftmaxWithLoss", "none")
    accuracy = _output_of(solver, "Accuracy")
    if options.target_accuracy is not None and accuracy is None:
        raise ParameterError("--target-accuracy", "a net with an Accuracy layer for phase TEST",
                             "none")
    watch = (accuracy or _output_of(solver, "Loss")) if share else None
    if share and watch is None:
        raise ParameterError("--validation", "a net with an accuracy or a loss to choose by in "
                             "phase TEST", "none")
    size = solver.net.device_blobs[inputs[0]].shape[0] if dataset else 1
    return Training(solver, dataset, watch, accuracy, size * param.iter_size)


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


def begin(training: Training, options) -> None:
    """Load weights or a state, as the options say, and write what using the net later takes.

    Errors: MinicaffeError for files that are missing, damaged or of another net.
    """
    solver, dataset = training.solver, training.dataset
    param = solver.param
    if options.weights:
        afresh = solver.net.copy_from(options.weights, skip_other_shapes=True)
        if afresh:
            _log.warning("%s: of another shape, so they start afresh: %s", options.weights,
                         "; ".join(afresh))
    if options.resume is not None:
        state = options.resume or newest_state(param.snapshot_prefix)
        solver.restore(state)
        if solver.iter >= param.max_iter:
            raise ParameterError(state, f"a state before iteration {param.max_iter}",
                                 solver.iter, "--iterations N trains on, up to iteration N.")
    if dataset is not None:
        _check_classes(solver, dataset)
        _check_scale(solver, dataset)
        _write_deploy(solver, dataset)


def newest_state(prefix: str) -> str:
    """The solver state of the highest iteration among the snapshots of a training.

    Errors: ParameterError where there is none.
    """
    folder, stem = os.path.split(prefix)
    pattern = re.compile(re.escape(stem) + r"_iter_(\d+)\.solverstate(\.h5)?")
    found = {}
    for path in Path(folder or ".").iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            found[int(match[1])] = os.path.join(folder, path.name)
    if not found:
        raise ParameterError("--resume", f"a state '{prefix}_iter_N.solverstate'", "none",
                             "was it another --snapshot-dir, or another --model?")
    return found[max(found)]


def _check_classes(solver: Solver, dataset: Dataset) -> None:
    """Errors: ParameterError for a net with fewer scores than there are classes."""
    judged = scores_blob(solver.net)
    if judged is None:
        return
    scores = solver.net.device_blobs[judged[0]].shape
    wanted = _classes(dataset)
    if len(scores) == 2 and scores[1] < wanted:
        raise ParameterError(f"net '{solver.net.name}'", f"{wanted} scores or more, one for each "
                             f"class of {dataset.name}", f"{scores[1]} in blob '{judged[0]}'",
                             "num_output of the last layer counts the classes.")


def _check_scale(solver: Solver, dataset: Dataset) -> None:
    """Tell of pictures that go in as they are: most nets do not learn from numbers so large."""
    if dataset.x.dtype == numpy.uint8 and not solver.net.source.transforms:
        _log.warning("net '%s' is fed pictures as they are, 0 to 255; transform_param { scale: "
                     "0.00390625 } in its data layer brings them to 0 .. 1", solver.net.name)


def _write_deploy(solver: Solver, dataset: Dataset) -> None:
    """The files by which ``minicaffe classify`` uses the snapshots; some nets have none."""
    transforms = solver.test_nets[0].source.transforms if solver.test_nets else {}
    try:
        write_deploy(solver.param.net_param, solver.param.snapshot_prefix,
                     transform=next(iter(transforms.values()), None), classes=dataset.classes,
                     shape=dataset.x.shape[1:])
    except (MinicaffeError, OSError) as error:
        _log.warning("%s; no deploy file is written", error)
