"""The cache of compiled code: it is hit, it is never stale, and it is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest

from minicaffe.backend.cpu import elementwise
from minicaffe.backend.cpu.formulas import fingerprint
from minicaffe.backend.cpu.runtime import jit
from minicaffe.elementwise import exp

from .processes import printed, run

SOFTMAX = """
import numpy
from minicaffe.backend import get_backend
backend = get_backend("cpu")
x = numpy.zeros((1, 4, 1), numpy.float32)
backend.softmax(x, x)
print(x.sum())
"""
FORMULA = """
import numpy
from minicaffe.backend import get_backend
from formula import twice
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(twice, x, x)
print(x[0])
"""


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("kernels-*/*"))


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    code = SOFTMAX + "print(Counter.count)"
    first = printed(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    kept = files(tmp_path)
    second = printed(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert first[0] == second[0] == "1.0"
    assert int(first[1]) > 0 and int(second[1]) == 0
    assert kept and files(tmp_path) == kept


def test_compiling_is_announced_once_and_loading_is_not(tmp_path):
    code = SOFTMAX + "backend.uniform(numpy.zeros(1, numpy.uint64), x)"
    line = ("minicaffe.cpu INFO compiling kernels that are new here, to be kept: this run starts "
            "some seconds later\n")
    for expected in (line, ""):
        result = run(code, count=True, NUMBA_CACHE_DIR=str(tmp_path))
        assert result.stderr == expected


def test_a_formula_is_kept_too_until_something_that_it_names_changes(tmp_path):
    def outcome(helper, factor):
        (tmp_path / "helper.py").write_text(f"def plus(x):\n    return x + {helper}\n")
        (tmp_path / "formula.py").write_text(
            "from helper import plus\n"
            f"FACTOR = {factor}\ndef twice(x):\n    return FACTOR * plus(x)\n")
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})" + FORMULA
        return printed(code + "print(Counter.count > 0)", count=True,
                       NUMBA_CACHE_DIR=str(tmp_path / "cache"))

    assert outcome(0, 2.0) == ["2.0", "True"]
    assert outcome(0, 2.0) == ["2.0", "False"]
    assert outcome(0, 3.0) == ["3.0", "True"]
    assert outcome(1, 3.0) == ["6.0", "True"]
    assert outcome(0, 2.0) == ["2.0", "False"]


@jit.inner(cache=False)
def _times(a, b):
    return a * b


@jit.compiled(cache=False)
def _many_times(a):
    return _times(a, 2) + _times(3, a) + _times(a, a)


def test_a_function_is_not_compiled_anew_for_each_number_in_a_call():
    assert _many_times(5) == 10 + 15 + 25
    assert len(_times.overloads) == 1


def test_a_function_for_compiled_code_alone_says_so():
    _many_times(5)
    with pytest.raises(TypeError, match="_times is for calls from compiled code: it has no way in"):
        _times(5, 5)


def scaled(factor):
    return lambda x: factor * exp(x)


def test_a_fingerprint_covers_code_and_captured_values():
    assert fingerprint(scaled(2.0)) == fingerprint(scaled(2.0))
    assert fingerprint(scaled(2.0)) != fingerprint(scaled(3.0))
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x - 1)
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x + 2)
    assert fingerprint(scaled(scaled(2.0))) != fingerprint(scaled(scaled(3.0)))
    assert fingerprint(numpy.exp) != fingerprint(numpy.log)
    assert fingerprint(scaled(object())) is None


def test_a_formula_that_is_written_anew_is_compiled_once_for_what_it_captured(monkeypatch):
    compiled = []

    def loop(*key):
        compiled.append(key)
        return lambda *arguments: None

    monkeypatch.setattr(elementwise, "loop", loop)
    calls, x = elementwise.Calls(), numpy.ones(3, numpy.float32)
    for factor in (2.0, 2.0, 3.0, 2.0):
        for formula in (scaled(factor), scaled(scaled(factor))):  # one captures a formula
            calls.map(formula, (x,), (x,))
    assert len(compiled) == 4


def test_a_formula_without_a_file_compiles():
    code = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(lambda x: 5 * x, x, x)
print(x[0])
"""
    assert printed(code) == ["5.0"]


def test_a_formula_of_a_module_that_cannot_be_imported_runs_in_every_process(tmp_path):
    code = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
names = {"__name__": "made_on_the_fly"}
exec("def formula(x): return 7 * x", names)
get_backend("cpu").map(names["formula"], x, x)
print(x[0])
"""
    for _ in range(2):  # the second process must not look for the module
        assert printed(code, NUMBA_CACHE_DIR=str(tmp_path)) == ["7.0"]
