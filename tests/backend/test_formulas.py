"""The formulas of layers compile, and quietly."""

from __future__ import annotations

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.cpu.formulas import scalar
from minicaffe.backend.cpu.runtime.jit import compiled
from minicaffe.elementwise import where

from .processes import printed

COMPILE_ALL = """
import importlib, inspect, pkgutil, warnings
from types import FunctionType
from numba import float32, types
import minicaffe.layers
from minicaffe.backend import get_backend
from minicaffe.layers.buffered import with_input
get_backend("cpu")
from minicaffe.backend.cpu.formulas import scalar
from minicaffe.backend.cpu.runtime.jit import compiled

def formulas():
    for found in pkgutil.iter_modules(minicaffe.layers.__path__):
        module = importlib.import_module(f"minicaffe.layers.{found.name}")
        for value in vars(module).values():  # what has types in its signature is no formula
            if (isinstance(value, FunctionType) and not value.__annotations__
                    and value.__module__ != "minicaffe.elementwise"):
                yield value
    lrn = importlib.import_module("minicaffe.layers.lrn")
    for made in (lrn.normalized, lrn.weighted, lrn.normalized_backward):
        yield from (made(lrn.shrinking(beta)) for beta in (0.75, 0.5))

warnings.simplefilter("error")
count = 0
for formula in set(formulas()):
    others = (float32,) * (len(inspect.signature(formula).parameters) - 1)
    scalar(formula).compile((float32, *others))
    scalar(with_input(formula)).compile((float32, types.BaseTuple.from_types(others)))
    count += 1
print(count)
"""


def test_the_formulas_of_all_layers_compile_without_a_warning(tmp_path):
    count, = printed(COMPILE_ALL, NUMBA_CACHE_DIR=str(tmp_path))
    assert int(count) > 45


@pytest.mark.parametrize("formula", [
    where, lambda x, a, b: where(x > 0, a, b), lambda x, a, b: where(x, 1, b),
    lambda x, a, b: where(where(x > 0, a, b) > where(b > 0, x, 2), where(x > 1, b, 0.5), a)])
def test_choices_may_stand_in_choices(formula):
    x, a, b = numpy.random.default_rng(0).normal(size=(3, 50)).astype(numpy.float32)
    x[:25] = numpy.maximum(x[:25], 0)
    out = numpy.zeros_like(x)
    get_backend("cpu").map(formula, out, x, a, b)
    numpy.testing.assert_array_equal(out, formula(x, a, b).astype(numpy.float32))


def test_a_formula_is_computed_as_written_even_in_a_loop_whose_order_is_free():
    rounded = scalar(lambda x: (x + 8388608.0) - 8388608.0)

    def total(x):
        result = 0.0
        for value in x:
            result += rounded(value)
        return result

    loop = compiled(total, cache=False, fastmath={"reassoc"})
    assert loop(numpy.full(1000, 0.75, numpy.float32)) == 1000
    code, = rounded.inspect_llvm().values()
    assert "fadd float" in code and "reassoc" not in code
