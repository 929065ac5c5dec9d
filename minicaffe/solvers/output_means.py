"""The mean of what a net puts out, over passes of perhaps different numbers of samples."""

from __future__ import annotations

from ..net import Net


class OutputMeans:
    """Runs a net and averages each number that it puts out; every sample counts alike."""

    def __init__(self, net: Net):
        self._net = net
        self._sums: dict[str, float] = {}
        self._samples = 0

    def run_pass(self) -> None:
        """One forward pass; its outputs count as often as it has samples."""
        net = self._net
        samples = net.forward_pass()
        self._samples += samples
        for name in net.outputs:
            values = net.device_blobs[name].host.data.ravel().tolist()
            for label, value in zip(output_names(name, len(values)), values):
                self._sums[label] = self._sums.get(label, 0.0) + samples * value

    def result(self) -> dict[str, float]:
        """The mean of each number so far, by its label."""
        return {label: total / self._samples for label, total in self._sums.items()}


def output_names(output: str, count: int) -> list[str]:
    """What the numbers of an output are called: by its name, or ``name[k]`` if it has several."""
    return [output] if count == 1 else [f"{output}[{k}]" for k in range(count)]
