"""The nets that Caffe published, as files and as models/, with weights that real Caffe trained.

tests/golden/lenet, tests/golden/cifar10_quick: nets, solvers, weights and solver states of real
Caffe.  The whole test parts are read from the folder that MINICAFFE_DATA names, where that is set.
"""

import os
from pathlib import Path

import numpy
import pytest

from minicaffe import TEST, Net
from minicaffe.data import open_dataset
from minicaffe.data.transform import mean_of
from minicaffe.proto import NetParameter, SolverParameter
from minicaffe.proto.text import read_text
from minicaffe.proto.wire import read_blob
from minicaffe.solvers import Solver
from minicaffe.tools import models

GOLDEN = Path(__file__).parent / "golden"
LENET, QUICK = GOLDEN / "lenet", GOLDEN / "cifar10_quick"
DATA = os.environ.get("MINICAFFE_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="MINICAFFE_DATA names no folder of data")

PUBLISHED = {"lenet": LENET / "lenet_train_test.prototxt",
             "cifar10_quick": QUICK / "quick.prototxt"}
# folder, solver, its state, data set, what real Caffe scored
STATES = {
    "lenet, binary": (LENET, "lenet_solver.prototxt", "lenet_iter_10000.solverstate", "mnist",
                      0.9911, 0.0293205),
    "quick, binary": (QUICK, "quick_solver.prototxt", "quick_iter_4000.solverstate", "cifar10",
                      0.7019, 0.885439),
    "quick, HDF5": (QUICK, "quick_solver_lr1.prototxt", "quick_iter_5000.solverstate.h5", "cifar10",
                    0.7367, 0.788853),
}


@pytest.fixture(scope="module")
def dataset():
    """The data sets of MINICAFFE_DATA by name, each read once."""
    known = {}

    def get(name):
        known[name] = known.get(name) or open_dataset(name)
        return known[name]
    return get


def solver_of(case, x, y, tmp_path):
    """The solver of a published file, fed pictures in the place of its databases."""
    folder, file = STATES[case][:2]
    solver = Solver(folder / file, data=(x, y), test_data=(x, y), keep=[])
    solver.param.snapshot_prefix = str(tmp_path / "s")
    solver.restore(folder / STATES[case][2])
    return solver


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_lenet_tells_the_first_pictures(device):
    with numpy.load(LENET / "mnist200.npz") as stored:
        x, y = stored["images"].reshape(-1, 1, 28, 28), stored["labels"]
    solver = Solver(LENET / "lenet_solver.prototxt", data=(x, y), test_data=(x, y), device=device)
    solver.restore(LENET / "lenet_iter_10000.solverstate")
    scores = solver.test()
    assert scores["accuracy"] == 1
    assert scores["loss"] == pytest.approx(0.00500744, rel=1e-5)  # in float64


@needs_data
@pytest.mark.parametrize("case", STATES)
def test_all_test_pictures_score_what_real_caffe_scored(case, dataset, tmp_path):
    data, (accuracy, loss) = dataset(STATES[case][3]), STATES[case][4:]
    scores = solver_of(case, data.test_x, data.test_y, tmp_path).test()
    assert scores["accuracy"] == pytest.approx(accuracy, abs=1e-7)
    assert scores["loss"] == pytest.approx(loss, rel=1e-5)


@needs_data
def test_the_mean_of_the_training_pictures_is_the_one_that_caffe_computed(dataset):
    ours, caffes = mean_of(dataset("cifar10").x, "image"), read_blob(QUICK / "mean.binaryproto")
    assert abs(ours - caffes.reshape(ours.shape)).max() < 1e-4


@pytest.mark.parametrize("case", STATES)
def test_training_goes_on_from_real_caffes_state(case, tmp_path):
    shape = (1, 28, 28) if case.startswith("lenet") else (3, 32, 32)
    rng = numpy.random.default_rng(0)
    x, y = rng.integers(0, 256, (100, *shape), dtype=numpy.uint8), rng.integers(0, 10, 100)
    solver = solver_of(case, x, y, tmp_path)
    start = solver.iter
    before = {name: blobs[0].data.copy() for name, blobs in solver.net.params.items()}
    momentum = [abs(parts[0]).max() for parts in solver.history]
    solver.step(2)
    assert solver.iter == start + 2 and min(momentum) > 0 and numpy.isfinite(solver.loss)
    assert all((solver.net.params[name][0].data != old).any() for name, old in before.items())
    again = Solver(STATES[case][0] / STATES[case][1], data=(x, y), test_data=(x, y), keep=[])
    again.restore(solver.snapshot())
    assert again.iter == start + 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_models_are_the_published_nets(name):
    def layers(net):
        return [plain(layer) for layer in net.layer if layer.type not in ("Input", "Data")]
    published = read_text(PUBLISHED[name], NetParameter)
    assert layers(models.load(name).net()) == layers(published)


@pytest.mark.parametrize("name, path", [("lenet", LENET / "lenet_solver.prototxt"),
                                        ("cifar10_quick", QUICK / "quick_solver.prototxt")])
def test_models_are_trained_with_the_published_settings(name, path):
    published, ours = read_text(path, SolverParameter), models.load(name).solver()
    same = ["base_lr", "momentum", "weight_decay", "test_interval", "display", "snapshot"]
    if name == "lenet":
        same += ["lr_policy", "gamma", "power", "max_iter"]
    else:  # two files, one after the other, which differ in their rates
        assert (ours.lr_policy, list(ours.stepvalue), ours.max_iter) == ("multistep", [4000], 5000)
        assert ours.gamma == pytest.approx(0.1)
    assert [getattr(ours, field) for field in same] == [getattr(published, field) for field in same]


@pytest.mark.parametrize("name, weights", [("lenet", LENET / "lenet_iter_10000.caffemodel"),
                                           ("cifar10_quick", QUICK / "quick_iter_4000.caffemodel"),
                                           ("cifar10_quick",
                                            QUICK / "quick_iter_5000.caffemodel.h5")])
def test_models_take_the_weights_of_real_caffe(name, weights):
    net = Net(models.load(name).net(), TEST, device="numpy")
    net.copy_from(weights, complete=True)


def plain(message) -> dict:
    """The fields of a message that differ from their defaults, by name."""
    found = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            value = list(value) if not isinstance(value, str | float | int) else value
            if value != field.default_value and (field.name, value) != ("stride", [1]):
                found[field.name] = value
        elif hasattr(value, "__len__"):
            found[field.name] = [plain(item) for item in value]
        elif plain(value):
            found[field.name] = plain(value)
    return found
