"""Caffe's messages and files: prototxt text, weights, solver states, upgrades of old formats.

Every message class can be imported from here by name: ``from minicaffe.proto import NetParameter``.
"""

from .schema import MESSAGES

globals().update(MESSAGES)

__all__ = sorted(MESSAGES)
