"""Weights and solver states in Caffe's HDF5 files (``snapshot_format: HDF5``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileFormatError, MinicaffeError, MissingPackageError
from .files import atomic_write, existing_file
from .wire import LayerWeights, SolverStateFile

if TYPE_CHECKING:
    import h5py


def read_weights_hdf5(path: str | os.PathLike) -> list[LayerWeights]:
    """The layers with weights of a ``.caffemodel.h5`` file; their types are not in it.

    Real Caffe leaves out what a layer shares with another one: ``blobs`` holds None there.

    Errors:
        FileFormatError: not an HDF5 file, or not one of weights.
    """
    layers: list[LayerWeights] = []

    def walk(group: h5py.Group, name: str) -> None:
        arrays = _arrays(group)
        if arrays:
            blobs = [arrays.get(i) for i in range(max(arrays) + 1)]
            layers.append(LayerWeights(name, "", blobs))
        for key, child in group.items():
            if hasattr(child, "items"):
                walk(child, f"{name}/{key}" if name else key)

    with _open(path) as file:
        if "data" not in file:
            raise FileFormatError(str(path), "weights, in a group 'data'", _content(file))
        walk(file["data"], "")
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

    def number(name: str) -> int | None:
        return int(np.ravel(file[name][()])[0]) if name in file else None

    def text(name: str) -> str:
        value = file[name][()] if name in file else ""
        return value.decode() if isinstance(value, bytes) else value

    with _open(path) as file:
        if "iter" not in file or "history" not in file:
            expected = "a solver state, with 'iter' and 'history'"
            raise FileFormatError(str(path), expected, _content(file))
        return SolverStateFile(
            iter=number("iter"),
            learned_net=text("learned_net"),
            current_step=number("current_step") or 0,
            history=list(_arrays(file["history"]).values()),
            random_seed=number("random_seed"),
            test_tick=file["test_tick"][()].tolist() if "test_tick" in file else [],
            notes=text("notes"),
            weights_sum=number("weights_sum"),
            state_sum=number("state_sum"),
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
            "HDF5 files", "h5py is not installed", hint="pip install minicaffe[hdf5]"
        ) from error
    return h5py


@contextmanager
def _open(path: str | os.PathLike) -> Iterator[h5py.File]:
    h5py = import_h5py()
    path = existing_file(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FileFormatError(str(path), "an HDF5 file", f"'{error}'") from error
    with file:
        try:
            yield file
        except MinicaffeError:
            raise
        except Exception as error:  # h5py raises of every kind for what is damaged within
            raise FileFormatError(str(path), "an HDF5 file that is whole",
                                  f"'{type(error).__name__}: {error}'"[:200]) from error


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


def _arrays(group: h5py.Group) -> dict[int, np.ndarray]:
    """The datasets of a group that are numbered, by and in the order of their numbers."""
    numbered = [key for key in group if key.isdecimal() and not hasattr(group[key], "items")]
    return {int(key): group[key][()] for key in sorted(numbered, key=int)}


def _real(array: np.ndarray) -> np.ndarray:
    """float64 as it is, anything else as float32."""
    array = np.asarray(array)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _content(file: h5py.File) -> str:
    return f"a file with {', '.join(map(repr, file)) or 'nothing in it'}"
