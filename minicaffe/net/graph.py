"""The graph of a net: layers and blobs as wiring leaves them, for all others to read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy

from ..backend.base import Backend
from ..blob import Blob, Moves
from ..layer import TRAIN, Layer
from ..proto import NetParameter


@dataclass
class Parameter:
    """A learnable blob: with those that share it, one thing to the solver.

    given: which of the multipliers the net states, in this layer or in one that shares the blob.
    """

    blob: Blob
    layer: str
    index: int
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    given: set[str] = field(default_factory=set)


@dataclass
class Graph:
    """The layers of a net in order, the blobs between them, and who needs a gradient.

    Attributes:
        param: the description that it was made from.  phase: TRAIN or TEST.
        layers: in order.  bottoms, tops: the blobs of each layer.
        layer_needs_backward: for each layer, whether its backward pass runs.
        bottom_needs_backward: for each layer, which of its bottoms get a gradient.
        blobs: by name; where a later layer has written a blob of that name anew, its own.
        inputs, outputs: the names of blobs that are fed, and of those that no layer reads.
        learnable: the parameters, each once.
        loss_weights: how much the blobs that are losses count, by name.
        moves: counts whenever one of the blobs takes another shape or place.
    """

    param: NetParameter
    phase: int
    backend: Backend
    dtype: numpy.dtype
    layers: list[Layer] = field(default_factory=list)
    bottoms: list[list[Blob]] = field(default_factory=list)
    tops: list[list[Blob]] = field(default_factory=list)
    layer_needs_backward: list[bool] = field(default_factory=list)
    bottom_needs_backward: list[list[bool]] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    learnable: list[Parameter] = field(default_factory=list)
    loss_weights: dict[str, float] = field(default_factory=dict)
    moves: Moves = field(default_factory=Moves)

    @property
    def name(self) -> str:
        """The name of the net."""
        return self.param.name or "net"

    @property
    def runs_backward(self) -> bool:
        """Whether backward passes are to be expected."""
        return self.phase == TRAIN or self.param.force_backward

    def bottoms_of(self, index: int) -> list[Blob]:
        """The bottoms of layer ``index``, as that layer is handed them."""
        return self._as_handed(index, self.bottoms[index])

    def tops_of(self, index: int) -> list[Blob]:
        """The tops of layer ``index``, as that layer is handed them."""
        return self._as_handed(index, self.tops[index])

    def _as_handed(self, index: int, blobs: list[Blob]) -> list[Blob]:
        return [blob.host for blob in blobs] if self.layers[index].host else blobs
