"""Random nets: every layer type of the registry, legal and not, from a few layers to a dozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from minicaffe import TEST, TRAIN
from minicaffe.errors import MinicaffeError
from minicaffe.layer import layer_class
from minicaffe.proto import LayerParameter, NetParameter
from minicaffe.proto.text import to_text

from . import draw, judge, lone
from .bounds import MIB, bounded
from .outcome import Outcome
from .target import Target

HOSTILE = 0.12  # of all nets are made wrong at the end
ROOM, SECONDS = 2048 * MIB, 60.0  # for a net on all devices, compiling included


@dataclass(frozen=True)
class Case:
    """A net and how it is run.

    batch: the first axis of inputs in later passes; None to leave it.  precise: whether it is run
    in float64 as well, where its gradient is held against central differences.
    """

    net: NetParameter
    phase: int = TRAIN
    seed: int = 1
    batch: int | None = None
    precise: bool = False
    labels: int = 2  # labels that it is fed are below


class Nets(Target):
    """Random nets, judged by ``judge``.

    Args:
        types: layer types, of which each net has some beside inner products; default: all.
    """

    name = "nets"

    def __init__(self, types: Sequence[str] = ()):
        self.types = [*types, "InnerProduct"] if types else lone.types()

    @property
    def options(self) -> str:
        return "--nets 1" if self.name == Nets.name else super().options

    def make(self, rng: Random) -> Case:
        net = _Maker(rng, self.types).net()
        hostile = rng.random() < HOSTILE
        if hostile:
            _spoil(net, rng)
        return Case(net, TRAIN if rng.random() < 0.85 else TEST, rng.randrange(1000),
                    rng.choice((None, None, 1, 3, 4, 0)), rng.random() < 0.3,
                    rng.choice((1, 2, 2, 2, 3, 9)))

    def attempt(self, item: Case) -> Outcome:
        return bounded(lambda: judge.judged(item), 0, ROOM, SECONDS)

    def fault(self, item: Case, outcome: Outcome) -> str:
        kinds = sorted({layer.type for layer in item.net.layer} - {"Input"})
        return f"{outcome.place} of {', '.join(kinds)}"

    def smaller(self, item: Case) -> Iterator[Case]:
        for net in _smaller(item.net):
            yield replace(item, net=net)
        if item.batch is not None:
            yield replace(item, batch=None)
        if item.precise:
            yield replace(item, precise=False)

    def size(self, item: Case) -> int:
        extra = (item.batch is not None) + item.precise
        return 1000 * len(item.net.layer) + item.net.ByteSize() + extra

    def save(self, item: Case, folder: Path) -> None:
        (folder / "net.prototxt").write_text(to_text(item.net))
        (folder / "case.txt").write_text(
            f"phase {item.phase}, seed {item.seed}, batch {item.batch}, precise {item.precise}, "
            f"labels below {item.labels}\n")


class _Maker:
    """Makes one net, layer by layer, of which each fits those before."""

    def __init__(self, rng: Random, types: Sequence[str]):
        self.rng, self.types = rng, types
        self.made = NetParameter(name="random", force_backward=rng.random() < 0.4)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.read: set[str] = set()
        self.params: list[int] = []  # indices of layers that a later one may share with

    def net(self) -> NetParameter:
        """The net."""
        rng = self.rng
        shape = rng.choice(lone.SHAPES)
        self._input((0, *shape[1:]) if rng.random() < 0.03 else shape)
        few = rng.random() < 0.5 and len(self.types) > 4
        kinds = rng.sample(self.types, 4) if few else self.types
        for _ in range(rng.choice((1, 2, 3, 4, 5, 6, 8, 12))):
            if rng.random() < 0.12 and self._twin():
                continue
            self._layer(rng.choice(kinds))
        self._weigh()
        return self.made

    def _input(self, shape) -> str:
        name = f"x{len(self.made.layer)}"
        lone.input_layer(self.made, name, shape)
        self.shapes[name] = tuple(shape)
        return name

    def _layer(self, kind: str) -> None:
        """Add a layer of this type, on blobs that there are or, where none fits, new inputs."""
        rng = self.rng
        layer, shapes = rng.choice(lone.examples(kind))
        new = LayerParameter()
        new.CopyFrom(layer)
        for _ in range(4):
            if rng.random() < 0.4:
                new, _ = lone.varied(layer, shapes, rng)
            if self._added(new, self._bottoms(layer, shapes)):
                return
        self._added(layer, [("", shape) for shape in shapes])

    def _bottoms(self, layer: LayerParameter, shapes) -> list[tuple[str, tuple[int, ...]]]:
        """(blob, shape) for each bottom; "" for one that is to be a new input."""
        rng, names = self.rng, list(self.shapes)
        chosen = []
        for i, shape in enumerate(shapes):
            if i == 0:
                name = rng.choice(rng.choice((names[-1:], names[-1:], names[-3:], names)))
                chosen.append((name, self.shapes[name]))
                continue
            first = chosen[0][1]
            want = first if shape == shapes[0] else (lone._kin(first, rng) if first else ())
            fit = [name for name in names if self.shapes[name] == want]
            no_label = i not in layer_class(layer).no_gradient
            chosen.append((rng.choice(fit), want) if fit and no_label and rng.random() < 0.8
                          else ("", want))
        return chosen

    def _added(self, layer: LayerParameter, bottoms) -> bool:
        """Add the layer if it accepts bottoms of these shapes."""
        rng = self.rng
        layer = _renamed(layer, [], f"l{len(self.made.layer)}")
        try:
            tops, params = lone.tops_of(layer, [shape for _, shape in bottoms])
        except MinicaffeError:
            return False
        except lone.Odd:  # such nets are made too, to be met by the judge
            tops, params = [], 0
        names = [name or self._input(shape) for name, shape in bottoms]
        layer = _renamed(layer, names, f"l{len(self.made.layer)}")
        if self._goes_in_place(layer, names, tops):
            layer.top[:] = names[:1]
        if params and rng.random() < 0.2:
            layer.param.add(lr_mult=rng.choice((0, 1, 2)))
        self.made.layer.add().CopyFrom(layer)
        self.read.update(name for name in names if name not in layer.top)
        self.shapes.update(zip(layer.top, tops))
        if params:
            self.params.append(len(self.made.layer) - 1)
        return True

    def _goes_in_place(self, layer, names, tops) -> bool:
        cls = layer_class(layer)
        return (cls.in_place and len(names) == len(layer.top) == 1 and bool(tops)
                and tops[0] == self.shapes[names[0]] and self.rng.random() < 0.5
                and (names[0] not in self.read or self.rng.random() < 0.1))

    def _twin(self) -> bool:
        """Add a copy of an earlier layer that shares its first parameter."""
        index = self.rng.choice(self.params) if self.params else -1
        layer = self.made.layer[index] if self.params else None
        if layer is None or not layer.bottom or layer.param and layer.param[0].name:
            return False
        fit = [name for name, shape in self.shapes.items()
               if shape == self.shapes[layer.bottom[0]]]
        twin = _renamed(layer, [self.rng.choice(fit), *layer.bottom[1:]],
                        f"l{len(self.made.layer)}")
        if not self._added(twin, [(name, self.shapes[name]) for name in twin.bottom]):
            return False
        for shared in (layer, self.made.layer[-1]):
            del shared.param[:]
            shared.param.add(name=f"shared{index}")
        return True

    def _weigh(self) -> None:
        """Let some tops count in the loss, one at least where nothing else does."""
        losses = [layer for layer in self.made.layer if layer_class(layer).is_loss]
        others = [layer for layer in self.made.layer
                  if layer.top and layer not in losses and layer.type != "Input"]
        rest = list(self.made.layer)
        for layer in others:
            later = rest[rest.index(layer) + 1:]
            if any(set(layer.top) & set(other.top) for other in later):
                continue  # written over in place
            last = layer is others[-1] and not losses
            if last or self.rng.random() < 0.15:
                weights = [self.rng.choice((1, 0.5, 2, -1)) for _ in layer.top]
                layer.loss_weight[:] = weights


def _renamed(layer: LayerParameter, bottoms: list[str], name: str) -> LayerParameter:
    """A copy with its own name and tops, on other bottoms."""
    new = LayerParameter()
    new.CopyFrom(layer)
    new.name = name
    new.top[:] = [f"{name}_{i}" for i in range(len(layer.top))]
    if bottoms:
        new.bottom[:] = bottoms
    return new


def _spoil(net: NetParameter, rng: Random) -> None:
    """Make a net wrong, or odd."""
    layer = rng.choice(net.layer)
    choice = rng.random()
    names = [name for one in net.layer for name in (*one.top, *one.bottom)]
    if choice < 0.6:
        message = layer
        while True:
            known = [f for f in message.DESCRIPTOR.fields if f.name not in ("type", "phase")]
            part = rng.choice([f for f, _ in message.ListFields() if f in known] or known)
            if part.message_type is None or rng.random() < 0.3:
                draw.draw(message, part, rng, huge=True)
                return
            inner = getattr(message, part.name)
            if hasattr(inner, "add"):
                inner = rng.choice(inner) if len(inner) else inner.add()
            message = inner
    elif choice < 0.7 and layer.bottom:
        layer.bottom[rng.randrange(len(layer.bottom))] = rng.choice((*names, "none"))
    elif choice < 0.8 and layer.top:
        layer.top[rng.randrange(len(layer.top))] = rng.choice((*names, "new"))
    elif choice < 0.9:
        net.layer.add().CopyFrom(layer)
    else:
        layer.type = rng.choice(lone.types())


def _smaller(net: NetParameter) -> Iterator[NetParameter]:
    """The net without some layers, then without some fields."""
    count = len(net.layer)
    for k in range(1, count):
        yield _without(net, range(count - k, count))
    for k in range(count):
        yield _without(net, [k])
    for k, layer in enumerate(net.layer):
        for path in _set_fields(layer, ()):
            new = NetParameter()
            new.CopyFrom(net)
            message = new.layer[k]
            for name in path[:-1]:
                message = getattr(message, name)
            message.ClearField(path[-1])
            yield new


def _set_fields(message, path) -> Iterator[tuple[str, ...]]:
    for part, value in message.ListFields():
        if part.name not in ("name", "type", "bottom", "top") and not part.is_extension:
            yield (*path, part.name)
            if part.message_type is not None and not hasattr(value, "add"):
                yield from _set_fields(value, (*path, part.name))


def _without(net: NetParameter, gone) -> NetParameter:
    """The net without some layers; who read their first top reads their first bottom."""
    new = NetParameter()
    new.CopyFrom(net)
    del new.layer[:]
    instead: dict[str, str] = {}
    for k, layer in enumerate(net.layer):
        if k in gone:
            if layer.bottom and layer.top:
                instead[layer.top[0]] = instead.get(layer.bottom[0], layer.bottom[0])
            continue
        kept = new.layer.add()
        kept.CopyFrom(layer)
        kept.bottom[:] = [instead.get(name, name) for name in layer.bottom]
        in_place = set(layer.top) & set(layer.bottom)
        kept.top[:] = [instead.get(name, name) if name in in_place else name for name in layer.top]
    return new
