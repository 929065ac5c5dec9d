"""Data sets, and sources that feed their samples to a net."""

from __future__ import annotations

from functools import partial

from .dataset import Dataset
from .digits import load_digits
from .picture import read_picture
from .pictures import Pictures
from .sets import NAMES, open_dataset
from .source import Batches
from .transform import Transform

DATASETS = {name: partial(open_dataset, name) for name in NAMES}

__all__ = ["DATASETS", "Batches", "Dataset", "Pictures", "Transform", "load_digits",
           "open_dataset", "read_picture"]
