"""HDF5 snapshots have Caffe's layout and come back whole."""

import sys

import numpy as np
import pytest

from minicaffe.errors import FileFormatError, MinicaffeError
from minicaffe.proto.hdf5 import (
    read_solverstate_hdf5,
    read_weights_hdf5,
    write_solverstate_hdf5,
    write_weights_hdf5,
)
from minicaffe.proto.wire import SolverStateFile

h5py = pytest.importorskip("h5py")


def test_weights_lie_where_caffe_puts_them(tmp_path):
    path = tmp_path / "w.h5"
    write_weights_hdf5(path, {"conv1": [np.ones((2, 3), "f4"), np.zeros(2)], "relu1": []})
    with h5py.File(path) as file:
        assert file["data/conv1/0"].dtype == np.float32
        assert file["data/conv1/0"].shape == (2, 3)
        assert file["data/conv1/1"].dtype == np.float64
        assert list(file["data/relu1"]) == []


def test_weights_come_back_in_order_under_nested_names(tmp_path):
    path = tmp_path / "w.h5"
    weights = {"a": [np.full(1, i, "f4") for i in range(12)], "a/1x1": [np.ones((1, 2), "f4")]}
    write_weights_hdf5(path, weights)
    layers = {layer.name: layer for layer in read_weights_hdf5(path)}
    assert set(layers) == {"a", "a/1x1"} and layers["a"].type == ""
    assert [blob.item() for blob in layers["a"].blobs] == list(range(12))
    np.testing.assert_array_equal(layers["a/1x1"].blobs[0], [[1, 1]])


def test_arrays_that_are_shared_from_another_layer_leave_a_gap(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/ip/1"] = np.ones(2, "f4")
        file["data/tied/0"] = np.zeros(3, "f4")
        file["data/tied/2"] = np.ones(3, "f4")
        file.create_group("data/all_shared")
    ip, tied = read_weights_hdf5(tmp_path / "w.h5")
    assert [blob is None for blob in ip.blobs] == [True, False]
    assert [blob is None for blob in tied.blobs] == [False, True, False]
    np.testing.assert_array_equal(ip.blobs[1], [1, 1])


def test_a_solverstate_as_caffe_writes_it_is_read(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["iter"] = np.array([5000], "i4")
        file["learned_net"] = np.bytes_("net.caffemodel.h5")
        file["current_step"] = np.array([1], "i4")
        file["history/0"] = np.ones((2, 2), "f4")
    state = read_solverstate_hdf5(tmp_path / "s.h5")
    assert state[:3] == (5000, "net.caffemodel.h5", 1)
    assert (state.random_seed, state.test_tick) == (None, [])
    np.testing.assert_array_equal(state.history[0], np.ones((2, 2)))


@pytest.mark.parametrize("seed, ticks", [(None, []), (-1, [3, 2**40])])
def test_a_solverstate_comes_back(tmp_path, seed, ticks):
    history = [np.arange(3, dtype="f4"), np.arange(4.0)]
    state = SolverStateFile(7, "nét.h5", 2, history, seed, ticks)
    write_solverstate_hdf5(tmp_path / "s.h5", state)
    back = read_solverstate_hdf5(tmp_path / "s.h5")
    assert back._replace(history=()) == state._replace(history=())
    for a, b in zip(back.history, history, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    write_weights_hdf5(path, {"a": []})
    with pytest.raises(FileFormatError) as caught:
        read_solverstate_hdf5(path)
    assert str(caught.value) == (
        f"{path}: expected a solver state, with 'iter' and 'history', got a file with 'data'."
    )
    write_solverstate_hdf5(path, SolverStateFile(1))
    with pytest.raises(FileFormatError, match="expected weights, in a group 'data', got a file"):
        read_weights_hdf5(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(FileFormatError, match="x.h5: expected an HDF5 file, got "):
        read_weights_hdf5(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_weights_hdf5(tmp_path / "y.h5")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.h5"
    write_weights_hdf5(path, {"a": [np.ones(1)]})
    with pytest.raises(ValueError):
        write_weights_hdf5(path, {"a": ["no number"]})
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.h5"]
    assert len(read_weights_hdf5(path)) == 1


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MinicaffeError) as caught:
        read_weights_hdf5(tmp_path / "w.h5")
    assert str(caught.value) == (
        "HDF5 files: h5py is not installed. Hint: pip install minicaffe[hdf5]"
    )
