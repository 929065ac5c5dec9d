"""What the tests of the core share: nets from a few lines of prototxt."""

import os
import signal

# NumPy's matrix library waits in a busy loop for threads that another program keeps from running
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402

import minicaffe.testing  # noqa: E402, F401  (makes the device "strict" known)
from minicaffe import TRAIN, Net  # noqa: E402
from minicaffe.proto import NetParameter  # noqa: E402
from minicaffe.proto.text import parse_text  # noqa: E402


@pytest.fixture(scope="session")
def parse_net():
    """The NetParameter of a text."""
    return lambda text: parse_text(text, NetParameter, "net")


@pytest.fixture(scope="session")
def make_net(parse_net):
    """A net from a text: by default in phase TRAIN, on the device numpy, with one seed."""
    def make(text, phase=TRAIN, **options):
        return Net(parse_net(text), phase, **{"device": "numpy", "seed": 1, **options})
    return make


@pytest.fixture
def folder_on_path(tmp_path, monkeypatch):
    """A folder in which modules of a test's own are found."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path
