"""One call that checks all that a net expects of a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy
from numpy.typing import ArrayLike

from ..layer import TEST
from ..proto import LayerParameter
from .comparison import assert_close, assert_same
from .declarations import check_backward_reads, check_repeated, check_signs
from .gradient import check_gradient
from .one_layer import OneLayerNet, copies

DEVICES = ["numpy", "cpu", "strict"]  # where check_layer runs a layer, unless it is told


def check_layer(layer: str | LayerParameter, inputs: Mapping[str, ArrayLike],
                expected: Callable | ArrayLike | Sequence[ArrayLike] | None = None, *,
                params: Sequence[ArrayLike] | None = None, phase: int = TEST,
                devices: Sequence[str] | None = None, tolerance: float = 1e-5,
                gradient: bool = True, kinks: bool = False, ignored_tops: Sequence[int] = (),
                reshape: bool = True, seed: int = 0) -> None:
    """Check a layer on every device, in float32 and float64.

    It computes what it should, and the same everywhere; it writes every element of its tops and
    of its bottoms' diffs, whatever stood there; it adds to its parameters' diffs; it leaves its
    inputs alone, and the diffs that are not asked for; it survives a change of the batch's size;
    what it declares of itself (``in_place``, ``backward_reads``, ``only_primitives``, ...) is true;
    its gradient is that of :func:`check_gradient`.

    Args:
        layer, inputs, params, phase, seed: as :class:`OneLayerNet` takes them.
        expected: the top, or a list of several, or a function ``expected(*inputs, *params)`` that
            returns that.  Without it the devices are compared with the first one.
        devices: their names; default: ``DEVICES``.
        tolerance: in float32, relative to the largest element of an array; in float64 it is 1e-9.
        gradient: False for a layer that has none.
        kinks, ignored_tops: as :func:`check_gradient` takes them.
        reshape: False for a layer that can be made for one size of batch alone.

    Errors: AssertionError naming layer, device, array, index, both values and the tolerance.
    """
    devices = DEVICES if devices is None else devices
    context = {"params": params, "phase": phase, "seed": seed}
    reference = OneLayerNet(layer, inputs, device=devices[0], dtype="float64", **context)
    weights = reference.top_weights(ignored_tops)
    found = check_rules(reference, weights)
    if expected is not None:
        wanted = _expected_tops(reference, expected)
        for name, got, want in zip(_top_names(reference), found, wanted):
            assert_close(got, want, tolerance, name)
    if gradient:
        check_gradient(layer, inputs, device=devices[0], kinks=kinks, ignored_tops=ignored_tops,
                       **context)
    for device, dtype in product(devices, ("float32", "float64")):
        net = OneLayerNet(layer, inputs, device=device, dtype=dtype, **context)
        allowed = tolerance if dtype == "float32" else 1e-9
        _compare(net, check_rules(net, weights, allowed), found, allowed)
        check_repeated(*(OneLayerNet(layer, inputs, device=device, dtype=dtype, **context)
                         for _ in range(2)))
        if reshape:
            _check_reshape(net, layer, allowed, context)
        if net.layer.in_place:
            _check_in_place(net, found, weights, allowed, context)


def check_rules(net: OneLayerNet, weights: Sequence[ArrayLike], tolerance: float = 1e-5
                ) -> list[numpy.ndarray]:
    """Run both passes of a layer and check what it writes and what it leaves alone.

    Args:
        weights: the diffs of its tops.
        tolerance: relative; of the sum that parameters' diffs accumulate.

    Returns: the tops, the bottoms' diffs and the parameters' diffs.
    Errors: AssertionError.
    """
    net.net.clear_param_diffs()
    tops = net.forward()
    for name, first, second in zip(_top_names(net), tops, net.forward(fill=7)):
        assert_same(second, first, f"{name}, run again with other numbers in it before")
    diffs = net.backward(weights)
    again = net.backward(weights, fill=7)
    bottoms = len(net.bottoms)
    for i, (name, first, second) in enumerate(zip(net.diff_names, diffs, again)):
        if i >= bottoms:
            assert_close(second, 2 * first, tolerance, f"{name} after two passes, which add up")
        elif i in net.gradient_bottoms:
            assert_same(second, first, f"{name}, run again with other numbers in it before")
        else:
            assert_same(second, numpy.full_like(second, 7), f"{name}, which gets no gradient")
    _check_untouched(net, tops, weights)
    for i in net.gradient_bottoms:
        untouched = net.backward(weights, fill=7, skip=i)[i]
        assert_same(untouched, numpy.full_like(untouched, 7),
                    f"{net.diff_names[i]} with propagate_down False")
    _check_frozen(net, weights)
    check_backward_reads(net, weights)
    check_signs(net, weights)
    return tops + diffs


def _check_frozen(net: OneLayerNet, weights) -> None:
    """A parameter that does not learn (lr_mult 0) is left alone; pycaffe's layers do not know."""
    flags = net.layer.param_propagate_down
    for k in range(len(flags)) if net.layer.param.type != "Python" else ():
        net.net.clear_param_diffs()
        flags[k] = False
        diff = net.backward(weights)[len(net.bottoms) + k]
        flags[k] = True
        assert_same(diff, numpy.zeros_like(diff),
                    f"{net.diff_names[len(net.bottoms) + k]} with param_propagate_down False")


def _check_untouched(net: OneLayerNet, tops, weights) -> None:
    """Bottoms, tops and the tops' diffs are what they were before the backward pass."""
    for blob in net.bottoms:
        assert_same(blob.data, net.inputs[blob.name],
                    f"{net.where}: bottom '{blob.name}' after both passes")
    for name, blob, weight, top in zip(_top_names(net), net.tops, weights, tops):
        assert_same(blob.data, top, f"{name} after backward")
        assert_same(blob.diff, numpy.asarray(weight, blob.diff.dtype),
                    f"{name}: diff after backward")


def _expected_tops(net: OneLayerNet, expected) -> list[numpy.ndarray]:
    if callable(expected):
        expected = expected(*(net.inputs[blob.name].copy() for blob in net.bottoms),
                            *copies(net.params))
    if len(net.tops) == 1:
        expected = [expected]
    if len(expected) != len(net.tops):
        raise AssertionError(f"{net.where}: expected {len(expected)} tops, got {len(net.tops)}")
    return [numpy.asarray(top) for top in expected]


def _top_names(net: OneLayerNet) -> list[str]:
    return [f"{net.where}: top '{blob.name}'" for blob in net.tops]


def _compare(net: OneLayerNet, got, expected, tolerance: float, why: str = "") -> None:
    """Compare tops and diffs of this net with those of another; bottoms without one are NaN."""
    for name, a, b in zip(_top_names(net) + net.diff_names, got, expected):
        assert_close(a, b, tolerance, name + why)


def _check_reshape(net: OneLayerNet, layer, tolerance: float, context: dict) -> None:
    """A batch of twice the size as in a net made for that size, then the old one again."""
    before, small = net.forward(), dict(net.inputs)
    batch = next((array.shape[:1] for array in small.values()), ())
    large = {name: numpy.concatenate([array, array]) if batch and array.shape[:1] == batch
             else array for name, array in small.items()}
    fresh = OneLayerNet(layer, large, device=net.net.backend.name, dtype=net.net.dtype,
                        **{**context, "params": copies(net.params)})
    weights = fresh.top_weights()
    net.net.clear_param_diffs()
    net.reshape(large)
    _compare(net, net.forward() + net.backward(weights), fresh.forward() + fresh.backward(weights),
             tolerance, " of twice the batch")
    net.reshape(small)
    _compare(net, net.forward(), before, 0.0, " back from twice the batch")


def _check_in_place(net: OneLayerNet, expected, weights, tolerance: float, context: dict) -> None:
    param = LayerParameter()
    param.CopyFrom(net.layer.param)
    param.top[0] = param.bottom[0]
    changed = OneLayerNet(param, net.inputs, device=net.net.backend.name, dtype=net.net.dtype,
                          **context)
    found = changed.forward() + changed.backward(weights)
    if 0 not in net.gradient_bottoms:  # its diff is then the top's, in the same memory
        found[len(net.tops)] = expected[len(net.tops)]
    _compare(changed, found, expected, tolerance, " in place")
