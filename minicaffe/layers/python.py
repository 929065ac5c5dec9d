"""Python: a layer that the user wrote, found by the name of its module and class."""

from __future__ import annotations

import importlib
import inspect

from ..errors import NetError, nearest
from ..layer import Layer


class Python(Layer):
    """Runs ``python_param.layer``, a class derived from ``Layer``, of ``python_param.module``.

    The class implements ``setup``, ``reshape``, ``forward`` and ``backward`` as any layer does; its
    blobs' ``data`` and ``diff`` are NumPy arrays on every device; ``self.param_str`` is the text
    that the net gives it.  ``reshape`` is called before every pass, so that a layer that reads
    data may size its tops by what it read.
    """

    @classmethod
    def create(cls, param, **context) -> Layer:
        """An instance of the user's class.  Errors: NetError where there is none."""
        where = f"Python '{param.name}'"
        module_name, class_name = param.python_param.module, param.python_param.layer
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name != module_name:
                raise  # the module is there, and itself imports something that is not
            raise NetError(where, "a module on Python's path", f"'{module_name}'",
                           "start in its folder or add that to PYTHONPATH.") from None
        layer = getattr(module, class_name, None)
        if not (inspect.isclass(layer) and issubclass(layer, Layer)):
            layers = [name for name, value in vars(module).items()
                      if inspect.isclass(value) and issubclass(value, Layer)]
            raise NetError(where, f"a class of '{module_name}' derived from Layer",
                           f"'{class_name}'", nearest(class_name, layers))
        made = layer(param, **context)
        made.host = made.reshapes_always = True
        return made
