"""Run Python code in a process of its own, as the traps of caches and threads need it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
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
_ROOT = Path(__file__).resolve().parents[2]
_PROC = Path("/proc")
_IDLE = 120  # seconds in which a process that hangs uses no processor, and a slow one does
_MOST = 3600  # seconds of a processor, in which a process that runs in circles is found out


def run(code: str, count: bool = False, **environment: str):
    """The finished process; with ``count``, ``Counter.count`` is how often numba compiled.

    However slow the machine is, it has the time that it needs; AssertionError if it hangs.
    """
    return run_file("-c", (_COUNT if count else "") + code, **environment)


def run_file(*arguments: str, **environment: str):
    """The finished process of Python with these arguments, as ``run`` takes them."""
    for name in ("MINICAFFE_THREADS", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"):
        if os.environ.get(name):
            environment.setdefault(name, os.environ[name])
    command = [sys.executable, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": str(_ROOT), **environment})
    try:
        output = _patiently(process)
    except BaseException:
        _kill(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, *output)


def _patiently(process: subprocess.Popen) -> tuple[str, str]:
    spent = waited = 0.0
    while True:
        try:
            return process.communicate(timeout=_IDLE)
        except subprocess.TimeoutExpired:
            waited += _IDLE
            now = _processor_seconds(process.pid) if _PROC.is_dir() else waited
            if now == spent or now > _MOST:
                _kill(process)
                raise AssertionError("\n".join(("it hangs", *process.communicate()))) from None
            spent = now


def _kill(process: subprocess.Popen) -> None:
    if hasattr(os, "killpg"):  # what it has forked holds its output open
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _processor_seconds(session: int) -> float:
    """What all processes of a session have used."""
    ticks = 0
    for file in _PROC.glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def printed(code: str, **options) -> list[str]:
    """The lines that the code prints; it must end without an error."""
    result = run(code, **options)
    if result.returncode:
        raise AssertionError(result.stderr)
    return result.stdout.splitlines()
