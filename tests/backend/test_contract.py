"""A fast backend computes the same primitives faster; it may not add any, or change how they are
called."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy
import pytest

from minicaffe.backend import get_backend
from minicaffe.backend.base import Backend
from minicaffe.backend.cpu import CpuBackend

FAST = [CpuBackend]


def public(kind) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", FAST)
def test_a_fast_backend_adds_no_public_names(kind):
    assert public(kind) == public(Backend)
    assert {name for name in vars(kind()) if not name.startswith("_")} == set()


@pytest.mark.parametrize("kind", FAST)
def test_a_fast_backend_changes_no_signature(kind):
    for name in public(Backend):
        if callable(getattr(Backend, name)):
            assert inspect.signature(getattr(kind, name)) == \
                inspect.signature(getattr(Backend, name)), name


def test_cpu_is_a_host_backend_that_fuses_layers():
    backend = get_backend("cpu")
    assert (backend.name, backend.xp, backend.is_host) == ("cpu", numpy, True)
    assert backend.fuses == {"BatchNorm", "Scale", "ReLU"}


def test_importing_minicaffe_does_not_import_numba():
    code = "import minicaffe, minicaffe.backend, sys; print('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize("breakage", ["None", "types.ModuleType('numba')"])
def test_a_missing_or_broken_numba_is_a_device_error_that_says_what_to_install(breakage):
    code = (f"import sys, types; sys.modules['numba'] = {breakage}\n"
            "from minicaffe.backend import get_backend\n"
            "from minicaffe.errors import DeviceError\n"
            "try: get_backend('cpu')\n"
            "except DeviceError as error: print(error)")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.startswith(
        "device 'cpu': expected numba, which compiles its kernels, got "), result.stderr
    assert "Hint: pip install numba, or use the device 'numpy'." in result.stdout
