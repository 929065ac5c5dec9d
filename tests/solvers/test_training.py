"""Whole trainings: memory, threads, devices."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy
import pytest

from .common import digits_solver, weights

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("keep", ["all", []])
@pytest.mark.parametrize("more", [{}, {"clip_gradients": 1.0}], ids=["plain", "clipped"])
def test_iterations_2_to_10_allocate_next_to_nothing(keep, more):
    solver = digits_solver(batch_size=64, keep=keep, display=1, **more)
    solver.step(1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        solver.step(9)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 64 * 1024 and peak - before < 64 * 1024


THREADS = """
import sys
sys.path.insert(0, {root!r})
from tests.solvers.common import digits_solver
from minicaffe import get_num_threads
solver = digits_solver(clip_gradients=1.0)
solver.step(20)
print(get_num_threads())
solver.net.save(sys.argv[1])
"""


def test_one_and_two_threads_train_to_the_same_bits(tmp_path):
    files = []
    for threads in (1, 2):
        files.append(tmp_path / f"{threads}.caffemodel")
        run = subprocess.run(
            [sys.executable, "-c", THREADS.format(root=str(ROOT)), files[-1]],
            env={**os.environ, "MINICAFFE_THREADS": str(threads)},
            stdout=subprocess.PIPE, text=True, check=True)
        assert int(run.stdout) == min(threads, os.cpu_count())
    assert files[0].read_bytes() == files[1].read_bytes()


def test_devices_train_alike():
    reference, compiled = digits_solver(device="numpy"), digits_solver(device="cpu")
    for solver in (reference, compiled):
        solver.step(5)
    for a, b in zip(weights(reference), weights(compiled)):
        numpy.testing.assert_allclose(a, b, atol=1e-5)
