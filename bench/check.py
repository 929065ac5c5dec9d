"""Do minicaffe and PyTorch compute the same numbers?  ``python bench/cpu.py --check``

Each net on a small batch without dropout, both with the same weights: losses in float32, outputs of
the deployed net, gradients of the parameters in float64, and how far gradients in float32 are from
them, beside PyTorch's own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import nets
import numpy
import tables
import torch
from translate import Translation, inputs_of

from minicaffe import TEST, TRAIN, Net, set_num_threads

LOSS = 1e-5  # how far losses may be from each other, relative
OUTPUT = 1e-4  # how far outputs of deployed nets may be, of the largest
GRADIENT = 1e-8  # how far gradients in float64 may be, of the largest in the same parameter
ROUNDING, FEW = 2, 1e-6  # how many times PyTorch's own error those in float32 may have; what a few
# roundings make in any case
SEEDS = 4  # of weights and data, of which the smallest error counts: in any library a ReLU or a
# maximum now and then falls on another side than in float64, and gradients differ by 1e-3

Gradients = dict[tuple[str, int], numpy.ndarray]


def main(names: Sequence[str]) -> int:
    """Print a row for each net; returns how many nets differ by more than they may."""
    rows, failed = [], 0
    torch.set_num_threads(1)  # the threads of two libraries would wait for each other's
    set_num_threads(1)
    for name in names:
        numbers, good = compare(nets.CASES[name])
        rows.append([name, nets.CASES[name].small[0], *(f"{n:.1e}" for n in numbers),
                     "good" if good else "too far"])
        failed += not good
        print(f"{name}: {rows[-1][-1]}", file=sys.stderr)
    print(tables.table(["net", "batch", "loss", "output", "gradients, float64",
                        "float32, ours: median", "largest", "PyTorch's: median", "largest",
                        "verdict"], rows))
    return failed


def compare(case: nets.Case) -> tuple[list[float], bool]:
    """The differences of a net, in the order of the table, and whether they are small enough."""
    pair = Pair(case, 0)
    numbers = [pair.losses_apart(), pair.outputs_apart(), pair.gradients_apart()]
    found = numpy.array([pair.rounding(), *(Pair(case, seed).rounding()
                                            for seed in range(1, SEEDS))])
    ours, theirs = found.min(0)  # of the median, of the largest
    good = (all(n <= limit for n, limit in zip(numbers, (LOSS, OUTPUT, GRADIENT)))
            and all(ours <= numpy.maximum(ROUNDING * theirs, FEW)))
    return [*numbers, *ours, *theirs], good


class Pair:
    """A net of ours and a module with the same weights, and what both are fed."""

    def __init__(self, case: nets.Case, seed: int):
        self.case, self.param = case, without_dropout(case.net(*case.small))
        self.given = nets.inputs(self.param, seed=seed)
        self.ours = Net(self.param, TRAIN, seed=seed, keep=())
        self.translation = Translation(nets.shapes_of(self.param))
        self.module = self.translation.build()
        self.translation.copy(self.ours, self.module)
        self.loss, self.single = run(self.ours, self.given)
        self.their_loss, self.their_single = self._run_torch()
        self.module.double()
        _, self.their_double = self._run_torch()

    def _run_torch(self) -> tuple[float, Gradients]:
        """The loss of the module, and the gradients of its parameters."""
        self.module.zero_grad()
        loss = self.module(*tensors(self.module, self.given))
        loss.backward()
        return loss.item(), self.translation.gradients(self.module)

    def losses_apart(self) -> float:
        """The relative difference of the losses in float32."""
        return abs(self.loss - self.their_loss) / abs(self.their_loss)

    def rounding(self) -> list[tuple[float, float]]:
        """Median and largest error in float32: ours, and PyTorch's."""
        found = (errors(gradients, self.their_double)
                 for gradients in (self.single, self.their_single))
        return [(float(numpy.median(e)), max(e)) for e in found]

    def gradients_apart(self) -> float:
        """The largest difference of the gradients in float64, which are the reference's."""
        exact = Net(self.param, TRAIN, device="numpy", dtype="float64", keep=())
        for name, blobs in self.ours.params.items():
            for blob, other in zip(blobs, exact.params[name]):
                other.data[...] = blob.data
        return max(errors(run(exact, self.given)[1], self.their_double))

    def outputs_apart(self) -> float:
        """The largest difference of the deployed nets' outputs, over the largest output."""
        param = self.case.deployed(*self.case.small)
        net = Net(param, TEST, keep=())
        net.share_with(self.ours)
        translation = Translation(nets.shapes_of(param, TEST))
        module = translation.build()
        translation.copy(net, module)
        ours = net.forward(**{name: self.given[name] for name in net.inputs})[net.outputs[-1]]
        with torch.inference_mode():
            theirs = module(*tensors(module, self.given)).numpy()
        return float(abs(ours - theirs).max() / abs(theirs).max())


def without_dropout(param):
    """The net with a dropout of nothing."""
    for layer in param.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    return param


def run(net: Net, given: dict[str, numpy.ndarray]) -> tuple[float, Gradients]:
    """The loss of a net, and the gradients of its parameters.

    Left out are statistics, and the bias in front of a BatchNorm, which takes it off again: its
    gradient is all rounding.
    """
    net.clear_param_diffs()
    net.forward(**given)
    loss = float(net.loss())
    net.run_backward()
    normalized = [layer for layer in net.layers if layer.type == "BatchNorm"]
    biased = {layer.param.bottom[0] for layer in normalized}
    left_out = {layer.name for layer in normalized}
    biases = {layer.name for layer in net.layers if layer.param.top and layer.param.top[0] in biased
              and layer.type in ("Convolution", "InnerProduct")}
    return loss, {(p.layer, p.index): p.blob.diff.copy() for p in net.learnable
                  if p.layer not in left_out and not (p.index == 1 and p.layer in biases)}


def tensors(module, given: dict[str, numpy.ndarray]) -> list[torch.Tensor]:
    """The inputs of a module, in the precision of its parameters."""
    kind = next(module.parameters()).dtype
    return [torch.from_numpy(given[name]).to(torch.long if name == "label" else kind)
            for name in inputs_of(module)]


def errors(found: Gradients, exact: Gradients) -> list[float]:
    """The largest difference in each parameter, over its largest exact value."""
    return [float(abs(found[key] - exact[key]).max() / abs(exact[key]).max()) for key in found]
