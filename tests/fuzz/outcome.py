"""What became of one input."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NamedTuple

import minicaffe
from minicaffe.errors import MinicaffeError

PACKAGE = str(Path(minicaffe.__file__).parent)
TEXT = 1000  # characters that the text of an error may have: several bad pictures are told in one

FINE, REFUSED = "fine", "refused"
WRONG, LONG, CRASH = "wrong exception", "long text", "crash"
MEMORY, TIME, MISMATCH, NAN = "memory", "time", "mismatch", "NaN"
FAILURES = (WRONG, LONG, CRASH, MEMORY, TIME, MISMATCH, NAN)


class Outcome(NamedTuple):
    """What became of one input.

    kind: FINE, REFUSED, or one of FAILURES.
    place: where a failure came from, in a few words; failures of one kind and place are one fault.
    text: all there is to tell, such as the traceback.
    """

    kind: str
    place: str = ""
    text: str = ""

    @property
    def failed(self) -> bool:
        """Whether the package is at fault."""
        return self.kind in FAILURES


def of_error(error: BaseException, kind: str = "") -> Outcome:
    """The outcome of an input that ended in an error.

    Args:
        kind: of the failure; by default the error's class says it.
    """
    text = str(error)
    place = f"{type(error).__name__} at {_deepest(error)}"
    if not kind:
        if isinstance(error, MinicaffeError):
            if len(text) <= TEXT:
                return Outcome(REFUSED)
            return Outcome(LONG, place, f"{len(text)} characters: {text[:TEXT]}")
        kind = MEMORY if isinstance(error, MemoryError) else WRONG
    told = "".join(traceback.format_exception_only(type(error), error))[:TEXT]
    frames = "".join(traceback.format_tb(error.__traceback__)[-8:])
    return Outcome(kind, place, frames + told)


def _deepest(error: BaseException) -> str:
    """The innermost function of the package that the error passed."""
    place = "the harness"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            place = f"{code.co_filename[len(PACKAGE) + 1:]}:{code.co_name}"
    return place
