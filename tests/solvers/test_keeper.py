"""Keeper: the best and the last snapshots stay, and what gets no better ends."""

from pathlib import Path

import numpy
import pytest

from minicaffe.proto import SolverParameter
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Solver
from minicaffe.solvers.keeper import Keeper

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


class Scripted(Solver):
    """A solver whose tests give numbers told beforehand: test i of ``values``."""

    values = ()
    history_per_parameter = 1

    def update(self, parameter, history, rate, decay, scale):
        history[0][...] += 1

    def test(self, index=0):
        return {"accuracy": self.values[self.iter // self.param.test_interval],
                "loss": -self.values[self.iter // self.param.test_interval]}


@pytest.fixture
def solver(tmp_path):
    def make(values, max_iter, **fields):
        text = f'base_lr: 0.1 lr_policy: "fixed" test_interval: 10 max_iter: {max_iter}'
        param = parse_text(text, SolverParameter, "solver")
        param.net_param.CopyFrom(parse_text(NET, type(param.net_param), "net"))
        param.snapshot_prefix = str(tmp_path / "s")
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
    found = [sorted(int(path.name.split(".")[0].rsplit("_", 1)[1]) for path in folder.glob(kind))
             for kind in ("*.solverstate*", "*.caffemodel*")]
    assert found[0] == found[1]
    return found[0]


def test_the_best_and_the_last_snapshots_stay(solver):
    made = solver([0, 0.5, 0.8, 0.6, 0.7, 0.1], 50, snapshot=10)
    keeper = Keeper(made, "accuracy", keep=2)
    made.solve()
    assert keeper.best == (20, 0.8) and written(made) == [20, 40, 50]
    assert keeper.best_weights.endswith("s_iter_20.caffemodel")


def test_a_best_test_writes_a_snapshot_by_itself(solver):
    made = solver([0, 0.5, 0.8, 0.6], 35)
    Keeper(made, "accuracy", keep=1)
    made.solve()
    assert written(made) == [20, 35]


def test_the_smallest_loss_is_the_best(solver):
    made = solver([0, -5, -3, -4], 35)
    keeper = Keeper(made, "loss", keep=1)
    made.solve()
    assert keeper.best == (20, 3) and written(made) == [20, 35]


def test_an_untrained_net_is_not_the_best(solver):
    made = solver([0.9, 0.5, 0.4], 25)
    keeper = Keeper(made, "accuracy", keep=1)
    made.solve()
    assert keeper.best == (10, 0.5)


def test_without_a_number_all_stay_and_nothing_is_the_best(solver):
    made = solver([0, 0.5, 0.8], 25, snapshot=5)
    keeper = Keeper(made)
    made.solve()
    assert written(made) == [5, 10, 15, 20, 25] and keeper.best is keeper.best_weights is None


def test_patience_counts_tests_without_a_gain(solver):
    made = solver([0, 0.5, 0.4, 0.5, 0.6, 0.6, 0.5, 0.3, 0.9, 0.9], 95)
    keeper = Keeper(made, "accuracy", patience=3, keep=1)
    made.solve()
    assert keeper.out_of_patience and made.iter == 70 and keeper.best == (40, 0.6)
    assert written(made) == [40, 70]


def test_hdf5_snapshots_are_kept_alike(solver):
    pytest.importorskip("h5py")
    made = solver([0, 0.5, 0.8, 0.6], 35, snapshot=5, snapshot_format=SolverParameter.HDF5)
    keeper = Keeper(made, "accuracy", keep=1)
    made.solve()
    assert written(made) == [20, 35] and keeper.best_weights.endswith("_20.caffemodel.h5")


@pytest.mark.parametrize("stop", [20, 25, 30, 40])
@pytest.mark.parametrize("kind", [SolverParameter.BINARYPROTO, SolverParameter.HDF5])
def test_a_resumed_training_goes_on_choosing(solver, stop, kind):
    values = [0, 0.5, 0.8, 0.6, 0.7, 0.1, 0.2, 0.3]
    first = solver(values, stop, snapshot=10, snapshot_format=kind)
    Keeper(first, "accuracy", patience=4, keep=2)
    first.solve()
    second = solver(values, 75, snapshot=10, snapshot_format=kind)
    keeper = Keeper(second, "accuracy", patience=4, keep=2)
    second.solve(first.last_snapshot)
    assert keeper.out_of_patience and second.iter == 60
    assert keeper.best == (20, 0.8) and written(second) == [20, 50, 60]


def test_snapshots_of_other_trainings_are_left_alone(solver, tmp_path):
    made = solver([0, 0.5, 0.8, 0.6], 35, snapshot=10)
    for name in ("s_iter_7.solverstate", "s_iter_7.caffemodel"):
        (tmp_path / name).touch()
    Keeper(made, "accuracy", keep=1)
    made.solve()
    assert written(made) == [7, 20, 35]
