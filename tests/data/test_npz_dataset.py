"""Data sets in .npz files."""

import io
import zipfile

import numpy
import pytest

from minicaffe.data.npz_dataset import TEST, TRAIN, open_arrays
from minicaffe.data.reading import UnreadableFileError
from minicaffe.errors import FileFormatError
from minicaffe.proto.atomic_files import MissingFileError

from .access import without_permission


def pictures(count, *shape):
    return (numpy.arange(count * numpy.prod(shape)) % 251).astype("uint8").reshape(count, *shape)


def saved(path, **arrays):
    numpy.savez(path / "set.npz", **arrays)
    return path / "set.npz"


def test_the_file_of_keras_is_read(tmp_path):
    path = saved(tmp_path, x_train=pictures(20, 5, 4), y_train=numpy.arange(20, dtype="uint8") % 10,
                 x_test=pictures(3, 5, 4), y_test=numpy.arange(3, dtype="uint8"))
    found = open_arrays(path)
    assert numpy.array_equal(found.x, pictures(20, 5, 4)[:, None]) and found.x.dtype == "uint8"
    assert found.test_x.shape == (3, 1, 5, 4) and found.test_y.tolist() == [0, 1, 2]
    assert found.y.dtype == "int64" and found.classes == () and found.name == "set"


@pytest.mark.parametrize("train", TRAIN)
@pytest.mark.parametrize("test", TEST)
def test_all_these_names_are_known(tmp_path, train, test):
    x, y = pictures(4, 2, 2), numpy.arange(4)
    path = saved(tmp_path, **dict(zip(train, (x, y))), **dict(zip(test, (x[:2], y[:2]))), other=x)
    found = open_arrays(path, "mine")
    assert len(found.x) == 4 and len(found.test_x) == 2 and found.name == "mine"


def test_without_a_test_part_the_same_fifth_of_each_class_is_held_out(tmp_path):
    y = numpy.repeat([3, 5], [10, 20])
    path = saved(tmp_path, x=numpy.arange(60.0).reshape(30, 2), y=y)
    found = open_arrays(path)
    assert numpy.bincount(found.test_y).tolist() == [0, 0, 0, 2, 0, 4]
    assert sorted([*found.x[:, 0], *found.test_x[:, 0]]) == list(range(0, 60, 2))
    assert numpy.array_equal(open_arrays(path).test_x, found.test_x)
    assert found.test_x[:2, 0].tolist() not in ([0, 2], [16, 18])  # neither the first nor the last
    assert (y[found.test_x[:, 0].astype(int) // 2] == found.test_y).all()


@pytest.mark.parametrize("shape, becomes", [
    ((5, 4), (1, 5, 4)), ((5, 4, 1), (1, 5, 4)), ((5, 4, 3), (3, 5, 4)), ((3, 5, 4), (3, 5, 4)),
    ((1, 5, 3), (1, 5, 3)), ((3, 5, 3), (3, 5, 3)), ((7,), (7,)), ((2, 5, 4), (2, 5, 4))])
def test_channels_come_first_and_three_that_came_last_turn_to_bgr(tmp_path, shape, becomes):
    x = pictures(4, *shape)
    found = open_arrays(saved(tmp_path, x_train=x, y_train=[0, 1, 0, 1], x_test=x[:1],
                              y_test=[0]))
    assert found.x.shape == (4, *becomes) and found.x.flags.c_contiguous
    expected = x
    if shape[2:] and becomes == (shape[2], *shape[:2]):
        expected = numpy.moveaxis(x, 3, 1)[:, ::-1]
    assert numpy.array_equal(found.x, expected.reshape(found.x.shape))


@pytest.mark.parametrize("kind, becomes", [("uint8", "uint8"), ("float64", "float32"),
                                           ("int64", "float32"), ("bool", "float32")])
def test_what_is_not_uint8_becomes_float32(tmp_path, kind, becomes):
    found = open_arrays(saved(tmp_path, x=pictures(4, 5, 4).astype(kind), y=[0, 0, 1, 1]))
    assert found.x.dtype == becomes


@pytest.mark.parametrize("labels", [[[0], [0], [1], [1]], [0.0, 0.0, 1.0, 1.0],
                                    [False, False, True, True]])
def test_labels_may_be_a_column_or_floats(tmp_path, labels):
    found = open_arrays(saved(tmp_path, x=pictures(4, 5, 4), y=labels))
    assert found.y.tolist() == found.test_y.tolist() == [0, 1] and found.y.dtype == "int64"


X, Y = pictures(4, 5, 4), numpy.array([0, 0, 1, 1])
WRONG = {
    "other names": (dict(a=X, b=Y), "expected arrays named x_train and y_train; .*; data and labels"
                                    ", got none of them"),
    "no labels": (dict(x=X), "expected arrays named .*, got x"),
    "fewer labels": (dict(x=X, y=Y[:3]), "'y': expected 4 labels, one for each picture, got 3"),
    "negative labels": (dict(x=X, y=[0, -1, 0, 1]), "'y': expected labels from 0 to .*, got -1 at "
                                                    "place 1"),
    "fractions": (dict(x=X, y=[0, 0.5, 0, 1]), "labels that are whole numbers from 0, got 0.5 at "
                                               "place 1"),
    "infinite": (dict(x=X, y=[0, 1, numpy.inf, 1]), "labels that are whole numbers from 0, got inf "
                                                    "at place 2"),
    "no test labels": (dict(x_train=X, y_train=Y, x_test=X), "test samples and test labels, got "
                                                             "x_test"),
    "one-hot": (dict(x=X, y=numpy.eye(4)), r"whole numbers from 0, got shape \(4, 4\), float64"),
    "text": (dict(x=X, y=list("abcd")), "whole numbers from 0, got shape .*<U1"),
    "no samples": (dict(x=X[:0], y=Y[:0]), "'x': expected one sample or more, .*, got shape"),
    "no axes": (dict(x=Y, y=Y), r"'x': expected one sample or more, .*, got shape \(4,\)"),
    "complex": (dict(x=X.astype(complex), y=Y), "'x': expected numbers, got complex128"),
    "nan": (dict(x=X * numpy.nan, y=Y), "'x': expected finite numbers, got some that are infinite "
                                        "or not a number"),
    "objects": (dict(x=numpy.array([{}, {}]), y=Y[:2]), "expected arrays of numbers, got Python "
                                                        "objects, which could run code when read"),
    "one of a class": (dict(x=X, y=[0, 0, 0, 1]), "two samples or more of every class.*, got one "
                                                  "of class 1"),
    "other test": (dict(x=X, y=Y, x_test=X[:, :3], y_test=Y),
                   r"expected test samples of shape \(1, 5, 4\) as to learn from, got \(1, 3, 4\)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_arrays_that_do_not_do_are_told(tmp_path, kind):
    arrays, told = WRONG[kind]
    with pytest.raises(FileFormatError, match=f"set.npz: .*{told}"):
        open_arrays(saved(tmp_path, **arrays))


def test_a_broken_file_is_told(tmp_path):
    path = saved(tmp_path, x=X, y=Y)
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[whole.index(X.tobytes()) + 5] ^= 1
    for content in (whole[:len(whole) // 2], bytes(altered)):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"set\.npz(.x\.npy)?: expected a whole file, got "
                                                  r"a damaged one \(.+\)\. Hint: make it anew"):
            open_arrays(path)
    one = io.BytesIO()
    numpy.save(one, X)
    for content in (b"", b"<html>", one.getvalue()):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"expected a \.npz file, got something else, or "
                                                  "an empty file"):
            open_arrays(path)


def test_an_array_that_claims_to_be_huge_is_told(tmp_path):
    one = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(
        one, {"descr": "|u1", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", one.getvalue() + bytes(100))
        archive.writestr("y.npy", one.getvalue() + bytes(100))
    with pytest.raises(FileFormatError, match="expected a whole file, got a damaged one"):
        open_arrays(tmp_path / "set.npz")


def test_a_wrong_path_and_one_without_permission_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, x=X, y=Y)
    with pytest.raises(MissingFileError, match="did you mean 'set.npz'"):
        open_arrays("sets.npz")
    with without_permission("set.npz"), pytest.raises(
            UnreadableFileError, match="set.npz: cannot be read: Permission denied"):
        open_arrays("set.npz")


def test_names_of_classes_are_letters(tmp_path):
    """Python itself fails on a text of other numbers."""
    wrong = numpy.array([0x41, 0x110000], "u4").view("<U1")
    path = saved(tmp_path, x=pictures(4, 5, 4), y=[0, 0, 1, 1], classes=wrong)
    with pytest.raises(FileFormatError, match="'classes' holds letters that are none"):
        open_arrays(path)


def test_classes_may_be_named(tmp_path):
    path = saved(tmp_path, x=pictures(4, 5, 4), y=[0, 0, 1, 1], classes=["cat", "dog"])
    assert open_arrays(path).classes == ("cat", "dog")
    path = saved(tmp_path, x_train=pictures(4, 5, 4), y_train=[0, 0, 1, 1], classes=["cat", "dog"],
                 x_test=pictures(1, 5, 4), y_test=[0])
    assert open_arrays(path).classes == ("cat", "dog")


def test_the_fifth_that_is_held_out_stays_the_same_in_all_versions(tmp_path):
    path = saved(tmp_path, x=numpy.arange(20.0).reshape(20, 1), y=[0] * 10 + [1] * 10)
    assert open_arrays(path).test_x[:, 0].tolist() == [5, 7, 13, 17]
