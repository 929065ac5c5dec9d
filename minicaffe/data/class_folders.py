"""Files of pictures by class: a folder, or a zip, with one folder for each class.

    pets/cat/1.jpg   pets/dog/1.jpg                        no test part
    pets/train/cat/1.jpg   pets/test/cat/2.jpg             or ``val``, ``valid``, ``validation``

Other folders around all of these do not matter.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path, PurePosixPath

from ..errors import FileFormatError, in_line
from .image import SUFFIXES
from .reading import read_file, reading
from .zips import ZipReader

_log = logging.getLogger("minicaffe")

TRAIN_PARTS = ("train", "training")  # in upper or lower case
TEST_PARTS = ("test", "testing", "val", "valid", "validation")
FILE_BYTES = 2**28  # of one picture's file
NAME_LENGTH = 2**10  # of a picture and its folders
DEPTH = 2**6  # of folders in folders
LINKED_DEPTH = 2  # of those that a link leads to: a part, and its classes
_SKIPPED = ("__MACOSX", "__pycache__")
_LAYOUT = ("folders of pictures, one for each of two classes or more, or train/ and test/ with "
           "such folders")


class Folder:
    """The pictures in a folder and the folders in it, by their paths below it.

    A link may lead to a regular file, or to a folder, of which then LINKED_DEPTH levels count and
    no links to other folders; one to a folder that this one lies in is passed over.
    """

    def __init__(self, path: Path):
        self.path = path
        self.names: list[str] = []
        self.folders: list[str] = []
        here = Path(os.path.realpath(path))
        self._above = {str(here), *map(str, here.parents)}
        todo = [("", False, DEPTH)]
        while todo:
            place, linked, levels = todo.pop()
            todo += self._list(place, linked, levels)
        self.names.sort()
        self.folders.sort()

    def _list(self, place: str, linked: bool, levels: int) -> list[tuple[str, bool, int]]:
        """Add what is in a folder.

        Args:
            linked: whether it is reached by a link.  levels: how many more below it count.

        Returns: the folders in it that are to be listed, as the arguments of a further call.
        """
        found = []
        with reading(self.path / place), os.scandir(self.path / place) as entries:
            for entry in entries:
                name, link = place + entry.name, entry.is_symlink()
                if not entry.is_dir():
                    if _is_picture(name) and (link or entry.is_file()):  # no pipe
                        self.names.append(name)
                elif not (_is_skipped(entry.name) or link and (
                        linked or os.path.realpath(entry.path) in self._above)):
                    self._check_depth(name, levels or linked)
                    self.folders.append(name)
                    if levels:
                        below = LINKED_DEPTH if link else levels
                        found.append((f"{name}/", link or linked, below - 1))
        return found

    def _check_depth(self, name: str, enough) -> None:
        if not enough:
            raise _too_deep(self.where(name))

    def where(self, name: str) -> str:
        """What a file is called in messages."""
        return f"{self.path}{os.sep}{name}"

    def size(self, name: str) -> int:
        """The bytes of a file."""
        path = self.path / name
        with reading(path, "remove it."):
            return os.path.getsize(path)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return read_file(f"{self.path}{os.sep}{name}", FILE_BYTES, "a picture's file", "remove it.")


class Zip:
    """The pictures in a zip and the folders that anything lies in, by their paths in it."""

    def __init__(self, path: Path):
        self.path = path
        self._zip = ZipReader(path)
        self.names: list[str] = []
        folders = set()
        for name in self._zip.names:
            parts = PurePosixPath(name).parts
            if any(map(_is_skipped, parts)):
                continue
            if len(name) > NAME_LENGTH or len(parts) > DEPTH:
                raise _too_deep(self.where(name))
            if name.endswith("/"):
                folders.add("/".join(parts))
            else:
                folders.add("/".join(parts[:-1]))
                if _is_picture(name):
                    self.names.append(name)
        self.folders = sorted(folders - {""})

    def where(self, name: str) -> str:
        """What a file is called in messages."""
        return self._zip.where(name)

    def size(self, name: str) -> int:
        """The bytes that a file takes in the zip."""
        return self._zip.packed_size(name)

    def read(self, name: str) -> bytes:
        """The content of a file; one thread at a time reads."""
        size = self._zip.file_size(name)
        if size > FILE_BYTES:
            raise FileFormatError(self.where(name), "a picture's file of at most "
                                  f"{FILE_BYTES} bytes", size, "remove it.")
        return self._zip.read(name)


def _too_deep(where: str) -> FileFormatError:
    return FileFormatError(where, f"names of at most {NAME_LENGTH} characters, and at most {DEPTH} "
                           "folders in each other", "another", "move the pictures up.")


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
            below = folder.removeprefix(prefix).split("/")[0]
            if folder.startswith(prefix) and below and below not in classes:
                raise FileFormatError(files.where(prefix + below), "pictures in the folder of a "
                                      "class", "none", "put some into it, or remove it.")
    for label in parts[-1]:
        if label not in parts[0]:
            raise FileFormatError(files.where(prefixes[-1] + label),
                                  "a class that the training part has too", f"'{in_line(label)}'")
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


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.rpartition("/")[2].startswith(".")
