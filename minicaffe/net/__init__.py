"""The net and what makes it run; ``Net`` is the face of it all."""

from .net import Net

__all__ = ["Net"]
