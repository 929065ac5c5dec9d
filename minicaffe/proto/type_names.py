"""The names of layer types, of all ages and spellings."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import meant_by
from .forks import fork_types
from .schema import CAFFE_TYPES, MESSAGES, V1_TYPES
from .upgrade_v0 import V0_TYPES

_V1_NUMBERS = MESSAGES["V1LayerParameter"].DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
_V1_WITHOUT_BARS = {name.replace("_", ""): value for name, value in _V1_NUMBERS.items()}
_SHORT = 5  # so few letters with another one among them are another name: ELU, CELU, SELU


def todays_type(name: str) -> str:
    """What an old format's type is called today: ``SOFTMAX_LOSS``, ``softmax_loss`` and
    ``SoftmaxLoss``; or ""."""
    number = _V1_NUMBERS.get(name.upper()) or _V1_WITHOUT_BARS.get(name.upper())
    return V1_TYPES[number.number] if number else V0_TYPES.get(name.lower(), "")


def v1_name(name: str) -> str:
    """What a type of today, or one written like it, is called in old nets ("layers"), or ""."""
    meant = meant_type(name)
    return next((old for old, value in _V1_NUMBERS.items() if V1_TYPES[value.number] == meant), "")


def meant_type(name: str, known: Collection[str] = ()) -> str:
    """The layer type that a name must have meant, or "".

    It is one in other capitals, one of an old format, or one with a slip of the pen. Digits are no
    slip, nor is a letter more or less in a short name: those are other layers, and the net would
    run with other numbers.

    Args:
        known: types besides those of Caffe and its forks.
    """
    known = {*CAFFE_TYPES, *fork_types(), *known}
    spelt = {other.lower(): other for other in sorted(known)}
    exact = spelt.get(name.lower()) or todays_type(name)
    if exact:
        return exact
    digits = re.findall(r"\d", name)
    meant = meant_by(name, [other for other in sorted(known) if re.findall(r"\d", other) == digits])
    letters = sorted(name.lower()) == sorted(meant.lower())
    return meant if letters or len(name) > _SHORT or _begins(name, meant) else ""


def _begins(name: str, meant: str) -> bool:
    """Whether it is short for one of Caffe's types; those of forks are not so well known."""
    return len(name) > 3 and meant in CAFFE_TYPES and meant.lower().startswith(name.lower())
