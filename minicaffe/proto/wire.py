"""Weights, solver states and means in Caffe's binary files, read and written array by array.

A caffemodel is a serialised NetParameter, mostly floats. Built as a message it would take many
times its size and seconds; here the message's frame is walked and each array copied out once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from google.protobuf.message import Message

from ..errors import FileFormatError, WeightsError, in_line
from .atomic_files import atomic_write
from .blobs import blob_field, blob_parts, read_blob_at
from .kinds import HEAD, refuse_other_kinds
from .scan import BYTES, VARINT, Field, Scanner, header
from .schema import MESSAGES, V1_TYPES
from .upgrade_v0 import V0_TYPES


class LayerWeights(NamedTuple):
    """One layer of a weight file: its name, type ("" if unknown) and learnt arrays.

    An array is None, or missing at the end, where an HDF5 file leaves it to the layer that it is
    shared with; a caffemodel holds them all.
    """

    name: str
    type: str
    blobs: list[np.ndarray | None]


class SolverStateFile(NamedTuple):
    """What a solver needs to go on, as Caffe stores it.

    From ``random_seed`` on the fields are minicaffe's own; real Caffe passes over them.  ``notes``
    is JSON; ``weights_sum`` and ``state_sum`` are the check sums of ``solvers.check_sums``.
    """

    iter: int
    learned_net: str = ""
    current_step: int = 0
    history: Sequence[np.ndarray] = ()
    random_seed: int | None = None
    test_tick: Sequence[int] = ()
    notes: str = ""
    weights_sum: int | None = None
    state_sum: int | None = None


def _numbers(message: str) -> dict[str, int]:
    return {field.name: field.number for field in MESSAGES[message].DESCRIPTOR.fields}


_NET, _STATE = map(_numbers, ("NetParameter", "SolverState"))
_LAYER, _V1, _V0 = map(_numbers, ("LayerParameter", "V1LayerParameter", "V0LayerParameter"))
# More than any net has; a file of few bytes each must not become an object each without end.
MOST_BLOBS = 100_000
MOST_TEST_NETS = 1_000
_STATE_NUMBERS = ("iter", "current_step", "random_seed", "weights_sum", "state_sum")


def read_caffemodel(path: str | os.PathLike) -> list[LayerWeights]:
    """The layers of a weight file of any age, those without weights too, in the file's order.

    The arrays are the caller's own, float32 (float64 from a net of doubles), of the shape in the
    file; old files give every array four axes.

    Errors:
        FileFormatError: truncated, or not a caffemodel.
    """
    scanner = Scanner(path)
    _check_kind(scanner, "a caffemodel", BYTES)
    readers: dict[int, Callable[[Scanner, Field], LayerWeights]] = {
        _NET["layer"]: _read_layer,
        _NET["layers"]: _read_v1_layer,
    }
    layers, count = [], 0
    for field in scanner.fields(0, scanner.size, "a net"):
        if field.number in readers and field.wire == BYTES:
            layers.append(readers[field.number](scanner, field))
            count += 1 + len(layers[-1].blobs)
            _expect_few(scanner, field.start, count, "layers and blobs")
    if not layers:
        raise FileFormatError(str(scanner.path), "a caffemodel", "a file without layers")
    return layers


def read_blob(path: str | os.PathLike) -> np.ndarray:
    """The array in a binaryproto file, such as an image mean.

    Errors:
        FileFormatError: truncated, or not a BlobProto.
    """
    scanner = Scanner(path)
    _check_kind(scanner, "a binaryproto", VARINT)
    array = read_blob_at(scanner, 0, scanner.size)
    if not array.size:
        raise FileFormatError(str(scanner.path), "a binaryproto", "a file without numbers")
    return array


def read_solverstate(path: str | os.PathLike) -> SolverStateFile:
    """A solver's state from its binary file.

    Errors:
        FileFormatError: truncated, or not a solverstate.
    """
    scanner = Scanner(path)
    _check_kind(scanner, "a solverstate", VARINT)
    names = {number: name for name, number in _STATE.items()}
    values: dict[str, int | str] = {}
    history, ticks = [], []
    for field in scanner.fields(0, scanner.size, "a solver state"):
        name = names.get(field.number)
        if name == "history" and field.wire == BYTES:
            history.append(read_blob_at(scanner, field.start, field.stop, " of the history"))
            _expect_few(scanner, field.start, len(history), "blobs of history")
        elif name in ("learned_net", "notes") and field.wire == BYTES:
            values[name] = scanner.text(field)
        elif name == "test_tick":
            ticks += scanner.integers(field, "a solver state", MOST_TEST_NETS)
            if len(ticks) > MOST_TEST_NETS:
                raise scanner.error(field.start, f"at most {MOST_TEST_NETS} test nets", "more")
        elif name in _STATE_NUMBERS and field.wire == VARINT:
            values[name] = field.value
    for name in ("iter", "current_step"):
        if not 0 <= values.get(name, 0) < 2**31:
            raise FileFormatError(str(scanner.path), f"'{name}' from 0 to 2147483647", values[name])
    return SolverStateFile(**{"iter": 0, **values}, history=history, test_tick=ticks)


def write_caffemodel(
    path: str | os.PathLike, net: Message, weights: Sequence[Sequence[np.ndarray]]
) -> None:
    """Write a caffemodel that real Caffe reads, whole or not at all.

    Args:
        path: where to; an old file there stays if anything fails.
        net: a NetParameter with the layers, whose own blobs are not written.
        weights: each layer's arrays, in the order of ``net.layer`` and empty where there are none;
            float64 stays so, all else is float32.

    Errors:
        WeightsError: weights of more or fewer layers than the net has.
        OSError: the disk, with the file's name.
    """
    if len(weights) != len(net.layer):
        expected = f"the weights of {len(net.layer)} layers"
        raise WeightsError(str(path), expected, f"those of {len(weights)}")
    head = type(net)()
    head.CopyFrom(net)
    head.ClearField("layer")
    with atomic_write(path) as file:
        file.write(head.SerializeToString())
        for layer, arrays in zip(net.layer, weights):
            plain = type(layer)()
            plain.CopyFrom(layer)
            plain.ClearField("blobs")
            frame = plain.SerializeToString()
            blobs = [blob_field(_LAYER["blobs"], array) for array in arrays]
            size = len(frame) + sum(len(front) + values.nbytes for front, values in blobs)
            file.write(header(_NET["layer"], size) + frame)
            for front, values in blobs:
                file.write(front)
                file.write(values)


def write_solverstate(path: str | os.PathLike, state: SolverStateFile) -> None:
    """Write a solver's state that real Caffe reads, whole or not at all."""
    plain = state._asdict()
    del plain["history"]
    head = MESSAGES["SolverState"](**{**plain, "notes": state.notes or None})
    with atomic_write(path) as file:
        file.write(head.SerializeToString())
        for blob in state.history:
            front, values = blob_field(_STATE["history"], blob)
            file.write(front)
            file.write(values)


def write_blob(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write one array as a binaryproto file, whole or not at all."""
    front, values = blob_parts(array)
    with atomic_write(path) as file:
        file.write(front)
        file.write(values)


def _check_kind(scanner: Scanner, kind: str, first_wire: int) -> None:
    """Refuse the files that are most often taken for this kind, by how they begin.

    ``first_wire`` is the wire type of field 1: a string in a net, a number in the others.
    """
    where, begin = str(scanner.path), bytes(scanner.view[:HEAD])
    refuse_other_kinds(where, begin, kind)
    # A net with a name begins with a line feed, which is the tag of field 1.
    if begin[0] >= ord(" ") and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in begin):
        raise FileFormatError(where, kind, "text", "is it a prototxt?")
    if begin[0] >> 3 == 1 and begin[0] & 7 != first_wire:
        other = "a caffemodel" if first_wire == VARINT else "a solverstate or an image mean"
        raise FileFormatError(where, kind, "another of Caffe's files", f"is it {other}?")


def _expect_few(scanner: Scanner, offset: int, count: int, what: str) -> None:
    if count > MOST_BLOBS:
        raise scanner.error(offset, f"at most {MOST_BLOBS} {what}", "more")


def _read_layer(scanner: Scanner, layer: Field) -> LayerWeights:
    return _read_weights(scanner, layer, _LAYER, scanner.text)


def _read_v1_layer(scanner: Scanner, layer: Field) -> LayerWeights:
    for field in scanner.fields(layer.start, layer.stop, "a V1 layer"):
        if field.number == _V1["layer"] and field.wire == BYTES:
            return _read_weights(
                scanner, field, _V0, lambda kind: V0_TYPES.get(scanner.text(kind), "")
            )
    return _read_weights(scanner, layer, _V1, lambda kind: V1_TYPES.get(kind.value, ""))


def _read_weights(
    scanner: Scanner, layer: Field, numbers: Mapping[str, int], read_type: Callable[[Field], str]
) -> LayerWeights:
    """A layer whose name, type and blobs stand in the fields of these numbers."""
    name = kind = owner = ""
    blobs = []
    for field in scanner.fields(layer.start, layer.stop, "a layer"):
        if field.number == numbers["name"] and field.wire == BYTES:
            name = scanner.text(field)
            owner = f" of layer '{in_line(name)}'"
        elif field.number == numbers["type"]:
            kind = read_type(field)
        elif field.number == numbers["blobs"] and field.wire == BYTES:
            blobs.append(read_blob_at(scanner, field.start, field.stop, owner))
            _expect_few(scanner, field.start, len(blobs), "blobs of a layer")
    return LayerWeights(name, kind, blobs)
