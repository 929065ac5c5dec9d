"""MNIST, Fashion-MNIST and their like: four idx files in a folder, plain or gzipped.

An idx file is a magic number, the length of each axis, and the items: bytes 0, 0, the type of the
items (8: uint8) and the number of axes; then big-endian 32-bit lengths.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (1998);
H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST (2017), arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy

from ..errors import FileFormatError
from ..proto.atomic_files import MissingFileError
from .dataset import Dataset
from .labels import checked_labels
from .reading import AGAIN, check_unpacked, file_size, opened, read_up_to

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
           "Bag", "Ankle boot")
BYTES = 2**31  # more than any set of this format has; a header that claims more is wrong
TIMES = 7  # how many times as large as packed the files may become, see ``check_unpacked``
LABEL_BYTES = 10  # that a label takes while it becomes int64
_PARTS = {"x": ("train-images", 3), "y": ("train-labels", 1),
          "test_x": ("t10k-images", 3), "test_y": ("t10k-labels", 1)}


def idx_files(folder: Path) -> dict[str, Path]:
    """{"x", "y", "test_x", "test_y": its file}, as far as they are in the folder."""
    found = {part: _found(folder, *named) for part, named in _PARTS.items()}
    return {part: path for part, path in found.items() if path}


def load_idx(folder: str | os.PathLike, name: str | None = None) -> Dataset:
    """The four idx files of a folder, such as train-images-idx3-ubyte.gz.

    Pictures (N, 1, H, W), uint8 from 0 to 255.  The classes are the garments of Fashion-MNIST
    where the name, or else the folder's, has "fashion" in it, and the ten digits otherwise.

    Errors:
        MissingFileError: naming the one of the four files that is not there.
        FileFormatError: a file that is not idx, cut short, or does not fit the others.
    """
    folder = Path(folder)
    name = name or folder.resolve().name
    classes = FASHION if "fashion" in name.lower() else DIGITS
    files = idx_files(folder)
    for part, (stem, axes) in _PARTS.items():
        if part not in files:
            raise MissingFileError(str(folder), f"there is no '{stem}-idx{axes}-ubyte', plain or "
                                   "as .gz, in it")
    for x, y in (("x", "y"), ("test_x", "test_y")):
        _check_part(files[x], files[y])
    arrays = {part: read_idx(path, _PARTS[part][1]) for part, path in files.items()}
    for part in ("x", "test_x"):
        arrays[part] = arrays[part][:, None]
    for x, y in (("x", "y"), ("test_x", "test_y")):
        arrays[y] = checked_labels(arrays[y], str(files[y]), len(classes), len(arrays[x]))
    if arrays["x"].shape[1:] != arrays["test_x"].shape[1:]:
        raise FileFormatError(str(files["test_x"]), f"pictures of {arrays['x'].shape[2:]} as to "
                              "learn from", arrays["test_x"].shape[2:])
    return Dataset(**arrays, classes=classes, name=name)


def read_idx(path: str | os.PathLike, axes: int) -> numpy.ndarray:
    """The uint8 array in an idx file, of so many axes; gzipped if its name ends in .gz.

    Errors: FileFormatError for another kind of file, and for fewer or more items than its header
    says; UnreadableFileError.
    """
    with _idx(path, axes) as (stream, shape):
        size = math.prod(shape)
        data = read_up_to(stream, size)
        if len(data) < size or stream.read(1):
            raise _wrong_count(str(path), shape, len(data))
    return data.reshape(shape)


def _wrong_count(where: str, shape: tuple[int, ...], found: int) -> FileFormatError:
    size = math.prod(shape)
    return FileFormatError(where, f"{size} items, as its header says {shape}",
                           f"only {found}" if found < size else "more", AGAIN)


@contextmanager
def _idx(path: str | os.PathLike, axes: int) -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
    """An idx file behind its header, and the lengths of the axes, which are held to its size.

    Errors: FileFormatError; UnreadableFileError.
    """
    where = str(path)
    with opened(path) as file:
        gzipped, packed = str(path).endswith(".gz"), file_size(file)
        stream = gzip.GzipFile(fileobj=file) if gzipped else file
        header = stream.read(4 + 4 * axes)
        if not header:
            raise FileFormatError(where, "an idx file", "an empty one", AGAIN)
        if header[:4] != bytes([0, 0, 8, axes]):
            raise FileFormatError(where, f"an idx file, which begins 00 00 08 {axes:02x}",
                                  header[:4].hex(" "), AGAIN)
        if len(header) < 4 + 4 * axes:
            raise FileFormatError(where, f"a header of {4 + 4 * axes} bytes", len(header), AGAIN)
        shape = struct.unpack(f">{axes}I", header[4:])
        size = math.prod(shape)
        if not 0 < size <= BYTES:
            raise FileFormatError(where, f"from 1 to {BYTES} items", f"a header that says {shape}",
                                  AGAIN)
        if gzipped:
            check_unpacked(where, size, packed, TIMES, "unpack it with gunzip.")
        elif size > packed - len(header):
            raise _wrong_count(where, shape, packed - len(header))
        yield stream, shape


def _check_part(pictures: Path, labels: Path) -> None:
    """Errors: FileFormatError for labels that are not as many as pictures, before any are read,
    and for more of both than their files may unpack to."""
    (count, *sides), (label_count,) = _shape(pictures, 3), _shape(labels, 1)
    if label_count != count:
        raise FileFormatError(str(labels), f"{count} labels, one for each picture", label_count)
    packed = pictures.stat().st_size + labels.stat().st_size
    check_unpacked(str(pictures), count * (math.prod(sides) + LABEL_BYTES), packed, TIMES,
                   "unpack it with gunzip.")


def _shape(path: Path, axes: int) -> tuple[int, ...]:
    with _idx(path, axes) as (_, shape):
        return shape


def _found(folder: Path, stem: str, axes: int) -> Path | None:
    """The file, under whichever of its names it has."""
    names = (f"{stem}{dot}idx{axes}-ubyte{end}" for end in ("", ".gz") for dot in "-.")
    return next((folder / name for name in names if (folder / name).is_file()), None)
