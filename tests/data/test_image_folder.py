"""Pictures by class: their layouts, and what is wrong with them."""

import io
import os
import subprocess
import sys
import threading

import numpy
import pytest

from minicaffe.data import image_folder
from minicaffe.data.class_folders import Folder, Zip
from minicaffe.data.image_folder import ImageFolder, open_image_folder
from minicaffe.data.reading import UnreadableFileError
from minicaffe.errors import FileFormatError, ParameterError, ShapeError
from minicaffe.proto.atomic_files import MissingFileError

from .access import without_permission
from .image_files import PNG, RED, grey_levels, levels, png, write_folder, write_zip
from .test_image import BROKEN

FOUR = {f"{label}/{number}.png": PNG for label in "ab" for number in (1, 2)}

both = pytest.mark.parametrize("write", [write_folder, write_zip])


@both
def test_each_folder_of_train_and_test_is_a_class_in_alphabetical_order(tmp_path, write):
    names = ("train/dog/1.png", "train/cat/2.png", "train/cat/1.png", "test/dog/x.png",
             "test/cat/y.png")
    found = open_image_folder(write(tmp_path / "pets", grey_levels(*names)))
    assert found.classes == ("cat", "dog") and found.name == "pets"
    assert levels(found.x) == [2, 1, 0] and found.y.tolist() == [0, 0, 1]
    assert levels(found.test_x) == [4, 3] and found.test_y.tolist() == [0, 1]
    assert found.x.shape == (3, 1, 3, 4) and found.x.dtype == "uint8" and found.y.dtype == "int64"


@both
@pytest.mark.parametrize("part, used", [
    (("test", "val"), "test"), (("val",), "val"), (("valid",), "valid"),
    (("validation", "other"), "validation")])
def test_the_test_part_is_test_or_else_val(tmp_path, write, part, used):
    names = [f"{top}/{label}/1.png" for top in ("train", *part) for label in ("a", "b")]
    found = open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert levels(found.test_x) == [names.index(f"{used}/{label}/1.png") for label in ("a", "b")]
    assert levels(found.x) == [0, 1]


@both
def test_a_test_part_without_classes_is_refused(tmp_path, write):
    names = ["train/a/1.png", "train/b/1.png", "test/1.png", "val/a/1.png"]
    with pytest.raises(FileFormatError, match=r"set.*.test: expected the folders of classes that "
                       "the training part has, got none. Hint: put the test pictures into such"):
        open_image_folder(write(tmp_path / "set", grey_levels(*names)))


@both
def test_a_part_that_is_not_used_is_told(tmp_path, write, caplog):
    names = [f"{part}/{label}/1.png" for part in ("train", "test", "val") for label in "ab"]
    open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert "val: not used, as 'test/' is the test part" in caplog.text


@both
@pytest.mark.parametrize("train, test", [("Train", "Test"), ("training", "testing"),
                                         ("TRAINING", "Val")])
def test_the_parts_may_be_called_otherwise(tmp_path, write, train, test):
    names = [f"{part}/{label}/1.png" for part in (train, test) for label in "ab"]
    found = open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("a", "b") and levels(found.test_x) == [2, 3]


def test_a_pipe_is_no_picture(tmp_path):
    path = write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"))
    os.mkfifo(path / "a" / "3.png")
    assert len(open_image_folder(path).x) == 2


@both
def test_without_a_test_part_the_same_fifth_of_each_class_is_held_out(tmp_path, write):
    names = [f"{label}/{number:02}.png" for label, count in (("a", 10), ("b", 5), ("c", 2))
             for number in range(count)]
    path = write(tmp_path / "set", grey_levels(*names))
    found = open_image_folder(path)
    assert numpy.bincount(found.test_y).tolist() == [2, 1, 1]
    assert sorted(levels(found.x) + levels(found.test_x)) == list(range(17))
    assert [names[level][0] for level in levels(found.test_x)] == ["a", "a", "b", "c"]
    assert levels(open_image_folder(path).test_x) == levels(found.test_x)


@both
def test_folders_around_all_and_below_a_class_do_not_matter(tmp_path, write):
    names = ["all/pets/train/cat/deep/1.png", "all/pets/train/dog/1.PNG", "all/pets/val/cat/1.png"]
    found = open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("cat", "dog") and levels(found.x) == [0, 1]


@both
def test_train_is_a_class_where_no_classes_are_in_it(tmp_path, write):
    names = [f"{label}/{number}.png" for label in ("bus", "train") for number in range(2)]
    found = open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("bus", "train")


@both
def test_what_is_no_picture_of_a_class_is_passed_over(tmp_path, write):
    files = {**grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"), "a/notes.txt": b"notes",
             "README.md": b"", "preview.png": png(), "b/.hidden.png": b"", ".git/x/1.png": b"",
             "__MACOSX/a/1.png": b""}
    found = open_image_folder(write(tmp_path / "set", files))
    assert found.classes == ("a", "b") and len(found.x) + len(found.test_x) == 4


@both
def test_the_order_is_that_of_the_classes_and_then_of_the_files(tmp_path, write):
    names = ["train/cat/2.png", "train/cat-2/1.png", "train/cat/1.png", "test/cat/1.png"]
    found = open_image_folder(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("cat", "cat-2") and levels(found.x) == [2, 0, 1]


def test_links_to_folders_are_followed(tmp_path):
    there = write_folder(tmp_path / "there", grey_levels("1.png", "2.png"))
    write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png"))
    (tmp_path / "set" / "b").symlink_to(there)
    assert open_image_folder(tmp_path / "set").classes == ("a", "b")


def test_links_that_lead_back_are_not_followed_round_and_round(tmp_path):
    write_folder(tmp_path, grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"))
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert sorted(Folder(tmp_path).names) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


def mixed(tmp_path):
    """Pictures of several sizes and colours, two for each of the two classes and parts."""
    files = {f"{part}/{label}/{number}.png": png((10 * number, 0, 0), (4 + number, 3))
             for part in ("train", "test") for label in "ab" for number in range(2)}
    return write_folder(tmp_path / "mixed", files)


def test_pictures_of_several_sizes_need_one_to_be_brought_to(tmp_path):
    path = mixed(tmp_path)
    with pytest.raises(ShapeError, match=r"1\.png: expected a picture of shape \(3, 3, 4\) "
                                         r"\(C, H, W\) like the first one, got \(3, 3, 5\)\. "
                                         "Hint: --image-size brings all pictures to one size"):
        open_image_folder(path)
    found = open_image_folder(path, (3, 2, 2))
    assert found.x.shape == (4, 3, 2, 2) and found.x[:, 2, 0, 0].tolist() == [0, 10, 0, 10]


def test_grey_among_colours_is_shown_in_colour_but_colour_among_grey_is_told(tmp_path):
    grey, red = png(9, mode="L"), png(RED)
    files = {"a/1.png": red, "a/2.png": grey, "b/1.png": red, "b/2.png": red}
    path = write_folder(tmp_path / "red", files)
    found = open_image_folder(path)
    assert ImageFolder(Folder(path), ["a/2.png"], (3, 3, 4), scaled=False)[0].shape == (3, 3, 4)
    assert len(found.x) == 2 and found.x.shape[1] == 3
    assert 9 in (*found.x[:, 1, 0, 0], *found.test_x[:, 1, 0, 0])
    files = {"a/1.png": grey, "a/2.png": red, "b/1.png": grey, "b/2.png": grey}
    with pytest.raises(ShapeError, match=r"2\.png: expected a picture of shape \(1, 3, 4\).*"
                                         r"got \(3, 3, 4\)"):
        open_image_folder(write_folder(tmp_path / "grey", files))


@both
def test_what_does_not_fit_into_memory_stays_in_its_files(tmp_path, write, monkeypatch):
    monkeypatch.setattr(image_folder, "IN_MEMORY", 10)
    names = [f"{part}/{label}/{number}.png" for part in ("train", "test") for label in "ab"
             for number in range(4)]
    x = open_image_folder(write(tmp_path / "set", grey_levels(*names))).x
    assert isinstance(x, ImageFolder) and x.shape == (8, 1, 3, 4) and x.dtype == "uint8"
    assert len(x) == 8 and x.nbytes == 96 and x.ndim == 4
    assert x[2].shape == (1, 3, 4) and (x[2] == 2).all() and (x[-1] == 7).all()
    assert levels(x.take([5, 0, 5])) == [5, 0, 5]
    assert isinstance(x[1:3], ImageFolder) and levels(x[1:3].decoded()) == [1, 2]
    assert levels(x[numpy.array([6, 1])].take([1])) == [1]
    assert levels(numpy.asarray(x)) == levels(numpy.stack(list(x))) == list(range(8))
    assert x[:0].decoded().shape == (0, 1, 3, 4)


def test_large_files_are_decoded_by_threads_in_the_same_order(tmp_path, monkeypatch):
    names = [f"a/{number:03}.png" for number in range(150)]
    path = write_zip(tmp_path / "set", grey_levels(*names))
    threads = set()
    whole = image_folder.decode

    def decode(*arguments):
        threads.add(threading.current_thread().name)
        return whole(*arguments)
    monkeypatch.setattr(image_folder, "decode", decode)
    assert levels(ImageFolder(Zip(path), names, (1, 3, 4)).decoded()) == list(range(150))
    assert threads == {"MainThread"}
    monkeypatch.setattr(image_folder, "_SMALL_FILE", 1)
    assert levels(ImageFolder(Zip(path), names, (1, 3, 4)).decoded()) == list(range(150))
    assert any(name.startswith("pictures") for name in threads)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_progress_bar_is_shown_on_a_terminal_alone(tmp_path, monkeypatch, capsys):
    path = write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"))
    open_image_folder(path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    open_image_folder(path)
    assert "set: training pictures" in sys.stderr.getvalue()
    assert "set: test pictures" in sys.stderr.getvalue()


@both
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_named(tmp_path, write, kind):
    content, told = BROKEN[kind]
    files = {"a/1.png": PNG, "a/2.png": PNG, "b/1.png": PNG, "b/bad.jpg": content}
    path = write(tmp_path / "set", files)
    for size in (None, (3, 8, 8)):
        with pytest.raises(FileFormatError, match=told) as caught:
            open_image_folder(path, size)
        assert str(caught.value).startswith(os.path.join(path, "b/bad.jpg: "))


@both
@pytest.mark.parametrize("count, more", [(2, ""), (5, ""), (6, "  and 1 more"),
                                         (12, "  and 7 more")])
def test_bad_pictures_are_told_together(tmp_path, write, count, more):
    names = [f"{part}/{label}/{number:02}.png" for part in ("train", "test") for label in "ab"
             for number in range(20)]
    bad = [*names[:count - 1], names[-1]]  # the first of all, and one of the test part
    files = {name: b"" if name in bad else PNG for name in names}
    path = write(tmp_path / "set", files)
    with pytest.raises(FileFormatError) as caught:
        open_image_folder(path)
    first, *lines = str(caught.value).split("\n")
    assert first == f"{path}: expected pictures that can be read, got {count} that cannot:"
    last = (lines.pop() if more else lines[-1]).partition(". Hint: ")
    assert last[2] == "save them anew, or remove them." and (not more or last[0] == more)
    assert [line.rstrip(".").partition(". Hint")[0] for line in lines] == [
        f"  {path}{os.sep}{name}: expected a picture, got an empty file" for name in bad[:5]]


def test_where_no_picture_is_one_they_are_told_together(tmp_path):
    path = write_folder(tmp_path / "set", dict.fromkeys(FOUR, b"no picture"))
    with pytest.raises(FileFormatError, match="set: expected pictures that can be read, got 4 tha"):
        open_image_folder(path)


def test_pictures_that_may_not_be_read_are_told_together(tmp_path, monkeypatch):
    monkeypatch.chdir(write_folder(tmp_path / "set", FOUR))
    os.chmod("b/2.png", 0)
    with without_permission("a/1.png"), pytest.raises(
            UnreadableFileError, match=r"got 2 that cannot:\n.*a/1.png: cannot be read: .*\n"
                                       r".*b/2.png: cannot be read: "):
        open_image_folder(".")


def test_errors_of_bad_pictures_hold_no_pictures(tmp_path):
    x = ImageFolder(Folder(write_folder(tmp_path, {"1.png": b"bad", "2.png": PNG})),
                    ["1.png", "2.png"], (3, 8, 8))
    bad = []
    assert x.decoded(bad=bad).shape == (2, 3, 8, 8)
    error, = bad
    assert error.__traceback__ is error.__cause__ is error.__context__ is None


def test_a_folder_of_pictures_says_what_it_is(tmp_path):
    x = ImageFolder(Folder(write_folder(tmp_path / "set", FOUR)), FOUR, (3, 8, 9))
    assert repr(x) == f"<ImageFolder '{tmp_path / 'set'}': 4 pictures (3, 8, 9)>"


LAYOUT = "expected folders of pictures, one for each of two classes or more, or train/ and test/"


@both
@pytest.mark.parametrize("files, told", [
    ({"a/1.txt": b""}, f"set.*: {LAYOUT} with such folders, got no pictures"),
    ({"1.png": PNG, "2.png": PNG}, f"set.*: {LAYOUT}.*, got pictures in no folder"),
    ({"a/1.png": PNG, "a/2.png": PNG}, f"set.*: {LAYOUT}.*, got one class"),
    ({"a/1.png": PNG, "a/2.png": PNG, "b/1.png": PNG, "c/notes.txt": b""},
     "set.*c: expected pictures in the folder of a class, got none. Hint: put some into it, or "
     "remove it"),
    ({"train/a/1.png": PNG, "train/b/1.png": PNG, "test/a/1.png": PNG, "test/b/no.txt": b""},
     "set.*test/b: expected pictures in the folder of a class, got none"),
    ({"train/a/1.png": PNG, "train/b/1.png": PNG, "test/c/1.png": PNG},
     "set.*test/c: expected a class that the training part has too, got 'c'"),
    ({"a/1.png": PNG, "a/2.png": PNG, "b/1.png": PNG},
     "set.*: expected two samples or more of every class, as there is no test part and a fifth is "
     "held out as one, got one of class 'b'"),
])
def test_what_is_missing_is_told(tmp_path, write, files, told):
    with pytest.raises(FileFormatError, match=told):
        open_image_folder(write(tmp_path / "set", files))


def test_an_empty_folder_of_a_class_is_told(tmp_path):
    path = write_folder(tmp_path / "set", {"a/1.png": PNG, "b/1.png": PNG})
    (path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="set/empty: expected pictures in the folder"):
        open_image_folder(path)


def test_a_broken_zip_is_told(tmp_path):
    path = write_zip(tmp_path / "set", {f"{label}/{number}.png": PNG for label in "ab"
                                        for number in range(5)})
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"set\.zip: expected a whole file, got a damaged "
                                                  r"one \(File is not a zip file\)"):
            open_image_folder(path)
    altered = bytearray(whole)
    altered[whole.index(PNG) + 100] ^= 1
    path.write_bytes(altered)
    with pytest.raises(FileFormatError, match=r"set\.zip.a/0\.png: expected a whole file, got a "
                                              r"damaged one \(Bad CRC-32.*Hint: make the zip anew"):
        open_image_folder(path)


def test_a_zip_with_a_password_is_told(tmp_path):
    path = write_zip(tmp_path / "set", {f"{label}/{number}.png": PNG for label in "ab"
                                        for number in range(2)})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of every entry
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="a/0.png: expected a file that can be unpacked, got "
                                              "one with a password"):
        open_image_folder(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = write_folder(tmp_path / "set", FOUR)
    with open(path / "a" / "1.png", "wb") as file:
        file.truncate(2**29)
    with pytest.raises(FileFormatError, match="a/1.png: expected a picture's file of at most "
                                              "268435456 bytes, got 536870912. Hint: remove it"):
        open_image_folder(path)


@pytest.mark.parametrize("name", ["a/1.png", "a"])
def test_what_may_not_be_read_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(write_folder(tmp_path / "set", FOUR))
    with without_permission(name), pytest.raises(UnreadableFileError, match=f"{name}: cannot be "
                                                                            "read: Permission"):
        open_image_folder(".")


def test_a_picture_that_goes_away_is_told_by_name(tmp_path):
    path = write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png"))
    x = ImageFolder(Folder(path), ["a/1.png", "a/2.png"], (1, 3, 4))
    (path / "a" / "2.png").unlink()
    with pytest.raises(UnreadableFileError, match="a/2.png: cannot be read: No such file"):
        x.take([0, 1])


@pytest.mark.parametrize("size, told", [
    ((2, 8, 8), r"pictures: expected 1 channel \(grey\) or 3 \(blue, green, red\), got 2"),
    ((3, 0, 8), "expected a height and a width of 1 or more, and at most 67108864 pixels, got 0 x"),
    ((3, 10**6, 10**6), "at most 67108864 pixels, got 1000000 x 1000000")])
def test_a_size_that_no_picture_has_is_told(tmp_path, size, told):
    with pytest.raises(ParameterError, match=told):
        open_image_folder(mixed(tmp_path), size)


def test_a_wrong_path_brings_the_nearest_name(tmp_path):
    write_folder(tmp_path, {"pets/a/1.png": PNG})
    with pytest.raises(MissingFileError, match="no such file or folder. Hint: did you mean 'pets'"):
        open_image_folder(tmp_path / "pest")


def test_names_that_are_no_utf_8_are_told_with_escapes(tmp_path):
    odd = os.fsdecode(b"fen\xeatre")
    path = write_folder(tmp_path / "set", {f"{label}/{number}.png": PNG for label in ("door", odd)
                                           for number in (1, 2)})
    found = open_image_folder(path)
    assert found.classes == ("door", r"fen\xeatre") and len(found.x) == 2
    (path / odd / "1.png").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"fen\\xeatre.1.png: expected a picture"):
        open_image_folder(path)


def test_importing_the_data_package_stays_light():
    code = ("import sys, minicaffe.data\n"
            "print([name for name in ('PIL', 'tqdm', 'urllib.request') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
