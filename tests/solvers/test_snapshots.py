"""Snapshots: written whole or not at all; a resumed run equals one that never stopped."""

import errno
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from minicaffe.errors import TrainingError, WeightsError
from minicaffe.proto import SolverParameter, wire

from .common import digits_solver, equal_bits, weights

ROOT = Path(__file__).parent.parent.parent
HDF5 = SolverParameter.HDF5


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


def test_the_position_in_the_test_data_is_resumed(tmp_path):
    first = digits_solver(tmp_path, test_iter=[3], test_interval=100)
    first.test()
    state = first.snapshot()
    second = digits_solver(tmp_path, test_iter=[3], test_interval=100)
    second.restore(state)
    assert second.test_nets[0].tick == first.test_nets[0].tick == 3
    assert second.test() == first.test()


def test_weights_are_found_beside_the_state_when_both_were_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    solver = digits_solver(old)
    solver.step(2)
    state = Path(solver.snapshot())
    old.rename(new)
    second = digits_solver(tmp_path)
    second.restore(new / state.name)
    assert equal_bits(weights(solver), weights(second))


def test_missing_weights_are_an_error_unless_some_were_loaded(tmp_path, caplog):
    solver = digits_solver(tmp_path)
    solver.step(2)
    state = Path(solver.snapshot())
    model = state.with_suffix(".caffemodel")
    model.rename(tmp_path / "elsewhere.caffemodel")
    second = digits_solver(tmp_path)
    with pytest.raises(WeightsError, match="snap_iter_2.solverstate: expected its weights at .*, "
                                           "got neither file. Hint: put them there, or load them"):
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


def test_a_file_size_limit_of_the_system_leaves_nothing_half_written(tmp_path):
    solver = digits_solver(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(TrainingError, match="could not be written: File too large"):
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


def test_no_last_snapshot_is_written_of_a_loss_that_is_no_number(tmp_path):
    solver = digits_solver(tmp_path, max_iter=3)
    solver.add_callback(lambda: None, lambda: solver._losses.append(numpy.float32("nan")))
    with pytest.raises(TrainingError, match="expected a finite loss, got nan"):
        solver.solve()
    assert list(tmp_path.iterdir()) == []


TRAINING = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.solvers.common import digits_solver
folder = Path(sys.argv[1])
solver = digits_solver(folder, snapshot=1, max_iter=400)
states = sorted(folder.glob("*.solverstate"), key=lambda path: int(path.stem.split("_")[-1]))
solver.test_nets.clear()
solver.solve(states[-1] if states else None)
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-c", TRAINING.format(root=str(ROOT)), folder])


def test_killed_at_ten_random_instants_it_ends_with_the_same_bits(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    assert start(straight).wait() == 0
    rng = random.Random(0)
    for _ in range(10):
        enough = len(list(killed.glob("*.solverstate"))) + rng.randint(1, 8)
        process = start(killed)
        while len(list(killed.glob("*.solverstate"))) < enough:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01))  # a snapshot takes about a millisecond
        process.kill()
        process.wait()
    assert start(killed).wait() == 0
    final = "snap_iter_400.caffemodel"
    assert (killed / final).read_bytes() == (straight / final).read_bytes()
