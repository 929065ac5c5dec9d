"""The nets that a SolverParameter asks for, and the data they are fed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from ..data.batches import Batches
from ..data.feeding import Feeder
from ..data.transform import Transform
from ..errors import ParameterError
from ..fillers import without_fillers
from ..layer import TEST, TRAIN
from ..net import Net
from ..net.description import filter_net
from ..proto import NetState, SolverParameter
from ..proto.upgrade import read_net, read_solver, upgrade_solver

_log = logging.getLogger("minicaffe")
_TRAIN_SOURCES = ("net", "net_param", "train_net", "train_net_param")


def solver_param(param: str | PathLike | SolverParameter) -> SolverParameter:
    """The SolverParameter of a file, or a copy of one, with the nets of all files read in.

    A net's file, a mean_file that it names, and weights are looked for from the working directory,
    as Caffe does, then beside the solver's.

    Errors: ParameterError where the net to train is named in several ways.
    """
    if isinstance(param, SolverParameter):
        solver, folder = upgrade_solver(param), Path()
    else:
        solver, folder = read_solver(param), Path(param).parent
    given = [name for name in _TRAIN_SOURCES if solver.HasField(name)]
    if len(given) > 1:
        raise ParameterError("solver", f"one of {', '.join(_TRAIN_SOURCES)}", " and ".join(given))
    for field in ("net", "train_net"):
        if solver.HasField(field):
            read = read_net(_found(getattr(solver, field), folder))
            getattr(solver, f"{field}_param").CopyFrom(read)
            solver.ClearField(field)
    solver.weights[:] = [_found(path, folder) for path in weight_files(solver.weights)]
    solver.test_net_param.extend(read_net(_found(path, folder)) for path in solver.test_net)
    solver.ClearField("test_net")
    for net in (solver.net_param, solver.train_net_param, *solver.test_net_param):
        for layer in net.layer:
            if layer.transform_param.mean_file:
                file = _found(layer.transform_param.mean_file, folder)
                layer.transform_param.mean_file = file
    return solver


def _found(path: str, folder: Path) -> str:
    beside = folder / path
    return str(beside) if beside.exists() and not Path(path).exists() else path


def weight_files(texts: Iterable[str]) -> list[str]:
    """The files that ``weights`` names, several of them between commas, as Caffe takes it.

    Errors: ParameterError for a comma with no name before or behind it.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        raise ParameterError("weights", "file names between commas", f"'{', '.join(texts)}'")
    return names


def load_weights(files: Sequence[str], trained: Net, tested: Sequence[Net],
                 skip_other_shapes: bool = False) -> None:
    """Copy weights from each file into the net that is trained and what test nets have besides.

    As in Caffe, a file may hold layers that a net lacks, or nothing for it.

    Args:
        skip_other_shapes: True where parameters of other shapes in a file are left as they are.

    Errors: WeightsError where no file has anything for any net.
    """
    ours = {layer.name for layer in trained.layers}
    nets = [trained, *(net for net in tested if any(
        layer.parameters and layer.name not in ours for layer in net.layers))]
    for file in files:
        for net in nets:
            afresh = net.copy_from(file, skip_other_shapes=skip_other_shapes, may_have_none=True)
            if afresh:
                _log.warning("%s: of another shape, so they start afresh: %s", file,
                             "; ".join(afresh))
    if files and not any(net.weights_loaded for net in nets):
        trained.copy_from(files[0], skip_other_shapes=skip_other_shapes)  # tells what differs


def train_net(param, feeder: Feeder, **options) -> Net:
    """The net to train, with its data.  Errors: ParameterError where there is none."""
    if not (param.HasField("net_param") or param.HasField("train_net_param")):
        raise ParameterError("solver", f"one of {', '.join(_TRAIN_SOURCES)}", "none")
    source = param.net_param if param.HasField("net_param") else param.train_net_param
    return _net(source, TRAIN, param.train_state, feeder, options)


def test_nets(param, feeder: Feeder, trained: Net, **options) -> list[Net]:
    """The nets to test, with their data: those for tests alone, then the net itself in phase TEST.

    They share the weights of the net that is trained.  With test_iter its count decides how often
    the net itself is among them.
    """
    sources = list(param.test_net_param)
    if param.HasField("net_param"):
        wanted = max(len(param.test_iter), len(param.test_state))
        if not param.test_iter and param.test_interval:
            wanted = max(1, wanted)
        sources += [param.net_param] * (wanted - len(sources))
    if param.test_iter and len(param.test_iter) != len(sources):
        raise ParameterError("solver: test_iter", f"one for each of {len(sources)} test nets",
                             len(param.test_iter))
    states = list(param.test_state)
    if states and len(states) != len(sources):
        raise ParameterError("solver: test_state", f"one for each of {len(sources)} test nets",
                             len(states))
    nets = [_net(without_fillers(read_net(source), trained.params), TEST,
                 states[i] if states else NetState(), feeder, options)
            for i, source in enumerate(sources)]
    for net in nets:
        net.share_with(trained)
    return nets


def _net(source, phase: int, extra: NetState, feeder: Feeder, options) -> Net:
    stages = [*source.state.stage, *extra.stage]
    level = extra.level if extra.HasField("level") else source.state.level
    chosen = filter_net(read_net(source), NetState(phase=phase, level=level, stage=stages))
    chosen, data = feeder.feed(chosen, phase)
    if phase == TEST and options["keep"] != "all":  # names that only the train net may have
        tops = {top for layer in chosen.layer for top in layer.top}
        options = {**options, "keep": [name for name in options["keep"] if name in tops]}
    net = Net(chosen, phase, level=level, stages=stages, **options)
    net.source = data
    return net


def test_transforms(nets: list[Net]) -> dict[str, Transform]:
    """How the first of the nets that is fed arrays transforms its inputs."""
    for net in nets:
        if isinstance(net.source, Batches):
            return dict(net.source.transforms)
    return {}


def check_test_iter(param, test_nets: list[Net]) -> None:
    """Errors: ParameterError for a test net without a number of passes, nor data that ends."""
    for index, net in enumerate(test_nets):
        if index >= len(param.test_iter) and net.source is None:
            raise ParameterError("solver", f"test_iter for test net {index}, which is fed no data "
                                 "of known length", "none", "or give test_data=(x, y).")


def check_fed(net: Net) -> None:
    """Errors: ParameterError for an Input blob that nobody ever wrote to, which would be zeros."""
    unfed = [name for name in net.inputs if net.device_blobs[name].memory("data").array is None]
    if unfed and net.source is None:
        what, blobs, when = (("training", "net", "step(1)") if net.phase == TRAIN else
                             ("test", "test_nets[0]", "test"))
        raise ParameterError(f"{what} net '{net.name}'", f"data for its inputs {net.inputs}",
                             f"none for {unfed}", "give the solver data=(x, y) and test_data=(x, y)"
                             f", or write solver.{blobs}.blobs[name].data[...] before each {when}.")
