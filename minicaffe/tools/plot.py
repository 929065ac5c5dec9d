"""``minicaffe plot``: the curves of a training, or of several, from their log files."""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import FileFormatError, MissingPackageError, ParameterError
from ..proto.atomic_files import atomic_write, existing_file
from .option_values import check_writable

DESCRIPTION = """\
Draw loss, accuracy and learning rate over the iterations, from what "train --log FILE" wrote.

Several log files are drawn into the same panels, to compare their trainings by name.
"""

EPILOG = """\
examples:
  COMMAND training.jsonl
  COMMAND training.jsonl -o training.svg
  COMMAND small.jsonl large.jsonl --names "16 filters,64 filters" -o compared.png

Exit status: 0 done, 2 a mistake in the options or files.
"""

FORMATS = ("png", "svg", "pdf")
OTHERS = ("iteration", "seconds", "net", "images_per_second")  # numbers that are no curve
PANELS = ("loss", "accuracy", "test output", "learning rate")
# a part of the data has one colour in every drawing; several trainings have one each
PARTS = {"train": "#1f6fb4", "test": "#e0662f", "validation": "#2f9150", "learning": "#6b6b6b"}
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # of several curves of one part
COLOURS = ("#1f6fb4", "#e0662f", "#2f9150", "#9a4fb5", "#c23a4b", "#7a6a55", "#2aa3a3", "#b5912a")

LEGEND = 110  # letters that a line of the legend has room for

Curves = dict[str, dict[str, dict[int, float]]]  # panel -> curve -> iteration -> value


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options of this command."""
    parser.set_defaults(run=run)
    parser.add_argument("logs", nargs="+", metavar="LOG.jsonl", help="a log file of train --log")
    parser.add_argument("-o", "--output", metavar="FILE", help="the .png, .svg or .pdf to write "
                        "(default: the first log's name with .png)")
    parser.add_argument("--names", metavar="A,B,...", help="what to call the trainings (default: "
                        "the names of their log files)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Draw the logs; returns the exit status."""
    names = options.names.split(",") if options.names else _names(options.logs)
    if len(set(names)) != len(options.logs):
        raise ParameterError("--names", f"{len(options.logs)} different names, one for each log",
                             ", ".join(names))
    output = options.output or str(Path(options.logs[0]).with_suffix(".png"))
    draw_runs({name: read_log(log) for name, log in zip(names, options.logs)}, output)
    print(output)
    return 0


def _names(logs: list[str]) -> list[str]:
    """Short names of log files: without folders, where that tells them apart; none for one."""
    if len(logs) == 1:
        return [""]
    stems = [Path(log).stem for log in logs]
    return stems if len(set(stems)) == len(stems) else logs


def read_log(path: str | Path) -> list[dict]:
    """The events of a log file.

    A last line that is damaged, as a training that was killed leaves it, is passed over.

    Errors: MissingFileError; FileFormatError, naming the line, for what is no log.
    """
    path = existing_file(path)
    lines = path.read_bytes().split(b"\n")
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:
            if events and not any(map(bytes.strip, lines[number:])):
                break
            event = None
        if not (isinstance(event, dict) and "event" in event
                and isinstance(event.get("iteration"), int)):
            shown = line.decode(errors="replace").strip()
            raise FileFormatError(f"{path}:{number}", 'an event of a training, such as {"event": '
                                  '"train", "iteration": 0, ...}', f"'{shown[:40]}'",
                                  "train --log FILE writes such a file.")
        events.append(event)
    return events


def draw(events: Iterable[dict], path: str | Path) -> None:
    """Draw the curves of one training into a PNG, SVG or PDF file, whole or not at all.

    Args:
        events: {"event": "train", "test" or "final", "iteration": ..., and its numbers}, perhaps
            with the "part" of the data that was tested; other events are passed over.  Where the
            iterations begin anew, as after a restore, the later ones count.

    Errors: as ``draw_runs``.
    """
    draw_runs({"": events}, path)


def check_output(path: str | Path) -> None:
    """Errors: as ``draw_runs``, before there is anything to draw."""
    if Path(path).suffix.lower().removeprefix(".") not in FORMATS:
        raise ParameterError("plot", f"a file name that ends in {', '.join(FORMATS)}", f"'{path}'")
    check_writable("plot", path)
    _import_figure()


def draw_runs(runs: Mapping[str, Iterable[dict]], path: str | Path) -> None:
    """Draw the curves of several trainings by name.

    Errors: MissingPackageError without matplotlib; ParameterError for a file of another kind, or
    where there is nothing to draw; OSError where the file cannot be written.
    """
    check_output(path)
    kind = Path(path).suffix.lower().removeprefix(".")
    curves = {name: curves_of(events) for name, events in runs.items()}
    figure = _figure(curves)
    with atomic_write(path) as file:
        figure.savefig(file, format=kind, dpi=120)


def curves_of(events: Iterable[dict]) -> Curves:
    """The numbers of a training by panel and curve, in the order of the iterations."""
    curves: Curves = {}
    latest = -1
    for event in events:
        kind, iteration = event.get("event"), event.get("iteration")
        if kind not in ("train", "test", "final"):
            continue
        if iteration < latest:
            _cut(curves, iteration)
        latest = iteration
        for name, value in event.items():
            if name in OTHERS or "[" in name or not isinstance(value, int | float):
                continue
            part = event.get("part", "test" if kind == "final" else kind)
            panel, curve = _place(part, name, event.get("net", 0))
            curves.setdefault(panel, {}).setdefault(curve, {})[iteration] = value
    return curves


def _cut(curves: Curves, iteration: int) -> None:
    """Forget what was after an iteration from which the training went on anew."""
    for panel in list(curves):
        cut = {name: {k: value for k, value in curve.items() if k < iteration}
               for name, curve in curves.pop(panel).items()}
        if any(cut.values()):
            curves[panel] = {name: curve for name, curve in cut.items() if curve}


def _place(kind: str, name: str, net: int) -> tuple[str, str]:
    """The panel and the curve that a number of an event belongs to."""
    if name == "lr":
        return "learning rate", "learning rate"
    name = name.removeprefix("test_")
    panel = next((panel for panel in PANELS[:2] if panel in name), "test output")
    return panel, f"{kind} {name}" + (f" of net {net}" if net else "")


# ------------------------------------------------------------------------------------- the figure

def _import_figure():
    """Errors: MissingPackageError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackageError("plot", "matplotlib is not installed",
                                  hint="pip install 'minicaffe[plot]'") from None
    return Figure


def _figure(runs: Mapping[str, Curves]):
    """A matplotlib figure: a panel for each kind of number, with one axis of iterations."""
    Figure = _import_figure()
    panels = [panel for panel in PANELS if any(curves.get(panel) for curves in runs.values())]
    if not panels:
        raise ParameterError("plot", "events with numbers to draw", "none",
                             "a training writes the first at its first display.")
    heights = [0.45 if panel == "learning rate" else 1 for panel in panels]
    figure = Figure(figsize=(8, 2.9 * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for panel, ax in zip(panels, axes):
        _panel(ax, panel, runs)
    axes[-1].set_xlabel("iteration")
    return figure


def _panel(ax, panel: str, runs: Mapping[str, Curves]) -> None:
    """One panel: test curves with dots at their tests and a star at the best, those of the
    training thin below them; the legend above it."""
    for run, curves, colour in zip(runs, runs.values(), itertools.cycle(COLOURS)):
        before = Counter()  # curves of the same part
        for name, curve in sorted(curves.get(panel, {}).items()):
            part = name.split()[0]
            style = _style(part, len(curve) == 1, before[part], several=len(runs) > 1)
            before[part] += 1
            style["color"] = colour if len(runs) > 1 else PARTS.get(part, COLOURS[-1])
            best = _best(panel, part, curve)
            ax.plot(list(curve), list(curve.values()), **style,
                    label=_label(run, panel, name, curve, best))
            if best is not None:
                ax.plot([best], [curve[best]], marker="*", markersize=12, color=style["color"],
                        markeredgecolor="white", zorder=3)
    _scale(ax, panel, [value for curves in runs.values() for curve in curves.get(panel, {}).values()
                       for value in curve.values()])
    ax.set_ylabel(panel)
    ax.grid(True, which="major", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if panel != "learning rate":
        longest = max((len(line.get_label()) for line in ax.lines), default=1)
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1),
                  borderaxespad=0.2, ncols=max(1, LEGEND // (longest + 6)))


def _style(part: str, is_dot: bool, number: int, several: bool) -> dict:
    """How a curve is drawn, but for its colour: the ``number``-th of its part in a panel."""
    tested = part not in ("train", "learning")
    style = {"linewidth": 1.8} if tested else {"linewidth": 1.1, "alpha": 0.75}
    if tested or is_dot:
        style.update(marker="o", markersize=3)
    if several:  # the parts of a training are of one colour
        number += {"train": 1, "validation": 2}.get(part, 0)
    return {**style, "linestyle": DASHES[number % len(DASHES)]}


def _best(panel: str, part: str, curve: Mapping[int, float]) -> int | None:
    """The first iteration at which a test was best; None for what is no loss or accuracy of one."""
    finite = [k for k, value in curve.items() if math.isfinite(value)]
    if part == "train" or len(finite) < 2 or panel not in PANELS[:2]:
        return None
    return (max if panel == "accuracy" else min)(finite, key=curve.get)


def _label(run: str, panel: str, name: str, curve: Mapping[int, float], best: int | None) -> str:
    """What the legend says of a curve: its last value, and the best where that is another."""
    def told(iteration: int) -> str:
        value = curve[iteration]
        return f"{100 * value:.2f} %" if panel == "accuracy" else f"{value:.4g}"
    last = max(curve)
    label = f"{run}: {name} {told(last)}".removeprefix(": ").replace("$", r"\$")  # no mathematics
    if best is not None and curve[best] != curve[last]:
        label += f", best {told(best)} at {best}"
    return f" {label}" if label.startswith("_") else label  # which matplotlib would hide


def _scale(ax, panel: str, values: list[float]) -> None:
    """Logarithmic for rates, and for losses that fall far; per cent for accuracies."""
    positive = [value for value in values if 0 < value < math.inf]
    if panel == "accuracy":
        from matplotlib.ticker import PercentFormatter
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        learnt = [value for value in values if value > 0.5]  # an untrained net would hide the rest
        if learnt and min(learnt) > 0.9 > min(values):
            ax.set_ylim(min(learnt) - 0.003, max(learnt) + 0.003)
    elif positive and (panel == "learning rate"
                       or panel == "loss" and max(positive) > 30 * min(positive)):
        ax.set_yscale("log")
