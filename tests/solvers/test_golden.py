"""SGD against real Caffe's recorded runs, from the start and from half-way."""

from pathlib import Path

import numpy
import pytest

import minicaffe as caffe

CASES = Path(__file__).parent.parent / "golden" / "solvers"
TOLERANCE = 2e-4  # of each parameter's largest value, after eight iterations


def cases():
    return sorted(path.name for path in CASES.glob("sgd_*"))


def run(solver, data, expected, first):
    for iteration in range(first, 8):
        solver.net.blobs["x"].data[...] = data["x"][iteration, 0]
        solver.net.blobs["label"].data[...] = data["label"][iteration, 0]
        solver.step(1)
        for layer, blobs in solver.net.params.items():
            for i, blob in enumerate(blobs):
                wanted = expected[f"{layer}_{i}_{iteration + 1}"]
                limit = TOLERANCE * max(1e-3, numpy.abs(wanted).max())
                assert numpy.abs(blob.data - wanted).max() < limit, (layer, i, iteration)


def test_there_are_seven_cases():
    assert len(cases()) == 7


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("case", cases())
def test_weights_are_real_caffes(case, device):
    folder = CASES / case
    data, expected = numpy.load(folder / "data.npz"), numpy.load(folder / "weights.npz")
    solver = caffe.get_solver(folder / "solver.prototxt", device=device)
    solver.net.copy_from(folder / "start.caffemodel")
    run(solver, data, expected, first=0)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("case", cases())
def test_real_caffes_snapshot_goes_on(case, device):
    folder = CASES / case
    data, expected = numpy.load(folder / "data.npz"), numpy.load(folder / "weights.npz")
    solver = caffe.get_solver(folder / "solver.prototxt", device=device)
    solver.net.copy_from(folder / "half.caffemodel")
    solver.restore(folder / "half.solverstate")
    assert solver.iter == 4
    run(solver, data, expected, first=4)
