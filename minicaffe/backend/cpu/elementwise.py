"""``map`` compiled: one loop for each formula and each way in which its inputs come.

A formula is a Python function of single numbers.  numba compiles it, and a loop around it is
written here as text: ``out0[i] = formula(in0[i], in1, out0[i])``.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.untyped_passes import IRProcessing
from numba.extending import overload

from ... import elementwise
from .jit import compiled, from_text
from .shares import shared

CHUNK = 4096  # elements: what one thread takes at least, and what is too little for two

_LOOP = """
def {name}(part, parts, {arguments}):
    {setup}
    size = out0.size
    chunks = (size + {chunk} - 1) // {chunk}
    first = chunks * part // parts * {chunk}
    for i in range(first, min(size, chunks * (part + 1) // parts * {chunk})):
        {results} = formula({values})
"""


@overload(elementwise.where, inline="always")
def _where(condition, a, b):
    return lambda condition, a, b: a if condition else b


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
    if isinstance(value, FunctionType) and value is not elementwise.where:
        return ir.Global(value.__name__, _scalar(value), source.loc)
    return source


class _FormulaCompiler(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_SinglePrecision, IRProcessing)
        passes.finalize()
        return [passes]


@functools.cache
def _scalar(function: Callable):
    """The formula, compiled for single numbers; it is inlined into the loops that use it."""
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


def loop(function: Callable, kinds: tuple[str, ...], outs: int):
    """The compiled loop of a formula.

    Args:
        kinds: one word for each input: ``array`` (one element for each of the output), ``one`` (an
            array of one element), ``number``, or ``out0``, ``out1``: the output's own array.
        outs: the number of outputs.

    Returns: a function of the number of threads, the outputs and the inputs that are no outputs.
    """
    given = [f"in{k}" for k, kind in enumerate(kinds) if not kind.startswith("out")]
    values = {"array": "in{}[i]", "one": "one{}", "number": "in{}"}
    name = "map_" + "_".join((*kinds, "to", str(outs)))
    source = _LOOP.format(
        name=name, chunk=CHUNK,
        arguments=", ".join([f"out{k}" for k in range(outs)] + given),
        setup="; ".join(f"one{k} = in{k}[0]" for k, kind in enumerate(kinds) if kind == "one")
              or "pass",
        results=", ".join(f"out{k}[i]" for k in range(outs)),
        values=", ".join(values.get(kind, kind + "[i]").format(k)
                         for k, kind in enumerate(kinds)))
    names = {"formula": _scalar(function), "__name__": __name__}
    made = from_text(source, name, names, place=loop)
    known = fingerprint(function)
    made.__qualname__ = f"{made.__name__}.{function.__name__.strip('<>')}.{known}"
    return shared(made, cache=known is not None)


class Loops:
    """The loops in use, kept for good: one for each formula and each value of what it captured.

    A formula that is written anew at each call, and captures equal values, is compiled once.
    """

    def __init__(self):
        self._loops: dict[tuple, Callable] = {}

    def run(self, function: Callable, threads: int, outs: tuple, inputs: tuple) -> None:
        """Set the flat float32 arrays ``outs`` to the function's values at ``inputs``, whose sizes
        have been checked.
        """
        places = [out.__array_interface__["data"][0] for out in outs]
        kinds, given = [], []
        for value in inputs:
            kind = _kind(value, outs[0].size, places)
            kinds.append(kind)
            if not kind.startswith("out"):
                given.append(numpy.float32(value) if kind == "number" else value)
        key = (_identity(function), tuple(kinds), len(outs))
        compiled_loop = self._loops.get(key)
        if compiled_loop is None:
            compiled_loop = self._loops[key] = loop(function, tuple(kinds), len(outs))
        compiled_loop(threads if outs[0].size > CHUNK else 1, *outs, *given)


def _kind(value, size: int, places: list[int]) -> str:
    if not isinstance(value, numpy.ndarray):
        return "number"
    if value.size == size:
        place = value.__array_interface__["data"][0]
        # A loop over two names of one memory could not be vectorised, so it gets one name.
        return f"out{places.index(place)}" if place in places else "array"
    return "one"


def _identity(function: Callable):
    """Equal for functions that compute the same: code, its module and what it captured."""
    if not isinstance(function, FunctionType):
        return function
    captured = tuple(_identity(cell.cell_contents) for cell in function.__closure__ or ())
    identity = function.__code__, id(function.__globals__), captured, function.__defaults__
    try:
        hash(identity)
    except TypeError:
        return function
    return identity
