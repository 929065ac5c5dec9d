"""exp, log and their kin of one float32, inlined and free of branches.

A processor has no instructions for these, and numba calls the C library for each element.  Here
they are a reduction of the range and a polynomial: sums, products, shifts of bits and choices,
so that a loop around them computes as many elements at once as a vector holds.

Results are within 1.5 units in the last place of the true ones, power's within 0.6, subnormal
ones included; infinities, NaN and zeros give what NumPy gives.  The coefficients make the largest
relative error of a function least; they were found by Remez's algorithm, rounded from the first
to the last, each time with the rest fitted anew.
"""

from __future__ import annotations

import math

import numpy
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy import float32, float64, int32, int64

from ..runtime.jit import inner

_SAME_SIZE = {types.float32: types.int32, types.int32: types.float32,
              types.float64: types.int64, types.int64: types.float64}


@intrinsic
def where(typing_context, condition, a, b):
    """``a if condition else b`` as one instruction: a loop around it can be vectorised."""
    kind = typing_context.unify_types(a, b)

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return kind(types.boolean, kind, kind), generate


@intrinsic
def _same_bits(typing_context, x):
    """The integer with a float's bits, or the float with an integer's."""
    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _SAME_SIZE[x](x), generate


@intrinsic
def _polynomial(typing_context, x, coefficients):
    """``c0 + c1 * x + c2 * x^2 + ...``"""
    def generate(context, builder, signature, args):
        *rest, value = cgutils.unpack_tuple(builder, args[1])
        for coefficient in reversed(rest):
            value = _fused(builder, value, args[0], coefficient)
        return value

    return x(x, coefficients), generate


@intrinsic
def _multiply_add(typing_context, a, b, c):
    """``a * b + c``"""
    def generate(context, builder, signature, args):
        return _fused(builder, *args)

    return a(a, a, a), generate


def _fused(builder, a, b, c):
    """``a * b + c``; rounded once where the machine has an instruction for it."""
    name = "llvm.fmuladd." + ("f32" if a.type == ir.FloatType() else "f64")
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


# A loop that may change the order of its sums must not pass this on, as it does by default.
_inlined = inner(forceinline=True, fastmath=False)
_part = inner(inline="always", cache=False)  # a piece of others, never compiled alone

_ZERO, _HALF, _ONE, _TWO = (float32(value) for value in (0, 0.5, 1, 2))
_NORMAL = float32(2.0**-126)  # what is smaller is subnormal
_INFINITY, _NAN = float32(math.inf), float32(math.nan)
_SIGN = int32(-2**31)  # the bit of a float32 that holds it
_MANTISSA, _MANTISSA_64 = 23, 52  # bits behind those of the exponent
_ONE_BITS, _ONE_BITS_64 = int(_ONE.view(int32)), int(float64(1).view(int64))
_LOG2_E = float32(1 / math.log(2))
# ln 2 in two parts, the first so short that its product with an exponent is exact.
_LN2_HIGH = float32(355 / 512)
_LN2_LOW = float32(math.log(2) - 355 / 512)
# What is added to a number below 2^22 to round it: its last bits are then the whole number.
_ROUND, _ROUND_64 = float32(1.5 * 2**23), 1.5 * 2**52
_ROUND_BITS = int(_ROUND.view(int32))


@_inlined
def ordered(x):
    """An integer that is the larger, the larger x is: the largest of many are found on vectors.

    Any NaN is beyond one of the infinities.
    """
    bits = _same_bits(x)
    return int32(bits ^ int32((bits >> 31) & 0x7FFFFFFF))


@_inlined
def unordered(place):
    """The x whose place ``ordered`` gave."""
    return _same_bits(int32(place ^ int32((place >> 31) & 0x7FFFFFFF)))


# -------------------------------------------------------------------- exponential functions

# exp(r) = 1 + r + r^2 * ..., and expm1(r) = r + r^2 * ..., for abs(r) <= ln(2) / 2
_EXP = tuple(map(float32, (0.49999994, 0.16666515, 0.041668084, 0.008369351, 0.0013840464)))
_EXPM1 = tuple(map(float32, (0.5, 0.16666636, 0.04166651, 0.00834151, 0.0013930544,
                             0.00015046491)))
# tanh(x) = x + x^3 * ..., in powers of x^2, for abs(x) < _TANH_SMALL
_TANH = tuple(map(float32, (-0.33333316, 0.13332544, -0.053847548, 0.021050714, -0.0062428494)))
_TANH_SMALL = float32(0.55)


@_part
def _clipped(x, low, high):
    """x, or the nearest of the two others; NaN stays."""
    x = where(x < low, low, x)
    return where(x > high, high, x)


@_part
def _reduced(x):
    """(n, r): ``x = n * ln(2) + r`` with a whole n and abs(r) <= ln(2) / 2."""
    shifted = _multiply_add(x, _LOG2_E, _ROUND)
    n = shifted - _ROUND
    r = _multiply_add(n, -_LN2_LOW, _multiply_add(n, -_LN2_HIGH, x))
    return int32(_same_bits(shifted) - _ROUND_BITS), r


@_part
def _power_of_two(n):
    """``2^n``, for a normal result."""
    return _same_bits(int32((n << _MANTISSA) + _ONE_BITS))


@_part
def _expm1_near_zero(r):
    return _multiply_add(r * r, _polynomial(r, _EXPM1), r)


@_inlined
def exp(x):
    """``e^x = 2^n * e^r``."""
    n, r = _reduced(_clipped(x, float32(-104), float32(89)))
    y = _multiply_add(r * r, _polynomial(r, _EXP), r) + _ONE
    half = int32(n >> 1)  # 2^n may be subnormal or too large, its root is neither
    return y * _power_of_two(half) * _power_of_two(int32(n - half))


@_inlined
def expm1(x):
    """``e^x - 1 = 2^n * (e^r - 1) + (2^n - 1)``."""
    n, r = _reduced(_clipped(x, float32(-20), float32(89)))
    half = _power_of_two(int32(n - 1))
    y = _TWO * _multiply_add(half, _expm1_near_zero(r), half - _HALF)
    return where(abs(x) < _NORMAL, x, y)  # what a half of would lose a bit, or -0.0 its sign


@_inlined
def tanh(x):
    """``e / (e + 2)`` with ``e = expm1(2 * abs(x))``, and the sign of x."""
    a = _clipped(abs(x), _ZERO, float32(10))  # it is 1 from 9.02 on
    n, r = _reduced(_TWO * a)
    scale = _power_of_two(n)
    e = _multiply_add(scale, _expm1_near_zero(r), scale - _ONE)
    square = a * a
    near_zero = _multiply_add(a * square, _polynomial(square, _TANH), a)
    y = where(a < _TANH_SMALL, near_zero, e / (e + _TWO))
    return _same_bits(int32(_same_bits(y) | (_same_bits(x) & _SIGN)))


# --------------------------------------------------------------------- logarithms and powers

# ln(1 + f) = f - f^2 / 2 + f^3 * ..., for sqrt(0.5) <= 1 + f < sqrt(2)
_LOG = tuple(map(float32, (0.33333313, -0.25000027, 0.2000208, -0.1666831, 0.14219975,
                           -0.12385433, 0.11862707, -0.11848139, 0.07054344)))
# log2(1 + f) = f * ..., for the same f, and 2^r for abs(r) <= 0.5, in float64
_LOG2 = (1.442695040939499, -0.7213475252294125, 0.4808983206958736, -0.3606727978218362,
         0.2885406427700859, -0.2405042934772322, 0.2060964168784296, -0.1790450785861301,
         0.15899752669600603, -0.15699078491772753, 0.15488454389186984, -0.08636135459084918)
_LOG2_EVEN, _LOG2_ODD = _LOG2[::2], _LOG2[1::2]
_EXP2 = (1.0000000005628482, 0.693147206038403, 0.24022646846381146, 0.055503281225122304,
         0.009618491693232631, 0.001340019569571334, 0.00015345616263656077)

_ROOT_BITS = int(float32(math.sqrt(0.5)).view(int32))
_RAISED = int32(25)  # a subnormal number has no exponent to read: it is multiplied by 2^25
_RAISE = float32(2.0**25)
_HUGE = 1e60  # as good as an infinity, but times 0 it is 0


@_part
def _split(x):
    """(e, f): ``x = 2^e * (1 + f)``, exactly, with ``sqrt(0.5) <= 1 + f < sqrt(2)``."""
    bits = int32(_same_bits(x) - _ROOT_BITS)
    m = _same_bits(int32((bits & ((1 << _MANTISSA) - 1)) + _ROOT_BITS))
    return int32(bits >> _MANTISSA), m - _ONE


@_part
def _split_any(x):
    """The same, of a subnormal number too."""
    e, f = _split(where(x < _NORMAL, x * _RAISE, x))
    return int32(e - where(x < _NORMAL, _RAISED, int32(0))), f


@_part
def _log_of_split(e, f):
    """``e * ln(2) + ln(1 + f)``."""
    e, square = float32(e), f * f
    small = _multiply_add(e, _LN2_LOW, f * square * _polynomial(f, _LOG))
    return _multiply_add(e, _LN2_HIGH, f + _multiply_add(-_HALF, square, small))


@_part
def _where_defined(x, y):
    """A logarithm y of x > 0, or what takes its place."""
    y = where(x < _INFINITY, y, x)
    return where(x > _ZERO, y, where(x == _ZERO, -_INFINITY, _NAN))


@_inlined
def log(x):
    """``e * ln(2) + ln(1 + f)``."""
    e, f = _split_any(x)
    return _where_defined(x, _log_of_split(e, f))


@_inlined
def log1p(x):
    """The logarithm of ``u = 1 + x``, with what u lost by rounding added to f."""
    u = _ONE + x
    back = u - _ONE
    lost = (x - back) + (_ONE - (u - back))
    e, f = _split(u)
    scale = where(e < int32(64), _power_of_two(int32(-e)), _ZERO)  # it matters to no larger x
    y = _where_defined(u, _log_of_split(e, _multiply_add(lost, scale, f)))
    return where(x == _ZERO, x, y)  # -0.0 too


@_inlined
def power(x, y):
    """``2^(y * log2(abs(x)))``, in float64: a large y magnifies the error of the logarithm."""
    a = abs(x)
    e, f = _split_any(a)
    f = float64(f)
    square = f * f  # two polynomials, so that neither waits for the other
    p = _multiply_add(_polynomial(square, _LOG2_ODD), f, _polynomial(square, _LOG2_EVEN))
    log2 = _multiply_add(p, f, float64(e))
    log2 = where(a < _INFINITY, log2, where(a == _INFINITY, _HUGE, float64(a)))
    log2 = where(a == _ZERO, -_HUGE, log2)
    z = _clipped(float64(_clipped(y, float32(-1e30), float32(1e30))) * log2, -151.0, 129.0)
    shifted = z + _ROUND_64
    p = _polynomial(z - (shifted - _ROUND_64), _EXP2)
    size = p * _same_bits((_same_bits(shifted) << _MANTISSA_64) + _ONE_BITS_64)
    return _signed_power(x, y, float32(size))


@_part
def _signed_power(x, y, size):
    """``x^y`` from ``abs(x)^y``: a negative x has whole powers alone."""
    whole, half = numpy.trunc(y) == y, y * _HALF
    odd = where(whole, where(numpy.trunc(half) == half, int32(0), _SIGN), int32(0))
    value = _same_bits(int32(_same_bits(size) | (_same_bits(x) & odd)))
    value = where(x < where(whole, -_INFINITY, _ZERO), where(x == -_INFINITY, value, _NAN), value)
    return where(y == _ZERO, _ONE, where(x == _ONE, x, value))  # even if the other is NaN
