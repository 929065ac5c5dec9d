"""Layers that bring data into a net, and what a source that takes their place must do."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from .proto import LayerParameter

_DATA_PARAMS = ("data_param", "image_data_param", "hdf5_data_param", "memory_data_param",
                "window_data_param")
# A Python layer's parameters are most often written as a dict of Python or as YAML.
_BATCH_SIZE_IN_TEXT = re.compile(r"batch_size['\"]?\s*[:=]\s*(\d{1,9})")


@runtime_checkable
class Source(Protocol):
    """What feeds a net: ``minicaffe.data.Batches``, or a class of the user's own."""

    def fill(self, net, tick: int) -> int:
        """Write the samples of pass ``tick`` into the blobs of a ``Net``; returns how many."""

    def batches(self, net) -> int:
        """How many passes of the ``Net`` see every sample once."""


def brings_data(layer: LayerParameter) -> bool:
    """Whether what a layer puts out comes from outside of the net: it has no bottoms, and is no
    Parameter, which learns what it puts out."""
    return not layer.bottom and layer.type != "Parameter"


def waits_for_data(layer: LayerParameter) -> bool:
    """Whether a layer brings data that it does not make itself, as DummyData does."""
    return brings_data(layer) and layer.type != "DummyData"


def batch_size(layer: LayerParameter) -> int:
    """The batch size in whichever message a data layer has it; 0 if in none."""
    for field in _DATA_PARAMS:
        if layer.HasField(field):
            return getattr(layer, field).batch_size
    if layer.dummy_data_param.shape:
        return layer.dummy_data_param.shape[0].dim[0]
    found = _BATCH_SIZE_IN_TEXT.search(layer.python_param.param_str)
    return int(found[1]) if found else 0
