"""Kill trainings at random instants, resume them, and compare every bit with one never stopped.

    python -m tests.kills --kills 200 --seed 1

Half of the kills come at the n-th file operation (open for writing, write, sync, rename, remove),
counted in the process that trains, and one that comes at a write leaves half of it; the others come
after a random time.  Each training is killed and resumed until it ends.  Then all files in its
folder must be those of a training that was never stopped, bit for bit; where the last kill came
behind the last snapshot, that snapshot must be.  Prints figures; the first training that differs is
told with the seed that repeats its kills.
"""

from __future__ import annotations

import argparse
import builtins
import io
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

# A process for each training, forked from one that has imported all and started no thread.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["minicaffe.tools.train", "minicaffe.backend.cpu", "h5py", __name__])
# mirrored, moved and cropped pictures, momentum, dropout, the best snapshot and the last two
SOLVER = """
base_lr: 0.05 lr_policy: "step" stepsize: 15 gamma: 0.5 momentum: 0.9 weight_decay: 0.001
max_iter: 40 test_interval: 6 snapshot: 3 snapshot_format: FORMAT
net_param { name: "small"
  layer { name: "in" type: "Input" top: "data" top: "label" transform_param { scale: 0.0625 }
    input_param { shape { dim: 16 dim: 1 dim: 8 dim: 8 } shape { dim: 16 } } }
  layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
    inner_product_param { num_output: 20 weight_filler { type: "xavier" } } }
  layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
  layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
  layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
    inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
  layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
    include { phase: TEST } } }
"""
FORMATS = ("BINARYPROTO", "HDF5")


class Figures(NamedTuple):
    """What came of it: kills of each kind, trainings that ended, and what differed first, or ""."""

    at_operations: int
    at_instants: int
    trainings: int
    failure: str


# ----------------------------------------------------------------------- in the process that trains

class Operations:
    """Counts what this process does with files, and kills it at the n-th; 0: never."""

    def __init__(self, deadly: int):
        self.count, self._deadly = 0, deadly

    def begin(self) -> None:
        """One more, which may be the last."""
        if self.is_next_deadly():
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def is_next_deadly(self) -> bool:
        return self.count + 1 == self._deadly

    def watch(self) -> None:
        """Count from now on."""
        for name in ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir"):
            setattr(os, name, self._counted(getattr(os, name)))
        real = builtins.open

        def counted_open(file, mode="r", *more, **options):
            if not set(mode) & set("wax+"):
                return real(file, mode, *more, **options)
            self.begin()
            return Written(self, file, mode) if mode == "wb" else real(file, mode, *more, **options)
        builtins.open = io.open = counted_open

    def _counted(self, real):
        def counted(*arguments, **options):
            self.begin()
            return real(*arguments, **options)
        return counted


class Written(io.FileIO):
    """A file whose writes count; a deadly one is done by half."""

    def __init__(self, operations: Operations, file, mode: str):
        super().__init__(file, mode)
        self._operations = operations

    def write(self, content) -> int:
        content = memoryview(content).cast("B") if len(content) else memoryview(b"")
        if self._operations.is_next_deadly():
            super().write(content[:len(content) // 2])
        self._operations.begin()
        done = 0
        while done < len(content):  # a raw file may take less than it is given
            done += super().write(content[done:])
        return done


def train(folder: Path, form: str, device: str, deadly: int, tell) -> None:
    """The training, from the newest snapshot if there is one.

    Args:
        deadly: the number of the operation that kills it; 0: none.
        tell: a pipe that is told when it begins, and the operations in the end.
    """
    os.chdir(folder)
    with open("said", "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    from minicaffe import cli
    Path("small.prototxt").write_text(SOLVER.replace("FORMAT", form))
    resume = any(Path("snapshots").glob("*.solverstate*"))
    operations = Operations(deadly)
    operations.watch()
    tell.send("begun")
    status = cli.train([
        "--solver", "small.prototxt", "--snapshot-dir", "snapshots", "--device", device, "--mirror",
        "--shift", "1", "--validation", "0.1", "--keep", "2", *["--resume"] * resume])
    tell.send(operations.count)
    sys.exit(status)


# ------------------------------------------------------------------------- in the one that kills

class Killer:
    """Trainings of one format on one device, and what they must come to."""

    def __init__(self, scratch: Path, form: str, device: str):
        self._scratch, self._form, self._device = scratch, form, device
        whole = scratch / f"{form}_{device}"
        whole.mkdir()
        for _ in range(2):  # the first may compile kernels, which the time must not count
            shutil.rmtree(whole / "snapshots", ignore_errors=True)
            process, told = self._start(whole, 0)
            began = time.monotonic()
            process.join()
            self.seconds = time.monotonic() - began
            if process.exitcode:
                raise RuntimeError(f"a training that is not killed fails: {_said(whole)}")
        self.operations = told.recv()
        self._wanted = _content(whole)

    def _start(self, folder: Path, deadly: int):
        """A training that has begun, and the pipe of what it tells."""
        told, tell = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=train, args=(
            folder, self._form, self._device, deadly, tell))
        process.start()
        tell.close()  # so that what waits for a process that ended ends as well
        told.recv()
        return process, told

    def run(self, seed: int, most: int) -> tuple[list[bool], str]:
        """One training, killed up to ``most`` times.

        Returns: for each kill whether it came at an operation; what differs in the end, or "".
        """
        rng = random.Random(seed)
        folder = self._scratch / str(seed)
        folder.mkdir()
        kills: list[bool] = []
        while True:
            tries = len(kills) < most
            at_operation = tries and rng.random() < 0.5
            instant = rng.uniform(0, self.seconds)
            process, _ = self._start(folder, rng.randint(1, self.operations) * at_operation)
            if tries and not at_operation:
                process.join(instant)
                process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                kills.append(at_operation)
                if any((folder / "snapshots").glob("small_iter_40.solverstate*")):
                    return kills, self._difference(folder, only="small_iter_40.")
            elif process.exitcode:
                return kills, f"after {len(kills)} kills: {_said(folder)}"
            else:
                break
        return kills, self._difference(folder)

    def _difference(self, folder: Path, only: str = "") -> str:
        """In which files, whose names begin so, a folder differs from what it must be."""
        found, wanted = ({name: content for name, content in files.items() if name.startswith(only)}
                         for files in (_content(folder), self._wanted))
        if found.keys() != wanted.keys():
            return f"files {sorted(found)}, not {sorted(wanted)}"
        return ", ".join(name for name in wanted if found[name] != wanted[name])


def _said(folder: Path) -> str:
    return (folder / "said").read_text().strip()


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "snapshots").iterdir()}


def run(kills: int, seed: int, devices=("cpu", "numpy"), formats=FORMATS, most: int = 4) -> Figures:
    """Kill so often; what differs first ends it.

    Args:
        devices, formats: which take turns, one training after the other.
        most: kills of one training.
    """
    done: list[bool] = []
    trainings = 0
    with tempfile.TemporaryDirectory() as scratch:
        killers = [Killer(Path(scratch), form, device) for form in formats for device in devices]
        while len(done) < kills:
            own = seed * 1_000_000 + trainings
            killer = killers[trainings % len(killers)]
            came, failure = killer.run(own, min(most, kills - len(done)))
            done += came
            trainings += 1
            if failure:
                failure = f"training {own} (seed {seed}, number {trainings}): {failure}"
                break
    return Figures(sum(done), len(done) - sum(done), trainings, failure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = run(options.kills, options.seed)
    print(f"{figures.at_operations} kills at a file operation, {figures.at_instants} at a random "
          f"instant; {figures.trainings} trainings")
    print(f"DIFFERENT: {figures.failure}" if figures.failure else "all bits equal")
    return bool(figures.failure)


if __name__ == "__main__":
    sys.exit(main())
