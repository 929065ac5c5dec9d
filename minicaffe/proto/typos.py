"""Whether an unknown field is a slip of the pen, stands astray, or belongs to a fork of Caffe.

A slip must not pass: ``num_outputs: 10`` would be a net of another shape. A fork's own field must:
released nets hold many, on layers whose type we may well know or the user has registered.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from google.protobuf.descriptor import Descriptor

from .schema import param_messages, read_table

_PARAM = "_param"
_LAYERS = ("LayerParameter", "V1LayerParameter")
# What old nets ("layers") write directly in a layer has its place in "param" today.
_MOVED = {
    "blobs_lr": "param",
    "weight_decay": "param",
    "blob_share_mode": "param",
    "lr_mult": "blobs_lr",
    "decay_mult": "weight_decay",
    "share_mode": "blob_share_mode",
}


@cache
def foreign_fields() -> frozenset[str]:
    """Names of fields that forks have added to Caffe's messages (``foreign.tsv``)."""
    return frozenset(field for _message, field in read_table("foreign.tsv"))


def edit_distance(a: str, b: str) -> int:
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


def _plain(name: str) -> str:
    """``ReLU6`` and ``relu6_param`` alike as ``relu6``."""
    return name.lower().removesuffix(_PARAM).replace("_", "")


def places(name: str, kind: Descriptor, layer_type: str = "") -> list[str]:
    """The messages in a layer that have the field which was found in the layer itself.

    Args:
        name: the field, which the layer itself does not have.
        kind: the message it stands in; there are no places if that is not a layer.
        layer_type: the layer's type, whose own messages count, or "" for those of all types.
    """
    own = ("param", *param_messages(layer_type))
    return [
        field.name
        for field in kind.fields
        if kind.name in _LAYERS
        and field.message_type is not None
        and name in field.message_type.fields_by_name
        and (field.name in own if layer_type else field.name.endswith("param"))
    ]


def misspelt(name: str, known: Collection[str], layer_type: str = "") -> str:
    """The known field that an unknown one must have meant, or "" if it is somebody else's.

    Args:
        name: the unknown field.
        known: the fields of the message it stands in.
        layer_type: the type of the layer it stands in, if any: ``selu_param`` in a layer of type
            ``SELU`` is that layer's own, however close it comes to ``elu_param``.
    """
    if name in foreign_fields() or (layer_type and _plain(name) == _plain(layer_type)):
        return ""
    if _MOVED.get(name) in known:
        return _MOVED[name]
    best, best_distance = "", 3
    for candidate in known:
        a, b = name.lower(), candidate.lower()
        if a.endswith(_PARAM) and b.endswith(_PARAM):  # what they share says nothing
            a, b = a.removesuffix(_PARAM), b.removesuffix(_PARAM)
        if len(a) >= 4 and b.startswith(a):
            distance = 0
        else:
            distance = edit_distance(a, b)
        allowed = 0 if len(a) <= 2 else 1 if len(a) <= 7 else 2
        if distance <= allowed and distance < best_distance:
            best, best_distance = candidate, distance
    return best
