"""What a net refuses, and what it warns of, once its layers are made."""

from __future__ import annotations

import logging

from ..blob import Blob, Memory
from ..errors import NetError, WeightsError
from ..layer import Layer
from .graph import Graph

_log = logging.getLogger("minicaffe")


def check_counts(layer: Layer) -> None:
    """Errors: NetError for too many or too few bottoms or tops, or a top in place of a bottom."""
    for what, names, wanted in (("bottom", layer.param.bottom, layer.bottoms),
                                ("top", layer.param.top, layer.tops)):
        least, most = (wanted, wanted) if isinstance(wanted, int) else wanted
        if len(names) < least or most is not None and len(names) > most:
            if least == most:
                text = f"{least} {what}{'s' * (least != 1)}"
            else:
                text = f"{least} or more {what}s" if most is None else f"{least} to {most} {what}s"
            raise NetError(layer.where, text, f"{len(names)} ({', '.join(names) or 'none'})")
    shared = [top for bottom, top in zip(layer.param.bottom, layer.param.top) if bottom == top]
    if shared and not layer.in_place and layer.param.type != "Python":
        raise NetError(layer.where, "another name for its top, as it does not work in place",
                       f"'{shared[0]}' for bottom and top", "a layer of your own that does says "
                       "so: in_place = True in its class.")
    if layer.tops_like_bottoms and len(layer.param.top) != len(layer.param.bottom):
        raise NetError(layer.where, "as many tops as bottoms",
                       f"{len(layer.param.top)} for {len(layer.param.bottom)}")


def check_blobs(layer: Layer) -> None:
    """Errors: WeightsError for more or fewer blobs in a net's description than the layer has."""
    if len(layer.param.blobs) not in (0, len(layer.parameters)):
        raise WeightsError(f"{layer.where}: the blobs in the net", str(len(layer.parameters)),
                           len(layer.param.blobs))


def refuse_gradient_to_labels(graph: Graph) -> None:
    """Errors: NetError where backward would ask a layer for a gradient that it does not have."""
    for i, layer in enumerate(graph.layers):
        for j in layer.no_gradient if graph.layer_needs_backward[i] else ():
            if j < len(graph.bottom_needs_backward[i]) and graph.bottom_needs_backward[i][j]:
                raise NetError(layer.where, f"a bottom {j} that no learning layer makes, as it has "
                               "no gradient to give", f"'{graph.param.layer[i].bottom[j]}'",
                               "propagate_down: true for the other bottoms, false for this one.")


def warn_of_overwritten_blobs(graph: Graph) -> None:
    """Tell of numbers that are wrong, as they are in Caffe: a layer in place has written over a
    bottom that shares its memory under another name."""
    writers: dict[Memory, int] = {}  # the layer that wrote last into each memory
    makers: dict[Blob, int] = {}  # the layer whose numbers each blob is meant to hold
    for index, layer in enumerate(graph.layers):
        bottoms, tops = graph.bottoms[index], graph.tops[index]
        for blob in bottoms:
            memory = blob.memory("data")
            if makers[blob] != writers[memory]:
                _log.warning("%s reads '%s', over which %s has written by another name for the "
                             "same memory; give the latter a top of its own", layer.where,
                             blob.name, graph.layers[writers[memory]].where)
        named = {blob.memory("data"): blob for blob in bottoms if blob not in tops}
        for blob in tops:
            memory = blob.memory("data")
            if memory in named and blob not in bottoms:  # its numbers under another name
                makers[blob] = makers[named[memory]]
            else:
                makers[blob] = writers[memory] = index
