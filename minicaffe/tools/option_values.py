"""What an option of a command may be: numbers from its text, and files that can be written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import ParameterError, nearest


def checked(convert: Callable, fits: Callable, expected: str) -> Callable[[str], object]:
    """What argparse calls for an option's text: its value, if that is one that fits."""
    def parse(text: str):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got '{text}'")
        return value
    return parse


def whole(text: str) -> int:
    """A whole number of 0 or more, in digits alone."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def check_writable(option: str, path: str | Path) -> None:
    """Errors: ParameterError for a file that could not be written, before there is one to write."""
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise ParameterError(option, "the name of a file", f"'{path}', which is a folder")
    if not folder.is_dir():
        above = folder.parent
        neighbours = [entry.name for entry in above.iterdir() if entry.is_dir()] if (
            above.is_dir() and os.access(above, os.R_OK)) else []
        raise ParameterError(option, "a file in a folder that is there", f"'{path}', and there is "
                             f"no folder '{folder}'", nearest(folder.name, neighbours)
                             or f"mkdir -p {folder} makes it.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ParameterError(option, "a file that can be written", f"'{path}', which can only be "
                             "read" if path.exists() else f"'{path}' in a folder that can only be "
                             "read")
