"""``train.py`` on other data than the digits, with parts held out, resumed and fine-tuned."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.data import NAMES
from minicaffe.proto import NetParameter
from minicaffe.proto.text import read_text
from minicaffe.tools import models
from minicaffe.tools.snapshot_folder import SnapshotFolder

from .test_train import accuracy_of, states

DATA_NET = """
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.0078125 mean_value: 128 }
  data_param { source: "train_lmdb" batch_size: 16 backend: LMDB } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.0078125 mean_value: 128 }
  data_param { source: "test_lmdb" batch_size: 10 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""


@pytest.fixture
def pictures(tmp_path):
    """A folder of pictures of three classes, which differ in where they are bright."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("left", "middle", "right")):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(20):
            picture = rng.integers(0, 90, (12, 15, 3), dtype=np.uint8)
            picture[:, 5 * k:5 * k + 5] += 160
            Image.fromarray(picture).save(folder / f"{i}.png")
    return tmp_path / "pictures"


def events(log):
    return [json.loads(line) for line in Path(log).read_text().splitlines()]


def test_a_folder_of_pictures_makes_the_net_for_its_classes(train, pictures):
    status, lines, _ = train("--data", pictures, "--iterations", 60, "--batch-size", 16)
    assert status == 0 and accuracy_of(lines) > 0.9
    assert any(line.split()[:2] == ["0", "left"] or line.split()[:1] == ["left"] for line in lines)
    labels = Path("snapshots/digits_pictures_labels.txt").read_text()
    assert labels.split() == ["left", "middle", "right"]
    deployed = read_text("snapshots/digits_pictures_deploy.prototxt", NetParameter)
    assert deployed.layer[-1].type == "Softmax"
    assert [layer.inner_product_param.num_output for layer in deployed.layer
            if layer.name == "ip2"] == [3]


def test_image_size_gives_pictures_and_net_another_size(train, pictures):
    assert train("--data", pictures, "--iterations", 5, "--image-size", "12x16")[0] == 0
    deployed = read_text("snapshots/digits_pictures_deploy.prototxt", NetParameter)
    assert list(deployed.layer[0].input_param.shape[0].dim) == [1, 1, 12, 16]


def test_data_takes_the_place_of_data_layers(train, pictures):
    Path("net.prototxt").write_text(DATA_NET)
    status, lines, _ = train("--model", "net.prototxt", "--data", pictures, "--iterations", 60,
                             "--image-size", "12x15")
    assert status == 0 and accuracy_of(lines) > 0.9
    status, _, said = train("--model", "net.prototxt")
    assert status == 2 and "Caffe's 'Data'" in said and "--data" in said


def test_arrays_of_a_file_are_data_too(train):
    x = np.random.default_rng(0).integers(0, 255, (40, 1, 8, 8), dtype=np.uint8)
    y = (x[:, 0, 0, 0] > 127).astype(int)
    np.savez("mine.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    status, lines, _ = train("--data", "mine.npz", "--iterations", 3)
    assert status == 0 and accuracy_of(lines) in {k / 10 for k in range(11)}


def test_a_net_with_fewer_scores_than_classes_is_refused(train, pictures):
    Path("net.prototxt").write_text(DATA_NET.replace("num_output: 3", "num_output: 2"))
    status, _, said = train("--model", "net.prototxt", "--data", pictures, "--image-size", "8")
    assert status == 2 and ("expected 3 scores or more, one for each class of" in said
                            and "got 2 in blob 'ip'" in said)


def test_a_part_is_held_out_to_choose_by_and_the_test_part_is_for_the_end(train):
    status, lines, _ = train("--iterations", 60, "--validation", 0.25, "--snapshot", 20,
                             "--keep", 1, "--log", "log.jsonl")
    assert status == 0
    seen = events("log.jsonl")
    tests = [event["accuracy"] for event in seen if event["event"] == "test"]
    part = round(1438 * 0.25)
    assert all(abs(value * part - round(value * part)) < 1e-3 for value in tests)
    assert abs(seen[-1]["accuracy"] * 359 - round(seen[-1]["accuracy"] * 359)) < 1e-3


def test_the_last_weights_may_be_the_best(train):
    _, lines, _ = train("--iterations", 70, "--validation", 0.2, "--test-interval", 50,
                        "--log", "log.jsonl")
    tests = {event["iteration"]: event["accuracy"] for event in events("log.jsonl")
             if event["event"] == "test"}
    assert sorted(tests) == [0, 50, 70] and tests[70] > tests[50]
    assert f"best accuracy on the validation part: {tests[70]:.4f} at iteration 70" in lines


def test_patience_ends_the_training_and_the_best_weights_are_tested(train):
    Path("s.prototxt").write_text('base_lr: 0.5 lr_policy: "fixed" test_interval: 10 '
                                  'max_iter: 100000')
    options = ("--model", "digits", "--solver", "s.prototxt", "--patience", 2, "--keep", 1)
    status, lines, _ = train(*options, "--log", "log.jsonl")
    assert status == 0
    tests = {event["iteration"]: event["accuracy"] for event in events("log.jsonl")
             if event["event"] == "test" and event["iteration"]}
    best = max(tests, key=tests.get)
    last = max(tests)
    assert last == best + 20 and states() == sorted([f"s_iter_{best}", f"s_iter_{last}"])
    assert (f"best accuracy on the validation part: {tests[best]:.4f} at iteration {best}; "
            f"patience ended after iteration {last}") in lines
    assert f"tested below: snapshots/s_iter_{best}.caffemodel" in lines
    solver = Path(f"snapshots/s_iter_{best}.caffemodel")
    again = train("--model", "digits", "--iterations", 1, "--lr", 0, "--weights", solver)[1]
    assert accuracy_of(again) == accuracy_of(lines)


def test_resume_finds_the_newest_state_by_itself(train):
    train("--iterations", 20)
    train("--iterations", 100, "--snapshot-dir", "whole")
    status, lines, _ = train("--iterations", 30, "--resume")
    assert status == 0 and lines[0].startswith("30 iterations")
    for name in ("digits_iter_7.solverstate", "other_iter_90.solverstate"):
        Path("snapshots", name).touch()
    status, lines, _ = train("--iterations", 100, "--resume", "--log", "log.jsonl")
    assert events("log.jsonl")[0] == {"event": "restore", "iteration": 30, "file":
                                      "snapshots/digits_iter_30.solverstate",
                                      "seconds": events("log.jsonl")[0]["seconds"]}
    whole, parts = (Path(folder, "digits_iter_100.caffemodel") for folder in ("whole", "snapshots"))
    assert states("whole") == ["digits_iter_100"] and len(whole.read_bytes()) == len(
        parts.read_bytes())


def test_weights_of_another_number_of_classes_start_the_last_layer_afresh(
        train, pictures, caplog):
    train("--iterations", 30, "--snapshot-dir", "before")
    status, lines, _ = train("--data", pictures, "--iterations", 40, "--batch-size", 16,
                             "--weights", "before/digits_iter_30.caffemodel")
    assert status == 0 and accuracy_of(lines) > 0.9
    assert ("before/digits_iter_30.caffemodel: of another shape, so they start afresh: parameter 0 "
            "of layer 'ip2' is (10, 64) there, (3, 64) here") in caplog.text


def test_the_curves_are_drawn(train):
    train("--iterations", 60, "--plot", "curves.svg")
    assert "<svg" in Path("curves.svg").read_text()


def test_the_curves_of_a_resumed_training_begin_where_its_log_does(train, monkeypatch):
    drawn = []
    monkeypatch.setattr("minicaffe.tools.plot.draw", lambda events, path: drawn.append(
        [event["iteration"] for event in events if event["event"] == "train"]))
    options = ("--plot", "curves.svg", "--log", "log.jsonl")
    train("--iterations", 60, *options)
    train("--iterations", 120, *options, "--resume")
    assert drawn[0] == [0, 50] and drawn[-1] == [0, 50, 100]


def test_curves_that_cannot_be_drawn_do_not_end_a_training(train, caplog, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device", "curves.png")
    monkeypatch.setattr("minicaffe.tools.plot.draw", full)
    status, lines, _ = train("--iterations", 5, "--plot", "curves.png")
    assert status == 0 and accuracy_of(lines) > 0
    assert "No space left on device: 'curves.png'; the curves are not drawn" in caplog.text


def test_mirrored_and_shifted_pictures_are_learned_from(train, pictures):
    options = ("--data", pictures, "--iterations", 5)
    train(*options, "--snapshot-dir", "plain")
    train(*options, "--snapshot-dir", "moved", "--mirror", "--shift", 2)
    plain, moved = (Path(folder, "digits_pictures_iter_5.caffemodel").read_bytes()
                    for folder in ("plain", "moved"))
    assert plain != moved and len(plain) < len(moved) < len(plain) + 100  # the transform_param
    status, _, said = train(*options, "--shift", 2, "--image-size", "8x10")
    assert status == 2 and "--shift: expected square pictures that the net does not crop" in said


def test_a_resumed_training_with_other_settings_says_so(train, caplog):
    train("--iterations", 10)
    train("--iterations", 20, "--resume")
    assert "other settings" not in caplog.text
    train("--iterations", 30, "--resume", "--lr", 0.01, "--batch-size", 32)
    assert ("snapshots/digits_iter_20.solverstate: it goes on with other settings: base_lr 0.01, "
            "was 0.05; batch size 32, was 64") in caplog.text


def test_other_data_or_another_held_out_part_are_no_resuming(train, pictures):
    train("--iterations", 10, "--validation", 0.2)
    status, _, said = train("--iterations", 20, "--resume")
    assert status == 2 and ("digits_iter_10.solverstate: expected a state of a training with "
                            "validation 0, got 0.2. Hint: --validation 0.2, as before.") in said
    train("--data", pictures, "--iterations", 10)
    shutil.copytree(pictures / "left", pictures / "far left")
    status, _, said = train("--data", pictures, "--iterations", 20, "--resume")
    assert status == 2 and "4 classes: far left, left, middle, ...), got pictures (48" in said
    shutil.rmtree(pictures / "far left")
    (pictures / "left").rename(pictures / "over there")
    status, _, said = train("--data", pictures, "--iterations", 20, "--resume")
    assert status == 2 and ("3 classes: middle, over there, right), got pictures (48 samples of "
                            "shape (1, 8, 8), 3 classes: left, middle, right)") in said


def test_two_trainings_at_once_do_not_share_names(train, tmp_path):
    folder = SnapshotFolder("snapshots/digits")
    status, _, said = train("--iterations", 5)
    assert status == 2 and ("--snapshot-dir: expected a folder in which no other training writes "
                            "snapshots called 'digits', got 'snapshots', where one does") in said
    assert train("--iterations", 5, "--snapshot-dir", "other")[0] == 0
    folder.close()
    assert train("--iterations", 5)[0] == 0
    assert not list(Path("snapshots").glob(".*"))


def test_what_a_killed_training_left_is_removed(train):
    Path("snapshots").mkdir()
    names = (".digits_iter_9.caffemodel.0a1b.tmp", "..digits_iter_9.caffemodel.0a.tmp.7b.tmp",
             ".other_iter_9.caffemodel.0a1b.tmp")
    for name in names:
        Path("snapshots", name).touch()
    train("--iterations", 5)
    assert [path.name for path in Path("snapshots").glob(".*")] == [names[2]]


def test_snapshots_of_an_earlier_training_are_told(train, caplog):
    train("--iterations", 5)
    assert "earlier training" not in caplog.text
    train("--iterations", 8)
    assert "snapshots/digits_iter_5.solverstate: snapshots of an earlier training" in caplog.text


@pytest.mark.parametrize("divisor, told", [(255, True), (1, False)])
def test_samples_that_are_scaled_twice_are_told(train, caplog, divisor, told):
    x = np.random.default_rng(0).integers(0, 255, (40, 1, 8, 8)) / divisor
    np.savez("mine.npz", x=x, y=np.arange(40) % 2)
    assert train("--data", "mine.npz", "--iterations", 2)[0] == 0
    assert ("mine: its samples lie within 0 .. 1 already, and net 'digits' scales them by 0.00391"
            in caplog.text) == told


def test_samples_that_the_net_cannot_take_are_told_with_their_shape(train):
    np.savez("flat.npz", x=np.zeros((40, 64), "uint8"), y=np.arange(40) % 2)
    status, _, said = train("--data", "flat.npz", "--model", "lenet")
    assert status == 2 and "The samples of flat have the shape (64,)." in said
    status, _, said = train("--data", "flat.npz", "--image-size", 8)
    assert status == 2 and "--image-size: expected pictures by class" in said


def test_displays_tell_images_a_second_and_the_time_left(train):
    _, _, said = train("--iterations", 110, "--log", "log.jsonl")
    line = next(line for line in said.splitlines() if line.startswith("iteration 100: "))
    assert "images/s" in line and line.endswith(" left")
    assert "lr 0.004545" in line  # small rates stay to be seen
    assert all(event["images_per_second"] > 0 for event in events("log.jsonl")
               if event["event"] == "train" and event["iteration"])


@pytest.mark.parametrize("name", models.names())
def test_every_model_can_be_made_for_other_classes_and_pictures(name):
    model = models.load(name)
    net = model.net(classes=7, shape=(2, 40, 48))
    assert list(net.layer[0].input_param.shape[0].dim[1:]) == [2, 40, 48]
    last = [layer for layer in net.layer if layer.type in ("Convolution", "InnerProduct")][-1]
    outputs = last.inner_product_param.num_output or last.convolution_param.num_output
    assert outputs == (2 * 40 * 48 if name == "autoencoder" else 7)
    assert model.solver().max_iter > 0 and model.data in (*NAMES, "imagenet")


def test_a_folder_that_can_only_be_read_is_no_place_for_logs_but_one_to_train_in(
        train, monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert train("--iterations", 2, "--snapshot-dir", tmp_path / "s")[0] == 0
    status, _, said = train("--iterations", 2, "--log", "log.jsonl")
    assert status == 2 and "--log: expected a file that can be written, got 'log.jsonl'" in said


@pytest.mark.parametrize("share, told", [
    (0.001, "the validation part has 1 sample: each counts for 100 percentage points of the "
            "accuracy, so it tells little"),
    (0.02, "the validation part has 29 samples: each counts for 3.45 percentage points"),
    (0.04, "")])
def test_a_part_of_few_samples_is_told(train, caplog, share, told):
    train("--iterations", 2, "--validation", share)
    assert told in caplog.text and ("so it tells little" in caplog.text) == bool(told)
    assert "the test part has" not in caplog.text


def test_a_test_part_of_few_samples_is_told(train, caplog):
    np.savez("few.npz", x=np.zeros((40, 8, 8), "uint8"), y=np.arange(40) % 2)
    train("--data", "few.npz", "--iterations", 2)
    assert "the test part has 8 samples: each counts for 12.5 percentage points" in caplog.text
