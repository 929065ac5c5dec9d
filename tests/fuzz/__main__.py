"""The command: ``python -m tests.fuzz --inputs 1000 --nets 100 --seed 1 --out failures``."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # busy threads would count as slow
    os.environ.setdefault(_name, "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "65536")  # what is freed goes back at once

from . import bounds, campaign, nets, readers  # noqa: E402
from .target import Target  # noqa: E402


def main() -> int:
    """Run it; returns 1 if anything failed."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the table is printed then, too
    logging.getLogger("minicaffe").setLevel(logging.ERROR)
    modules = [importlib.import_module(name) for name in options.module]
    if options.sum:
        print(_sum(options.out))
        return 0
    bounds.SECONDS = options.seconds
    made = campaign.Campaign(options.seed, options.out)
    with tempfile.TemporaryDirectory() as folder:
        targets = _chosen(Path(folder), modules, options)
        try:
            for target, count in targets:
                made.run(target, options.first, options.first + count)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    print(campaign.table(made.counts))
    for (name, kind, place), count in made.faults.most_common():
        print(f"{count:7}  {name}: {kind}: {place}")
    return 1 if made.faults or made.unsteady else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--inputs", type=int, default=0, help="how many, shared out among the readers")
    add("--nets", type=int, default=0, help="how many random nets")
    add("--seed", type=int, default=1, help="of all random numbers: the same inputs each time")
    add("--first", type=int, default=0, help="the number of the first input of each target")
    add("--target", action="append", default=[], help="one of the readers; default: all")
    add("--type", action="append", default=[], help="a layer type; random nets have no other than "
        "these and a few")
    add("--out", type=Path, help="a folder for failing inputs and counts")
    add("--module", action="append", default=[], help="imported first: its layers are among those "
        "of the random nets, and its TARGETS among the targets")
    add("--seconds", type=float, default=bounds.SECONDS, help="of the processor that a small input "
        "may take")
    add("--list", action="store_true", help="only name the targets")
    add("--sum", action="store_true", help="only add up the counts of all runs in --out")
    return parser.parse_args()


def _chosen(folder: Path, modules, options) -> list[tuple[Target, int]]:
    """The targets, and how many inputs each is tried with."""
    found = {target.name: target for module in modules for target in getattr(module, "TARGETS", ())}
    if not (options.nets and not options.inputs or options.target and found.keys() >= set(
            options.target)):  # which takes a while
        found.update(readers.targets(folder))
    chosen = [name for name in found if name in options.target or not options.target]
    if options.list:
        print("\n".join(found))
        return []
    unknown = set(options.target) - set(found)
    if unknown:
        sys.exit(f"--target: expected some of {', '.join(found)}; got {', '.join(unknown)}")
    share = -(-options.inputs // max(1, len(chosen)))
    targets = [(found[name], share) for name in chosen if share]
    if options.nets:
        targets.append((nets.Nets(options.type), options.nets))
    return targets


def _sum(out: Path) -> str:
    """The table of all that was logged in a folder; what was run twice counts once."""
    runs = {(run["target"], run["seed"], run["first"]): run for run in campaign.logged(out)}
    counts: dict[str, Counter] = {}
    for run in runs.values():
        kinds = {kind: run.get(kind, 0) for kind in campaign.COLUMNS}
        counts.setdefault(run["target"], Counter()).update(kinds)
    return campaign.table(counts)


if __name__ == "__main__":
    sys.exit(main())
