"""Weights and solver states in Caffe's HDF5 files (``snapshot_format: HDF5``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileFormatError, MinicaffeError, MissingPackageError, in_line
from .atomic_files import atomic_write, existing_file
from .hdf5_file import Hdf5File
from .kinds import HDF5, HEAD, refuse_other_kinds
from .wire import MOST_TEST_NETS, LayerWeights, SolverStateFile

if TYPE_CHECKING:
    import h5py


def read_weights_hdf5(path: str | os.PathLike) -> list[LayerWeights]:
    """The layers with weights of a ``.caffemodel.h5`` file; their types are not in it.

    Real Caffe leaves out what a layer shares with another one: ``blobs`` holds None there.

    Errors:
        FileFormatError: not an HDF5 file, not one of weights, damaged, or with links in it.
    """
    with _open(path) as file:
        groups = [("", file.group("data", "weights, in a group 'data'"))]
        layers: list[LayerWeights] = []
        while groups:
            name, group = groups.pop()
            arrays = file.arrays(group)
            if arrays:
                blobs = [arrays.get(i) for i in range(max(arrays) + 1)]
                layers.append(LayerWeights(name, "", blobs))
            inner = [key for key, child in file.members(group) if hasattr(child, "items")]
            groups += [(f"{name}/{key}" if name else key, group[key]) for key in reversed(inner)]
    return layers


def write_weights_hdf5(
    path: str | os.PathLike, weights: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Write each layer's arrays as ``data/<layer name>/<i>``, whole or not at all."""
    with _create(path) as file:
        for name, arrays in weights.items():
            group = file.require_group(f"data/{name}")
            for i, array in enumerate(arrays):
                group[str(i)] = _real(array)


def read_solverstate_hdf5(path: str | os.PathLike) -> SolverStateFile:
    """A solver's state from a ``.solverstate.h5`` file.

    Errors:
        FileFormatError: not an HDF5 file, or not a solver state.
    """

    with _open(path) as file:
        expected = "a solver state, with 'iter' and 'history'"
        history = file.arrays(file.group("history", expected))
        if "iter" not in file.content:
            raise FileFormatError(str(path), expected, file.names())
        return SolverStateFile(
            iter=file.integer("iter"),
            learned_net=file.text("learned_net"),
            current_step=file.integer("current_step") or 0,
            history=list(history.values()),
            random_seed=file.integer("random_seed"),
            test_tick=file.integers("test_tick", MOST_TEST_NETS),
            notes=file.text("notes"),
            weights_sum=file.integer("weights_sum"),
            state_sum=file.integer("state_sum"),
        )


def write_solverstate_hdf5(path: str | os.PathLike, state: SolverStateFile) -> None:
    """Write a solver's state that real Caffe reads, whole or not at all."""
    with _create(path) as file:
        file["iter"] = np.array([state.iter], np.int32)
        file["learned_net"] = np.bytes_(state.learned_net.encode())
        file["current_step"] = np.array([state.current_step], np.int32)
        history = file.create_group("history")
        for i, array in enumerate(state.history):
            history[str(i)] = _real(array)
        for name in ("random_seed", "weights_sum", "state_sum"):
            if getattr(state, name) is not None:
                file[name] = np.array([getattr(state, name)], np.int64)
        if state.test_tick:
            file["test_tick"] = np.array(state.test_tick, np.int64)
        if state.notes:
            file["notes"] = np.bytes_(state.notes.encode())


def import_h5py():
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError(
            "HDF5 files", "h5py is not installed", hint="pip install 'minicaffe[hdf5]'"
        ) from error
    return h5py


@contextmanager
def _open(path: str | os.PathLike) -> Iterator[Hdf5File]:
    """A file to read.  Errors: FileFormatError for whatever h5py finds wrong with it meanwhile."""
    h5py = import_h5py()
    path = existing_file(path)
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head.startswith(HDF5):
        refuse_other_kinds(path, head, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5File(file, path)
    except MinicaffeError:
        raise
    except Exception as error:  # h5py raises of every kind for what is damaged within
        whole = " that is whole" if head.startswith(HDF5) else ""
        raise FileFormatError(str(path), f"an HDF5 file{whole}",
                              f"'{type(error).__name__}: {in_line(error)}'") from error


@contextmanager
def _create(path: str | os.PathLike) -> Iterator[h5py.File]:
    """A file to fill.  It is made in memory: where a disk is full, the HDF5 library may crash."""
    h5py = import_h5py()
    with h5py.File(str(path), "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with atomic_write(path) as disk:
        disk.write(image)


def _real(array: np.ndarray) -> np.ndarray:
    """float64 as it is, anything else as float32."""
    array = np.asarray(array)
    return array if array.dtype == np.float64 else array.astype(np.float32)

