"""From the description of a net to the graph that runs: which layers are in, where blobs split."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from ..errors import NetError, nearest
from ..layer import Layer, layer_class
from ..proto import NetParameter, NetState
from ..proto.upgrade import read_net

AUTOMATIC = "(automatic)"


def describe(network_file, state: NetState, allow_python: bool) -> NetParameter:
    """The description of the net that runs in a state: its layers alone, with splits among them.

    Args:
        network_file: a prototxt, or the NetParameter (or NetSpec) itself.
        allow_python: False to refuse layers of type Python.

    Errors: ParseError, NetError.
    """
    if hasattr(network_file, "to_proto"):
        network_file = network_file.to_proto()
    param = read_net(network_file)
    if not param.layer:
        where = network_file if isinstance(network_file, str | Path) else "net"
        raise NetError(str(where), "one layer or more", "none")
    state.stage.extend(set(param.state.stage).difference(state.stage))
    chosen = filter_net(param, state)
    check_types(chosen)
    if not allow_python:
        refuse_python(chosen)
    chosen.state.CopyFrom(state)
    add_loss_tops(chosen, lambda layer: missing_tops(layer_class(layer), layer))
    return insert_splits(chosen, lambda layer, j: loss_weight(layer_class(layer), layer, j))


def filter_net(net, state: NetState) -> NetParameter:
    """The layers of a NetParameter that belong to a NetState: its phase, level and stages.

    A layer with ``include`` rules is in if one of them holds; one with ``exclude`` rules is in if
    none of them does.

    Errors: NetError for a layer with both kinds.
    """
    chosen = NetParameter()
    chosen.CopyFrom(net)
    del chosen.layer[:]
    chosen.layer.extend(layer for layer in net.layer if _included(layer, state))
    return chosen


def _included(layer, state) -> bool:
    if layer.include and layer.exclude:
        raise NetError(f"{layer.type} '{layer.name}'", "include rules or exclude rules", "both")
    if layer.include:
        return any(_holds(rule, state) for rule in layer.include)
    return not any(_holds(rule, state) for rule in layer.exclude)


def _holds(rule, state) -> bool:
    stages = set(state.stage)
    return ((not rule.HasField("phase") or rule.phase == state.phase)
            and (not rule.HasField("min_level") or state.level >= rule.min_level)
            and (not rule.HasField("max_level") or state.level <= rule.max_level)
            and stages.issuperset(rule.stage)
            and stages.isdisjoint(rule.not_stage))


def add_loss_tops(net, missing_tops) -> None:
    """Give each loss that names no top one, as real Caffe does: its name begins with AUTOMATIC, no
    other layer may use it, and it is no output of the net.

    Args:
        missing_tops: how many tops a layer needs more than it names, 0 for what is no loss.
    """
    taken = {blob for layer in net.layer for blob in layer.top}
    names = (f"{AUTOMATIC}_{k}" if k else AUTOMATIC for k in itertools.count())
    free = (name for name in names if name not in taken)
    for layer in net.layer:
        for _ in range(missing_tops(layer)):
            layer.top.append(next(free))


def missing_tops(cls: type[Layer], param) -> int:
    """How many tops a loss needs more than it names; Caffe makes those itself."""
    least = cls.tops if isinstance(cls.tops, int) else cls.tops[0]
    return max(0, least - len(param.top)) if cls.is_loss else 0


def loss_weight(cls: type[Layer], param, top: int) -> float:
    """How much a layer's top counts in the loss: as the net says, or 1 for a loss's first."""
    if top < len(param.loss_weight):
        return param.loss_weight[top]
    return float(cls.is_loss and top == 0 and not param.loss_weight)


def insert_splits(net, loss_weight_of) -> NetParameter:
    """The same net with a Split layer wherever a blob has several consumers.

    A Split's backward pass sums the diffs of its tops, so that every other layer may write its
    bottom's diff without asking who else does.  That a blob counts in the loss is a use of it too:
    the first copy is the loss.  Names are Caffe's: ``x_layer_0_split_0``.

    Args:
        loss_weight_of: the loss weight of (layer, index of its top), 0 for what is no loss.

    Errors: NetError for a bottom that no layer before it makes, for a top made twice, and for a
    layer in place on a blob that has another use.
    """
    makers, used = _connect(net)
    result = NetParameter()
    result.CopyFrom(net)
    del result.layer[:]
    taken: dict[tuple[int, int], int] = {}  # how many copies of a split blob have a consumer
    for i, layer in enumerate(net.layer):
        copy = result.layer.add()
        copy.CopyFrom(layer)
        for j, maker in enumerate(makers[i]):
            if maker in taken:
                _refuse_in_place(layer, j)
                copy.bottom[j] = split_blob(net, maker, layer.bottom[j], taken[maker])
                taken[maker] += 1
        weights = [loss_weight_of(layer, j) for j in range(len(layer.top))]
        for j, blob in enumerate(layer.top):
            copies = used[i, j] + bool(weights[j])
            if used[i, j] and copies > 1:
                _add_split(result, net, (i, j), blob, copies, weights[j])
                taken[i, j] = int(bool(weights[j]))
                if weights[j]:
                    weights[j] = 0
                    copy.loss_weight[:] = weights
    return result


def _refuse_in_place(layer, j: int) -> None:
    if j < len(layer.top) and layer.top[j] == layer.bottom[j]:
        raise NetError(f"{layer.type} '{layer.name}'", "a top of its own", "its bottom "
                       f"'{layer.bottom[j]}', which another layer, or the loss, needs as it is")


def split_blob(net, maker: tuple[int, int], blob: str, k: int) -> str:
    """The name of the k-th copy of a blob."""
    return f"{blob}_{net.layer[maker[0]].name}_{maker[1]}_split_{k}"


def _add_split(result, net, maker, blob: str, copies: int, loss_weight: float) -> None:
    split = result.layer.add()
    split.name = f"{blob}_{net.layer[maker[0]].name}_{maker[1]}_split"
    split.type = "Split"
    split.bottom.append(blob)
    split.top.extend(split_blob(net, maker, blob, k) for k in range(copies))
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0] * (copies - 1))


def _connect(net):
    """For each layer the makers (layer, top index) of its bottoms; how often each is used.

    A layer in place makes its blob anew: consumers after it are consumers of its result.
    """
    latest: dict[str, tuple[int, int]] = {}
    makers: list[list[tuple[int, int]]] = []
    used: Counter = Counter()
    for i, layer in enumerate(net.layer):
        where = f"{layer.type} '{layer.name}'"
        for blob in layer.bottom:
            if blob not in latest:
                raise NetError(where, "a bottom made by a layer before it", f"'{blob}'",
                               nearest(blob, latest) or _blobs_so_far(latest))
            used[latest[blob]] += 1
        makers.append([latest[blob] for blob in layer.bottom])
        for j, blob in enumerate(layer.top):
            in_place = j < len(layer.bottom) and layer.bottom[j] == blob
            if blob in latest and not in_place:
                other = net.layer[latest[blob][0]].name
                raise NetError(where, "a top of its own", f"'{blob}', which layer '{other}' makes",
                               "only a layer in place may name a bottom as its top.")
            if not blob.startswith(AUTOMATIC):
                latest[blob] = (i, j)
    return makers, used


def _blobs_so_far(latest) -> str:
    return f"the blobs so far are {', '.join(latest)}." if latest else "there is no blob yet."


def check_types(net) -> None:
    """Errors: NetError for a layer without a type."""
    for i, layer in enumerate(net.layer):
        if not layer.type:
            raise NetError(f"layer {i} '{layer.name}'", "a type", "none")


def refuse_python(net) -> None:
    """Errors: NetError for a layer of type Python, which would import a module and run its code."""
    for layer in net.layer:
        if layer.type == "Python":
            raise NetError(f"Python '{layer.name}'", "a net without code of its own, as layers of "
                           "type Python are forbidden",
                           f"'{layer.python_param.module}.{layer.python_param.layer}'",
                           "allow_python=True, or no --no-python, lets it run.")
