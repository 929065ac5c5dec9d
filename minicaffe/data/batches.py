"""Feeding arrays to a net: which samples a pass sees is a pure function of its number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import numpy

from .. import randomness
from ..errors import ParameterError, ShapeError, expect_known
from ..layer import TRAIN
from .prefetch import Arrays, Prefetcher
from .transform import Transform, take

if TYPE_CHECKING:
    from ..net import Net

# A batch of at least so many bytes is prepared by a thread of its own; handing one over takes about
# as long as preparing so many.
_WORTH_A_THREAD = 2**20


class Batches:
    """Arrays of equal length, handed to a net's input blobs batch by batch.

    Args:
        arrays: {blob name: samples (N, ...)}; uint8 stays as it is, all else is kept as float32.
            A lazy array such as ``ImageFolder``, see ``RowReader``, is read row by row as
            needed; its dtype is uint8.
        batch_size: samples a pass; default: the first axis of the net's blobs.
        shuffle: a new order in each epoch, which depends on the net's seed and the epoch alone;
            a batch may reach into the next epoch.  Without it the samples come in order: to a net
            in phase TRAIN in full batches, as when Caffe reads a database round and round; in
            phase TEST each round ends with what is left.
        transforms: {blob name: Transform}, for those that are not fed as they are; windows and
            mirrors are drawn for nets in phase TRAIN alone.
        prefetch: whether a thread prepares the next batches; default: where that takes long.

    Errors: those of ``as_samples``; ShapeError for samples that a transform does not fit;
    ParameterError for a batch size below 1, and transforms of other blobs.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray], batch_size: int | None = None,
                 shuffle: bool = False, transforms: Mapping[str, Transform] | None = None,
                 prefetch: bool | None = None):
        self.arrays = as_samples(arrays)
        self.length = len(next(iter(self.arrays.values())))
        if batch_size is not None and not (isinstance(batch_size, Integral) and batch_size > 0):
            raise ParameterError("data: batch_size", "a whole number, 1 or more", batch_size)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.transforms = dict(transforms or {})
        if not set(self.transforms) <= set(self.arrays):
            raise ParameterError("data", f"transforms of {', '.join(self.arrays)}",
                                 ", ".join(self.transforms))
        self.prefetch = prefetch
        self._fed: WeakKeyDictionary[Net, _FedNet] = WeakKeyDictionary()
        self._order: tuple[object, numpy.ndarray | None] = (None, None)
        for name in self.transforms:
            self.sample_shape(name)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {self.sample_shape(name)}" for name in self.arrays)
        return f"<Batches: {self.length} samples{', shuffled' * self.shuffle}: {shapes}>"

    def sample_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one sample of an array, once transformed.  Errors: those of Transform."""
        shape = tuple(self.arrays[name].shape[1:])
        transform = self.transforms.get(name)
        return shape if transform is None else transform.output_shape(shape)

    def batches(self, net: Net) -> int:
        """How many passes see every sample once, the last one perhaps a smaller batch."""
        return self._passes_per_epoch(self._place(net).size)

    def fill(self, net: Net, tick: int) -> int:
        """Write the samples of pass ``tick`` into the net's blobs; returns how many they are.

        Errors: ParameterError for a name that is no blob of the net; ShapeError for samples of
        another shape than its input, axes of one aside.
        """
        place, ahead = self._place(net), self._fed[net].ahead
        prepared = ahead and ahead.take(place, tick)
        if prepared:
            for name, array in prepared.items():
                self._target(net, name, len(array))[...] = array
            ahead.give_back(prepared)
            return len(array)
        rows = self._rows(place, tick)
        for name in self.arrays:
            self._load(name, rows, self._target(net, name, len(rows)), place, tick)
        return len(rows)

    def _target(self, net: Net, name: str, count: int) -> numpy.ndarray:
        """Where ``count`` samples go in the net: its blob's array, seen in the samples' shape."""
        blob, shape = net.device_blobs[name], self.sample_shape(name)
        wanted = blob.shape[1:]
        if shape != wanted and _without_ones(shape) != _without_ones(wanted):
            raise ShapeError(f"blob '{name}' of net '{net.name}'", f"samples of shape {wanted}",
                             shape, _reshape_hint(shape, wanted))
        blob.reshape(count, *wanted)
        return blob.host.data.reshape(count, *shape)

    def _load(self, name: str, rows: numpy.ndarray, out: numpy.ndarray, place: _Conditions,
              tick: int) -> None:
        """Write the samples of these rows, transformed, into ``out``."""
        array, transform = self.arrays[name], self.transforms.get(name)
        if transform is not None:
            drawn = transform.random and place.phase == TRAIN
            transform(take(array, rows), out,
                      randomness.generator(place.seed, "transform", name, tick) if drawn else None)
        elif out.dtype == array.dtype and isinstance(array, numpy.ndarray):
            # mode: the default one works in a buffer of its own
            numpy.take(array, rows, axis=0, out=out, mode="clip")
        else:
            out[...] = take(array, rows)

    def _prepare(self, place: _Conditions, tick: int, spare: Arrays | None) -> Arrays:
        """A batch in memory of its own; on the Prefetcher's thread."""
        rows, batch = self._rows(place, tick), {}
        for name in self.arrays:
            shape = len(rows), *self.sample_shape(name)
            known = spare and spare[name]
            fits = spare and (known.shape, known.dtype) == (shape, place.dtype)
            batch[name] = known if fits else numpy.empty(shape, place.dtype)
            self._load(name, rows, batch[name], place, tick)
        return batch

    def _worth_a_thread(self, size: int) -> bool:
        if self.prefetch is not None:
            return self.prefetch
        decoded = any(not isinstance(array, numpy.ndarray) for array in self.arrays.values())
        work = sum(4 * size * math.prod(self.sample_shape(name)) for name in self.transforms)
        return decoded or work >= _WORTH_A_THREAD

    def _passes_per_epoch(self, size: int) -> int:
        return -(-self.length // size)

    def _place(self, net: Net) -> _Conditions:
        if net not in self._fed:
            size = self._size(net)
            ahead = Prefetcher(self._prepare) if self._worth_a_thread(size) else None
            self._fed[net] = _FedNet(size, ahead)
        size = self._fed[net].size
        if not self._wraps(net.phase):
            size = min(size, self.length)
        return _Conditions(net.seed, size, net.dtype, net.phase)

    def _size(self, net: Net) -> int:
        """Samples a pass; the net's own batch size is the one that it has when first asked."""
        for name in self.arrays:
            expect_known(name, net.device_blobs, "data", f"the inputs of net '{net.name}': "
                         f"{', '.join(net.inputs)}")
        if self.batch_size is not None:
            return self.batch_size
        blob = net.device_blobs[next(iter(self.arrays))]
        if not blob.shape or not blob.shape[0]:
            raise ShapeError(f"blob '{blob.name}' of net '{net.name}'", "a first axis of 1 or "
                             "more, the samples of a pass", blob.shape)
        return blob.shape[0]

    def _wraps(self, phase: int) -> bool:
        """Whether a batch may reach into the next epoch."""
        return self.shuffle or phase == TRAIN

    def _rows(self, place: _Conditions, tick: int) -> numpy.ndarray:
        size, length = place.size, self.length
        if not self._wraps(place.phase):
            start = tick % self._passes_per_epoch(size) * size
            return numpy.arange(start, min(start + size, length))
        positions = numpy.arange(tick * size, (tick + 1) * size)  # among all samples ever fed
        if not self.shuffle:
            return positions % length
        rows = numpy.empty(size, numpy.intp)
        for epoch in range(positions[0] // length, positions[-1] // length + 1):
            here = positions // length == epoch
            rows[here] = self._epoch(place.seed, epoch)[positions[here] % length]
        return rows

    def _epoch(self, seed: int, epoch: int) -> numpy.ndarray:
        """The order of one epoch, remembered until another one is asked for, on any thread."""
        known, order = self._order
        if known != (seed, epoch):
            order = randomness.generator(seed, "epoch", epoch).permutation(self.length)
            self._order = (seed, epoch), order
        return order


class _Conditions(NamedTuple):
    """What a batch depends on, beside the number of its pass."""

    seed: int
    size: int
    dtype: numpy.dtype
    phase: int


@dataclass
class _FedNet:
    """What a source knows of a net that it feeds: its batch size, and who works ahead for it."""

    size: int
    ahead: Prefetcher | None


@runtime_checkable
class RowReader(Protocol):
    """Samples that are read row by row: an array, or what decodes them when they are asked for."""

    dtype: numpy.dtype
    shape: tuple[int, ...]

    def __len__(self) -> int:
        """How many samples there are."""

    def take(self, rows) -> numpy.ndarray:
        """The samples at these places; two threads may ask at once."""


def as_samples(arrays: Mapping[str, object]) -> Arrays:
    """Samples as they are kept: uint8 stays uint8, decoded or not; everything else is float32.

    Errors: ParameterError for what is no dict of arrays of numbers, and for empty ones; ShapeError
    for arrays of different lengths.
    """
    if not isinstance(arrays, Mapping):
        raise ParameterError("data", "a dict of samples by the names of a net's inputs",
                             type(arrays).__name__, "{'data': x, 'label': y}, for example.")
    kept = {name: _kept(array, f"data '{name}'") for name, array in arrays.items()}
    lengths = {name: len(array) for name, array in kept.items()}
    if not lengths or 0 in lengths.values():
        raise ParameterError("data", "one sample or more in every array", lengths)
    if len(set(lengths.values())) != 1:
        raise ShapeError("data", "arrays of one length", lengths)
    return kept


def _kept(array, where: str):
    if isinstance(array, RowReader) and array.dtype == numpy.uint8 and array.shape:
        return array
    try:
        found = numpy.asarray(array)
        if found.ndim and found.dtype.kind in "buifO":
            return found if found.dtype == numpy.uint8 else found.astype(numpy.float32, copy=False)
        got = "strings" if found.dtype.kind in "US" else f"{array!r:.40}"
    except (TypeError, ValueError) as error:  # a list of lists of several lengths, for example
        got = f"{type(array).__name__} ({error})"
    hint = "names, y = numpy.unique(y, return_inverse=True) numbers the classes from 0."
    raise ParameterError(where, "an array of numbers, a row for each sample", got,
                         hint if "string" in got else "")


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _reshape_hint(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How samples of one shape might be brought to another; "" where no way is plain."""
    if len(shape) == 3 and (shape[2], *shape[:2]) == wanted:
        return "x.transpose(0, 3, 1, 2) brings the channels to the front."
    if math.prod(shape) == math.prod(wanted):
        axes = ", ".join(map(str, (-1, *wanted)))
        return f"x.reshape({axes}), if the numbers lie in that order."
    return ""
