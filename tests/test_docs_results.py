"""docs/results.md says what its logs say, and its commands are some."""

import argparse
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
TEXT = (DOCS / "results.md").read_text()


def last_accuracy(log):
    lines = (DOCS / "results" / f"{log}.jsonl").read_text().splitlines()
    return [json.loads(line)["accuracy"] for line in lines if "accuracy" in line][-1]


@pytest.mark.parametrize("name", ["lenet", "cifar10_quick"])
def test_the_accuracies_are_those_of_the_logs(name):
    seeds = [last_accuracy(f"{name}_{seed}") for seed in (1, 2, 3)]
    wanted = [*seeds, sum(seeds) / 3, last_accuracy(f"{name}_caffe")]
    section = re.sub(r"\s+", " ", TEXT)
    for value in wanted:
        assert re.search(rf"\b{100 * value:.2f}\b", section), value


def test_nothing_is_left_to_be_filled_in():
    assert not re.search(r"\b[A-Z]+_[A-Z]+\b", TEXT.replace("MINICAFFE_DATA", ""))


def test_every_figure_is_there():
    for figure in re.findall(r"\]\((\S+)\)", TEXT):
        assert (DOCS / figure).is_file(), figure


def test_the_commands_have_such_options():
    commands = re.findall(r"^(?:for .* do )?((?:train|minicaffe plot)\b[^;\n]*)",
                          "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.S)), re.M)
    assert len(commands) >= 8
    for command in commands:
        words = shlex.split(command.replace("$seed", "1"))
        name, arguments = (words[0], words[1:]) if words[0] == "train" else (words[1], words[2:])
        parser = argparse.ArgumentParser()
        importlib.import_module(f"minicaffe.tools.{name}").add_options(parser)
        parser.parse_args(arguments)
