"""Data sets, and sources that feed their samples to a net."""

from __future__ import annotations

from .batches import Batches
from .dataset import Dataset
from .digits import load_digits
from .image import read_image
from .image_folder import ImageFolder
from .sets import NAMES, open_dataset
from .transform import Transform

__all__ = ["NAMES", "Batches", "Dataset", "ImageFolder", "Transform", "load_digits",
           "open_dataset", "read_image"]
