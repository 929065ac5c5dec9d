"""``shared``: the same work on several threads, one share each.

numba's own ``parallel=True`` would do: ``for part in prange(threads): share(part, threads, ...)``.
But it compiles the body of such a loop four times over, and every one of our kernels is one, so
that a first training would start half a minute late.  Here one such loop is compiled for all: it
calls a function at an address with a pointer to its arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numba
import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import compiled, from_text

_int, _address = ir.IntType(64), ir.IntType(8).as_pointer()
_share_type = ir.FunctionType(ir.VoidType(), [_int, _int, _int])
_loop_type = ir.FunctionType(_address, [_int, _int, _int])

_START = """
def {name}(loop, threads, {arguments}):
    start_shares(share, loop, threads, ({arguments},))
"""

_START_STEPS = """
def {name}(loop, threads, steps, {arguments}):
    for step in range(steps):
        if threads == 1:
            share(0, 1, step, {arguments})
        else:
            start_shares(share, loop, threads, (step, {arguments},))
"""


def shared(function: Callable | None = None, **options):
    """Decorate ``function(part, parts, ...)``, which does one share of some work: call it as
    ``function(threads, ...)``, and that many threads do one share each.

    One thread alone calls the function itself, without a parallel region.

    Args:
        options: those of ``compiled``.
    """
    if function is None:
        return functools.partial(shared, **options)
    share = compiled(function, **options)
    start = _starter(_START, function, share, 2, options)

    @functools.wraps(function)
    def run(threads, *arguments):
        if threads == 1:
            share(0, 1, *arguments)
        else:
            start(_loop_address(), threads, *arguments)

    return run


def stepped(function: Callable) -> Callable:
    """Decorate ``function(part, parts, step, ...)``, a share of one of several steps: call it as
    ``function(threads, steps, ...)``.  A step begins when all shares of the last one are done.

    Between two steps the threads stay awake, and Python is not entered.
    """
    start = _starter(_START_STEPS, function, compiled(function), 3, {})

    @functools.wraps(function)
    def run(threads, *arguments):
        start(_loop_address() if threads > 1 else 0, threads, *arguments)

    return run


def _starter(text: str, function: Callable, share, own: int, options: dict) -> Callable:
    """One of the texts above, compiled for a share, which takes ``own`` numbers from it."""
    name = "start_" + function.__name__
    source = text.format(
        name=name, arguments=", ".join(list(inspect.signature(function).parameters)[own:]))
    names = {"share": share, "start_shares": _start_shares, "__name__": __name__}
    start = from_text(source, name, names, place=function)
    start.__qualname__ = function.__qualname__ + ".start"
    return compiled(start, **options)


@compiled(parallel=True)
def _loop(threads, function, arguments):
    for part in numba.prange(threads):
        _call(function, numpy.int64(part), threads, arguments)


@functools.cache
def _loop_address() -> int:
    """Where C would call the loop."""
    _loop.compile((types.int64,) * 3)
    result = _loop.overloads[(types.int64,) * 3]
    return result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)


@intrinsic
def _call(typing_context, function, part, parts, arguments):
    """Call the function at an address."""
    def generate(context, builder, signature, args):
        function, *rest = args
        builder.call(builder.inttoptr(function, _share_type.as_pointer()), rest)
        return context.get_dummy_value()

    return types.void(function, part, parts, arguments), generate


@intrinsic
def _start_shares(typing_context, share, loop, threads, arguments):
    """Have the loop call ``share(part, threads, *arguments)`` for each part.

    The arguments are left on the stack, and a small function is made that takes a pointer to them.
    """
    share.get_call_type(typing_context, (types.int64, types.int64, *arguments.types), {})
    kinds = (types.int64, types.int64, *arguments.types)

    def generate(context, builder, signature, args):
        _, loop, threads, values = args
        made = share.dispatcher.overloads[kinds]
        context.active_code_library.add_linking_library(made.library)
        entry = ir.Function(builder.module, _share_type, "one_share")
        entry.linkage = "internal"
        inside = ir.IRBuilder(entry.append_basic_block())
        part, parts, place = entry.args
        kept = inside.load(inside.inttoptr(place, values.type.as_pointer()))
        context.call_internal_no_propagate(
            inside, made.fndesc, made.signature,
            [part, parts, *cgutils.unpack_tuple(inside, kept)])
        inside.ret_void()
        place = cgutils.alloca_once_value(builder, values)
        builder.call(builder.inttoptr(loop, _loop_type.as_pointer()),
                     [threads, builder.ptrtoint(entry, _int), builder.ptrtoint(place, _int)])
        return context.get_dummy_value()

    return types.void(share, loop, threads, arguments), generate
