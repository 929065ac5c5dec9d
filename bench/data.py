"""Does loading hold computing up?  ``python bench/data.py``

Three times of each net, in milliseconds: to load a batch alone (choose the samples, subtract, crop,
mirror, write into the net); an iteration on data that is in place; an iteration with its source.
What the third has over the second is what loading costs.  Each is measured for batches that are
loaded between the iterations, and meanwhile, by a thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent.parent))

from minicaffe import Solver  # noqa: E402
from minicaffe.tools import models  # noqa: E402

NETS = [  # name, shape of a picture, transform_param
    ("lenet", (1, 28, 28), dict(scale=1 / 256)),
    ("cifar10_quick", (3, 32, 32),
     dict(subtract_mean="image", pad=4, crop_size=32, mirror=True)),
]


def main() -> None:
    """Print a row for each net, its batches loaded between the iterations and by a thread."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"{'net':15}{'loaded':>10}{'load':>9}{'compute':>9}{'both':>9}   ms")
    for name, shape, transform in NETS:
        for way in ("between", "meanwhile"):
            solver = make_solver(name, shape, transform)
            solver.net.source.prefetch = way == "meanwhile"
            load, compute, both = times(solver)
            print(f"{name:15}{way:>10}{load:9.3f}{compute:9.3f}{both:9.3f}")


def make_solver(name: str, shape: tuple, transform: dict) -> Solver:
    """A solver of a net of models/ on random pictures."""
    model = models.load(name)
    net = model.net()
    net.layer[0].transform_param.Clear()
    net.layer[0].transform_param.MergeFrom(type(net.layer[0].transform_param)(**transform))
    param = model.solver()
    for field in ("display", "test_interval", "snapshot"):
        param.ClearField(field)
    param.net_param.CopyFrom(net)
    rng = numpy.random.default_rng(1)
    pictures = rng.integers(0, 256, (10000, *shape), dtype=numpy.uint8)
    return Solver(param, data=(pictures, rng.integers(0, 10, 10000)), keep=[])


def times(solver: Solver, rounds: int = 7, iterations: int = 30) -> tuple[float, float, float]:
    """The times of loading alone, of an iteration on data in place, and of one with its source.

    The latter two are measured in turns, and the least of each is taken: what else runs on the
    machine then disturbs them alike.
    """
    source, computing, both = solver.net.source, [], []
    load = least_time(lambda: source.fill(solver.net, 0), 100)
    for _ in range(rounds):
        for feeding, found in ((None, computing), (source, both)):
            solver.net.source = feeding
            solver.step(3)
            found.append(least_time(lambda: (solver.step(iterations), solver.loss), 1) / iterations)
    return load, min(computing), min(both)


def least_time(call: Callable, calls: int) -> float:
    """The least milliseconds of some calls."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        found.append((time.perf_counter() - began) * 1e3)
    return min(found)


if __name__ == "__main__":
    main()
