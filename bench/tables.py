"""The tables of ``bench/cpu.py``, from what it writes as JSON: ``python bench/tables.py FILE``"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

OURS = "ours"
SLOW = 0.88  # a spell is slow where the product runs at less than this part of its best rate


def all_tables(result: dict) -> list[str]:
    """The tables of all parts that were measured, with the machine above them."""
    found = result["nets"].values()
    clock = ", the processor's time" if result["busy"] else ""
    texts = [f"{result['machine']}{clock}\npeak {result['peak']:.0f} GFLOP/s, product of matrices "
             f"{result['product']:.0f} GFLOP/s; {result['repeated']} measurements made again; "
             "* in a slow spell all the same"]
    if any("train" in net for net in found):
        texts.append("Training, ms an iteration: best (median)\n" + training(result))
    if any("infer 1" in net for net in found):
        texts.append("Inference, ms: best (median)\n" + inference(result))
    if "memory" in result["parts"]:
        texts.append("Memory of a training, MiB (of them before there was a net)\n"
                     + memory(result))
    if "start" in result["parts"]:
        texts.append("From the start of the process to the end of the 5th iteration, s\n"
                     + start(result))
    return texts + notes(result)


def is_slow(one: dict, best: float) -> bool:
    """Whether a measurement was made in a slow spell of a machine, going by its best rate."""
    return one.get("rate", best) < SLOW * best


def notes(result: dict) -> list[str]:
    """Why peers did not take part, if some did not."""
    found = {f"{name}: {peer}: {one['skipped']}"
             for name, net in result["nets"].items() for part in net.values()
             if isinstance(part, dict) for peer, rounds in part.items()
             for one in rounds if "skipped" in one}
    return ["\n".join(sorted(found))] if found else []


def training(result: dict) -> str:
    """Times of each peer, ratios of the best, GFLOP/s, shares of the peak, and Caffe's times."""
    peers, product, rows = _peers(result, "train"), result["product"], []
    for name, net in result["nets"].items():
        if "train" not in net:
            continue
        best = {peer: _best(net["train"].get(peer)) for peer in peers}
        speed = {peer: 1e-6 * net["work"] / ms for peer, ms in best.items() if ms}
        ours = best.get(OURS)
        rows.append([
            name, net["batch"], *(times(net["train"].get(peer), product) for peer in peers),
            *(ratio(best[peer], ours) for peer in peers if peer != OURS),
            _shown(1e3 * net["batch"] / ours if ours else None, ".0f"),
            f"{1e-9 * net['work']:.2f}", _shown(speed.get(OURS), ".0f"),
            *(_shown(100 * speed[peer] / result["peak"] if peer in speed else None, ".0f")
              for peer in peers),
            _shown(net["caffe"], "g")])
    return table(["net", "batch", *peers, *(f"{p} / {OURS}" for p in peers if p != OURS),
                  "images/s", "GFLOP", "GFLOP/s", *(f"{p} % of peak" for p in peers),
                  "Caffe 1.0, Zen 4"], rows)


def inference(result: dict) -> str:
    """Times of each peer for one sample and for a batch, and ratios of the best."""
    parts = dict.fromkeys(part for net in result["nets"].values() for part in net
                          if part.startswith("infer"))
    peers = list(dict.fromkeys(peer for part in parts for peer in _peers(result, part)))
    others, rows = [peer for peer in peers if peer != OURS], []
    for name, net in result["nets"].items():
        for part in parts:
            if part in net:
                batch, ours = int(part.split()[1]), _best(net[part].get(OURS))
                rows.append([
                    name, batch, *(times(net[part].get(peer), result["product"]) for peer in peers),
                    *(ratio(_best(net[part].get(peer)), ours) for peer in others),
                    _shown(1e3 * batch / ours if ours else None, ".0f")])
    return table(["net", "batch", *peers, *(f"{peer} / {OURS}" for peer in others), "images/s"],
                 rows)


def memory(result: dict) -> str:
    """The most memory that a training of each peer takes."""
    peers = _peers(result, "start")
    return table(["net", "batch", *peers], [
        [name, net["batch"], *(_mebibytes(net["start"].get(peer)) for peer in peers)]
        for name, net in result["nets"].items() if "start" in net])


def start(result: dict) -> str:
    """The seconds that a training takes to start: ours without and with compiled code."""
    peers = [peer for peer in _peers(result, "start") if peer != "ours-keep-all"]
    return table(["net", f"{OURS}, nothing compiled", *peers], [
        [name, _shown(_best(net["start"].get(OURS), "cold"), ".1f"),
         *(_shown(_best(net["start"].get(peer), "seconds"), ".1f") for peer in peers)]
        for name, net in result["nets"].items() if "start" in net])


# -------------------------------------------------------------------------------------- cells

def times(rounds: Sequence[dict] | None, product: float) -> str:
    """``best (median)`` of rounds, with a star if the best was in a slow spell."""
    measured = [one for one in rounds or () if "best" in one]
    if not measured:
        return "-"
    fastest = min(measured, key=lambda one: one["best"])
    median = statistics.median(one["median"] for one in measured)
    return f"{_short(fastest['best'])} ({_short(median)}){'*' * is_slow(fastest, product)}"


def ratio(theirs: float | None, ours: float | None) -> str:
    """How many times as long as ours theirs took."""
    return _shown(theirs / ours if theirs and ours else None, ".2f")


def _mebibytes(rounds: Sequence[dict] | None) -> str:
    best = _best(rounds, "memory")
    return "-" if best is None else f"{best:.0f} ({_best(rounds, 'before'):.0f})"


def _best(rounds: Iterable[dict] | None, field: str = "best") -> float | None:
    return min((one[field] for one in rounds or () if field in one), default=None)


def _peers(result: dict, part: str) -> list[str]:
    """The peers that have something to show in a part, in their order."""
    return list(dict.fromkeys(
        peer for net in result["nets"].values() for peer, rounds in net.get(part, {}).items()
        if any("skipped" not in one for one in rounds)))


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _short(ms: float) -> str:
    """Three digits, and all before the point."""
    return f"{ms:.0f}" if ms >= 100 else f"{ms:#.3g}"


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown whose columns are aligned: the first to the left, others to the right."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join("| " + " | ".join(
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(line, widths))) + " |" for line in lines)


if __name__ == "__main__":
    print("\n\n".join(all_tables(json.loads(Path(sys.argv[1]).read_text()))))
