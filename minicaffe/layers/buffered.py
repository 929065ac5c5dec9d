"""What layers share that save numbers in forward for their backward pass."""

from __future__ import annotations

from collections.abc import Callable

from ..blob import Blob
from ..layer import Layer


class _Buffered(Layer):
    """A layer with buffers that its backward pass alone needs.

    need_backward: whether its net may run that pass; the net sets it once it is built.  Where it is
        False, these buffers are dropped before the first pass.
    """

    need_backward = True

    def backward_buffer(self, shape: tuple[int, ...]):
        """An array of the layer's own; None where no backward pass will need it."""
        return self.buffer(shape) if self.need_backward else None


def with_input(formula: Callable) -> Callable:
    """The formula, and beside its value its first input: forward in place saves it for backward."""
    return lambda x, *others: (formula(x, *others), x)


class _SavesInput(_Buffered):
    """A layer whose backward needs x.  In place, where y takes the memory of x, it saves a copy.

    Its ``backward_reads`` then no longer lists the bottom.
    """

    in_place = True
    backward_reads = ("bottom",)

    def reads(self) -> tuple[str, ...]:
        """What backward reads where no copy is saved: what the class declares, or less."""
        return type(self).backward_reads

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape_like(bottom[0])
        reads, self._shape, self._saved = self.reads(), None, None
        if bottom[0] is top[0] and "bottom" in reads:
            self._shape = bottom[0].shape
            reads = tuple(part for part in reads if part != "bottom")
        self.backward_reads = reads

    @property
    def saved(self):
        """The copy of x, an array that is made when first used; None where none is kept."""
        if self._saved is None and self._shape is not None:
            self._saved = self.backward_buffer(self._shape)
        return self._saved

    def run(self, formula: Callable, bottom: list[Blob], top: list[Blob], *inputs) -> None:
        """``y = formula(x, *inputs)``, element by element."""
        x, y = bottom[0].data, top[0].data
        if self.saved is None:
            self.backend.map(formula, y, x, *inputs)
        else:
            self.backend.map(with_input(formula), (y, self.saved), x, *inputs)

    def input(self, bottom: list[Blob]):
        """What x was in the last forward pass."""
        return bottom[0].data if self.saved is None else self.saved
