"""Snapshots on disk: read, held against their check sums, and which of them are whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import FileFormatError, MinicaffeError, WeightsError
from ..proto import wire
from ..proto.formats import read_state, read_weights
from .check_sums import is_damaged, weights_match


class Snapshot(NamedTuple):
    """A snapshot as it was read: a solver state with its notes, and the layers in its file of
    weights; ``weights`` is None where there is no such file.
    """

    state: wire.SolverStateFile
    notes: dict[str, object]
    weights_file: str
    weights: list[wire.LayerWeights] | None


def read(path: str) -> Snapshot:
    """A snapshot by its state, with its weights where they are found: beside it, or where it says.

    Errors: FileFormatError where either is damaged by its check sum, or the weights are those of
    another state.  States of real Caffe and of old have no sums.
    """
    state = _read_state(path)
    notes = _notes(state.notes, path)
    name = state.learned_net
    # beside it first: where it says, another training may have written since
    for file in (beside(path, name), Path(name)) if name else ():
        if file.is_file():
            weights = read_weights(file)
            if not weights_match(((layer.name, layer.blobs) for layer in weights), state):
                raise FileFormatError(str(file), f"the weights that {Path(path).name} was written "
                                      "with", "others, by their check sum: damaged, or another "
                                      "training's")
            return Snapshot(state, notes, str(file), weights)
    return Snapshot(state, notes, name, None)


def notes_of(path: str) -> dict[str, object]:
    """The notes in a solver state.  Errors: FileFormatError for what is none, or is damaged."""
    with naming_a_whole_one(path):
        return _notes(_read_state(path).notes, path)


def states(prefix: str) -> dict[int, str]:
    """The solver states ``<prefix>_iter_<n>.solverstate``, of either format, by their n."""
    folder, stem = os.path.split(prefix)
    pattern = re.compile(re.escape(stem) + r"_iter_(\d+)\.solverstate(\.h5)?")
    matches = filter(None, map(pattern.fullmatch, os.listdir(folder or ".")))
    there = {int(match[1]): os.path.join(folder, match[0]) for match in matches}
    return {iteration: path for iteration, path in there.items() if not os.path.isdir(path)}


def newest_whole(prefix: str) -> str | None:
    """The newest state that can be read, with weights that are its own; None if there is none."""
    there = states(prefix)
    for iteration in sorted(there, reverse=True):
        with suppress(MinicaffeError, OSError):
            if read(there[iteration]).weights is not None:
                return there[iteration]
    return None


def beside(path: str, weights: str) -> Path:
    """Where weights are that lie beside their state."""
    return Path(path).parent / Path(weights).name


def _read_state(path: str) -> wire.SolverStateFile:
    state = read_state(path)
    if is_damaged(state):
        raise FileFormatError(path, "a solver state as it was written", "another one, by its check "
                              "sum: it is damaged")
    return state


@contextmanager
def naming_a_whole_one(path: str) -> Iterator[None]:
    """Let errors about a snapshot tell from which other one of the training one can go on."""
    try:
        yield
    except (FileFormatError, WeightsError) as error:
        prefix = re.sub(r"_iter_\d+\.solverstate(\.h5)?$", "", path)
        whole = newest_whole(prefix) if prefix != path else None
        way = ("no other snapshot of this training there is whole." if whole is None else
               f"the newest whole snapshot is {whole}: --resume {whole}, in Python "
               f"solver.restore('{whole}'), goes on from it.")
        raise type(error)(error.where, error.expected, error.got,
                          f"{error.hint} {way}".lstrip()) from error


def _notes(text: str, path: str) -> dict[str, object]:
    try:
        notes = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict):
        raise FileFormatError(path, "notes that are a JSON object", repr(text[:40]))
    return notes
