"""Pictures by class: their layouts, their sizes and colours, and what cannot be read."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy
import pytest
from PIL import Image

from minicaffe.data import pictures
from minicaffe.data.files import UnreadableFileError
from minicaffe.data.picture import PIXELS, decode, read_picture
from minicaffe.data.pictures import Folder, Pictures, Zip, open_pictures
from minicaffe.errors import FileFormatError, ParameterError, ShapeError
from minicaffe.proto.files import MissingFileError

from .access import without_permission

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def png(colour=RED, size=(4, 3), mode="RGB", **options):
    """The bytes of a picture of one colour, ``size`` its (width, height)."""
    return saved(Image.new(mode, size, colour), **options)


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def coloured(*bgr):
    return numpy.array(bgr, "uint8")[:, None, None]


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path, files):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def grey_levels(*names):
    """{name: a picture whose one grey level is the place of its name}"""
    return {name: png(level, mode="L") for level, name in enumerate(names)}


def levels(x):
    return x[:, 0, 0, 0].tolist()


both = pytest.mark.parametrize("write", [write_folder, write_zip])


@both
def test_each_folder_of_train_and_test_is_a_class_in_alphabetical_order(tmp_path, write):
    names = ("train/dog/1.png", "train/cat/2.png", "train/cat/1.png", "test/dog/x.png",
             "test/cat/y.png")
    found = open_pictures(write(tmp_path / "pets", grey_levels(*names)))
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
    found = open_pictures(write(tmp_path / "set", grey_levels(*names)))
    assert levels(found.test_x) == [names.index(f"{used}/{label}/1.png") for label in ("a", "b")]
    assert levels(found.x) == [0, 1]


@both
def test_a_test_part_without_classes_is_passed_over(tmp_path, write):
    names = ["train/a/1.png", "train/b/1.png", "test/1.png", "val/a/1.png"]
    assert levels(open_pictures(write(tmp_path / "set", grey_levels(*names))).test_x) == [3]


@both
def test_without_a_test_part_the_same_fifth_of_each_class_is_held_out(tmp_path, write):
    names = [f"{label}/{number:02}.png" for label, count in (("a", 10), ("b", 5), ("c", 2))
             for number in range(count)]
    path = write(tmp_path / "set", grey_levels(*names))
    found = open_pictures(path)
    assert numpy.bincount(found.test_y).tolist() == [2, 1, 1]
    assert sorted(levels(found.x) + levels(found.test_x)) == list(range(17))
    assert [names[level][0] for level in levels(found.test_x)] == ["a", "a", "b", "c"]
    assert levels(open_pictures(path).test_x) == levels(found.test_x)


@both
def test_folders_around_all_and_below_a_class_do_not_matter(tmp_path, write):
    names = ["all/pets/train/cat/deep/1.png", "all/pets/train/dog/1.PNG", "all/pets/val/cat/1.png"]
    found = open_pictures(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("cat", "dog") and levels(found.x) == [0, 1]


@both
def test_train_is_a_class_where_no_classes_are_in_it(tmp_path, write):
    names = [f"{label}/{number}.png" for label in ("bus", "train") for number in range(2)]
    assert open_pictures(write(tmp_path / "set", grey_levels(*names))).classes == ("bus", "train")


@both
def test_what_is_no_picture_of_a_class_is_passed_over(tmp_path, write):
    files = {**grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"), "a/notes.txt": b"notes",
             "README.md": b"", "preview.png": png(), "b/.hidden.png": b"", ".git/x/1.png": b"",
             "__MACOSX/a/1.png": b""}
    found = open_pictures(write(tmp_path / "set", files))
    assert found.classes == ("a", "b") and len(found.x) + len(found.test_x) == 4


@both
def test_the_order_is_that_of_the_classes_and_then_of_the_files(tmp_path, write):
    names = ["train/cat/2.png", "train/cat-2/1.png", "train/cat/1.png", "test/cat/1.png"]
    found = open_pictures(write(tmp_path / "set", grey_levels(*names)))
    assert found.classes == ("cat", "cat-2") and levels(found.x) == [2, 0, 1]


def test_links_to_folders_are_followed(tmp_path):
    there = write_folder(tmp_path / "there", grey_levels("1.png", "2.png"))
    write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png"))
    (tmp_path / "set" / "b").symlink_to(there)
    assert open_pictures(tmp_path / "set").classes == ("a", "b")


def test_links_that_lead_back_are_not_followed_round_and_round(tmp_path):
    write_folder(tmp_path, grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"))
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert sorted(Folder(tmp_path).names) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]


def test_colours_are_blue_green_red(tmp_path):
    path = write_folder(tmp_path, {"p.png": png((200, 100, 50))}) / "p.png"
    assert numpy.array_equal(read_picture(path, 3, 3, 4), coloured(50, 100, 200)
                             + numpy.zeros((3, 3, 4), "uint8"))
    assert read_picture(path, 1, 3, 4).shape == (1, 3, 4)
    assert (read_picture(path, 1, 3, 4) == 124).all()  # 0.299 R + 0.587 G + 0.114 B
    assert read_picture(path, 3, 3, 4).flags.c_contiguous


@pytest.mark.parametrize("content, expected", [
    (png(77, mode="L"), (77,)),
    (png(1, mode="1"), (255,)),
    (png((77, 255), mode="LA"), (77,)),
    (png((0, 0), mode="LA"), (255,)),
    (png((10, 20, 30, 255), mode="RGBA"), (30, 20, 10)),
    (png((10, 20, 30, 0), mode="RGBA"), (255, 255, 255)),
    (png((0, 0, 0, 127), mode="RGBA"), (128, 128, 128)),
    (png(RED, transparency=RED), (255, 255, 255)),
    (png(20000, mode="I;16"), (78,)),
    (png(65535, mode="I;16"), (255,)),
    (saved(Image.new("RGB", (4, 3), GREEN).quantize(4)), (0, 255, 0)),
    (saved(Image.new("CMYK", (4, 3), (255, 255, 0, 0)), "TIFF"), (255, 0, 0)),
    (saved(Image.new("RGB", (4, 3), BLUE), "BMP"), (255, 0, 0)),
    (saved(Image.new("RGB", (4, 3), BLUE), "GIF"), (255, 0, 0)),
    (saved(Image.new("RGB", (4, 3), BLUE), "PPM"), (255, 0, 0)),
])
def test_every_kind_of_picture_becomes_grey_or_colour_of_eight_bits(content, expected):
    found = decode(content, "p")
    assert found.shape == (len(expected), 3, 4) and (found == coloured(*expected)).all()
    assert found.dtype == "uint8"


def test_a_cmyk_jpeg_keeps_its_colours():
    content = saved(Image.new("RGB", (8, 8), (250, 10, 10)).convert("CMYK"), "JPEG", quality=95)
    assert abs(decode(content, "p").astype(int) - coloured(10, 10, 250)).max() < 6


def test_a_picture_is_turned_as_its_orientation_says():
    upright = Image.fromarray(numpy.arange(12, dtype="uint8").reshape(3, 4) * 20)
    turns = {1: lambda x: x, 2: numpy.fliplr, 3: lambda x: numpy.rot90(x, 2), 4: numpy.flipud,
             5: numpy.transpose, 6: lambda x: numpy.rot90(x, -1),
             7: lambda x: numpy.rot90(x, 2).T, 8: numpy.rot90}
    for orientation, turn in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        found = decode(saved(upright, exif=exif), "p")
        assert numpy.array_equal(found[0], turn(numpy.asarray(upright))), orientation


def test_another_size_is_cut_evenly_and_averaged():
    stripes = numpy.zeros((4, 8), "uint8")
    stripes[:, 2:4], stripes[:, 4:6] = 100, 200  # what remains of the middle 4 x 4
    content = saved(Image.fromarray(stripes))
    assert decode(content, "p", (1, 4, 4)).tolist() == [[[100, 100, 200, 200]] * 4]
    assert decode(content, "p", (1, 1, 1)).tolist() == [[[150]]]
    tall = saved(Image.fromarray(stripes.T.copy()))
    assert decode(tall, "p", (1, 4, 4))[0].T.tolist() == [[100, 100, 200, 200]] * 4
    assert decode(content, "p", (3, 8, 16)).shape == (3, 8, 16)


def test_fine_stripes_become_grey_instead_of_aliasing():
    stripes = numpy.zeros((64, 64), "uint8")
    stripes[:, ::2] = 200
    found = decode(saved(Image.fromarray(stripes)), "p", (1, 8, 8))
    assert abs(found.astype(int) - 100).max() <= 4  # at the borders


def test_a_large_jpeg_is_scaled_as_a_png_is():
    rng = numpy.random.RandomState(0)
    blobs = Image.fromarray(rng.randint(0, 256, (24, 32, 3)).astype("uint8"))
    picture = blobs.resize((128, 96), Image.Resampling.BICUBIC)
    jpeg, plain = (decode(saved(picture, form), "p", (3, 24, 24)).astype(int)
                   for form in ("JPEG", "PNG"))
    assert plain.std() > 30 and abs(jpeg - plain).mean() < 10


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
        open_pictures(path)
    found = open_pictures(path, (3, 2, 2))
    assert found.x.shape == (4, 3, 2, 2) and found.x[:, 2, 0, 0].tolist() == [0, 10, 0, 10]


def test_grey_among_colours_is_shown_in_colour_but_colour_among_grey_is_told(tmp_path):
    grey, red = png(9, mode="L"), png(RED)
    files = {"a/1.png": red, "a/2.png": grey, "b/1.png": red, "b/2.png": red}
    path = write_folder(tmp_path / "red", files)
    found = open_pictures(path)
    assert Pictures(Folder(path), ["a/2.png"], (3, 3, 4), scaled=False)[0].shape == (3, 3, 4)
    assert len(found.x) == 2 and found.x.shape[1] == 3
    assert 9 in (*found.x[:, 1, 0, 0], *found.test_x[:, 1, 0, 0])
    files = {"a/1.png": grey, "a/2.png": red, "b/1.png": grey, "b/2.png": grey}
    with pytest.raises(ShapeError, match=r"2\.png: expected a picture of shape \(1, 3, 4\).*"
                                         r"got \(3, 3, 4\)"):
        open_pictures(write_folder(tmp_path / "grey", files))


@both
def test_what_does_not_fit_into_memory_stays_in_its_files(tmp_path, write, monkeypatch):
    monkeypatch.setattr(pictures, "IN_MEMORY", 10)
    names = [f"{part}/{label}/{number}.png" for part in ("train", "test") for label in "ab"
             for number in range(4)]
    x = open_pictures(write(tmp_path / "set", grey_levels(*names))).x
    assert isinstance(x, Pictures) and x.shape == (8, 1, 3, 4) and x.dtype == "uint8"
    assert len(x) == 8 and x.nbytes == 96 and x.ndim == 4
    assert x[2].shape == (1, 3, 4) and (x[2] == 2).all() and (x[-1] == 7).all()
    assert levels(x.take([5, 0, 5])) == [5, 0, 5]
    assert isinstance(x[1:3], Pictures) and levels(x[1:3].decoded()) == [1, 2]
    assert levels(x[numpy.array([6, 1])].take([1])) == [1]
    assert levels(numpy.asarray(x)) == levels(numpy.stack(list(x))) == list(range(8))
    assert x[:0].decoded().shape == (0, 1, 3, 4)


def test_large_files_are_decoded_by_threads_in_the_same_order(tmp_path, monkeypatch):
    names = [f"a/{number:03}.png" for number in range(150)]
    path = write_zip(tmp_path / "set", grey_levels(*names))
    threads = set()
    whole = pictures.decode

    def decode(*arguments):
        threads.add(pictures.threading.current_thread().name)
        return whole(*arguments)
    monkeypatch.setattr(pictures, "decode", decode)
    assert levels(Pictures(Zip(path), names, (1, 3, 4)).decoded()) == list(range(150))
    assert threads == {"MainThread"}
    monkeypatch.setattr(pictures, "_SMALL_FILE", 1)
    assert levels(Pictures(Zip(path), names, (1, 3, 4)).decoded()) == list(range(150))
    assert any(name.startswith("pictures") for name in threads)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_progress_bar_is_shown_on_a_terminal_alone(tmp_path, monkeypatch, capsys):
    path = write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png", "b/1.png", "b/2.png"))
    open_pictures(path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    open_pictures(path)
    assert "set: training pictures" in sys.stderr.getvalue()
    assert "set: test pictures" in sys.stderr.getvalue()


NOISE = Image.fromarray(numpy.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype("uint8"))
JPEG, PNG = saved(NOISE, "JPEG"), saved(NOISE)


def claiming(width, height):
    """A PNG of a few bytes whose header claims another size."""
    header = b"IHDR" + struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
            + struct.pack(">I", zlib.crc32(header)) + PNG[33:])


BROKEN = {
    "empty": (b"", "expected a picture, got an empty file. Hint: save it anew, or remove it."),
    "a text": (b"no picture", "expected a picture, got something else, or only its beginning"),
    "jpg cut": (JPEG[:-300], r"expected a whole picture, got a damaged one \(.*truncated"),
    "jpg cut in its header": (JPEG[:100], "expected a (whole )?picture, got"),
    "png cut": (PNG[:len(PNG) // 2], "expected a whole picture, got a damaged one"),
    "png altered": (PNG[:41] + bytes(20) + PNG[61:], "expected a whole picture, got a damaged"),
    "a bomb": (claiming(50000, 50000), f"expected a picture of at most {PIXELS} pixels, got .*"
                                       "Hint: make it smaller"),
    "too large": (claiming(9000, 9000), f"at most {PIXELS} pixels, got 9000 x 9000"),
    "absurd": (claiming(2**31 - 1, 2**31 - 1), f"expected a picture of at most {PIXELS} pixels"),
    "of 32 bits": (saved(Image.new("F", (4, 3), 0.5), "TIFF"),
                   "expected a picture of 8 or 16 bits a channel, got one of 32"),
}


@both
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_named(tmp_path, write, kind):
    content, told = BROKEN[kind]
    files = {"a/1.png": PNG, "a/2.png": PNG, "b/1.png": PNG, "b/bad.jpg": content}
    path = write(tmp_path / "set", files)
    for size in (None, (3, 8, 8)):
        with pytest.raises(FileFormatError, match=told) as caught:
            open_pictures(path, size)
        assert str(caught.value).startswith(os.path.join(path, "b/bad.jpg: "))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_leave_the_picture_as_it_is():
    assert decode(saved(NOISE, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), "p").shape[0] == 3


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
        open_pictures(write(tmp_path / "set", files))


def test_an_empty_folder_of_a_class_is_told(tmp_path):
    path = write_folder(tmp_path / "set", {"a/1.png": PNG, "b/1.png": PNG})
    (path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="set/empty: expected pictures in the folder"):
        open_pictures(path)


def test_a_broken_zip_is_told(tmp_path):
    path = write_zip(tmp_path / "set", {f"{label}/{number}.png": PNG for label in "ab"
                                        for number in range(5)})
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"set\.zip: expected a whole file, got a damaged "
                                                  r"one \(File is not a zip file\)"):
            open_pictures(path)
    altered = bytearray(whole)
    altered[whole.index(PNG) + 100] ^= 1
    path.write_bytes(altered)
    with pytest.raises(FileFormatError, match=r"set\.zip.a/0\.png: expected a whole file, got a "
                                              r"damaged one \(Bad CRC-32.*Hint: make the zip anew"):
        open_pictures(path)


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
                                              ".*password required"):
        open_pictures(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = write_folder(tmp_path / "set", {"a/1.png": PNG, "b/1.png": PNG})
    with open(path / "a" / "1.png", "wb") as file:
        file.truncate(2**29)
    with pytest.raises(FileFormatError, match="a/1.png: expected a picture's file of at most "
                                              "268435456 bytes, got 536870912. Hint: remove it"):
        open_pictures(path)


@pytest.mark.parametrize("name", ["a/1.png", "a"])
def test_what_may_not_be_read_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(write_folder(tmp_path / "set", {"a/1.png": PNG, "b/1.png": PNG}))
    with without_permission(name), pytest.raises(UnreadableFileError, match=f"{name}: cannot be "
                                                                            "read: Permission"):
        open_pictures(".")


def test_a_picture_that_goes_away_is_told_by_name(tmp_path):
    path = write_folder(tmp_path / "set", grey_levels("a/1.png", "a/2.png"))
    x = Pictures(Folder(path), ["a/1.png", "a/2.png"], (1, 3, 4))
    (path / "a" / "2.png").unlink()
    with pytest.raises(UnreadableFileError, match="a/2.png: cannot be read: No such file"):
        x.take([0, 1])


@pytest.mark.parametrize("size, told", [
    ((2, 8, 8), r"pictures: expected 1 channel \(grey\) or 3 \(blue, green, red\), got 2"),
    ((3, 0, 8), "expected a height and a width of 1 or more, and at most 67108864 pixels, got 0 x"),
    ((3, 10**6, 10**6), "at most 67108864 pixels, got 1000000 x 1000000")])
def test_a_size_that_no_picture_has_is_told(tmp_path, size, told):
    with pytest.raises(ParameterError, match=told):
        open_pictures(mixed(tmp_path), size)
    with pytest.raises(ParameterError, match=told):
        read_picture(tmp_path / "p.png", *size)


def test_a_wrong_path_brings_the_nearest_name(tmp_path):
    write_folder(tmp_path, {"pets/a/1.png": PNG})
    with pytest.raises(MissingFileError, match="no such file or folder. Hint: did you mean 'pets'"):
        open_pictures(tmp_path / "pest")
    with pytest.raises(MissingFileError, match="no such file. Hint: did you mean '1.png'"):
        read_picture(tmp_path / "pets/a/l.png", 3, 8, 8)


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pictures: Pillow is not installed. Hint: pip install "
                                          r"'minicaffe\[images\]'"):
        decode(PNG, "p")


def test_importing_the_data_package_stays_light():
    code = ("import sys, minicaffe.data\n"
            "print([name for name in ('PIL', 'tqdm', 'urllib.request') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
