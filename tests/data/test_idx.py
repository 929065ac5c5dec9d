"""MNIST and its like: idx files, whole and broken."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy
import pytest

from minicaffe.data.idx import DIGITS, FASHION, load_idx, read_idx
from minicaffe.data.reading import UnreadableFileError
from minicaffe.errors import FileFormatError
from minicaffe.proto.atomic_files import MissingFileError

from .access import without_permission

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def idx(array, shape=None):
    shape = shape or array.shape
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + array.tobytes()


def pictures(count, seed=0, side=4):
    rng = numpy.random.RandomState(seed)
    return rng.randint(0, 256, (count, side, side)).astype("uint8")


def labels(count):
    return (numpy.arange(count) % 10).astype("uint8")


@pytest.fixture
def folder(tmp_path):
    """The four files, gzipped: 12 pictures of 4 x 4 to learn from, and 3."""
    for part, count, seed in (("train", 12, 0), ("t10k", 3, 1)):
        images = gzip.compress(idx(pictures(count, seed)))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels(count))))
    return tmp_path


def test_pictures_are_uint8_with_a_channel_axis_and_labels_are_int64(folder):
    found = load_idx(folder, "mnist")
    assert numpy.array_equal(found.x, pictures(12)[:, None]) and found.x.dtype == "uint8"
    assert numpy.array_equal(found.test_x, pictures(3, 1)[:, None])
    assert found.y.tolist() == [*range(10), 0, 1] and found.test_y.tolist() == [0, 1, 2]
    assert found.y.dtype == found.test_y.dtype == "int64"
    assert found.classes == DIGITS and found.name == "mnist"


@pytest.mark.parametrize("rename", [lambda name: name.removesuffix(".gz"),
                                    lambda name: name.replace("-idx", ".idx"),
                                    lambda name: name.removesuffix(".gz").replace("-idx", ".idx")])
def test_the_files_may_be_plain_and_have_a_dot_in_their_names(folder, rename):
    whole = load_idx(folder)
    for path in list(folder.iterdir()):
        name, data = rename(path.name), path.read_bytes()
        path.unlink()
        data = data if name.endswith(".gz") else gzip.decompress(data)
        (folder / name).write_bytes(data)
    assert numpy.array_equal(load_idx(folder).x, whole.x)


def test_fashion_has_classes_of_its_own(folder):
    assert load_idx(folder, "fashion-mnist").classes == FASHION
    assert load_idx(folder, "mnist").classes == DIGITS
    assert load_idx(folder).classes == FASHION  # the folder is named after this test


def test_a_missing_one_of_the_four_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match="there is no 't10k-labels-idx1-ubyte', plain or as "
                                               r"\.gz, in it\."):
        load_idx(folder)


AGAIN = "Hint: copy it again; if minicaffe downloaded it, delete it and it is downloaded again."
WRONG = {
    "empty": (b"", "expected an idx file, got an empty one"),
    "a web page": (b"<html>404</html>", "expected an idx file, which begins 00 00 08 03, got "
                                        "3c 68 74 6d"),
    "labels for pictures": (idx(labels(12)), "which begins 00 00 08 03, got 00 00 08 01"),
    "numbers of other type": (b"\0\0\x0d\x03" + bytes(12), "got 00 00 0d 03"),
    "header cut": (idx(pictures(12))[:10], "expected a header of 16 bytes, got 10"),
    "pictures cut": (idx(pictures(12))[:100], r"expected 192 items, as its header says "
                                              r"\(12, 4, 4\), got only 84"),
    "more than the header says": (idx(pictures(12)) + b"1", "expected 192 items.*, got more"),
    "no items": (idx(pictures(12), (0, 4, 4)), "from 1 to 2147483648 items, got a header"),
    "billions claimed": (idx(pictures(12), (2**31, 28, 28)),
                         r"expected from 1 to 2147483648 items, got a header that says "
                         r"\(2147483648, 28, 28\)"),
    "a billion claimed": (idx(pictures(12), (2**20, 28, 28)),
                          r"expected (822083584 items.*, got only 192\.|at most 167\d* bytes in a "
                          r"file packed to \d+, got 822083584\.)"),
}


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("kind", WRONG)
def test_a_broken_file_is_told(folder, kind, gzipped):
    content, told = WRONG[kind]
    path = folder / IMAGES
    path.write_bytes(gzip.compress(content))
    if not gzipped:
        path.unlink()
        path = path.with_suffix("")
        path.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"{told}.*") as caught:
        load_idx(folder)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith((AGAIN, "Hint: unpack it with gunzip."))


GZIP = gzip.compress(idx(pictures(12)))
BROKEN = {
    "cut short": (GZIP[:-20], "Compressed file ended before the end-of-stream marker"),
    "not gzipped": (idx(pictures(12)), "Not a gzipped file"),
    "altered": (GZIP[:-6] + b"\1" + GZIP[-5:], "CRC check failed"),
    "scrambled": (GZIP[:10] + b"\xff" * 30 + GZIP[40:], "Error -3 while decompressing"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_gzip_file_is_told(folder, kind):
    content, told = BROKEN[kind]
    (folder / IMAGES).write_bytes(content)
    with pytest.raises(FileFormatError, match=f"{IMAGES}: expected a whole file, got a damaged one "
                                              rf"\({told}.*\)\. {AGAIN}"):
        load_idx(folder)


def test_a_gzip_bomb_costs_no_more_than_its_header_says(folder):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = bomb.compress(idx(pictures(12))) + b"".join(
        bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    (folder / IMAGES).write_bytes(content)
    with pytest.raises(FileFormatError, match="expected 192 items.*, got more"):
        load_idx(folder)


def test_labels_that_do_not_fit_are_told(folder):
    (folder / LABELS).write_bytes(gzip.compress(idx(labels(11))))
    with pytest.raises(FileFormatError, match=f"{LABELS}: expected 12 labels, one for each picture,"
                                              " got 11"):
        load_idx(folder)
    wrong = labels(12)
    wrong[7] = 10
    (folder / LABELS).write_bytes(gzip.compress(idx(wrong)))
    with pytest.raises(FileFormatError, match=f"{LABELS}: expected labels from 0 to 9, got 10 at "
                                              "place 7"):
        load_idx(folder)


def test_both_parts_have_pictures_of_one_size(folder):
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(pictures(3, side=5))))
    with pytest.raises(FileFormatError, match=rf"{path.name}: expected pictures of \(4, 4\) as to "
                                              r"learn from, got \(5, 5\)"):
        load_idx(folder)


def test_a_file_that_may_not_be_read_is_told(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with without_permission(IMAGES), pytest.raises(
            UnreadableFileError, match=f"{IMAGES}: cannot be read: Permission denied. Hint: see to "
                                       "its permissions and its disk."):
        read_idx(Path(IMAGES), 3)
