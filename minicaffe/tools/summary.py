"""``minicaffe summary``: what each layer of a net makes, costs and holds, before it ever runs."""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict
from pathlib import Path

from ..data.feeding import as_inputs
from ..data_layers import waits_for_data
from ..fillers import without_fillers
from ..layer import TEST, TRAIN
from ..net import Net
from ..net.description import filter_net
from ..proto import NetParameter, NetState
from ..proto.atomic_files import atomic_write, existing_file
from ..proto.upgrade import upgrade_net
from . import models, trained
from .costs import LayerSummary, Shape, Summary, summarize
from .input_shapes import sample_shapes, shape_wanted
from .option_values import check_writable, checked, whole

DESCRIPTION = """\
Print a table of a net's layers: shapes, parameters, multiply-adds, memory; below it the totals.

Multiply-adds are those of a forward pass of convolutions and matrix products; other layers count
as 0. Memory is that of a layer's tops, data and diff, as far as the phase needs them, and of its
parameters; what works in place, or shares its memory, takes none. The last column tells by which
algorithms the device computes y, dW and dx of a convolution ("-": not needed), and which layers it
computes within the one before.
"""

EPILOG = """\
examples:
  COMMAND
  COMMAND --model lenet --batch-size 1
  COMMAND --model my_net.prototxt --phase test --device numpy --json my_net.json
  COMMAND --model train_val.prototxt --image-size 3x224x224
  COMMAND --weights snapshots/digits_iter_700.caffemodel

With --model alone no weights are made, so that large nets take no time. With keep=[], as train has
it, blobs whose lives do not overlap share memory; keep='all' is what a Net in Python begins with.
Exit status: 0 done, 2 a mistake in the options or files.
"""

_HEADER = ("layer", "type", "shapes", "parameters", "multiply-adds", "blobs", "weights",
           "y, dW, dx by")
_LEFT = ("layer", "type", "shapes", "y, dW, dx by")


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--model", type=checked(str, bool, "a name"), metavar="FILE|NAME", help="a net by "
        "name, as \"minicaffe models\" lists them, a Python file like those, or a prototxt "
        "(default: digits, or with --weights NAME_iter_1000.caffemodel the NAME_deploy.prototxt "
        "beside them)")
    add("--weights", metavar="FILE", help="a .caffemodel or .h5, which must fit the net")
    add("--phase", type=str.lower, choices=("train", "test"),
        help="(default: train, with --weights test)")
    add("--batch-size", type=checked(whole, bool, "a whole number of 1 or more"), metavar="N",
        help="samples a pass (default: as the net says)")
    add("--image-size", type=_size, metavar="CxHxW", help="channels, height and width of the "
        "pictures, such as 3x224x224 (default: as the net says)")
    add("--device", default="cpu", metavar="NAME",
        help="cpu (compiled by numba) or numpy (the plain reference) (default: cpu)")
    add("--json", metavar="FILE", help="write all of it as JSON too; memory in bytes")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the summary of a net; returns the exit status."""
    if options.json:
        check_writable("--json", options.json)
    net = _net(options)
    if options.weights:
        net.copy_from(options.weights, complete=True)
    summary = summarize(net)
    if options.json:
        with atomic_write(options.json) as file:
            file.write(f"{json.dumps(asdict(summary), indent=2)}\n".encode())
    print(table(summary))
    print(totals(summary, options.weights))
    return 0


# ---------------------------------------------------------------------------------------- the net

def _sides(text: str) -> Shape:
    return tuple(map(whole, text.split("x")))


_size = checked(_sides, lambda size: len(size) == 3 and all(size), "CxHxW, such as 3x224x224")


def _net(options: argparse.Namespace) -> Net:
    """The net that the options say, with zeros for weights."""
    if options.weights:
        existing_file(options.weights)
    model = options.model or (None if options.weights else "digits")
    param, _ = trained.source_net(options.weights, model, options.image_size or ())
    phase = {"train": TRAIN, "test": TEST}[
        options.phase or ("test" if options.weights else "train")]
    if options.batch_size:
        models.set_batch_size(param, options.batch_size)
    state = NetState(phase=phase, level=param.state.level, stage=param.state.stage)
    param = _with_inputs(filter_net(upgrade_net(param), state), options.image_size)
    return Net(without_fillers(param), phase, level=state.level, device=options.device)


def _with_inputs(net: NetParameter, size: Shape | None) -> NetParameter:
    """The net with Inputs for its data layers, and pictures of a size where one is given.

    Errors: ParameterError for a data layer whose pictures' size is not given.
    """
    shapes = {}
    for layer in net.layer:
        if not waits_for_data(layer):
            continue
        if layer.type == "Input":
            for shape in layer.input_param.shape[:1] if size else ():
                if len(shape.dim) == 4:
                    shape.dim[1:] = size
        elif layer.type.endswith("Data") or size:
            samples = sample_shapes(layer, size)
            if not samples:
                raise shape_wanted(layer)
            shapes.update(dict.fromkeys(layer.top, ()))  # labels
            shapes.update(zip(layer.top, samples))
    return as_inputs(net, shapes)


# -------------------------------------------------------------------------------------- the text

def table(summary: Summary) -> str:
    """A title, and a line for each layer."""
    splits = [layer for layer in summary.layers if layer.type == "Split"]
    rows = [_HEADER, *(_cells(layer) for layer in summary.layers if layer not in splits)]
    if splits:
        size = sum(layer.blob_bytes for layer in splits)
        rows.append((f"({len(splits)} more)", "Split", "for several readers of a blob", "-", "-",
                     _bytes(size), "-", ""))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) if name in _LEFT else cell.rjust(width)
                       for name, cell, width in zip(_HEADER, row, widths)).rstrip()
             for row in rows]
    batch = f", a batch of {summary.batch_size}" if summary.batch_size else ""
    title = f"{summary.name} in phase {summary.phase.upper()}{batch}, on {summary.device}"
    return "\n".join([title, "", *lines])


def _cells(layer: LayerSummary) -> tuple[str, ...]:
    how = f"within {layer.fused_into}" if layer.fused_into else ", ".join(
        name or "-" for name in layer.algorithms or ())
    return (layer.name, layer.type, _shapes(layer), _count(layer.parameters),
            _count(layer.multiply_adds), _bytes(layer.blob_bytes), _bytes(layer.parameter_bytes),
            how)


def _shapes(layer: LayerSummary) -> str:
    """``64x1x28x28 -> 64x20x24x24``"""
    bottom, top = _listed(layer.bottom), _listed(layer.top)
    if layer.in_place and bottom == top:
        return f"{top} in place"
    return f"{bottom} -> {top}".rstrip() if bottom else top


def _listed(shapes: list[Shape]) -> str:
    """``64x10, 64``; two of one shape in a row as ``64x10 (2)``."""
    runs = ((shape, len(list(same))) for shape, same in itertools.groupby(shapes))
    return ", ".join(("x".join(map(str, shape)) or "()") + (f" ({n})" if n > 1 else "")
                     for shape, n in runs)


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _bytes(number: int) -> str:
    if number < 1024:
        return f"{number} B" if number else "-"
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024 or unit == "GiB":
            break
    return f"{number:,.1f} {unit}"


def totals(summary: Summary, weights: str | Path | None = None) -> str:
    """The sums, in three lines; ``weights`` is the file of its weights, if there is one."""
    training, n = summary.phase == "train", summary.batch_size
    file = (f"{_bytes(Path(weights).stat().st_size)} in {weights}" if weights else
            f"about {_bytes(summary.file_bytes)} in a file")
    each = f"; {summary.multiply_adds // n:,} a sample" if (
        n and summary.multiply_adds % n == 0) else ""
    return "\n".join([
        "", f"parameters: {summary.parameters:,}; {_bytes(summary.parameter_bytes)} of memory"
        f"{' with their diffs' * training}, {file}",
        f"multiply-adds: {summary.multiply_adds:,} a forward pass{each}",
        f"blobs: {_bytes(summary.blob_bytes)} of memory with keep='all', "
        f"{_bytes(summary.shared_bytes)} with keep=[]"])
