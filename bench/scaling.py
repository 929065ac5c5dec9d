"""Does time grow with the work?  ``python bench/scaling.py``

Milliseconds of a training iteration and of an inference: for more and more samples, for larger and
larger pictures, on one thread and on more.  Beside each the growth: how much longer it takes than
the line above, for each time as many products.  1.00 is in proportion; more would be a step that
costs more than its work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import nets
import tables
import worker
from peers import Ours

from minicaffe import get_num_threads, set_num_threads

BATCHES = {"lenet": (1, 4, 16, 64, 256, 1024), "cifar10_quick": (1, 4, 16, 64, 256),
           "resnet20": (1, 4, 16, 64, 256), "squeezenet": (1, 2, 4, 8, 16, 32)}
SIZES = {"resnet20": (4, (16, 32, 64, 128, 256)), "squeezenet": (2, (56, 112, 224)),
         "mobilenet": (2, (56, 112, 224))}
THREADS = ("mlp", "lenet", "cifar10_quick", "resnet20", "squeezenet", "mobilenet", "lstm")


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        peer = Ours(get_num_threads(), Path(folder))
        for title, rows in (("batch", by_batch(peer, options)), ("pixels", by_size(peer, options)),
                            ("threads", by_threads(peer, options))):
            print(tables.table(["net", title, "training, ms", "growth", "inference, ms", "growth"],
                               rows) + "\n", flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    known = sorted({*BATCHES, *SIZES, *THREADS})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=known, default=known, metavar="NET",
                        help=f"some of {', '.join(known)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each time")
    parser.add_argument("--largest", type=int, default=10**9,
                        help="leave out batches, and widths of pictures, above this")
    return parser.parse_args(arguments)


def by_batch(peer: Ours, options: argparse.Namespace) -> Iterator[list]:
    """A row for each net and number of samples."""
    for name in wanted(BATCHES, options):
        yield from grown(name, (
            (batch, batch, times(peer, replace(nets.CASES[name], batch=batch), options.seconds))
            for batch in BATCHES[name] if batch <= options.largest))


def by_size(peer: Ours, options: argparse.Namespace) -> Iterator[list]:
    """A row for each net and size of its pictures."""
    for name in wanted(SIZES, options):
        batch, sizes = SIZES[name]
        yield from grown(name, (
            (f"{size} x {size}", size * size, times(
                peer, replace(nets.CASES[name], batch=batch, shape=(3, size, size)),
                options.seconds)) for size in sizes if size <= options.largest))


def by_threads(peer: Ours, options: argparse.Namespace) -> Iterator[list]:
    """A row for each net and number of threads; with twice as many, half the work is left."""
    most = get_num_threads()
    for name in wanted(THREADS, options):
        found = []
        for threads in range(1, most + 1):
            set_num_threads(threads)
            found.append((threads, 1 / threads, times(peer, nets.CASES[name], options.seconds)))
        yield from grown(name, found)


def wanted(names: Iterable[str], options: argparse.Namespace) -> list[str]:
    return [name for name in names if name in options.nets]


def times(peer: Ours, case: nets.Case, seconds: float) -> tuple[float, float]:
    """Milliseconds of a training iteration and of an inference, the least of many."""
    return tuple(worker.times(step, seconds, time.perf_counter)["best"]
                 for step in (peer.training(case), peer.inference(case, case.batch)))


def grown(name: str, measured: Iterable[tuple]) -> Iterator[list]:
    """Rows of (what varies, work, times), with how much faster the times grow than the work."""
    before = None
    for label, work, found in measured:
        cells = []
        for k, ms in enumerate(found):
            growth = "" if before is None else f"{ms / before[1][k] / (work / before[0]):.2f}"
            cells += [f"{ms:#.3g}" if ms < 100 else f"{ms:.0f}", growth]
        yield [name, label, *cells]
        before = work, found


if __name__ == "__main__":
    main()
