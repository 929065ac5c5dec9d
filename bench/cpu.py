"""How fast is minicaffe on this machine's CPU, beside other libraries?  ``python bench/cpu.py``

The nets of models/ with the same batch, the same number of threads and the same work: training
iterations, inferences, memory, and the time until a training has started.  Each measurement runs in
a process of its own, the peers in turns, for several rounds; the best counts, the median is told.
Before and after each the product of two matrices tells how fast the machine is at the moment: what
fell into a slow spell is measured again.

    pip install -e '.[bench]'
    python bench/cpu.py --nets lenet resnet20 --only train --json cpu.json
    python bench/tables.py cpu.json     the tables again
    python bench/cpu.py --check         do the peers compute the same numbers?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import nets
import tables
from peers import PEERS

WORKER = Path(__file__).with_name("worker.py")
PARTS = ("train", "infer", "memory", "start")
TRAINING = ("ours", "torch", "torch-nhwc")
LIBRARIES = ("numpy", "numba", "torch", "onnxruntime", "opencv-python-headless")
THREADS = ("MINICAFFE_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
           "MKL_NUM_THREADS")
TRIES = 3  # how often a measurement is made that falls into slow spells


# -------------------------------------------------------------------------------- the command

def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for and print the tables."""
    options = parse(arguments)
    if options.check:
        import check
        sys.exit(check.main(options.nets))
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Machine(options.threads, Path(folder), options.busy), options)
    print("\n\n".join(tables.all_tables(result)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, known, default, what in (
            ("--nets", nets.CASES, nets.available(), "NET"),
            ("--peers", PEERS, list(PEERS), "PEER"), ("--only", PARTS, list(PARTS), "PART")):
        parser.add_argument(name, nargs="+", choices=known, default=default, metavar=what,
                            help=f"some of {', '.join(known)}")
    parser.add_argument("--check", action="store_true",
                        help="compare losses and gradients instead of times")
    add_common(parser, seconds=2.0)
    return finished(parser.parse_args(arguments))


def add_common(parser: argparse.ArgumentParser, seconds: float) -> None:
    """The options of all measurements."""
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often each peer has its turn")
    add("--seconds", type=float, default=seconds, help="how long it calls a function in a turn")
    add("--threads", type=int, default=os.cpu_count(), help="of each peer")
    add("--busy", action="store_true", help="other programs run on this machine: measure the "
        "processor's time on one thread, which they disturb less")
    add("--json", type=Path, help="a file for all that was measured")


def finished(options: argparse.Namespace) -> argparse.Namespace:
    """The options, with what follows from them."""
    if options.busy:
        options.threads = 1
    return options


def progress(text: str) -> None:
    """Show what is measured, on a line that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------- measurements

class Machine:
    """Runs measurements on this machine, each in a process of its own.

    Args:
        folder: for files of the peers, and caches of compiled code.
        busy: True where the processor's time counts, not that of the clock on the wall.

    Attributes:
        peak, best: the best rates so far of additions and multiplications in registers, and of the
            product of matrices, in GFLOP/s.
        repeated: how many measurements were made again.
    """

    def __init__(self, threads: int, folder: Path, busy: bool = False):
        self.threads, self.folder, self.busy, self.repeated = threads, folder, busy, 0
        self.best = self.rate = max(self.job("product")["rate"] for _ in range(3))
        self.peak = 0.0
        self.measure_peak()

    def measure_peak(self) -> None:
        """Once more: a processor that others leave alone is faster for a while."""
        self.peak = max(self.peak, self.job("peak")["peak"])

    def job(self, job: str, cache: Path | None = None, fresh: bool = False, **fields) -> dict:
        """The result of a worker, and its ``seconds`` from before it started, if it tells when it
        had finished.

        Args:
            cache: where it keeps compiled code; default: where it always does.
            fresh: True to empty the cache before.

        Errors: RuntimeError with what a failed one printed.
        """
        environment = dict(os.environ, **dict.fromkeys(THREADS, str(self.threads)))
        if cache is not None:
            environment["NUMBA_CACHE_DIR"] = str(cache)
        if fresh:
            shutil.rmtree(cache, ignore_errors=True)
        text = json.dumps(dict(fields, job=job, threads=self.threads, folder=str(self.folder),
                               clock="process_time" if self.busy else "perf_counter"))
        began = time.monotonic()
        done = subprocess.run([sys.executable, str(WORKER), text], env=environment,
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{text}\n{done.stderr}")
        result = json.loads(done.stdout.splitlines()[-1])
        if "finished" in result:
            wall = result.pop("finished") - began
            result["seconds"] = result.pop("processor") if self.busy else wall
        return result

    def measured(self, job: str, **fields) -> dict:
        """A job's result, with the ``rate`` of the machine about it; made again in slow spells."""
        for attempt in range(TRIES):
            before, result = self.rate, self.job(job, **fields)
            if "skipped" in result:
                break
            self.rate = self.job("product")["rate"]
            self.best = max(self.best, self.rate)
            result["rate"] = min(before, self.rate)
            if not tables.is_slow(result, self.best):
                break
            self.repeated += attempt + 1 < TRIES
        return result


def measure(machine: Machine, options: argparse.Namespace) -> dict:
    """All that the options ask for, as it is written to JSON, net by net."""
    result = {"machine": describe(machine.threads), "threads": machine.threads,
              "busy": machine.busy, "parts": options.only, "nets": {}}
    for name in options.nets:
        case = nets.CASES[name]
        found = {"batch": case.batch, "caffe": case.caffe,
                 "work": nets.work(nets.shapes_of(case.net()))}
        turns = [(part, peer, fields) for part, fields in parts_of(case, options.only)
                 for peer in options.peers if takes_part(peer, part)]
        for number in range(options.rounds):
            for part, peer, fields in turns:
                progress(f"{name} {part} {peer}, round {number + 1} of {options.rounds}")
                rounds = found.setdefault(part, {}).setdefault(peer, [])
                if not any("skipped" in one for one in rounds):
                    rounds.append(turn(machine, dict(fields, net=name, peer=peer,
                                                     seconds=options.seconds)))
        result["nets"][name] = found
        machine.measure_peak()
        result.update(peak=machine.peak, product=machine.best, repeated=machine.repeated)
        if options.json:
            options.json.write_text(json.dumps(result, indent=1) + "\n")
    progress("")
    return result


def parts_of(case: nets.Case, wanted: Sequence[str]) -> list[tuple[str, dict]]:
    """The measurements of a net by name, with the fields of their jobs."""
    parts = []
    if "train" in wanted:
        parts.append(("train", {"job": "train"}))
    if "infer" in wanted:
        parts += [(f"infer {batch}", {"job": "infer", "batch": batch})
                  for batch in dict.fromkeys((1, case.batch))]
    if {"memory", "start"} & set(wanted):
        parts.append(("start", {"job": "start"}))
    return parts


def takes_part(peer: str, part: str) -> bool:
    """Whether a peer has something to show: some only run nets, one is there for its memory."""
    if peer == "ours-keep-all":
        return part == "start"
    return peer in TRAINING or part.startswith("infer")


def turn(machine: Machine, job: dict) -> dict:
    """One turn of a peer; a start of ours also without compiled code from before.

    Where it fails, what it printed is shown, and the peer is left out from then on.
    """
    try:
        if job["job"] != "start":
            return machine.measured(**job)
        cache, cold = machine.folder / "cache", {}
        if job["peer"] == "ours" or job["peer"] == "ours-keep-all" and not cache.exists():
            cold["cold"] = machine.measured(**job, cache=cache, fresh=True)["seconds"]
        return machine.measured(**job, cache=cache) | cold
    except RuntimeError as error:
        print(f"\n{error}", file=sys.stderr)
        return {"skipped": "failed: " + str(error).strip().splitlines()[-1]}


def describe(threads: int) -> str:
    """The processor and the versions of the libraries."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            name = line.split(":")[1].strip()
    versions = []
    for library in LIBRARIES:
        try:
            versions.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([name, f"{threads} thread{'s' * (threads > 1)}",
                      f"Python {platform.python_version()}", *versions])


if __name__ == "__main__":
    main()
