"""The ``minicaffe`` command.  Each subcommand is a module of minicaffe/tools."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence

from .errors import MinicaffeError, nearest
from .net import Net
from .version import __version__

COMMANDS = {"train": "train a net", "classify": "tell what pictures show, with a trained net",
            "show": "draw a net's filters, or what its layers make of a picture",
            "summary": "tell what a net's layers make, cost and hold",
            "plot": "draw the curves of trainings",
            "models": "list the nets that --model knows by name"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``minicaffe`` command; returns the exit status.

    0: done.  2: a mistake in what was asked, told in one line.  3: a target was missed.
    130: interrupted.
    """
    return _run(_main_options, sys.argv[1:] if arguments is None else list(arguments))


def train(arguments: Sequence[str] | None = None) -> int:
    """The script ``train.py``: the same as ``minicaffe train``; returns the exit status."""
    return _run(_train_options, arguments)


def _main_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="minicaffe", description="Caffe's layer graph in Python.",
        epilog="minicaffe COMMAND --help tells the options of a command.")
    parser.add_argument("--version", action="version", version=f"minicaffe {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    chosen = parser
    for name, help in COMMANDS.items():
        if name in arguments[:1]:  # the others' modules need not be imported
            chosen = _command_parser(name, commands.add_parser, name, help=help)
        else:
            commands.add_parser(name, help=help)
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        hint = nearest(arguments[0], COMMANDS) or f"the commands are {', '.join(COMMANDS)}."
        parser.error(f"unknown command '{arguments[0]}'. Hint: {hint}")
    return _parsed(parser, chosen, arguments)


def _train_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _command_parser("train", argparse.ArgumentParser, "train.py")
    return _parsed(parser, parser, arguments)


def _parsed(parser: argparse.ArgumentParser, chosen: argparse.ArgumentParser,
            arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; one that ``chosen``, the command's parser, does not have is told with the
    nearest that it has."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = [name for action in chosen._actions for name in action.option_strings]
        hint = nearest(unknown[0].split("=")[0], known) or f"{chosen.prog} --help lists all."
        chosen.error(f"unknown argument '{unknown[0]}'. Hint: {hint}")
    return options


def _command_parser(command: str, make, *name, **more) -> argparse.ArgumentParser:
    """The parser of a subcommand, which its module tells about."""
    module = importlib.import_module(f".tools.{command}", __package__)
    parser = make(*name, formatter_class=argparse.RawDescriptionHelpFormatter,
                  description=module.DESCRIPTION, **more)
    typed = "python train.py" if parser.prog == "train.py" else parser.prog
    parser.epilog = module.EPILOG.replace("COMMAND", typed)
    parser.add_argument("--no-python", action="store_true", help="refuse nets with layers of type "
                        "Python, which run code: for nets of strangers")
    return module.add_options(parser)


def _run(read: Callable, arguments: Sequence[str] | None) -> int:
    """Do what the options say that ``read`` makes of the arguments; returns the exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed, as by ">&-"
            setattr(sys, name, open(os.devnull, "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever a file is called, it can be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    for told in ("minicaffe.cpu", "minicaffe.train"):  # why a first run starts slowly; on what
        logging.getLogger(told).setLevel(logging.INFO)
    try:
        options = read(arguments)  # imports the command's module, which takes a moment already
        Net.allow_python = not options.no_python
        return options.run(options)
    except MinicaffeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as of "| head": nobody reads on
        sys.stdout = open(os.devnull, "w")
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: out of memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
