"""Checkpoints: the best and the last snapshots stay, and what gets no better ends."""

import errno
import logging
import math
import os
from pathlib import Path

import numpy
import pytest

from minicaffe.errors import ParameterError
from minicaffe.proto import SolverParameter
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Checkpoints, Solver

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "nll" }
layer { name: "sum" type: "Power" bottom: "ip" top: "penalty" loss_weight: 0.1 }
layer { name: "gain" type: "Power" bottom: "y" top: "no_loss" }
"""


class Scripted(Solver):
    """A solver whose tests give numbers told beforehand: test i of ``values``."""

    values = ()
    history_per_parameter = 1

    def update(self, parameter, history, rate, decay, scale):
        history[0][...] += 1

    def test(self, index=0):
        value = self.values[self.iter // self.param.test_interval]
        return {"accuracy": value, "no_loss": value, "nll": -value, "penalty[1]": -value}


@pytest.fixture
def solver(tmp_path):
    def make(values, max_iter, prefix="s", **fields):
        text = f'base_lr: 0.1 lr_policy: "fixed" test_interval: 10 max_iter: {max_iter}'
        param = parse_text(text, SolverParameter, "solver")
        param.net_param.CopyFrom(parse_text(NET, type(param.net_param), "net"))
        param.snapshot_prefix = str(tmp_path / prefix)
        param.net_param.layer[4].loss_weight[:] = [fields.pop("loss_weight", 1)]
        for name, value in fields.items():
            setattr(param, name, value)
        one = numpy.ones((1, 1)), numpy.zeros(1)
        made = Scripted(param, data=one, test_data=one, device="numpy")
        made.values = values
        return made
    return make


def written(solver) -> list[int]:
    """The iterations of all snapshots on disk; each has both its files."""
    folder = Path(solver.param.snapshot_prefix).parent
    stem = Path(solver.param.snapshot_prefix).name
    found = [sorted(int(path.name.split(".")[0].rsplit("_", 1)[1]) for path in folder.glob(kind))
             for kind in (f"{stem}_iter_*.solverstate*", f"{stem}_iter_*.caffemodel*")]
    assert found[0] == found[1]
    return found[0]


def test_the_best_and_the_last_snapshots_stay(solver):
    made = solver([0, 0.5, 0.8, 0.6, 0.7, 0.1], 50, snapshot=10)
    checkpoints = Checkpoints(made, "accuracy", keep_last=2)
    made.solve()
    assert checkpoints.best == (20, 0.8) and written(made) == [20, 40, 50]
    assert checkpoints.best_weights.endswith("s_iter_20.caffemodel")


def test_a_best_test_writes_a_snapshot_by_itself(solver):
    made = solver([0, 0.5, 0.8, 0.6], 35)
    Checkpoints(made, "accuracy", keep_last=1)
    made.solve()
    assert written(made) == [20, 35]


@pytest.mark.parametrize("monitor, best", [
    ("nll", 3), ("penalty[1]", 3), ("accuracy", -3), ("no_loss", -3)])
def test_what_training_makes_smaller_is_best_when_smallest_and_all_else_when_largest(
        solver, monitor, best):
    made = solver([0, -5, -3, -4], 35)
    checkpoints = Checkpoints(made, monitor, keep_last=1)
    made.solve()
    assert checkpoints.best == (20, best) and written(made) == [20, 35]


def test_a_loss_that_only_tells_is_smallest_when_best(solver):
    made = solver([0, -5, -3, -4], 35, loss_weight=0)
    assert "nll" not in made.test_nets[0].loss_weights
    checkpoints = Checkpoints(made, "nll", keep_last=1)
    made.solve()
    assert checkpoints.best == (20, 3)


@pytest.mark.parametrize("monitor", ["accuracy", "nll"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_the_best(solver, monitor, bad):
    made = solver([0, bad, bad, 0.5, bad, 0.6, 0.4], 65)
    checkpoints = Checkpoints(made, monitor, patience=3, keep_last=1)
    made.solve()
    best = {"accuracy": 0.6, "nll": -0.6}[monitor]
    assert checkpoints.best == (50, best) and not checkpoints.out_of_patience


def test_patience_ends_a_training_of_which_no_test_is_a_number(solver):
    made = solver([math.nan] * 9, 85)
    checkpoints = Checkpoints(made, "accuracy", patience=3)
    made.solve()
    assert checkpoints.out_of_patience and made.iter == 30 and checkpoints.best is None


@pytest.mark.parametrize("options, message", [
    (dict(monitor="acuracy"), "Checkpoints: monitor: expected an output of the test net: accuracy, "
     "nll, no_loss, penalty, got 'acuracy'. Hint: did you mean 'accuracy'?"),
    (dict(monitor="penalty"), "Checkpoints: monitor: expected an output of the test net: accuracy, "
     "nll, no_loss, penalty, got 'penalty'. Hint: did you mean 'penalty[0]'?"),
    (dict(keep_last=0), "Checkpoints: keep_last: expected 1 or more, or None, got 0."),
    (dict(monitor="nll", patience=0), "Checkpoints: patience: expected 1 or more, or None, got 0."),
    (dict(patience=3), "Checkpoints: patience: expected a monitor that it waits for, got none.")])
def test_mistakes_are_told(solver, options, message):
    with pytest.raises(ParameterError) as caught:
        Checkpoints(solver([0], 5), **options)
    assert str(caught.value).startswith(message)


def test_without_a_test_net_there_is_nothing_to_monitor(solver):
    made = solver([0], 5, test_interval=0)
    with pytest.raises(ParameterError, match="Checkpoints: monitor: expected a test net, got none. "
                                             "Hint: test_interval in the solver gives one."):
        Checkpoints(made, "nll")


def test_an_untrained_net_is_not_the_best(solver):
    made = solver([0.9, 0.5, 0.4], 25)
    checkpoints = Checkpoints(made, "accuracy", keep_last=1)
    made.solve()
    assert checkpoints.best == (10, 0.5)


def test_without_a_number_all_stay_and_nothing_is_the_best(solver):
    made = solver([0, 0.5, 0.8], 25, snapshot=5)
    checkpoints = Checkpoints(made)
    made.solve()
    assert written(made) == [5, 10, 15, 20, 25]
    assert checkpoints.best is checkpoints.best_weights is None


def test_patience_counts_tests_without_a_gain(solver):
    made = solver([0, 0.5, 0.4, 0.5, 0.6, 0.6, 0.5, 0.3, 0.9, 0.9], 95)
    checkpoints = Checkpoints(made, "accuracy", patience=3, keep_last=1)
    made.solve()
    assert checkpoints.out_of_patience and made.iter == 70 and checkpoints.best == (40, 0.6)
    assert written(made) == [40, 70]


@pytest.mark.parametrize("monitor", ["accuracy", "nll"])
def test_a_tie_is_no_gain(solver, monitor):
    made = solver([0.5] * 9, 85)
    checkpoints = Checkpoints(made, monitor, patience=3, keep_last=1)
    made.solve()
    assert checkpoints.out_of_patience and made.iter == 40 and checkpoints.best[0] == 10


def test_hdf5_snapshots_are_kept_alike(solver):
    pytest.importorskip("h5py")
    made = solver([0, 0.5, 0.8, 0.6], 35, snapshot=5, snapshot_format=SolverParameter.HDF5)
    checkpoints = Checkpoints(made, "accuracy", keep_last=1)
    made.solve()
    assert written(made) == [20, 35] and checkpoints.best_weights.endswith("_20.caffemodel.h5")


@pytest.mark.parametrize("stop", [20, 25, 30, 40])
@pytest.mark.parametrize("kind", [SolverParameter.BINARYPROTO, SolverParameter.HDF5])
def test_a_resumed_training_goes_on_choosing(solver, stop, kind):
    values = [0, 0.5, 0.8, 0.6, 0.7, 0.1, 0.2, 0.3]
    first = solver(values, stop, snapshot=10, snapshot_format=kind)
    Checkpoints(first, "accuracy", patience=4, keep_last=2)
    first.solve()
    second = solver(values, 75, snapshot=10, snapshot_format=kind)
    checkpoints = Checkpoints(second, "accuracy", patience=4, keep_last=2)
    second.solve(first.last_snapshot)
    assert checkpoints.out_of_patience and second.iter == 60
    assert checkpoints.best == (20, 0.8) and written(second) == [20, 50, 60]


def test_snapshots_of_other_trainings_are_left_alone(solver, tmp_path):
    made = solver([0, 0.5, 0.8, 0.6], 35, snapshot=10)
    for name in ("s_iter_7.solverstate", "s_iter_7.caffemodel"):
        (tmp_path / name).touch()
    Checkpoints(made, "accuracy", keep_last=1)
    made.solve()
    assert written(made) == [7, 20, 35]


# ------------------------------------------------------------------------- which files are its own

def test_a_training_that_goes_on_from_anothers_state_leaves_its_snapshots_alone(solver):
    theirs = solver([0, 0.9, 0.8, 0.6], 35, prefix="theirs", snapshot=10)
    Checkpoints(theirs, "accuracy", keep_last=3)
    theirs.solve()
    older = solver([0, 0.9, 0.8, 0.6], 35, prefix="ours", snapshot=10)
    older.solve()
    assert written(theirs) == [10, 20, 30, 35] and written(older) == [10, 20, 30, 35]
    ours = solver([0, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1], 65, prefix="ours", snapshot=20)
    checkpoints = Checkpoints(ours, "accuracy", keep_last=1)
    ours.solve(theirs.last_snapshot)
    assert checkpoints.best == (50, 0.3)
    assert written(ours) == [10, 20, 30, 35, 50, 65] and written(theirs) == [10, 20, 30, 35]


def test_the_test_at_anothers_state_may_be_the_best_and_gets_files_of_ones_own(solver):
    theirs = solver([0, 0.5, 0.8], 20, prefix="theirs")
    Checkpoints(theirs, "accuracy")
    theirs.solve()
    ours = solver([0, 0.5, 0.8, 0.6], 35, prefix="ours")
    checkpoints = Checkpoints(ours, "accuracy", keep_last=1)
    ours.solve(theirs.last_snapshot)
    assert checkpoints.best == (20, 0.8) and written(ours) == [20, 35]
    assert checkpoints.best_weights.endswith("ours_iter_20.caffemodel")


def test_snapshots_that_were_moved_stay_the_trainings_own(solver, tmp_path, monkeypatch):
    first = solver([0, 0.5, 0.8, 0.6], 35, prefix="old/s", snapshot=10)
    Checkpoints(first, "accuracy", keep_last=2)
    first.solve()
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    second = solver([0, 0.5, 0.8, 0.6, 0.7, 0.1], 55, prefix="new/s", snapshot=10)
    checkpoints = Checkpoints(second, "accuracy", keep_last=2)
    second.solve(Path("s_iter_35.solverstate"))
    assert checkpoints.best == (20, 0.8) and written(second) == [20, 50, 55]


def test_a_solver_that_goes_back_counts_its_last_snapshots_from_there(solver):
    made = solver([0] * 8, 75, snapshot=10)
    Checkpoints(made, keep_last=3)
    made.step(50)
    assert written(made) == [30, 40, 50]
    made.restore(made.last_snapshot.replace("_50", "_40"))
    made.step(11)
    assert made.notes["checkpoints"]["written"] == written(made) == [30, 40, 50]
    made.step(10)
    assert written(made) == [40, 50, 60]


def test_a_snapshot_that_is_written_again_counts_once(solver):
    made = solver([0] * 3, 25)
    Checkpoints(made, keep_last=2)
    made.step(3)
    made.snapshot()
    made.step(3)
    for _ in range(3):
        made.snapshot()
    assert written(made) == [3, 6]


def test_a_kill_while_a_snapshot_is_removed_leaves_no_state_without_weights(solver, monkeypatch):
    made = solver([0] * 3, 25)
    Checkpoints(made, keep_last=1)
    made.step(1)
    made.snapshot()
    made.step(1)
    unlink = Path.unlink

    def killed(path, **options):
        unlink(path, **options)
        if "_iter_1." in path.name:
            raise KeyboardInterrupt
    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        made.snapshot()
    names = {path.name for path in Path(made.param.snapshot_prefix).parent.iterdir()}
    assert names == {"s_iter_1.caffemodel", "s_iter_2.caffemodel", "s_iter_2.solverstate"}


@pytest.mark.parametrize("values, best, stays", [
    ([0, 0.5, 0.8, 0.6, 0.5], (30, 0.6), "iteration 10 stays the best"),
    ([0, 0.5, 0.8, 0.4, 0.5], (10, 0.5), "iteration 10 stays the best"),
    ([0, math.nan, 0.8, 0.6, 0.5], (30, 0.6), "none is the best")])
def test_what_the_disk_refuses_is_not_the_best(solver, monkeypatch, caplog, values, best, stays):
    made = solver(values, 45)
    checkpoints = Checkpoints(made, "accuracy", patience=2)
    made.step(20)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "minicaffe"):
        patch.setattr(os, "fsync", full)
        made.step(1)
    assert ("Iteration 20: accuracy = 0.8 was the best, but its weights could not be written; "
            f"{stays}") in caplog.text
    made.solve()
    assert checkpoints.best == best and checkpoints.best_weights.endswith(f"_{best[0]}.caffemodel")
