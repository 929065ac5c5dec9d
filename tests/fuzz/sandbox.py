"""Inputs tried in forked processes: a crash or a hang ends one of these, and the next goes on."""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from .outcome import CRASH, TIME, Outcome
from .target import Target, rng_of

SILENCE = 120.0  # seconds after which a process that says nothing is killed
LIFE = 5000  # inputs that one process tries
_MEMORY = Path("/dev/shm")


class HarnessError(RuntimeError):
    """The harness itself is at fault."""


def attack(target: Target, seed: int, first: int, stop: int) -> Iterator[tuple[int, Outcome]]:
    """Try the inputs ``first`` to ``stop - 1``; yields (number, outcome) of each."""
    while first < stop:
        last = min(stop, first + LIFE)

        def work(say, first=first, last=last):
            for index in range(first, last):
                say(target.attempt(target.make(rng_of(target, seed, index))))

        for outcome in _outcomes(target, work):
            yield first, outcome
            first += 1
            if first == last:
                break


def attempt(target: Target, item) -> Outcome:
    """Try one input in a new process."""
    return run(target, lambda say: say(target.attempt(item)))


def run(target: Target, work: Callable[[Callable[[Outcome], None]], None]) -> Outcome:
    """Do some work in a new process; returns what it says first, or how it died."""
    return next(_outcomes(target, work))


def _outcomes(target: Target, work: Callable[[Callable[[Outcome], None]], None]
              ) -> Iterator[Outcome]:
    """Run ``work`` in a new process; yields what it says, and how it died if it did."""
    base = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="minicaffe-fuzz-", dir=base) as folder:
        reading, writing = os.pipe()
        sys.stdout.flush()
        gc.freeze()
        pid = os.fork()
        if not pid:
            os.close(reading)
            _child(target, work, Path(folder), writing)
        os.close(writing)
        ended = False
        try:
            yield from _spoken(reading, pid)
            ended = True
        finally:
            os.close(reading)
            if not ended:
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            yield _death(os.WTERMSIG(status), Path(folder) / "faults.txt")
        elif os.WEXITSTATUS(status):
            yield Outcome(CRASH, f"exit {os.WEXITSTATUS(status)}")


def _spoken(reading: int, pid: int) -> Iterator[Outcome]:
    rest = b""
    while True:
        if not select.select([reading], [], [], SILENCE)[0]:
            os.kill(pid, signal.SIGKILL)
            continue
        piece = os.read(reading, 1 << 16)
        if not piece:
            return
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            kind, place, text = json.loads(line)
            if kind == "harness":
                raise HarnessError(text)
            yield Outcome(kind, place, text)


def _death(signum: int, faults: Path) -> Outcome:
    """The outcome of an input that ended its process."""
    told = faults.read_text(errors="replace") if faults.is_file() else ""
    name = signal.Signals(signum).name
    frame = re.search(r'File "[^"]*/minicaffe/((?!tests)[^"]+)", line \d+ in (\S+)', told)
    place = f"{frame[1]}:{frame[2]}" if frame else "no Python code"
    slow = signum in (signal.SIGXCPU, signal.SIGKILL)
    return Outcome(TIME if slow else CRASH, f"{name} at {place}", told[:4000])


def _child(target: Target, work, folder: Path, writing: int) -> None:
    """The forked process: never returns."""
    try:
        faults = _prepared(folder)
        target.scratch = folder / "scratch"
        target.scratch.mkdir()

        def say(outcome: Outcome) -> None:
            os.write(writing, json.dumps(outcome).encode() + b"\n")

        target.warm()
        work(say)
        faults.close()
        os._exit(0)
    except BaseException:
        text = traceback.format_exc()
        os.write(writing, json.dumps(["harness", "", text]).encode() + b"\n")
    finally:
        os._exit(1)


def _prepared(folder: Path):
    """Signals, log and standard streams of a forked process; returns the file of tracebacks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    faults = open(folder / "faults.txt", "w")
    faulthandler.enable(faults, all_threads=False)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    faulthandler.register(signal.SIGXCPU, faults, all_threads=False, chain=True)
    warnings.simplefilter("ignore")
    log = logging.getLogger("minicaffe")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers[:] = [_Told()]
    return faults


class _Told(logging.Handler):
    """Makes the text of each message, so that wrong arguments are found, and drops it."""

    def emit(self, record):
        record.getMessage()


def clean(folder: Path) -> None:
    """Empty a scratch folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
