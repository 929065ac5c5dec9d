"""Groups of neighbouring layers that run as one, in fewer passes over their blobs.

All layers of a group but the first work in place, on its top.  A group leaves in every blob, and in
every parameter's diff, what its layers would leave there one by one, up to rounding.
"""

from .group import Group
from .grouping import groups

__all__ = ["Group", "groups"]
