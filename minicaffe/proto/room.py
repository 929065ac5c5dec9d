"""How much memory the message of a prototxt may take: a few bytes of text can ask for many."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor

_ALWAYS = 16 << 20  # bytes for any file
_A_BYTE = 1.5  # more for each byte of the text
_EACH = 32


class Room:
    """What is left for a text of ``size`` bytes.

    A net is copied some times over while it is upgraded, and all that lies within the bounds of
    every reader: 64 MiB and 8 times the file.
    """

    def __init__(self, size: int):
        self.left = _ALWAYS + int(_A_BYTE * size)

    def take(self, cost: int) -> bool:
        """Whether there was room for so many bytes more."""
        self.left -= cost
        return self.left >= 0


@cache
def message_cost(kind: Descriptor) -> int:
    """About the bytes that an empty message takes."""
    return 2 * _EACH + 8 * len(kind.fields)


def value_cost(value: object) -> int:
    """About the bytes that one more number or string of a repeated field takes."""
    return 2 * _EACH + len(value) if isinstance(value, (str, bytes)) else 8
