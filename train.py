"""Train a net: ``python train.py``, or ``python train.py --help`` for what else it can do."""

import sys

try:
    from minicaffe.cli import train
except ModuleNotFoundError as error:
    sys.exit(f"{error}. Install what minicaffe needs first: pip install .")
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(train())
