"""minicaffe: Caffe's layer graph in readable Python.  ``import minicaffe as caffe`` works.

    net = caffe.Net("net.prototxt", caffe.TEST, weights="net.caffemodel")
    net.blobs["data"].data[...] = picture
    print(net.forward()["prob"])
"""

from __future__ import annotations

import importlib

from .backend import set_device, set_mode_cpu, set_mode_gpu
from .caffe_name import find_modules_once, install_as_caffe, missing
from .errors import MinicaffeError
from .layer import TEST, TRAIN, Layer, layer_type_list
from .net import Net
from .randomness import set_random_seed
from .version import __version__

# found when first asked for: what a net alone does not need stays out of the import's way
_LATER = {
    "Solver": "solvers", "SGDSolver": "solvers", "get_solver": "solvers",
    "set_num_threads": "backend.cpu", "get_num_threads": "backend.cpu",
    "NetSpec": "spec", "to_proto": "spec", "params": "spec",
    "layers": "layers", "testing": "testing", "data": "data", "proto": "proto",
}


def __getattr__(name: str):
    if name not in _LATER:
        raise missing("module 'minicaffe'", name)
    module = importlib.import_module(f".{_LATER[name]}", __name__)
    return module if name == _LATER[name] else getattr(module, name)


def __dir__():
    return sorted({*globals(), *_LATER})


find_modules_once()

__all__ = ["TEST", "TRAIN", "Layer", "MinicaffeError", "Net", "install_as_caffe",
           "layer_type_list", "set_device", "set_mode_cpu", "set_mode_gpu", "set_random_seed",
           "__version__", *_LATER]
