"""What a layer declares of itself by its class attributes, held against what it does."""

from __future__ import annotations

from collections.abc import Callable

import numpy

from .comparison import assert_same
from .one_layer import OneLayerNet

_PASSES = 4  # the second is noted, from the third on calls are repeated


def check_backward_reads(net: OneLayerNet, weights) -> None:
    """``backward_reads``: backward gives the same where what it leaves out has been lost."""
    for part, blobs in (("bottom", net.bottoms), ("top", net.tops)):
        if part not in net.layer.backward_reads and blobs:
            _compare_diffs(net, weights, blobs, lambda data: numpy.full_like(data, numpy.nan),
                           "without the data that backward_reads leaves out")


def check_signs(net: OneLayerNet, weights) -> None:
    """``backward_reads_signs`` and ``keeps_signs``."""
    read = net.bottoms * ("bottom" in net.layer.backward_reads) + (
        net.tops * ("top" in net.layer.backward_reads))
    if net.layer.backward_reads_signs:
        _compare_diffs(net, weights, read, lambda data: 2.0 * (data > 0) - 1,
                       "with nothing but the signs of the data: backward_reads_signs is not true")
    if net.layer.keeps_signs and net.layer.in_place:
        net.forward()
        x, y = net.bottoms[0].data > 0, net.tops[0].data > 0
        dx = net.backward(weights)[0]
        assert_same(numpy.where(dx == 0, x, y), x, f"{net.where}: what is above 0 in its top, and "
                    "by keeps_signs in its bottom")


def _compare_diffs(net: OneLayerNet, weights, blobs, change: Callable, what: str) -> None:
    """Backward gives the same after the data of some blobs has been changed."""
    net.net.clear_param_diffs()
    net.forward()
    expected = net.backward(weights)
    net.net.clear_param_diffs()
    for blob in blobs:
        blob.data[...] = change(blob.data)
    for i, (name, got, want) in enumerate(zip(net.diff_names, net.backward(weights), expected)):
        if i >= len(net.bottoms) or i in net.gradient_bottoms:
            assert_same(got, want, f"{name} {what}")
    net.forward()


def check_repeated(repeated: OneLayerNet, asked: OneLayerNet) -> None:
    """``only_primitives``: passes with changed numbers, which a net may run without the layer,
    give what the layer itself gives.

    Args:
        repeated, asked: two nets that were made alike; they are changed.
    """
    if not repeated.layer.only_primitives:
        return
    asked.net.after_forward(lambda index: None)  # with a hook each layer runs in each pass
    for step in range(_PASSES):
        for net in (repeated, asked):
            for name, value in net.inputs.items():
                net.net.blobs[name].data[...] = numpy.roll(value, step)
            for blob in net.params:
                blob.data[...] = numpy.roll(blob.data, 1) * (1 + step / 8)
            net.net.run_forward()
        for mine, its in zip(repeated.tops, asked.tops):
            assert_same(mine.data, its.data, f"{asked.where}: top '{mine.name}' in pass {step + 1},"
                        " where calls are repeated: only_primitives is not true of its forward,")
