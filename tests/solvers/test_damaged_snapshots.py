"""Damaged snapshots: a flipped bit is found, weights are the state's own, whole ones are named."""

import errno
import os
import random
import shutil
from pathlib import Path

import numpy
import pytest

from minicaffe.errors import FileFormatError, MinicaffeError, WeightsError
from minicaffe.proto import SolverParameter, hdf5, wire
from minicaffe.proto.atomic_files import atomic_write
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Solver
from minicaffe.solvers.check_sums import state_sum, weights_sum
from minicaffe.solvers.snapshot_files import states

from .common import equal_bits, weights

FORMATS = [SolverParameter.BINARYPROTO, SolverParameter.HDF5]
NET = """
base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 60 random_seed: 3
net_param {
  layer { name: "in" type: "Input" top: "x" top: "y"
    input_param { shape { dim: 8 dim: 6 } shape { dim: 8 } } }
  layer { name: "ip/1" type: "InnerProduct" bottom: "x" top: "h"
    inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
  layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "ip"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
}
"""


def made(folder, kind=SolverParameter.BINARYPROTO, seed=3):
    if kind == SolverParameter.HDF5:
        pytest.importorskip("h5py")
    x = numpy.random.default_rng(0).normal(size=(40, 6)).astype("f4")
    param = parse_text(NET, SolverParameter)
    param.random_seed, param.snapshot_format = seed, kind
    param.snapshot_prefix = str(folder / "s")
    return Solver(param, data=(x, x[:, 0] > 0), device="numpy")


def trained(folder, kind=SolverParameter.BINARYPROTO, seed=3, iterations=(10, 20, 30)):
    """A solver that wrote snapshots at some iterations; returns it with the last state's path."""
    solver = made(folder, kind, seed)
    solver.notes["told"] = "something"
    for iteration in iterations:
        solver.step(iteration - solver.iter)
        solver.snapshot()
    return solver, Path(solver.last_snapshot)


def weights_of(state):
    return state.with_name(state.name.replace("solverstate", "caffemodel"))


def flip(path, place, bit):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("which", ["state", "weights"])
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, kind, which):
    solver, state = trained(tmp_path, kind)
    file = state if which == "state" else weights_of(state)
    whole, rng, found = file.read_bytes(), random.Random(1), 0
    for _ in range(60):
        flip(file, rng.randrange(len(whole)), rng.randrange(8))
        second = made(tmp_path, seed=99)
        try:
            second.restore(state)
        except MinicaffeError as error:
            assert str(tmp_path / "s_iter_20.solverstate") in str(error)
            assert second.iter == 0 and second.notes == {}
            found += 1
        else:
            assert second.iter == 30 and second.notes == solver.notes and second.seed == 3
            assert equal_bits(weights(second), weights(solver))
            assert equal_bits([h[0] for h in second.history], [h[0] for h in solver.history])
        file.write_bytes(whole)
    assert found >= 5


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("which", ["state", "weights"])
def test_the_lowest_bit_of_every_number_counts(tmp_path, kind, which):
    solver, state = trained(tmp_path, kind)
    file = state if which == "state" else weights_of(state)
    whole = file.read_bytes()
    arrays = weights(solver) if which == "weights" else [h[0] for h in solver.history]
    for array in arrays:
        start = whole.index(array.astype("<f4").tobytes())
        for element in (0, array.size // 2, array.size - 1):
            flip(file, start + 4 * element, 0)
            with pytest.raises(FileFormatError, match="by their check sum" if which == "weights"
                               else "by its check sum"):
                made(tmp_path).restore(state)
            file.write_bytes(whole)


def test_what_a_damaged_state_tells(tmp_path):
    _, state = trained(tmp_path)
    flip(state, state.stat().st_size - 1, 0)
    with pytest.raises(FileFormatError) as caught:
        made(tmp_path).restore(state)
    whole = tmp_path / "s_iter_20.solverstate"
    assert str(caught.value) == (
        f"{state}: expected a solver state as it was written, got another one, by its check sum: "
        f"it is damaged. Hint: the newest whole snapshot is {whole}: --resume {whole}, in Python "
        f"solver.restore('{whole}'), goes on from it.")


def test_what_a_truncated_state_tells(tmp_path):
    _, state = trained(tmp_path)
    os.truncate(state, 150)
    with pytest.raises(FileFormatError, match="the file is truncated. Hint: the newest whole "
                                              "snapshot is .*s_iter_20.solverstate"):
        made(tmp_path).restore(state)


def test_weights_of_another_training_are_told(tmp_path):
    _, state = trained(tmp_path / "a")
    _, other = trained(tmp_path / "b", seed=4)
    shutil.copy(weights_of(other), weights_of(state))
    solver = made(tmp_path)
    before = weights(solver)
    with pytest.raises(FileFormatError) as caught:
        solver.restore(state)
    assert str(caught.value).startswith(
        f"{weights_of(state)}: expected the weights that s_iter_30.solverstate was written with, "
        "got others, by their check sum: damaged, or another training's. Hint: the newest whole ")
    assert solver.iter == 0 and equal_bits(before, weights(solver))


def test_the_newest_whole_one_has_its_own_weights_and_may_be_of_the_other_format(tmp_path):
    pytest.importorskip("h5py")
    trained(tmp_path, iterations=(3,))
    trained(tmp_path, SolverParameter.HDF5, iterations=(7,))
    _, state = trained(tmp_path, iterations=(10, 20, 30, 40))
    os.truncate(state, 0)
    weights_of(tmp_path / "s_iter_30.solverstate").unlink()
    damaged = weights_of(tmp_path / "s_iter_20.solverstate")
    numbers = wire.read_caffemodel(damaged)[1].blobs[0].tobytes()
    flip(damaged, damaged.read_bytes().index(numbers), 3)
    os.truncate(tmp_path / "s_iter_10.solverstate", 99)
    with pytest.raises(FileFormatError, match="--resume .*s_iter_7.solverstate.h5, in Python"):
        made(tmp_path).restore(state)
    for name in ("s_iter_3.solverstate", "s_iter_7.solverstate.h5"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileFormatError, match="no other snapshot of this training there is whole"):
        made(tmp_path).restore(state)


def test_missing_weights_tell_of_a_whole_snapshot_too(tmp_path):
    _, state = trained(tmp_path)
    weights_of(state).unlink()
    with pytest.raises(WeightsError, match="expected its weights at '[^ ]*s_iter_30.caffemodel', "
                       "got no such file. Hint: put them there, .* the newest whole snapshot is "
                       ".*s_iter_20.solverstate"):
        made(tmp_path).restore(state)


def test_a_folder_is_no_snapshot(tmp_path):
    _, state = trained(tmp_path)
    os.unlink(state)
    os.mkdir(state)
    assert list(states(str(tmp_path / "s"))) == [10, 20]


@pytest.mark.parametrize("kind", FORMATS)
def test_states_without_sums_are_taken_as_they_are(tmp_path, kind):
    solver, state = trained(tmp_path, kind)
    read, write = ((hdf5.read_solverstate_hdf5, hdf5.write_solverstate_hdf5)
                   if kind == SolverParameter.HDF5 else
                   (wire.read_solverstate, wire.write_solverstate))
    assert read(state).weights_sum and read(state).state_sum
    write(state, read(state)._replace(weights_sum=None, state_sum=None))
    second = made(tmp_path)
    second.restore(state)
    assert second.iter == 30 and equal_bits(weights(second), weights(solver))


def test_other_weights_that_were_loaded_before_are_told(tmp_path, caplog):
    _, state = trained(tmp_path)
    _, other = trained(tmp_path / "b", seed=4)
    moved = weights_of(state).rename(tmp_path / "moved.caffemodel")
    for file, told in ((moved, False), (weights_of(other), True)):
        caplog.clear()
        solver = made(tmp_path)
        solver.net.copy_from(file)
        solver.restore(state)
        assert ("those loaded before stay, and are others" in caplog.text) == told
        assert "those loaded before stay" in caplog.text


# --------------------------------------------------------------------------------- the sums alone

def test_the_sum_of_weights_is_that_of_both_formats(tmp_path):
    pytest.importorskip("h5py")
    solver = made(tmp_path)
    sums = []
    for name in ("w.caffemodel", "w.h5"):
        solver.net.save(tmp_path / name)
    for read, name in ((wire.read_caffemodel, "w.caffemodel"), (hdf5.read_weights_hdf5, "w.h5")):
        sums.append(weights_sum((w.name, w.blobs) for w in read(tmp_path / name)))
    own = weights_sum((x.name, [b.data for b in x.blobs]) for x in solver.net.layers)
    assert sums == [own, own]


def test_names_shapes_and_order_count_in_the_sum_of_weights():
    one, two = numpy.arange(6, dtype="f4"), numpy.ones(2, "f4")
    first = weights_sum([("a", [one, two]), ("b", [two])])
    assert first == weights_sum([("b", [two]), ("empty", []), ("a", [one, two]), ("a", [two])])
    for other in ([("a", [two, one]), ("b", [two])], [("a", [one, two]), ("c", [two])],
                  [("a", [one.reshape(2, 3), two]), ("b", [two])], [("a", [one, two])],
                  [("a", [one.astype("f8"), two]), ("b", [two])]):
        assert weights_sum(other) != first


@pytest.mark.parametrize("change", [
    dict(iter=4), dict(learned_net="m"), dict(current_step=3), dict(random_seed=6),
    dict(random_seed=None), dict(test_tick=[1, 3]), dict(notes="{}"), dict(weights_sum=8),
    dict(history=[numpy.zeros(3, "f4")]), dict(history=[numpy.zeros(2, "f8")])])
def test_everything_counts_in_the_sum_of_a_state(change):
    state = wire.SolverStateFile(3, "n", 2, [numpy.zeros(2, "f4")], 5, [1, 2], '{"a": 1}', 7)
    assert state_sum(state) == state_sum(state._replace(state_sum=9))
    assert state_sum(state) != state_sum(state._replace(**change))


# ------------------------------------------------------------------------------- safe on the disk

def test_a_files_folder_is_on_the_disk_before_the_writing_ends(tmp_path, monkeypatch):
    done, real = [], os.fsync

    def fsync(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        done.append("folder" if name == str(tmp_path) else "file")
        assert (tmp_path / "x").exists() == (name == str(tmp_path))
        real(descriptor)
    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "x") as file:
        file.write(b"1")
    assert done == ["file", "folder"]


@pytest.mark.parametrize("number, refused", [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_disk_that_cannot_sync_folders_is_written_all_the_same(
        tmp_path, monkeypatch, number, refused):
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        real(descriptor)
    monkeypatch.setattr(os, "fsync", fsync)
    try:
        with atomic_write(tmp_path / "x") as file:
            file.write(b"1")
    except OSError as error:
        assert refused and error.errno == number and error.filename == str(tmp_path / "x")
    else:
        assert not refused
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_was_removed_is_made_anew(tmp_path):
    solver, _ = trained(tmp_path / "a" / "b")
    shutil.rmtree(tmp_path / "a")
    solver.step(1)
    assert Path(solver.snapshot()).is_file()


def test_a_folder_that_is_removed_while_a_snapshot_is_written_leaves_nothing_half_written(
        tmp_path, monkeypatch, caplog):
    solver, state = trained(tmp_path / "a")
    real = wire.write_solverstate

    def removed(path, content):
        shutil.rmtree(tmp_path / "a")
        real(path, content)
    monkeypatch.setattr(wire, "write_solverstate", removed)
    solver.step(1)
    assert not solver.try_snapshot()
    assert ("it could not be written: No such file or directory. Hint: was its folder removed "
            "meanwhile?") in caplog.text
    assert not (tmp_path / "a").exists()
    monkeypatch.undo()
    assert solver.try_snapshot()
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"s_iter_31.caffemodel", "s_iter_31.solverstate"}
