"""Solvers that are fed data: published nets as they stand, cropped and mirrored, bit for bit."""

import logging

import numpy
import pytest

import minicaffe as caffe
from minicaffe.backend.cpu.runtime import threads
from minicaffe.data import Batches, Dataset, Transform
from minicaffe.errors import NetError
from minicaffe.proto import SolverParameter, TransformationParameter, wire
from minicaffe.proto.text import parse_text
from minicaffe.solvers import Solver
from minicaffe.solvers.nets import solver_param

from .common import equal_bits, weights

NET = """
name: "published"
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_file: "mean.binaryproto" scale: 0.02 mirror: true crop_size: 6 pad: 1 }
  data_param { source: "train_lmdb" batch_size: 8 backend: LMDB } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { mean_file: "mean.binaryproto" scale: 0.02 crop_size: 6 }
  data_param { source: "test_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 100
test_iter: 6 test_interval: 1000 test_initialization: false random_seed: 3 """


def samples(count, seed):
    """Pictures with a bright square, whose place is the label; brighter on the left."""
    rng = numpy.random.default_rng(seed)
    x = rng.integers(0, 60, (count, 3, 8, 8), dtype=numpy.uint8)
    y = rng.integers(0, 3, count)
    for picture, label in zip(x, y):
        picture[label, 2:6, 2:6] += 150
    return x, y


TRAINING, TESTING = samples(50, 0), samples(13, 1)


def solver_of(folder, device="cpu", data=TRAINING, test_data=TESTING, tested=True, **fields):
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(SOLVER)
    param = solver_param(folder / "solver.prototxt")
    param.MergeFrom(SolverParameter(**fields))
    if not tested:
        param.ClearField("test_iter")
        param.ClearField("test_interval")
    return Solver(param, data=data, test_data=test_data, device=device)


def test_a_published_net_learns_from_arrays_as_it_stands(tmp_path):
    solver = solver_of(tmp_path)
    assert solver.net.blobs["data"].data.shape == (8, 3, 6, 6)
    assert solver.test_nets[0].blobs["data"].data.shape == (5, 3, 6, 6)
    solver.step(60)
    assert solver.test()["accuracy"] == 1
    assert solver.test_nets[0].tick == 6  # test_iter of the file: two rounds


def test_the_mean_file_is_found_beside_the_solver(tmp_path, caplog):
    mean = numpy.full((3, 8, 8), 7, "float32")
    wire.write_blob(tmp_path / "mean.binaryproto", mean)
    with caplog.at_level(logging.WARNING, "minicaffe"):
        solver = solver_of(tmp_path)
    assert (solver.transforms["data"].mean == mean).all() and not caplog.records


def test_the_transform_of_phase_test_can_be_read(tmp_path):
    transform = solver_of(tmp_path).transforms["data"]
    assert not transform.param.mirror
    numpy.testing.assert_allclose(transform.mean, TRAINING[0].mean(axis=0), rtol=1e-6)
    assert solver_of(tmp_path, tested=False).transforms["data"].param.mirror
    assert Solver(plain(), data=None).transforms == {}


def test_a_transform_for_training_draws_nothing_when_it_tests(tmp_path):
    drawing = Transform(TransformationParameter(crop_size=6, mirror=True, scale=0.02))
    sources = [Batches({"data": x, "label": y}, batch_size=5, transforms={"data": drawing})
               for x, y in (TRAINING, TESTING)]
    solver = solver_of(tmp_path, data=sources[0], test_data=sources[1])
    scores = [solver.test() for _ in range(3)]  # two rounds each
    assert scores[0] == scores[1] == scores[2]
    tested = solver.test_nets[0]
    tested.tick = 1
    tested.forward_pass()
    assert (tested.blobs["data"].data == TESTING[0][5:10, :, 1:7, 1:7] * numpy.float32(0.02)).all()
    seen = []
    for solver.net.tick in (0, 10):  # the same samples
        solver.net.forward_pass()
        seen.append(solver.net.blobs["data"].data.copy())
    assert (seen[0] != seen[1]).any()


def test_a_data_set_is_learned_and_tested(tmp_path):
    solver = solver_of(tmp_path, data=Dataset(*TRAINING, *TESTING), test_data=None)
    solver.step(60)
    assert solver.test()["accuracy"] == 1
    assert solver.test_nets[0].source.length == 13 and solver.net.source.length == 50


def plain():
    return parse_text("""base_lr: 1 lr_policy: "fixed" net_param { layer { name: "i" type: "Input"
        top: "x" input_param { shape { dim: 1 } } } }""", SolverParameter)


@pytest.mark.parametrize("device", ["numpy", "cpu"])
@pytest.mark.parametrize("prefetch", [False, True])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, device, prefetch):
    def made(**fields):
        solver = solver_of(tmp_path, device, **fields)
        solver.net.source.prefetch = prefetch
        return solver
    straight, first = made(), made()
    straight.step(12)
    first.step(5)
    state = first.snapshot()
    first.step(3)  # its thread is ahead; it goes back
    first.restore(state)
    second = made(random_seed=99)
    second.step(2)
    second.restore(state)
    for resumed in (first, second):
        resumed.step(7)
        assert equal_bits(weights(straight), weights(resumed))


@pytest.mark.skipif(threads.launched() < 2, reason="one core")
def test_two_threads_compute_the_bits_of_one(tmp_path):
    found, before = [], caffe.get_num_threads()
    try:
        for threads in (1, 2):
            caffe.set_num_threads(threads)
            solver = solver_of(tmp_path)
            solver.net.source.prefetch = threads == 2
            solver.step(8)
            found.append(weights(solver))
    finally:
        caffe.set_num_threads(before)
    assert equal_bits(*found)


def test_every_device_sees_the_same_windows(tmp_path):
    seen = []
    for device in ("numpy", "cpu"):
        solver = solver_of(tmp_path, device)
        solver.step(3)
        seen.append(solver.net.blobs["data"].data.copy())
    assert (seen[0] == seen[1]).all()


def test_iterations_of_several_passes_see_other_windows_in_each(tmp_path):
    solver, seen = solver_of(tmp_path, iter_size=2), []
    solver.net.before_forward(
        lambda index: index or seen.append(solver.net.blobs["data"].data.copy()))
    solver.step(2)
    assert len(seen) == 4
    assert len({batch.tobytes() for batch in seen}) == 4


def test_without_data_a_data_layer_says_what_takes_its_place(tmp_path):
    with pytest.raises(NetError, match=r"layer 'd': expected a layer type that this version has, "
                       r"got Caffe's 'Data'. Hint: Solver\(..., data=\(x, y\), test_data="
                       r"\(x, y\)\) or train.py --data takes its place"):
        solver_of(tmp_path, data=None)
    (tmp_path / "net.prototxt").write_text(NET)
    with pytest.raises(NetError, match="takes its place"):
        caffe.Net(tmp_path / "net.prototxt", caffe.TRAIN)
