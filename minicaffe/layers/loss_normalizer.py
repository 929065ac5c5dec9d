"""What losses with a ``loss_param { normalization }`` are divided by."""

from __future__ import annotations

from ..proto import LossParameter

FULL, VALID, BATCH_SIZE, NONE = (LossParameter.FULL, LossParameter.VALID,
                                 LossParameter.BATCH_SIZE, LossParameter.NONE)


def normalization_of(param: LossParameter, default: int) -> int:
    """The normalization that a net states, also as the ``normalize`` of old, or the default."""
    if param.HasField("normalization"):
        return param.normalization
    if param.HasField("normalize"):
        return VALID if param.normalize else BATCH_SIZE
    return default


def normalizer(xp, normalization: int, places: int, samples: int, valid=None):
    """Z: all places (FULL), those not ignored (VALID), the samples (BATCH_SIZE) or 1 (NONE).

    Args:
        xp: the array library of the device.
        valid: whether each place counts, an array of bools; None if all do.

    Returns: a number of at least 1; on the device where it depends on ``valid``.
    """
    if normalization == VALID and valid is not None:
        return xp.maximum(valid.sum(), 1)
    return max(1, {FULL: places, VALID: places, BATCH_SIZE: samples, NONE: 1}[normalization])
