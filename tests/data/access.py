"""Files without permission, also where the tests run as root, whom no permission stops."""

import os
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def without_permission(path):
    """Inside, the file or folder at ``path``, in the working folder, may not be read."""
    os.chmod(".", 0o755)
    os.chmod(path, 0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        os.chmod(path, 0o755)
