"""Pictures by class: a folder, or a zip, with one folder for each class.

    pets/cat/1.jpg   pets/dog/1.jpg                        a fifth is held out as the test part
    pets/train/cat/1.jpg   pets/test/cat/2.jpg             or ``val``, ``valid``, ``validation``

Other folders around all of these do not matter.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy

from ..errors import FileFormatError, ShapeError
from .dataset import Dataset
from .files import existing_path, reading
from .labels import with_test_part
from .picture import SUFFIXES, check_size, decode

TEST_PARTS = ("test", "val", "valid", "validation")
IN_MEMORY = 2**31  # bytes; sets of more than that are decoded as they are asked for
FILE_BYTES = 2**28  # of one picture's file
_SMALL_FILE = 2**15  # bytes; below that threads only wait for each other
_PIECE = 32  # pictures that a thread decodes at a stretch
_SKIPPED = ("__MACOSX", "__pycache__")
_LAYOUT = ("folders of pictures, one for each of two classes or more, or train/ and test/ with "
           "such folders")


def open_pictures(path: str | os.PathLike, size: tuple[int, int, int] | None = None,
                  name: str | None = None) -> Dataset:
    """Pictures by class, in a folder or a zip; the classes are in alphabetical order.

    Without a test part a fifth of each class is held out, always the same.  Files that are no
    pictures by their suffix, and files outside the class folders, are passed over.  What fits
    into IN_MEMORY is decoded here, so that a bad picture is told before anything is trained.

    Args:
        size: (C, H, W) that every picture is brought to (``picture.decode`` says how); without
            it all must have one size, which they keep, 1 channel if they are grey and else 3.

    Errors: MissingFileError; UnreadableFileError; FileFormatError for a folder without classes,
    a class without pictures, a bad picture; ShapeError for pictures of different sizes;
    MissingPackageError without Pillow.
    """
    path = existing_path(path)
    name = name or (path.resolve().name if path.is_dir() else path.stem)
    if size is not None:
        check_size(size)
    files = Folder(path) if path.is_dir() else Zip(path)
    parts = _parts(files)
    classes = tuple(sorted(parts[0]))
    shape = size or decode(files.read(parts[0][classes[0]][0]),
                           files.where(parts[0][classes[0]][0])).shape
    made = []
    for part in parts:
        names = [picture for label in classes for picture in part.get(label, ())]
        counts = [len(part.get(label, ())) for label in classes]
        made += [Pictures(files, names, shape, scaled=size is not None),
                 numpy.repeat(numpy.arange(len(classes), dtype=numpy.int64), counts)]
    dataset = Dataset(*made, classes, name) if len(parts) == 2 else with_test_part(
        *made, classes, name, str(path))
    return _in_memory(dataset)


def _in_memory(dataset: Dataset) -> Dataset:
    if dataset.x.nbytes + dataset.test_x.nbytes > IN_MEMORY:
        return dataset
    return Dataset(dataset.x.decoded(f"{dataset.name}: training pictures"), dataset.y,
                   dataset.test_x.decoded(f"{dataset.name}: test pictures"), dataset.test_y,
                   dataset.classes, dataset.name)


class Pictures:
    """Pictures in files that read like an array (N, C, H, W), uint8, channels B, G, R.

    A row is decoded when it is asked for: ``pictures[3]`` is one picture, ``take`` an array of
    several, ``decoded`` one of all; a slice or an array of places gives fewer Pictures.

    Args:
        files: the Folder or Zip that has them.
        names: of their files in it.
        shape: (C, H, W) of each.
        scaled: whether pictures are brought to that shape; if not they must have it.
    """

    dtype = numpy.dtype(numpy.uint8)
    ndim = 4

    def __init__(self, files: Folder | Zip, names: Iterable[str], shape: tuple[int, int, int],
                 scaled: bool = True):
        self.files, self.scaled = files, scaled
        self.names = numpy.array(list(names), object)
        self.shape = (len(self.names), *shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all of them, decoded."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows) -> Pictures | numpy.ndarray:
        names = self.names[rows]
        if isinstance(names, str):
            return self.take([rows])[0]
        return Pictures(self.files, names, self.shape[1:], self.scaled)

    def __array__(self, dtype=None, copy=None) -> numpy.ndarray:
        return self.decoded().astype(dtype or self.dtype, copy=False)

    def take(self, rows) -> numpy.ndarray:
        """The pictures at these places, decoded: uint8 (len(rows), C, H, W).

        Errors: FileFormatError, UnreadableFileError and ShapeError, naming the picture.
        """
        return self[numpy.asarray(rows, numpy.intp)].decoded()

    def decoded(self, title: str | None = None) -> numpy.ndarray:
        """All of them, decoded; with a title and on a terminal, behind a progress bar."""
        pixels = numpy.empty(self.shape, numpy.uint8)
        piece = max(1, min(_PIECE, len(self) // _cores()))

        def fill(start: int) -> int:
            names = self.names[start:start + piece]
            for place, name in enumerate(names, start):
                pixels[place] = self._picture(name)
            return len(names)

        starts = range(0, len(self), piece)
        threaded = len(starts) > 1 and self.files.size(self.names[0]) >= _SMALL_FILE
        done = _pool(os.getpid()).map(fill, starts) if threaded else map(fill, starts)
        with _progress(title, len(self)) as progress:
            for count in done:
                progress.update(count)
        return pixels

    def _picture(self, name: str) -> numpy.ndarray:
        """One picture, uint8 (C, H, W), or (1, H, W) if it is grey."""
        shape, where = self.shape[1:], self.files.where(name)
        pixels = decode(self.files.read(name), where, shape if self.scaled else None)
        if pixels.shape[1:] != shape[1:] or len(pixels) > shape[0]:
            raise ShapeError(where, f"a picture of shape {shape} (C, H, W) like the first one",
                             pixels.shape, "--image-size brings all pictures to one size.")
        return pixels


class Folder:
    """The pictures in a folder and the folders in it, by their paths below it."""

    def __init__(self, path: Path):
        self.path = path
        self.names: list[str] = []
        self.folders: list[str] = []
        seen = set()
        for here, folders, names in os.walk(path, onerror=_raise, followlinks=True):
            place = Path(here).relative_to(path)
            seen.add(os.path.realpath(here))  # a link to a folder above would lead round and round
            folders[:] = [name for name in folders if not _is_skipped(name)
                          and os.path.realpath(os.path.join(here, name)) not in seen]
            self.folders += [(place / name).as_posix() for name in folders]
            self.names += [(place / name).as_posix() for name in names if _is_picture(name)]

    def where(self, name: str) -> str:
        """What a file is called in messages."""
        return f"{self.path}{os.sep}{name}"

    def size(self, name: str) -> int:
        """The bytes of a file."""
        path = self.where(name)
        with reading(path, "remove it."):
            return os.path.getsize(path)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        path = self.where(name)
        _check_bytes(path, self.size(name))
        with reading(path, "remove it."), open(path, "rb") as file:
            return file.read()


class Zip:
    """The pictures in a zip, by their paths in it."""

    def __init__(self, path: Path):
        self.path = path
        with reading(path):
            self.archive = zipfile.ZipFile(path)
        self.lock = threading.Lock()
        self.names: list[str] = []
        folders = set()
        for name in self.archive.namelist():
            place = PurePosixPath(name)
            if any(map(_is_skipped, place.parts)):
                continue
            if name.endswith("/"):
                folders.add(place.as_posix())
            elif _is_picture(name):
                self.names.append(name)
            folders.update(parent.as_posix() for parent in place.parents)
        self.folders = sorted(folders - {"."})

    def where(self, name: str) -> str:
        """What a file is called in messages."""
        return f"{self.path}{os.sep}{name}"

    def size(self, name: str) -> int:
        """The bytes of a file."""
        return self.archive.getinfo(name).file_size

    def read(self, name: str) -> bytes:
        """The content of a file; one thread at a time reads."""
        where = self.where(name)
        _check_bytes(where, self.size(name))
        try:
            with reading(where, "make the zip anew."), self.lock:
                return self.archive.read(name)
        except (RuntimeError, NotImplementedError) as error:  # a password, a rare compression
            raise FileFormatError(where, "a file that can be unpacked", error,
                                  "make the zip anew.") from error


def _parts(files: Folder | Zip) -> list[dict[str, list[str]]]:
    """{class: the names of its pictures}, of the training part and, if there is one, the test's."""
    root = _root(files.names)
    found = {f"{root}{part}/": _by_folder(files.names, f"{root}{part}/")
             for part in ("train", *TEST_PARTS)}
    if found[root + "train/"]:
        found = {prefix: classes for prefix, classes in found.items() if classes}
    else:  # "train" may be a class, of railways
        found = {root: _by_folder(files.names, root)}
    prefixes, parts = list(found)[:2], list(found.values())[:2]
    if len(parts[0]) < 2:
        raise FileFormatError(str(files.path), _LAYOUT, "one class" if parts[0] else
                              "pictures in no folder" if files.names else "no pictures")
    for prefix, classes in zip(prefixes, parts):
        for folder in files.folders:
            below = folder.removeprefix(prefix)
            if folder.startswith(prefix) and "/" not in below and below not in classes:
                raise FileFormatError(files.where(folder), "pictures in the folder of a class",
                                      "none", "put some into it, or remove it.")
    for label in parts[-1]:
        if label not in parts[0]:
            raise FileFormatError(files.where(prefixes[-1] + label),
                                  "a class that the training part has too", f"'{label}'")
    return parts


def _root(names: list[str]) -> str:
    """The folders that all pictures lie in, above those of the classes; "" or ending in /."""
    root = ""
    while True:
        tops = {name.removeprefix(root).split("/")[0] for name in names}
        inner = root + next(iter(tops), "") + "/"
        if len(tops) != 1 or inner.endswith("train/") or any(
                name.removeprefix(inner).count("/") < 1 for name in names):
            return root
        root = inner


def _by_folder(names: list[str], prefix: str) -> dict[str, list[str]]:
    """{folder right below the prefix: the pictures in it, at any depth, in order}."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.startswith(prefix):
            folder, slash, _ = name[len(prefix):].partition("/")
            if slash:
                found.setdefault(folder, []).append(name)
    return found


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.rpartition("/")[2].startswith(".")


def _check_bytes(where: str, size: int) -> None:
    if size > FILE_BYTES:
        raise FileFormatError(where, f"a picture's file of at most {FILE_BYTES} bytes", size,
                              "remove it.")


def _raise(error: OSError) -> None:
    with reading(error.filename):
        raise error


def _progress(title: str | None, total: int):
    from tqdm import tqdm
    return tqdm(total=total, desc=title, unit=" pictures", leave=False,
                disable=None if title else True)


def _cores() -> int:
    return os.cpu_count() or 2


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: a fork has none of its parent's."""
    return ThreadPoolExecutor(_cores(), thread_name_prefix="pictures")
