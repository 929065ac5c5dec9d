"""``train.py`` and ``minicaffe train`` as a user runs them."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minicaffe import cli
from minicaffe.tools.train import train as train_by
from minicaffe.tools.train_options import TrainOptions, add_options

ROOT = Path(__file__).parent.parent.parent
NET = """
layer { name: "in" type: "Input" top: "data" top: "label" transform_param { scale: 0.00390625 }
  input_param { shape { dim: 32 dim: 1 dim: 8 dim: 8 } shape { dim: 32 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""


def accuracy_of(lines):
    assert lines[-1].startswith("test accuracy = ")
    return float(lines[-1].removeprefix("test accuracy = "))


def test_without_options_it_learns_digits(train):
    status, lines, _ = train()
    assert status == 0 and accuracy_of(lines) >= 0.97
    assert Path("snapshots/digits_iter_700.caffemodel").is_file()


def test_a_seed_gives_the_same_run_again_and_another_one_another(train):
    def run(seed, folder):
        train("--iterations", 20, "--seed", seed, "--snapshot-dir", folder)
        return Path(folder, "digits_iter_20.caffemodel").read_bytes()
    assert run(5, "a") == run(5, "b") != run(6, "c")


def test_a_prototxt_and_a_python_file_train_too(train):
    Path("mine.prototxt").write_text(NET)
    status, lines, _ = train("--model", "mine.prototxt", "--iterations", 200, "--lr", "0.1")
    assert status == 0 and accuracy_of(lines) > 0.9
    Path("mine.py").write_text("from minicaffe.proto.upgrade import read_net\n"
                               "def net():\n    return read_net('mine.prototxt')\n")
    status, lines, _ = train("--model", "mine.py", "--iterations", 200, "--batch-size", 16)
    assert status == 0 and accuracy_of(lines) > 0.9


def test_a_solver_file_brings_its_net(train):
    Path("mine.prototxt").write_text(NET)
    Path("my_solver.prototxt").write_text(
        'net: "mine.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 100\n'
        'test_iter: 3 test_interval: 50 snapshot: 50')
    status, lines, _ = train("--solver", "my_solver.prototxt")
    assert status == 0 and accuracy_of(lines) > 0.9
    assert Path("snapshots/my_solver_iter_50.solverstate").is_file()


def test_resume_goes_on_to_the_same_bits(train):
    Path("s.prototxt").write_text('base_lr: 0.05 lr_policy: "fixed" momentum: 0.9')
    options = ("--model", "digits", "--solver", "s.prototxt")
    train(*options, "--iterations", 40, "--snapshot-dir", "whole")
    train(*options, "--iterations", 20, "--snapshot-dir", "parts")
    status, lines, _ = train(*options, "--iterations", 40, "--snapshot-dir", "parts",
                             "--resume", "parts/s_iter_20.solverstate")
    assert status == 0 and lines[0].startswith("40 iterations")
    whole, parts = (Path(folder, "s_iter_40.caffemodel") for folder in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_weights_give_a_start(train):
    train("--iterations", 200)
    _, lines, _ = train("--iterations", 1, "--lr", 0, "--weights",
                        "snapshots/digits_iter_200.caffemodel")
    assert accuracy_of(lines) > 0.9


def test_the_log_is_json_lines(train):
    train("--iterations", 60, "--log", "log.jsonl")
    events = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["test", "train", "train", "snapshot", "final"]
    assert {"iteration", "loss", "lr", "seconds"} <= events[1].keys()
    assert events[-1]["iteration"] == 60 and 0 < events[-1]["accuracy"] <= 1


def test_a_missed_target_is_exit_status_3(train):
    status, lines, _ = train("--iterations", 5, "--target-accuracy", "0.999")
    assert status == 3 and accuracy_of(lines) < 0.999
    assert "below the target accuracy 0.999" in lines
    assert train("--iterations", 60, "--target-accuracy", "0.5")[0] == 0


@pytest.mark.parametrize("arguments, message", [
    (["--model", "digit"], "ParameterError: --model: expected one of alexnet, autoencoder, "
                           "cifar10_full, cifar10_quick, digits, googlenet, lenet, lstm, mlp, "
                           "mobilenet, resnet20, squeezenet, vgg11, a .py file or a .prototxt, got "
                           "'digit'. Hint: did you mean 'digits'?"),
    (["--data", "digit"], "ParameterError: data set: expected one of digits, mnist, "
                          "fashion-mnist, cifar10, or the path of one, got 'digit'. Hint: did you "
                          "mean 'digits'?"),
    (["--data", "nowhere/"], "MissingFileError: nowhere: no such file or folder"),
    (["--resume"], "ParameterError: --resume: expected a state 'snapshots/digits_iter_N.solver"
                   "state', got none. Hint: was it another --snapshot-dir, --model or --data?"),
    (["--log", "nowhere/log"], "ParameterError: --log: expected a file in a folder that is "
     "there, got 'nowhere/log', and there is no folder 'nowhere'. Hint: mkdir -p nowhere "
     "makes it."),
    (["--plot", "curves.jpg"], "ParameterError: plot: expected a file name that ends in png, svg, "
                               "pdf, got 'curves.jpg'"),
    (["--plot", "nowhere/x.png"], "ParameterError: --plot: expected a file in a folder "
     "that is there, got 'nowhere/x.png', and there is no folder 'nowhere'. "),
    (["--plot", "x.png", "--log", "x.png"], "ParameterError: --log and --plot: expected two files, "
                                            "got 'x.png' for both"),
    (["--model", "nett.prototxt"], "MissingFileError: nett.prototxt: no such file. "
                                   "Hint: did you mean 'net.prototxt'?"),
    (["--solver", "none.prototxt"], "MissingFileError: none.prototxt: no such file"),
    (["--weights", "none.caffemodel"], "MissingFileError: none.caffemodel: no such file"),
    (["--resume", "none.solverstate"], "MissingFileError: none.solverstate: no such file"),
    (["--device", "gpu"], "DeviceError: device 'gpu': expected one of cpu, numpy"),
    (["--snapshot-dir", "net.prototxt"], "ParameterError: --snapshot-dir: expected a folder that "
                                         "can be written, got 'net.prototxt' (File exists)"),
    (["--model", "typo.prototxt"], "ParseError: typo.prototxt:3:"),
])
def test_mistakes_are_told_in_one_line(train, arguments, message):
    Path("net.prototxt").write_text(NET)
    Path("typo.prototxt").write_text(NET.replace("input_param", "input_parm"))
    status, lines, said = train(*arguments)
    assert status == 2 and lines == []
    errors = [line for line in said.splitlines() if "it/s" not in line and "?it" not in line]
    assert len(errors) == 1 and errors[0].startswith(message), said


@pytest.mark.parametrize("option, value, message", [
    ("--batch-size", "0", "expected a whole number of 1 or more, got '0'"),
    ("--iterations", "abc", "expected a whole number of 1 or more, got 'abc'"),
    ("--lr", "nan", "expected a number of 0 or more, got 'nan'"),
    ("--seed", "9" * 20, "expected a whole number below 2^63"),
    ("--data", "", "expected a name, got ''"),
    ("--target-accuracy", "97", "expected a share from 0 to 1, such as 0.97, got '97'")])
def test_numbers_out_of_range_are_refused(train, capsys, option, value, message):
    with pytest.raises(SystemExit) as caught:
        train(option, value)
    assert caught.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("text, message", [
    ("x = 1\nraise RuntimeError('no')", "mine.py:2: expected a model that can be made, got "
                                        "RuntimeError: no"),
    ("def net(:", "mine.py:1: expected a model that can be made, got SyntaxError"),
    ("def net():\n    return 3", "mine.py: expected a function net() that returns a NetParameter, "
                                 "got int. Hint: models/digits.py is an example"),
    ("", "mine.py: expected a function net() that returns a NetParameter, got none"),
])
def test_mistakes_in_a_model_file_name_its_line(train, text, message):
    Path("mine.py").write_text(text)
    status, _, said = train("--model", "mine.py")
    assert status == 2 and message in said and "Traceback" not in said


def test_a_net_without_a_loss_is_not_trained(train):
    Path("mine.prototxt").write_text(NET.replace("SoftmaxWithLoss", "Accuracy")
                                     .replace('top: "loss"', 'top: "right"'))
    status, _, said = train("--model", "mine.prototxt")
    assert status == 2 and "expected a loss to train it by" in said


def test_a_target_needs_an_accuracy(train):
    Path("mine.prototxt").write_text(NET.split('layer { name: "accuracy"')[0])
    status, _, said = train("--model", "mine.prototxt", "--target-accuracy", "0.5")
    assert status == 2 and "--target-accuracy: expected a net with an Accuracy layer" in said
    assert train("--model", "mine.prototxt", "--iterations", 5)[1][-1].startswith("test loss = ")


def test_inputs_are_fed_by_their_names(train):
    Path("mine.prototxt").write_text(NET.replace(
        'top: "data" top: "label"', 'top: "label" top: "data"').replace(
        "shape { dim: 32 dim: 1 dim: 8 dim: 8 } shape { dim: 32 }",
        "shape { dim: 32 } shape { dim: 32 dim: 1 dim: 8 dim: 8 }"))
    assert train("--model", "mine.prototxt", "--iterations", 20)[0] == 0


def test_resume_brings_its_own_seed_weights_and_needs_something_to_do(train):
    train("--iterations", 20)
    state = "snapshots/digits_iter_20.solverstate"
    for option, value in (("--seed", 5), ("--weights", "x.caffemodel")):
        status, _, said = train("--resume", state, option, value)
        assert status == 2 and (f"{option} and --resume: expected one of them, got both. Hint: a "
                                f"solver state brings its own {option[2:]}.") in said
    before = Path(state).stat().st_mtime_ns
    status, _, said = train("--resume", state, "--iterations", 20)
    assert status == 2 and "expected a state before iteration 20, got 20" in said
    assert Path(state).stat().st_mtime_ns == before


def test_resume_wants_every_layers_weights(train):
    Path("mine.prototxt").write_text(NET)
    train("--model", "mine.prototxt", "--iterations", 20)
    Path("mine.prototxt").write_text(NET.replace('name: "ip"', 'name: "other"'))
    status, _, said = train("--model", "mine.prototxt", "--iterations", 40,
                            "--resume", "snapshots/mine_iter_20.solverstate")
    assert status == 2 and "only in the net: other; only in the file: ip" in said


def test_snapshots_at_intervals_of_which_the_last_two_stay(train):
    train("--iterations", 40, "--snapshot", 10)
    assert states() == ["digits_iter_30", "digits_iter_40"]
    train("--iterations", 30, "--snapshot", 10, "--keep", 3, "--snapshot-dir", "more")
    assert states("more") == ["digits_iter_10", "digits_iter_20", "digits_iter_30"]


def states(folder="snapshots"):
    return sorted(path.stem for path in Path(folder).glob("*.solverstate"))


def test_a_full_disk_for_the_log_ends_the_log_alone(train, monkeypatch):
    Path("log.jsonl").symlink_to("/dev/full")
    status, lines, said = train("--iterations", 60, "--log", "log.jsonl")
    assert status == 0 and accuracy_of(lines) > 0.3
    assert said.count("log.jsonl: No space left on device; nothing more is written there") == 1


def test_a_full_disk_for_the_last_snapshot_still_tells_the_accuracy(train, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space")))
    status, lines, said = train("--iterations", 60)
    assert status == 2 and accuracy_of(lines) > 0.3 and "could not be written: No space" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_request_to_end_leaves_a_snapshot_and_no_traceback(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", "--iterations", "100000", "--log", "log.jsonl",
         "--seed", "4"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    log = tmp_path / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and '"train"' in log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err and "interrupted: finishing iteration" in err
    last = out.splitlines()[-1]
    assert last.startswith("stopped after iteration")
    assert "the same options but --seed and --resume snapshots/digits_iter_" in last
    assert (tmp_path / last.split()[-1]).is_file()


def test_help_tells_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.train(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for option in ("--model", "--solver", "--iterations", "--batch-size", "--lr", "--seed",
                   "--device", "--snapshot-dir", "--resume", "--weights", "--log",
                   "--target-accuracy"):
        assert option in said
    assert "python train.py --iterations 2000 --resume" in said


def test_the_installed_command_is_the_same(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--iterations", "30"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy = ")
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("minicaffe ")


def test_what_is_not_asked_for_is_left_to_the_defaults_of_the_options():
    parser = add_options(argparse.ArgumentParser())
    assert TrainOptions.of(parser.parse_args([])) == TrainOptions()
    given = TrainOptions.of(parser.parse_args(["--lr", "0.1", "--mirror", "--resume"]))
    assert given == TrainOptions(lr=0.1, mirror=True, resume="")


def test_a_training_is_asked_for_from_python_by_the_same_options(train, capsys):
    assert train_by(TrainOptions(iterations=20, display=10, device="cpu")) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test accuracy = ")
    train("--iterations", 20, "--display", 10, "--snapshot-dir", "other")
    ours, theirs = (Path("snapshots/digits_iter_20.caffemodel"),
                    Path("other/digits_iter_20.caffemodel"))
    assert ours.read_bytes() == theirs.read_bytes()
