"""A small part of what ``python -m tests.fuzz`` does, and that it would find what is wrong."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import layer_type_list

from . import lone, readers

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"),
                                reason="memory and time are bounded by Linux's own means")


def fuzz(*options: object) -> subprocess.CompletedProcess:
    """A run of the command."""
    return subprocess.run([sys.executable, "-m", "tests.fuzz", *map(str, options)], cwd=ROOT,
                          capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return readers.targets(tmp_path_factory.mktemp("seeds"))


def test_every_reader_has_a_seed(targets):
    for name, reader in targets.items():
        assert reader.trees, f"{name} reads no seed: add one to tests/fuzz/seeds.py"


def test_every_reader_can_be_called():
    for name, function in readers.found().items():
        needed = [parameter for parameter in inspect.signature(function).parameters.values()
                  if parameter.default is parameter.empty]
        assert len(needed) == 1 or function.__name__ in readers.CALLS, \
            f"{name} needs more than a path: say in tests/fuzz/readers.py how it is called"


def test_every_seed_is_read(targets):
    read = {id(tree) for reader in targets.values() for tree in reader.trees}
    from . import seeds
    assert len(read) == len(seeds.seeds())


@pytest.mark.parametrize("kind", sorted(layer_type_list()))
def test_every_layer_type_is_among_the_nets(kind):
    if kind != "Input":
        assert len(lone.examples(kind)) == lone.LEAST


def test_readers_and_nets(tmp_path):
    done = fuzz("--inputs", 1500, "--nets", 30, "--seed", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------- faults on purpose

PLANTED = ("--module", "tests.fuzz.planted")
READERS = {
    "hangs": "time: OutOfTime",
    "waits": "time: OutOfTime",
    "never_returns": "time: SIGXCPU",
    "eats": "memory: MemoryError",
    "eats_slowly": "memory: peak",
    "raises": "wrong exception: ValueError",
    "talks": "long text: FileFormatError",
    "crashes": "crash: SIGSEGV",
}
LAYERS = {
    "WrongGradient": "mismatch: central differences",
    "WrongOnCpu": "mismatch: cpu and numpy",
    "BitsOfKeep": "mismatch: threads and keep",
    "Raises": "wrong exception: KeyError",
}


def test_planted_readers_are_found(tmp_path):
    chosen = [word for name in READERS for word in ("--target", name)]
    done = fuzz(*PLANTED, *chosen, "--inputs", 8 * len(READERS), "--seconds", 0.5,
                "--out", tmp_path)
    assert done.returncode == 1
    for name, told in READERS.items():
        assert re.search(rf"^ +\d+  {name}: {told}", done.stdout, re.MULTILINE), done.stdout
        assert list(tmp_path.glob(f"{name}/*/told.txt"))
    smallest, = tmp_path.glob("raises/*/input/a.txt")
    assert smallest.read_bytes() == b"x"


def test_planted_layers_are_found(tmp_path):
    chosen = [word for name in LAYERS for word in ("--target", name)]
    done = fuzz(*PLANTED, *chosen, "--inputs", 10 * len(LAYERS), "--out", tmp_path)
    assert done.returncode == 1
    for name, told in LAYERS.items():
        assert re.search(rf"^ +\d+  {name}: {told}.* of .*{name}", done.stdout, re.MULTILINE), \
            done.stdout
        assert list(tmp_path.glob(f"{name}/*/input/net.prototxt"))


def test_the_same_seed_gives_the_same_inputs():
    counts = [fuzz("--target", "tools.plot.read_log", "--inputs", 200, "--seed", 5).stdout
              for _ in range(2)]
    assert counts[0] == counts[1]
    assert "200" in counts[0]


def test_runs_add_up(tmp_path):
    for first in (0, 50):
        fuzz("--target", "tools.plot.read_log", "--inputs", 50, "--first", first, "--out", tmp_path)
    assert "100" in fuzz("--sum", "--out", tmp_path).stdout
