"""One layer type per file; defining the class registers it, nothing is listed by hand.

Seen from outside this package is also pycaffe's ``layers``: ``from minicaffe import layers as L``,
``L.Convolution(bottom, num_output=20, kernel_size=5)`` describes a layer for a ``NetSpec``.
"""


def __getattr__(name: str):
    if name.startswith("_"):
        raise AttributeError(name)
    from ..spec import layer_function
    return layer_function(name)


def __dir__() -> list[str]:
    from ..layer import layer_type_list
    return sorted({*globals(), *layer_type_list()})
