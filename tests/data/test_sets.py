"""Data sets by name and by path."""

import gzip
import shutil

import numpy
import pytest

from minicaffe.data import NAMES, download, open_dataset
from minicaffe.data.download import Download, DownloadError
from minicaffe.data.reading import UnreadableFileError
from minicaffe.errors import FileFormatError, ParameterError
from minicaffe.proto.atomic_files import MissingFileError

from .access import without_permission
from .image_files import grey_levels, write_folder, write_zip
from .test_cifar import files_of, write_archive
from .test_cifar import write_folder as write_cifar
from .test_idx import idx, labels, pictures
from .test_npz_dataset import saved

PICTURES = grey_levels(*(f"{label}/{number}.png" for label in "ab" for number in range(5)))


def write_idx(folder, count=12):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures(count))))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels(count))))
    return folder


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty cache folder, no MINICAFFE_DATA, no network; returns the cache's folder of sets."""
    monkeypatch.delenv("MINICAFFE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "DOWNLOADS", {
        name: Download(("http://127.0.0.1:9/",), offer.files)
        for name, offer in download.DOWNLOADS.items()})
    return tmp_path / "cache" / "minicaffe" / "data"


def test_digits_are_in_the_package():
    assert open_dataset("digits").name == "digits"
    assert len(open_dataset("digits").x) == 1438
    assert NAMES == ("digits", "mnist", "fashion-mnist", "cifar10")


def test_a_path_is_opened_as_what_lies_there(tmp_path):
    assert open_dataset(write_idx(tmp_path / "digits")).x.shape == (12, 1, 4, 4)
    for number, version in enumerate(("py", "bin")):
        folder = write_cifar(tmp_path / f"cifar-10-batches-{version}", files_of(version))
        assert open_dataset(folder).x.shape == (15, 3, 32, 32)
        above = tmp_path / str(number)
        above.mkdir()
        shutil.move(folder, above)
        assert open_dataset(str(above)).name == "cifar10"
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", files_of("bin"))
    assert open_dataset(archive).x.shape == (15, 3, 32, 32)
    assert open_dataset(write_folder(tmp_path / "pets", PICTURES)).classes == ("a", "b")
    assert open_dataset(write_zip(tmp_path / "pets", PICTURES)).name == "pets"
    path = saved(tmp_path, x=numpy.zeros((4, 2, 2)), y=[0, 0, 1, 1])
    assert open_dataset(path).x.shape == (2, 1, 2, 2)


def test_the_size_is_for_pictures_by_class_alone(tmp_path):
    assert open_dataset(write_folder(tmp_path / "a", PICTURES), (3, 5, 6)).x.shape[1:] == (3, 5, 6)
    assert open_dataset(write_zip(tmp_path / "a", PICTURES), (1, 2, 2)).x.shape[1:] == (1, 2, 2)
    assert open_dataset(write_idx(tmp_path / "b"), (3, 5, 6)).x.shape[1:] == (1, 4, 4)
    assert open_dataset("digits", (3, 5, 6)).x.shape[1:] == (1, 8, 8)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_name_is_looked_for_in_minicaffe_data_before_the_cache(tmp_path, nowhere, monkeypatch,
                                                                 name):
    write_idx(nowhere / name, 11)
    assert len(open_dataset(name).x) == 11
    monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    assert len(open_dataset(name).x) == 11
    write_idx(tmp_path / "data" / name, 12)
    found = open_dataset(name)
    assert len(found.x) == 12 and found.name == name
    assert found.classes[1] == ("1" if name == "mnist" else "Trouser")


@pytest.mark.parametrize("place, write", [
    ("cifar10", lambda path: write_cifar(path, files_of("py"))),
    ("cifar-10-batches-bin", lambda path: write_cifar(path, files_of("bin"))),
    ("cifar-10-python.tar.gz", lambda path: write_archive(path, files_of("py"))),
    ("cifar-10-binary.tar.gz", lambda path: write_archive(path, files_of("bin"))),
    ("cifar10.tar.gz", lambda path: write_archive(path, files_of("bin"))),
    ("cifar10-jpeg", lambda path: write_zip(path, PICTURES)),
    ("CIFAR10", lambda path: write_zip(path, PICTURES)),
    ("cifar10", lambda path: write_folder(path, PICTURES))])
def test_cifar10_is_found_in_all_its_forms(tmp_path, monkeypatch, place, write):
    monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path))
    write_zip(tmp_path / "cifar100", grey_levels("a/1.png"))  # another set
    write(tmp_path / place)
    found = open_dataset("cifar10")
    assert found.name == "cifar10" and len(found.x) in (15, 8)


def test_a_set_is_downloaded_into_the_cache_when_it_is_nowhere(nowhere, monkeypatch):
    def fetch(name):
        return write_idx(nowhere / name)
    monkeypatch.setattr("minicaffe.data.sets.fetch", fetch)
    assert len(open_dataset("mnist").x) == 12
    (nowhere / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert len(open_dataset("mnist").x) == 12  # what is missing is fetched again


def test_without_a_network_it_says_where_to_put_the_files(nowhere):
    with pytest.raises(DownloadError, match="data set 'cifar10': no mirror gave it.*\n.*\n. Hint: "
                       f"put cifar-10-python.tar.gz into {nowhere / 'cifar10'}, or into the folder "
                       "cifar10/ of one that MINICAFFE_DATA names"):
        open_dataset("cifar10")


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(ParameterError) as caught:
        open_dataset("mnits")
    assert str(caught.value) == ("data set: expected one of digits, mnist, fashion-mnist, cifar10, "
                                 "or the path of one, got 'mnits'. Hint: did you mean 'mnist'?")


@pytest.mark.parametrize("wrong, told", [
    ("./pest", "no such file or folder. Hint: did you mean 'pets'?"),
    ("pest.zip", "no such file or folder. Hint: did you mean 'pets.zip'?"),
    ("no/pets", "no such file or folder: there is no folder 'no'")])
def test_a_wrong_path_brings_the_nearest_one(tmp_path, monkeypatch, wrong, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets.zip").touch()
    with pytest.raises(MissingFileError, match=told):
        open_dataset(wrong)


@pytest.mark.parametrize("names, got", [
    ((), "an empty folder"),
    (("1.csv", "2.csv"), "a folder with 1.csv, 2.csv"),
    (("1.csv", "2.csv", "3.csv", "4.csv"), "a folder with 1.csv, 2.csv, 3.csv, ..."),
    (("1.jpg", "2.jpg"), "pictures without folders for their classes, which the folder above may "
                         "have")
])
def test_a_folder_with_nothing_recognised_says_what_is(tmp_path, names, got):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(FileFormatError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected a folder with MNIST's idx files (train-images-idx3-ubyte.gz, ...), "
        "with CIFAR-10 (cifar-10-batches-py or -bin, or their archives) or with folders of "
        "pictures, one a class; a .zip of such folders; a .npz; CIFAR-10's .tar.gz, got " + got
        + ".")


def test_a_file_that_is_no_data_set_says_what_is(tmp_path):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(FileFormatError, match=r"cat\.jpg: expected a folder with MNIST's .*, got "
                                              r"'cat\.jpg'"):
        open_dataset(tmp_path / "cat.jpg")


def test_minicaffe_data_must_be_a_folder(monkeypatch):
    monkeypatch.setenv("MINICAFFE_DATA", "/no/such/folder")
    with pytest.raises(ParameterError, match="MINICAFFE_DATA: expected a folder, got '/no/such"):
        open_dataset("mnist")


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    with without_permission("pets"), pytest.raises(UnreadableFileError,
                                                   match="pets: cannot be read: Permission denied"):
        open_dataset("./pets")


def test_any_set_in_the_data_folder_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path))
    numpy.savez(tmp_path / "mine.npz", x=numpy.zeros((4, 2)), y=[0, 1, 0, 1])
    assert open_dataset("mine").name == "mine"
