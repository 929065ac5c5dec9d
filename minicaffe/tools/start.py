"""Where a training starts: from new weights, from those of a file, or from a solver state."""

from __future__ import annotations

import logging

from ..data import Dataset
from ..errors import MinicaffeError, ParameterError
from ..proto import SolverParameter
from ..solvers import Solver
from ..solvers.nets import load_weights, weight_files
from ..solvers.snapshot_files import notes_of
from .deploy import write_deploy
from .snapshot_folder import SnapshotFolder
from .train_options import TrainOptions
from .training_data import check_fit, classes_of

_log = logging.getLogger("minicaffe.train")


def start(solver: Solver, dataset: Dataset | None, folder: SnapshotFolder,
          options: TrainOptions) -> None:
    """Load weights or a state, as the options say, and write what using the net later takes.

    Errors: MinicaffeError for files that are missing, damaged or of another net.
    """
    if options.weights:
        load_weights(weight_files([options.weights]), solver.net, solver.test_nets,
                     skip_other_shapes=True)
    if options.resume is not None:
        _resume(solver, options.resume or folder.newest())
    else:
        folder.tell_of_others()
    if dataset is not None:
        check_fit(solver, dataset)
        _write_deploy(solver, dataset)


def _resume(solver: Solver, state: str) -> None:
    """Go on from a state.  Errors: ParameterError for one of other data, which would be mixed."""
    settings = solver.notes["settings"]
    before = {**settings, **notes_of(state).get("settings", {})}
    for name, hint in (("validation", f"--validation {before['validation']}, as before."),
                       ("data", "--weights begins a new training from its weights.")):
        if before[name] != settings[name]:
            raise ParameterError(state, f"a state of a training with {name} {settings[name]}",
                                 before[name], hint)
    solver.restore(state)
    _log.info("%s: going on from there", state)
    if solver.iter >= solver.param.max_iter:
        raise ParameterError(state, f"a state before iteration {solver.param.max_iter}",
                             solver.iter, "--iterations N trains on, up to iteration N.")
    other = [f"{name} {value}, was {before[name]}" for name, value in settings.items()
             if before[name] != value]
    if other:
        _log.warning("%s: it goes on with other settings: %s", state, "; ".join(other))
    solver.notes["settings"] = settings


def _write_deploy(solver: Solver, dataset: Dataset) -> None:
    """The files by which ``minicaffe classify`` uses the snapshots; some nets have none."""
    stem = solver.param.snapshot_prefix
    transforms = solver.transforms
    try:
        write_deploy(solver.param.net_param, stem, classes=dataset.classes,
                     transform=next(iter(transforms.values()), None), shape=dataset.x.shape[1:])
    except (MinicaffeError, OSError) as error:
        _log.warning("%s; no deploy file is written", str(error).rstrip("."))


def settings_of(param: SolverParameter, batch_size: int, share: float,
                dataset: Dataset | None) -> dict[str, object]:
    """What a resumed training must have alike, to go on as if it had never stopped."""
    rates = {name: float(f"{getattr(param, name):.6g}")  # stored in single precision
             for name in ("base_lr", "momentum", "weight_decay")}
    return {**rates, "lr_policy": param.lr_policy, "batch size": batch_size,
            "validation": share, "data": _fingerprint(dataset) if dataset else "the net's own"}


def _fingerprint(dataset: Dataset) -> str:
    """A data set in few words, the same for the same samples and classes."""
    names = ", ".join(dataset.classes[:3]) + ", ..." * (len(dataset.classes) > 3)
    return (f"{dataset.name} ({len(dataset.x)} samples of shape {dataset.x.shape[1:]}, "
            f"{classes_of(dataset)} classes: {names or 'without names'})")
