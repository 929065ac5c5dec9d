"""What forks of Caffe have added to its messages and layer types, read from two tables.

``forks.tsv`` has one row for each field that minicaffe does not compute (those that it does are in
``schema.tsv``, with the origin ``fork``), or ``*`` for a field of any message; its columns:

- ``type``: bool, number, string or message, so that ``1``, ``t`` and ``true`` are known as one;
- ``harmless``: the values with which the field changes nothing here, between ``|``; ``any`` for all
  of them, ``none`` for none;
- ``does``, ``hint``: what the field does with another value, and what does the same in Caffe.

``fork_types.tsv`` has one row for each layer type, and whose forks have it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .schema import read_table

_ANY, _NONE = "any", "none"
_TRUE = ("true", "t", "1")


class ForkField(NamedTuple):
    """A row of ``forks.tsv``."""

    message: str
    field: str
    type: str
    harmless: str
    does: str
    hint: str

    def changes_nothing(self, value: str | None) -> bool:
        """Whether the field may be skipped.

        Args:
            value: its value as it is written, or None where that is a list or a message.
        """
        if self.harmless in (_ANY, _NONE):
            return self.harmless == _ANY
        return value is not None and self._plain(value) in map(
            self._plain, self.harmless.split("|"))

    def _plain(self, value: str) -> str | float | bool:
        """The same for every way to write the same value."""
        if self.type == "bool":
            return value.lower() in _TRUE
        if self.type == "number":
            try:
                return float(value)
            except ValueError:
                return value
        return value.strip("\"'")


@cache
def _fields() -> dict[tuple[str, str], ForkField]:
    rows = (ForkField(*row) for row in read_table("forks.tsv"))
    return {(row.message, row.field): row for row in rows}


def fork_field(message: str, name: str) -> ForkField | None:
    """What is known of a field that Caffe's message of this name lacks, or has other values for."""
    message = message.replace("V1LayerParameter", "LayerParameter")
    return _fields().get((message, name)) or _fields().get(("*", name))


@cache
def fork_types() -> dict[str, str]:
    """The layer types of forks, each with the nets or forks that have it."""
    return {name: forks for name, forks in read_table("fork_types.tsv")}
