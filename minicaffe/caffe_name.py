"""The name ``caffe`` for minicaffe: scripts and Python layers that say ``import caffe``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec

_PACKAGE = __package__

# what pycaffe has and this version has not, and what does the same
_INSTEAD = {
    "io": "minicaffe.data.image reads pictures, `minicaffe classify` feeds them to a net",
    "Classifier": "`minicaffe classify` does the same",
    "Detector": "run a Net on each window",
    "classifier": "`minicaffe classify` does the same",
    "detector": "run a Net on each window",
    "pycaffe": "caffe.Net has it", "_caffe": "caffe itself has what is in it",
    "net_spec": "caffe.NetSpec, caffe.layers and caffe.params are what is in it",
    "draw": "`minicaffe summary` lists a net's layers",
    "Timer": "time.perf_counter() measures",
    "NCCL": "it trains on one machine",
    "coord_map": "compute the offset of Crop by hand",
    "init_log": "logging.basicConfig(level=logging.INFO) shows what is logged",
    "log": "logging.getLogger('minicaffe').info(...) does the same",
    "set_solver_count": "it trains in one process", "set_solver_rank": "it trains in one process",
    "set_multiprocess": "it trains in one process",
    "NesterovSolver": "type: \"SGD\" is there", "AdaGradSolver": "type: \"SGD\" is there",
    "RMSPropSolver": "type: \"SGD\" is there", "AdaDeltaSolver": "type: \"SGD\" is there",
    "AdamSolver": "type: \"SGD\" is there",
    "forward_all": "call forward() for one batch after the other",
    "forward_backward_all": "call forward() and backward() for one batch after the other",
    "set_input_arrays": "get_solver(..., data=(x, y)) feeds arrays",
    "_set_input_arrays": "get_solver(..., data=(x, y)) feeds arrays",
}


def install_as_caffe() -> None:
    """Let ``import caffe`` mean minicaffe in this process from now on.

    ``caffe.proto.caffe_pb2`` and all else below it are the same modules and classes as minicaffe's:
    see ``_SameModules``.

    It is called before a layer of type Python is imported, whose module says ``import caffe``.
    """
    sys.modules["caffe"] = sys.modules[_PACKAGE]


def missing(owner: str, name: str) -> AttributeError:
    """The error for an attribute that is not there; pycaffe's are told with what does the same."""
    instead = _INSTEAD.get(name)
    hint = f": pycaffe's, which this version lacks. Hint: {instead}." if instead else ""
    return AttributeError(f"{owner} has no attribute '{name}'{hint}")


class _SameModules:
    """Finds ``caffe.x`` where ``caffe`` is minicaffe: the module ``minicaffe.x`` itself.

    Without it Python would look through minicaffe's folder and load each file a second time.
    """

    def find_spec(self, name: str, path: Sequence[str] | None = None, target=None):
        """The specification of an import, if it is one of these."""
        if name.startswith("caffe.") and sys.modules.get("caffe") is sys.modules[_PACKAGE]:
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec: ModuleSpec):
        """The module that has this name below minicaffe."""
        own = spec.name.replace("caffe", _PACKAGE, 1)
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name != own:
                raise
            name = spec.name.partition(".")[2]
            raise ModuleNotFoundError(str(missing("module 'minicaffe'", name)), name=spec.name
                                      ) from None
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module) -> None:
        """Nothing is left to be done but to give the module its own specification back."""
        module.__spec__ = module.__spec__.loader_state


def find_modules_once() -> None:
    """Called when minicaffe is imported: ``caffe.x`` is never loaded beside ``minicaffe.x``."""
    if not any(isinstance(finder, _SameModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _SameModules())
