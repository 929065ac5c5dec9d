"""Train a net: ``python train.py``, or ``python train.py --help`` for what else it can do."""

import sys

from minicaffe.cli import train

if __name__ == "__main__":
    sys.exit(train())
