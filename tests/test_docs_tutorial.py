"""The tutorial: its commands parse, its pictures exist, and its story runs through, in small."""

import argparse
import contextlib
import importlib.util
import io
import logging
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import minicaffe
from minicaffe.cli import COMMANDS, main
from minicaffe.tools import train as train_command
from minicaffe.tools.snapshot_folder import SnapshotFolder

pytest.importorskip("PIL")
DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "tutorial.md").read_text()
STORY, MISTAKES = TEXT.split("\n## Mistakes\n")
SCRIPTS = dict(zip(("classify.py", "learn.py", "arrays.py"),
                   re.findall(r"^```python\n(.*?)^```$", TEXT, re.S | re.M), strict=True))
SMALL = {"--iterations 1000": "--iterations 4", "--iterations 1500": "--iterations 8",
         "--iterations 1700": "--iterations 10", "--iterations 400": "--iterations 4",
         "--iterations 3000": "--iterations 6 --display 2", "--iterations 20 ": "--iterations 2 ",
         "--test-interval 100": "--test-interval 2",
         "--test-interval 20 --display 20": "--test-interval 2 --display 2",
         "draw_shapes.py shapes": "draw_shapes.py shapes --count 10",
         "--count 100": "--count 4", "--count 200": "--count 4"}
# lines that are the same in small, but for the numbers of samples and iterations
SAME = "samples to train on|it goes on with other settings|they start afresh|^  true |Error: "


def commands(text):
    """[(command, what the tutorial shows of its output)]"""
    shown = "".join(re.findall(r"^```console\n(.*?)^```$", text, re.S | re.M))
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", shown, re.M)


def small(text):
    for long, short in SMALL.items():
        text = text.replace(long, short)
    return text.replace("minicaffe train", "minicaffe train --batch-size 10")


def same_in_small(text):
    """The lines of an output that do not depend on how much is trained, numbers of it left out."""
    text = re.sub(r"_iter_\d+|\d+(?= samples)|\d+(?= to test)", "", text)
    return [line for line in text.splitlines() if re.search(SAME, line)]


def load_script():
    spec = importlib.util.spec_from_file_location("draw_shapes", DOCS / "draw_shapes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def logged_into(out):
    """Write there what is logged, which pytest keeps from where the command would show it; but
    not that kernels are compiled, which the first run on a machine tells at any place, nor that
    a part is small, which it is in the tests alone."""
    handler = logging.StreamHandler(out)
    handler.addFilter(lambda record: record.name != "minicaffe.cpu"
                      and "tells little" not in record.getMessage())
    logging.getLogger("minicaffe").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("minicaffe").removeHandler(handler)


def run(command):
    """Run a line of the tutorial; returns its exit status and what it printed and logged."""
    program, *arguments = shlex.split(command)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out), \
            logged_into(out):
        if program == "minicaffe":
            status = main(arguments)
        elif arguments[0] == "draw_shapes.py":
            status = load_script().main(arguments[1:])
        elif program == "python":
            status = exec(compile(SCRIPTS[arguments[0]], arguments[0], "exec"), {})
        else:
            status = subprocess.run(command, shell=True, check=True).returncode
    return status or 0, out.getvalue()


def name_as_in_the_tutorial(printed, shown):
    """Copy the weights that were written to the name that the longer training gives them."""
    for label in ("tested below", "weights"):
        names = [re.search(rf"\b{label}: (\S+)", text) for text in (shown, printed)]
        if all(names) and not Path(names[0][1]).exists():
            shutil.copy(names[1][1], names[0][1])


@pytest.fixture
def interrupted(monkeypatch):
    """Have the next training met by Ctrl-C while iteration 5 is computed."""
    start = train_command.start

    def start_with_ctrl_c(solver, *others):
        start(solver, *others)
        solver.add_callback(
            lambda: solver.iter == 5 and signal.raise_signal(signal.SIGINT), lambda: None)

    @contextlib.contextmanager
    def interrupt(wanted):
        with monkeypatch.context() as patch:
            if wanted:
                patch.setattr(train_command, "start", start_with_ctrl_c)
            yield

    return interrupt


@pytest.mark.parametrize("line", [line for line, _ in commands(TEXT)
                                  if line.startswith("minicaffe")])
def test_a_command_has_known_options(line):
    _, command, *arguments = shlex.split(line)
    assert command in COMMANDS
    tool = importlib.import_module(f"minicaffe.tools.{command}")
    tool.add_options(argparse.ArgumentParser(allow_abbrev=False)).parse_args(arguments)


def test_the_pictures_it_shows_are_there_and_small():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert shown and sorted(shown) == sorted(
        path.relative_to(DOCS).as_posix() for path in (DOCS / "tutorial").iterdir())
    assert sum((DOCS / name).stat().st_size for name in shown) < 400_000
    assert all((DOCS / link).exists() for link in re.findall(r"[^!]\[[^]]+\]\(([^)]+)\)", TEXT))


def test_the_script_draws_the_same_pictures_for_the_same_seed(tmp_path, capsys):
    draw = load_script().main
    for folder, more in (("a", []), ("b", ["--classes", "star,circle"]), ("c", ["--seed", "2"])):
        draw([str(tmp_path / folder), "--count", "2", *more])
    a, b, c = ((tmp_path / folder / "star" / "0002.png").read_bytes() for folder in "abc")
    assert a == b != c
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["circle", "star"]
    with pytest.raises(SystemExit):
        draw([str(tmp_path), "--classes", "star,moon"])
    assert "unknown shapes: moon" in capsys.readouterr().err


@pytest.mark.parametrize("name, area", [
    ("circle", np.pi), ("triangle", 3 * 3 ** 0.5 / 4), ("square", 2.0),
    ("pentagon", 2.5 * np.sin(2 * np.pi / 5)), ("star", 5 * 0.45 * np.sin(np.pi / 5)),
    ("cross", 8 * 0.33 - 4 * 0.33 ** 2), ("flower", np.pi * (0.7 ** 2 + 0.3 ** 2 / 2))])
def test_an_outline_encloses_the_area_of_its_shape(name, area):
    angle = (np.arange(100_000) + 0.5) / 100_000 * 2 * np.pi
    outline = load_script().OUTLINES[name](angle)
    assert (outline ** 2).mean() * np.pi == pytest.approx(area, rel=1e-3)


def test_its_first_training_ends_within_the_point_that_it_promises(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    minicaffe.set_device("cpu")
    [(line, shown)] = commands(TEXT.split("\n## A first training\n")[1].split("\n## ")[0])
    status, printed = run(line)
    promised, reached = (float(text.split("test accuracy = ")[1]) for text in (shown, printed))
    assert status == 0 and abs(promised - reached) <= 0.01
    told = [text for text in shown.splitlines() if " 0: " in text]
    assert len(told) == 2 and set(told) <= set(printed.splitlines())


def test_its_story_runs_through(tmp_path, monkeypatch, interrupted):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    minicaffe.set_device("cpu")
    for line, shown in commands(STORY.split("\n## Pictures\n")[1]):
        stops = "stopped after iteration" in shown
        with interrupted(stops):
            status, printed = run(small(line))
        assert status == (130 if stops else 0), (line, printed)
        if stops:
            assert "stopped after iteration 6; go on with the same options" in printed
        elif line.startswith("minicaffe train"):
            assert "test accuracy = " in printed.splitlines()[-1]
            assert set(same_in_small(shown)) <= set(same_in_small(printed)), printed
            name_as_in_the_tutorial(printed, shown)
        elif line.startswith(("minicaffe show", "minicaffe plot")):
            assert printed == shown
            assert Path(shown.splitlines()[-1]).stat().st_size > 1000
        elif line.startswith("minicaffe classify"):
            assert len(printed.splitlines()) == len(shown.splitlines())
        elif line == "python classify.py":
            assert printed.splitlines()[-1] == shown.splitlines()[-1]
    assert_same_bits_without_a_stop()
    assert_mistakes_print_what_it_says()


def assert_same_bits_without_a_stop():
    line = next(line for line, shown in commands(STORY) if "stopped after iteration" in shown)
    run(small(line).replace("--resume", "--snapshot-dir whole"))
    resumed, whole = (Path(folder, "cifar10_quick_shapes_iter_8.caffemodel").read_bytes()
                      for folder in ("snapshots", "whole"))
    assert resumed == whole


def assert_mistakes_print_what_it_says():
    for line, shown in commands(MISTAKES):
        if "--lr 1 " in line:  # takes a hundred iterations to go wrong
            continue
        with contextlib.ExitStack() as stack:
            if "where one does" in shown:
                stack.callback(SnapshotFolder("snapshots/cifar10_quick_shapes").close)
            status, printed = run(line)
        assert status == (2 if line.startswith("minicaffe") else 0)
        assert same_in_small(printed) == same_in_small(shown), line
        assert len(printed.splitlines()) == len(shown.splitlines())
