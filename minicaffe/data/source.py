"""Feeding arrays to a net: which samples a pass sees is a pure function of its number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy

from .. import randomness
from ..errors import ParameterError, ShapeError

if TYPE_CHECKING:
    from ..net import Net


class Batches:
    """Arrays of equal length, handed to a net's input blobs batch by batch.

    Args:
        arrays: {blob name: samples (N, ...)}; kept as float32.
        batch_size: samples a pass; default: the first axis of the net's blobs.
        shuffle: a new order in each epoch, which depends on the net's seed and the epoch alone;
            a batch may reach into the next epoch, as when Caffe reads a database round and round.
            Without it the samples come in order and each round ends with what is left.

    Errors: ShapeError for arrays of different lengths; ParameterError for none or empty ones.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray], batch_size: int | None = None,
                 shuffle: bool = False):
        self.arrays = {name: numpy.asarray(array, "float32") for name, array in arrays.items()}
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if not lengths or 0 in lengths.values():
            raise ParameterError("data", "one sample or more in every array", lengths)
        if len(set(lengths.values())) != 1:
            raise ShapeError("data", "arrays of one length", lengths)
        self.length = next(iter(lengths.values()))
        self.batch_size = batch_size
        self.shuffle = shuffle
        self._sizes: WeakKeyDictionary[Net, int] = WeakKeyDictionary()
        self._order: tuple[object, numpy.ndarray | None] = (None, None)

    def batches(self, net: Net) -> int:
        """How many passes see every sample once, the last one perhaps a smaller batch."""
        return self._round(self._size(net))

    def fill(self, net: Net, tick: int) -> int:
        """Write the samples of pass ``tick`` into the net's blobs; returns how many they are.

        Errors: ShapeError for samples of another shape than the net's input.
        """
        rows = self._rows(tick, self._size(net), net.seed)
        for name, array in self.arrays.items():
            blob = net.device_blobs[name]
            if blob.shape[1:] != array.shape[1:]:
                raise ShapeError(f"blob '{name}' of net '{net.name}'",
                                 f"samples of shape {blob.shape[1:]}", array.shape[1:])
            blob.reshape(len(rows), *array.shape[1:])
            target = blob.host.data
            if target.dtype == array.dtype:  # mode: the default one works in a buffer of its own
                numpy.take(array, rows, axis=0, out=target, mode="clip")
            else:
                target[...] = array[rows]
        return len(rows)

    def _round(self, size: int) -> int:
        return -(-self.length // size)

    def _size(self, net: Net) -> int:
        """Samples a pass: of a net's own batch size, the one that it had when first asked."""
        if net not in self._sizes:
            name = next(iter(self.arrays))
            self._sizes[net] = self.batch_size or net.device_blobs[name].shape[0]
        return self._sizes[net] if self.shuffle else min(self._sizes[net], self.length)

    def _rows(self, tick: int, size: int, seed: int) -> numpy.ndarray:
        if not self.shuffle:
            start = tick % self._round(size) * size
            return numpy.arange(start, min(start + size, self.length))
        places = numpy.arange(tick * size, (tick + 1) * size)
        rows = numpy.empty(size, numpy.intp)
        for epoch in range(places[0] // self.length, places[-1] // self.length + 1):
            here = places // self.length == epoch
            rows[here] = self._epoch(seed, epoch)[places[here] % self.length]
        return rows

    def _epoch(self, seed: int, epoch: int) -> numpy.ndarray:
        """The order of one epoch, remembered until another one is asked for."""
        if self._order[0] != (seed, epoch):
            rng = randomness.generator(seed, "epoch", epoch)
            self._order = (seed, epoch), rng.permutation(self.length)
        return self._order[1]
