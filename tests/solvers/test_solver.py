"""The training loop: what happens in which iteration, and what it says."""

import json
import logging
import math
import os
import signal

import numpy
import pytest

import minicaffe as caffe
from minicaffe.errors import ParameterError, ShapeError, TrainingError
from minicaffe.proto import SolverParameter
from minicaffe.proto.text import parse_text
from minicaffe.solvers import SGDSolver, Solver

from .common import digits_solver, equal_bits, weights

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def write(folder, text, **files):
    (folder / "net.prototxt").write_text(NET)
    path = folder / "solver.prototxt"
    path.write_text('net: "net.prototxt"\n' + text)
    return path


STATES = """
base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_interval: 9 test_iter: 1 test_iter: 1
train_state { level: 2 stage: "mine" } test_state { stage: "mine" } test_state { level: 1 }
net_param { %s state { level: 3 stage: "ours" }
  layer { name: "ours" type: "Silence" bottom: "x" include { stage: "ours" } }
  layer { name: "mine" type: "Silence" bottom: "x" include { stage: "mine" } }
  layer { name: "3" type: "Silence" bottom: "x" include { min_level: 3 } }
  layer { name: "2" type: "Silence" bottom: "x" include { min_level: 2 max_level: 2 } }
  layer { name: "1" type: "Silence" bottom: "x" include { max_level: 1 } } }
"""
BASICS = 'base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 10\n'


def test_a_solver_file_gives_the_solver_of_its_type(tmp_path):
    solver = caffe.get_solver(str(write(tmp_path, BASICS)))
    assert type(solver) is SGDSolver
    assert type(Solver(str(tmp_path / "solver.prototxt"))) is SGDSolver
    assert type(caffe.SGDSolver(str(tmp_path / "solver.prototxt"))) is SGDSolver
    assert solver.iter == 0 and solver.lr == pytest.approx(0.1) and solver.test_nets == []
    solver.step(3)
    assert solver.iter == 3
    solver.solve()
    assert solver.iter == 10
    assert (tmp_path / "solver_iter_10.caffemodel").is_file()  # beside the solver file


def test_training_brings_the_loss_down(tmp_path):
    solver = caffe.get_solver(write(tmp_path, BASICS + "average_loss: 1 snapshot_after_train: 0"))
    solver.step(1)
    first = solver.loss
    solver.step(30)
    assert solver.loss < 0.5 * first


def test_average_loss_is_the_mean_of_the_last_ones(tmp_path):
    solver = caffe.get_solver(write(tmp_path, BASICS + "average_loss: 3"))
    assert math.isnan(solver.loss)
    losses = []
    for _ in range(5):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert solver.loss == pytest.approx(sum(losses[-3:]) / 3)


def test_stages_of_net_and_solver_add_up_and_a_level_of_the_solver_comes_first():
    solver = Solver(parse_text(STATES % NET, SolverParameter), device="numpy")
    found = [[layer.name for layer in net.layers if layer.type == "Silence"]
             for net in (solver.net, *solver.test_nets)]
    assert found == [["ours", "mine", "2"], ["ours", "mine", "3"], ["ours", "1"]]


def test_iter_size_is_one_batch_of_all_its_passes():
    whole = digits_solver(batch_size=32)
    parts = digits_solver(batch_size=16, iter_size=2)
    for solver in (whole, parts):  # the masks of dropout would differ
        solver.net.layer_dict["drop"].ratio = 0.0
        solver.net.layer_dict["drop"].scale = 1.0
        solver.step(3)
    for a, b in zip(weights(whole), weights(parts)):
        numpy.testing.assert_allclose(a, b, atol=2e-6)


def test_clip_gradients_limits_the_norm_of_all_diffs():
    free, clipped = digits_solver(), digits_solver(clip_gradients=0.01)
    before = weights(free)
    for solver in (free, clipped):
        solver.param.weight_decay = 0
        for parameter in solver.net.learnable:
            parameter.lr_mult = 1
        solver.step(1)
    moved = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, weights(clipped))))
    assert moved == pytest.approx(0.01 * clipped.lr, rel=1e-3)
    assert math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, weights(free)))) > moved


def test_tests_happen_at_intervals_and_cover_the_test_part_once():
    solver = digits_solver(test_interval=5)
    events = []
    solver.listen(events.append)
    seen = []
    fill = solver.test_nets[0].source.fill
    solver.test_nets[0].source.fill = lambda net, tick: seen.append(fill(net, tick)) or seen[-1]
    solver.step(10)
    tests = [event for event in events if event["event"] == "test"]
    assert [event["iteration"] for event in tests] == [0, 5]
    assert sum(seen) == 2 * 359
    assert 0 <= tests[0]["accuracy"] <= 1


def test_accuracy_is_the_mean_over_samples_not_over_batches():
    solver = digits_solver(test_interval=5, batch_size=200)  # 359 = 200 + 159
    solver.step(8)
    accuracy = solver.test()["accuracy"]
    assert (accuracy * 359) == pytest.approx(round(accuracy * 359), abs=1e-4)


def test_displays_are_told_to_listeners():
    solver = digits_solver(display=4)
    events = []
    solver.listen(events.append)
    solver.step(9)
    assert [e["iteration"] for e in events if e["event"] == "train"] == [0, 4, 8]
    assert json.loads(json.dumps(events))[0]["lr"] == pytest.approx(0.05)


def test_callbacks_see_each_iteration():
    solver, calls = digits_solver(), []
    solver.add_callback(lambda: calls.append(("start", solver.iter)),
                        lambda: calls.append(("gradients", solver.iter)))
    solver.step(2)
    assert calls == [("start", 0), ("gradients", 0), ("start", 1), ("gradients", 1)]


def test_keep_nothing_trains_to_the_same_bits():
    kept, shared = digits_solver(), digits_solver(keep=[])
    kept.step(10)
    shared.step(10)
    assert equal_bits(weights(kept), weights(shared))


def test_an_interrupt_finishes_the_iteration_and_leaves_a_snapshot(tmp_path):
    solver = digits_solver(tmp_path, max_iter=1000)

    def press():
        if solver.iter == 7:
            os.kill(os.getpid(), signal.SIGINT)
    solver.add_callback(press, lambda: None)
    before = signal.getsignal(signal.SIGINT)
    solver.solve()
    assert solver.stop_requested and solver.iter == 8
    assert (tmp_path / "snap_iter_8.solverstate").is_file()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_no_number_names_iteration_layer_and_snapshot(tmp_path):
    solver = digits_solver(tmp_path, display=2, snapshot=3)
    solver.step(4)

    def poison():
        if solver.iter == 5:
            solver.net.params["conv2"][0].data[0] = numpy.nan
    solver.add_callback(poison, lambda: None)
    with pytest.raises(TrainingError) as caught:
        solver.step(10)
    text = str(caught.value)
    assert "training at iteration 6: expected a finite loss, got nan" in text
    assert "the first that is not finite is parameter 0 of layer 'conv1'" in text
    assert "last good snapshot: " in text and "snap_iter_3.solverstate" in text
    assert not (tmp_path / "snap_iter_6.caffemodel").exists()


@pytest.mark.parametrize("keep", ["all", []])
def test_the_layer_where_numbers_overflow_is_found(keep):
    solver = digits_solver(display=1, keep=keep)
    solver.net.params["conv2"][0].data[...] = 1e30
    solver.net.params["ip1"][0].data[...] = 1e30
    with pytest.raises(TrainingError, match="the first blob that is not finite is 'ip1', made "
                                            "by layer 'ip1'"):
        solver.step(1)


def test_no_snapshot_holds_a_nan(tmp_path):
    solver = digits_solver(tmp_path)
    solver.net.params["ip1"][1].data[0] = numpy.inf
    with pytest.raises(TrainingError, match="snapshot at iteration 0: expected finite parameters, "
                                            "got NaN or infinity in parameter 1 of layer 'ip1'"):
        solver.snapshot()
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_the_solver_are_told(tmp_path):
    for text, message in [
        ("base_lr: 0.1 lr_policy: 'fixed' iter_size: 0", "iter_size: expected 1 or more, got 0"),
        ("base_lr: 0.1 lr_policy: 'fixed' regularization_type: 'L3'",
         "regularization_type: expected 'L1' or 'L2', got 'L3'"),
        ("base_lr: 0.1 lr_policy: 'fixed' type: 'SGDD'", "type: expected one of .*SGD.*'SGDD'"),
        ("base_lr: 0.1 lr_policy: 'fixed' train_net: 'x'",
         "solver: expected one of net, net_param, .*, got net and train_net"),
        ("base_lr: 0.1 lr_policy: 'fixed' test_iter: 1 test_iter: 2 test_state { stage: 'x' }",
         "test_state: expected one for each of 2 test nets, got 1"),
    ]:
        with pytest.raises(ParameterError, match=message):
            caffe.get_solver(write(tmp_path, text))
    with pytest.raises(ParameterError, match="expected max_iter, got none"):
        caffe.get_solver(write(tmp_path, "base_lr: 0.1 lr_policy: 'fixed'")).solve()


def test_a_net_that_nobody_feeds_is_not_trained_on_zeros():
    solver = digits_solver(data=False)
    with pytest.raises(ParameterError, match=r"data for its inputs \['data', 'label'\], got none "
                                             r"for \['data', 'label'\]. Hint: give the solver "
                                             r"data=\(x, y\) and test_data=\(x, y\), or write "
                                             r"solver.net.blobs\[name\].data\[...\] before each "
                                             r"step\(1\)."):
        solver.step(1)
    assert solver.iter == 0
    solver.net.blobs["data"].data[...] = 1
    with pytest.raises(ParameterError, match=r"got none for \['label'\]"):
        solver.step(1)
    solver.net.blobs["label"].data[...] = 1
    solver.step(1)


@pytest.mark.parametrize("keep", ["all", []])
def test_a_net_that_nobody_feeds_is_not_tested_on_zeros(keep):
    solver = digits_solver(data=False, test_iter=[2], test_interval=5, keep=keep)
    for blob in solver.net.blobs.values() if keep else ():
        blob.data[...] = 1
    for call in (solver.test, solver.test_all, lambda: solver.step(1)):
        with pytest.raises(ParameterError) as caught:
            call()
        assert str(caught.value) == (
            "test net 'digits': expected data for its inputs ['data', 'label'], got none for "
            "['data', 'label']. Hint: give the solver data=(x, y) and test_data=(x, y), or write "
            "solver.test_nets[0].blobs[name].data[...] before each test.")
    for name in ("data", "label"):
        solver.test_nets[0].blobs[name].data[...] = 1
    assert math.isfinite(solver.test()["loss"])


def test_data_must_fit_the_net():
    with pytest.raises(ShapeError, match=r"samples of shape \(1, 8, 8\), got \(8, 9\)"):
        solver = digits_solver()
        solver.net.source.arrays["data"] = numpy.zeros((1438, 8, 9), "f4")
        solver.step(1)
    param = SolverParameter(base_lr=0.1, lr_policy="fixed")
    param.net_param.CopyFrom(digits_solver().net.param)
    with pytest.raises(ParameterError, match="data: expected a tuple with an array for each"):
        Solver(param, data=(numpy.zeros((4, 1, 8, 8)),))


def test_data_is_matched_by_name_and_nothing_else_is_taken():
    def made(data):
        param = SolverParameter(base_lr=0.1, lr_policy="fixed")
        param.net_param.CopyFrom(digits_solver().net.param)
        return Solver(param, data=data)
    x, y = numpy.zeros((4, 1, 8, 8)), numpy.zeros(4)
    made({"label": y, "data": x}).step(1)
    for wrong in ({"data": x}, {"data": x, "labels": y}):
        with pytest.raises(ParameterError, match="data: expected an array for each input of"):
            made(wrong)
    with pytest.raises(ParameterError, match="expected a tuple with an array .*, got ndarray"):
        made(x)


def test_test_nets_use_the_weights_that_are_trained():
    solver = digits_solver(test_interval=100)
    first = solver.test()["loss"]
    solver.step(60)
    assert solver.test()["loss"] < 0.5 * first
    assert numpy.shares_memory(solver.test_nets[0].params["ip1"][0].data,
                               solver.net.params["ip1"][0].data)


def test_a_test_net_without_passes_or_data_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="expected test_iter for test net 0, which is fed no "
                       r"data of known length, got none. Hint: or give test_data=\(x, y\)"):
        caffe.get_solver(write(tmp_path, BASICS + "test_interval: 5"))


def test_keep_may_name_blobs_of_the_train_net_alone():
    solver = digits_solver(test_interval=100)
    param = SolverParameter()
    param.CopyFrom(solver.param)
    param.net_param.layer.add(name="spare", type="Silence", bottom=["copy"])
    param.net_param.layer.add(name="copy", type="ReLU", bottom=["data"], top=["copy"])
    for layer in list(param.net_param.layer)[-2:]:
        layer.include.add(phase=caffe.TRAIN)
    param.net_param.layer.insert(len(param.net_param.layer) - 2, param.net_param.layer.pop())
    other = Solver(param, keep=["copy"], data=solver.net.source, test_data=solver.net.source)
    other.step(1)
    assert (other.net.blobs["copy"].data == other.net.blobs["data"].data).all()
    other.test()


def test_after_an_interrupt_step_goes_on(tmp_path):
    solver = digits_solver(tmp_path, max_iter=50)
    solver.add_callback(lambda: setattr(solver, "stop_requested", solver.iter == 3), lambda: None)
    solver.solve()
    assert solver.iter == 4 and solver.stop_requested
    solver.step(5)
    assert solver.iter == 9


def test_an_interrupt_ends_a_test_too(tmp_path):
    solver = digits_solver(tmp_path, test_interval=1, test_iter=[1000], max_iter=5)
    passes = []

    def interrupt(index):
        passes.append(index)
        if len(passes) == 30:
            solver.stop_requested = True
    solver.test_nets[0].before_forward(interrupt)
    solver.solve()
    assert solver.iter == 0 and len(passes) < 60


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        solver = digits_solver(tmp_path, max_iter=6)
        solver.add_callback(lambda: os.kill(os.getpid(), signal.SIGINT), lambda: None)
        solver.solve()
        assert solver.iter == 6 and not solver.stop_requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_nan_of_one_pass_is_found_when_that_pass_is_repeated():
    class NanInPass3(caffe.Layer):
        in_place = True

        def prepare(self, tick):
            self.bad = tick == 3

        def forward(self, bottom, top):
            if self.bad:
                top[0].data[...] = numpy.nan

        def backward(self, top, propagate_down, bottom):
            pass

    param = SolverParameter()
    param.CopyFrom(digits_solver(display=1).param)
    index = [layer.name for layer in param.net_param.layer].index("drop")
    layer = param.net_param.layer[index]
    layer.Clear()
    layer.name, layer.type = "bad", "NanInPass3"
    layer.bottom.append("ip1")
    layer.top.append("ip1")
    solver = Solver(param, data=digits_solver().net.source)
    with pytest.raises(TrainingError, match="at iteration 3: .* is 'ip1', made by layer 'bad'"):
        solver.step(5)


def test_no_test_follows_an_interrupt(tmp_path):
    solver, events = digits_solver(tmp_path, test_interval=4, max_iter=8), []
    solver.listen(events.append)
    solver.add_callback(lambda: setattr(solver, "stop_requested", solver.iter == 3), lambda: None)
    solver.solve()
    assert solver.iter == 4
    assert [event["event"] for event in events] == ["test", "snapshot"]


def test_solve_tells_by_the_log_what_it_does(tmp_path, caplog):
    solver = digits_solver(tmp_path, display=2, test_interval=3, test_iter=[1], max_iter=3)
    with caplog.at_level(logging.INFO):
        solver.solve()
    began = [record.getMessage().split(" = ")[0].split(": ")[0] for record in caplog.records
             if record.getMessage().startswith("Iteration")]
    state = f"Iteration 3, snapshot {solver.last_snapshot}"
    assert began == ["Iteration 0, testing net #0", "Iteration 0, loss", "Iteration 2, loss", state,
                     "Iteration 3, testing net #0"]
    assert all(record.name == "minicaffe" and record.levelno == logging.INFO
               for record in caplog.records if record.getMessage().startswith("Iteration"))


def test_each_listener_gets_an_event_of_its_own():
    solver, heard = digits_solver(display=1), []
    solver.listen(lambda event: event.update(more=1))
    solver.listen(heard.append)
    solver.step(1)
    assert heard[0]["event"] == "train" and "more" not in heard[0]


def test_a_second_interrupt_stops_at_once(tmp_path):
    solver, reached = digits_solver(tmp_path, max_iter=50), []

    def press():
        if solver.iter == 3:
            for press in ("first", "second"):
                signal.raise_signal(signal.SIGINT)
                reached.append(press)
    solver.add_callback(press, lambda: None)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        solver.solve()
    assert reached == ["first"] and solver.iter == 3 and list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before
