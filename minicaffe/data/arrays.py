"""Arrays in a .npz file as a data set, such as Keras' mnist.npz."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy

from ..errors import FileFormatError, MinicaffeError
from .dataset import Dataset
from .files import damaged, existing_path, reading
from .labels import checked_labels, with_test_part

TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y"),
         ("train_data", "train_labels"), ("x", "y"), ("X", "y"), ("images", "labels"),
         ("data", "label"), ("data", "labels"))
TEST = (("x_test", "y_test"), ("test_images", "test_labels"), ("test_x", "test_y"),
        ("test_data", "test_labels"))
CLASSES = 2**20
_DAMAGE = (EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError, SyntaxError,
           ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def open_arrays(path: str | os.PathLike, name: str | None = None) -> Dataset:
    """The data set in a .npz file, under the first names of TRAIN and of TEST that it has.

    Samples (N, H, W) become (N, 1, H, W), and (N, H, W, 1 or 3) become (N, 1 or 3, H, W), of which
    three channels are taken for R, G, B and become B, G, R, as minicaffe's own sets have them; any
    other shape stays as it is.  uint8 stays too, everything else becomes float32.  Labels are (N,)
    or (N, 1); an array ``classes`` may name them.  Without a test part a fifth of each class is
    held out, always the same.

    Errors: MissingFileError; UnreadableFileError; FileFormatError for a file that is damaged or
    has other names in it, and for arrays that do not fit each other.
    """
    path = existing_path(path)
    name, where = name or path.stem, str(path)
    found = _load(path)
    x, y = _part(found, TRAIN, where)
    classes = tuple(map(str, found.get("classes", numpy.array([])).ravel()))
    if not any(set(names) <= set(found) for names in TEST):
        half = set(found).intersection(name for names in TEST for name in names)
        if half - {name for names in TRAIN for name in names}:
            raise FileFormatError(where, "test samples and test labels", ", ".join(sorted(half)))
        return with_test_part(x, y, classes, name, where)
    test_x, test_y = _part(found, TEST, where)
    if test_x.shape[1:] != x.shape[1:]:
        raise FileFormatError(where, f"test samples of shape {x.shape[1:]} as to learn from",
                              test_x.shape[1:])
    return Dataset(x, y, test_x, test_y, classes, name)


def _load(path: Path) -> dict[str, numpy.ndarray]:
    """The arrays in the file under the names that a data set can have."""
    wanted = {"classes", *(name for names in TRAIN + TEST for name in names)}
    try:
        with reading(path, "make it anew."), open(path, "rb") as file:
            if file.read(2) != b"PK":  # as every zip begins
                raise FileFormatError(str(path), "a .npz file", "something else, or an empty file")
            file.seek(0)
            with numpy.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files if name in wanted}
    except MinicaffeError:
        raise
    except _DAMAGE as error:
        if "allow_pickle" in str(error):
            raise FileFormatError(str(path), "arrays of numbers", "Python objects, which could "
                                  "run code when read") from None
        raise damaged(path, error, "make it anew.") from error


def _part(found: dict[str, numpy.ndarray], pairs, where: str) -> tuple[numpy.ndarray, ...]:
    """Samples and labels under the first pair of names that is there."""
    names = next((names for names in pairs if set(names) <= set(found)), None)
    if names is None:
        known = "; ".join(" and ".join(names) for names in TRAIN)
        raise FileFormatError(where, f"arrays named {known}", ", ".join(found) or "none of them")
    x = _samples(found[names[0]], f"{where}: '{names[0]}'")
    return x, _labels(found[names[1]], f"{where}: '{names[1]}'", len(x))


def _samples(x: numpy.ndarray, where: str) -> numpy.ndarray:
    if x.ndim < 2 or not x.size:
        raise FileFormatError(where, "one sample or more, (N, H, W) or (N, C, H, W)",
                              f"shape {x.shape}")
    if x.dtype.kind not in "buif":
        raise FileFormatError(where, "numbers", x.dtype)
    if x.dtype.kind == "f" and not numpy.isfinite(x).all():
        raise FileFormatError(where, "finite numbers", "some that are infinite or not a number")
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = x[..., ::-1].transpose(0, 3, 1, 2)
    return numpy.ascontiguousarray(x, None if x.dtype == numpy.uint8 else numpy.float32)


def _labels(y: numpy.ndarray, where: str, count: int) -> numpy.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "buif":
        raise FileFormatError(where, "labels (N,), whole numbers from 0",
                              f"shape {y.shape}, {y.dtype}")
    odd = ~numpy.isfinite(y) | (y != numpy.trunc(y))
    if odd.any():
        raise FileFormatError(where, "labels that are whole numbers from 0",
                              f"{y[odd][0]} at place {odd.argmax()}")
    return checked_labels(y, where, CLASSES, count)
