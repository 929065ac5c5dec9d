"""HDF5 files of random structure: odd types, links, circles and sizes under the names we read."""

from __future__ import annotations

import io
from dataclasses import replace
from random import Random

import numpy

from .trees import Tree

_NAMES = ("data", "history", "iter", "learned_net", "current_step", "conv", "ip", "0", "1", "2",
          "007", "-1", "1000000", "999999999999", "x", "\u00e9", ".", "random_seed", "test_tick",
          "notes")
_TYPES = ("f4", "f8", "f2", "i4", "i8", "u1", "S3", "V4", "c8", ">f4", "bool", "text", "empty",
          "ref", "enum", "vlen", "compound")
_SHAPES = ((), (0,), (1,), (3,), (2, 3), (2, 1, 3, 3), (1,) * 30, (2**40,), (2**20, 2**20), (0, 5))


def is_hdf5(tree: Tree) -> bool:
    """Whether the tree is one HDF5 file."""
    return tree.files.get(tree.opened, b"").startswith(b"\x89HDF")


def random_file(tree: Tree, rng: Random) -> Tree:
    """The tree's file with some things added, removed and replaced."""
    import h5py

    file = io.BytesIO(tree.files[tree.opened])
    with h5py.File(file, "r+") as opened:
        for _ in range(rng.choice((1, 1, 2, 4))):
            try:
                _change(h5py, opened, rng)
            except Exception:  # a name that is taken, a type that it does not know
                continue
    return replace(tree, files={**tree.files, tree.opened: file.getvalue()})


def _change(h5py, file, rng: Random) -> None:
    groups, names = [file], []
    file.visititems(lambda name, node: (names.append(name), groups.append(node)
                                        if isinstance(node, h5py.Group) else None)[:0] or None)
    group = rng.choice(groups)
    name = rng.choice(names).rpartition("/")[2] if names and rng.random() < 0.6 else rng.choice(
        _NAMES)
    if name in group:
        del group[name]
    choice = rng.random()
    if choice < 0.45:
        _dataset(h5py, group, name, rng)
    elif choice < 0.6:
        group.create_group(name)
    elif choice < 0.7:
        group[name] = h5py.SoftLink(rng.choice(("/", "/data", "nowhere", "/data/conv/0", ".")))
    elif choice < 0.78:
        group[name] = h5py.ExternalLink(rng.choice(("other.h5", "/dev/zero", "")), "/data")
    elif choice < 0.9:
        group[name] = rng.choice(groups)  # a hard link: a circle where it is a group above
    else:
        group.attrs[rng.choice(_NAMES)] = rng.choice((1, "x", 1.5))


def _dataset(h5py, group, name: str, rng: Random) -> None:
    kind, shape = rng.choice(_TYPES), rng.choice(_SHAPES)
    special = {"text": h5py.string_dtype(), "ref": h5py.ref_dtype,
               "enum": h5py.enum_dtype({"a": 1}, "i4"), "vlen": h5py.vlen_dtype("f4"),
               "compound": numpy.dtype([("a", "f4"), ("b", "i4")])}
    if kind == "empty":
        group[name] = h5py.Empty("f4")
        return
    dtype = special.get(kind) or numpy.dtype(kind)
    large = numpy.prod(shape, dtype=float) > 1000
    options = {"chunks": tuple(min(side, 64) for side in shape)} if large else {}
    if shape and rng.random() < 0.3 and not large and 0 not in shape:
        options = {"chunks": True, "compression": "gzip", "maxshape": (None,) * len(shape)}
    made = group.create_dataset(name, shape, dtype, **options)
    if not large and kind in ("f4", "f8", "i4", "i8", "u1") and rng.random() < 0.7:
        made[...] = numpy.full(shape, rng.choice((0, 1, 7)), dtype)
