"""A net's parameters from and to files: caffemodel (binary) and HDF5."""

from __future__ import annotations

import logging
from os import PathLike, fspath

from ..errors import FileFormatError, WeightsError
from ..proto import hdf5, wire
from ..proto.blobs import fits
from ..proto.formats import is_hdf5, read_weights

_log = logging.getLogger("minicaffe")


class WeightFiles:
    """What a Net does with files of weights; layers are matched by their names."""

    def copy_from(self, path: str | PathLike, complete: bool = False,
                  skip_other_shapes: bool = False, may_have_none: bool = False) -> list[str]:
        """Copy the parameters of every layer that the file and the net both have.

        Layers that only one of them has are left alone, which is how a net is fine-tuned.

        Args:
            complete: True where each layer with parameters must be in the file.
            skip_other_shapes: True where a layer whose parameters have other shapes in the file is
                left alone as well.
            may_have_none: True for one of several files, which may hold nothing for this net.

        Returns: what was left alone for its shape, told in words.
        Errors: WeightsError where a shape differs, or where no layer matches, naming which layers
        did and which did not; FileFormatError for a damaged file.  Nothing is copied then.
        """
        return self.copy_stored(read_weights(path), path, complete, skip_other_shapes,
                                may_have_none)

    def copy_stored(self, stored: list[wire.LayerWeights], path: str | PathLike,
                    complete: bool = False, skip_other_shapes: bool = False,
                    may_have_none: bool = False) -> list[str]:
        """``copy_from`` of a file that is read already; ``path`` is its name, for messages."""
        layers: dict = {}
        for layer in self.layers:
            if layer.parameters:
                layers.setdefault(layer.name, layer)  # of equal names the first, as in Caffe
        found = {entry.name: entry.blobs for entry in reversed(stored) if entry.blobs}
        matched = [name for name in layers if name in found]
        missing = [name for name in layers if name not in found]
        unknown = [name for name in found if name not in layers][::-1]
        pairs, wrong, skipped = [], [], []
        for name in matched[:]:
            unlike: list[str] = []
            fitting = self._pair(layers[name], found[name], unlike)
            if unlike and skip_other_shapes:
                matched.remove(name)
                skipped += unlike
            else:
                pairs += fitting
                wrong += unlike
        none = layers and not matched
        if wrong or none and not may_have_none or missing and complete:
            self._refuse(path, wrong or skipped, matched, missing, unknown)
        for blob, array in pairs:
            blob.host.data[...] = array.reshape(blob.shape)
        self.weights_loaded = self.weights_loaded or not none
        _log.info("%s: %d layers copied; not in the file: %s; not in the net: %s", fspath(path),
                  len(matched), ", ".join(missing) or "none", ", ".join(unknown) or "none")
        return skipped

    def _pair(self, layer, arrays: list, wrong: list[str]) -> list[tuple]:
        """A layer's parameters with stored arrays; what does not fit is told in ``wrong``.

        HDF5 files of real Caffe leave out parameters that another layer owns.
        """
        blobs, owned = layer.parameters, [parameter.blob for parameter in self.learnable]
        arrays = arrays + [None] * (len(blobs) - len(arrays))
        if len(arrays) > len(blobs) or any(
                array is None and blob in owned for blob, array in zip(blobs, arrays)):
            there = sum(array is not None for array in arrays)
            wrong.append(f"layer '{layer.name}' has {there} parameters there, {len(blobs)} here")
            return []
        pairs = []
        for index, (blob, array) in enumerate(zip(blobs, arrays)):
            if array is None:
                continue
            if fits(array.shape, blob.shape):
                pairs.append((blob, array))
            else:
                wrong.append(f"parameter {index} of layer '{layer.name}' is {array.shape} there, "
                             f"{blob.shape} here")
        return pairs

    def _refuse(self, path, wrong, matched, missing, unknown) -> None:
        def listed(names):
            return ", ".join(names) or "none"
        got = "; ".join(wrong) or ("those of another net" if not matched else
                                   f"none for {listed(missing)}")
        raise WeightsError(
            fspath(path), f"weights of net '{self.name}'", got,
            f"layers that matched by name: {listed(matched)}; only in the net: "
            f"{listed(missing)}; only in the file: {listed(unknown)}. Give a layer another "
            "name to start it afresh.")

    def load_hdf5(self, path: str | PathLike) -> None:
        """``copy_from`` of an HDF5 file (pycaffe's name)."""
        if not is_hdf5(path):
            raise FileFormatError(fspath(path), "a name that ends in .h5 or .hdf5", fspath(path))
        self.copy_from(path)

    def save(self, path: str | PathLike) -> None:
        """Write all parameters, as a caffemodel or, by its name, as HDF5: whole, or not at all."""
        self.write(path, is_hdf5(path))

    def save_hdf5(self, path: str | PathLike) -> None:
        """Write all parameters as HDF5 (pycaffe's name)."""
        self.write(path, True)

    def write(self, path: str | PathLike, as_hdf5: bool) -> None:
        """``save`` in a format that the file's name does not tell."""
        stored = [[blob.data for blob in layer.blobs] for layer in self.layers]
        if as_hdf5:  # where names are keys: of equal ones the first, which copy_from will find
            names = [layer.name for layer in self.layers]
            hdf5.write_weights_hdf5(path, {name: arrays for name, arrays in
                                           zip(reversed(names), reversed(stored)) if arrays})
        else:
            wire.write_caffemodel(path, self.param, stored)

    def share_with(self, other: WeightFiles) -> None:
        """Let the parameters of layers of equal names live where those of another net do.

        Errors: WeightsError where their numbers, shapes, types or devices differ.
        """
        theirs = {layer.name: layer for layer in other.layers}
        for layer in self.layers:
            if not layer.parameters or layer.name not in theirs:
                continue
            shared = theirs[layer.name].parameters
            if len(shared) != len(layer.parameters):
                raise WeightsError(f"{layer.where}: to share", f"{len(layer.parameters)} "
                                   "parameters", len(shared))
            for mine, its in zip(layer.parameters, shared):
                if mine.kind != its.kind:
                    raise WeightsError(f"{layer.where}: to share", f"a parameter {mine.kind}",
                                       its.kind)
                mine.share(its, "data")
