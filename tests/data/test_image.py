"""One picture: its colours, its orientation, its size, and what cannot be read."""

import struct
import sys
import zlib

import numpy
import pytest
from PIL import Image

from minicaffe.data.image import PIXELS, decode, read_image
from minicaffe.errors import FileFormatError, MissingPackageError, ParameterError
from minicaffe.proto.atomic_files import MissingFileError

from .image_files import BLUE, GREEN, JPEG, NOISE, PNG, RED, coloured, png, saved, write_folder


def test_colours_are_blue_green_red(tmp_path):
    path = write_folder(tmp_path, {"p.png": png((200, 100, 50))}) / "p.png"
    assert numpy.array_equal(read_image(path, 3, 3, 4), coloured(50, 100, 200)
                             + numpy.zeros((3, 3, 4), "uint8"))
    assert read_image(path, 1, 3, 4).shape == (1, 3, 4)
    assert (read_image(path, 1, 3, 4) == 124).all()  # 0.299 R + 0.587 G + 0.114 B
    assert read_image(path, 3, 3, 4).flags.c_contiguous


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


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_leave_the_picture_as_it_is():
    assert decode(saved(NOISE, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), "p").shape[0] == 3


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingPackageError, match="pictures: Pillow is not installed. Hint: pip "
                                                  r"install 'minicaffe\[images\]'"):
        decode(PNG, "p")


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_is_told(tmp_path, kind):
    content, told = BROKEN[kind]
    path = write_folder(tmp_path, {"bad.jpg": content}) / "bad.jpg"
    with pytest.raises(FileFormatError, match=told) as caught:
        read_image(path, 3, 8, 8)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("size, told", [
    ((2, 8, 8), r"pictures: expected 1 channel \(grey\) or 3 \(blue, green, red\), got 2"),
    ((3, 0, 8), "expected a height and a width of 1 or more, and at most 67108864 pixels, got 0 x"),
    ((3, 10**6, 10**6), "at most 67108864 pixels, got 1000000 x 1000000")])
def test_a_size_that_no_picture_has_is_told(tmp_path, size, told):
    with pytest.raises(ParameterError, match=told):
        read_image(tmp_path / "p.png", *size)


def test_a_wrong_path_brings_the_nearest_name(tmp_path):
    write_folder(tmp_path, {"1.png": PNG})
    with pytest.raises(MissingFileError, match="no such file. Hint: did you mean '1.png'"):
        read_image(tmp_path / "l.png", 3, 8, 8)
