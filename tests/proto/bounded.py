"""How much memory a reader takes, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import importlib, json, resource, sys
module, name, path = sys.argv[1:]
read = getattr(importlib.import_module(module), name)
import h5py, minicaffe.errors
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, error = peak(), ""
try:
    read(path)
except minicaffe.errors.MinicaffeError as caught:
    error = f"{type(caught).__name__}: {caught}"
print(json.dumps([(peak() - before) / 1024, error]))
"""


def assert_bounded(read, path: Path) -> str:
    """The text of the reader's error, "" for none, if it keeps to the rule for all readers.

    The rule: at most 64 MiB plus 8 times the file, errors of ours, their texts cut to a line.
    """
    command = [sys.executable, "-c", _PROGRAM, read.__module__, read.__name__, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    peak, error = json.loads(output.splitlines()[-1])
    assert peak < 64 + 8 * path.stat().st_size / 2**20
    assert len(error) < 1000 and error.isprintable()
    return error
