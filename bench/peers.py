"""The same net run by each of the peers: what to call for an iteration, and for an inference.

A peer has two methods.  ``training(case)`` gives a function that does one iteration (forward,
backward, update by SGD with momentum and weight decay) on data that is in place;
``inference(case, batch)`` one that runs the net as it is deployed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nets

from minicaffe import TEST, TRAIN, Net, Solver
from minicaffe.proto.text import to_text


class Cannot(Exception):
    """A peer does not run a net; the text says why."""


class Peer:
    """A library that runs nets.

    Args:
        threads: how many it may use.
        folder: for files that it needs.
        clock: tells the seconds.

    Attributes:
        preparing: seconds spent on what its users do not do, as to translate a net.
    """

    def __init__(self, threads: int, folder: Path, clock: Callable[[], float] = time.monotonic):
        self.threads, self.folder, self.clock, self.preparing = threads, folder, clock, 0.0
        self.load()

    def load(self) -> None:
        """Import the library."""

    def training(self, case: nets.Case) -> Callable[[], object]:
        """What does an iteration.  Errors: Cannot."""
        raise Cannot("no training")

    def inference(self, case: nets.Case, batch: int) -> Callable[[], object]:
        """What runs the deployed net.  Errors: Cannot."""
        raise NotImplementedError


class Ours(Peer):
    """minicaffe on its compiled backend; the number of threads comes from MINICAFFE_THREADS."""

    keep: str | tuple = ()

    def load(self):
        from minicaffe.backend import get_backend
        get_backend("cpu")

    def training(self, case):
        net = case.net()
        solver = Solver(nets.solver_param(net), keep=self.keep)
        _feed(solver.net, net)
        return lambda: solver.step(1)

    def inference(self, case, batch):
        deployed = case.deployed(batch)
        net = nets.settle(Net(deployed, TEST, keep=self.keep))
        _feed(net, deployed)
        return net.forward


def _feed(net: Net, param) -> None:
    for name, values in nets.inputs(param).items():
        net.blobs[name].data[...] = values


class OursKeepingAll(Ours):
    """minicaffe with all blobs kept to be read."""

    keep = "all"


class Torch(Peer):
    """PyTorch, eager, with the fastest of its implementations of SGD."""

    def load(self):
        import torch
        torch.set_num_threads(self.threads)

    def module(self, net, phase: int) -> tuple:
        """A net as a module, and the tensors that it is given."""
        import torch
        from translate import Translation, inputs_of
        began = self.clock()
        translation = Translation(nets.shapes_of(net, phase))
        self.preparing += self.clock() - began
        module, given = self.arranged(translation.build()), nets.inputs(net)
        arrays = [(name, torch.from_numpy(given[name])) for name in inputs_of(module)]
        return module, [array.long() if name == "label" else self.arranged(array)
                        for name, array in arrays]

    def arranged(self, thing):
        """A module or tensor in the memory format of this peer."""
        return thing

    def training(self, case):
        import torch
        module, arrays = self.module(case.net(), TRAIN)
        sgd = torch.optim.SGD(module.parameters(), nets.RATE, nets.MOMENTUM,
                              weight_decay=nets.DECAY, fused=True)

        def iteration():
            sgd.zero_grad()
            module(*arrays).backward()
            sgd.step()

        return iteration

    def inference(self, case, batch):
        import torch
        module, arrays = self.module(case.deployed(batch), TEST)
        return torch.inference_mode()(lambda: module(*arrays))


class TorchChannelsLast(Torch):
    """PyTorch with pictures as (N, H, W, C) in memory."""

    def arranged(self, thing):
        import torch
        if not isinstance(thing, torch.Tensor):
            return thing.to(memory_format=torch.channels_last)
        return thing.contiguous(memory_format=torch.channels_last) if thing.ndim == 4 else thing


class OnnxRuntime(Peer):
    """ONNX Runtime on the net as PyTorch exports it, which another process does."""

    def load(self):
        import onnxruntime  # noqa: F401

    def inference(self, case, batch):
        import onnxruntime
        file = self.folder / f"{case.name}_{batch}.onnx"
        if not file.exists():
            made = subprocess.run([sys.executable, str(Path(__file__)), case.name, str(batch),
                                   str(file)], capture_output=True, text=True)
            if made.returncode:
                raise Cannot("export: " + (made.stderr.strip().splitlines() or ["failed"])[-1])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
        given = nets.inputs(case.deployed(batch))
        fed = {entry.name: given[entry.name] for entry in session.get_inputs()}
        return lambda: session.run(None, fed)


class OpenCV(Peer):
    """OpenCV's dnn module on our deploy prototxt and caffemodel."""

    def load(self):
        import cv2
        cv2.setNumThreads(self.threads)

    def inference(self, case, batch):
        import cv2
        deployed = case.deployed(batch)
        text = self.folder / f"{case.name}_{batch}_deploy.prototxt"
        # OpenCV does not know the former
        text.write_text(to_text(deployed).replace("round_mode: FLOOR", "ceil_mode: false"))
        weights = text.with_suffix(".caffemodel")
        nets.settle(Net(deployed, TEST, device="numpy")).save(weights)
        given = nets.inputs(deployed)

        def run():
            for name, values in given.items():
                net.setInput(values, name)
            net.forward()

        try:
            net = cv2.dnn.readNetFromCaffe(str(text), str(weights))
            run()
        except cv2.error as error:
            raise Cannot(" ".join(error.err.split())) from error
        finally:
            weights.unlink()
        return run


PEERS: dict[str, type[Peer]] = {
    "ours": Ours, "ours-keep-all": OursKeepingAll, "torch": Torch,
    "torch-nhwc": TorchChannelsLast, "onnxruntime": OnnxRuntime, "opencv": OpenCV}


def export(case: nets.Case, batch: int, path: str) -> None:
    """Write the deployed net as ONNX."""
    import torch
    from translate import inputs_of
    module, arrays = Torch(1, Path()).module(case.deployed(batch), TEST)
    torch.onnx.export(module, tuple(arrays), path, input_names=inputs_of(module), dynamo=False)


if __name__ == "__main__":
    export(nets.CASES[sys.argv[1]], int(sys.argv[2]), sys.argv[3])
