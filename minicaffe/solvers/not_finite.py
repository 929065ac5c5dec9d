"""Where did the NaN come from: the first layer whose numbers are none."""

from __future__ import annotations

import numpy

from ..net import Net


def is_finite(array: numpy.ndarray) -> bool:
    """Whether no element is infinite or NaN."""
    return bool(numpy.isfinite(array).all())


def parameter_not_finite(net: Net) -> str:
    """The first parameter that holds a NaN or an infinity; "" if all are finite."""
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            if not is_finite(blob.data):
                return f"parameter {index} of layer '{layer.name}'"
    return ""


def find_not_finite(net: Net) -> str:
    """The first layer with a parameter, or else a top, that holds a NaN or an infinity.

    Repeats the last forward pass, layer by layer: blobs that share memory are looked at as soon
    as they are made.
    """
    parameter = parameter_not_finite(net)
    if parameter:
        return f"the first that is not finite is {parameter}"
    found: list[str] = []

    def look(index: int) -> None:
        for blob in net.graph.tops[index]:
            if not found and not is_finite(blob.host.data):
                found.append(f"the first blob that is not finite is '{blob.name}', made by layer "
                             f"'{net.layers[index].name}'")

    net.tick -= 1
    net.after_forward(look)
    try:
        net.forward_pass()
    finally:
        net.remove_hook(look)
    return found[0] if found else "all blobs are finite again when the pass is repeated"
