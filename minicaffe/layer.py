"""The base class of every layer, and the registry of layer types."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache

import numpy

from . import allocation, fillers, randomness
from .backend import get_backend
from .blob import Blob, Moves
from .errors import NetError, ShapeError, WeightsError
from .proto import FillerParameter, LayerParameter, layer_params
from .proto.blobs import array_of, fits
from .proto.forks import fork_types
from .proto.schema import CAFFE_TYPES
from .proto.type_names import meant_type

TRAIN, TEST = 0, 1
_types: dict[str, type[Layer]] = {}
_log = logging.getLogger("minicaffe")


class Layer:
    """One step of a net: ``setup`` once, ``reshape`` when shapes change, ``forward``, ``backward``.

    To write a layer, derive a class: its name is its type.  It may override four methods, each
    given lists of blobs.  Tops are written in place into arrays that ``reshape`` sized; bottoms'
    diffs are written (``=``), parameters' diffs accumulate (``+=``).

    Attributes:
        name: the layer's name.  param: its LayerParameter.  phase: TRAIN or TEST.
        backend: the primitives of its device; ``self.xp``: the device's array library.
        parameters: its learnable blobs, which ``add_blob`` makes; ``blobs``: the same, as the
            host views that users read.  param_propagate_down: which of them need a gradient.
        param_str: the text a net gives to a layer of type Python.
        moves: counts the moves of the blobs of its net, and of those that it makes.

    Class attributes, by which a layer declares itself:
        bottoms, tops: how many it takes and makes: a number, or (least, most), most may be None.
        tops_like_bottoms: one top for each bottom.
        is_loss: its first top counts as a loss with weight 1 unless the net says otherwise.
        no_gradient: indices of bottoms, such as labels, that get no gradient.
        in_place: its top may be written over its bottom.
        backward_reads: whose values backward needs, of "bottom" and "top"; memory that no one
            needs any more serves other blobs.
        backward_reads_signs: of what backward reads it needs to know no more than what is above 0.
        keeps_signs: what is above 0 in its bottom is so in its top, and nothing else, except
            where its gradient is 0.
        diff_in_place: backward may write the diff of a bottom over that of a top.
        host: it is host code by nature and is handed NumPy arrays, whatever the device.
        reshapes_always: its tops may take another shape in any pass, as where it reads data.
        takes_epilogue: its forward takes the ``slope`` of a ReLU in place that follows it.
        only_primitives: its forward does nothing but call primitives of the backend: the same ones,
            with the same numbers, as long as its blobs stay where they are.  A net may then repeat
            these calls without it.
        param_fields: the parameters of a type that is not in the schema, as
            ``{"exponent": 3.0, ...}``; see ``proto/layer_params.py``.  A layer of class Cube reads
            them as ``self.param.cube_param.exponent``.
    """

    bottoms: int | tuple[int, int | None] = (0, None)
    tops: int | tuple[int, int | None] = (0, None)
    tops_like_bottoms = False
    is_loss = False
    no_gradient: tuple[int, ...] = ()
    in_place = False
    backward_reads: tuple[str, ...] = ("bottom", "top")
    backward_reads_signs = False
    keeps_signs = False
    diff_in_place = False
    host = False
    reshapes_always = False
    takes_epilogue = False
    only_primitives = False
    param_fields: Mapping[str, object] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # what a parent says of a method does not hold for another method in its place
        for method, says in (("forward", "takes_epilogue"), ("forward", "keeps_signs"),
                             ("backward", "backward_reads"), ("backward", "backward_reads_signs"),
                             ("backward", "diff_in_place")):
            if method in vars(cls) and says not in vars(cls):
                setattr(cls, says, getattr(Layer, says))
        if "only_primitives" not in vars(cls):  # whatever it has changed may do more
            cls.only_primitives = False
        if not cls.__name__.startswith("_"):
            _register(cls)

    def __init__(self, param: LayerParameter, backend=None, phase: int = TEST, seed: int = 0,
                 dtype="float32"):
        self.param = param
        self.name = param.name
        self.phase = phase
        self.backend = get_backend() if backend is None else backend
        self.dtype = dtype
        self.param_str = param.python_param.param_str
        self.moves = Moves()
        self.parameters: list[Blob] = []
        self.param_propagate_down: list[bool] = []
        self._seed = seed
        self.stream: tuple = (self.name,)  # names its random numbers among those of the net
        self._key = None

    @classmethod
    def create(cls, param: LayerParameter, **context) -> Layer:
        """The layer of a LayerParameter; a type may override this to choose another class."""
        return cls(param, **context)

    # ------------------------------------------------------------------------- to be overridden

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the parameters and make the blobs.  Shapes of the bottoms are known."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give each top its shape.  Called before the first pass and when a shape has changed."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write the tops' data."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Write the diff of each bottom i with ``propagate_down[i]``; add to the blobs' diffs."""

    def prepare(self, tick: int) -> None:
        """Before the pass number ``tick``: what changes from pass to pass.  Host code."""
        if self._key is not None:
            self.backend.upload(numpy.array([randomness.key(self._seed, *self.stream, tick)],
                                            numpy.uint64), self._key)

    @property
    def prepares(self) -> bool:
        """Whether ``prepare`` does anything."""
        return self._key is not None or type(self).prepare is not Layer.prepare

    @property
    def has_backward(self) -> bool:
        """Whether its backward pass does anything."""
        return (type(self).backward is not Layer.backward
                and bool(self.param.bottom or self.parameters))

    def multiply_adds(self, bottom: list[Blob], top: list[Blob]) -> int:
        """How many products forward adds up for blobs of these shapes: those of convolutions and
        matrix products.  Layers that have none, such as element-wise ones, count as 0."""
        return 0

    def reseed(self, seed: int) -> None:
        """Draw random numbers by another seed from now on."""
        self._seed = seed

    # ------------------------------------------------------------------------- for use in layers

    @property
    def type(self) -> str:
        """The layer's type in the net: the name of its class, or "Python"."""
        return self.param.type or type(self).__name__

    @property
    def blobs(self) -> BlobList:
        """The parameters as host views: what a user, and a layer of type Python, reads."""
        return BlobList(self)

    @property
    def xp(self):
        """The array library of the device: NumPy, CuPy."""
        return self.backend.xp

    @property
    def where(self) -> str:
        """The layer as error messages name it: ``InnerProduct 'ip1'``."""
        return f"{self.type} '{self.name}'"

    def add_blob(self, shape: Sequence[int], filler: FillerParameter | None = None) -> Blob:
        """Make a parameter of this layer, filled on the host (default: with zeros).

        If the net's description brings the layer's blobs, it has their numbers instead.
        Errors: WeightsError where these have another shape.
        """
        index = len(self.parameters)
        blob = Blob(self.backend, self.dtype, shape, f"{self.name}.{index}", self.moves)
        if index < len(self.param.blobs):
            where = f"{self.where}: blob {index} in the net"
            array = array_of(self.param.blobs[index], where)
            if not fits(array.shape, blob.shape):
                raise WeightsError(where, f"the shape {blob.shape}", array.shape)
            blob.host.data[...] = array.reshape(blob.shape)
        elif filler is not None and filler.ListFields():  # memory begins with zeros
            rng = randomness.generator(self._seed, *self.stream, index)
            fillers.fill(filler, blob.shape, rng, self.where, out=blob.host.data)
        self.parameters.append(blob)
        self.param_propagate_down.append(True)
        return blob

    def buffer(self, shape: Sequence[int], dtype=None):
        """An array of the layer's own on its device, for what forward leaves for backward."""
        return allocation.zeros(self.backend, shape, self.dtype if dtype is None else dtype,
                                f"{self.where}: a buffer")

    def uses_random(self):
        """Called in setup: returns the array that holds each pass's key for backend.uniform."""
        if self._key is None:
            self._key = self.backend.zeros((1,), numpy.uint64)
        return self._key

    def axis(self, index: int, blob: Blob) -> int:
        """A possibly negative axis index as one from 0.  Errors: ShapeError out of range."""
        axes = len(blob.shape)
        if not -axes <= index < axes:
            raise ShapeError(self.where, f"a bottom with an axis {index}", blob.shape)
        return index % axes

    def expect(self, condition: bool, expected: str, got: object, hint: str = "") -> None:
        """Errors: ShapeError, naming this layer, unless the condition holds."""
        if not condition:
            raise ShapeError(self.where, expected, got, hint)


class BlobList(list):
    """Host views of a layer's parameters, with pycaffe's ``add_blob``."""

    def __init__(self, layer: Layer):
        super().__init__(blob.host for blob in layer.parameters)
        self._layer = layer

    def add_blob(self, *shape: int) -> None:
        """Make one more parameter of this shape, zeros (pycaffe's BlobVec)."""
        self.append(self._layer.add_blob(shape).host)


# ------------------------------------------------------------------------------------- registry

def _register(cls: type[Layer]) -> None:
    known = _types.get(cls.__name__)
    if known is not None and known.__module__.startswith(f"{__package__}.layers."):
        if known.__module__ != cls.__module__:
            _log.debug("%s.%s: the type of this name stays minicaffe's own; use it as a layer of "
                       "type Python", cls.__module__, cls.__name__)
            return
    parents = [parent.__name__ for parent in cls.__mro__[1:] if issubclass(parent, Layer)]
    layer_params.add_type(cls.__name__, parents, vars(cls).get("param_fields", {}))
    _types[cls.__name__] = cls


@cache
def _discover() -> None:
    """Import every module of minicaffe/layers, which registers their classes."""
    package = importlib.import_module(f"{__package__}.layers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


layer_params.find_by(_discover)


def layer_type_list() -> list[str]:
    """The names of all layer types, in alphabetical order."""
    _discover()
    return sorted(_types)


def layer_class(param: LayerParameter) -> type[Layer]:
    """The class of a LayerParameter's type.  Errors: NetError for an unknown type."""
    if param.type not in _types:
        _discover()
    if param.type not in _types:
        raise _unknown_type(f"layer '{param.name}'", param.type)
    return _types[param.type]


def _unknown_type(where: str, name: str) -> NetError:
    """The error for a type that is not registered, with what is to be done."""
    known = f"known types: {', '.join(sorted(_types))}."
    if name.endswith("Data"):
        known = "Solver(..., data=(x, y), test_data=(x, y)) or train.py --data takes its place."
    if name in CAFFE_TYPES:
        return NetError(where, "a layer type that this version has", f"Caffe's '{name}'", known)
    if name in fork_types():
        return NetError(where, "a layer type that this version has", f"'{name}', which forks of "
                        f"Caffe have ({fork_types()[name]})",
                        f"a class {name}, derived from Layer, adds it.")
    meant = meant_type(name, _types)
    return NetError(where, "a known layer type", f"'{name}'",
                    f"did you mean '{meant}'?" if meant else known)


def make_layer(param: LayerParameter, **context) -> Layer:
    """The layer of a LayerParameter; ``context`` is what ``Layer`` takes besides it."""
    return layer_class(param).create(param, **context)
