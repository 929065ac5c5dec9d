"""One measurement in a process of its own, as two libraries' threads in one would spoil both.

    python bench/worker.py '{"job": "train", "peer": "ours", "net": "lenet"}'

Prints its result as one line of JSON, the last line of its output.
"""

from __future__ import annotations

import json
import logging
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # minicaffe, if it is not installed

STARTED = 5  # iterations until a training counts as started


def main(job: dict) -> dict:
    """The result of a job: ``peak``, ``product``, or ``train``, ``infer``, ``start`` of a net.

    ``clock`` names a function of ``time``: perf_counter, or process_time.
    """
    clock = getattr(time, job["clock"])
    if job["job"] == "peak":
        from peak import peak
        return {"peak": peak(job["threads"], clock)}
    if job["job"] == "product":
        return {"rate": product(clock)}
    if job["job"] in ("convolutions", "types"):
        import layers
        return {"found": layers.measure(job, clock)}
    import numpy  # noqa: F401  (all peers take arrays)
    began = clock()
    import nets
    from peers import PEERS, Cannot, Ours
    imported = clock() - began
    case = nets.CASES[job["net"]]
    peer = PEERS[job["peer"]](job["threads"], Path(job["folder"]), clock)
    before = memory()
    try:
        if job["job"] == "infer":
            return times(peer.inference(case, job["batch"]), job["seconds"], clock)
        step = peer.training(case)
    except Cannot as reason:
        return {"skipped": str(reason)}
    if job["job"] == "train":
        return times(step, job["seconds"], clock)
    for _ in range(STARTED):
        step()
    preparing = 0 if isinstance(peer, Ours) else peer.preparing + imported
    return {"finished": time.monotonic() - preparing,
            "processor": time.process_time() - preparing,
            "memory": memory(), "before": before}


def product(clock: Callable[[], float], size: int = 1024, times: int = 12) -> float:
    """GFLOP/s of NumPy's product of two matrices, the best of some."""
    import numpy
    a, b, out = numpy.ones((3, size, size), numpy.float32)
    best = 0.0
    for _ in range(times):
        began = clock()
        a.dot(b, out=out)
        best = max(best, 2e-9 * size ** 3 / (clock() - began))
    return best


def times(step: Callable[[], object], seconds: float, clock: Callable[[], float]) -> dict:
    """Milliseconds of single calls, for so many seconds, after some that warm up."""
    for _ in range(3):
        step()
    found, until = [], time.perf_counter() + seconds
    while len(found) < 5 or time.perf_counter() < until:
        began = clock()
        step()
        found.append(1e3 * (clock() - began))
    return {"best": min(found), "median": statistics.median(found), "calls": len(found)}


def memory() -> float:
    """The most memory that this process has had so far, in MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    print(json.dumps(main(json.loads(sys.argv[1]))))
