"""CIFAR-10 in its two versions, as archives and as folders."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy
import pytest

from minicaffe.data.cifar import CLASSES, load_cifar10
from minicaffe.data.reading import UnreadableFileError
from minicaffe.errors import FileFormatError
from minicaffe.proto.atomic_files import MissingFileError

from .access import without_permission

BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
ANIMALS = [f"class {number}" for number in range(10)]


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as the archive has them."""

    def save_string(self, text):
        self.write(b"T" + struct.pack("<i", len(text)) + text)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}


def pickled(content, protocol=4):
    if protocol != 2:
        return pickle.dumps(content, protocol)
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")  # its name in those days


def batch(seed, count=3):
    """Pixels (count, 3072), red first, and labels."""
    rng = numpy.random.RandomState(seed)
    return rng.randint(0, 256, (count, 3072)).astype("uint8"), rng.randint(0, 10, count).tolist()


def files_of(version):
    """{name: content}"""
    if version == "bin":
        made = {f"{name}.bin": b"".join(bytes([label]) + row.tobytes()
                                        for row, label in zip(*batch(seed)))
                for seed, name in enumerate(BATCHES)}
        return {**made, "batches.meta.txt": "\n".join(CLASSES).encode() + b"\n\n"}
    protocol = {"py": 2, "py4": 4, "py5": 5}[version]
    made = {name: pickled(dict(zip((b"data", b"labels"), batch(seed))), protocol)
            for seed, name in enumerate(BATCHES)}
    names = [name.encode() for name in CLASSES]
    return {**made, "batches.meta": pickled({b"label_names": names}, protocol)}


def write_folder(path, files):
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("version", ["py", "py4", "py5", "bin"])
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_every_version_gives_the_same_pictures_blue_first(tmp_path, write, version):
    found = load_cifar10(write(tmp_path / "cifar.tar.gz", files_of(version)))
    assert found.x.shape == (15, 3, 32, 32) and found.test_x.shape == (3, 3, 32, 32)
    assert found.x.dtype == "uint8" and found.y.dtype == "int64"
    for seed in range(6):
        x, y = ((found.test_x, found.test_y) if seed == 5 else
                (found.x[3 * seed:3 * seed + 3], found.y[3 * seed:3 * seed + 3]))
        red_first, labels = batch(seed)
        assert numpy.array_equal(x[:, ::-1].reshape(3, -1), red_first)
        assert y.tolist() == labels
    assert found.classes == CLASSES and found.name == "cifar10"
    assert found.x.flags.c_contiguous and found.test_x.flags.c_contiguous


@pytest.mark.parametrize("version, meta, content", [
    ("py", "batches.meta", pickled({b"label_names": ANIMALS})),
    ("bin", "batches.meta.txt", "\n".join(name.replace(" ", "_") for name in ANIMALS).encode())])
def test_the_names_of_the_classes_come_from_the_files_where_they_have_them(tmp_path, version, meta,
                                                                           content):
    files = {**files_of(version), meta: content}
    found = load_cifar10(write_folder(tmp_path / "a", files))
    assert [name.replace("_", " ") for name in found.classes] == ANIMALS
    del files[meta]
    assert load_cifar10(write_folder(tmp_path / "b", files)).classes == CLASSES


def test_a_missing_batch_is_named(tmp_path):
    files = files_of("py")
    del files["data_batch_4"]
    with pytest.raises(MissingFileError, match="there is no 'data_batch_4', or 'data_batch_4.bin'"):
        load_cifar10(write_archive(tmp_path / "cifar.tar.gz", files))


class Bomb:
    def __reduce__(self):
        return print, ("this ran",)


DATA, LABELS = batch(0)
WRONG = {
    "code": (Bomb(), r"got a damaged one \(it asks for .*print, which no batch needs\)"),
    "no dict": ([1, 2], "expected a pickled dict, got list"),
    "CIFAR-100": ({b"data": DATA, b"fine_labels": LABELS},
                  "expected an array 'data' and a list 'labels', got .*fine_labels.* Hint: "
                  "CIFAR-10 is read, no other set"),
    "other pictures": ({b"data": DATA[:, :768], b"labels": LABELS},
                       r"expected 'data' of shape \(N, 3072\), uint8, got \(3, 768\), uint8"),
    "other numbers": ({b"data": DATA.astype("float32"), b"labels": LABELS},
                      r"got a damaged one \(an array of f4 instead of uint8\)"),
    "labels of text": ({b"data": DATA, b"labels": [b"cat"] * 3}, "labels that are whole numbers"),
    "labels short": ({b"data": DATA, b"labels": LABELS[:2]}, "expected 3 labels, one for each "
                                                             "picture, got 2"),
    "labels wrong": ({b"data": DATA, b"labels": [1, 10, 2]}, "expected labels from 0 to 9, got 10 "
                                                             "at place 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_batch_is_told_and_runs_no_code(tmp_path, kind, capsys):
    content, told = WRONG[kind]
    files = {**files_of("py4"), "data_batch_2": pickled(content)}
    with pytest.raises(FileFormatError, match=f"cifar.data_batch_2: .*{told}"):
        load_cifar10(write_folder(tmp_path / "cifar", files))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name, content, told", [
    ("data_batch_2", b"", "expected a whole file, got a damaged one"),
    ("data_batch_2", files_of("py")["data_batch_2"][:1000], "got a damaged one"),
    ("data_batch_2", b"not a pickle", "got a damaged one"),
    ("batches.meta", pickled({b"label_names": [b"cat"]}), "the names of ten classes, got 1"),
    ("batches.meta", pickled({}), "the names of ten classes, got none"),
    ("data_batch_2.bin", b"", "expected records of 3073 bytes, got 0 bytes"),
    ("data_batch_2.bin", bytes(3072), "expected records of 3073 bytes, got 3072 bytes"),
    ("data_batch_2.bin", b"\x0a" + bytes(3072), "expected labels from 0 to 9, got 10 at place 0"),
    ("batches.meta.txt", b"cat dog", "the names of ten classes, got 2"),
])
def test_a_broken_file_is_told(tmp_path, name, content, told):
    files = {**files_of("bin" if name.endswith((".bin", ".txt")) else "py"), name: content}
    with pytest.raises(FileFormatError, match=f"cifar.{name}: .*{told}"):
        load_cifar10(write_folder(tmp_path / "cifar", files))


def test_a_broken_archive_is_told(tmp_path):
    path = write_archive(tmp_path / "cifar.tar.gz", files_of("bin"))
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[-6] ^= 1  # of the check sum, which comes after all members
    for content in (whole[:len(whole) // 2], whole[:-4], bytes(altered), b"", b"<html>",
                    gzip.compress(b"no archive" * 100)):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"cifar\.tar\.gz: expected a whole file, got a "
                           r"damaged one \(.+\)\. Hint: copy it again; if minicaffe downloaded"):
            load_cifar10(path)


def test_a_file_that_claims_to_be_huge_is_not_read(tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
    member.size = 2**40
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf() + bytes(1024)))
    with pytest.raises(FileFormatError, match="test_batch.bin: expected a file of at most "
                                              "268435456 bytes, got 1099511627776"):
        load_cifar10(path)
    folder = write_folder(tmp_path / "cifar", files_of("bin"))
    with open(folder / "test_batch.bin", "wb") as file:
        file.truncate(2**29)
    with pytest.raises(FileFormatError, match="a file of at most 268435456 bytes, got 536870912"):
        load_cifar10(folder)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / "cifar.tar.gz", files_of("bin"))
    with without_permission("cifar.tar.gz"), pytest.raises(
            UnreadableFileError, match="cifar.tar.gz: cannot be read: Permission denied"):
        load_cifar10("cifar.tar.gz")
