"""Downloads, from servers of the tests' own that behave and misbehave."""

import errno
import hashlib
import io
import re
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minicaffe.data import download
from minicaffe.data.download import DOWNLOADS, Download, DownloadError, Remote, cache_folder, fetch

from .access import without_permission

CONTENT = bytes(range(256)) * 1000
CHECKED = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers GET as the first part of the path says; notes what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked = []
        self.ended = False

    def address(self, manner):
        return f"http://127.0.0.1:{self.server_port}/{manner}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        manner, name = self.path.strip("/").split("/")
        span = self.headers.get("Range")
        self.server.asked.append((manner, name, span))
        body, status, claimed = CONTENT, 200, None
        if manner == "resumes" and span:
            body, status = CONTENT[int(re.fullmatch(r"bytes=(\d+)-", span)[1]):], 206
        elif manner == "missing":
            status, body = 404, b"no such page"
        elif manner == "wrong":
            body = CONTENT[::-1]
        elif manner == "stops":
            body, claimed = CONTENT[:100_000], len(CONTENT)
        elif manner == "short":
            body = CONTENT[:100_000]
        elif manner == "long":
            body = CONTENT + b"more"
        elif manner == "endless":
            claimed = 2**40
        elif manner == "hangs":
            self.server.released.wait(5)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(claimed or len(body)))
        self.end_headers()
        self.wfile.write(body)
        if manner == "endless":
            with suppress(OSError):  # until nobody listens any more
                for _ in range(1000):
                    self.wfile.write(body)
                self.server.ended = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as server:
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def offered(server, monkeypatch, tmp_path):
    """Offers the file "a.bin" as the data set "mine" on mirrors of these manners."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def offer(*manners, names=("a.bin",)):
        files = tuple(Remote(name, len(CONTENT), CHECKED) for name in names)
        mirrors = tuple(map(server.address, manners))
        monkeypatch.setattr(download, "DOWNLOADS", {"mine": Download(mirrors, files)})
        return tmp_path / "minicaffe" / "data" / "mine"
    return offer


def listed(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != download.LOCK)


def test_all_files_come_once(offered, server):
    folder = offered("good", names=("a.bin", "b.bin"))
    assert fetch("mine") == folder == cache_folder("mine")
    assert listed(folder) == ["a.bin", "b.bin"]
    assert (folder / "a.bin").read_bytes() == (folder / "b.bin").read_bytes() == CONTENT
    fetch("mine")
    assert [name for _, name, _ in server.asked] == ["a.bin", "b.bin"]


@pytest.mark.parametrize("bad", ["missing", "wrong", "stops", "short", "long", "hangs"])
def test_the_next_mirror_is_tried_when_one_fails(offered, server, bad):
    folder = offered(bad, "good")
    fetch("mine", timeout=0.2 if bad == "hangs" else 5)
    assert listed(folder) == ["a.bin"]
    assert (folder / "a.bin").read_bytes() == CONTENT
    assert [manner for manner, _, _ in server.asked] == [bad, "good"]


REASONS = {
    "missing": "HTTP Error 404: Not Found",
    "wrong": f"its SHA-256 is {hashlib.sha256(CONTENT[::-1]).hexdigest()}, not {CHECKED}",
    "stops": "it stopped after 100000 of 256000 bytes",
    "short": "it stopped after 100000 of 256000 bytes",
    "long": "it sent more than 256000 bytes",
    "hangs": ".*timed out",
}


@pytest.mark.parametrize("bad", REASONS)
def test_when_no_mirror_does_each_reason_is_told_and_no_file_is_there(offered, server, bad):
    folder = offered(bad, "missing")
    with pytest.raises(DownloadError) as caught:
        fetch("mine", timeout=0.2 if bad == "hangs" else 5)
    address = re.escape(server.address(bad))
    assert re.fullmatch(
        rf"data set 'mine': no mirror gave it\.\n  {address}a\.bin: {REASONS[bad]}\n"
        rf"  .*/missing/a\.bin: HTTP Error 404: Not Found\n"
        rf"\. Hint: put a\.bin into {re.escape(str(folder))}, or into the folder mine/ of one that "
        r"MINICAFFE_DATA names\.", str(caught.value))
    assert not (folder / "a.bin").exists()


def test_a_mirror_that_sends_without_end_is_left(offered, server):
    offered("endless", "good")
    fetch("mine")
    assert not server.ended


def test_without_a_network_the_error_says_so(offered, monkeypatch):
    offered()
    monkeypatch.setattr(download, "DOWNLOADS", {"mine": Download(
        ("http://127.0.0.1:9/", "nonsense/"), (Remote("a.bin", 1, ""),))})
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/a\.bin: .*refused.*\n  nonsense/"
                                            r"a\.bin: unknown url type"):
        fetch("mine")


def test_a_download_that_stopped_goes_on_where_it_was(offered, server):
    folder = offered("stops", "resumes")
    fetch("mine")
    assert server.asked[1] == ("resumes", "a.bin", "bytes=100000-")
    assert (folder / "a.bin").read_bytes() == CONTENT


def test_a_mirror_that_cannot_go_on_begins_anew(offered, server):
    folder = offered("stops", "good")  # "good" sends all of it whatever it is asked
    fetch("mine")
    assert server.asked[1] == ("good", "a.bin", "bytes=100000-")
    assert (folder / "a.bin").read_bytes() == CONTENT


def test_one_process_fetches_while_the_others_wait(offered, server, caplog):
    folder = offered("resumes")
    folder.mkdir(parents=True)
    (folder / "a.bin.part").write_bytes(CONTENT[:1000])  # as a process left it that was killed
    others = [threading.Thread(target=fetch, args=("mine",)) for _ in range(3)]
    with download._alone_in(folder), caplog.at_level("WARNING", "minicaffe"):
        for other in others:
            other.start()
        others[0].join(0.4)
        assert all(other.is_alive() for other in others) and server.asked == []
    for other in others:
        other.join(10)
    assert server.asked == [("resumes", "a.bin", "bytes=1000-")]
    assert (folder / "a.bin").read_bytes() == CONTENT and listed(folder) == ["a.bin"]
    assert {record.getMessage() for record in caplog.records} == {
        "data set 'mine': another process fetches it, this one waits"}


HOLD = """
import pathlib, sys, time
from minicaffe.data import download
with download._alone_in(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_lets_the_next_one_in(offered, server):
    folder = offered("good")
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE,
                          text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with open(folder / download.LOCK, "ab") as file:
            assert not download.try_lock(file)
        holder.kill()
        holder.wait(10)
        fetch("mine")
    assert listed(folder) == ["a.bin"]


def test_a_disk_without_locks_does_too(offered, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "flock", flock)
    folder = offered("good")
    fetch("mine")
    assert listed(folder) == ["a.bin"]


def test_what_is_there_already_is_only_read(offered):
    folder = offered("good")
    fetch("mine")
    (folder / download.LOCK).unlink()
    assert fetch("mine") == folder and not (folder / download.LOCK).exists()


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(CONTENT), b"x" * 300_000])
def test_what_was_left_and_is_wrong_does_not_spoil_the_file(offered, server, left):
    folder = offered("resumes")
    folder.mkdir(parents=True)
    (folder / "a.bin.part").write_bytes(left)
    fetch("mine")
    assert (folder / "a.bin").read_bytes() == CONTENT
    assert server.asked[-1] == ("resumes", "a.bin", None)


def test_what_was_left_and_is_whole_is_not_fetched_again(offered, server):
    folder = offered("good")
    folder.mkdir(parents=True)
    (folder / "a.bin.part").write_bytes(CONTENT)
    fetch("mine")
    assert (folder / "a.bin").read_bytes() == CONTENT and server.asked == []


def test_a_folder_that_may_not_be_written_is_told(offered, tmp_path, monkeypatch):
    offered("good")
    (tmp_path / "cache").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    with without_permission("cache"), pytest.raises(
            DownloadError, match="cache/minicaffe/data/mine: cannot be written: Permission denied. "
                                 "Hint: see to the disk, or name another cache folder in XDG_"):
        fetch("mine")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_progress_bar_is_shown_on_a_terminal_alone(offered, capsys, monkeypatch):
    folder = offered("good")
    fetch("mine")
    assert capsys.readouterr() == ("", "")
    (folder / "a.bin").unlink()
    monkeypatch.setattr(download.sys, "stderr", Terminal())
    fetch("mine")
    assert "a.bin: 100%" in download.sys.stderr.getvalue()


def test_the_cache_folder_is_where_the_system_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / ".cache" / "minicaffe" / "data" / "x"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(cache_folder("x")) == "/xdg/minicaffe/data/x"
    monkeypatch.setattr(download.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert str(cache_folder("x")) == "/local/minicaffe/data/x"


def test_every_set_has_two_mirrors_or_more_and_checked_files():
    assert set(DOWNLOADS) == {"mnist", "fashion-mnist", "cifar10"}
    for offer in DOWNLOADS.values():
        assert len(offer.mirrors) >= 2
        assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in offer.mirrors)
        for file in offer.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 4000
