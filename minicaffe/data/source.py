"""Feeding arrays to a net: which samples a pass sees is a pure function of its number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy

from .. import randomness
from ..errors import ParameterError, ShapeError
from .prefetch import Arrays, Prefetcher
from .transform import Transform, take

if TYPE_CHECKING:
    from ..net import Net

# Bytes of transformed samples from which on a thread of its own pays: handing a batch over costs
# about as long as preparing so many.
_WORTH_A_THREAD = 2**20


class Batches:
    """Arrays of equal length, handed to a net's input blobs batch by batch.

    Args:
        arrays: {blob name: samples (N, ...)}; uint8 stays as it is, all else is kept as float32.
            ``Pictures``, or what else has a shape, the dtype uint8, a length and ``take(rows)``,
            which two threads may call at once, are not read before their rows are needed.
        batch_size: samples a pass; default: the first axis of the net's blobs.
        shuffle: a new order in each epoch, which depends on the net's seed and the epoch alone;
            a batch may reach into the next epoch, as when Caffe reads a database round and round.
            Without it the samples come in order and each round ends with what is left.
        transforms: {blob name: Transform}, for those that are not fed as they are.
        prefetch: whether a thread prepares the next batches; default: where that takes long.

    Errors: ShapeError for arrays of different lengths, and samples that a transform does not fit;
    ParameterError for none or empty ones, and transforms of other blobs.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray], batch_size: int | None = None,
                 shuffle: bool = False, transforms: Mapping[str, Transform] | None = None,
                 prefetch: bool | None = None):
        self.arrays = {name: _kept(array) for name, array in arrays.items()}
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if not lengths or 0 in lengths.values():
            raise ParameterError("data", "one sample or more in every array", lengths)
        if len(set(lengths.values())) != 1:
            raise ShapeError("data", "arrays of one length", lengths)
        self.length = next(iter(lengths.values()))
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.transforms = dict(transforms or {})
        if not set(self.transforms) <= set(self.arrays):
            raise ParameterError("data", f"transforms of {', '.join(self.arrays)}",
                                 ", ".join(self.transforms))
        self.prefetch = prefetch
        self._fed: WeakKeyDictionary[Net, _Fed] = WeakKeyDictionary()
        self._order: tuple[object, numpy.ndarray | None] = (None, None)
        for name in self.transforms:
            self.sample_shape(name)

    def sample_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one sample of an array, once transformed.  Errors: those of Transform."""
        shape = tuple(self.arrays[name].shape[1:])
        transform = self.transforms.get(name)
        return shape if transform is None else transform.output_shape(shape)

    def batches(self, net: Net) -> int:
        """How many passes see every sample once, the last one perhaps a smaller batch."""
        return self._round(self._size(net))

    def fill(self, net: Net, tick: int) -> int:
        """Write the samples of pass ``tick`` into the net's blobs; returns how many they are.

        Errors: ShapeError for samples of another shape than the net's input.
        """
        size, ahead = self._size(net), self._fed[net].ahead
        prepared = ahead and ahead.take((net.seed, size, net.dtype), tick)
        if prepared:
            for name, array in prepared.items():
                self._target(net, name, len(array))[...] = array
            ahead.give_back(prepared)
            return len(array)
        rows = self._rows(tick, size, net.seed)
        for name in self.arrays:
            self._load(name, rows, self._target(net, name, len(rows)), net.seed, tick)
        return len(rows)

    def _target(self, net: Net, name: str, count: int) -> numpy.ndarray:
        """Where ``count`` samples go in the net."""
        blob, shape = net.device_blobs[name], self.sample_shape(name)
        if blob.shape[1:] != shape:
            raise ShapeError(f"blob '{name}' of net '{net.name}'",
                             f"samples of shape {blob.shape[1:]}", shape)
        blob.reshape(count, *shape)
        return blob.host.data

    def _load(self, name: str, rows: numpy.ndarray, out: numpy.ndarray, seed: int,
              tick: int) -> None:
        """Write the samples of these rows, transformed, into ``out``."""
        array, transform = self.arrays[name], self.transforms.get(name)
        if transform is not None:
            rng = randomness.generator(seed, "transform", name, tick) if transform.random else None
            transform(take(array, rows), out, rng)
        elif out.dtype == array.dtype and isinstance(array, numpy.ndarray):
            # mode: the default one works in a buffer of its own
            numpy.take(array, rows, axis=0, out=out, mode="clip")
        else:
            out[...] = take(array, rows)

    def _prepare(self, place: tuple, tick: int, spare: Arrays | None) -> Arrays:
        """A batch in memory of its own; on the Prefetcher's thread."""
        seed, size, dtype = place
        rows, batch = self._rows(tick, size, seed), {}
        for name in self.arrays:
            shape = len(rows), *self.sample_shape(name)
            known = spare and spare[name]
            fits = spare and (known.shape, known.dtype) == (shape, dtype)
            batch[name] = known if fits else numpy.empty(shape, dtype)
            self._load(name, rows, batch[name], seed, tick)
        return batch

    def _worth_a_thread(self, size: int) -> bool:
        if self.prefetch is not None:
            return self.prefetch
        decoded = any(not isinstance(array, numpy.ndarray) for array in self.arrays.values())
        work = sum(4 * size * math.prod(self.sample_shape(name)) for name in self.transforms)
        return decoded or work >= _WORTH_A_THREAD

    def _round(self, size: int) -> int:
        return -(-self.length // size)

    def _size(self, net: Net) -> int:
        """Samples a pass: of a net's own batch size, the one that it had when first asked."""
        if net not in self._fed:
            name = next(iter(self.arrays))
            size = self.batch_size or net.device_blobs[name].shape[0]
            ahead = Prefetcher(self._prepare) if self._worth_a_thread(size) else None
            self._fed[net] = _Fed(size, ahead)
        size = self._fed[net].size
        return size if self.shuffle else min(size, self.length)

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
        """The order of one epoch, remembered until another one is asked for, on any thread."""
        known, order = self._order
        if known != (seed, epoch):
            order = randomness.generator(seed, "epoch", epoch).permutation(self.length)
            self._order = (seed, epoch), order
        return order


@dataclass
class _Fed:
    """What a source knows of a net that it feeds: its batch size, and who works ahead for it."""

    size: int
    ahead: Prefetcher | None


def _kept(array):
    """Samples as they are kept: bytes, also those decoded later, as they are, the rest float32."""
    if getattr(array, "dtype", None) == numpy.uint8 and hasattr(array, "take"):
        return array
    return numpy.asarray(array, numpy.float32)
