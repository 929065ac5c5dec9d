"""CIFAR-10 as its authors give it: archives of pickles or of plain bytes, or their folders.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images (2009).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy

from ..errors import FileFormatError, in_line
from ..proto.atomic_files import MissingFileError
from .cifar_pickle import PickleError, read_pickle
from .dataset import Dataset
from .labels import checked_labels
from .reading import AGAIN, damaged, read_file
from .tar import tar_files

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
PIXELS = 3 * 32 * 32
BYTES = 2**28  # of one file; the true ones have 31 million
META_BYTES = 2**16  # of the file that names the classes
TIMES = 2  # how many times as large as packed an archive may be; the true ones are 1.1 times
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN, "test_batch")
_META = ("batches.meta", "batches.meta.txt")


def find_cifar10(folder: Path) -> Path | None:
    """The folder itself, or a folder or archive of CIFAR-10 in it."""
    if any((folder / f"{batch}{end}").is_file() for batch in _BATCHES for end in ("", ".bin")):
        return folder
    return next((folder / name for name in (*FOLDERS, *ARCHIVES) if (folder / name).exists()),
                None)


def load_cifar10(path: str | os.PathLike, name: str = "cifar10") -> Dataset:
    """An archive (.tar.gz) or folder of CIFAR-10, its Python or its binary version.

    Pictures (N, 3, 32, 32), uint8 from 0 to 255, in the order B, G, R; the files have R, G, B.

    Errors:
        MissingFileError: naming the batch that is not there.
        FileFormatError: a batch or archive that is damaged or something else.
    """
    path = Path(path)
    batches, classes = {}, CLASSES
    for file, data in _files(path):
        where = str(path / file)
        stem = file.removesuffix(".bin")
        if file in _META:
            classes = _class_names(data, where, plain=file.endswith(".txt"))
        else:
            read = _plain_batch if file.endswith(".bin") else _pickled_batch
            batches[stem] = read(data, where)
    for batch in _BATCHES:
        if batch not in batches:
            raise MissingFileError(str(path), f"there is no '{batch}', or '{batch}.bin', in it")
    x, y = (numpy.concatenate([batches[batch][part] for batch in _TRAIN]) for part in (0, 1))
    test_x, test_y = batches["test_batch"]
    return Dataset(x, y, numpy.ascontiguousarray(test_x), test_y, classes, name)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each batch, and of the file that names the classes."""
    wanted = sorted([*_BATCHES, *(f"{batch}.bin" for batch in _BATCHES), *_META])
    if not path.is_dir():
        yield from tar_files(path, wanted, BYTES, TIMES)
        return
    for name in wanted:
        if (path / name).is_file():
            yield name, read_file(path / name, BYTES)


def _plain_batch(data: bytes, where: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures and labels of a .bin file: for each, a byte of label and 3072 of pixels."""
    if not data or len(data) % (1 + PIXELS):
        raise FileFormatError(where, f"records of {1 + PIXELS} bytes", f"{len(data)} bytes", AGAIN)
    records = numpy.frombuffer(data, numpy.uint8).reshape(-1, 1 + PIXELS)
    return _blue_first(records[:, 1:]), checked_labels(records[:, 0], where, 10, len(records))


def _pickled_batch(data: bytes, where: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures and labels of a pickled batch."""
    batch = _unpickled(data, where)
    pixels, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(pixels, numpy.ndarray) or not isinstance(labels, list):
        raise FileFormatError(where, "an array 'data' and a list 'labels'",
                              in_line(sorted(map(repr, batch))), "CIFAR-10 is read, no other set.")
    if pixels.dtype != numpy.uint8 or pixels.ndim != 2 or pixels.shape[1:] != (PIXELS,):
        raise FileFormatError(where, f"'data' of shape (N, {PIXELS}), uint8",
                              f"{pixels.shape}, {pixels.dtype}", AGAIN)
    if not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise FileFormatError(where, "labels that are whole numbers", "others", AGAIN)
    return _blue_first(pixels), checked_labels(labels, where, 10, len(pixels))


def _blue_first(pixels: numpy.ndarray) -> numpy.ndarray:
    return pixels.reshape(-1, 3, 32, 32)[:, ::-1]


def _class_names(data: bytes, where: str, plain: bool) -> tuple[str, ...]:
    if len(data) > META_BYTES:
        raise FileFormatError(where, f"the names of ten classes in at most {META_BYTES} bytes",
                              len(data), AGAIN)
    names = data.split() if plain else _unpickled(data, where).get(b"label_names")
    if not isinstance(names, list) or len(names) != 10:
        raise FileFormatError(where, "the names of ten classes",
                              len(names) if isinstance(names, list) else "none", AGAIN)
    return tuple(in_line(name.decode("utf-8", "replace") if isinstance(name, bytes) else name)
                 for name in names)


def _unpickled(data: bytes, where: str) -> dict:
    """The dict in a pickle, its keys as bytes, as Python 2 wrote them.

    Errors: FileFormatError for a damaged pickle, or one that would run code.
    """
    try:
        content = read_pickle(data)
    except PickleError as error:
        raise damaged(where, error) from error
    if not isinstance(content, dict):
        raise FileFormatError(where, "a pickled dict", type(content).__name__, AGAIN)
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}
