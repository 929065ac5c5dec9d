"""The benchmark measures what it says; nothing here needs another library than minicaffe."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import minicaffe as caffe
from minicaffe.layer import layer_type_list

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(autouse=True)
def bench_folder(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def module(name):
    return importlib.import_module(name)


# ---------------------------------------------------------------------------- nets and their work

def test_every_net_that_is_measured_is_in_models():
    nets = module("nets")
    assert nets.available() == list(nets.CASES)


def test_work_counts_products_and_what_learns():
    nets = module("nets")
    net = nets.shapes_of(nets.CASES["mlp"].net(4))
    pairs = 784 * 512, 512 * 256, 256 * 10  # the first has no gradient to give to the data
    assert nets.work(net) == 2 * 4 * (2 * pairs[0] + 3 * pairs[1] + 3 * pairs[2])


def test_work_of_convolutions_counts_each_place_of_the_kernel():
    nets = module("nets")
    net = nets.shapes_of(nets.CASES["lenet"].deployed(2), caffe.TEST)
    assert nets.work(net) == 2 * 2 * (20 * 24 ** 2 * 25 + 50 * 8 ** 2 * 20 * 25 + 800 * 500 + 5000)


def test_work_of_an_lstm_has_a_gradient_of_its_state():
    nets = module("nets")
    net = nets.shapes_of(nets.CASES["lstm"].net(2))
    steps, gates = 2 * 50, 4 * 256
    assert nets.work(net) == 2 * (steps * gates * (2 * 128 + 3 * 256) + 3 * 2 * 256 * 10)


def test_shapes_are_read_without_drawing_weights():
    nets = module("nets")
    net = nets.shapes_of(nets.CASES["lenet"].net(2))
    assert net.backend.name == "numpy"
    assert not any(blob.data.any() for blobs in net.params.values() for blob in blobs)


def test_deployed_nets_take_a_batch_and_have_no_labels():
    nets = module("nets")
    net = nets.settle(caffe.Net(nets.CASES["resnet20"].deployed(3), caffe.TEST, device="numpy"))
    assert net.inputs == ["data"]
    prob = net.forward(**nets.inputs(net.param))["prob"]
    assert prob.sum(1) == pytest.approx([1, 1, 1])


def test_inputs_are_labels_beginnings_and_samples():
    nets = module("nets")
    spec = caffe.NetSpec()
    for name, shape in (("data", [2, 3]), ("label", [50]), ("cont", [4, 2])):
        spec[name] = caffe.layers.Input(shape=dict(dim=shape))
    made = nets.inputs(spec.to_proto(), classes=3)
    assert set(made["label"]) == {0, 1, 2}
    assert made["cont"].tolist() == [[0, 0], [1, 1], [1, 1], [1, 1]]
    assert made["data"].shape == (2, 3) and made["data"].dtype == numpy.float32


# -------------------------------------------------------------------------------------- peers

@pytest.mark.parametrize("peer", ["ours", "ours-keep-all"])
def test_an_iteration_of_ours_learns(peer, tmp_path, monkeypatch):
    nets, peers = module("nets"), module("peers")
    solvers = []
    monkeypatch.setattr(peers, "Solver",
                        lambda *a, **k: solvers.append(caffe.Solver(*a, **k)) or solvers[0])
    iteration = peers.PEERS[peer](1, tmp_path).training(nets.Case("mlp", 2))
    before = solvers[0].net.params["ip3"][0].data.copy()
    iteration()
    assert solvers[0].iter == 1
    assert (solvers[0].net.params["ip3"][0].data != before).any()


def test_an_inference_of_ours_gives_probabilities(tmp_path):
    nets, peers = module("nets"), module("peers")
    output = peers.Ours(1, tmp_path).inference(nets.Case("mlp", 2), 3)()
    assert output["prob"].sum(1) == pytest.approx([1, 1, 1])


def test_what_only_runs_nets_cannot_train(tmp_path):
    peers = module("peers")
    with pytest.raises(peers.Cannot, match="no training"):
        peers.Peer(1, tmp_path).training(None)


# ------------------------------------------------------------------------------------ workers

def test_a_worker_tells_the_rate_of_a_product(tmp_path):
    cpu = module("cpu")
    machine = cpu.Machine.__new__(cpu.Machine)
    machine.threads, machine.folder, machine.busy = 1, tmp_path, False
    assert machine.job("product")["rate"] > 0
    with pytest.raises(RuntimeError, match="KeyError"):
        machine.job("train", peer="ours", net="no such net")


def test_a_worker_calls_for_as_long_as_it_is_told():
    worker = module("worker")
    calls, now = [], iter(range(1000))
    found = worker.times(lambda: calls.append(1), 0, lambda: next(now))
    assert found == {"best": 1000, "median": 1000, "calls": 5}
    assert len(calls) == 3 + 5  # the first warm up


class FakeMachine:
    """Results in turn, and the rates of products between them."""

    def __init__(self, cpu, rates):
        self.rates, self.made = iter(rates), 0
        self.machine = cpu.Machine.__new__(cpu.Machine)
        self.machine.rate = self.machine.best = 100.0
        self.machine.repeated = 0
        self.machine.job = self.job

    def job(self, job, **fields):
        if job == "product":
            return {"rate": next(self.rates)}
        self.made += 1
        return {"best": self.made}


def test_what_fell_into_a_slow_spell_is_measured_again():
    fake = FakeMachine(module("cpu"), [50, 98, 101])
    result = fake.machine.measured("train")
    assert (result["best"], fake.machine.repeated, fake.machine.best) == (3, 2, 101)
    assert result["rate"] == 98


def test_after_some_tries_the_slow_measurement_stays():
    fake = FakeMachine(module("cpu"), [50] * 9)
    result = fake.machine.measured("train")
    assert (result["rate"], fake.made) == (50, module("cpu").TRIES)
    assert module("tables").is_slow(result, fake.machine.best)


# ------------------------------------------------------------------------------------ options

def test_options_choose_nets_peers_and_parts():
    cpu = module("cpu")
    options = cpu.parse(["--nets", "lenet", "--peers", "ours", "torch", "--only", "infer", "start",
                         "--threads", "2"])
    case = cpu.nets.CASES["lenet"]
    parts = cpu.parts_of(case, options.only)
    assert [part for part, _ in parts] == ["infer 1", "infer 64", "start"]
    assert parts[1][1] == {"job": "infer", "batch": 64}
    assert (options.peers, options.threads, options.busy) == (["ours", "torch"], 2, False)


def test_a_busy_machine_is_measured_on_one_thread():
    assert module("cpu").parse(["--busy", "--threads", "8"]).threads == 1


@pytest.mark.parametrize("peer, parts", [
    ("ours", ["train", "infer 1", "start"]), ("torch", ["train", "infer 1", "start"]),
    ("opencv", ["infer 1"]), ("ours-keep-all", ["start"])])
def test_peers_take_part_in_what_they_do(peer, parts):
    cpu = module("cpu")
    assert [p for p in ("train", "infer 1", "start") if cpu.takes_part(peer, p)] == parts


# ------------------------------------------------------------------------------------- tables

RESULT = {
    "machine": "a machine, 2 threads", "peak": 200.0, "product": 100.0, "repeated": 1,
    "busy": False, "parts": ["train", "infer", "memory", "start"],
    "nets": {"lenet": {
        "batch": 64, "caffe": 18.0, "work": 0.8e9,
        "train": {"ours": [dict(best=8.0, median=8.5, rate=100), dict(best=9.0, median=9.5)],
                  "torch": [dict(best=16.0, median=17.0, rate=70)]},
        "infer 1": {"ours": [dict(best=0.123, median=0.2)], "opencv": [dict(skipped="too old")]},
        "infer 64": {"ours": [dict(best=2.0, median=2.0)],
                     "onnxruntime": [dict(best=1.0, median=1.0)]},
        "start": {"ours": [dict(memory=166.4, before=43, seconds=0.9, cold=8.6)],
                  "ours-keep-all": [dict(memory=171, before=43, seconds=1)],
                  "torch": [dict(memory=337, before=225, seconds=3)]}}}}


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("| ")]


def as_dict(text, row=2):
    found = rows(text)
    return dict(zip(found[0], found[row]))


def test_the_table_of_training_has_times_ratios_and_shares_of_the_peak():
    found = as_dict(module("tables").training(RESULT))
    assert found == {
        "net": "lenet", "batch": "64", "ours": "8.00 (9.00)", "torch": "16.0 (17.0)*",
        "torch / ours": "2.00", "images/s": "8000", "GFLOP": "0.80", "GFLOP/s": "100",
        "ours % of peak": "50", "torch % of peak": "25", "Caffe 1.0, Zen 4": "18"}


def test_the_table_of_inference_leaves_out_who_cannot():
    text = module("tables").inference(RESULT)
    assert as_dict(text) == {"net": "lenet", "batch": "1", "ours": "0.123 (0.200)",
                             "onnxruntime": "-", "onnxruntime / ours": "-", "images/s": "8130"}
    assert as_dict(text, 3)["onnxruntime / ours"] == "0.50"


def test_the_tables_of_memory_and_start():
    tables = module("tables")
    assert as_dict(tables.memory(RESULT))["ours"] == "166 (43)"
    assert as_dict(tables.start(RESULT)) == {"net": "lenet", "ours, nothing compiled": "8.6",
                                             "ours": "0.9", "torch": "3.0"}


def test_all_tables_tell_the_machine_and_who_was_left_out():
    texts = module("tables").all_tables(json.loads(json.dumps(RESULT)))
    assert texts[0].startswith("a machine, 2 threads\npeak 200 GFLOP/s")
    assert len(texts) == 6 and texts[-1] == "lenet: opencv: too old"


def test_only_what_was_measured_gets_a_table():
    nets = {"lenet": {k: RESULT["nets"]["lenet"][k] for k in ("batch", "caffe", "work", "train")}}
    assert len(module("tables").all_tables(dict(RESULT, parts=["train"], nets=nets))) == 2


def test_columns_are_aligned():
    text = module("tables").table(["net", "ms"], [["lenet", 8], ["mlp", 1.25]])
    assert text == ("| net   |   ms |\n| ----- | ---: |\n| lenet |    8 |\n| mlp   | 1.25 |")


# ------------------------------------------------------------------------------------- layers

def test_what_is_measured_are_types_of_layers():
    types = [re.search(r"type: '(\w+)'", text)[1] for _, text, _ in module("layers").TYPES]
    assert len(types) > 20 and set(types) <= set(layer_type_list())


@pytest.mark.parametrize("title, passes", [
    ("ReLU", ["forward", "backward"]), ("Accuracy", ["forward"]), ("Threshold", ["forward"]),
    ("SoftmaxWithLoss", ["forward", "backward"])])
def test_a_layer_has_the_passes_that_it_computes(title, passes):
    layers = module("layers")
    text, shapes = next((text, shapes) for name, text, shapes in layers.TYPES if name == title)
    small = [(2, *shape[1:2], *(3 for _ in shape[2:])) for shape in shapes]
    calls = layers.one_layer(text, layers.random_inputs(title, small), device="numpy")
    assert list(calls) == passes
    assert all(layers.best_time(call, 0, iter(range(99)).__next__) == 1000
               for call in calls.values())


def test_labels_of_measured_layers_are_zeros_and_ones():
    made = module("layers").random_inputs("SoftmaxWithLoss", [(40, 3), (40,)])
    assert set(made["x1"]) == {0, 1} and len(set(made["x0"].flat)) == 120


def test_the_passes_of_a_convolution_give_one_gradient_each():
    layers = module("layers")
    made, calls = layers.our_convolution(layers.Shape(2, 3, 6, 4, 3, 1, 1), device="numpy")
    weights, x = made.layer.parameters[0], made.bottoms[0]
    weights.diff[...], x.diff[...] = 0, 0
    calls["dW"]()
    assert weights.diff.any() and not x.diff.any()
    weights.diff[...] = 0
    calls["dX"]()
    assert x.diff.any() and not weights.diff.any()


def test_the_work_of_a_convolution_counts_what_a_group_sees():
    Shape = module("layers").Shape
    assert Shape(16, 64, 112, 64, 3, 2, 1, 64).work == 2 * 16 * 64 * 56 ** 2 * 9
    assert str(Shape(8, 64, 56, 64, 3, 1, 1)) == "8,64,56,64,3,1,1"


def test_the_table_of_convolutions():
    layers = module("layers")
    ms = [dict(forward=1e-6 * shape.work / 100, dW=1e-6 * shape.work / 50,
               dX=1e-6 * shape.work / 25) for shape in layers.SHAPES]
    text, = layers.all_tables({"peak": 200, "found": {"convolutions ours": ms}})
    found = as_dict(text)
    assert found["N,C,H,O,k,s,p"] == "64,1,28,20,5,1,0"
    assert found["ours forward"].endswith(" 100, 50 %") and found["ours dX"].endswith(" 25, 12 %")


def test_the_least_of_all_rounds_counts():
    layers = module("layers")
    assert layers.least([[{"dW": 3, "dX": 1}], [{"dW": 2, "dX": 4}]]) == [{"dW": 2, "dX": 1}]


def test_measuring_ours_imports_no_other_library():
    code = "import sys; import cpu, peers, layers, worker; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCH, capture_output=True, text=True)
    for name in ("torch", "onnxruntime", "cv2", "numba"):
        assert f"'{name}'" not in done.stdout and "'peers'" in done.stdout, done.stderr


# ---------------------------------------------------------------------------------------- scaling

def test_growth_is_time_over_work():
    rows = module("scaling").grown("net", [(1, 1, (2.0, 1.0)), (4, 4, (4.0, 4.0))])
    assert list(rows) == [["net", 1, "2.00", "", "1.00", ""],
                          ["net", 4, "4.00", "0.50", "4.00", "1.00"]]


def test_scaling_prints_a_table_for_batches_pictures_and_threads(capsys):
    module("scaling").main(["--nets", "mlp", "lenet", "resnet20", "--seconds", "0", "--largest",
                            "16"])
    batches, pictures, threads, _ = capsys.readouterr().out.split("\n\n")
    assert [row.split()[3] for row in batches.splitlines()[2:]] == ["1", "4", "16"] * 2
    assert pictures.splitlines()[2].split()[1:6:2] == ["resnet20", "16", "16"]
    assert {row.split()[1] for row in threads.splitlines()[2:]} == {"mlp", "lenet", "resnet20"}
