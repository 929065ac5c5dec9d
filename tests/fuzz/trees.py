"""Inputs as they lie on a disk: a file, or a folder of files, links and pipes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from .mutate import mutated

FOLDER, PIPE = b"\0folder", b"\0pipe"  # contents that say what is made instead of a file
LINK = b"\0link "  # before the target of a link
_MEMORY = "/proc/self/mem"  # which cannot be read at its beginning
_TARGETS = ("/dev/zero", "/dev/null", _MEMORY, "nowhere", ".", "..", "/usr/share")
_NAMES = ("", "a", "train", "test", "val", ".hidden", "x" * 200, "n\nl", "\udcff\udc80", "\u00e9",
          "1.jpg", "1.png", "1.gif", "batches.meta", "data_batch_1", "test_batch.bin",
          "train-labels-idx1-ubyte.gz", "__MACOSX", "con", "a\\b")


@dataclass(frozen=True)
class Tree:
    """Files by their paths, and the path that a reader is given ("" for the folder of all)."""

    files: dict[str, bytes]
    opened: str = ""

    @property
    def size(self) -> int:
        """The bytes of all files, and of their names."""
        return sum(len(name) + len(data) for name, data in self.files.items())

    def write(self, folder: Path) -> Path:
        """Make all of it in an empty folder; returns the path that the reader is given."""
        for name, data in self.files.items():
            path = folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _make(path, data)
            except (OSError, ValueError):  # a name that no file can have, or one within a file
                continue
        return folder / self.opened if self.opened else folder

    def mutated(self, rng: Random, others: Sequence[Tree]) -> Tree:
        """Another tree: one of its files changed, or the tree itself."""
        names = sorted(self.files)
        name = self.opened if self.opened in self.files else rng.choice(names)
        if self.opened and rng.random() < 0.1 or not self.opened and rng.random() < 0.3:
            files = _shuffled(dict(self.files), name, rng)
            if files.get(self.opened) in (PIPE, LINK + _MEMORY.encode()):
                # who opens such himself wants to wait, or to see the system's own error
                files[self.opened] = FOLDER
            return replace(self, files=files)
        pieces = [data for tree in others for data in tree.files.values() if data]
        return replace(self, files={**self.files, name: mutated(self.files[name], rng, pieces)})

    def smaller(self) -> Iterator[Tree]:
        """Trees without a file, or with a shorter one."""
        for name in self.files:
            if name != self.opened:
                yield replace(self, files={k: v for k, v in self.files.items() if k != name})
        for name, data in self.files.items():
            piece = len(data) // 2
            while piece:
                for start in range(0, len(data), piece):
                    if len(data) // piece <= 64:
                        yield replace(self, files={
                            **self.files, name: data[:start] + data[start + piece:]})
                piece //= 2


def _make(path: Path, data: bytes) -> None:
    if data == FOLDER:
        path.mkdir(parents=True, exist_ok=True)
    elif data == PIPE:
        os.mkfifo(path)
    elif data.startswith(LINK):
        path.symlink_to(data[len(LINK):].decode())
    else:
        path.write_bytes(data)


def _shuffled(files: dict[str, bytes], name: str, rng: Random) -> dict[str, bytes]:
    """A file left out, renamed, or something else in its place."""
    choice = rng.random()
    if choice < 0.2:
        del files[name]
    elif choice < 0.5:
        parent, slash, last = name.rpartition("/")
        new = rng.choice(_NAMES) + rng.choice(("", os.path.splitext(last)[1]))
        data = files[name]
        if rng.random() < 0.5:
            del files[name]
        files[parent + slash + (new or "b")] = data
    elif choice < 0.6:
        files[name] = FOLDER
    elif choice < 0.7:
        files[name] = PIPE
    elif choice < 0.9:
        target = rng.choice((*_TARGETS, os.path.basename(name)))
        files[name] = LINK + target.encode()
    else:
        files[name] = rng.choice(sorted(files.values()))
    return files
