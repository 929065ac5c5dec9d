"""Arrays in a .npz file as a data set, such as Keras' mnist.npz."""

from __future__ import annotations

import os

import numpy

from ..errors import FileFormatError, in_line
from .dataset import Dataset
from .labels import checked_labels, with_test_part
from .npz import Header, Npz
from .reading import check_unpacked, existing_path

TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y"),
         ("train_data", "train_labels"), ("x", "y"), ("X", "y"), ("images", "labels"),
         ("data", "label"), ("data", "labels"))
TEST = (("x_test", "y_test"), ("test_images", "test_labels"), ("test_x", "test_y"),
        ("test_data", "test_labels"))
CLASSES = 2**20
NAMED = 2**16  # classes that can be named
TIMES = 7  # how many times as large as the file its arrays may become, see ``check_unpacked``


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
    name, where, file = name or path.stem, str(path), Npz(path)
    train, test = _pair(file, TRAIN), _pair(file, TEST)
    if train is None:
        known = {name for names in TRAIN + TEST for name in names}.intersection(file.names)
        raise FileFormatError(where, "arrays named " + "; ".join(map(" and ".join, TRAIN)),
                              ", ".join(sorted(known)) or "none of them")
    if not test:
        half = {name for names in TEST for name in names}.intersection(file.names)
        if half - {name for names in TRAIN for name in names}:
            raise FileFormatError(where, "test samples and test labels", ", ".join(sorted(half)))
    headers = {name: file.header(name) for name in (*train, *(test or ()))}
    _check_memory(file, headers, where, held_out=not test)
    x, y = _part(file, headers, train, where)
    classes = _classes(file, where)
    if not test:
        return with_test_part(x, y, classes, name, where)
    test_x, test_y = _part(file, headers, test, where)
    if test_x.shape[1:] != x.shape[1:]:
        raise FileFormatError(where, f"test samples of shape {x.shape[1:]} as to learn from",
                              test_x.shape[1:])
    return Dataset(x, y, test_x, test_y, classes, name)


def _pair(file: Npz, pairs) -> tuple[str, str] | None:
    """The first of these pairs of names that is in the file."""
    return next((names for names in pairs if set(names) <= set(file.names)), None)


def _check_memory(file: Npz, headers: dict[str, Header], where: str, held_out: bool) -> None:
    """Errors: FileFormatError for arrays that take too much memory for so small a file.

    Args:
        headers: of the arrays of samples and of labels, in turns.
        held_out: whether samples are copied once more, as some are made a test part.
    """
    total = 0
    for place, header in enumerate(headers.values()):
        plain = (header.dtype in (numpy.uint8, numpy.float32)
                 and not (header.fortran or header.shape[3:]))
        kept = 1 if header.dtype == numpy.uint8 else 4
        more = 10 + header.dtype.itemsize if place % 2 else 0 if plain else kept
        total += header.count * (header.dtype.itemsize + more + kept * held_out)
    if sum(header.count * header.dtype.itemsize for header in headers.values()) > file.size:
        check_unpacked(where, total, file.size, TIMES, "write it with numpy.savez, which packs "
                       "nothing.")


def _classes(file: Npz, where: str) -> tuple[str, ...]:
    if "classes" not in file.names:
        return ()
    header = file.header("classes")
    if header.count > NAMED:
        raise FileFormatError(f"{where}: 'classes'", f"at most {NAMED} names", header.count)
    check_unpacked(f"{where}: 'classes'", header.count * header.dtype.itemsize, file.size, 1,
                   "give shorter names.")
    return tuple(map(in_line, file.array("classes", header).ravel().tolist()))


def _part(file: Npz, headers: dict[str, Header], names: tuple[str, str],
          where: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    x = _samples(file.array(names[0], headers[names[0]]), f"{where}: '{names[0]}'")
    y = file.array(names[1], headers[names[1]])
    return x, _labels(y, f"{where}: '{names[1]}'", len(x))


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
