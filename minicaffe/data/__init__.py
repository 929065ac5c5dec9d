"""Data sets, and sources that feed their samples to a net."""

from __future__ import annotations

from .dataset import Dataset
from .digits import load_digits
from .source import Batches

DATASETS = {"digits": load_digits}

__all__ = ["DATASETS", "Batches", "Dataset", "load_digits"]
