"""What formulas are written with stands in one place."""

import importlib
import pkgutil
from types import FunctionType

import numpy
import pytest

import minicaffe.layers
from minicaffe import elementwise
from minicaffe.backend import get_backend, lstm


def formulas():
    """Those of all layers; what has types in its signature is none."""
    layers = [importlib.import_module(f"minicaffe.layers.{found.name}")
              for found in pkgutil.iter_modules(minicaffe.layers.__path__)]
    return {value for module in (elementwise, lstm, *layers) for value in vars(module).values()
            if isinstance(value, FunctionType) and not value.__annotations__}


def test_no_formula_stands_in_two_places():
    computed = {}
    for formula in formulas():
        code = formula.__code__
        numbers = [part for part in code.co_consts if part != formula.__doc__]
        key = code.co_code, code.co_names, repr(numbers)
        assert computed.setdefault(key, formula) is formula, (
            f"{formula.__module__} and {computed[key].__module__} have the same {formula.__name__}")


@pytest.mark.parametrize("device", ["numpy", "cpu"])
def test_the_sigmoid_may_stand_in_formulas(device):
    x = numpy.linspace(-400, 400, 41).astype("float32")
    out = numpy.zeros_like(x)
    with numpy.errstate(over="raise"):
        get_backend(device).map(lambda x: 2 * elementwise.sigmoid(x / 2) - 1, out, x)
    numpy.testing.assert_allclose(out, numpy.tanh(x.astype(float) / 4), rtol=2e-6, atol=1e-7)
