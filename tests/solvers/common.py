"""A small solver on digits, for the tests of this folder."""

from minicaffe.data import load_digits
from minicaffe.proto import SolverParameter
from minicaffe.solvers import Solver
from minicaffe.tools import models


def digits_solver(folder=None, device="cpu", keep="all", batch_size=16, data=True, **fields):
    """The digits net with a small batch; ``fields`` change its SolverParameter."""
    model = models.load("digits")
    param = SolverParameter(base_lr=0.05, lr_policy="fixed", momentum=0.9, weight_decay=0.0005,
                            max_iter=20, random_seed=3)
    if folder is not None:
        param.snapshot_prefix = str(folder / "snap")
    param.MergeFrom(SolverParameter(**fields))
    param.net_param.CopyFrom(model.net())
    models.set_batch_size(param.net_param, batch_size)
    digits = load_digits()
    feeding = {}
    if data:
        feeding = dict(data=(digits.x, digits.y), test_data=(digits.test_x, digits.test_y))
    return Solver(param, keep=keep, device=device, **feeding)


def weights(solver):
    """All parameters, copied."""
    return [p.blob.host.data.copy() for p in solver.net.learnable]


def equal_bits(first, second):
    """Whether two lists of arrays are the same, bit for bit."""
    return all((a.view("u4") == b.view("u4")).all() for a, b in zip(first, second, strict=True))
