"""A data set of pictures by class, in a folder or a zip."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy

from ..errors import FileFormatError, MinicaffeError, ShapeError, in_line
from .class_folders import Folder, Zip, class_parts
from .dataset import Dataset
from .image import check_size, decode
from .labels import with_test_part
from .reading import UnreadableFileError, existing_path

IN_MEMORY = 2**31  # bytes; sets of more than that are decoded as they are asked for
_BAD = (FileFormatError, UnreadableFileError)  # what is wrong with a file, not with what is asked
_TOLD = 5  # bad pictures that one message names
_LINE = 180  # characters for each of them
_SMALL_FILE = 2**15  # bytes; below that threads only wait for each other
_PIECE = 32  # pictures that a thread decodes at a stretch
_PIXELS = 2**24  # that the pictures of a set may have together, however small their files are, and
_PIXELS_A_BYTE = 2**9  # as many more for each byte of these


def open_image_folder(path: str | os.PathLike, size: tuple[int, int, int] | None = None,
                      name: str | None = None) -> Dataset:
    """Pictures by class, in a folder or a zip; the classes are in alphabetical order.

    ``class_folders`` says how they lie.  Without a test part a fifth of each class is held out,
    always the same.  Files that are no pictures by their suffix, and files outside the class
    folders, are passed over.  What fits into IN_MEMORY is decoded here, so that bad pictures are
    told before anything is trained, several in one message.

    Args:
        size: (C, H, W) that every picture is brought to (``image.decode`` says how); without
            it all must have one size, which they keep, 1 channel if they are grey and else 3.

    Errors: MissingFileError; UnreadableFileError; FileFormatError for a folder without classes,
    a class without pictures, bad pictures; ShapeError for pictures of different sizes;
    MissingPackageError without Pillow.
    """
    path = existing_path(path)
    name = name or in_line(path.resolve().name if path.is_dir() else path.stem)
    if size is not None:
        check_size(size)
    files = Folder(path) if path.is_dir() else Zip(path)
    parts = class_parts(files)
    labels = sorted(parts[0])
    names = [[image for label in labels for image in part.get(label, ())] for part in parts]
    work = Work()
    shape = size or _first_shape(files, names[0], work)
    made = []
    for part, chosen in zip(parts, names):
        counts = [len(part.get(label, ())) for label in labels]
        made += [ImageFolder(files, chosen, shape, scaled=size is not None),
                 numpy.repeat(numpy.arange(len(labels), dtype=numpy.int64), counts)]
    classes = tuple(map(in_line, labels))
    dataset = Dataset(*made, classes, name) if len(parts) == 2 else with_test_part(
        *made, classes, name, str(path))
    return _in_memory(dataset, str(path), work)


def _first_shape(files: Folder | Zip, names: list[str], work: Work) -> tuple[int, ...]:
    """The shape of the first picture that is one.  Errors: those of all of them, if none is."""
    bad: list[MinicaffeError | None] = []
    for name in names:
        try:
            return work.decode(files, name, None).shape
        except _BAD as error:
            _add(bad, [_alone(error)])
    raise _all_of(bad, str(files.path))


def _in_memory(dataset: Dataset, where: str, work: Work) -> Dataset:
    if dataset.x.nbytes + dataset.test_x.nbytes > IN_MEMORY:
        return dataset
    bad: list[MinicaffeError | None] = []
    x = dataset.x.decoded(f"{dataset.name}: training pictures", bad, work)
    test_x = dataset.test_x.decoded(f"{dataset.name}: test pictures", bad, work)
    if bad:
        raise _all_of(bad, where)
    return Dataset(x, dataset.y, test_x, dataset.test_y, dataset.classes, dataset.name)


class Work:
    """How many pixels the files of a set may still be decoded to: a zip of a few bytes can hold
    hours of work.  Threads may share it."""

    def __init__(self):
        self._left = _PIXELS
        self._lock = threading.Lock()

    def decode(self, files: Folder | Zip, name: str, shape) -> numpy.ndarray:
        """One picture.  Errors: those of ``image.decode``; FileFormatError for too much work."""
        where = files.where(name)
        spend = functools.partial(self._spend, where, files.size(name))
        return decode(files.read(name), where, shape, spend)

    def _spend(self, where: str, file_bytes: int, pixels: int) -> None:
        with self._lock:
            self._left += _PIXELS_A_BYTE * file_bytes
            if pixels > self._left:
                raise FileFormatError(where, "pictures that have at most "
                                      f"{_PIXELS_A_BYTE} pixels for each byte of their files",
                                      "more", "make them smaller.")
            self._left -= pixels


class ImageFolder:
    """Pictures in files that read like an array (N, C, H, W), uint8, channels B, G, R.

    A row is decoded when it is asked for: ``images[3]`` is one picture, ``take`` an array of
    several, ``decoded`` one of all; a slice or an array of places gives an ImageFolder of fewer.

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

    def __repr__(self) -> str:
        return f"<ImageFolder '{self.files.path}': {len(self)} pictures {self.shape[1:]}>"

    @property
    def nbytes(self) -> int:
        """The bytes of all of them, decoded."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows) -> ImageFolder | numpy.ndarray:
        names = self.names[rows]
        if isinstance(names, str):
            return self.take([rows])[0]
        return ImageFolder(self.files, names, self.shape[1:], self.scaled)

    def __array__(self, dtype=None, copy=None) -> numpy.ndarray:
        return self.decoded().astype(dtype or self.dtype, copy=False)

    def take(self, rows) -> numpy.ndarray:
        """The pictures at these places, decoded: uint8 (len(rows), C, H, W).

        Errors: FileFormatError, UnreadableFileError and ShapeError, naming the picture.
        """
        return self[numpy.asarray(rows, numpy.intp)].decoded()

    def decoded(self, title: str | None = None,
                bad: list[MinicaffeError | None] | None = None,
                work: Work | None = None) -> numpy.ndarray:
        """All of them, decoded.

        Args:
            title: of a progress bar, which is shown on a terminal.
            bad: takes the errors of bad pictures, which are then not raised; of those behind the
                first few no more than that there are such, as None.
            work: bounds how many pixels are decoded.
        """
        pixels = numpy.empty(self.shape, numpy.uint8)
        piece = max(1, min(_PIECE, len(self) // _cores()))

        def fill(start: int) -> list[MinicaffeError]:
            found = []
            for place in range(start, min(start + piece, len(self))):
                try:
                    pixels[place] = self._image(self.names[place], work)
                except _BAD as error:
                    if bad is None:
                        raise
                    found.append(_alone(error))
            return found

        starts = range(0, len(self), piece)
        threaded = len(starts) > 1 and self._first_bytes() >= _SMALL_FILE
        done = _pool(os.getpid()).map(fill, starts) if threaded else map(fill, starts)
        with _progress(title, len(self)) as progress:
            for start, found in zip(starts, done):
                progress.update(min(piece, len(self) - start))
                if found:
                    _add(bad, found)
        return pixels

    def _first_bytes(self) -> int:
        """The bytes of the first file, which the others are thought to have too."""
        try:
            return self.files.size(self.names[0])
        except UnreadableFileError:  # it is told when it is read
            return 0

    def _image(self, name: str, work: Work | None) -> numpy.ndarray:
        """One picture, uint8 (C, H, W), or (1, H, W) if it is grey."""
        shape = self.shape[1:]
        wanted = shape if self.scaled else None
        pixels = (work.decode(self.files, name, wanted) if work else
                  decode(self.files.read(name), self.files.where(name), wanted))
        if pixels.shape[1:] != shape[1:] or len(pixels) > shape[0]:
            raise ShapeError(self.files.where(name), f"a picture of shape {shape} (C, H, W) like "
                             "the first one", pixels.shape,
                             "--image-size brings all pictures to one size.")
        return pixels


def _alone(error: MinicaffeError) -> MinicaffeError:
    """The error without its traceback, which would keep the picture in memory."""
    return type(error)(error.where, error.expected, error.got, error.hint)


def _add(bad: list[MinicaffeError | None], found: list[MinicaffeError]) -> None:
    """Add errors, of which only those that are told are kept."""
    for error in found:
        bad.append(error if len(bad) < _TOLD else None)


def _all_of(bad: list[MinicaffeError | None], where: str) -> MinicaffeError:
    """One error that tells of all bad pictures: of the first ones, and how many more there are."""
    if len(bad) == 1:
        return bad[0]
    told = [in_line(str(error).partition(" Hint: ")[0], _LINE) for error in bad[:_TOLD]]
    if len(bad) > _TOLD:
        told.append(f"and {len(bad) - _TOLD} more")
    lines = "\n  ".join(told).rstrip(".")
    return type(bad[0])(where, f"expected pictures that can be read, got {len(bad)} that cannot:\n"
                        f"  {lines}", hint="save them anew, or remove them.")


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
