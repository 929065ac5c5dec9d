"""Every error that minicaffe raises for a user's mistake, in one form.

    ShapeError: InnerProduct 'ip1': expected a bottom of 2 or more axes, got (8,). Hint: ...
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinicaffeError(Exception):
    """An error that names the place, what was expected, what came, and what to do.

    Args:
        where: the thing at fault, such as ``"InnerProduct 'ip1'"`` or ``"net.prototxt:12:3"``.
        expected: what would have been right; alone, it is the whole message.
        got: what came instead, if that says more.
        hint: how to mend it.
    """

    def __init__(self, where: str, expected: str, got: object = None, hint: str = ""):
        self.where, self.expected, self.got, self.hint = where, expected, got, hint
        message = expected if got is None else f"expected {expected}, got {got}"
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
    """The known name closest to a misspelt one as "did you mean 'x'?", or ""."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"did you mean '{found[0]}'?" if found else ""
