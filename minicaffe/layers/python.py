"""Python: a layer that the user wrote, found by the name of its module and class."""

from __future__ import annotations

import importlib
import inspect
import sys

from ..caffe_name import install_as_caffe
from ..errors import NetError, nearest
from ..layer import Layer


class Python(Layer):
    """Runs ``python_param.layer``, a class derived from ``Layer``, of ``python_param.module``.

    The class implements ``setup``, ``reshape``, ``forward`` and ``backward`` as any layer does; its
    blobs' ``data`` and ``diff`` are NumPy arrays on every device; ``self.param_str`` is the text
    that the net gives it.  ``reshape`` is called before every pass, so that a layer that reads
    data may size its tops by what it read.  The module may say ``import caffe``: it gets minicaffe.

    A net with such a layer runs code: ``Net(..., allow_python=False)`` refuses it.
    """

    @classmethod
    def create(cls, param, **context) -> Layer:
        """An instance of the user's class.  Errors: NetError where there is none."""
        where = f"Python '{param.name}'"
        module_name, class_name = param.python_param.module, param.python_param.layer
        module = _imported(module_name, where)
        layer = getattr(module, class_name, None)
        if not (inspect.isclass(layer) and issubclass(layer, Layer)):
            layers = [name for name, value in vars(module).items()
                      if inspect.isclass(value) and issubclass(value, Layer)]
            raise NetError(where, f"a class of '{module_name}' derived from Layer",
                           f"'{class_name}'", nearest(class_name, layers))
        made = layer(param, **context)
        made.host = made.reshapes_always = True
        return made


def _imported(name: str, where: str):
    """The module of that name; ``import caffe`` in it finds minicaffe.

    Errors: NetError where it is not there, or cannot be imported.
    """
    if not name or name.startswith("."):
        raise NetError(where, "the name of a module on Python's path", repr(name))
    if "caffe" not in sys.modules:
        install_as_caffe()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a module of the user's may raise
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{name}.".startswith(f"{absent}."):
            raise NetError(where, "a module on Python's path", f"'{name}'",
                           "start in its folder or add that to PYTHONPATH.") from None
        raise NetError(where, f"a module '{name}' that can be imported",
                       f"{type(error).__name__}: {error}".removesuffix(".")) from error
