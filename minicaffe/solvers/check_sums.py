"""Check sums of snapshots: by them a damaged file is told, and weights that are another state's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence

import numpy

from ..proto.wire import SolverStateFile

NamedArrays = tuple[str, Sequence[numpy.ndarray]]  # a layer's name, and what it has learnt


def weights_sum(layers: Iterable[NamedArrays]) -> int:
    """The CRC-32 of learnt arrays: the same for a net and for its file of either format.

    Args:
        layers: each layer's name and arrays, in any order.  Layers without arrays do not count; of
            equal names the first does, as HDF5 holds no other.
    """
    first: dict[str, Sequence[numpy.ndarray]] = {}
    for name, arrays in layers:
        if len(arrays):
            first.setdefault(name, arrays)
    total = 0
    for name in sorted(first):
        total = _with_arrays(zlib.crc32(json.dumps(name).encode(), total), first[name])
    return total


def state_sum(state: SolverStateFile) -> int:
    """The CRC-32 of all that a solver state says, but for this sum itself."""
    plain = state._replace(history=(), state_sum=None)._asdict()
    plain["test_tick"] = list(state.test_tick)
    return _with_arrays(zlib.crc32(json.dumps(plain).encode()), state.history)


def weights_match(layers: Iterable[NamedArrays], state: SolverStateFile) -> bool:
    """Whether a state was written with these weights; of one without a sum nobody can tell."""
    return state.weights_sum in (None, weights_sum(layers))


def is_damaged(state: SolverStateFile) -> bool:
    """Whether a state is not as it was written; of one without a sum nobody can tell."""
    return state.state_sum not in (None, state_sum(state))


def _with_arrays(total: int, arrays: Sequence[numpy.ndarray | None]) -> int:
    """A sum that goes on over arrays: their shapes, types and numbers."""
    for array in arrays:
        if array is None:  # an HDF5 file leaves it to the layer that it is shared with
            continue
        kind = "<f8" if array.dtype == numpy.float64 else "<f4"
        total = zlib.crc32(f"{array.shape}{kind}".encode(), total)
        total = zlib.crc32(numpy.ascontiguousarray(array, kind).reshape(-1), total)
    return total
