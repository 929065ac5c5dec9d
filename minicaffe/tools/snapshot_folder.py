"""The folder that a training writes its snapshots into: one training of a name at a time."""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import ParameterError
from ..proto.atomic_files import try_lock
from ..solvers import Solver
from ..solvers.snapshot_files import states

_log = logging.getLogger("minicaffe.train")
TRIES = 100  # to take a lock that others take and let go meanwhile


class SnapshotFolder:
    """The snapshots ``<prefix>_iter_<n>...`` of a training, this one's as long as it lives.

    Args:
        prefix: folder and stem of the snapshots' names.  The folder is made if it is not there;
            what a killed training left half-written is removed.

    Errors: ParameterError where it cannot be written, or where another training that runs writes
    snapshots of the same name.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        folder, self.stem = os.path.split(prefix)
        self.folder = Path(folder or ".")
        self._lock_path = self.folder / f".{self.stem}.lock"
        self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            lock = self._locked()
        except OSError as error:
            self._remove_empty_folders()
            raise ParameterError("--snapshot-dir", "a folder that can be written",
                                 f"'{self.folder}' ({error.strerror})",
                                 "give another one.") from None
        if lock is None:
            raise ParameterError("--snapshot-dir", "a folder in which no other training writes "
                                 f"snapshots called '{self.stem}'", f"'{self.folder}', where one "
                                 "does", "give another one.")
        self._lock = lock
        self._remove_half_written()

    def _locked(self) -> BinaryIO | None:
        """The lock's file, which the system holds for this process until it ends, however it does;
        None while another one has it.  The folder is made if it is not there."""
        for left in reversed(range(TRIES)):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = open(self._lock_path, "ab")
            except (FileExistsError, FileNotFoundError):  # of a folder removed in between, too
                if left:
                    continue
                raise
            if not try_lock(file):
                file.close()
                return None
            if _is_at(file, self._lock_path):
                return file
            file.close()  # whoever had it before has removed it: the next one makes a new file
        return None

    def hold(self) -> None:
        """Take the lock anew where its file is gone, as when the folder was removed meanwhile.

        Errors: OSError where another training has taken it since, or it cannot be written.
        """
        if _is_at(self._lock, self._lock_path):
            return
        lock = self._locked()
        if lock is None:
            raise BlockingIOError(errno.EAGAIN, "the folder was removed, and another training now "
                                  "writes snapshots of this name there")
        self._lock.close()
        self._lock = lock
        _log.warning("%s: the folder was removed while training; it is made anew", self.folder)

    def close(self) -> None:
        """Let others in.  A folder that was made for nothing is removed."""
        if _is_at(self._lock, self._lock_path):
            with suppress(OSError):  # of a system that removes no open file: it may stay
                self._lock_path.unlink()  # while it is locked: afterwards it is another's
        self._lock.close()
        self._remove_empty_folders()

    def _remove_empty_folders(self) -> None:
        with suppress(OSError):
            for path in self._made:
                path.rmdir()

    def _remove_half_written(self) -> None:
        """Remove what a killed training of this name, and no other one, was writing."""
        pattern = re.compile(rf"\.+{re.escape(self.stem)}_(iter_\d+\.\w+(\.h5)?|labels\.txt|"
                             r"mean\.binaryproto|deploy\.prototxt)(\.[0-9a-f]+\.tmp)+")
        for name in os.listdir(self.folder):
            if pattern.fullmatch(name):
                (self.folder / name).unlink(missing_ok=True)

    def newest(self) -> str:
        """The state of the highest iteration.  Errors: ParameterError where there is none."""
        there = states(self.prefix)
        if not there:
            raise ParameterError("--resume", f"a state '{self.prefix}_iter_N.solverstate'", "none",
                                 "was it another --snapshot-dir, --model or --data?")
        return there[max(there)]

    def tell_of_others(self) -> None:
        """Tell of snapshots of an earlier training, which this one may overwrite."""
        if states(self.prefix):
            _log.warning("%s: snapshots of an earlier training of this name are there, and may be "
                         "overwritten; --resume goes on from them, --snapshot-dir keeps trainings "
                         "apart", self.newest())


def guard(solver: Solver) -> SnapshotFolder:
    """The folder of a solver's snapshots, which holds its lock before each of them is written."""
    folder = SnapshotFolder(solver.param.snapshot_prefix)
    solver.before_writing.append(folder.hold)
    return folder


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that is found at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False
