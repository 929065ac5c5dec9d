"""The README's examples, run as they stand."""

import argparse
import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import minicaffe

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.S | re.M)
COMMANDS, MORE, EXAMPLE, OUTPUT, TRAINING, LAYER, CHECK = (text for _, text in BLOCKS)
CALL = "\ntest_cube()\n"


def run(code, name):
    """Run code as a module of its own would; returns what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, name, "exec"), {"__name__": name})
    return printed.getvalue()


def test_the_net_in_python_prints_what_it_says():
    minicaffe.set_device("cpu")
    assert run(EXAMPLE, "example") == OUTPUT
    assert len([line for line in EXAMPLE.splitlines() if line]) <= 16


def test_the_net_trains_on_arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = EXAMPLE.split("net = caffe.Net")[0] + (
        'n.label = L.Input(shape=dict(dim=[2]))\n'
        'n.loss = L.SoftmaxWithLoss(n.ip, n.label)\n'
        'open("net.prototxt", "w").write(caffe.proto.text.to_text(n.to_proto()))\n'
        'x, y = np.random.random((10, 1, 8, 8)), np.arange(10) % 3\n'
        'test_x, test_y = x, y\n')
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 test_interval: 5')
    assert "'loss': " in run(spec + TRAINING, "example_training")


def test_the_new_layer_passes_its_check():
    run(LAYER, "example_layer")
    assert "Cube" in minicaffe.layer_type_list()
    run(CHECK + CALL, "example_check")


def test_the_check_finds_a_wrong_gradient():
    def renamed(code):
        return code.replace("Cube", "Wrong").replace("cube_param", "wrong_param")

    run(renamed(LAYER.replace("factor * 3 * x * x * dy", "factor * 2 * x * x * dy")),
        "example_layer")
    try:
        run(renamed(CHECK) + CALL, "example_check")
    except AssertionError as error:
        assert "against central differences" in str(error)
    else:
        raise AssertionError("a wrong gradient passed")


def test_two_commands_do_everything():
    commands = COMMANDS.splitlines()
    assert len(commands) == 2
    assert commands[0].endswith("train.py") and commands[1].endswith("pytest")


def test_the_other_commands_have_such_options():
    for line in MORE.splitlines():
        words = shlex.split(line, comments=True)
        name = "train" if words[0] == "python" else words.pop(1)
        arguments = words[2:] if words[0] == "python" else words[1:]
        parser = argparse.ArgumentParser()
        importlib.import_module(f"minicaffe.tools.{name}").add_options(parser)
        parser.parse_args(arguments)


def test_every_document_it_names_is_there():
    for link in re.findall(r"\]\((\S+)\)", README):
        assert (Path(__file__).parent.parent / link).is_file(), link


def test_every_place_it_names_is_there():
    root = Path(__file__).parent.parent
    for row in re.findall(r"^\| (`.*?) \|", README, re.M):
        folder = root
        for place in re.findall(r"`([^`]+)`", row):
            folder = root if "/" in place else folder
            assert (folder / place).exists(), place
            folder = (folder / place).parent
