"""The folder of compiled code: it is the user's alone, and nothing that is damaged is loaded."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from pathlib import Path

import numba
import pytest

from minicaffe.backend.cpu.runtime import disk_cache, jit
from minicaffe.backend.cpu.runtime.disk_cache import PACKAGE, SOURCES, cache_places, digest

from .processes import printed, run

NINE = """
import numpy
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
get_backend("cpu").map(lambda x: 9 * x, x, x)
print(x[0], Counter.count > 0)
"""
posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no mode here")


def kernels(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("kernels-*/*") if file.is_file()]


# ------------------------------------------------------------------------------------- which folder

@pytest.mark.parametrize("changed, differs", [
    ("backend/cpu/matrix/gemm.py", True), ("backend/base.py", True), ("elementwise.py", True),
    ("window.py", False)])
def test_the_folder_depends_on_the_sources_of_the_kernels(tmp_path, changed, differs):
    copy = tmp_path / "minicaffe"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = digest(copy, SOURCES)
    os.utime(copy / changed, (0, 0))
    assert digest(copy, SOURCES) == before == digest(PACKAGE, SOURCES)
    with (copy / changed).open("a") as file:
        file.write("# changed\n")
    assert (digest(copy, SOURCES) != before) == differs


def test_the_folder_depends_on_compiler_interpreter_and_processor(monkeypatch):
    found = {digest(PACKAGE, SOURCES)}
    for name, value in (("numba.__version__", "0.0"), ("llvmlite.__version__", "0.0"),
                        ("numpy.__version__", "0.0"), ("sys.version", "0.0"),
                        ("llvmlite.binding.get_host_cpu_name", lambda: "abacus"),
                        ("llvmlite.binding.get_default_triple", lambda: "abacus")):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            found.add(digest(PACKAGE, SOURCES))
    assert len(found) == 7


def test_an_installed_package_is_the_last_place():
    package = Path("/venv/lib/site-packages/minicaffe/backend/cpu")
    assert cache_places({"HOME": "/h"}, "linux", package) == [
        Path("/h/.cache/minicaffe"), package / "__pycache__"]


def test_places_in_order():
    package = Path("package")
    assert cache_places({"HOME": "/h"}, "linux", package) == [
        package / "__pycache__", Path("/h/.cache/minicaffe")]
    assert cache_places({"HOME": "/h"}, "darwin", package)[1:] == [
        Path("/h/Library/Caches/minicaffe")]
    assert cache_places({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", package)[1:] == [
        Path("/x/minicaffe")]
    assert cache_places({"LOCALAPPDATA": "/l"}, "win32", package)[1:] == [
        Path("/l/minicaffe/cache")]
    assert cache_places({}, "linux", package) == [package / "__pycache__"]
    assert cache_places({"HOME": "/h", "NUMBA_CACHE_DIR": "/n"}, "linux", package) == [
        Path("/n/minicaffe"), package / "__pycache__", Path("/h/.cache/minicaffe")]


def test_the_first_place_that_can_be_written_is_taken(tmp_path):
    file = tmp_path / "file"
    file.write_text("")  # nobody, not even root, can make a folder in a file
    good = tmp_path / "a" / "b"
    assert disk_cache.first_fit([file / "x", good, tmp_path / "c"]) == (good, {})
    assert good.is_dir() and not (tmp_path / "c").exists() and list(good.iterdir()) == []
    assert disk_cache.first_fit([file / "x", file]) == (None, {})


@posix
def test_a_new_folder_is_closed_to_others(tmp_path):
    before = os.umask(0)
    try:
        disk_cache.first_fit([tmp_path / "a" / "b"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o755, 0o710, 0o701])
def test_a_folder_that_is_open_to_others_is_not_used(tmp_path, mode):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    chosen, refused = disk_cache.first_fit([tmp_path / "open", tmp_path / "next"])
    assert chosen == tmp_path / "next" and refused == {tmp_path / "open": f"mode {mode:o}"}


@posix
def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    theirs, user = tmp_path / "theirs", os.geteuid()
    theirs.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert disk_cache.first_fit([theirs]) == (None, {theirs: f"one of user {user}"})


def test_a_link_to_a_folder_is_not_used(tmp_path):
    (tmp_path / "private").mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "private")
    chosen, refused = disk_cache.first_fit([link, link / "below"])
    assert chosen == link / "below" and refused == {link: "a link"}  # only the last part counts


def test_a_folder_that_cannot_be_written_is_of_use_if_something_is_in_it(tmp_path, monkeypatch):
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir(mode=0o700), empty.mkdir(mode=0o700)
    (full / "code").write_bytes(b"")

    def refuse(*arguments, **named):
        raise OSError

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "utime", refuse)
    assert disk_cache.first_fit([empty, full]) == (full, {})
    assert disk_cache.first_fit([empty]) == (None, {})


@posix
def test_a_warning_says_which_folder_is_not_used_and_which_is(tmp_path, monkeypatch, caplog):
    name = "kernels-" + digest(PACKAGE, SOURCES)
    asked, home = tmp_path / "asked", tmp_path / "home"
    theirs = asked / "minicaffe" / name
    theirs.mkdir(parents=True)
    theirs.chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(asked))
    monkeypatch.setattr(disk_cache, "PACKAGE", home)
    monkeypatch.setattr(disk_cache, "digest", lambda *parts: name[len("kernels-"):])
    ours = home / "backend" / "cpu" / "__pycache__" / name
    assert disk_cache.folder.__wrapped__() == ours
    assert caplog.messages == [
        f"{theirs}: expected a folder of mode 700 that belongs to you, to keep compiled code in, "
        f"got mode 777. {ours} is used instead."]


def test_a_folder_that_was_asked_for_and_cannot_be_made_is_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(disk_cache, "PACKAGE", tmp_path / "home")
    monkeypatch.setattr(disk_cache, "digest", lambda *parts: "digest")
    ours = tmp_path / "home" / "backend" / "cpu" / "__pycache__" / "kernels-digest"
    assert disk_cache.folder.__wrapped__() == ours
    assert caplog.messages == [
        f"NUMBA_CACHE_DIR={tmp_path / 'file'}: no folder for compiled code can be made there. "
        f"{ours} is used instead."]


def test_where_nothing_can_be_written_code_is_compiled_in_memory_with_one_note(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    result = run("import logging; logging.basicConfig(format='%(name)s %(levelname)s %(message)s')"
                 f"""
import minicaffe.backend.cpu
from minicaffe.backend.cpu.runtime import disk_cache
from pathlib import Path
disk_cache.cache_places = lambda *arguments: [Path({str(file)!r})]
class Counter: count = 1
""" + NINE)
    assert result.stdout == "9.0 True\n", result.stderr
    assert result.stderr == (
        "minicaffe WARNING no folder can be written to keep compiled code in: it is compiled "
        "again in every process. Set NUMBA_CACHE_DIR to a writable folder.\n")


def test_folders_of_other_versions_go_after_a_while(tmp_path):
    ours, old, young, foreign = (tmp_path / name for name in (
        "kernels-ours", "kernels-old", "kernels-young", "foreign"))
    now = time.time()
    for folder, age in ((ours, 100), (old, 100), (young, 1), (foreign, 100)):
        folder.mkdir(mode=0o700)
        (folder / "code").write_text("")
        os.utime(folder, (now - age, now - age))
    (tmp_path / "kernels-link").symlink_to(foreign)
    disk_cache.remove_stale(ours, now - 50)
    assert sorted(tmp_path.iterdir()) == sorted([ours, young, foreign, tmp_path / "kernels-link"])
    assert (foreign / "code").exists()


def test_a_folder_in_use_does_not_grow_old(tmp_path):
    os.utime(tmp_path, (0, 0))
    tmp_path.chmod(0o700)
    disk_cache.first_fit([tmp_path])
    assert tmp_path.stat().st_mtime > 0


def test_the_users_own_setting_of_the_cache_is_left_alone(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "theirs")
    assert jit.compiled(abs_of)(-2) == 2
    assert numba.config.CACHE_DIR == "theirs" and not Path("theirs").exists()


def abs_of(x):
    return abs(x)


# ------------------------------------------------------------------------------------- the files

@pytest.fixture
def file(tmp_path) -> Path:
    disk_cache.write(tmp_path / "code", b"some machine code")
    return tmp_path / "code"


def test_what_was_written_is_read(file):
    assert disk_cache.read(file) == b"some machine code"
    disk_cache.write(file, b"other")
    assert disk_cache.read(file) == b"other"
    assert list(file.parent.iterdir()) == [file]
    assert disk_cache.read(file.parent / "missing") is None


def test_no_flipped_bit_and_no_missing_end_is_overlooked(file):
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 128):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1:])
            assert disk_cache.read(file) is None
        file.write_bytes(whole[:place])
        assert disk_cache.read(file) is None
    for wrong in (whole + b"\0", b"\0" * 4096, whole[::-1]):
        file.write_bytes(wrong)
        assert disk_cache.read(file) is None


def test_a_file_under_the_name_of_another_is_not_taken_for_it(file):
    file.rename(file.parent / "other")
    assert disk_cache.read(file.parent / "other") is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "large"])
def test_what_is_no_plain_file_is_not_read(file, kind, monkeypatch):
    whole = file.read_bytes()
    file.unlink()
    if kind == "link":
        (file.parent / "elsewhere").mkdir()
        (file.parent / "elsewhere" / "code").write_bytes(whole)
        file.symlink_to(file.parent / "elsewhere" / "code")
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes with names")
        os.mkfifo(file)  # nobody writes to it: to wait for that would be for good
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(whole)
        monkeypatch.setattr(disk_cache, "_LARGEST", len(whole) - 1)
    assert disk_cache.read(file) is None
    if kind != "folder":
        monkeypatch.undo()
        disk_cache.write(file, b"new")
        assert disk_cache.read(file) == b"new" and not file.is_symlink()


@posix
@pytest.mark.parametrize("mode, read", [(0o600, True), (0o644, True), (0o620, False),
                                        (0o602, False)])
def test_a_file_that_others_can_write_is_not_read(file, mode, read):
    file.chmod(mode)
    assert (disk_cache.read(file) is not None) == read


@posix
def test_a_file_of_another_user_is_not_read(file, monkeypatch):
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert disk_cache.read(file) is None


@posix
def test_a_new_file_is_closed_to_others(tmp_path):
    before = os.umask(0)
    try:
        disk_cache.write(tmp_path / "code", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "code").stat().st_mode) == 0o600


def test_a_reader_never_sees_half_of_what_another_writes(file):
    contents, wrong, over = [bytes([k]) * 300_000 * k for k in (1, 2, 3)], [], threading.Event()

    def write(content):
        while not over.is_set():
            disk_cache.write(file, content)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    disk_cache.write(file, contents[0])
    for writer in writers:
        writer.start()
    for _ in range(100):
        if disk_cache.read(file) not in contents:
            wrong.append(1)
    over.set()
    for writer in writers:
        writer.join()
    assert not wrong and list(file.parent.iterdir()) == [file]


def test_a_folder_that_vanishes_is_made_again(file):
    shutil.rmtree(file.parent)
    disk_cache.write(file, b"code")
    assert disk_cache.read(file) == b"code"


def test_a_full_disk_is_no_more_than_a_note(tmp_path):
    code = """
import numpy, resource
from minicaffe.backend import get_backend
x = numpy.ones(3, numpy.float32)
backend = get_backend("cpu")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
backend.map(lambda x: 9 * x, x, x)
print(x[0])
"""
    result = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.returncode == 0 and result.stdout == "9.0\n"
    assert "compiled code cannot be kept: File too large" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert kernels(tmp_path) == []


# --------------------------------------------------------------------------------- in a process

def test_damaged_code_is_compiled_again_and_replaced(tmp_path):
    """Also such whose check sum is right, but that numba cannot load."""
    def outcome():
        return printed(NINE, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert outcome() == ["9.0 True"] and outcome() == ["9.0 False"]
    assert kernels(tmp_path)
    for file in kernels(tmp_path):
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
    assert outcome() == ["9.0 True"] and outcome() == ["9.0 False"]
    for file in kernels(tmp_path):
        disk_cache.write(file, b"nonsense")
    assert outcome() == ["9.0 True"] and outcome() == ["9.0 False"]


@posix
def test_nothing_that_others_put_into_the_cache_is_executed(tmp_path):
    printed(NINE, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    bad = b"cos\nsystem\n(S'echo this came from the cache'\ntR."  # a pickle that runs a command
    assert kernels(tmp_path)
    for file in kernels(tmp_path):
        disk_cache.write(file, bad)
    (folder,) = tmp_path.rglob("kernels-*")
    folder.chmod(0o777)
    result = run(NINE, count=True, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.stdout.startswith("9.0 ") and "cache\n" not in result.stdout
    assert f"{folder}: expected a folder of mode 700" in result.stderr
