"""Blobs: the arrays that flow between layers, and the parameters inside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from weakref import WeakSet

import numpy

from .allocation import does_not_fit
from .errors import KeepError, ShapeError
from .proto.blobs import MOST_AXES


class Moves:
    """Counts how often any blob of a net has taken another shape, or its array another place.

    While ``count`` stays, all that was found out about where the numbers of the net lie holds.
    """

    def __init__(self):
        self.count = 0


class Memory:
    """One flat array on a device, made when first used, with a host copy once somebody asks.

    Blobs may share one Memory (Split's tops, shared parameters), and the plan may place it inside
    an arena.  On devices whose arrays are NumPy arrays the host copy is the array itself.

    watchers: the Moves of all nets whose blobs live here.
    """

    def __init__(self, backend, dtype, moves: Moves):
        self.backend = backend
        self.watchers = WeakSet([moves])
        self.dtype = numpy.dtype(dtype)
        self.array = None
        self._copy = None
        self._copy_is_newer = False
        self._is_cleared = False

    def __getstate__(self) -> dict:
        return {**vars(self), "watchers": list(self.watchers)}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, watchers=WeakSet(state["watchers"]))

    def place(self, array) -> None:
        """Live in this array from now on; what was there is forgotten."""
        self.array, self._copy, self._copy_is_newer = array, None, False
        self._is_cleared = False
        for moves in self.watchers:
            moves.count += 1

    def clear(self) -> None:
        """Hold zeros from now on; they are written when somebody looks."""
        self._is_cleared, self._copy_is_newer = True, False

    def overwritten(self) -> bool:
        """Whether it held cleared zeros; the caller is about to write over all of it."""
        was, self._is_cleared = self._is_cleared, False
        return was

    def on_device(self, count: int):
        """The device's array, at least ``count`` long; a newer host copy is fetched first."""
        if self.array is None or self.array.size < count:
            self._grow(count)
        if self._copy_is_newer:
            self.backend.upload(self._copy, self.array)
            self._copy_is_newer = False
        if self._is_cleared:
            self.array[...] = 0
            self._is_cleared = False
        return self.array

    def on_host(self, count: int) -> numpy.ndarray:
        """The host's array, up to date; it counts as the newer one from now on."""
        if self.backend.is_host:
            return self.on_device(count)
        if not self._copy_is_newer:
            array = self.on_device(count)
            if self._copy is None or self._copy.size != array.size:
                self._copy = numpy.empty(array.size, self.dtype)
            self.backend.download(array, self._copy)
            self._copy_is_newer = True
        elif self._copy.size < count:
            self.on_device(count)
            return self.on_host(count)
        return self._copy

    def _grow(self, count: int) -> None:
        """Room for ``count`` elements; those that were there stay."""
        old = None if self.array is None else self.on_host(self.array.size).copy()
        self.place(self.backend.zeros((count,), self.dtype))
        if old is not None:
            self.on_host(count)[:old.size] = old


class Blob:
    """``data`` and ``diff``, two arrays of one shape on one device.

    moves: counts its moves, with those of the other blobs of its net.

    Layers see blobs: ``data`` and ``diff`` are arrays of the device.  Users see ``blob.host``,
    whose ``data`` and ``diff`` are NumPy arrays; on CPU devices it is the blob itself.
    """

    def __init__(self, backend, dtype="float32", shape: Sequence[int] = (), name: str = "blob",
                 moves: Moves | None = None):
        self.name = name
        self.moves = Moves() if moves is None else moves
        self.backend = backend
        self.shape = tuple(shape)
        self.count = math.prod(self.shape)
        self._memory = {part: Memory(backend, dtype, self.moves) for part in ("data", "diff")}
        self._views: dict[str, tuple] = {}

    # -------------------------------------------------------------------------------- arrays

    @property
    def data(self):
        """The values, as an array of the device; what is assigned is copied into it."""
        return self._array("data")

    @data.setter
    def data(self, values) -> None:
        self.data[...] = values

    @property
    def diff(self):
        """The gradient of the loss with respect to the values; likewise."""
        return self._array("diff")

    @diff.setter
    def diff(self, values) -> None:
        self.diff[...] = values

    def clear_diff(self) -> None:
        """Let the diff be zeros to whoever looks at it next."""
        self._memory["diff"].clear()

    def diff_to_add_to(self) -> tuple[object, bool]:
        """The diff, and whether a gradient has to be added to what it holds.

        False: it has just been cleared, and all of it is to be written over.  A large matrix of
        weights is saved two trips through memory that way.
        """
        adds = not self._memory["diff"].overwritten()
        return self.diff, adds

    def _array(self, part: str):
        flat = self._flat(self._memory[part].on_device)
        known = self._views.get(part)
        if known is None or known[0] is not flat:
            known = flat, self._shaped(flat)
            self._views[part] = known
        return known[1]

    def _shaped(self, flat):
        """The beginning of a flat array in the shape of the blob.

        Errors: ShapeError where no array has that shape: one may be too large and empty.
        """
        try:
            return flat[:self.count].reshape(self.shape)
        except ValueError as error:
            raise does_not_fit(f"blob '{self.name}'", self.shape, flat.dtype) from error

    def _flat(self, memory: Callable):
        """What ``on_device`` or ``on_host`` of a Memory gives.

        Errors: ShapeError where the blob does not fit into memory.
        """
        try:
            return memory(self.count)
        except (MemoryError, ValueError, OverflowError) as error:
            dtype = self._memory["data"].dtype
            raise does_not_fit(f"blob '{self.name}'", self.shape, dtype) from error

    def __getstate__(self) -> dict:
        """For a copy, whose arrays are others."""
        return {**vars(self), "_views": {}}

    @property
    def kind(self) -> tuple:
        """What two blobs must have in common to share memory: shape, type, device."""
        memory = self._memory["data"]
        return self.shape, memory.dtype.name, memory.backend.name

    @property
    def host(self):
        """What a user reads and writes: NumPy arrays, whatever the device."""
        return self if self.backend.is_host else HostView(self)

    # --------------------------------------------------------------------------------- shape

    def reshape(self, *shape: int) -> None:
        """Take another shape; memory grows when needed and never shrinks.

        Errors: ShapeError for an axis that is negative or no integer, or more than MOST_AXES.
        """
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            shape = tuple(shape[0])
        shape = tuple(shape)
        if shape == self.shape:
            return
        if any(int(s) != s or s < 0 for s in shape):
            raise ShapeError(f"blob '{self.name}'", "axes of 0 or more", shape)
        if len(shape) > MOST_AXES:
            raise ShapeError(f"blob '{self.name}'", f"at most {MOST_AXES} axes", len(shape))
        self.shape = tuple(int(s) for s in shape)
        self.count = math.prod(self.shape)
        self._views.clear()
        self.moves.count += 1

    def reshape_like(self, other: Blob) -> None:
        """Take the shape of another blob."""
        self.reshape(*other.shape)

    def _legacy_axis(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise ShapeError(f"blob '{self.name}'", "4 axes or fewer for num, channels, height "
                             "and width", self.shape, "use shape.")
        return self.shape[axis] if axis < len(self.shape) else 1

    num = property(lambda self: self._legacy_axis(0), doc="The first axis (Caffe's old name).")
    channels = property(lambda self: self._legacy_axis(1), doc="The second axis.")
    height = property(lambda self: self._legacy_axis(2), doc="The third axis.")
    width = property(lambda self: self._legacy_axis(3), doc="The fourth axis.")

    # ------------------------------------------------------------------------------- sharing

    def memory(self, part: str) -> Memory:
        """Where ``"data"`` or ``"diff"`` lives; one object for all blobs that share it."""
        return self._memory[part]

    def share(self, other: Blob, *parts: str) -> None:
        """Let ``data``, ``diff`` or both live where those of another blob of this count do."""
        for part in parts or ("data", "diff"):
            self._memory[part] = other._memory[part]
            self._memory[part].watchers.add(self.moves)
        self._views.clear()
        self.moves.count += 1

    def __repr__(self) -> str:
        return f"<Blob '{self.name}' {self.shape}>"


class HostView:
    """A blob of a device as NumPy arrays, by Caffe's contract.

    An access of ``data`` or ``diff`` fetches it if the device is newer, and marks the host copy as
    the newer one, so that what is written into it is seen by the next layer that runs.
    """

    def __init__(self, blob: Blob):
        self._blob = blob

    @property
    def data(self) -> numpy.ndarray:
        return self._array("data")

    @data.setter
    def data(self, values) -> None:
        self.data[...] = values

    @property
    def diff(self) -> numpy.ndarray:
        return self._array("diff")

    @diff.setter
    def diff(self, values) -> None:
        self.diff[...] = values

    def _array(self, part: str) -> numpy.ndarray:
        blob = self._blob
        return blob._shaped(blob._flat(blob.memory(part).on_host))

    @property
    def host(self) -> HostView:
        return self

    def __getattr__(self, name: str):
        return getattr(self._blob, name)

    def __repr__(self) -> str:
        return repr(self._blob)


class NotKept(HostView):
    """A blob whose memory serves others too: its shape can be read, its numbers cannot."""

    def __init__(self, blob: Blob, hidden: frozenset[str]):
        super().__init__(blob)
        self._hidden = hidden

    def _array(self, part: str) -> numpy.ndarray:
        if part in self._hidden:
            name = self._blob.name
            raise KeepError(f"{part} of blob '{name}'", "it was not kept: its memory is shared "
                            "with other blobs", hint=f"make the net with keep=['{name}'], or with "
                            "keep='all'.")
        return super()._array(part)
