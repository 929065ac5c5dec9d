"""Formulas, Python functions of single numbers, as compiled functions."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.untyped_passes import IRProcessing
from numba.extending import intrinsic

from ... import elementwise
from .jit import compiled

# No vector instruction computes these: a call for each element, and a formula that takes longer.
_CALLS = {"exp", "expm1", "log", "log1p", "power", "tanh"}


@intrinsic
def _where(typing_context, condition, a, b):
    """``a if condition else b`` as one instruction: a loop around it can be vectorised."""
    kind = typing_context.unify_types(a, b)

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return kind(types.boolean, kind, kind), generate


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
                source = assignment.value
                if isinstance(source, (ir.Const, ir.Global, ir.FreeVar)):
                    assignment.value = _replaced(source)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


def _replaced(source):
    value = source.value
    if type(value) in (int, float):
        return ir.Const(numpy.float32(value), source.loc)
    if isinstance(value, FunctionType):
        return ir.Global(value.__name__, scalar(value), source.loc)
    return source


class _FormulaCompiler(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_SinglePrecision, IRProcessing)
        passes.finalize()
        return [passes]


@functools.cache
def scalar(function: Callable):
    """The formula, compiled for single numbers; it is inlined into the loops that use it."""
    if function is elementwise.where:
        return _where
    if not isinstance(function, FunctionType):
        return function  # a universal function: numba knows it
    return compiled(function, cache=False, pipeline_class=_FormulaCompiler)


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
        return 1 / 8 if _CALLS.isdisjoint(_described(function, set())) else 4
    except TypeError:
        return 4


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


def identity(function: Callable):
    """Equal for functions that compute the same: code, its module and what it captured."""
    if not isinstance(function, FunctionType):
        return function
    captured = tuple(identity(cell.cell_contents) for cell in function.__closure__ or ())
    key = function.__code__, id(function.__globals__), captured, function.__defaults__
    try:
        hash(key)
    except TypeError:
        return function
    return key
