"""Snapshots: weights and solver state on disk, each written whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy

from ..errors import TrainingError, WeightsError
from ..net import Net
from ..proto import SolverParameter, hdf5, wire
from ..proto.atomic_files import atomic_path
from ..proto.formats import is_hdf5
from .check_sums import NamedArrays, state_sum, weights_match, weights_sum
from .lr_policy import current_step
from .not_finite import parameter_not_finite
from .snapshot_files import Snapshot, beside, naming_a_whole_one, read

_log = logging.getLogger("minicaffe")


class SnapshotError(TrainingError, OSError):
    """A snapshot that the file system refused; what was there before is untouched."""


def write(solver) -> str:
    """Write ``<prefix>_iter_<n>.caffemodel`` and its ``.solverstate``; returns the latter's name.

    Both are written beside their places before the first of them is moved there, and the state is
    the last: a kill or an error at any instant leaves each state on disk with its own weights.
    """
    _check_finite(solver)
    weights, state = paths(solver, solver.iter)
    as_hdf5 = is_hdf5(state)
    content = wire.SolverStateFile(
        iter=solver.iter, learned_net=os.fsencode(weights).decode("utf-8", "replace"),
        current_step=current_step(solver.param, solver.iter),
        history=[_on_host(solver, part) for part in _history_in_order(solver)],
        random_seed=solver.seed, test_tick=solver.testing.ticks(solver.iter),
        notes=json.dumps(solver.notes) if solver.notes else "",
        weights_sum=weights_sum(_named_weights(solver.net)))
    content = content._replace(state_sum=state_sum(content))
    try:
        for prepare in solver.before_writing:
            prepare()
        Path(weights).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(state) as new_state, atomic_path(weights) as new_weights:
            solver.net.write(new_weights, as_hdf5)
            (hdf5.write_solverstate_hdf5 if as_hdf5 else wire.write_solverstate)(new_state, content)
            Path(state).unlink(missing_ok=True)  # one of an earlier run belongs to other weights
    except OSError as error:
        last = solver.last_snapshot or "none"
        raise SnapshotError(f"snapshot {_stem(solver, solver.iter)}",
                            f"it could not be written: {error.strerror or error}",
                            hint=f"{_way_out(error)}; last good snapshot: {last}.") from error
    return state


def _way_out(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space"
    if error.errno == errno.ENOENT:
        return "was its folder removed meanwhile?"
    return "choose a folder that can be written"


def paths(solver, iteration: int) -> tuple[str, str]:
    """The names of the weights and of the state that a snapshot of an iteration has."""
    ending = ".h5" if solver.param.snapshot_format == SolverParameter.HDF5 else ""
    stem = _stem(solver, iteration)
    return f"{stem}.caffemodel{ending}", f"{stem}.solverstate{ending}"


def is_own(solver, state: str) -> bool:
    """Whether a state's file is the one that the solver would write at this iteration."""
    return Path(state).resolve() == Path(paths(solver, solver.iter)[1]).resolve()


def _stem(solver, iteration: int) -> str:
    return f"{solver.param.snapshot_prefix}_iter_{iteration}"


def _check_finite(solver) -> None:
    found = parameter_not_finite(solver.net)
    if found:
        last = solver.last_snapshot or "none"
        raise TrainingError(
            f"snapshot at iteration {solver.iter}", "finite parameters",
            f"NaN or infinity in {found}", f"nothing was written; last good snapshot: {last}.")


def _history_in_order(solver) -> list:
    """All first parts of the parameters' histories, then all second ones: Caffe's order."""
    return [parts[k] for k in range(solver.history_per_parameter) for parts in solver.history]


def _named_weights(net: Net) -> Iterator[NamedArrays]:
    return ((layer.name, [blob.data for blob in layer.blobs]) for layer in net.layers)


def _on_host(solver, array) -> numpy.ndarray:
    host = numpy.empty(array.shape, solver.net.dtype)
    solver.net.backend.download(array, host)
    return host


def restore(solver, path: str) -> None:
    """Set a solver back to a state: iteration, history, seed, weights.  All is read, then set.

    Errors: FileFormatError for a damaged file, or weights that are not the state's own, which names
    the newest whole snapshot; WeightsError for those of another net, or weights that are nowhere.
    """
    with naming_a_whole_one(path):
        snapshot = read(path)
    state, targets = snapshot.state, _history_in_order(solver)
    _check_history(state, targets, path)
    _set_weights(solver, snapshot, path)
    for target, array in zip(targets, state.history):
        solver.net.backend.upload(array.reshape(target.shape), target)
    solver.iter = state.iter
    if state.random_seed is not None:
        solver.seed = state.random_seed
        for net in (solver.net, *solver.test_nets):
            net.reseed(state.random_seed)
    solver.testing.go_to(state.test_tick)
    solver.notes = snapshot.notes


def _check_history(state: wire.SolverStateFile, targets: list, path: str) -> None:
    shapes = [tuple(array.shape) for array in state.history]
    wanted = [tuple(array.shape) for array in targets]
    if [math.prod(s) for s in shapes] != [math.prod(s) for s in wanted]:
        raise WeightsError(path, f"a history of {len(wanted)} arrays {wanted}",
                           f"{len(shapes)} arrays {shapes}",
                           "is it the state of another net, or of another type of solver?")


def _set_weights(solver, snapshot: Snapshot, path: str) -> None:
    file = snapshot.weights_file
    if snapshot.weights is not None:
        solver.net.copy_stored(snapshot.weights, file, complete=True)
    elif solver.net.weights_loaded:
        others = not weights_match(_named_weights(solver.net), snapshot.state)
        _log.warning("%s: its weights '%s' are not there; those loaded before stay%s", path, file,
                     ", and are others" * others)
    else:
        places = " or ".join(dict.fromkeys([f"'{beside(path, file)}'", f"'{file}'"]))
        with naming_a_whole_one(path):
            raise WeightsError(path, f"its weights at {places}", "no such file",
                               "put them there, or load them first with net.copy_from.")
