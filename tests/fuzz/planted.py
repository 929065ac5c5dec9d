"""Faults on purpose, by which the harness shows that it would find such ones.

``python -m tests.fuzz --module tests.fuzz.planted --target hangs --inputs 5`` tries one of them.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy

from minicaffe import TRAIN, Layer
from minicaffe.errors import FileFormatError

from .nets import Nets
from .readers import Reader
from .trees import Tree

_HELD = []


def hangs(path: Path) -> None:
    """A loop without an end."""
    while True:
        pass


def waits(path: Path) -> None:
    """Waits for what never comes."""
    signal.pause()


def never_returns(path: Path) -> None:
    """Compiled code that goes on for ever, where no exception reaches."""
    deque(itertools.repeat(0), maxlen=0)


def eats(path: Path) -> None:
    """A gigabyte for a file of some bytes."""
    _HELD.append(numpy.ones(2**27))


def eats_slowly(path: Path) -> None:
    """Less than what is refused at once, and more than the rule allows."""
    _HELD.append(numpy.ones(2**25))


def raises(path: Path) -> None:
    """An exception that is none of ours."""
    if b"x" in path.read_bytes():
        raise ValueError("not ours")


def talks(path: Path) -> None:
    """An error that repeats the file."""
    raise FileFormatError(str(path), "long " * 1000, "more", "and " * 1000)


def crashes(path: Path) -> None:
    """A segmentation fault."""
    os.kill(os.getpid(), signal.SIGSEGV)


def _target(reader) -> Reader:
    made = Reader(reader.__name__, reader, [Tree({"a.txt": b"abcdefghxyz"}, "a.txt")])
    made.warm = lambda: None
    return made


class _Doubled(Layer):
    """``y = 2 x``"""

    bottoms = tops = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 2 * top[0].diff


class WrongGradient(_Doubled):
    """Half the gradient: seen by central differences alone, as it is so on all devices."""

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


class WrongOnCpu(_Doubled):
    """Another number on ``cpu``."""

    def forward(self, bottom, top):
        top[0].data[...] = (2 if self.backend.name == "numpy" else 2.01) * bottom[0].data


class BitsOfKeep(_Doubled):
    """Last bits that depend on whether its top lies in memory that others use as well."""

    def forward(self, bottom, top):
        y = whole = top[0].data
        while isinstance(whole.base, numpy.ndarray):
            whole = whole.base
        y[...] = (2 + 1e-6 * (whole.nbytes > y.nbytes)) * bottom[0].data


class Raises(_Doubled):
    """An exception that is none of ours."""

    def forward(self, bottom, top):
        raise KeyError("not ours")


class _Precise(Nets):
    """Nets with one of these layers, all of them run in float64 as well."""

    def __init__(self, kind: str):
        super().__init__([kind])
        self.name = kind

    def make(self, rng):
        return replace(super().make(rng), precise=True, phase=TRAIN)


READERS = (hangs, waits, never_returns, eats, eats_slowly, raises, talks, crashes)
LAYERS = (WrongGradient, WrongOnCpu, BitsOfKeep, Raises)
TARGETS = [*map(_target, READERS), *(_Precise(layer.__name__) for layer in LAYERS)]
