"""Snapshots: written whole or not at all; a resumed run equals one that never stopped."""

import errno
import os
import resource
import shutil
from pathlib import Path

import numpy
import pytest

from minicaffe.data.batches import Batches
from minicaffe.errors import FileFormatError, TrainingError, WeightsError
from minicaffe.proto import SolverParameter, wire
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Checkpoints, Solver

from .common import digits_solver, equal_bits, weights

HDF5 = SolverParameter.HDF5

SMALL = """
base_lr: 0.01 lr_policy: "fixed" max_iter: 60 random_seed: 3
test_iter: 2 test_interval: 5 snapshot: 6
net_param {
  layer { name: "in" type: "Input" top: "x" top: "y"
    input_param { shape { dim: 16 dim: 6 } shape { dim: 16 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
  layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy"
    include { phase: TEST } }
}
"""


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("stop", [1, 7])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, device, stop):
    straight = digits_solver(tmp_path, device)
    straight.step(12)
    first = digits_solver(tmp_path, device)
    first.step(stop)
    state = first.snapshot()
    second = digits_solver(tmp_path, device, random_seed=99)  # the state brings its own seed
    second.restore(state)
    second.step(12 - stop)
    assert second.iter == 12
    assert equal_bits(weights(straight), weights(second))


def test_a_snapshot_in_hdf5_resumes_too(tmp_path):
    pytest.importorskip("h5py")
    straight = digits_solver(tmp_path, snapshot_format=HDF5)
    straight.step(4)
    state = straight.snapshot()
    assert state.endswith("snap_iter_4.solverstate.h5")
    straight.step(4)
    second = digits_solver(tmp_path)
    second.restore(state)
    second.step(4)
    assert equal_bits(weights(straight), weights(second))


def test_a_state_brings_its_seed_to_the_test_nets_and_to_later_states(tmp_path):
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)).astype("f4"), rng.integers(0, 2, 50)

    def made(folder, seed):
        param = parse_text(SMALL, SolverParameter)
        param.random_seed, param.snapshot_prefix = seed, str(tmp_path / folder / "s")
        order = Batches({"x": x, "y": y}, shuffle=True)  # which depends on the test net's seed
        return Solver(param, data=(x, y), test_data=order, device="numpy")
    first, second = made("first", 3), made("second", 99)
    for solver in (first, second):
        solver.test()
    assert first.test() != second.test()
    second.restore(first.snapshot())
    assert first.test() == second.test()
    assert second.seed == second.net.seed == 3
    assert wire.read_solverstate(second.snapshot()).random_seed == 3


def test_the_position_in_the_test_data_is_resumed(tmp_path):
    first = digits_solver(tmp_path, test_iter=[3], test_interval=100)
    first.test()
    state = first.snapshot()
    second = digits_solver(tmp_path, test_iter=[3], test_interval=100)
    second.restore(state)
    assert second.test_nets[0].tick == first.test_nets[0].tick == 3
    assert second.test() == first.test()


def test_a_training_resumed_from_within_a_test_equals_one_that_never_stopped(tmp_path):
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype("f4")
    test_x = rng.normal(size=(50, 6)).astype("f4")
    test_y = test_x[:, 0] + rng.normal(size=50) > 0

    def made(folder):
        param = parse_text(SMALL, SolverParameter)
        param.snapshot_prefix = str(tmp_path / folder / "s")
        solver, tests = Solver(param, data=(x, x[:, 0] > 0), test_data=(test_x, test_y),
                               device="numpy"), {}
        solver.listen(lambda event: event["event"] == "test" and
                      tests.setdefault(event["iteration"], []).append(event["accuracy"]))
        return solver, tests, Checkpoints(solver, "accuracy")  # it writes in the middle of tests
    straight, expected, best = made("straight")
    straight.solve()
    assert len(set(value for values in expected.values() for value in values)) > 5
    states = sorted(straight.notes["checkpoints"]["written"])
    assert {n % 5 for n in states} == {0, 1, 2, 3, 4} and len(states) > 14
    for n in states:
        shutil.copytree(tmp_path / "straight", tmp_path / str(n))
        solver, tests, choice = made(str(n))
        solver.solve(tmp_path / str(n) / f"s_iter_{n}.solverstate")
        assert tests == {at: values for at, values in expected.items() if at >= n}
        assert choice.best == best.best and equal_bits(weights(solver), weights(straight))
        assert solver.testing.ticks(60) == straight.testing.ticks(60)


@pytest.mark.parametrize("stopped_by", ["interrupt", "end"])
def test_a_test_that_is_repeated_sees_the_same_samples(tmp_path, stopped_by):
    def made(folder):
        solver, tests = digits_solver(tmp_path / folder, test_iter=[3, 2], test_interval=4,
                                      max_iter=12 if folder == "straight" else 8), []
        solver.listen(lambda event: event["event"] == "test" and tests.append(event))
        return solver, tests
    straight, expected = made("straight")
    straight.solve()
    solver, tests = made("stopped")
    if stopped_by == "interrupt":  # in the second net's test at iteration 4
        passes = []
        solver.test_nets[1].before_forward(lambda index: index or passes.append(solver.iter))
        solver.test_nets[1].after_forward(lambda index: setattr(
            solver, "stop_requested", solver.stop_requested or passes == [0, 0, 4]))
    solver.solve()
    at = {"interrupt": 4, "end": 8}[stopped_by]
    assert solver.iter == at and len(tests) == {"interrupt": 2, "end": 6}[stopped_by]
    resumed, more = made("resumed")
    resumed.restore(solver.snapshot())
    before = len(tests)
    for each in (solver, resumed):
        each.param.max_iter = 12
        each.solve()
    due = [event for event in expected if event["iteration"] >= at]
    assert tests[before:] == more == due


def test_where_users_test_between_iterations_is_resumed(tmp_path):
    first = digits_solver(tmp_path, test_iter=[3], test_interval=4)
    first.step(8)
    first.test()
    state, found = first.snapshot(), []
    second = digits_solver(tmp_path, test_iter=[3], test_interval=4)
    second.step(8)  # its own place in the test data is forgotten
    second._test_due()
    second.restore(state)
    for solver in (first, second):
        solver.listen(lambda event: event["event"] == "test" and found.append(event))
        solver.step(1)
    assert found[0] == found[1] and first.test_nets[0].tick == second.test_nets[0].tick == 12


def test_weights_are_found_beside_the_state_when_both_were_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    solver = digits_solver(old)
    solver.step(2)
    state = Path(solver.snapshot())
    old.rename(new)
    second = digits_solver(tmp_path)
    second.restore(new / state.name)
    assert equal_bits(weights(solver), weights(second))


def test_weights_beside_the_state_come_before_those_where_it_was_written(tmp_path):
    first = digits_solver(tmp_path / "a")
    first.step(2)
    state = Path(first.snapshot())
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    other = digits_solver(tmp_path / "a", random_seed=5)
    other.step(2)
    assert Path(other.snapshot()) == state
    second = digits_solver(tmp_path)
    second.restore(tmp_path / "copy" / state.name)
    assert equal_bits(weights(first), weights(second))
    assert not equal_bits(weights(first), weights(other))


def test_missing_weights_are_an_error_unless_some_were_loaded(tmp_path, caplog):
    solver = digits_solver(tmp_path)
    solver.step(2)
    state = Path(solver.snapshot())
    model = state.with_suffix(".caffemodel")
    model.rename(tmp_path / "elsewhere.caffemodel")
    second = digits_solver(tmp_path)
    with pytest.raises(WeightsError, match="snap_iter_2.solverstate: expected its weights at .*, "
                                           "got no such file. Hint: put them there, or load them"):
        second.restore(state)
    assert second.iter == 0
    second.net.copy_from(tmp_path / "elsewhere.caffemodel")
    second.restore(state)
    assert second.iter == 2 and equal_bits(weights(solver), weights(second))
    assert caplog.text.count("those loaded before stay") == 1


def test_a_state_of_another_net_changes_nothing(tmp_path):
    solver = digits_solver(tmp_path)
    wire.write_solverstate(tmp_path / "x.solverstate", wire.SolverStateFile(
        iter=5, history=[numpy.zeros((2, 2), "f4")]))
    before = weights(solver)
    with pytest.raises(WeightsError, match=r"expected a history of 8 arrays .*, got 1 arrays "
                                           r"\[\(2, 2\)\]. Hint: is it the state of another net"):
        solver.restore(tmp_path / "x.solverstate")
    assert solver.iter == 0 and equal_bits(before, weights(solver))


@pytest.mark.parametrize("notes", ["[1, 2]", "7", "{best", "null"])
def test_notes_that_are_no_object_are_refused_and_change_nothing(tmp_path, notes):
    solver = digits_solver(tmp_path)
    solver.step(2)
    state = solver.snapshot()
    wire.write_solverstate(state, wire.read_solverstate(state)._replace(notes=notes,
                                                                              state_sum=None))
    second = digits_solver(tmp_path)
    before = weights(second)
    with pytest.raises(FileFormatError) as caught:
        second.restore(state)
    assert str(caught.value) == (
        f"{state}: expected notes that are a JSON object, got '{notes}'. Hint: no other snapshot "
        "of this training there is whole.")
    assert second.iter == 0 and second.notes == {} and equal_bits(before, weights(second))


def test_after_a_state_of_another_place_the_own_last_snapshot_is_written(tmp_path):
    first = digits_solver(tmp_path / "theirs")
    first.step(3)
    state = first.snapshot()
    second = digits_solver(tmp_path / "ours", max_iter=3)
    second.solve(state)
    assert second.last_snapshot == str(tmp_path / "ours" / "snap_iter_3.solverstate")
    written = Path(second.last_snapshot).stat().st_mtime_ns
    second.try_snapshot()
    digits_solver(tmp_path / "ours", max_iter=3).solve(second.last_snapshot)
    assert Path(second.last_snapshot).stat().st_mtime_ns == written


def test_a_full_disk_leaves_the_last_snapshot_and_training_goes_on(tmp_path, monkeypatch, caplog):
    solver = digits_solver(tmp_path, snapshot=2)
    solver.step(2)
    good = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fsync", full)
    solver.step(3)
    assert solver.iter == 5
    assert "No space left on device" in caplog.text and "training goes on" in caplog.text
    with pytest.raises(TrainingError, match="could not be written: No space left on device. Hint: "
                                            "free some space; last good snapshot: .*iter_2"):
        solver.snapshot()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == good
    monkeypatch.undo()
    assert solver.snapshot().endswith("snap_iter_5.solverstate")


@pytest.mark.parametrize("kind", [SolverParameter.BINARYPROTO, HDF5])
def test_a_file_size_limit_of_the_system_leaves_nothing_half_written(tmp_path, kind):
    if kind == HDF5:
        pytest.importorskip("h5py")
    solver = digits_solver(tmp_path, snapshot_format=kind)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(TrainingError, match="could not be written: .*File too large"):
            solver.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_last_snapshot_that_fails_is_told_though_earlier_ones_are_there(tmp_path, monkeypatch):
    solver = digits_solver(tmp_path, snapshot=5, max_iter=10)
    solver.step(6)
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(TrainingError, match="snap_iter_10: it could not be written"):
        solver.solve()


def test_a_snapshot_over_an_older_one_changes_both_files_or_none(tmp_path, monkeypatch):
    solver = digits_solver(tmp_path)
    solver.step(2)
    solver.snapshot()
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = digits_solver(tmp_path, random_seed=8)
    other.step(2)

    def fail(*arguments):
        raise OSError(errno.EIO, "broken")
    with monkeypatch.context() as patch:
        patch.setattr(wire, "write_solverstate", fail)
        with pytest.raises(TrainingError, match="could not be written: broken"):
            other.snapshot()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
    other.snapshot()
    new = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert new.keys() == old.keys() and all(new[name] != old[name] for name in old)


@pytest.mark.parametrize("kind", [SolverParameter.BINARYPROTO, HDF5])
def test_an_older_state_never_stands_beside_the_weights_of_another(tmp_path, monkeypatch, kind):
    """A kill between the two moves leaves weights without a state, not a state of other weights."""
    if kind == HDF5:
        pytest.importorskip("h5py")
    state = Path(digits_solver(tmp_path, snapshot_format=kind).snapshot())
    weights = state.with_name(state.name.replace("solverstate", "caffemodel"))
    moved, move = [], os.replace

    def replace(source, target):
        if Path(target) in (weights, state):
            moved.append((target, state.exists()))
        move(source, target)
    monkeypatch.setattr(os, "replace", replace)
    digits_solver(tmp_path, snapshot_format=kind, random_seed=8).snapshot()
    assert moved == [(weights, False), (state, False)]


def test_no_last_snapshot_is_written_of_a_loss_that_is_no_number(tmp_path):
    solver = digits_solver(tmp_path, max_iter=3)
    solver.add_callback(lambda: None, lambda: solver._losses.append(numpy.float32("nan")))
    with pytest.raises(TrainingError, match="expected a finite loss, got nan"):
        solver.solve()
    assert list(tmp_path.iterdir()) == []
