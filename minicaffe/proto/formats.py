"""Weights and solver states from files of either format: by their content, else by their name."""

from __future__ import annotations

import os

from .atomic_files import existing_file
from .hdf5 import read_solverstate_hdf5, read_weights_hdf5
from .kinds import HDF5
from .wire import LayerWeights, SolverStateFile, read_caffemodel, read_solverstate


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a file's name says that it is HDF5, by Caffe's rule."""
    return os.fspath(path).endswith((".h5", ".hdf5"))


def read_weights(path: str | os.PathLike) -> list[LayerWeights]:
    """The layers with their weights of a caffemodel or an HDF5 file.

    Errors: MissingFileError; FileFormatError for a file that is damaged or something else.
    """
    return (read_weights_hdf5 if _holds_hdf5(path) else read_caffemodel)(path)


def read_state(path: str | os.PathLike) -> SolverStateFile:
    """A solver's state from its binary or HDF5 file.  Errors: as for ``read_weights``."""
    return (read_solverstate_hdf5 if _holds_hdf5(path) else read_solverstate)(path)


def _holds_hdf5(path: str | os.PathLike) -> bool:
    with open(existing_file(path), "rb") as file:
        return file.read(len(HDF5)) == HDF5 or is_hdf5(path)
