"""What is kept between calls is bounded in bytes, however many sizes a net meets."""

from __future__ import annotations

import tracemalloc

import numpy
import pytest

from minicaffe.backend.cpu.convolution.index_tables import tables
from minicaffe.backend.cpu.runtime import bounded_cache as module
from minicaffe.backend.cpu.runtime.bounded_cache import bounded_cache
from minicaffe.backend.cpu.runtime.workspace import strided
from minicaffe.window import Window

POINTWISE = Window((1, 1), (1, 1), (0, 0), (1, 1))


@pytest.fixture
def made(monkeypatch):
    """A decorated function of 100 bytes at most, and the arguments with which it was called."""
    monkeypatch.setattr(module, "LIMIT", 100)
    calls = []

    @bounded_cache
    def room(size):
        calls.append(size)
        return numpy.zeros(size, numpy.int8)

    return room, calls


def test_a_result_is_computed_once(made):
    room, calls = made
    assert room(40) is room(40) and calls == [40]


def test_the_result_used_longest_ago_goes_first(made):
    room, calls = made
    for size in (40, 50, 40, 30, 40, 50):
        room(size)
    assert calls == [40, 50, 30, 50]


def test_the_newest_result_stays_whatever_its_size(made):
    room, calls = made
    for size in (40, 500, 500, 40, 40):
        room(size)
    assert calls == [40, 500, 40]


@pytest.mark.parametrize("grow", [
    lambda size: tables(POINTWISE, 1, (1, size), (1, size)), lambda size: strided(size, 1)])
def test_tables_of_many_sizes_take_bounded_memory(monkeypatch, grow):
    monkeypatch.setattr(module, "LIMIT", 2**20)
    tracemalloc.start()
    for size in range(20_000, 20_040):  # 160 KB or more each
        grow(size)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2**21
