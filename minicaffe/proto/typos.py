"""Whether a field that a message lacks stands astray or is a slip of the pen.

Neither must pass: ``num_outputs: 10`` would be a net of another shape.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from ..errors import meant_by
from .layer_params import fields_of, param_messages
from .schema import MESSAGES

NetParameter, SolverParameter = MESSAGES["NetParameter"], MESSAGES["SolverParameter"]
_PARAM = "_param"
_LAYERS = ("LayerParameter", "V1LayerParameter")
# The other kind of prototxt, and who reads it.
_OTHER_FILE = {
    "NetParameter": (SolverParameter, "a solver has it: --solver, in Python get_solver, reads it."),
    "SolverParameter": (NetParameter, "a net has it: --model, in Python Net, reads it."),
}
# What old nets ("layers") write directly in a layer has its place in "param" today.
_MOVED = {
    "blobs_lr": "param",
    "weight_decay": "param",
    "blob_share_mode": "param",
    "lr_mult": "blobs_lr",
    "decay_mult": "weight_decay",
    "share_mode": "blob_share_mode",
}


def _plain(name: str) -> str:
    """``ReLU6`` and ``relu6_param`` alike as ``relu6``."""
    return name.lower().removesuffix(_PARAM).replace("_", "")


def _places(name: str, kind: Descriptor, layer_type: str) -> list[str]:
    """The messages in a layer that have the field which was found in the layer itself."""
    own = ("param", *param_messages(layer_type))
    return [
        field.name
        for field in fields_of(kind).values()
        if field.message_type is not None
        and name in field.message_type.fields_by_name
        and (field.name in own if layer_type else field.name.endswith("param"))
    ]


def _misspelt(name: str, kind: Descriptor, layer_type: str) -> str:
    """The field of a message that an unknown one must have meant, or "".

    ``selu_param`` in a layer of type ``SELU`` is that layer's own, however close it comes to
    ``elu_param``.
    """
    known = list(fields_of(kind))
    if layer_type and _plain(name) == _plain(layer_type):
        return ""
    if _MOVED.get(name) in known:
        return _MOVED[name]
    if not name.endswith(_PARAM):
        return meant_by(name, known)
    stems = [field.removesuffix(_PARAM) for field in known if field.endswith(_PARAM)]
    stem = meant_by(name.removesuffix(_PARAM), stems)  # what all of them share says nothing
    return stem and stem + _PARAM


def hint_for_field(name: str, kind: Descriptor, layer_type: str = "") -> str:
    """What a field that a message lacks must have meant, in words, or "".

    Args:
        name: the field.
        kind: the message it stands in.
        layer_type: if that is a layer, its type, whose own parameters count; "" for all types'.
    """
    if kind.name in _OTHER_FILE:
        other, hint = _OTHER_FILE[kind.name]
        if name in other.DESCRIPTOR.fields_by_name:
            return hint
    homes = _places(name, kind, layer_type) if kind.name in _LAYERS else []
    if homes:
        return f"it belongs in {' or '.join(f'{home} {{ }}' for home in homes)}"
    meant = _misspelt(name, kind, layer_type)
    return f"did you mean '{meant}'?" if meant else ""
