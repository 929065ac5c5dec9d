"""A net's parameters from and to files: caffemodel (binary) and HDF5."""

from __future__ import annotations

import logging
from os import PathLike, fspath

from .errors import FileFormatError, WeightsError
from .proto import hdf5, wire

_log = logging.getLogger("minicaffe")


def is_hdf5(path: str | PathLike) -> bool:
    """Whether a file's name says that it is HDF5, by Caffe's rule."""
    return fspath(path).endswith((".h5", ".hdf5"))


class WeightFiles:
    """What a Net does with files of weights; layers are matched by their names."""

    def copy_from(self, path: str | PathLike) -> None:
        """Copy the parameters of every layer that the file and the net both have.

        Layers that only one of them has are left alone, which is how a net is fine-tuned.

        Errors: WeightsError where a shape differs, or where no layer matches, naming which layers
        did and which did not; FileFormatError for a damaged file.  Nothing is copied then.
        """
        stored = (hdf5.read_weights_hdf5 if is_hdf5(path) else wire.read_caffemodel)(path)
        pairs, wrong = [], []
        layers: dict = {}
        for layer in self.layers:
            if layer.parameters:
                layers.setdefault(layer.name, layer)  # of equal names the first, as in Caffe
        matched, unknown = [], []
        for entry in stored:
            if entry.name not in layers:
                unknown.extend([entry.name] if entry.blobs else [])
                continue
            parameters = layers[entry.name].parameters
            if not entry.blobs:
                continue
            matched.append(entry.name)
            if len(entry.blobs) != len(parameters):
                wrong.append(f"layer '{entry.name}' has {len(entry.blobs)} parameters there, "
                             f"{len(parameters)} here")
                continue
            for index, (blob, array) in enumerate(zip(parameters, entry.blobs)):
                if _fits(array.shape, blob.shape):
                    pairs.append((blob, array))
                else:
                    wrong.append(f"parameter {index} of layer '{entry.name}' is {array.shape} "
                                 f"there, {blob.shape} here")
        missing = [name for name in layers if name not in matched]
        self._refuse(path, wrong, matched, missing, unknown)
        for blob, array in pairs:
            blob.host.data[...] = array.reshape(blob.shape)
        self.weights_loaded = True
        _log.info("%s: %d layers copied; not in the file: %s; not in the net: %s", fspath(path),
                  len(matched), ", ".join(missing) or "none", ", ".join(unknown) or "none")

    def _refuse(self, path, wrong, matched, missing, unknown) -> None:
        if wrong or not matched and missing:
            def listed(names):
                return ", ".join(names) or "none"
            raise WeightsError(
                fspath(path), f"weights of net '{self.name}'",
                "; ".join(wrong) or "those of another net",
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
        stored = {layer.name: [blob.data for blob in layer.blobs]
                  for layer in self.layers if layer.parameters}
        if is_hdf5(path):
            hdf5.write_weights_hdf5(path, stored)
        else:
            wire.write_caffemodel(path, self.param, stored)

    def save_hdf5(self, path: str | PathLike) -> None:
        """Write all parameters as HDF5 (pycaffe's name)."""
        hdf5.write_weights_hdf5(path, {layer.name: [blob.data for blob in layer.blobs]
                                       for layer in self.layers if layer.parameters})

    def share_with(self, other: WeightFiles) -> None:
        """Let the parameters of layers of equal names live where those of another net do.

        Errors: WeightsError where their numbers or shapes differ.
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
                if mine.shape != its.shape:
                    raise WeightsError(f"{layer.where}: parameters to share", str(mine.shape),
                                       its.shape)
                mine.share(its, "data")


def _fits(stored: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """Equal shapes; or, as old files have four axes always, equal but for leading ones."""
    if stored == own:
        return True
    return len(stored) == 4 and len(own) <= 4 and stored == (1,) * (4 - len(own)) + own
