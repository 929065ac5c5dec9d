"""Formulas, Python functions of single numbers, as compiled functions."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.untyped_passes import IRProcessing

from ... import elementwise
from .runtime.jit import inner
from .runtime.numba_internals import definition, renew_definitions
from .vectors import transcendental

# Nanoseconds for one element on one thread: of a formula that only waits for memory, and of what
# takes longer, measured on an AMD Zen 5 with vectors of 512 bits.
_MEMORY = 1 / 8
_COSTS = {"exp": 0.1, "expm1": 0.1, "log": 0.2, "log1p": 0.25, "tanh": 0.2, "power": 1}
_MODULES = (elementwise, numpy, math)  # whose attributes a formula may name


@register_pass(mutates_CFG=False, analysis_only=False)
class _SinglePrecision(FunctionPass):
    """Turn the numbers that a formula names into float32, and functions into compiled ones.

    numba takes the 0.5 of ``0.5 * x`` for a double, and would compute all that follows in doubles;
    in NumPy, and in every formula's author's mind, it takes the type of x.
    """

    _name = "minicaffe_single_precision"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state) -> bool:
        for block in state.func_ir.blocks.values():
            for assignment in block.find_insts(ir.Assign):
                assignment.value = _replaced(assignment.value, state.func_ir)
        renew_definitions(state.func_ir)
        return True


def _replaced(source, func_ir):
    value = _known(source, func_ir)
    if type(value) in (int, float):
        return ir.Const(numpy.float32(value), source.loc)
    if isinstance(value, (FunctionType, numpy.ufunc)):
        return ir.Global(value.__name__, scalar(value), source.loc)
    return source


def _known(source, func_ir):
    """The value that a formula names, such as 0.5, exp or numpy.pi; else None."""
    if isinstance(source, (ir.Const, ir.Global, ir.FreeVar)):
        return source.value
    if isinstance(source, ir.Expr) and source.op == "getattr":
        module = _known(definition(func_ir, source.value), func_ir)
        if isinstance(module, ModuleType) and module in _MODULES:
            return getattr(module, source.attr, None)
    return None


class _FormulaCompiler(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_SinglePrecision, IRProcessing)
        passes.finalize()
        return [passes]


def identity(function: Callable):
    """Equal for functions that compute the same: code, its module and what it captured."""
    if not isinstance(function, FunctionType):
        return function
    captured = function.__closure__
    if captured:  # most formulas capture nothing, and each call asks
        captured = tuple([identity(cell.cell_contents) for cell in captured])
    key = function.__code__, id(function.__globals__), captured, function.__defaults__
    try:
        hash(key)
    except TypeError:
        return function
    return key


# Formulas that are compiled by now, and functions of which there is a version of our own.
_scalars = {identity(getattr(elementwise, name)): getattr(transcendental, name)
            for name in ("where", *_COSTS)}


def scalar(function: Callable):
    """The formula, compiled for single numbers; it is inlined into the loops that use it.

    It says ``fastmath=False``, or it would take that of the loop which is compiled first, and
    ``forceinline``, as a loop that calls a large formula would not be vectorised.
    """
    key = identity(function)
    if key not in _scalars:
        _scalars[key] = (
            function if not isinstance(function, FunctionType)  # numba knows it
            else inner(function, cache=False, pipeline_class=_FormulaCompiler, fastmath=False,
                       forceinline=True))
    return _scalars[key]


def fingerprint(function: Callable) -> str | None:
    """A hash of all that a formula computes, functions and numbers that it names included.

    Returns: None where it depends on something else, of which nothing is known.
    """
    try:
        text = "\n".join(_described(function, set()))
    except TypeError:
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def nanoseconds(function: Callable) -> float:
    """About how long the formula takes for one element, in a loop on one thread."""
    try:
        return _MEMORY + sum(_COSTS.get(part, 0) for part in set(_described(function, set())))
    except TypeError:
        return 1


def _described(value, seen: set) -> Iterator[str]:
    if isinstance(value, FunctionType):
        if value.__module__ not in sys.modules:
            raise TypeError  # numba imports the module when it loads the code again
        if value not in seen:
            seen.add(value)
            yield value.__module__
            captured = [cell.cell_contents for cell in value.__closure__ or ()]
            for part in (value.__code__, *captured, *(value.__defaults__ or ())):
                yield from _described(part, seen)
            for name in value.__code__.co_names:
                if name in value.__globals__:
                    yield from _described(value.__globals__[name], seen)
    elif isinstance(value, CodeType):
        yield from (value.co_code.hex(), repr(value.co_names))
        for constant in value.co_consts:
            yield from _described(constant, seen)
    elif isinstance(value, (numpy.ufunc, ModuleType, BuiltinFunctionType)):
        yield value.__name__
    elif value is None or isinstance(value, (bool, int, float, str, tuple, numpy.number)):
        yield repr(value)
    else:
        raise TypeError
