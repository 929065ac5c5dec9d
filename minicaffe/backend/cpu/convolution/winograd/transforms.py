"""The linear maps of Winograd's convolution, from exact fractions to vector instructions.

A convolution of a few pixels multiplies two polynomials.  So it can be done by evaluating both at
some points, multiplying values, and interpolating: the method of Toom and Cook.  To compute
``edge`` outputs of 3 taps takes ``edge + 2`` products, one for each point, where the definition
takes ``3 * edge``; in two axes both numbers are squared::

    y = A.T @ ((G @ g @ G.T) * (B.T @ d @ B)) @ A

of a patch d of (edge + 2)^2 pixels and the 3 x 3 filter g.  More points save more products
and lose more digits.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...vectors.llvm import (
    LANES,
    as_vector,
    broadcast,
    integer,
    multiply_add,
    pointer,
    vector,
    zeros,
)
from .tiles import edge_of

Rows = list[list[Fraction]]

# By edge; infinity is one more.  Those of 3 came out best of a search: results have half the error
# that the usual ones, 0, 1, -1 and 2, leave.
POINTS = {
    2: (0, 1, -1),
    3: (Fraction(3, 8), Fraction(-3, 8), Fraction(5, 4), Fraction(-5, 4)),
}


def matrices(points: tuple) -> tuple[Rows, Rows, Rows]:
    """(A.T, G, B.T) for 3 taps; shapes (edge, size), (size, 3) and (size, size), where size is
    edge + 2 and one more than the number of points.
    """
    points = [Fraction(p) for p in points]
    edge = len(points) - 1
    evaluate = [[p**i for p in points] + [Fraction(i == edge - 1)] for i in range(edge)]
    patches, filters = [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = _at(others, p)
        patches.append([c * (1 if scale > 0 else -1) for c in _product(others)] + [Fraction(0)])
        filters.append([p**i / abs(scale) for i in range(3)])
    patches.append(_product(points))
    filters.append([Fraction(0), Fraction(0), Fraction(1)])
    return evaluate, filters, patches


def _at(roots: list[Fraction], x: Fraction) -> Fraction:
    """The polynomial with these roots, at x."""
    value = Fraction(1)
    for root in roots:
        value *= x - root
    return value


def _product(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, from that of 1 up."""
    result = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *result], [root * c for c in result] + [Fraction(0)]
        result = [a - b for a, b in zip(shifted, scaled)]
    return result


def transposed(matrix: Rows) -> Rows:
    return [list(column) for column in zip(*matrix)]


# ------------------------------------------------------------------------------------ generators

def _sandwich(choose: Callable[[Rows, Rows, Rows], Rows]):
    """An intrinsic: ``target[i, j] = (matrix @ source @ matrix.T)[i, j]``, vectors of LANES.

    Element (i, j) of the source is the vector at ``at + i * down + j * across``; so of the target.
    """
    @intrinsic
    def transform(typing_context, tiles, source, at, down, across,
                  target, target_at, target_down, target_across):
        matrix = choose(*matrices(POINTS[edge_of(tiles)]))

        def generate(context, builder, signature, args):
            lines = _load_square(context, builder, signature, args, len(matrix[0]))
            _store_square(context, builder, signature, args, _both_sides(builder, matrix, lines))
            return context.get_dummy_value()

        return types.void(tiles, source, at, down, across, target, target_at, target_down,
                          target_across), generate

    return transform


def _finished_sandwich(choose: Callable[[Rows, Rows, Rows], Rows]):
    """``_sandwich``, plus the vector at ``bias[bias_at]``, and then ``leaky`` with the slope."""
    @intrinsic
    def transform(typing_context, tiles, source, at, down, across,
                  target, target_at, target_down, target_across, bias, bias_at, slope):
        matrix = choose(*matrices(POINTS[edge_of(tiles)]))

        def generate(context, builder, signature, args):
            start = builder.load(as_vector(builder, pointer(
                context, builder, signature.args[9], args[9], args[10])), align=4)
            factor = broadcast(builder, args[11])
            lines = _load_square(context, builder, signature, args, len(matrix[0]))
            results = [[_leaky(builder, builder.fadd(value, start), factor) for value in line]
                       for line in _both_sides(builder, matrix, lines)]
            _store_square(context, builder, signature, args, results)
            return context.get_dummy_value()

        return types.void(tiles, source, at, down, across, target, target_at, target_down,
                          target_across, bias, bias_at, slope), generate

    return transform


def _load_square(context, builder, signature, args, size: int) -> list[list]:
    """size x size vectors, column by column."""
    place = pointer(context, builder, signature.args[1], args[1], args[2])
    return [[builder.load(as_vector(builder, _place(builder, place, args[3:5], i, j)), align=4)
             for i in range(size)] for j in range(size)]


def _store_square(context, builder, signature, args, lines: list[list]) -> None:
    place = pointer(context, builder, signature.args[5], args[5], args[6])
    for i, line in enumerate(lines):
        for j, value in enumerate(line):
            builder.store(value, as_vector(builder, _place(builder, place, args[7:9], i, j)),
                          align=4)


def _place(builder, start, strides, i: int, j: int):
    down, across = (builder.mul(stride, integer(n)) for stride, n in zip(strides, (i, j)))
    return builder.gep(start, [builder.add(down, across)])


def _both_sides(builder, matrix: Rows, columns: list[list]) -> list[list]:
    """``matrix @ square @ matrix.T``, rows of it, where the square is given by its columns."""
    half = [_times(builder, matrix, column) for column in columns]
    return [_times(builder, matrix, [column[i] for column in half]) for i in range(len(matrix))]


def _leaky(builder, value, slope):
    negative = builder.fadd(builder.fmul(slope, value), zeros)
    return builder.select(builder.fcmp_ordered(">", value, zeros), value, negative)


def _times(builder, matrix: Rows, values: list) -> list:
    """``matrix @ values``.  Points that differ in sign share their even and odd terms, which shows
    as columns, or rows, that are equal but for signs."""
    matrix, values = [list(row) for row in matrix], list(values)
    for j, k in _twins(transposed(matrix)):
        total, rest = builder.fadd(values[j], values[k]), builder.fsub(values[j], values[k])
        for row in matrix:
            alike = row[j] == row[k]
            row[j], row[k] = (row[j], Fraction(0)) if alike else (Fraction(0), row[j])
        values[j], values[k] = total, rest
    results = [None] * len(matrix)
    for i, k in _twins(matrix):
        alike = _sum(builder, [a if a == b else 0 for a, b in zip(matrix[i], matrix[k])], values)
        unlike = _sum(builder, [a if a != b else 0 for a, b in zip(matrix[i], matrix[k])], values)
        results[i], results[k] = builder.fadd(alike, unlike), builder.fsub(alike, unlike)
    return [_sum(builder, row, values) if result is None else result
            for row, result in zip(matrix, results)]


def _twins(rows: Rows) -> list[tuple[int, int]]:
    """Pairs of rows that are equal but for some signs, and only some."""
    pairs, taken = [], set()
    for i, row in enumerate(rows):
        for k in range(i + 1, len(rows)):
            same = [a == b for a, b in zip(row, rows[k]) if a or b]
            if (not taken & {i, k} and any(same) and not all(same)
                    and [abs(a) for a in row] == [abs(b) for b in rows[k]]):
                pairs.append((i, k))
                taken |= {i, k}
    return pairs


def _sum(builder, factors, values: list):
    """The sum of factor * value; starts with a factor that needs no multiplication, if any."""
    terms = sorted(((f, v) for f, v in zip(factors, values) if f),
                   key=lambda term: (term[0] != 1, abs(term[0]) != 1))
    total = None
    for factor, value in terms:
        constant = ir.Constant(vector, [float(factor)] * LANES)
        if total is None:
            total = value if factor == 1 else builder.fmul(constant, value)
        elif abs(factor) == 1:
            total = (builder.fadd if factor > 0 else builder.fsub)(total, value)
        else:
            total = multiply_add(builder, constant, value, total)
    return total


transform_filters = _sandwich(lambda a, g, b: g)
transform_patches = _sandwich(lambda a, g, b: b)
transform_back = _finished_sandwich(lambda a, g, b: a)
transform_gradients = _sandwich(lambda a, g, b: transposed(a))
transform_sums = _sandwich(lambda a, g, b: transposed(g))


@intrinsic
def multiply_narrow(typing_context, count, a, a_at, step, b, b_at, stride, y, y_at, y_stride):
    """``y[i, j] = sum over k < LANES of a[i, k] * b[k, j]`` for i < count, j < LANES.

    Rows of the three lie step, stride and y_stride apart.  All of b stays in registers, while
    ``multiply`` would begin and end a tile for every few rows.
    """
    rows = 8 if LANES == 16 else 4

    def generate(context, builder, signature, args):
        count, _, a_at, step, _, b_at, stride, _, y_at, y_stride = args
        a = pointer(context, builder, signature.args[1], args[1], a_at)
        b = pointer(context, builder, signature.args[4], args[4], b_at)
        y = pointer(context, builder, signature.args[7], args[7], y_at)
        factors = [builder.load(as_vector(builder, _place(builder, b, (stride, stride), k, 0)),
                                align=4) for k in range(LANES)]
        last = builder.sub(count, integer(1))
        with cgutils.for_range_slice(builder, integer(0), count, integer(rows)) as (first, _):
            for row in range(rows):
                i = builder.add(first, integer(row))  # behind the last row, that one again
                i = builder.select(builder.icmp_signed("<", i, last), i, last)
                values, total = builder.gep(a, [builder.mul(i, step)]), zeros
                for k, factor in enumerate(factors):
                    value = builder.load(builder.gep(values, [integer(k)]), align=4)
                    total = multiply_add(builder, broadcast(builder, value), factor, total)
                place = builder.gep(y, [builder.mul(i, y_stride)])
                builder.store(total, as_vector(builder, place), align=4)
        return context.get_dummy_value()

    return types.void(count, a, a_at, step, b, b_at, stride, y, y_at, y_stride), generate
