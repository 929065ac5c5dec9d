"""Vectors of ``LANES`` numbers in compiled code, for loops over short rows.

A row of an image has 7, 13 or 27 elements: too few for what LLVM makes of a loop over them.  Here a
whole vector is a value that compiled code works with: it comes from ``load``, is calculated with
(``+ * /`` and ``> == <`` of floats or ints, ``& |`` of flags, ``where``), and goes where ``store``
puts it.  Arrays are flat; no bounds are checked.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from .llvm import LANES, broadcast, fetch, first_lanes, load_some, masked, store_some

_int, _lane, _flag = ir.IntType(64), ir.IntType(32), ir.IntType(1)
_number = ir.FloatType().as_pointer()
_lanes = ir.Constant(ir.VectorType(_lane, LANES), list(range(LANES)))
_all = ir.Constant(ir.VectorType(_flag, LANES), [1] * LANES)


class _Vector(types.Type):
    """A vector, as numba sees it; ``whole`` is LLVM's type of one."""

    def __init__(self, name: str, lane: ir.Type):
        super().__init__(name)
        self.whole = ir.VectorType(lane, LANES)


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.whole)


FLOATS = _Vector("vector of float32", ir.FloatType())
INTS = _Vector("vector of int32", _lane)
FLAGS = _Vector("vector of bool", _flag)


def _operator(symbol, kind: _Vector, result: _Vector, make) -> None:
    """Let compiled code write ``a symbol b`` for two vectors of a kind."""
    def typed(context):
        return lambda a, b: result if a == kind and b == kind else None

    def lowered(context, builder, signature, args):
        return make(builder, *args)

    type_callable(symbol)(typed)
    lower_builtin(symbol, kind, kind)(lowered)


_operator(operator.add, FLOATS, FLOATS, ir.IRBuilder.fadd)
_operator(operator.mul, FLOATS, FLOATS, ir.IRBuilder.fmul)
_operator(operator.truediv, FLOATS, FLOATS, ir.IRBuilder.fdiv)
_operator(operator.gt, FLOATS, FLAGS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.eq, FLOATS, FLAGS, lambda builder, a, b: builder.fcmp_ordered("==", a, b))
_operator(operator.lt, INTS, FLAGS, lambda builder, a, b: builder.icmp_signed("<", a, b))
_operator(operator.and_, FLAGS, FLAGS, ir.IRBuilder.and_)
_operator(operator.or_, FLAGS, FLAGS, ir.IRBuilder.or_)


@intrinsic
def where(typing_context, flags, a, b):
    """Lane by lane: a where the flag is set, else b."""
    def generate(context, builder, signature, args):
        return builder.select(*args)

    return a(flags, a, b), generate


@intrinsic
def fill(typing_context, value):
    """A float32 or an int32 in every lane."""
    def generate(context, builder, signature, args):
        return broadcast(builder, args[0])

    return (FLOATS if value == types.float32 else INTS)(value), generate


@intrinsic
def count_from(typing_context, start):
    """start, start + 1, ..."""
    def generate(context, builder, signature, args):
        return builder.add(broadcast(builder, builder.trunc(args[0], _lane)), _lanes)

    return INTS(types.int64), generate


@intrinsic
def lane_sum(typing_context, vector):
    """The sum of all lanes of floats: the upper half is added to the lower until one is left."""
    def generate(context, builder, signature, args):
        total, half = args[0], LANES // 2
        while half:
            upper = ir.Constant(_lanes.type, [(i + half) % LANES for i in range(LANES)])
            total = builder.fadd(total, builder.shuffle_vector(total, total, upper))
            half //= 2
        return builder.extract_element(total, _lane(0))

    return types.float32(vector), generate


@intrinsic
def apply(typing_context, function, vectors):
    """``function(*numbers)`` lane by lane, as a tuple of vectors.

    function: a formula of float32 that gives a tuple, compiled by ``formulas.scalar``.
    """
    numbers = (types.float32,) * len(vectors)
    results = function.get_call_type(typing_context, numbers, {}).return_type

    def generate(context, builder, signature, args):
        made = function.dispatcher.overloads[numbers]
        context.active_code_library.add_linking_library(made.library)
        given = [cgutils.alloca_once_value(builder, vector)
                 for vector in cgutils.unpack_tuple(builder, args[1])]
        found = [cgutils.alloca_once(builder, FLOATS.whole) for _ in results]
        with cgutils.for_range(builder, _int(LANES)) as loop:  # LLVM makes one turn of it
            read, written = ([builder.gep(builder.bitcast(place, _number), [loop.index])
                              for place in places] for places in (given, found))
            _, values = context.call_internal_no_propagate(
                builder, made.fndesc, made.signature, [builder.load(lane) for lane in read])
            for value, lane in zip(cgutils.unpack_tuple(builder, values), written):
                builder.store(value, lane)
        return context.make_tuple(builder, signature.return_type,
                                  [builder.load(place) for place in found])

    return types.UniTuple(FLOATS, len(results))(function, vectors), generate


@intrinsic
def load(typing_context, array, at, count, rest):
    """``array[at:at + count]``, at most LANES of them; ``rest`` in the other lanes."""
    def generate(context, builder, signature, args):
        array, at, count, rest = args
        place = _place(context, builder, signature, 0, args)
        return load_some(builder, place, first_lanes(builder, count), broadcast(builder, rest))

    return _kind(array)(array, types.int64, types.int64, array.dtype), generate


@intrinsic
def store(typing_context, vector, array, at, count):
    """``array[at:at + count] = vector``, at most LANES lanes of it."""
    def generate(context, builder, signature, args):
        vector, array, at, count = args
        place = _place(context, builder, signature, 1, args)
        store_some(builder, vector, place, first_lanes(builder, count))
        return context.get_dummy_value()

    return types.void(vector, array, types.int64, types.int64), generate


@intrinsic
def load_every(typing_context, array, at, step):
    """``array[at::step]``; what lies between, and behind the last, is read too."""
    def generate(context, builder, signature, args):
        whole, place = _kind(signature.args[0]).whole, _place(context, builder, signature, 0, args)
        result = cgutils.alloca_once(builder, whole)

        def adjacent(step):
            vectors = [builder.load(builder.gep(place, [_lane(v)]), align=4) for v in range(step)]
            lanes = ir.Constant(_lanes.type, [step * i for i in range(LANES)])
            builder.store(builder.shuffle_vector(vectors[0], vectors[-1], lanes), result)

        def apart():
            places = _places(builder, place, args[2])
            builder.store(masked(builder, "gather", whole, [places], _all,
                                 [ir.Constant(whole, ir.Undefined)]), result)

        _by_step(builder, args[2], adjacent, apart)
        return builder.load(result)

    return _kind(array)(array, types.int64, types.int64), generate


@intrinsic
def store_every(typing_context, vector, array, at, step):
    """``array[at::step] = vector``, where zeros lie between, and behind the last."""
    def generate(context, builder, signature, args):
        vector, place = args[0], _place(context, builder, signature, 1, args)
        zeros = ir.Constant(vector.type, None)

        def adjacent(step):
            spread = [i // step if i % step == 0 else LANES for i in range(step * LANES)]
            for v in range(step):
                lanes = ir.Constant(_lanes.type, spread[v * LANES:(v + 1) * LANES])
                builder.store(builder.shuffle_vector(vector, zeros, lanes),
                              builder.gep(place, [_lane(v)]), align=4)

        def apart():
            places = _places(builder, place, args[3])
            masked(builder, "scatter", vector.type, [vector, places], _all)

        _by_step(builder, args[3], adjacent, apart)
        return context.get_dummy_value()

    return types.void(vector, array, types.int64, types.int64), generate


@intrinsic
def prefetch(typing_context, array, at):
    """Have the cache line of element ``at`` fetched; it may lie behind the array's end."""
    def generate(context, builder, signature, args):
        fetch(builder, _place(context, builder, signature, 0, args))
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _kind(array: types.Array) -> _Vector:
    return FLOATS if array.dtype == types.float32 else INTS


def _place(context, builder, signature, position, args):
    """The address, as that of a vector, of an element: arguments ``position`` and the next."""
    kind = signature.args[position]
    data = context.make_array(kind)(context, builder, args[position]).data
    return builder.bitcast(builder.gep(data, [args[position + 1]]), _kind(kind).whole.as_pointer())


def _places(builder, first, step):
    """A vector of the addresses of elements ``step`` apart."""
    bytes_apart = ir.Constant(ir.VectorType(_int, LANES), [4 * i for i in range(LANES)])
    shifts = builder.mul(broadcast(builder, step), bytes_apart)
    places = builder.add(broadcast(builder, builder.ptrtoint(first, _int)), shifts)
    element = first.type.pointee.element.as_pointer()
    return builder.inttoptr(places, ir.VectorType(element, LANES))


def _by_step(builder, step, adjacent, apart) -> None:
    """Generate ``adjacent(1)``, ``adjacent(2)`` and, for other steps, ``apart()``."""
    with builder.if_else(builder.icmp_signed("==", step, _int(1))) as (one, more):
        with one:
            adjacent(1)
        with more, builder.if_else(builder.icmp_signed("==", step, _int(2))) as (two, others):
            with two:
                adjacent(2)
            with others:
                apart()
