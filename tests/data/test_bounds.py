"""Files of a few bytes that would take gigabytes, hours, or run something."""

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy
import pytest
from PIL import Image

from minicaffe.data.cifar import load_cifar10
from minicaffe.data.idx import load_idx
from minicaffe.data.sets import open_dataset
from minicaffe.errors import FileFormatError

from ..proto.bounded import assert_bounded
from .image_files import PNG, png, saved, write_folder, write_zip
from .test_cifar import BATCHES, files_of, write_archive


def zeros(mebibytes, head=b""):
    """Gzipped: ``head``, and so many MiB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(head) + b"".join(
        packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()


def told(read, path, *texts):
    """Whether the reader refuses the file within its bounds, with these texts."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (64 << 20) + 8 * path.stat().st_size
    for text in texts:
        assert text in str(caught.value)


# ---------------------------------------------------------------------------------------- archives

def header(kind, size, name="x"):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


TARS = {
    "a long name": (header(tarfile.GNUTYPE_LONGNAME, 256 << 20), "a header of 268435456 bytes"),
    "a long link": (header(tarfile.GNUTYPE_LONGLINK, 256 << 20), "a header of 268435456 bytes"),
    "a pax header": (header(tarfile.XHDTYPE, 256 << 20), "a header of 268435456 bytes"),
    "one for all": (header(tarfile.XGLTYPE, 256 << 20), "a header of 268435456 bytes"),
    "a batch": (header(tarfile.REGTYPE, 256 << 20, "data_batch_1"), "in a file packed to"),
    "another file": (header(tarfile.REGTYPE, 256 << 20), "in a file packed to"),
    "a negative size": (header(tarfile.REGTYPE, -5), "a file with holes"),
    "holes": (header(tarfile.GNUTYPE_SPARSE, 512, "data_batch_1"), "a file with holes"),
    "nothing": (b"", "in a file packed to"),
}


@pytest.mark.parametrize("kind", TARS)
def test_an_archive_is_not_unpacked_to_more_than_its_size_allows(tmp_path, kind):
    content, text = TARS[kind]
    (tmp_path / "cifar.tar.gz").write_bytes(zeros(20, content))
    told(load_cifar10, tmp_path / "cifar.tar.gz", text)


def test_pax_headers_one_after_the_other_are_no_depth(tmp_path):
    many = (header(tarfile.XHDTYPE, 9) + b"9 a=bcde\n".ljust(512, b"\0")) * 17000
    (tmp_path / "cifar.tar.gz").write_bytes(gzip.compress(many))
    with pytest.raises(FileFormatError, match="in a file packed to"):
        load_cifar10(tmp_path / "cifar.tar.gz")


@pytest.mark.parametrize("content", [b"x path=a\n", b"-9 path=a\n", b"99 path=a\n", b"\xff" * 30])
def test_broken_pax_headers_are_told(tmp_path, content):
    block = header(tarfile.XHDTYPE, len(content)) + content.ljust(512, b"\0") + bytes(1024)
    (tmp_path / "cifar.tar.gz").write_bytes(gzip.compress(block))
    with pytest.raises((ValueError, FileNotFoundError), match="cifar.tar.gz: "):
        load_cifar10(tmp_path / "cifar.tar.gz")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_links_and_folders_do_not_matter(tmp_path, form):
    path, files = tmp_path / "cifar.tar.gz", files_of("bin")
    with tarfile.open(path, "w:gz", format=form) as archive:
        archive.addfile(tarfile.TarInfo("ordner"))
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{'folder/' * 30}d\u00e4ten-{'x' * 120}/{name}")
            member.size, member.mtime = len(content), 1.5
            archive.addfile(member, io.BytesIO(content))
    assert numpy.array_equal(load_cifar10(path).x, load_cifar10(
        write_archive(tmp_path / "plain.tar.gz", files)).x)


# ----------------------------------------------------------------------------------------- pickles

def pickle_of(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def array(state, dtype=b"U\x02u1"):
    """An array by its state, as Python 2 pickles it."""
    return (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01" + state + b"cnumpy\ndtype\n" + dtype + b"K\x00K\x01\x87R\x89T\x04\x00\x00\x00"
            b"abcdtb")


PICKLES = {
    "a deep key": (pickle_of(b"}", b")" + b"\x85" * 900, b"K\x00s"), "a key that is a tuple"),
    "many opcodes": (pickle_of(b"}" * 100000), "opcodes"),
    "an object": (pickle_of(b"cos\nsystem\nU\x04true\x85R"), "it asks for os.system"),
    "new objects": (pickle_of(b"cnumpy\nndarray\n)\x81"), r"the opcode b'\\x81'"),
    "objects": (pickle_of(array(b"K\x04\x85", b"U\x02O8")), "an array of O8 instead of uint8"),
    "another size": (pickle_of(array(b"K\x05\x85")), "4 bytes for an array of shape (5,)"),
    "a negative size": (pickle_of(array(b"J\xff\xff\xff\xff\x85")), "an array without a shape"),
    "no shape": (pickle_of(array(b"N")), "an array without a shape"),
    "nothing on the stack": (pickle_of(), "more values than there are"),
    "beyond a mark": (pickle_of(b"]K\x01(a"), "more values than there are"),
    "no mark": (pickle_of(b"]e"), "IndexError"),
    "no such memo": (pickle_of(b"h\x07"), "KeyError"),
    "odd items": (pickle_of(b"}(K\x01u"), "ValueError"),
    "no list": (pickle_of(b"}K\x01a"), "a dict in the place of a list"),
    "a list called": (pickle_of(b"])R"), "a list in the place of a _Name"),
    "arguments": (pickle_of(b"c_codecs\nencode\n)R"), "a call with other arguments"),
    "a length below zero": (pickle_of(b"T\xff\xff\xff\xff"), "it ends too early"),
    "a length too large": (pickle_of(b"\x8e" + b"\xff" * 8), "it ends too early"),
    "no UTF-8": (pickle_of(b"X\x01\x00\x00\x00\xff"), "UnicodeDecodeError"),
    "copies": (pickle_of(b"X" + struct.pack("<I", 10**6) + b"a" * 10**6, b"q\x00c_codecs\nencode\n"
                         b"q\x01X\x06\x00\x00\x00latin1q\x02", b"h\x01h\x00h\x02\x86R" * 2000),
               "it copies its bytes too often"),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_that_no_batch_is_makes_nothing(tmp_path, kind):
    content, text = PICKLES[kind]
    files = {**files_of("py"), "data_batch_1": content}
    told(load_cifar10, write_archive(tmp_path / "cifar.tar.gz", files), "data_batch_1: ",
         "got a damaged one", text.replace("\\\\", "\\"))


# --------------------------------------------------------------------------------------------- idx

def idx_header(*shape):
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


def idx_folder(path, **files):
    """Four idx files, some of them other ones."""
    for part in ("train", "t10k"):
        made = {"images": gzip.compress(idx_header(2, 2, 2) + bytes(8)),
                "labels": gzip.compress(idx_header(2) + bytes(2))}
        for kind, axes in (("images", 3), ("labels", 1)):
            content = files.get(f"{part}_{kind}", made[kind])
            (path / f"{part}-{kind}-idx{axes}-ubyte.gz").write_bytes(content)
    return path


def test_labels_are_as_many_as_pictures_before_they_are_read(tmp_path):
    labels = zeros(15, idx_header(15 << 20))
    told(load_idx, idx_folder(tmp_path, train_labels=labels),
         "labels-idx1-ubyte.gz: expected 2 labels, one for each picture, got 15728640")


def test_pictures_of_one_pixel_are_no_way_to_many_labels(tmp_path):
    many = {"train_images": zeros(15, idx_header(15 << 20, 1, 1)),
            "train_labels": zeros(15, idx_header(15 << 20))}
    told(load_idx, idx_folder(tmp_path, **many), "in a file packed to")


def test_what_is_unpacked_is_held_to_what_is_packed(tmp_path):
    many = zeros(20, idx_header(256, 1024, 1024))
    told(load_idx, idx_folder(tmp_path, train_images=many), "train-images-idx3-ubyte.gz: ",
         "in a file packed to", "Hint: unpack it with gunzip.")


# --------------------------------------------------------------------------------------------- npz

def npy(shape, dtype="|u1", content=b"", version=(1, 0), text=None):
    """The content of a .npy file."""
    text = text or repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return (b"\x93NUMPY" + bytes(version)
            + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + content)


def npz(path, method=zipfile.ZIP_DEFLATED, **files):
    with zipfile.ZipFile(path / "set.npz", "w", method) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
    return path / "set.npz"


X, Y = npy((4, 2, 2), content=bytes(16)), npy((4,), content=b"\0\0\1\1")
NPZ = {
    "labels": (dict(x=X, y=npy((2**27,), content=bytes(2**27))), "in a file packed to"),
    "samples": (dict(x=npy((4, 2**26), content=bytes(2**28)), y=Y), "in a file packed to"),
    "bools": (dict(x=npy((4, 2**22), "|b1", bytes(2**24)), y=Y), "in a file packed to"),
    "names": (dict(x=X, y=Y, classes=npy((2**20,), "<U1", bytes(2**22))), "65536 names"),
    "a name": (dict(x=X, y=Y, classes=npy((1,), "<U16777216", bytes(2**26))), "in a file packed"),
    "text of no length": (dict(x=npy((2**40,), "<U0"), y=Y), "expected an array of numbers"),
    "a header": (dict(x=npy((4,), text=b"{" * 2**25, version=(2, 0)), y=Y), "a header of at most"),
    "depth": (dict(x=npy((4,), text=b"(" * 900), y=Y), "got a damaged one"),
    "signs": (dict(x=npy((4,), text=b"-" * 900 + b"1"), y=Y), "got a damaged one"),
    "a negative axis": (dict(x=npy((-4, -4), content=bytes(16)), y=Y), "an array of numbers"),
    "fields": (dict(x=npy((4,), [("a", "|u1"), ("b", "|u1")], bytes(8)), y=Y), "array of numbers"),
    "no array": (dict(x=b"nothing", y=Y), "an array as NumPy writes it, got something else"),
}


@pytest.mark.parametrize("kind", NPZ)
def test_arrays_are_held_to_the_size_of_the_file(tmp_path, kind):
    files, text = NPZ[kind]
    told(open_dataset, npz(tmp_path, **files), text)


def test_what_is_not_packed_may_be_as_large_as_it_is(tmp_path):
    x = numpy.zeros((4, 2**23), numpy.float16)
    numpy.savez(tmp_path / "set.npz", x_train=x, y_train=[0, 0, 1, 1], x_test=x[:1], y_test=[0])
    assert open_dataset(tmp_path / "set.npz").x.dtype == "float32"


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy_is_read_in_both_orders(tmp_path, version):
    x = numpy.arange(24, dtype="uint8").reshape(4, 2, 3)
    text = b"{'descr': '|u1', 'fortran_order': True, 'shape': (4, 2, 3)}"
    files = dict(x=npy(None, text=text, version=version, content=x.tobytes("F")), y=Y)
    found = open_dataset(npz(tmp_path, **files))
    both = numpy.concatenate([found.x, found.test_x])[:, 0]
    assert sorted(both[:, 0, 0].tolist()) == [0, 6, 12, 18]
    assert all(any(numpy.array_equal(one, other) for other in x) for one in both)


# -------------------------------------------------------------------------------------------- zips

def packed_pictures(path, content, count=4, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path / "set.zip", "w", method) as archive:
        for number in range(count):
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", content)
    return path / "set.zip"


def test_a_picture_s_file_is_not_unpacked_to_more_than_its_size_allows(tmp_path):
    told(open_dataset, packed_pictures(tmp_path, bytes(2**26)), "in a file packed to")


def test_a_size_that_a_zip_understates_does_not_matter(tmp_path):
    path = packed_pictures(tmp_path, bytes(2**26))
    told_size, small = struct.pack("<I", 2**26), struct.pack("<I", 100)
    path.write_bytes(path.read_bytes().replace(told_size, small))
    told(open_dataset, path, "got a damaged one")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_uncommon_ways_of_packing_are_refused(tmp_path, method):
    told(open_dataset, packed_pictures(tmp_path, bytes(2**20), method=method),
         "one packed in another way than Deflate")


def directory_entry(name, size, offset=0):
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, size, size, len(name), 0, 0,
                       0, 0, 0, offset) + name


def zip_of_entries(entries, count, front=b""):
    directory = b"".join(entries)
    return front + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count % 2**16,
                                           count % 2**16, len(directory), len(front), 0)


def test_a_list_of_files_without_files_is_refused(tmp_path):
    path = tmp_path / "set.zip"
    path.write_bytes(zip_of_entries([directory_entry(b"a", 0)] * 200000, 200000))
    told(open_dataset, path, "a list of files of at most")


def test_files_that_lie_over_each_other_are_refused(tmp_path):
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, zlib.crc32(PNG), len(PNG), len(PNG),
                        7, 0) + b"a/1.png" + PNG
    path = tmp_path / "set.zip"
    path.write_bytes(zip_of_entries([directory_entry(b"a/1.png", len(PNG))] * 50, 50, local))
    told(open_dataset, path, "files that lie side by side, got some that overlap")


def test_folders_in_folders_have_a_bound(tmp_path):
    deep = "/".join(["a"] * 20000) + "/1.png"
    path = write_zip(tmp_path / "set", {deep: PNG, "b/1.png": PNG})
    told(open_dataset, path, "at most 64 folders in each other")
    here = tmp_path / "folder"
    here.mkdir()
    for _ in range(70):
        here = here / "a"
        here.mkdir()
    told(open_dataset, tmp_path / "folder", "at most 64 folders in each other")


def altered(content, place, value, mark=b"PK\1\2"):
    """A zip of which a byte of each entry of its list is another."""
    content, start = bytearray(content), content.find(mark)
    while start >= 0:
        content[start + place] = value
        start = content.find(mark, start + 4)
    return bytes(content)


@pytest.mark.parametrize("place, value, text", [
    (6, 200, "zip file version"), (8, 1, "one with a password"), (10, 99, "in another way"),
    (16, 1, "Bad CRC-32")])
def test_odd_entries_of_a_zip_are_told(tmp_path, place, value, text):
    path = packed_pictures(tmp_path, PNG)
    path.write_bytes(altered(path.read_bytes(), place, value))
    told(open_dataset, path, text)


# ---------------------------------------------------------------------------------------- pictures

def blank(side, mode="RGB"):
    return saved(Image.new(mode, (side, side)), compress_level=9)


@pytest.mark.parametrize("mode, side", [("RGB", 8191), ("RGBA", 3000), ("1", 8192), ("P", 4000),
                                        ("I;16", 4000)])
def test_a_small_picture_has_no_great_number_of_pixels(tmp_path, mode, side):
    path = packed_pictures(tmp_path, blank(side, mode))
    told(open_dataset, path, "pixels in a file of", f"got {side} x {side}")


def test_pillow_s_memory_has_the_same_bound(tmp_path):
    path = packed_pictures(tmp_path, blank(1500, "RGBA"), 2)
    error = assert_bounded(open_dataset, path)
    assert error.startswith("FileFormatError: ") and "one of class" in error  # all were decoded


def test_small_pictures_have_no_great_number_of_pixels_together(tmp_path):
    path = packed_pictures(tmp_path, blank(2000, "L"), 300)
    told(lambda path: open_dataset(path, (3, 8, 8)), path, "512 pixels for each byte")


def test_a_progressive_jpeg_has_a_bounded_number_of_scans(tmp_path):
    jpeg = saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    scan = jpeg[jpeg.index(b"\xff\xda"):-2]
    scans = scan[:scan.index(b"\xff\xda", 2)] if scan.count(b"\xff\xda") > 1 else scan
    path = packed_pictures(tmp_path, jpeg[:-2] + scans * 1000 + jpeg[-2:])
    told(open_dataset, path, "a JPEG of at most 256 scans")


@pytest.mark.parametrize("form", ["EPS", "PDF", "TGA", "ICO", "SGI", "PCX", "JPEG2000", "DDS"])
def test_other_formats_are_not_opened_whatever_their_name(tmp_path, form):
    try:
        content = saved(Image.new("RGB", (16, 16)), form)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {form}")
    path = write_folder(tmp_path / "set", {"a/1.png": content, "a/2.png": content, "b/1.png":
                                           content, "b/2.png": content})
    told(open_dataset, path, "expected a picture, got something else")


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho 10.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"
    path = write_folder(tmp_path / "set", dict.fromkeys(("a/1.jpg", "a/2.jpg", "b/1.jpg",
                                                         "b/2.jpg"), content))
    told(open_dataset, path, "expected a picture, got something else")
    assert not (tmp_path / "ran").exists()


# ----------------------------------------------------------------------------------------- folders

FOUR = dict.fromkeys(("a/1.png", "a/2.png", "b/1.png", "b/2.png"), PNG)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_link_leads_to_a_regular_file_or_is_told(tmp_path):
    path = write_folder(tmp_path / "set", FOUR)
    (path / "a" / "3.png").symlink_to("/dev/zero")
    told(open_dataset, path, "3.png: expected a regular file, got a folder, a device or a pipe")
    (path / "a" / "3.png").unlink()
    os.mkfifo(tmp_path / "pipe")
    (path / "a" / "3.png").symlink_to(tmp_path / "pipe")
    told(open_dataset, path, "3.png: expected a regular file")


def test_a_link_is_not_followed_through_the_disk(tmp_path):
    path = write_folder(tmp_path / "set", FOUR)
    far = write_folder(tmp_path / "far", {"x/y/z/1.png": png(size=(9, 9)), "x/2.png": PNG})
    (far / "again").symlink_to(far)
    (path / "a" / "root").symlink_to("/")
    (path / "a" / "above").symlink_to(tmp_path)
    (path / "b" / "far").symlink_to(far)
    found = open_dataset(path)
    assert len(found.x) + len(found.test_x) == 5


def test_other_readers_open_no_pipe(tmp_path):
    for name in ("set.npz", "set.zip", "cifar.tar.gz"):
        os.mkfifo(tmp_path / name)
        told(open_dataset, tmp_path / name, "expected a regular file")


def test_the_batches_of_a_folder_are_regular_files(tmp_path):
    for name in BATCHES:
        os.mkfifo(tmp_path / f"{name}.bin")
    with pytest.raises(ValueError, match="expected folders of pictures|a folder with"):
        open_dataset(tmp_path)
