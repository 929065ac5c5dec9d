"""What groups of layers have in common."""

from __future__ import annotations

from collections.abc import Sequence

from ...allocation import ran_out
from ..step import Step


class Group:
    """Layers that follow each other and can run as one.

    What a pass of single layers would have saved for backward a group may leave out.  ``unfold``
    makes good for that before one of its layers runs by itself.

    Attributes:
        steps: its layers with their blobs, in order.  first, last: their places in the net.
        index: its place in the net, that of its first layer.
        folded: whether the last forward pass ran it as one, and its layers lack what it left out.
        only_primitives: as of a Step.
    """

    def __init__(self, steps: Sequence[Step]):
        self.steps = list(steps)
        self.index = self.first = steps[0].index
        self.last = steps[-1].index
        self.folded = False
        self.only_primitives = all(step.only_primitives for step in steps)
        self.backend = steps[0].layer.backend
        self.bottom, self.top = steps[0].bottom, steps[0].top

    @classmethod
    def takes(cls, steps: Sequence[Step]) -> bool:
        """Whether these layers, all but the first in place, make such a group."""
        raise NotImplementedError

    def backward_reads(self, step: Step) -> tuple[str, ...]:
        """Whose values the backward pass of one of its steps reads, of "bottom" and "top"."""
        return step.layer.backward_reads

    def forward(self) -> None:
        """Run all layers forward."""
        for step in self.steps:
            step.reshape()
        self.folded = True
        try:
            self.run_forward()
        except MemoryError as error:
            raise ran_out(self.steps[0].layer.where, self.bottom) from error

    def backward(self) -> None:
        """Run all layers backward; as one only after such a forward pass."""
        if self.folded and self.steps[-1].backward_needed:
            try:
                self.run_backward()
            except MemoryError as error:
                raise ran_out(self.steps[0].layer.where, self.bottom) from error
        else:
            self.run_layers_backward()

    def unfold(self) -> None:
        """Let the layers run by themselves from here on."""
        if self.folded:
            self.folded = False
            self.save_for_layers()

    def run_forward(self) -> None:
        """The forward pass, as one."""
        raise NotImplementedError

    def run_backward(self) -> None:
        """The backward pass after ``run_forward``, as one."""
        self.run_layers_backward()

    def run_layers_backward(self) -> None:
        """The backward passes of the layers, one by one."""
        for step in reversed(self.steps):
            step.backward()

    def save_for_layers(self) -> None:
        """After ``run_forward``: save what the layers' own backward passes need."""


def types_of(steps: Sequence[Step]) -> tuple[type, ...]:
    """The classes of the layers; a class derived from one of ours may compute something else."""
    return tuple(type(step.layer) for step in steps)


def gradients_pass(steps: Sequence[Step]) -> bool:
    """Whether the gradient passes through all layers, or through none."""
    return (all(any(step.propagate_down) for step in steps)
            or not any(step.backward_needed for step in steps))
