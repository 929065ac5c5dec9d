"""An HDF5 file of a stranger: what it may hold, and how much of the memory it may take."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileFormatError, in_line

if TYPE_CHECKING:
    import h5py

_MOST_OBJECTS = 100_000
_MOST_PARAMETERS = 1000  # of a layer
_LONGEST_TEXT = 2**20
_CONTIGUOUS_LAYOUTS = (0, 1)  # compact, contiguous
_CHUNKED = 2
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3


class Hdf5File:
    """The groups, arrays, numbers and texts of a file, each looked at before it is read.

    Only what lies in the file itself is read: no link leads to another one. Groups that stand in
    themselves, arrays that take more memory than the file is worth, and members without end are
    errors.

    Attributes:
        content: the names of what stands in the file's root.

    Errors:
        FileFormatError, and whatever h5py raises for damaged files.
    """

    def __init__(self, file: h5py.File, path: Path):
        self.file, self.path = file, path
        self.left = (16 << 20) + 4 * path.stat().st_size  # bytes that all arrays may take
        self.objects = 0
        self.seen: set[int] = set()  # the addresses of groups
        self.content = [key for key, _ in self.members(file)]

    def error(self, name: str, expected: str, got: object) -> FileFormatError:
        return FileFormatError(str(self.path), f"{expected}, for '{in_line(name)}'", got)

    def names(self) -> str:
        return f"a file with {', '.join(map(repr, self.content)) or 'nothing in it'}"

    def members(self, group: h5py.Group) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
        """The groups and data sets that stand in a group, by their names."""
        import h5py
        for key in group:
            self.objects += 1
            if self.objects > _MOST_OBJECTS:
                raise self.error(group.name, f"at most {_MOST_OBJECTS} groups and arrays", "more")
            if group.get(key, getclass=True, getlink=True) is not h5py.HardLink:
                raise self.error(f"{group.name}/{key}", "a group or an array in this file",
                                 "a link")
            yield key, group[key]

    def group(self, name: str, expected: str) -> h5py.Group:
        """A group of the root.  Errors: FileFormatError, with what is expected, if there is none.
        """
        if name not in self.content:
            raise FileFormatError(str(self.path), expected, self.names())
        if not hasattr(self.file[name], "items"):
            raise self.error(name, "a group", "a data set")
        return self.file[name]

    def arrays(self, group: h5py.Group) -> dict[int, np.ndarray]:
        """The arrays of a group that are numbered, by and in the order of their numbers."""
        address = hash(group.id)  # of equal objects in one file
        if address in self.seen:
            raise self.error(group.name, "a group that stands in one place", "one in a circle")
        self.seen.add(address)
        numbered = {}
        for key, child in self.members(group):
            if re.fullmatch("[0-9]+", key) and not hasattr(child, "items"):
                if len(key) > 4 or int(key) >= _MOST_PARAMETERS:
                    raise self.error(f"{group.name}/{key}", f"a number below {_MOST_PARAMETERS}",
                                     in_line(key))
                numbered[int(key)] = child
        self.objects += max(numbered, default=0)
        return {number: self._array(numbered[number]) for number in sorted(numbered)}

    def integers(self, name: str, most: int) -> list[int]:
        """The integers of a data set of the root, none where it is not there."""
        if name not in self.content:
            return []
        values = np.ravel(self._checked(self.file[name], "iu", "integers")[()])
        if not 1 <= len(values) <= most:
            raise self.error(name, f"1 to {most} integers", len(values))
        return values.tolist()

    def integer(self, name: str) -> int | None:
        """The one integer of a data set of the root, None where it is not there."""
        return (self.integers(name, 1) or [None])[0]

    def text(self, name: str) -> str:
        """The text of a data set of the root, "" where it is not there."""
        if name not in self.content:
            return ""
        stored = self._checked(self.file[name], "SO", "a text")
        if stored.shape != () or stored.dtype.itemsize > self.path.stat().st_size:
            raise self.error(name, "one text", f"shape {stored.shape}, {stored.dtype}")
        value = stored[()]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def _array(self, stored: h5py.Dataset) -> np.ndarray:
        self._checked(stored, "fiu", "an array of numbers")
        return stored[()].astype(stored.dtype.newbyteorder("="), copy=False)

    def _checked(self, stored: h5py.Dataset, kinds: str, expected: str) -> h5py.Dataset:
        """A data set that may be read: of these kinds, in this file, of a size that fits it."""
        if hasattr(stored, "items") or not hasattr(stored, "dtype"):
            raise self.error(stored.name, expected, "a group")
        kind, shape = stored.dtype, stored.shape
        if kind.kind not in kinds or shape is None or (kind.kind != "S" and kind.itemsize > 8):
            raise self.error(stored.name, expected, kind if shape is not None else "nothing")
        plan = stored.id.get_create_plist()
        layout = plan.get_layout()
        if plan.get_external_count() or layout not in (*_CONTIGUOUS_LAYOUTS, _CHUNKED):
            raise self.error(stored.name, f"{expected} in this file", "one in other files")
        self.left -= kind.itemsize * math.prod(shape)
        if layout == _CHUNKED:
            self.left -= kind.itemsize * math.prod(stored.chunks)
        if self.left < 0:
            raise self.error(stored.name, f"{expected} that fits a file of this size", shape)
        if layout == _CHUNKED:
            self._check_chunks(stored, plan)
        return stored

    def _check_chunks(self, stored: h5py.Dataset, plan) -> None:
        """No filter may make more of a chunk than there is room for; HDF5 itself sets no bound."""
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if set(filters) - {_DEFLATE, _SHUFFLE, _CHECKSUM} or filters.count(_DEFLATE) > 1:
            raise self.error(stored.name, "an array that is packed by gzip or not at all",
                             f"filters {filters}")
        size = stored.dtype.itemsize * math.prod(stored.chunks)
        for index in range(stored.id.get_num_chunks() if _DEFLATE in filters else 0):
            chunk = stored.id.get_chunk_info(index)
            if chunk.size > self.path.stat().st_size:
                raise self.error(stored.name, "a chunk of the file", f"{chunk.size} bytes")
            mask, packed = stored.id.read_direct_chunk(chunk.chunk_offset)
            unpacked = zlib.decompressobj().decompress(packed, size + 64) if not mask else b""
            if len(unpacked) > size + 8:
                raise self.error(stored.name, f"chunks of {size} bytes", "longer ones")
