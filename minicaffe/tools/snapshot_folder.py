"""The folder that a training writes its snapshots into: one training of a name at a time."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import BinaryIO

from ..errors import ParameterError
from ..proto.files import try_lock

_log = logging.getLogger("minicaffe.train")


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
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise ParameterError("--snapshot-dir", "a folder that can be written",
                                 f"'{self.folder}' ({error.strerror})",
                                 "give another one.") from None
        for left in self.folder.glob(f".*{self.stem}_iter_*.tmp"):
            left.unlink(missing_ok=True)

    def _locked(self) -> BinaryIO:
        """A file that the system holds for this process until it ends, however it does."""
        file = open(self.folder / f".{self.stem}.lock", "ab")
        if not try_lock(file):
            file.close()
            raise ParameterError("--snapshot-dir", "a folder in which no other training writes "
                                 f"snapshots called '{self.stem}'", f"'{self.folder}', where one "
                                 "does", "give another one.")
        return file

    def close(self) -> None:
        """Let others in."""
        self._lock.close()
        Path(self._lock.name).unlink(missing_ok=True)

    def states(self) -> dict[int, str]:
        """The solver states there by their iterations."""
        pattern = re.compile(re.escape(self.stem) + r"_iter_(\d+)\.solverstate(\.h5)?")
        matches = map(pattern.fullmatch, os.listdir(self.folder))
        return {int(match[1]): os.path.join(os.path.dirname(self.prefix), match[0])
                for match in matches if match}

    def newest(self) -> str:
        """The state of the highest iteration.  Errors: ParameterError where there is none."""
        states = self.states()
        if not states:
            raise ParameterError("--resume", f"a state '{self.prefix}_iter_N.solverstate'", "none",
                                 "was it another --snapshot-dir, --model or --data?")
        return states[max(states)]

    def tell_of_others(self) -> None:
        """Tell of snapshots of an earlier training, which this one may overwrite."""
        if self.states():
            _log.warning("%s: snapshots of an earlier training of this name are there, and may be "
                         "overwritten; --resume goes on from them, --snapshot-dir keeps trainings "
                         "apart", self.newest())
