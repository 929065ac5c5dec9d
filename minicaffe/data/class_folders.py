"""Files of pictures by class: a folder, or a zip, with one folder for each class.

    pets/cat/1.jpg   pets/dog/1.jpg                        no test part
    pets/train/cat/1.jpg   pets/test/cat/2.jpg             or ``val``, ``valid``, ``validation``

Other folders around all of these do not matter.
"""

from __future__ import annotations

import logging
import os
import threading
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import FileFormatError
from .files import reading
from .image import SUFFIXES

_log = logging.getLogger("minicaffe")

TRAIN_PARTS = ("train", "training")  # in upper or lower case
TEST_PARTS = ("test", "testing", "val", "valid", "validation")
FILE_BYTES = 2**28  # of one picture's file
_SKIPPED = ("__MACOSX", "__pycache__")
_LAYOUT = ("folders of pictures, one for each of two classes or more, or train/ and test/ with "
           "such folders")


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
            self.names += [(place / name).as_posix() for name in names
                           if _is_picture(name) and _is_file(os.path.join(here, name))]

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


def class_parts(files: Folder | Zip) -> list[dict[str, list[str]]]:
    """{class: the names of its pictures}, of the training part and, if there is one, the test's.

    Errors: FileFormatError for a layout without classes, or with a class without pictures.
    """
    root = _root(files.names)
    prefixes = _part_folders(files, root)
    parts = [_by_folder(files.names, prefix) for prefix in prefixes]
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


def _part_folders(files: Folder | Zip, root: str) -> list[str]:
    """The folder of the training part and, if there is one, that of the test part.

    Errors: FileFormatError for a test part without folders of classes.
    """
    tops = sorted({name.removeprefix(root).split("/")[0] for name in files.names + files.folders
                   if name.startswith(root)})
    trains, tests = ([f"{root}{top}/" for part in known for top in tops if top.lower() == part]
                     for known in (TRAIN_PARTS, TEST_PARTS))
    if not (trains and _by_folder(files.names, trains[0])):  # "train" may be a class, of railways
        return [root]
    for test in tests[:1]:
        if not _by_folder(files.names, test):
            raise FileFormatError(files.where(test[:-1]), "the folders of classes that the "
                                  "training part has", "none", "put the test pictures into such, "
                                  "or remove it.")
    for other in tests[1:]:
        _log.warning("%s: not used, as '%s' is the test part", files.where(other[:-1]), tests[0])
    return [trains[0], *tests[:1]]


def _root(names: list[str]) -> str:
    """The folders that all pictures lie in, above those of the classes; "" or ending in /."""
    root = ""
    while True:
        tops = {name.removeprefix(root).split("/")[0] for name in names}
        inner = root + next(iter(tops), "") + "/"
        if len(tops) != 1 or inner[:-1].split("/")[-1].lower() in TRAIN_PARTS or any(
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


def _is_file(path: str) -> bool:
    """A file, or a link that leads to none, which is told when it is read; not a pipe."""
    return os.path.isfile(path) or os.path.islink(path)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.rpartition("/")[2].startswith(".")


def _check_bytes(where: str, size: int) -> None:
    if size > FILE_BYTES:
        raise FileFormatError(where, f"a picture's file of at most {FILE_BYTES} bytes", size,
                              "remove it.")


def _raise(error: OSError) -> None:
    with reading(error.filename):
        raise error
