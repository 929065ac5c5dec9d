"""Which layers of a net run as one: the rule that finds the groups."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ..step import Step
from .group import Group


@functools.cache
def _kinds() -> tuple[type[Group], ...]:
    from .normalization import Normalization  # imports layers: importing minicaffe does not
    from .relu import ConvolutionReLU, SumReLU
    return Normalization, SumReLU, ConvolutionReLU


def groups(steps: Sequence[Step]) -> list[Group]:
    """The groups among the layers of a net, each as long as can be; no layer is in two.

    A backend says in ``fuses`` which types of layers it computes within the one before.
    """
    found: list[Group] = []
    for step in steps:
        if not found or step.index > found[-1].last:
            group = _beginning_at(step, steps)
            if group is not None:
                found.append(group)
    return found


def _beginning_at(step: Step, steps: Sequence[Step]) -> Group | None:
    """The longest group that begins with this one of the steps."""
    behind = 0
    for following in steps[step.index + 1:]:
        if (following.layer.type not in step.layer.backend.fuses
                or not following.bottom == step.top == following.top):
            break
        behind += 1
    for length in range(1 + behind, 1, -1):
        members = steps[step.index:step.index + length]
        for kind in _kinds():
            if kind.takes(members):
                return kind(members)
    return None
