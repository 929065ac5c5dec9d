"""Nets to train, by name or file: each a ``net()`` and a ``solver()``; ``minicaffe models``."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import MinicaffeError, ParameterError, nearest
from ..proto import NetParameter, SolverParameter
from ..proto.atomic_files import existing_file
from ..proto.upgrade import read_net

DESCRIPTION = """\
List the nets that --model knows by name, with the data that each is meant for.

A net of your own is a Python file like one of these, or a prototxt: --model FILE.
"""

EPILOG = """\
examples:
  COMMAND
  minicaffe summary --model lenet
  minicaffe train --model lenet --data fashion-mnist
"""

PACKAGE = Path(__file__).parent.parent
# an installed package holds the models itself; a checkout has them beside the package
FOLDER = PACKAGE / "models" if (PACKAGE / "models").is_dir() else PACKAGE.parent / "models"


class Model(NamedTuple):
    """A net, the settings it is trained with, and the data set it is meant for.

    ``net(classes=, shape=)`` makes the net for so many classes and samples (C, H, W), as far as the
    model lets one choose.
    """

    net: Callable[..., NetParameter]
    solver: Callable[[], SolverParameter]
    data: str = "digits"


def names() -> list[str]:
    """The names of all nets of models/."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command, which are none."""
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print a line for each model; returns the exit status."""
    for name in names():
        told = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))) or ""
        first = " ".join(told.split("\n\n")[0].split())
        print(f"{name:14} {load(name).data:9} {first}".rstrip())
    return 0


def load(model: str) -> Model:
    """A net of models/ by name, of a Python file, or of a prototxt.

    Errors: ParameterError for an unknown name, or a Python file without ``net()``.
    """
    if model.endswith(".py"):
        path = existing_file(model).resolve()
        sys.path.insert(0, str(path.parent))  # as for any script: it may import its neighbours
        return _of_module(path)
    if "prototxt" in model or "/" in model:
        return Model(lambda **fit: read_net(existing_file(model)), _default_solver)
    if model in names():
        return _of_module(FOLDER / f"{model}.py")
    raise ParameterError("--model", f"one of {', '.join(names())}, a .py file or a .prototxt",
                         f"'{model}'", nearest(model, names()))


def _of_module(path: Path) -> Model:
    spec = importlib.util.spec_from_file_location(f"minicaffe_model_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pickle, inspect and numba's cache look for it
    _told(path, lambda: spec.loader.exec_module(module))

    def made(name: str, kind: type, **fit):
        function = getattr(module, name, None)
        value = None
        if callable(function):
            taken = inspect.signature(function).parameters
            fit = {key: value for key, value in fit.items() if key in taken}
            value = _told(path, lambda: function(**fit))
        value = value.to_proto() if hasattr(value, "to_proto") else value
        if not isinstance(value, kind):
            raise ParameterError(str(path), f"a function {name}() that returns a {kind.__name__}",
                                 "none" if function is None else type(value).__name__,
                                 "models/digits.py is an example.")
        return value
    has_solver = hasattr(module, "solver")
    return Model(lambda **fit: made("net", NetParameter, **fit),
                 (lambda: made("solver", SolverParameter)) if has_solver else _default_solver,
                 getattr(module, "DATA", Model._field_defaults["data"]))


def _told(path: Path, call: Callable):
    """Call code of a user's file; a mistake there is told with its line, without our own frames.

    Errors: ParameterError for whatever it raises, but for minicaffe's own errors.
    """
    try:
        return call()
    except MinicaffeError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else "?"
        raise ParameterError(f"{path}:{line}", "a model that can be made",
                             f"{type(error).__name__}: {error}") from error


def _default_solver() -> SolverParameter:
    """For nets that bring no settings of their own."""
    return SolverParameter(base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=0.0005,
                           max_iter=1000, display=50, average_loss=50, test_interval=250)


def set_batch_size(net: NetParameter, batch_size: int) -> None:
    """Give the first axis of every Input another size, and the batches of data layers."""
    for layer in net.layer:
        for shape in layer.input_param.shape if layer.type == "Input" else ():
            if shape.dim:
                shape.dim[0] = batch_size
        for _, message in layer.ListFields() if not layer.bottom else ():
            if "batch_size" in getattr(getattr(message, "DESCRIPTOR", None), "fields_by_name", ()):
                message.batch_size = batch_size
