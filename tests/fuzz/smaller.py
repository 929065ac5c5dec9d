"""Failing inputs made small."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import sandbox
from .outcome import CRASH, TIME, Outcome
from .target import Target

TRIES = 200  # inputs that minimising one failure may try,
DEADLY = 12  # fewer where each one ends a process,
PATIENCE = 5.0  # and seconds that it may take


def smallest(target: Target, item, outcome: Outcome):
    """The smallest input found that fails as ``item`` does."""
    if outcome.kind in (CRASH, TIME):
        return _descend(target, item, outcome, DEADLY,
                        lambda other: sandbox.attempt(target, other))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "item"
        path.write_bytes(pickle.dumps(item))

        def work(say):
            found = _descend(target, item, outcome, TRIES, target.attempt)
            path.write_bytes(pickle.dumps(found))
            say(outcome)

        sandbox.run(target, work)
        return pickle.loads(path.read_bytes())


def _descend(target: Target, item, outcome: Outcome, tries: int,
             attempt: Callable[[object], Outcome]):
    """Go from an input to a smaller one that fails alike, until there is none or time is up."""
    until = time.monotonic() + PATIENCE
    found = True
    while found:
        found = False
        for other in target.smaller(item):
            if target.size(other) >= target.size(item):
                continue
            tries -= 1
            if tries < 0 or time.monotonic() > until:
                return item
            again = attempt(other)
            if (again.kind, again.place) == (outcome.kind, outcome.place):
                item, found = other, True
                break
    return item
