"""Run Python code in a process of its own, as the traps of caches and threads need it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_COUNT = """
import logging
logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
from numba.core import event
class Counter(event.Listener):
    count = 0
    def on_start(self, event): Counter.count += 1
    def on_end(self, event): pass
event.register("numba:compile", Counter())
"""


def run(code: str, count: bool = False, **environment: str):
    """The finished process; with ``count``, ``Counter.count`` is how often numba compiled."""
    for name in ("MINICAFFE_THREADS", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"):
        if os.environ.get(name):
            environment.setdefault(name, os.environ[name])
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", (_COUNT if count else "") + code], capture_output=True, text=True,
        timeout=120, env={**os.environ, "PYTHONPATH": str(root), **environment})


def printed(code: str, **options) -> list[str]:
    """The lines that the code prints; it must end without an error."""
    result = run(code, **options)
    if result.returncode:
        raise AssertionError(result.stderr)
    return result.stdout.splitlines()
