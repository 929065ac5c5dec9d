"""Which blobs keep their numbers, and the memory that the others share."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence

from .. import allocation
from ..blob import Blob, HostView, Memory, NotKept
from ..errors import KeepError, ParameterError, expect_known
from .graph import Graph
from .plan import Plan

_log = logging.getLogger("minicaffe")


class MemorySharing:
    """What ``keep`` asked for: all blobs keep their memory, or those named, the others share.

    The net's inputs, outputs and losses are always kept.  A blob that was not kept is never read
    stale: an access raises KeepError, and so does a pass that would need what has been overwritten.
    """

    def __init__(self, graph: Graph, plan: Plan, keep: str | Sequence[str]):
        self._graph, self._plan = graph, plan
        self._kept: frozenset[str] | None = None  # None: all
        self._unreadable: dict[str, frozenset[str]] = {}
        self._shapes: list[tuple[int, ...]] | None = None
        self._moves = -1  # how often blobs had moved when memory was placed
        self._backward_from = 0  # backward may start at a layer before this one
        if isinstance(keep, str):
            if keep != "all":
                raise ParameterError(f"net '{graph.name}'", "keep='all' or a list of blob names",
                                     repr(keep))
            return
        for name in keep:
            expect_known(name, graph.blobs, f"net '{graph.name}': keep", "names of its blobs")
        self._kept = frozenset((*keep, *graph.inputs, *graph.outputs, *graph.loss_weights))
        if not graph.runs_backward:
            for layer in graph.layers:
                layer.need_backward = False

    def place(self) -> None:
        """Share memory between the blobs that are not kept; again if shapes have changed."""
        graph = self._graph
        if self._kept is None or self._moves == graph.moves.count:
            return
        blobs = graph.blobs.values()
        if self._shapes != [blob.shape for blob in blobs]:
            self._plan.reshape()
            self._unreadable = share_memory(graph, self._plan, self._kept)
            self._shapes = [blob.shape for blob in blobs]
        self._moves = graph.moves.count

    def views(self) -> Iterator[tuple[str, HostView | Blob]]:
        """All blobs by name, as the user sees them."""
        self._place_if_never()
        for name in self._graph.blobs:
            yield name, self.view(name)

    def view(self, name: str) -> HostView | Blob:
        """A blob as the user sees it."""
        blob = self._graph.blobs[name]
        return NotKept(blob, self._unreadable[name]) if name in self._unreadable else blob.host

    def check_forward(self, first: int, last: int) -> None:
        """Errors: KeepError where layers before ``first`` made what is needed and was not kept."""
        if first:
            self._need_kept("data", ((layer.bottom, layer.top)
                                     for layer in self._graph.param.layer[first:last + 1]), first)
        if first <= self._backward_from:
            self._backward_from = last + 1

    def check_backward(self, first: int, last: int) -> None:
        """Errors: KeepError where backward would read what other blobs have overwritten."""
        graph = self._graph
        if self._kept is not None and not graph.runs_backward:
            raise KeepError(f"net '{graph.name}'", "its memory was shared for forward passes alone",
                            hint="make it with phase TRAIN, force_backward or keep='all'.")
        if self._unreadable and first >= self._backward_from:
            raise KeepError(f"net '{graph.name}'", "what backward needs was not kept after the "
                            "last backward pass", hint="run forward first, or make it with "
                            "keep='all'.")
        if first < len(graph.layers) - 1:
            run = [i for i in range(first, last - 1, -1) if graph.layer_needs_backward[i]]
            self._need_kept("diff", ((graph.param.layer[i].top, graph.param.layer[i].bottom)
                                     for i in run), first)
        self._backward_from = last

    def check_readable(self, part: str, names: Sequence[str]) -> None:
        """Errors: KeepError where ``names`` are asked for as results and are not kept."""
        self._place_if_never()
        self._need_kept(part, [(names, ())], None)

    def _place_if_never(self) -> None:
        """Place memory if it never was; from then on only where a forward pass begins, as a move
        between forward and backward would lose what backward needs."""
        if self._shapes is None:
            self.place()

    def _need_kept(self, part: str, layers: Iterable[tuple[Sequence[str], Sequence[str]]],
                   first: int | None) -> None:
        """Errors: KeepError for a blob that was not kept and that is read before it is written.

        layers: what each reads and what it writes, in the order in which they run.
        """
        graph = self._graph
        written: set[str] = set()
        for read, write in layers:
            for name in read:
                if name not in written and part in self._unreadable.get(name, ()):
                    start = "results" if first is None else f"start='{graph.layers[first].name}'"
                    raise KeepError(f"net '{graph.name}': {start}", f"blob '{name}' was not kept",
                                    hint=f"make the net with keep=['{name}'], or with keep='all'.")
            written.update(write)


def share_memory(graph: Graph, plan: Plan, kept: frozenset[str]) -> dict[str, frozenset[str]]:
    """Lay blobs whose lives do not overlap onto one arena.

    Args:
        kept: names of blobs that keep memory of their own.

    Returns: for each blob that was not kept, which of "data" and "diff" cannot be read.
    """
    movable = movable_lifetimes(graph, kept, lifetimes(graph, plan))
    offsets, total = first_fit(movable.values())
    if movable:
        arena = allocation.zeros(graph.backend, (total,), graph.dtype,
                                 f"net '{graph.name}': the memory that blobs share")
        places = {life: arena[offset:offset + life.size] for life, offset in offsets.items()}
        for memory, life in movable.items():
            memory.place(places[life])
        _log.debug("%s: %d arrays share %.1f MiB instead of %.1f", graph.name, len(movable),
                   total * graph.dtype.itemsize / 2**20,
                   sum(life.size for life in movable.values()) * graph.dtype.itemsize / 2**20)
    unreadable: dict[str, frozenset[str]] = {}
    for blob in itertools.chain.from_iterable(graph.tops):
        parts = {part for part in ("data", "diff") if blob.memory(part) in movable}
        if parts:
            unreadable[blob.name] = unreadable.get(blob.name, frozenset()) | parts
    return unreadable


def movable_lifetimes(graph: Graph, kept: Iterable[str],
                      lives: dict[Memory, Lifetime]) -> dict[Memory, Lifetime]:
    """The lives of those arrays that may share memory: not of blobs named in ``kept``, nor of
    numbers that the passes themselves do not write.

    Where backward may write a diff over another, which is not needed again, both have one life.
    """
    names = frozenset(kept)
    own = {blob.memory(part) for blob in itertools.chain.from_iterable(graph.tops)
           if blob.name in names for part in ("data", "diff")}
    movable = {memory: life for memory, life in lives.items() if memory not in own and life.written}
    for i in reversed(range(len(graph.layers))):
        if graph.layers[i].diff_in_place:
            for top, bottom in itertools.product(graph.tops_of(i), graph.bottoms_of(i)):
                _join(movable, top.memory("diff"), bottom.memory("diff"))
    return movable


def _join(lives: dict[Memory, Lifetime], before: Memory, after: Memory) -> None:
    """Give both the life from the first's beginning to the other's end, if they meet."""
    first, second = lives.get(before), lives.get(after)
    if first and second and first is not second and first.last == second.first:
        first.last, first.size = second.last, max(first.size, second.size)
        lives.update((memory, first) for memory, life in lives.items() if life is second)


class Lifetime:
    """From which step to which step an array is needed, and how large it is.

    written: whether its first use writes it; if not, its numbers are the user's, or a loss weight.
    """

    def __init__(self, first: int, written: bool):
        self.first = self.last = first
        self.written, self.size = written, 0


def lifetimes(graph: Graph, plan: Plan) -> dict[Memory, Lifetime]:
    """The life of every array of the net's blobs that a pass forward, or both ways, uses."""
    lives: dict[Memory, Lifetime] = {}

    def use(blob, part: str, time: int, writes: bool) -> None:
        life = lives.setdefault(blob.memory(part), Lifetime(time, writes))
        life.last, life.size = time, max(life.size, blob.count)

    for step in plan.steps:
        fed = not step.layer.param.bottom  # by the user, or once: not anew in every pass
        for blob in step.bottom:
            use(blob, "data", step.index, False)
        for blob in step.top:
            use(blob, "data", step.index, not fed)
    for step in reversed(plan.steps) if graph.runs_backward else ():
        time = 2 * len(plan.steps) - step.index
        if not step.backward_needed or not step.layer.has_backward:
            continue
        reads = plan.backward_reads(step)
        for blob in step.top:
            use(blob, "diff", time, False)
            if "top" in reads:
                use(blob, "data", time, False)
        for wanted, blob in zip(step.propagate_down, step.bottom):
            if "bottom" in reads:
                use(blob, "data", time, False)
            if wanted:
                use(blob, "diff", time, True)
    return lives


def first_fit(lives: Iterable[Lifetime]) -> tuple[dict[Lifetime, int], int]:
    """An offset for each life: the largest first, each at the lowest place that is free;
    and how long the arena is."""
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[Lifetime, int] = {}
    for life in sorted(dict.fromkeys(lives), key=lambda life: -life.size):
        size = -(-life.size // 16) * 16  # whole cache lines
        offset = 0
        for start, end, _ in sorted(
                (entry for entry in placed if entry[2].first <= life.last
                 and life.first <= entry[2].last), key=lambda entry: entry[0]):
            if offset + size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, life))
        offsets[life] = offset
    return offsets, max((end for _, end, _ in placed), default=0)
