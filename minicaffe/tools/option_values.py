"""What the text of a command's option may be: for ``add_argument(type=...)``."""

from __future__ import annotations

import argparse
from collections.abc import Callable


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
