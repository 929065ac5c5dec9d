"""How fast is each layer of minicaffe?  ``python bench/layers.py``

Convolutions of many shapes beside PyTorch's: forward, the gradient of the weights (dW), that of
the input (dX), in GFLOP/s and as a share of the peak.  All other types of layers: milliseconds.
Each library has its turns in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
import tables

PEERS = ("ours", "torch", "torch-nhwc")
PASSES = ("forward", "dW", "dX")


class Shape(NamedTuple):
    """A convolution of N pictures of C channels and H x H pixels to O channels."""

    N: int
    C: int
    H: int
    O: int
    k: int
    s: int = 1
    p: int = 0
    group: int = 1

    @property
    def size(self) -> int:
        """The height and width of what comes out."""
        return (self.H + 2 * self.p - self.k) // self.s + 1

    @property
    def work(self) -> float:
        """Floating-point operations of a pass."""
        return 2 * self.N * self.O * self.size ** 2 * self.C // self.group * self.k ** 2

    def __str__(self) -> str:
        return ",".join(map(str, self[:7])) + (f" g{self.group}" if self.group > 1 else "")


SHAPES = [Shape(*fields) for fields in (
    (64, 1, 28, 20, 5), (64, 20, 12, 50, 5), (100, 3, 32, 32, 5, 1, 2), (100, 32, 16, 32, 5, 1, 2),
    (100, 32, 8, 64, 5, 1, 2), (128, 16, 32, 16, 3, 1, 1), (128, 32, 16, 32, 3, 1, 1),
    (128, 64, 8, 64, 3, 1, 1), (16, 96, 27, 256, 5, 1, 2), (16, 256, 13, 384, 3, 1, 1),
    (8, 64, 56, 64, 3, 1, 1), (8, 128, 28, 128, 3, 1, 1), (8, 256, 14, 256, 1),
    (16, 3, 227, 96, 11, 4), (16, 32, 112, 64, 1), (16, 512, 14, 512, 1),
    (16, 64, 112, 64, 3, 1, 1, 64), (16, 64, 112, 64, 3, 2, 1, 64))]

_MAP = (32, 64, 28, 28)
_SCORES = (256, 1000)
# title, prototxt, shapes of the bottoms; of those with labels the last one is the labels
TYPES: list[tuple[str, str, list[tuple[int, ...]]]] = [
    *((name, f"type: '{name}'", [_MAP]) for name in (
        "AbsVal", "BNLL", "BatchNorm", "Dropout", "ELU", "Exp", "Flatten", "Log", "PReLU", "ReLU",
        "Sigmoid", "Softmax", "Swish", "TanH", "Threshold")),
    ("Bias", "type: 'Bias'", [_MAP]),
    ("Clip", "type: 'Clip' clip_param { min: -1 max: 1 }", [_MAP]),
    ("Power", "type: 'Power' power_param { scale: 2 shift: 1 }", [_MAP]),
    ("Scale", "type: 'Scale' scale_param { bias_term: true }", [_MAP]),
    ("LRN across channels", "type: 'LRN'", [_MAP]),
    ("LRN within", "type: 'LRN' lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }", [_MAP]),
    ("Pooling MAX 2/2", "type: 'Pooling' pooling_param { kernel_size: 2 stride: 2 }", [_MAP]),
    ("Pooling MAX 3/2", "type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 }", [_MAP]),
    ("Pooling MAX 3/1", "type: 'Pooling' pooling_param { kernel_size: 3 pad: 1 }", [_MAP]),
    ("Pooling AVE 3/2", "type: 'Pooling' pooling_param { pool: AVE kernel_size: 3 stride: 2 }",
     [_MAP]),
    ("Pooling AVE global", "type: 'Pooling' pooling_param { pool: AVE global_pooling: true }",
     [_MAP]),
    ("Eltwise SUM", "type: 'Eltwise'", [_MAP, _MAP]),
    ("Eltwise PROD", "type: 'Eltwise' eltwise_param { operation: PROD }", [_MAP, _MAP]),
    ("Eltwise MAX", "type: 'Eltwise' eltwise_param { operation: MAX }", [_MAP, _MAP]),
    ("Concat", "type: 'Concat'", [_MAP, _MAP]),
    ("Slice", "type: 'Slice' top: 'a' top: 'b'", [_MAP]),
    ("Split", "type: 'Split' top: 'a' top: 'b'", [_MAP]),
    ("Reshape", "type: 'Reshape' reshape_param { shape { dim: [0, -1] } }", [_MAP]),
    ("InnerProduct", "type: 'InnerProduct' inner_product_param { num_output: 1024 }",
     [(64, 4096)]),
    ("LSTM", "type: 'LSTM' recurrent_param { num_output: 256 }", [(50, 32, 128), (50, 32)]),
    ("EuclideanLoss", "type: 'EuclideanLoss'", [_SCORES, _SCORES]),
    ("SigmoidCrossEntropyLoss", "type: 'SigmoidCrossEntropyLoss'", [_SCORES, _SCORES]),
    ("ContrastiveLoss", "type: 'ContrastiveLoss'", [_SCORES, _SCORES, (256,)]),
    ("SoftmaxWithLoss", "type: 'SoftmaxWithLoss'", [_SCORES, (256,)]),
    ("Accuracy", "type: 'Accuracy'", [_SCORES, (256,)]),
]
LABELLED = ("ContrastiveLoss", "SoftmaxWithLoss", "Accuracy", "LSTM")


# ---------------------------------------------------------------- in the process of a library

def measure(job: dict, clock: Callable[[], float]) -> list[dict[str, float]]:
    """The best milliseconds of each pass, for each shape or type in turn."""
    if job["job"] == "types":
        made = (one_layer(text, random_inputs(title, shapes)) for title, text, shapes in TYPES)
    elif job["peer"] == "ours":
        made = (our_convolution(shape)[1] for shape in SHAPES)
    else:
        made = (torch_convolution(shape, job["peer"], job["threads"]) for shape in SHAPES)
    return [{name: best_time(call, job["seconds"], clock) for name, call in calls.items()}
            for calls in made]


def best_time(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    """The least milliseconds of some calls."""
    call()
    best, calls, until = float("inf"), 0, time.perf_counter() + seconds
    while calls < 3 or time.perf_counter() < until:
        began = clock()
        call()
        best, calls = min(best, clock() - began), calls + 1
    return 1e3 * best


def random_inputs(title: str, shapes: Sequence[tuple[int, ...]]) -> dict[str, numpy.ndarray]:
    """Numbers from 0.1 to 1 for each bottom; for labels, zeros and ones."""
    rng = numpy.random.default_rng(0)
    arrays = {f"x{i}": rng.uniform(0.1, 1, shape) for i, shape in enumerate(shapes)}
    if title in LABELLED:
        last = f"x{len(shapes) - 1}"
        arrays[last] = numpy.round(arrays[last])
    return arrays


def one_layer(text: str, inputs: dict[str, numpy.ndarray],
              device: str = "cpu") -> dict[str, Callable[[], object]]:
    """The passes of a layer of ours: forward, and backward where it has one."""
    from minicaffe import TRAIN, Layer
    from minicaffe.testing.one_layer import OneLayerNet
    made = OneLayerNet(text, inputs, phase=TRAIN, device=device)
    net, layer, last = made.net, made.layer, len(made.net.layers) - 1
    made.forward(fill=0)
    bottoms, tops = net.graph.bottoms_of(last), net.graph.tops_of(last)
    wanted = [i in made.gradient_bottoms for i in range(len(bottoms))]
    calls = {"forward": lambda: layer.forward(bottoms, tops)}
    if type(layer).backward is not Layer.backward:
        calls["backward"] = lambda: layer.backward(tops, wanted, bottoms)
    return calls


def our_convolution(shape: Shape, device: str = "cpu") -> tuple:
    """A net with a convolution of ours, and its passes."""
    from minicaffe import TRAIN
    from minicaffe.testing.one_layer import OneLayerNet
    text = (f"type: 'Convolution' convolution_param {{ num_output: {shape.O} kernel_size: "
            f"{shape.k} stride: {shape.s} pad: {shape.p} group: {shape.group} }}")
    x = numpy.random.default_rng(0).standard_normal((shape.N, shape.C, shape.H, shape.H))
    made = OneLayerNet(text, {"x": x}, phase=TRAIN, device=device)
    layer, bottoms, tops = made.layer, made.net.graph.bottoms_of(1), made.net.graph.tops_of(1)
    made.forward(fill=0)
    tops[0].diff[...] = 1e-3 * tops[0].data

    def backward(weights: bool):
        layer.param_propagate_down[:] = [weights, weights]
        layer.backward(tops, [not weights], bottoms)

    return made, {"forward": lambda: layer.forward(bottoms, tops), "dW": lambda: backward(True),
                  "dX": lambda: backward(False)}


def torch_convolution(shape: Shape, peer: str, threads: int) -> dict[str, Callable[[], object]]:
    """The passes of PyTorch's."""
    import torch
    torch.set_num_threads(threads)
    layout = torch.channels_last if peer == "torch-nhwc" else torch.contiguous_format
    x = torch.randn(shape.N, shape.C, shape.H, shape.H).contiguous(memory_format=layout)
    layer = torch.nn.Conv2d(shape.C, shape.O, shape.k, shape.s, shape.p, groups=shape.group)
    layer.to(memory_format=layout)
    y = layer(x.requires_grad_())
    dy = torch.randn(y.shape).contiguous(memory_format=layout)

    def gradient(*of):
        return lambda: torch.autograd.grad(y, of, dy, retain_graph=True)

    return {"forward": lambda: layer(x), "dW": gradient(layer.weight, layer.bias),
            "dX": gradient(x)}


# ---------------------------------------------------------------------------- the command

def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write the JSON."""
    import cpu
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--only", nargs="+", choices=("convolutions", "types"),
                        default=["convolutions", "types"])
    cpu.add_common(parser, seconds=0.1)
    options = cpu.finished(parser.parse_args(arguments))
    jobs = [("convolutions", peer) for peer in options.peers if "convolutions" in options.only]
    jobs += [("types", "ours")] * ("types" in options.only)
    with tempfile.TemporaryDirectory() as folder:
        machine = cpu.Machine(options.threads, Path(folder), options.busy)
        found: dict[str, list] = {}
        for number in range(options.rounds):
            for job, peer in jobs:
                cpu.progress(f"{job} {peer}, round {number + 1} of {options.rounds}")
                result = machine.measured(job, peer=peer, seconds=options.seconds)
                found.setdefault(f"{job} {peer}", []).append(result["found"])
            machine.measure_peak()
        cpu.progress("")
        result = {"machine": cpu.describe(options.threads), "peak": machine.peak,
                  "found": {name: least(rounds) for name, rounds in found.items()}}
    print(f"{result['machine']}\npeak {result['peak']:.0f} GFLOP/s")
    for text in all_tables(result):
        print(f"\n{text}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def least(rounds: Sequence[list[dict[str, float]]]) -> list[dict[str, float]]:
    """The best times of all rounds."""
    return [{name: min(one[name] for one in entries) for name in entries[0]}
            for entries in zip(*rounds)]


def all_tables(result: dict) -> list[str]:
    """A table of the convolutions and one of the other types, as far as they were measured."""
    found = result["found"]
    peers = [peer for peer in PEERS if f"convolutions {peer}" in found]
    texts = []
    if peers:
        head = ["N,C,H,O,k,s,p", "GFLOP", *(f"{peer} {name}" for name in PASSES for peer in peers)]
        rows = [[shape, f"{1e-9 * shape.work:.2f}", *(
            speed(shape.work, found[f"convolutions {peer}"][i][name], result["peak"])
            for name in PASSES for peer in peers)] for i, shape in enumerate(SHAPES)]
        texts.append("Convolutions: ms, GFLOP/s, % of the peak\n" + tables.table(head, rows))
    if "types ours" in found:
        rows = []
        for (title, _, shapes), ms in zip(TYPES, found["types ours"]):
            size = 4 * sum(int(numpy.prod(shape)) for shape in shapes)
            rows.append([title, "; ".join("x".join(map(str, shape)) for shape in shapes),
                         f"{1e-6 * size:.1f}", f"{ms['forward']:.3f}",
                         f"{ms['backward']:.3f}" if "backward" in ms else "-"])
        texts.append("Layers: ms\n" + tables.table(
            ["layer", "bottoms", "MB of them", "forward", "backward"], rows))
    return texts


def speed(work: float, ms: float, peak: float) -> str:
    """``ms, GFLOP/s, percent``"""
    rate = 1e-6 * work / ms
    return f"{ms:.2f}, {rate:.0f}, {100 * rate / peak:.0f} %"


if __name__ == "__main__":
    main()
