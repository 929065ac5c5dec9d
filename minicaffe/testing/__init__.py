"""Tools to check a layer, minicaffe's own or yours.

    from minicaffe.testing import check_layer

    class Square(minicaffe.Layer):
        ...

    x = numpy.random.default_rng(0).normal(size=(2, 3))
    check_layer('type: "Square"', {"x": x}, lambda x: x * x)

runs the layer on every device and compares it with the function, checks its gradient by central
differences, and that it keeps the rules of nets.  With it comes the device ``strict``, on which
code that would not run on a GPU fails.
"""

from __future__ import annotations

from .comparison import assert_close, assert_same
from .gradient import check_gradient
from .layer_check import DEVICES, check_layer, check_rules
from .one_layer import OneLayerNet
from .strict import StrictArray, StrictBackend

__all__ = ["DEVICES", "OneLayerNet", "StrictArray", "StrictBackend", "assert_close", "assert_same",
           "check_gradient", "check_layer", "check_rules"]
