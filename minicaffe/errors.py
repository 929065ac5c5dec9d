"""Every error that minicaffe raises for a user's mistake, in one form.

    ShapeError: InnerProduct 'ip1': expected a bottom of 2 or more axes, got (8,). Hint: ...
"""

from __future__ import annotations

import os
from collections.abc import Iterable

_LONGEST = 100  # letters of a name that is looked for among others
_PARTS_OF_WORDS = "\u00a0\u3000\u200c\u200d"  # blanks and joiners of some scripts
_LONGEST_PART = 1000  # characters of what an error's text says was expected, and of its hint
_LONGEST_GIVEN = 300  # of what is at fault and what came: names and values, perhaps a file's


def in_line(text: object, longest: int = 100) -> str:
    """A text from a file, a name or a path as part of one line, to be printed or written down.

    What is not printable is escaped, a byte of a file's name that is no UTF-8 (``\\udcea`` in
    Python) as ``\\xea``; its middle is left out where it is longer than ``longest`` characters.
    """
    line = _shortened(str(text), longest)
    return line if line.isprintable() else "".join(map(_printable, line))


def _printable(letter: str) -> str:
    if letter.isprintable() or letter in _PARTS_OF_WORDS:
        return letter
    return f"\\x{ord(letter) & 0xff:02x}" if "\udc80" <= letter <= "\udcff" else ascii(letter)[1:-1]


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest * 2 // 3]} ... {text[-longest // 3:]}"


class MinicaffeError(Exception):
    """An error that names the place, what was expected, what came, and what to do.

    Its text is cut to about a line: names and values in files may have any length.

    Args:
        where: the thing at fault, such as ``"InnerProduct 'ip1'"`` or ``"net.prototxt:12:3"``.
        expected: what would have been right; alone, it is the whole message.
        got: what came instead, if that says more.
        hint: how to mend it.
    """

    def __init__(self, where: str, expected: str, got: object = None, hint: str = ""):
        self.where, self.expected, self.got, self.hint = where, expected, got, hint
        message = _shortened(expected, _LONGEST_PART)
        if got is not None:
            message = f"expected {message}, got {in_line(got, _LONGEST_GIVEN)}"
        where, hint = in_line(where, _LONGEST_GIVEN), _shortened(hint, _LONGEST_PART)
        super().__init__(f"{where}: {message}." + (f" Hint: {hint}" if hint else ""))


class ShapeError(MinicaffeError, ValueError):
    """Blobs whose shapes do not fit a layer, or each other."""


class ParameterError(MinicaffeError, ValueError):
    """A layer, solver or function parameter that is missing, misspelt or out of range."""


class NetError(MinicaffeError, ValueError):
    """A graph that does not hang together: unknown bottoms, doubled tops, unknown layer types."""


class ParseError(MinicaffeError, ValueError):
    """A prototxt that cannot be read; ``where`` is ``file:line:column``."""


class FileFormatError(MinicaffeError, ValueError):
    """A binary file that is truncated or not what its name says."""


class WeightsError(MinicaffeError, ValueError):
    """Weights that do not fit the net."""


class MissingPackageError(MinicaffeError, ImportError):
    """An optional package that is needed for what was asked and is not installed."""


class DeviceError(MinicaffeError, RuntimeError):
    """A device that is unknown, or whose library or hardware is missing."""


class KeepError(MinicaffeError, RuntimeError):
    """A blob was read that ``keep`` did not ask to keep."""


class TrainingError(MinicaffeError, RuntimeError):
    """Training went wrong: a loss that is not a number, a snapshot that cannot be written."""


def expect_known(name: str, known: Iterable[str], where: str, expected: str) -> None:
    """Errors: ParameterError with the nearest known name, unless ``name`` is one of them."""
    if name not in known:
        raise ParameterError(where, expected, f"'{name}'", nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that a misspelt one must have meant, as "did you mean 'x'?", or ""."""
    meant = meant_by(name, known)
    return f"did you mean '{meant}'?" if meant else ""


def meant_by(name: str, known: Iterable[str]) -> str:
    """The known name that a misspelt one must have meant, or "".

    Capitals do not count, nor what is missing behind the first four letters or more, at the end or
    before the ending of a file's name. Otherwise one slip is allowed in names of three letters or
    more, two in those of more than seven.
    """
    best, least = "", 3
    typed = name.lower()
    stem, ending = os.path.splitext(typed)
    allowed = 0 if len(typed) <= 2 or len(typed) > _LONGEST else 1 if len(typed) <= 7 else 2
    for candidate in known:
        right = candidate.lower()
        if typed == right:
            return candidate
        if len(stem) >= 4 and right.startswith(stem) and right.endswith(ending):
            slips = 0
        elif abs(len(typed) - len(right)) > allowed:
            continue
        else:
            slips = slips_between(typed, right)
        if slips <= allowed and slips < least:
            best, least = candidate, slips
    return best


def slips_between(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours that make ``a`` into ``b``."""
    before, last = [], list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
