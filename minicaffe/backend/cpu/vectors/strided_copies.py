"""Vectors put together from runs of an array; copies with a stride, and two copies interleaved.

What im2col consists of, in LLVM's language; see ``llvm``.
"""

from __future__ import annotations

from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .llvm import (
    LANES,
    as_vector,
    first_lanes,
    integer,
    lane,
    load_some,
    number,
    pointer,
    store_some,
)

_MOST = 4  # runs of which a vector is put together in registers
_HALF = LANES // 2


@intrinsic
def copy_runs(typing_context, source, source_at, offsets, first, end, target, target_at, stride,
              places, lanes, run, runs):
    """``target[i * stride:][:LANES]`` for each i < end - first: one vector of some rows of a column
    matrix, put together from runs of lanes.

    Run r goes from lane ``lanes[run + r]`` to the next run's, the last one to the end, and comes
    from those lanes of ``source[offsets[first + i] + places[run + r]:][:LANES]``.  All lanes there
    are read.
    """
    names = ("source source_at offsets first end target target_at stride places lanes run "
             "runs").split()
    given = [source, source_at, offsets, first, end, target, target_at, stride, places, lanes, run,
             runs]

    def generate(context, builder, signature, args):
        n = dict(zip(names, args))
        kinds = dict(zip(names, signature.args))
        for name, at in (("source", "source_at"), ("offsets", "first"), ("target", "target_at"),
                         ("places", "run"), ("lanes", "run")):
            n[name] = pointer(context, builder, kinds[name], n[name], n[at])
        for count in range(1, _MOST + 1):
            with builder.if_then(builder.icmp_signed("==", n["runs"], integer(count))):
                if count == 2:
                    second = builder.load(builder.gep(n["lanes"], [integer(1)]))
                    halves = builder.icmp_signed("==", second, integer(_HALF))
                    with builder.if_else(halves) as (then, otherwise):
                        with then:
                            _from_halves(builder, n)
                        with otherwise:
                            _from_runs(builder, n, count)
                else:
                    _from_runs(builder, n, count)
        with builder.if_then(builder.icmp_signed(">", n["runs"], integer(_MOST))):
            _from_many(builder, n)
        return context.get_dummy_value()

    return types.void(*given), generate


@contextmanager
def _each_row(builder, n: dict):
    """A loop over the rows: each one's offset in the source and its place in the target."""
    with cgutils.for_range(builder, builder.sub(n["end"], n["first"])) as loop:
        yield (builder.load(builder.gep(n["offsets"], [loop.index])),
               builder.gep(n["target"], [builder.mul(loop.index, n["stride"])]))


def _begin(builder, n: dict, run):
    """Where a run of the row at offset 0 comes from, and a mask of its lanes and all behind."""
    mask = first_lanes(builder, builder.load(builder.gep(n["lanes"], [run])))
    return (builder.gep(n["source"], [builder.load(builder.gep(n["places"], [run]))]),
            builder.not_(mask))


def _from_runs(builder, n: dict, count: int) -> None:
    runs = [_begin(builder, n, integer(r)) for r in range(count)]
    with _each_row(builder, n) as (offset, here):
        values = None
        for begin, mask in runs:
            there = as_vector(builder, builder.gep(begin, [offset]))
            more = builder.load(there, align=4)
            values = more if values is None else builder.select(mask, more, values)
        builder.store(values, as_vector(builder, here), align=4)


def _from_halves(builder, n: dict) -> None:
    """For maps half a vector wide, which are usual: half a vector lies across the end of a cache
    line, where it takes long to read, less often than a whole one."""
    half = ir.VectorType(number, _HALF).as_pointer()
    order = ir.Constant(ir.VectorType(lane, LANES), list(range(LANES)))
    runs = [_begin(builder, n, integer(r))[0] for r in range(2)]
    runs[1] = builder.gep(runs[1], [integer(_HALF)])
    with _each_row(builder, n) as (offset, here):
        parts = [builder.load(builder.bitcast(builder.gep(begin, [offset]), half), align=4)
                 for begin in runs]
        builder.store(builder.shuffle_vector(*parts, order), as_vector(builder, here), align=4)


def _from_many(builder, n: dict) -> None:
    """Run by run; each is written up to the vector's end, and the next over what was too much."""
    with cgutils.for_range(builder, n["runs"]) as each:
        begin, mask = _begin(builder, n, each.index)
        with _each_row(builder, n) as (offset, here):
            there = as_vector(builder, builder.gep(begin, [offset]))
            store_some(builder, builder.load(there, align=4), as_vector(builder, here), mask)


@intrinsic
def copy_every(typing_context, source, source_at, step, target, target_at, count):
    """``target[:count] = source[::step][:count]``; fast where the step is 2 or 4."""
    def generate(context, builder, signature, args):
        _, _, step, _, _, count = args
        source = pointer(context, builder, signature.args[0], args[0], args[1])
        target = pointer(context, builder, signature.args[3], args[3], args[4])
        two, four = (builder.icmp_signed("==", step, integer(n)) for n in (2, 4))
        for vectors, known in ((2, two), (4, four)):
            with builder.if_then(known):
                _every(builder, source, vectors, target, count)
        with builder.if_then(builder.not_(builder.or_(two, four))):
            with cgutils.for_range(builder, count) as loop:
                there = builder.gep(source, [builder.mul(loop.index, step)])
                builder.store(builder.load(there), builder.gep(target, [loop.index]))
        return context.get_dummy_value()

    return types.void(source, source_at, step, target, target_at, count), generate


def _every(builder, source, step: int, target, count) -> None:
    """Of ``step`` vectors, half of the lanes are dropped until one is left."""
    even = ir.Constant(ir.VectorType(lane, LANES), list(range(0, 2 * LANES, 2)))
    with cgutils.for_range_slice(builder, integer(0), count, integer(LANES)) as (index, _):
        rest = builder.sub(count, index)
        there = builder.gep(source, [builder.mul(index, integer(step))])
        # What lies behind the last element taken may not exist.
        floats = builder.sub(builder.mul(rest, integer(step)), integer(step - 1))
        lines = [load_some(builder, as_vector(builder, builder.gep(there, [integer(at)])),
                           first_lanes(builder, builder.sub(floats, integer(at))))
                 for at in range(0, step * LANES, LANES)]
        while len(lines) > 1:
            lines = [builder.shuffle_vector(a, b, even) for a, b in zip(lines[::2], lines[1::2])]
        store_some(builder, lines[0], as_vector(builder, builder.gep(target, [index])),
                   first_lanes(builder, rest))


@intrinsic
def weave(typing_context, source, even_at, odd_at, target, target_at, count):
    """``target[:count]``, at most two vectors: elements from two places of the source in turn."""
    def generate(context, builder, signature, args):
        even, odd = (builder.load(as_vector(builder, pointer(
            context, builder, signature.args[0], args[0], at)), align=4) for at in args[1:3])
        target = pointer(context, builder, signature.args[3], args[3], args[4])
        for at in (0, LANES):
            order = [at // 2 + i // 2 + i % 2 * LANES for i in range(LANES)]
            values = builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(lane, LANES),
                                                                   order))
            store_some(builder, values, as_vector(builder, builder.gep(target, [integer(at)])),
                       first_lanes(builder, builder.sub(args[5], integer(at))))
        return context.get_dummy_value()

    return types.void(source, even_at, odd_at, target, target_at, count), generate
