"""Layers alone: what a layer type accepts, found out by trying, and the shapes that it makes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from minicaffe import TRAIN, Net, layer_type_list
from minicaffe.errors import MinicaffeError
from minicaffe.layer import layer_class
from minicaffe.proto import LayerParameter, NetParameter

from . import draw

Shapes = list[tuple[int, ...]]
SHAPES = ((2, 3, 5, 5), (2, 4, 4, 4), (1, 2, 6, 3), (3, 5), (2, 6), (4, 1, 3), (3, 2, 4), (2,),
          (2, 1, 1, 1), (2, 3, 5, 5, 2))
LEAST, TRIES = 24, 400  # accepted examples that are looked for, and how often it is tried,
REPAIRS = 8  # each time so often with what the error tells
ELEMENTS = 20_000  # of a blob; nets are to be small


class Odd(Exception):
    """A layer raised an exception that is none of ours."""


def input_layer(net: NetParameter, name: str, shape: Sequence[int]) -> None:
    """Add an Input of one top."""
    layer = net.layer.add(name=f"in_{name}", type="Input", top=[name])
    layer.input_param.shape.add(dim=shape)


def tops_of(layer: LayerParameter, shapes: Shapes) -> tuple[Shapes, int]:
    """The shapes of a layer's tops for bottoms of these shapes, and how many parameters it has.

    Errors: MinicaffeError where it does not accept them, or makes too large ones; Odd where it
    raises what is none of ours.
    """
    net = NetParameter(name="lone")
    for name, shape in dict(zip(layer.bottom, shapes)).items():
        input_layer(net, name, shape)
    net.layer.add().CopyFrom(layer)
    try:
        made = Net(net, TRAIN, device="numpy", seed=1)
        made.run_forward()
    except MinicaffeError:
        raise
    except Exception as error:
        raise Odd from error
    blobs = [made.device_blobs[name] for name in layer.top]
    params = [parameter.blob for parameter in made.learnable]
    if any(blob.count > ELEMENTS for blob in [*blobs, *params]):
        raise MinicaffeError("lone", "a smaller blob")
    return [blob.shape for blob in blobs], len(params)


@cache
def examples(kind: str) -> list[tuple[LayerParameter, Shapes]]:
    """Parameters that a layer type accepts, with shapes of bottoms; the same in every run."""
    rng = Random(kind)
    found: list[tuple[LayerParameter, Shapes]] = []
    odd = []
    for _ in range(TRIES):
        if len(found) == LEAST:
            break
        if found and rng.random() < 0.3:
            layer, shapes = varied(*rng.choice(found), rng)
        else:
            layer, shapes = proposed(kind, rng)
        for _ in range(REPAIRS):
            try:
                tops_of(layer, shapes)
                found.append((layer, shapes))
                break
            except Odd:
                odd.append((layer, shapes))
                break
            except MinicaffeError as error:
                shapes = repaired(layer, shapes, str(error), rng)
    return found or odd[:LEAST]


def repaired(layer: LayerParameter, shapes: Shapes, told: str, rng: Random) -> Shapes:
    """Draw a parameter that an error names anew, or leave it out; or else other shapes."""
    words = set(re.findall(r"\w+", told))
    named = [(message, field) for message in draw.messages(layer)
             for field in message.DESCRIPTOR.fields if field.name in words]
    if not named or rng.random() < 0.2:
        first = rng.choice(SHAPES)
        return [first, *(_kin(first, rng) for _ in shapes[1:])][:len(shapes)]
    message, field = rng.choice(named)
    if rng.random() < 0.5:
        message.ClearField(field.name)
    else:
        draw.draw(message, field, rng)
    return shapes


def proposed(kind: str, rng: Random) -> tuple[LayerParameter, Shapes]:
    """A layer of a type with random parameters, and shapes for its bottoms."""
    layer = LayerParameter(name="l", type=kind)
    cls = layer_class(layer)
    bottoms = _count(cls.bottoms, rng)
    layer.bottom.extend(f"b{i}" for i in range(bottoms))
    tops = bottoms if cls.tops_like_bottoms else _count(cls.tops, rng)
    layer.top.extend(f"t{i}" for i in range(tops))
    draw.parameters(layer, rng)
    first = rng.choice(SHAPES)
    return layer, [first if i == 0 else _kin(first, rng) for i in range(bottoms)]


def varied(layer: LayerParameter, shapes: Shapes, rng: Random) -> tuple[LayerParameter, Shapes]:
    """An accepted layer with one field drawn anew."""
    new = LayerParameter()
    new.CopyFrom(layer)
    messages = draw.messages(new)
    message = rng.choice(messages) if messages else new
    known = message.DESCRIPTOR.fields if messages else ()
    if known:
        draw.draw(message, rng.choice(known), rng)
    return new, shapes


def _kin(shape: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    """A shape like that of a first bottom: the same, or that of labels, scales, ..."""
    start = rng.randrange(len(shape))
    return rng.choice((shape, shape, shape[:1], shape[:2], shape[start:start + 1], shape[start:],
                       (shape[0], 1, *shape[2:]), (shape[0],) + shape[2:]))


def _count(wanted: int | tuple[int, int | None], rng: Random) -> int:
    least, most = (wanted, wanted) if isinstance(wanted, int) else wanted
    return rng.randint(least, min(least + 3, 4 if most is None else most))


@cache
def types() -> list[str]:
    """All layer types of the registry that the random nets can use."""
    return [kind for kind in layer_type_list() if kind != "Input"]
