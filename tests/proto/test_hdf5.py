"""HDF5 snapshots have Caffe's layout and come back whole."""

import sys
import zlib
from contextlib import suppress

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

from .bounded import assert_bounded

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


def chunked(file, name, shape, chunks, **options):
    return file.create_dataset(name, shape, "f4", chunks=chunks, maxshape=(None,), **options)


def linked_to(kind):
    def damage(file, folder):
        with h5py.File(folder / "other.h5", "w") as other:
            other["v"] = np.ones(3)
        file.create_group("data/ip")["0"] = kind
    return damage


def in_itself(file, _folder):
    group = file.create_group("data/a")
    group["b"] = group


def in_another_file(file, folder):
    (folder / "raw").write_bytes(bytes(8))
    file.create_dataset("data/ip/0", (2,), "f4", external=[(str(folder / "raw"), 0, 8)])


def in_a_virtual_one(file, _folder):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "v", (3,))
    file.create_virtual_dataset("data/ip/0", layout)


def of_longer_chunks(file, _folder):
    stored = chunked(file, "data/ip/0", (4,), (4,), compression="gzip")
    stored.id.write_direct_chunk((0,), zlib.compress(bytes(10_000_000)))


DAMAGED = [
    (linked_to(h5py.ExternalLink("other.h5", "/v")),
     "a group or an array in this file, for '/data/ip/0', got a link."),
    (linked_to(h5py.SoftLink("/nowhere")), "for '/data/ip/0', got a link."),
    (in_itself, "a group that stands in one place, for '/data/a/b', got one in a circle."),
    (in_another_file, "an array of numbers in this file, for '/data/ip/0', got "
                      "one in other files."),
    (in_a_virtual_one, "in this file, for '/data/ip/0', got one in other files."),
    (of_longer_chunks, "chunks of 16 bytes, for '/data/ip/0', got longer ones."),
    (lambda file, _: chunked(file, "data/ip/0", (2**29,), (2**10,)),
     "an array of numbers that fits a file of this size, for '/data/ip/0', got (536870912,)."),
    (lambda file, _: chunked(file, "data/ip/0", (1,), (2**29,)), "that fits a file of this size"),
    (lambda file, _: chunked(file, "data/ip/0", (4,), (4,), compression="lzf"),
     "an array that is packed by gzip or not at all, for '/data/ip/0', got filters [32000]."),
    (lambda file, _: file.update({"data/ip/300000000": 1.0}),
     "a number below 1000, for '/data/ip/300000000', got 300000000."),
    (lambda file, _: file.update({"data/ip/0": "text"}), "an array of numbers, for '/data/ip/0', "
                                                         "got object."),
    (lambda file, _: file.update({"data/ip/0": h5py.Empty("f4")}),
     "for '/data/ip/0', got nothing."),
    (lambda file, _: file.update({"data": 1.0}), "a group, for 'data', got a data set."),
]


@pytest.mark.parametrize("damage, message", DAMAGED)
def test_files_of_strangers_are_looked_at_before_they_are_read(tmp_path, damage, message):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        damage(file, tmp_path)
    error = assert_bounded(read_weights_hdf5, path)
    assert error.startswith(f"FileFormatError: {path}: expected ") and message in error


def test_arrays_in_chunks_are_read(tmp_path):
    values = np.arange(1000, dtype=">f8")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/a/0", data=values, chunks=(64,), compression="gzip", shuffle=True)
        file.create_dataset("data/a/1", data=values, chunks=(64,), fletcher32=True)
    layer, = read_weights_hdf5(tmp_path / "w.h5")
    for blob in layer.blobs:
        np.testing.assert_array_equal(blob, values)
        assert blob.dtype == np.float64


@pytest.mark.parametrize("change, message", [
    ({"iter": [1, 2]}, "expected 1 to 1 integers, for 'iter', got 2."),
    ({"iter": 1.5}, "expected integers, for '/iter', got float64."),
    ({"iter": h5py.Empty("i4")}, "expected integers, for '/iter', got nothing."),
    ({"learned_net": ["a", "b"]}, "expected one text, for 'learned_net', got shape (2,), object."),
    ({"notes": 3}, "expected a text, for '/notes', got int64."),
    ({"test_tick": np.zeros(1001, int)}, "expected 1 to 1000 integers, for 'test_tick', got 1001."),
    ({"history": 3}, "expected a group, for 'history', got a data set."),
])
def test_a_damaged_solverstate_is_told(tmp_path, change, message):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file.update({"iter": 3, **change})
        file.require_group("history") if "history" not in change else None
    with pytest.raises(FileFormatError) as caught:
        read_solverstate_hdf5(path)
    assert str(caught.value) == f"{path}: {message}"


def test_whatever_h5py_raises_is_told_as_a_damaged_file(tmp_path):
    path = tmp_path / "s.h5"
    write_solverstate_hdf5(path, SolverStateFile(7, "net", 0, [np.ones(3)], 1, [2], "{}"))
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        with suppress(FileFormatError):
            read_solverstate_hdf5(path)


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
        "HDF5 files: h5py is not installed. Hint: pip install 'minicaffe[hdf5]'"
    )
