"""The ``minicaffe`` command.  Each subcommand is a module of minicaffe/tools."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from .errors import MinicaffeError
from .version import __version__

COMMANDS = {"train": "train a net", "classify": "tell what pictures show, with a trained net",
            "show": "draw a net's filters, or what its layers make of a picture",
            "plot": "draw the curves of trainings"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``minicaffe`` command; returns the exit status.

    0: done.  2: a mistake in what was asked, told in one line.  3: a target was missed.
    130: interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="minicaffe", description="Caffe's layer graph in Python.")
    parser.add_argument("--version", action="version", version=f"minicaffe {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, help in COMMANDS.items():
        if name in arguments[:1]:  # the others' modules need not be imported
            _command_parser(name, commands.add_parser, name, help=help)
        else:
            commands.add_parser(name, help=help)
    return _run(parser.parse_args(arguments))


def train(arguments: Sequence[str] | None = None) -> int:
    """The script ``train.py``: the same as ``minicaffe train``; returns the exit status."""
    parser = _command_parser("train", argparse.ArgumentParser, "train.py")
    return _run(parser.parse_args(arguments))


def _command_parser(command: str, make, *name, **more) -> argparse.ArgumentParser:
    """The parser of a subcommand, which its module tells about."""
    module = importlib.import_module(f".tools.{command}", __package__)
    parser = make(*name, formatter_class=argparse.RawDescriptionHelpFormatter,
                  description=module.DESCRIPTION, **more)
    typed = "python train.py" if parser.prog == "train.py" else parser.prog
    parser.epilog = module.EPILOG.replace("COMMAND", typed)
    return module.add_options(parser)


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
