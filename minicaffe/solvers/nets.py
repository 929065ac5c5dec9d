"""The nets that a SolverParameter asks for, and the data they are fed."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..data.source import Batches
from ..errors import ParameterError
from ..layer import TEST, TRAIN
from ..net import Net
from ..proto import NetState, SolverParameter
from ..proto.upgrade import read_net, read_solver, upgrade_solver

_TRAIN_SOURCES = ("net", "net_param", "train_net", "train_net_param")


def solver_param(param: str | PathLike | SolverParameter) -> SolverParameter:
    """The SolverParameter of a file, its nets read in; or of a message, as it is.

    A net's file is looked for from the working directory, as Caffe does, then beside the solver's.
    """
    if isinstance(param, SolverParameter):
        return upgrade_solver(param)
    solver = read_solver(param)
    folder = Path(param).parent
    for field in ("net", "train_net"):
        if solver.HasField(field):
            setattr(solver, field, _found(getattr(solver, field), folder))
    solver.test_net[:] = [_found(path, folder) for path in solver.test_net]
    return solver


def _found(path: str, folder: Path) -> str:
    beside = folder / path
    return str(beside) if beside.exists() and not Path(path).exists() else path


def train_net(param, **options) -> Net:
    """The net to train: from exactly one of net, net_param, train_net, train_net_param."""
    given = [name for name in _TRAIN_SOURCES if param.HasField(name)]
    if len(given) != 1:
        raise ParameterError("solver", f"one of {', '.join(_TRAIN_SOURCES)}",
                             " and ".join(given) or "none")
    return _net(getattr(param, given[0]), TRAIN, param.train_state, options)


def test_nets(param, **options) -> list[Net]:
    """The nets to test: test_net_param, then test_net, then the net itself in phase TEST.

    With test_iter its count decides how often the net itself is among them.
    """
    sources = [*param.test_net_param, *param.test_net]
    itself = ([param.net_param] if param.HasField("net_param") else
              [param.net] if param.HasField("net") else [])
    if itself:
        wanted = max(len(param.test_iter), len(param.test_state))
        if not param.test_iter and param.test_interval:
            wanted = max(1, wanted)
        sources += itself * (wanted - len(sources))
    if param.test_iter and len(param.test_iter) != len(sources):
        raise ParameterError("solver: test_iter", f"one for each of {len(sources)} test nets",
                             len(param.test_iter))
    states = list(param.test_state)
    if states and len(states) != len(sources):
        raise ParameterError("solver: test_state", f"one for each of {len(sources)} test nets",
                             len(states))
    return [_net(source, TEST, states[i] if states else NetState(), options)
            for i, source in enumerate(sources)]


def _net(source, phase: int, extra: NetState, options) -> Net:
    net = read_net(source)
    stages = [*net.state.stage, *extra.stage]
    level = extra.level if extra.HasField("level") else net.state.level
    return Net(net, phase, level=level, stages=stages, **options)


def as_source(data, net: Net, shuffle: bool) -> Batches | None:
    """What feeds the net: a source as it is; arrays, in the order of the net's inputs.

    Errors: ParameterError for another number of arrays than the net has inputs.
    """
    if data is None or not isinstance(data, tuple | list | dict):
        return data
    if not isinstance(data, dict):
        if len(data) != len(net.inputs):
            raise ParameterError("data", f"an array for each of the inputs {net.inputs}", len(data))
        data = dict(zip(net.inputs, data))
    return Batches(data, shuffle=shuffle)


def check_fed(net: Net) -> None:
    """Errors: ParameterError for an Input blob that nobody ever wrote to, which would be zeros."""
    unfed = [name for name in net.inputs if net.device_blobs[name].memory("data").array is None]
    if unfed and net.source is None:
        raise ParameterError(f"training net '{net.name}'", f"data for its inputs {net.inputs}",
                             f"none for {unfed}", "give the solver data=(x, y), or write "
                             "solver.net.blobs[name].data[...] before each step(1).")
