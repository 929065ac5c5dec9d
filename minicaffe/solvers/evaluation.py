"""The tests of a training: how many passes, and on which samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..net import Net
from .nets import check_fed
from .output_means import OutputMeans


class Testing:
    """Runs the test nets of a solver, and knows where each is in its data: its tick.

    A resumed training repeats the test that falls due at its iteration.  Snapshots therefore hold
    the ticks from before that test, so that it sees the same samples.

    Args:
        test_iter: passes of a test, for each net; data of known length need none.
    """

    def __init__(self, nets: list[Net], test_iter: Sequence[int]):
        self._nets, self._test_iter = nets, test_iter
        self._begun: tuple[int, list[int]] | None = None

    def begin(self, iteration: int) -> None:
        """Before the test that falls due at an iteration; if it did already, back to its start."""
        ticks = self.ticks(iteration)
        self.go_to(ticks)
        self._begun = iteration, ticks

    def ticks(self, iteration: int) -> list[int]:
        """The tick of each net for a snapshot of this iteration."""
        if self._begun is not None and self._begun[0] == iteration:
            return self._begun[1]
        return [net.tick for net in self._nets]

    def go_to(self, ticks: Sequence[int]) -> None:
        """Set the nets to ticks that a snapshot kept."""
        self._begun = None
        for net, tick in zip(self._nets, ticks):
            net.tick = tick

    def run(self, index: int, interrupted: Callable[[], bool]) -> dict[str, float]:
        """The mean of each output of a net; after an interrupt, of the passes until then.

        Errors: ParameterError for a net that nobody feeds.
        """
        net = self._nets[index]
        check_fed(net)
        known = index < len(self._test_iter)
        means = OutputMeans(net)
        for k in range(self._test_iter[index] if known else net.source.batches(net)):
            if k and interrupted():
                break
            means.run_pass()
        return means.result()
