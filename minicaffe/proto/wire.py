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

from ..errors import FileFormatError, WeightsError
from .files import atomic_write
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

    ``random_seed``, ``test_tick`` and ``notes`` (JSON) are minicaffe's own; real Caffe passes over
    them.
    """

    iter: int
    learned_net: str = ""
    current_step: int = 0
    history: Sequence[np.ndarray] = ()
    random_seed: int | None = None
    test_tick: Sequence[int] = ()
    notes: str = ""


def _numbers(message: str) -> dict[str, int]:
    return {field.name: field.number for field in MESSAGES[message].DESCRIPTOR.fields}


_NET, _STATE, _BLOB = map(_numbers, ("NetParameter", "SolverState", "BlobProto"))
_LAYER, _V1, _V0 = map(_numbers, ("LayerParameter", "V1LayerParameter", "V0LayerParameter"))
_BLOB_DIMS = ("num", "channels", "height", "width")


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
    layers = []
    for field in scanner.fields(0, scanner.size, "a net"):
        if field.number in readers and field.wire == BYTES:
            layers.append(readers[field.number](scanner, field))
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
    array = _read_blob(scanner, 0, scanner.size)
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
    values: dict[str, list] = {name: [] for name in _STATE}
    names = {number: name for name, number in _STATE.items()}
    for field in scanner.fields(0, scanner.size, "a solver state"):
        name = names.get(field.number)
        if name == "history":
            values[name].append(_read_blob(scanner, field.start, field.stop))
        elif name in ("learned_net", "notes"):
            values[name].append(scanner.text(field))
        elif name:
            values[name] += scanner.integers(field, "a solver state")
    return SolverStateFile(
        iter=(values["iter"] or [0])[-1],
        learned_net=(values["learned_net"] or [""])[-1],
        current_step=(values["current_step"] or [0])[-1],
        history=values["history"],
        random_seed=(values["random_seed"] or [None])[-1],
        test_tick=values["test_tick"],
        notes=(values["notes"] or [""])[-1],
    )


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
            blobs = [_blob_field(_LAYER["blobs"], array) for array in arrays]
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
            front, values = _blob_field(_STATE["history"], blob)
            file.write(front)
            file.write(values)


def write_blob(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write one array as a binaryproto file, whole or not at all."""
    front, values = _blob_parts(array)
    with atomic_write(path) as file:
        file.write(front)
        file.write(values)


def _check_kind(scanner: Scanner, kind: str, first_wire: int) -> None:
    """Refuse the files that are most often taken for this kind, by how they begin.

    ``first_wire`` is the wire type of field 1: a string in a net, a number in the others.
    """
    where, begin = str(scanner.path), bytes(scanner.view[:64])
    if not begin:
        raise FileFormatError(where, kind, "an empty file")
    if begin.startswith(b"\x89HDF\r\n"):
        raise FileFormatError(where, kind, "an HDF5 file", "the name of an HDF5 file ends in .h5")
    # A net with a name begins with a line feed, which is the tag of field 1.
    if begin[0] >= ord(" ") and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in begin):
        raise FileFormatError(where, kind, "text", "is it a prototxt?")
    if begin[0] >> 3 == 1 and begin[0] & 7 != first_wire:
        other = "a caffemodel" if first_wire == VARINT else "a solverstate or an image mean"
        raise FileFormatError(where, kind, "another of Caffe's files", f"is it {other}?")


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
    name = kind = ""
    blobs = []
    for field in scanner.fields(layer.start, layer.stop, "a layer"):
        if field.number == numbers["name"] and field.wire == BYTES:
            name = scanner.text(field)
        elif field.number == numbers["type"]:
            kind = read_type(field)
        elif field.number == numbers["blobs"] and field.wire == BYTES:
            blobs.append(_read_blob(scanner, field.start, field.stop, f" of layer '{name}'"))
    return LayerWeights(name, kind, blobs)


def _read_blob(scanner: Scanner, start: int, stop: int, owner: str = "") -> np.ndarray:
    what = f"a blob{owner}"
    parts, dims, shape = [], {}, None
    for field in scanner.fields(start, stop, what):
        if field.number == _BLOB["data"]:
            parts.append(scanner.numbers(field, "<f4"))
        elif field.number == _BLOB["double_data"]:
            parts.append(scanner.numbers(field, "<f8"))
        elif field.number == _BLOB["shape"] and field.wire == BYTES:
            inner = scanner.fields(field.start, field.stop, f"the shape of {what}")
            shape = [dim for item in inner for dim in scanner.integers(item, what)]
        elif field.number <= 4 and field.wire == VARINT:
            dims[field.number] = field.value
    values = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.float32)])
    if dims:
        shape = [dims.get(_BLOB[name], 0) for name in _BLOB_DIMS]
    elif shape is None:
        shape = [len(values)]
    if min(shape, default=0) < 0 or len(values) != int(np.prod(shape, dtype=object)):
        expected = f"{what} of shape {tuple(shape)}"
        raise scanner.error(start, expected, f"{len(values)} numbers")
    return values.reshape(shape)


def _blob_parts(array: np.ndarray) -> tuple[bytes, np.ndarray]:
    """A BlobProto in two parts: all that comes before its numbers, and the numbers."""
    array = np.asarray(array)
    double = array.dtype == np.float64
    values = np.ascontiguousarray(array, "<f8" if double else "<f4")
    shape = MESSAGES["BlobProto"](shape={"dim": array.shape}).SerializeToString()
    return shape + header(_BLOB["double_data" if double else "data"], values.nbytes), values


def _blob_field(number: int, array: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The same as a field of another message."""
    front, values = _blob_parts(array)
    return header(number, len(front) + values.nbytes) + front, values
