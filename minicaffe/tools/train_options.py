"""The options of ``minicaffe train``, and what their values may be."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from . import models
from .option_values import checked, whole


@dataclass(frozen=True)
class TrainOptions:
    """What is trained, how, and what is written; None: as the model or the solver file says.

    The help of ``minicaffe train`` tells what each option means: ``--batch-size`` is
    ``batch_size`` here.
    """

    model: str | None = None
    solver: str | None = None
    data: str | None = None
    mirror: bool = False
    shift: int = 0
    image_size: tuple[int, ...] | None = None  # (C, H, W) or (H, W)
    weights: str | None = None
    resume: str | None = None  # "" for the newest state

    iterations: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    display: int | None = None
    test_interval: int | None = None
    seed: int | None = None
    validation: float | None = None
    patience: int | None = None
    device: str = "cpu"

    snapshot_dir: str | None = None
    snapshot: int | None = None
    keep: int | None = None
    log: str | None = None
    plot: str | None = None
    target_accuracy: float | None = None

    @classmethod
    def of(cls, given: argparse.Namespace) -> TrainOptions:
        """The options that a parser read, without what else it noted down."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: value for name, value in vars(given).items() if name in names})


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command; those not given are left to the defaults of TrainOptions."""
    parser.argument_default = argparse.SUPPRESS
    _say_what(parser.add_argument_group("what to train").add_argument)
    _say_how(parser.add_argument_group(
        "how to train (default: as the model or solver file says)").add_argument)
    _say_where(parser.add_argument_group("what comes out").add_argument)
    return parser


def _say_what(add: Callable) -> None:
    add("--model", type=_text, metavar="NAME|FILE", help=f"a net by name "
        f"({', '.join(models.names())}), a Python file like those, or a prototxt (default: digits)")
    add("--solver", type=_text, metavar="FILE", help="a solver prototxt; without --model its net "
        "is trained (default: the model's own settings)")
    add("--data", type=_text, metavar="DATA", help="what to train on; it takes the place of the "
        "net's data layers (default: what the model is meant for, else digits)")
    add("--mirror", action="store_true", help="learn from pictures mirrored at random as well")
    add("--shift", type=_positive, metavar="N",
        help="learn from pictures moved by up to N pixels each way")
    add("--image-size", type=_size, metavar="[Cx]HxW", help="bring pictures of your own to this "
        "size, 1 or 3 channels (default: that of the net's input)")
    add("--weights", type=_text, metavar="FILE[,FILE...]", help="start from these weights, "
        ".caffemodel or .h5: fine-tuning; layers of another shape start afresh")
    add("--resume", metavar="FILE", nargs="?", const="", help="go on from this .solverstate, or "
        "from the newest one of this training")


def _say_how(add: Callable) -> None:
    add("--iterations", type=_positive, metavar="N", help="train for N iterations")
    add("--batch-size", type=_positive, metavar="N", help="samples an iteration")
    add("--lr", type=_rate, metavar="X", help="base learning rate")
    add("--display", type=_positive, metavar="N", help="show the loss every N iterations")
    add("--test-interval", type=_positive, metavar="N", help="test every N iterations")
    add("--seed", type=_seed, metavar="N",
        help="of weights, dropout and the order of the data (else 1)")
    add("--validation", type=_share, metavar="X", help="hold out this share of the training part: "
        "the tests meanwhile are of it, and choose the best weights (default: 0, all is trained on "
        "and the last weights count; 0.1 with --patience)")
    add("--patience", type=_positive, metavar="N", help="stop after N tests in a row without a "
        "better one")
    add("--device", metavar="NAME",
        help="cpu (compiled by numba) or numpy (the plain reference) (default: cpu)")


def _say_where(add: Callable) -> None:
    add("--snapshot-dir", type=_text, metavar="DIR", help="folder for weights and solver states "
        "(else snapshots); they are called after the solver file, or else the model, and the data "
        "where it is not the model's own")
    add("--snapshot", type=_positive, metavar="N", help="write a snapshot every N iterations, not "
        "only at the end")
    add("--keep", type=_positive, metavar="N", help="of the snapshots keep the best and the last N "
        "(default: 2 with --snapshot or --patience, else all)")
    add("--log", type=_text, metavar="FILE", help="append displays, tests and snapshots as "
        "JSON lines")
    add("--plot", type=_text, metavar="FILE", help="draw loss, accuracy and rate into this .png, "
        ".svg or .pdf")
    add("--target-accuracy", type=_share, metavar="X", help="exit with status 3 if the test "
        "accuracy is below X, such as 0.97")


def _sides(text: str) -> tuple[int, ...]:
    """(C, H, W), (H, W), or one number for both."""
    sizes = tuple(map(whole, text.split("x")))
    return sizes * 2 if len(sizes) == 1 else sizes


_text = checked(str, bool, "a name")
_positive = checked(whole, lambda n: n >= 1, "a whole number of 1 or more")
_seed = checked(whole, lambda n: n < 2**63, "a whole number below 2^63")
_rate = checked(float, lambda x: 0 <= x < math.inf, "a number of 0 or more")
_share = checked(float, lambda x: 0 <= x <= 1, "a share from 0 to 1, such as 0.97")
_size = checked(_sides, lambda size: min(size) >= 1 and len(size) < 4 and size[:-2] in (
    (), (1,), (3,)), "a size such as 64, 48x64 or 3x48x64")
