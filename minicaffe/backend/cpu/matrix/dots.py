"""Products of few rows: dot products, a few at once, at the speed at which memory is read.

This is what a fully connected layer computes for one sample: each weight is used once, so that
copying it into a panel would cost more than the product.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..runtime.parallel import parallel
from ..vectors.llvm import (
    LANES,
    as_vector,
    first_lanes,
    integer,
    lane,
    load_some,
    multiply_add,
    pointer,
    rolled,
    zeros,
)
from .operands import Matrix

FEW = 4  # rows, or columns, of a product up to which this is faster than tiles
STEP = 4  # columns at once: memory is read in as many places


@intrinsic
def _multiply_one(typing_context, rows, columns, depth, a, a_at, a_stride, b, b_at, b_stride,
                  out, out_at, i_stride, j_stride, accumulate):
    """``multiply_few`` for a single row."""
    return _tile(1, locals())


@intrinsic
def multiply_few(typing_context, rows, columns, depth, a, a_at, a_stride, b, b_at, b_stride,
                  out, out_at, i_stride, j_stride, accumulate):
    """``out[i, j] = sum over k < depth of a[i, k] * b[j, k]`` for at most FEW rows of a and STEP
    rows of b; or add it.  All arrays are flat."""
    return _tile(FEW, locals())


_ARGUMENTS = ("rows columns depth a a_at a_stride b b_at b_stride "
              "out out_at i_stride j_stride accumulate").split()


def _tile(most: int, kinds: dict):
    """The code for ``most`` rows; if there are fewer, the last is computed again in their place."""
    given = [kinds[name] for name in _ARGUMENTS]

    def generate(context, builder, signature, args):
        n = dict(zip(_ARGUMENTS, args))
        kinds = dict(zip(_ARGUMENTS, signature.args))
        for name in ("a", "b", "out"):
            n[name] = pointer(context, builder, kinds[name], n[name], n[name + "_at"])
        a = [_line(builder, n, "a", "rows", i) for i in range(most)]
        b = [_line(builder, n, "b", "columns", j) for j in range(STEP)]
        sums = [[cgutils.alloca_once_value(builder, zeros) for _ in b] for _ in a]
        whole = builder.sdiv(n["depth"], integer(LANES))
        with rolled(builder, whole) as turn:
            at = builder.mul(turn, integer(LANES))
            _add(builder, sums, *([builder.load(place, align=4)
                                   for place in _places(builder, lines, at)] for lines in (a, b)))
        at = builder.mul(whole, integer(LANES))
        mask = first_lanes(builder, builder.sub(n["depth"], at))
        _add(builder, sums, *([load_some(builder, place, mask)
                               for place in _places(builder, lines, at)] for lines in (a, b)))
        for i, line in enumerate(sums):
            for j, total in enumerate(line):
                there = builder.and_(builder.icmp_signed("<", integer(i), n["rows"]),
                                     builder.icmp_signed("<", integer(j), n["columns"]))
                with builder.if_then(there):
                    place = builder.gep(n["out"], [builder.add(
                        builder.mul(n["i_stride"], integer(i)),
                        builder.mul(n["j_stride"], integer(j)))])
                    _store(builder, _lane_sum(builder, builder.load(total)), place,
                           n["accumulate"])
        return context.get_dummy_value()

    return types.void(*given), generate


def _line(builder, n: dict, name: str, count: str, i: int):
    """Where row i begins, or the last one."""
    last = builder.sub(n[count], integer(1))
    row = builder.select(builder.icmp_signed("<", integer(i), last), integer(i), last)
    return builder.gep(n[name], [builder.mul(n[name + "_stride"], row)])


def _places(builder, lines: list, at) -> list:
    return [as_vector(builder, builder.gep(line, [at])) for line in lines]


def _add(builder, sums: list, a: list, b: list) -> None:
    for line, x in zip(sums, a):
        for total, y in zip(line, b):
            builder.store(multiply_add(builder, x, y, builder.load(total)), total)


def _lane_sum(builder, total):
    """The sum of all lanes: the upper half is added to the lower until one is left."""
    half = LANES // 2
    while half:
        order = ir.Constant(ir.VectorType(lane, LANES), [(i + half) % LANES for i in range(LANES)])
        total = builder.fadd(total, builder.shuffle_vector(total, total, order))
        half //= 2
    return builder.extract_element(total, lane(0))


def _store(builder, value, place, accumulate) -> None:
    before = builder.select(accumulate, builder.load(place), ir.Constant(value.type, 0.0))
    builder.store(builder.select(accumulate, builder.fadd(before, value), value), place)


@parallel
def dots(part, parts, height, width, depth, a: Matrix, b: Matrix, out: Matrix, accumulate):
    """One thread's share of ``out = a @ b``, or of adding it; a is read along its rows, of which it
    has FEW at most, and b along its columns."""
    steps = (width + STEP - 1) // STEP
    for step in range(steps * part // parts, steps * (part + 1) // parts):
        j = step * STEP
        columns = min(STEP, width - j)
        if height == 1:
            _multiply_one(1, columns, depth, a.flat, 0, a.i_stride, b.flat, j * b.j_stride,
                          b.j_stride, out.flat, j * out.j_stride, out.i_stride, out.j_stride,
                          accumulate)
        else:
            multiply_few(height, columns, depth, a.flat, 0, a.i_stride, b.flat, j * b.j_stride,
                         b.j_stride, out.flat, j * out.j_stride, out.i_stride, out.j_stride,
                         accumulate)
