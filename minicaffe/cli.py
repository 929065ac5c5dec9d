"""The ``minicaffe`` command.  Each subcommand is a module of minicaffe/tools."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .errors import MinicaffeError
from .tools import train as train_command
from .version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``minicaffe`` command; returns the exit status.

    0: done.  2: a mistake in what was asked, told in one line.  3: a target was missed.
    130: interrupted.
    """
    parser = argparse.ArgumentParser(prog="minicaffe", description="Caffe's layer graph in Python.")
    parser.add_argument("--version", action="version", version=f"minicaffe {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _train_parser(commands.add_parser, "train", help="train a net")
    return _run(parser.parse_args(arguments))


def train(arguments: Sequence[str] | None = None) -> int:
    """The script ``train.py``: the same as ``minicaffe train``; returns the exit status."""
    parser = _train_parser(argparse.ArgumentParser, "train.py")
    return _run(parser.parse_args(arguments))


def _train_parser(make, *name, **more) -> argparse.ArgumentParser:
    parser = make(*name, formatter_class=argparse.RawDescriptionHelpFormatter,
                  description=train_command.DESCRIPTION, **more)
    command = "python train.py" if parser.prog == "train.py" else parser.prog
    parser.epilog = train_command.EPILOG.replace("COMMAND", command)
    return train_command.add_options(parser)


def _run(options: argparse.Namespace) -> int:
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("minicaffe.cpu").setLevel(logging.INFO)  # why a first run starts slowly
    try:
        return options.run(options)
    except MinicaffeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: out of memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
