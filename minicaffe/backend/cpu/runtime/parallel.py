"""``parallel``: the same work on several threads, one share each.

numba's own ``parallel=True`` would do: ``for part in prange(threads): share(part, threads, ...)``.
But it compiles the body of such a loop four times over, and every one of our kernels is one, so
that a first training would start half a minute late.  Here one such loop is compiled for all: it
calls a function at an address with a pointer to its arguments.  A share is called at an address,
too: code that LLVM sees in two places it also improves and translates twice.

The arguments can also be kept, and the share called again with them: see ``recording``.

What belongs together is one argument, a NamedTuple, whose class annotates the parameter.  Python
hands over its parts, and compiled code makes one of them again: numba takes three times as long to
unpack a NamedTuple.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import NamedTuple, get_type_hints

import numba
import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...interrupts import signals_held
from .jit import compiled, from_text, inner
from .numba_internals import address, call_at, without_owners

_int, _pointer = ir.IntType(64), ir.IntType(8).as_pointer()
_share_type = ir.FunctionType(ir.VoidType(), [_int, _int, _int])
_loop_type = ir.FunctionType(_pointer, [_int, _int, _int])

# For 0 threads it starts nothing, but keeps the arguments at the address ``loop``.
_START = """
def {name}(loop, share, threads, {parts}):
    if threads == 0:
        return keep(loop, ({arguments},))
    return start_shares(loop, share, threads, ({arguments},))
"""

_START_STEPS = """
def {name}(loop, share, threads, steps, {parts}):
    for step in range(steps):
        if not start_shares(loop, share, threads, (step, {arguments},)):
            return 0
    return 1
"""


def parallel(function: Callable | None = None, **options):
    """Decorate ``function(part, parts, ...)``, which does one share of some work: call it as
    ``function(threads, ...)``, and that many threads do one share each.

    One thread alone calls the function itself, without a parallel region.

    Args:
        options: those of ``compiled``.
    """
    if function is None:
        return functools.partial(parallel, **options)
    start = _starter(_START, function, options, ())

    @functools.wraps(function)
    def run(threads, *arguments):
        parts = start(threads, *arguments)
        if journals.current is not None:
            journals.current.append((start.compiled, threads, parts))

    return run


def parallel_steps(function: Callable) -> Callable:
    """Decorate ``function(part, parts, step, ...)``, a share of one of several steps: call it as
    ``function(threads, steps, ...)``.  A step begins when all shares of the last one are done.

    Between two steps the threads stay awake, and Python is not entered.
    """
    start = _starter(_START_STEPS, function, {}, (types.int64,))

    @functools.wraps(function)
    def run(threads, *arguments):
        prevent_recording()
        start(threads, *arguments)

    return run


class _Journals(threading.local):
    """Where each Python thread notes its calls of shared functions, if anywhere."""

    current: list[tuple | None] | None = None


journals = _Journals()


def prevent_recording() -> None:
    """Note that something is done that the calls of shared functions do not tell."""
    if journals.current is not None:
        journals.current.append(None)


def _starter(text: str, function: Callable, options: dict, step: tuple) -> Callable:
    """A function that calls one of the texts above, compiled, for a share of ``function``, and has
    it compiled for new types of arguments; it returns the arguments as compiled code takes them.

    step: the type of the share's third argument, if that is a step.
    Attributes of what is returned: compiled, the text's function itself.
    """
    share = inner(function, **options)
    name = "start_" + function.__name__
    operands = _operands(function, 2 + len(step))
    source = text.format(name=name, arguments=", ".join(each.made for each in operands),
                         parts=", ".join(part for each in operands for part in each.parts))
    kinds = {each.kind.__name__: each.kind for each in operands if each.kind}
    start = from_text(source, name, {"start_shares": _start_shares, "keep": _keep, **kinds,
                                     "__name__": __name__}, place=function)
    start.__qualname__ = function.__qualname__ + ".start"
    start = compiled(start, **options)
    apart = _taking_apart(["steps"] * len(step), operands)

    def call(threads, *arguments):
        parts = apart(*arguments)
        loop = loop_address() if threads > 1 else 0
        if not start(loop, 0, threads, *parts):
            with signals_held():
                given = [share.typeof_pyval(argument) for argument in arguments[len(step):]]
                place = address(share, (types.int64, types.int64, *step, *given))
            start(loop, place, threads, *parts)
        return parts

    call.compiled = start
    return call


class _Operand(NamedTuple):
    """A parameter of a share."""

    name: str
    kind: type | None  # if that is a NamedTuple
    parts: list[str]  # parameters of the text: one for each field, or the name itself
    made: str  # the argument, of these


def _operands(function: Callable, first: int) -> list[_Operand]:
    """The parameters from ``first`` on."""
    hints, found = get_type_hints(function), []
    for name in list(inspect.signature(function).parameters)[first:]:
        fields = getattr(hints.get(name), "_fields", None)
        if fields:
            kind, parts = hints[name], [f"{name}_{field}" for field in fields]
            found.append(_Operand(name, kind, parts, f"{kind.__name__}({', '.join(parts)})"))
        else:
            found.append(_Operand(name, None, [name], name))
    return found


def _taking_apart(first: list[str], operands: list[_Operand]) -> Callable:
    """A function of the arguments that gives their parts."""
    names = first + [each.name for each in operands]
    given = first + ["*" * bool(each.kind) + each.name for each in operands]
    return eval(f"lambda {', '.join(names)}: ({', '.join(given)},)")


def _caller(kind: ir.FunctionType):
    """What calls a function of this kind at an address."""
    @intrinsic
    def call(typing_context, function, first, second, third):
        def generate(context, builder, signature, args):
            address, *rest = args
            builder.call(builder.inttoptr(address, kind.as_pointer()), rest)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 4), generate

    return call


_call_share, _call_loop = _caller(_share_type), _caller(_loop_type)


@compiled(parallel=True)
def _loop(threads, function, arguments):
    for part in numba.prange(threads):
        _call_share(function, numpy.int64(part), threads, arguments)


@functools.cache
def loop_address() -> int:
    """Where C would call the loop."""
    with signals_held():
        return address(_loop, (types.int64,) * 3, for_c=True)


@compiled
def call_all(loop, calls):
    """Have all of ``calls``, rows of (function, threads, arguments), run one after the other."""
    for i in range(len(calls)):
        function, threads, arguments = calls[i]
        if threads == 1:
            _call_share(function, 0, 1, arguments)
        else:
            _call_loop(loop, threads, function, arguments)


@intrinsic
def _start_shares(typing_context, loop, share, threads, arguments):
    """Call the share, at an address, with (part, threads, *arguments) for each part; the loop does
    so where there are several threads.

    Returns: 0 if nothing was done as the address, which is remembered, was 0 until now.
    """
    def generate(context, builder, signature, args):
        loop, share, threads, values = args
        known, entry = _entry(context, builder.module, arguments, values.type)
        with builder.if_then(builder.icmp_unsigned("!=", share, _int(0))):
            builder.store(share, known)
        is_known = builder.icmp_unsigned("!=", builder.load(known), _int(0))
        with builder.if_then(is_known):
            place = builder.ptrtoint(cgutils.alloca_once_value(builder, values), _int)
            alone = builder.icmp_signed("==", threads, _int(1))
            with builder.if_else(alone) as (one, several):
                with one:
                    builder.call(entry, [_int(0), _int(1), place])
                with several:
                    builder.call(builder.inttoptr(loop, _loop_type.as_pointer()),
                                 [threads, builder.ptrtoint(entry, _int), place])
        return builder.zext(is_known, _int)

    return types.int64(loop, share, threads, arguments), generate


@intrinsic
def _keep(typing_context, place, arguments):
    """Keep the arguments at a place.

    Returns: the address of what calls the share with them; for place 0 the bytes that they take.
    """
    def generate(context, builder, signature, args):
        place, values = args
        _, entry = _entry(context, builder.module, arguments, values.type)
        is_place = builder.icmp_unsigned("!=", place, _int(0))
        with builder.if_then(is_place):
            builder.store(without_owners(context, builder, arguments, values),
                          builder.inttoptr(place, values.type.as_pointer()))
        return builder.select(is_place, builder.ptrtoint(entry, _int),
                              _int(context.get_abi_sizeof(values.type)))

    return types.int64(place, arguments), generate


def _entry(context, module, arguments, kept_type) -> tuple:
    """Where a module remembers the share's address, and its function that takes a part, the number
    of parts and where the arguments lie, and calls the share."""
    if "one_share" in module.globals:
        return module.globals["share"], module.globals["one_share"]
    known = ir.GlobalVariable(module, _int, "share")
    known.linkage, known.initializer = "internal", _int(0)
    entry = ir.Function(module, _share_type, "one_share")
    entry.linkage = "internal"
    builder = ir.IRBuilder(entry.append_basic_block())
    part, parts, place = entry.args
    values = builder.load(builder.inttoptr(place, kept_type.as_pointer()))
    call_at(context, builder, builder.load(known), (types.int64, types.int64, *arguments.types),
            [part, parts, *cgutils.unpack_tuple(builder, values)])
    builder.ret_void()
    return known, entry
