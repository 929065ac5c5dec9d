"""Many inputs tried, what failed made small and written down, and how often what happened."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from . import sandbox
from .outcome import FAILURES, FINE, MISMATCH, NAN, REFUSED, Outcome
from .smaller import smallest
from .target import Target, rng_of

NUMBERS = (MISMATCH, NAN)
MINIMISED = 30  # failures of one kind of wrong numbers, of which each may have its own reason
CONFIRMED = 3  # failures of one fault that are tried again in a process of their own
UNSTEADY = "not repeated"
COLUMNS = (FINE, REFUSED, *FAILURES, UNSTEADY)


class Campaign:
    """Attacks targets, and keeps count.

    Args:
        seed: of all random numbers.
        out: the folder for failing inputs; None to keep none.

    Attributes:
        counts: {target: how often each kind of outcome came}.
        faults: {(target, kind, place): how often it came}, each of which has a folder in ``out``.
    """

    def __init__(self, seed: int, out: Path | None = None):
        self.seed, self.out = seed, out
        self.counts: dict[str, Counter] = {}
        self.faults: Counter = Counter()
        self.met: Counter = Counter()  # {(target, kind, place before it was made small)}
        self.fault_of: dict[tuple, tuple] = {}
        self.unsteady = 0

    def run(self, target: Target, first: int, stop: int) -> None:
        """Try the inputs ``first`` to ``stop - 1`` of a target."""
        counts = self.counts.setdefault(target.name, Counter())
        began, at = time.monotonic(), first
        try:
            for index, outcome in sandbox.attack(target, self.seed, first, stop):
                counts[self._judged(target, index, outcome)] += 1
                at = index + 1
        finally:
            if self.out is not None:
                self._log(target.name, first, at, counts, time.monotonic() - began)

    def _judged(self, target: Target, index: int, outcome: Outcome) -> str:
        """The outcome's kind, after a failure came twice; a new one is written down."""
        if not outcome.failed:
            return outcome.kind
        key = (target.name, outcome.kind, outcome.place)
        if self.met[key] < CONFIRMED or outcome.kind in NUMBERS and self.met[key] < MINIMISED:
            item = target.make(rng_of(target, self.seed, index))
            again = sandbox.attempt(target, item)
            if again.kind != outcome.kind:
                self._save(target, f"{UNSTEADY} {index}", index, item, outcome)
                self.unsteady += 1
                return UNSTEADY
            if not self.met[key] or outcome.kind in NUMBERS:
                item = smallest(target, item, outcome)
                place = target.fault(item, outcome)
                if not self.faults[target.name, outcome.kind, place]:
                    self._save(target, f"{outcome.kind} {index}", index, item,
                               outcome._replace(place=place))
                self.fault_of[key] = (target.name, outcome.kind, place)
        self.met[key] += 1
        self.faults[self.fault_of.get(key, key)] += 1
        return outcome.kind

    def _save(self, target: Target, name: str, index: int, item, outcome: Outcome) -> None:
        told = (f"{target.name}: {outcome.kind}: {outcome.place}\n\npython -m tests.fuzz "
                f"{target.options} --seed {self.seed} --first {index}\n\n{outcome.text}\n")
        print(f"  {target.name} {index}: {outcome.kind}: {outcome.place}", file=sys.stderr)
        if self.out is None:
            return
        folder = self.out / target.name / f"{self.seed} {name}".replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "input").mkdir(parents=True)
        target.save(item, folder / "input")
        (folder / "told.txt").write_text(told, errors="replace")

    def _log(self, name: str, first: int, stop: int, counts: Counter, seconds: float) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / "counts.jsonl", "a") as file:
            file.write(json.dumps({"target": name, "seed": self.seed, "first": first, "stop": stop,
                                   "seconds": round(seconds, 1), **counts}) + "\n")


def table(counts: dict[str, Counter]) -> str:
    """The counts of all targets, aligned, with their sums."""
    total = Counter()
    for one in counts.values():
        total += one
    shown = [kind for kind in COLUMNS if kind in (FINE, REFUSED) or total[kind]]
    rows = [["", "inputs", *shown]]
    for name, one in [*counts.items(), ("all", total)]:
        rows.append([name, str(sum(one.values())), *(str(one[kind]) for kind in shown)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                               for i, (text, width) in enumerate(zip(row, widths)))
                     for row in rows)


def logged(out: Path) -> Iterator[dict]:
    """What earlier runs wrote into the folder."""
    log = out / "counts.jsonl"
    for line in log.read_text().splitlines() if log.is_file() else ():
        yield json.loads(line)
