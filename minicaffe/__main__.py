"""``python -m minicaffe``: the same as the ``minicaffe`` command."""

import sys

from .cli import main

sys.exit(main())
