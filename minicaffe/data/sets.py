"""Data sets by name or by path."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ..errors import FileFormatError, ParameterError, nearest
from .cifar import find_cifar10, load_cifar10
from .dataset import Dataset
from .digits import load_digits
from .download import DOWNLOADS, cache_folder, fetch
from .idx import idx_files, load_idx
from .image import SUFFIXES
from .image_folder import open_image_folder
from .npz_dataset import open_arrays
from .reading import existing_path, reading

NAMES = ("digits", *DOWNLOADS)
ARCHIVES = (".zip", ".npz", ".tar.gz", ".tgz")
RECOGNISED = ("a folder with MNIST's idx files (train-images-idx3-ubyte.gz, ...), with CIFAR-10 "
              "(cifar-10-batches-py or -bin, or their archives) or with folders of pictures, one a "
              "class; a .zip of such folders; a .npz; CIFAR-10's .tar.gz")


def open_dataset(spec: str | os.PathLike, size: tuple[int, int, int] | None = None) -> Dataset:
    """The data set of a name, or at a path.

    A name is looked for in the folder that the environment variable MINICAFFE_DATA names; mnist,
    fashion-mnist and cifar10 then in the cache folder, and else they are downloaded into that.

    Args:
        spec: a name, or the path of what RECOGNISED lists.  ``./mnist`` is a path.
        size: (C, H, W) that pictures by class are brought to; other sets have a size of their own.

    Errors:
        ParameterError: an unknown name, with the nearest one.
        MissingFileError, UnreadableFileError, FileFormatError, ShapeError: the file is named.
        DownloadError: no mirror gave it.
    """
    name = os.fspath(spec)
    if name == "digits":
        return load_digits()
    if name in DOWNLOADS:
        return _named(name, size)
    if not os.path.lexists(name) and not _looks_like_a_path(name):
        found = _in_data_folder(name)
        if found is not None:
            return _open(found, size, name)
        raise ParameterError("data set", f"one of {', '.join(NAMES)}, or the path of one",
                             f"'{name}'", nearest(name, [*NAMES, *os.listdir()]))
    return _open(existing_path(name), size)


def _looks_like_a_path(spec: str) -> bool:
    return "/" in spec or os.sep in spec or spec.lower().endswith(ARCHIVES)


def _named(name: str, size: tuple[int, int, int] | None) -> Dataset:
    found = _in_data_folder(name)
    if found is None:
        cached = cache_folder(name)
        whole = len(idx_files(cached)) == 4 or find_cifar10(cached)
        found = cached if whole else fetch(name)
    return _open(found, size, name)


def _in_data_folder(name: str) -> Path | None:
    """A folder or an archive of that name in the folder MINICAFFE_DATA."""
    named = os.environ.get("MINICAFFE_DATA")
    if not named:
        return None
    folder = Path(named)
    with reading(folder):
        if not folder.is_dir():
            raise ParameterError("MINICAFFE_DATA", "a folder", f"'{named}'")
        entries = sorted(entry.name for entry in folder.iterdir())
    if (folder / name).is_dir():
        return folder / name
    pattern = re.compile(re.escape(name) + r"([^0-9a-z].*)?")  # cifar10-jpeg.zip, not cifar100.zip
    for entry in entries:
        if entry.lower().endswith(ARCHIVES) and pattern.fullmatch(entry.lower()):
            return folder / entry
    return find_cifar10(folder) if name == "cifar10" else None


def _open(path: Path, size: tuple[int, int, int] | None, name: str | None = None) -> Dataset:
    kind = _kind(path)
    if kind is None:
        raise FileFormatError(str(path), RECOGNISED, _contents(path))
    return kind(path, size, name)


def _kind(path: Path) -> Callable[..., Dataset] | None:
    """What opens a file or folder; None where nothing does."""
    file = path.name.lower()
    with reading(path):
        if path.is_dir():
            if idx_files(path):
                return lambda path, size, name: load_idx(path, name)
            if find_cifar10(path):
                return lambda path, size, name: load_cifar10(find_cifar10(path), name or "cifar10")
            return open_image_folder if any(entry.is_dir() for entry in path.iterdir()) else None
    if file.endswith(".npz"):
        return lambda path, size, name: open_arrays(path, name)
    if file.endswith((".tar.gz", ".tgz")):
        return lambda path, size, name: load_cifar10(path, name or "cifar10")
    return open_image_folder if file.endswith(".zip") else None


def _contents(path: Path) -> str:
    """What is at the path instead of something recognised."""
    if not path.is_dir():
        return f"'{path.name}'"
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "an empty folder"
    if names[0].lower().endswith(SUFFIXES):
        return "pictures without folders for their classes, which the folder above may have"
    return "a folder with " + ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
