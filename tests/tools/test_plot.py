"""``minicaffe plot``: what is read from logs, which curves they give, and the files drawn."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import cli
from minicaffe.errors import FileFormatError, MinicaffeError, ParameterError
from minicaffe.tools.plot import curves_of, draw, read_log

TRAIN = {"event": "train", "iteration": 0, "loss": 2.5, "lr": 0.1, "seconds": 0.5,
         "images_per_second": 300.0}
TEST = {"event": "test", "iteration": 0, "net": 0, "loss": 2.4, "accuracy": 0.1, "seconds": 0.4}
EVENTS = [TEST, TRAIN, {**TRAIN, "iteration": 20, "loss": 0.5},
          {"event": "snapshot", "iteration": 20, "file": "x"},
          {**TEST, "iteration": 20, "accuracy": 0.9, "loss": 0.6}]


@pytest.fixture
def plot(tmp_path, monkeypatch, capsys):
    """Runs ``minicaffe plot`` in an empty folder; returns (status, its lines, what went wrong)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.main(["plot", *arguments])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err
    return run


def write_log(path, events=EVENTS, end=""):
    Path(path).write_text("".join(json.dumps(event) + "\n" for event in events) + end)


# ------------------------------------------------------------------------------------------ curves

def test_losses_accuracies_and_rates_have_panels_of_their_own():
    assert curves_of(EVENTS) == {
        "loss": {"test loss": {0: 2.4, 20: 0.6}, "train loss": {0: 2.5, 20: 0.5}},
        "accuracy": {"test accuracy": {0: 0.1, 20: 0.9}},
        "learning rate": {"learning rate": {0: 0.1, 20: 0.1}}}


def test_outputs_are_told_apart_by_their_names_and_nets():
    event = {"event": "test", "iteration": 3, "net": 1, "test_loss": 1.0, "accuracy_top5": 0.5,
             "overlap": 0.3, "prob[0]": 0.1, "note": "x"}
    assert curves_of([event]) == {"loss": {"test loss of net 1": {3: 1.0}},
                                  "accuracy": {"test accuracy_top5 of net 1": {3: 0.5}},
                                  "test output": {"test overlap of net 1": {3: 0.3}}}


def test_where_iterations_begin_anew_the_later_ones_count():
    at = [{**TRAIN, "iteration": k, "loss": float(k)} for k in (0, 10, 20, 30)]
    again = [{**TEST, "iteration": 20}, {**TRAIN, "iteration": 20, "loss": 7.0}]
    curves = curves_of([*at, *again])
    assert curves["loss"]["train loss"] == {0: 0.0, 10: 10.0, 20: 7.0}
    assert curves_of([*at, {**TEST, "iteration": 0}]).keys() == {"loss", "accuracy"}


# -------------------------------------------------------------------------------------------- logs

def test_a_log_is_read_without_what_a_kill_left_of_its_last_line(tmp_path):
    log = tmp_path / "log.jsonl"
    write_log(log, end='{"event": "tra')
    assert read_log(log) == EVENTS
    write_log(log, end='\n{"event": "tra\n\n')
    assert read_log(log) == EVENTS


@pytest.mark.parametrize("text, where, got", [
    (b"Iteration 20, loss = 3\n", "log.txt:1", "'Iteration 20, loss = 3'"),
    (b'{"event": "tra', "log.txt:1", "'{\"event\": \"tra'"),
    (json.dumps(TRAIN).encode() + b"\n\nfoo\n" + json.dumps(TEST).encode(), "log.txt:3", "'foo'"),
    (b"[1]\n", "log.txt:1", "'[1]'"),
    (b'{"event": "train"}\n', "log.txt:1", "'{\"event\": \"train\"}'"),
    (b'{"event": "train", "iteration": "a"}', "log.txt:1", ""),
    (b"\x89PNG\xff\n", "log.txt:1", "'\ufffdPNG\ufffd'")])
def test_what_is_no_log_is_told_with_its_line(tmp_path, text, where, got):
    (tmp_path / "log.txt").write_bytes(text)
    with pytest.raises(FileFormatError) as caught:
        read_log(tmp_path / "log.txt")
    assert f'{where}: expected an event of a training, such as {{"event": "train", "iteration": ' \
           f"0, ...}}, got {got}" in str(caught.value)


# ----------------------------------------------------------------------------------------- drawing

@pytest.mark.parametrize("kind, begins", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_curves_are_drawn_in_three_formats(tmp_path, kind, begins):
    pytest.importorskip("matplotlib")
    draw(EVENTS, tmp_path / f"curves.{kind}")
    assert (tmp_path / f"curves.{kind}").read_bytes().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [f"curves.{kind}"]


def texts_of(path):
    """The words of an SVG, which matplotlib draws as shapes and names in comments."""
    return [line.strip()[5:-4] for line in path.read_text().splitlines()
            if line.strip().startswith("<!-- ")]


def test_the_drawing_has_the_panels_that_there_are_numbers_for(tmp_path):
    pytest.importorskip("matplotlib")
    draw(EVENTS, tmp_path / "all.svg")
    texts = texts_of(tmp_path / "all.svg")
    for text in ("loss", "accuracy", "learning rate", "iteration", "train loss 0.5",
                 "test loss 0.6", "test accuracy 90.00 %"):
        assert text in texts
    draw([TRAIN], tmp_path / "train.svg")
    texts = texts_of(tmp_path / "train.svg")
    assert "loss" in texts and "accuracy" not in texts


def test_losses_that_fall_far_and_rates_are_drawn_to_a_logarithmic_scale(tmp_path):
    pytest.importorskip("matplotlib")
    from minicaffe.tools.plot import _figure

    def scales(last):
        events = [TRAIN, {**TRAIN, "iteration": 20, "loss": last, "lr": 0.0}]
        return [ax.get_yscale() for ax in _figure({"": curves_of(events)}).axes]
    assert scales(0.001) == ["log", "log"] and scales(1.0) == ["linear", "log"]


def colours(events, *more):
    """{label up to its number: colour} of the curves of the drawing of one training, or several."""
    from minicaffe.tools.plot import _figure
    figure = _figure({str(k) if more else "": curves_of(each)
                      for k, each in enumerate((events, *more))})
    return {re.sub(r" [0-9.]+( %)?$", "", line.get_label()): line.get_color()
            for ax in figure.axes for line in ax.lines if not line.get_label().startswith("_")}


def test_a_curve_has_the_same_colour_whichever_others_are_there():
    pytest.importorskip("matplotlib")
    all_of_them = colours([TEST, {**TEST, "part": "validation"}, TRAIN])
    assert len({all_of_them[f"{part} loss"] for part in ("train", "test", "validation")}) == 3
    assert all_of_them["test loss"] == all_of_them["test accuracy"]
    for events in ([TRAIN], [TEST], [TEST, TRAIN], [{**TEST, "part": "validation"}, TEST]):
        for label, colour in colours(events).items():
            assert colour == all_of_them[label]
    two, three = colours([TEST], [TEST]), colours([TEST], [TEST], [TEST])
    assert two["0: test loss"] != two["1: test loss"]
    assert two.items() <= three.items()


def test_the_best_test_is_marked_and_told():
    pytest.importorskip("matplotlib")
    from minicaffe.tools.plot import _figure
    events = [{**TEST, "iteration": k, "accuracy": a, "loss": loss} for k, a, loss in (
        (0, 0.1, 2.0), (10, 0.8, 0.5), (20, 0.75, 0.6), (30, 0.8, float("nan")))]
    loss, accuracy = _figure({"": curves_of([TRAIN, *events, {**TRAIN, "iteration": 30}])}).axes[:2]
    stars = [[(*line.get_xdata(), *line.get_ydata()) for line in ax.lines
              if line.get_marker() == "*"] for ax in (loss, accuracy)]
    assert stars == [[(10, 0.5)], [(10, 0.8)]]
    assert "test loss nan, best 0.5 at 10" in [line.get_label() for line in loss.lines]
    assert "test accuracy 80.00 %" in [line.get_label() for line in accuracy.lines]


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_the_legend_lies_on_no_curve(runs):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from minicaffe.tools.plot import _figure
    events = [{**kind, "iteration": k, "loss": 1.0, "accuracy": 1.0, "lr": 0.1, "part": part}
              for k in (0, 50) for kind, part in ((TRAIN, "train"), (TEST, "test"))]
    figure = _figure({f"a training of a long name {k}" * (runs > 1): curves_of(events)
                      for k in range(runs)})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [ax.get_window_extent(renderer) for ax in figure.axes]
    for ax in figure.axes[:2]:
        legend = ax.get_legend().get_window_extent(renderer)
        assert not any(legend.y0 < box.y1 - 1 and legend.y1 > box.y0 + 1 for box in boxes)
        assert 0 <= legend.x0 and legend.x1 <= figure.bbox.x1 and legend.y1 <= figure.bbox.y1


def test_without_numbers_nothing_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ParameterError, match="plot: expected events with numbers to draw, got "
                                             "none. Hint: a training writes the first"):
        draw([{"event": "snapshot", "iteration": 3}], tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")

    def full(self, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    (tmp_path / "x.png").write_bytes(b"old")
    monkeypatch.setattr(figure.Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        draw(EVENTS, tmp_path / "x.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.png", b"old")]


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="plot: expected a file name that ends in png, svg, "
                                             "pdf, got '.*x.gif'"):
        draw(EVENTS, tmp_path / "x.gif")


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MinicaffeError) as caught:
        draw(EVENTS, tmp_path / "x.png")
    assert str(caught.value) == ("plot: matplotlib is not installed. "
                                 "Hint: pip install 'minicaffe[plot]'")


def test_drawing_leaves_the_state_of_pyplot_alone(tmp_path):
    pytest.importorskip("matplotlib")
    code = ("import sys; from minicaffe.tools.plot import draw\n"
            f"draw([{TRAIN!r}], 'x.png'); print('matplotlib.pyplot' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.strip() == "False", done.stderr


# ------------------------------------------------------------------------------------- the command

def test_one_log_is_drawn_beside_itself(plot):
    pytest.importorskip("matplotlib")
    write_log("mine.jsonl")
    assert plot("mine.jsonl") == (0, ["mine.png"], "")
    assert Path("mine.png").is_file()


@pytest.mark.parametrize("arguments, names", [
    ((), ("one", "two")), (("--names", "16 filters,32 filters"), ("16 filters", "32 filters"))])
def test_several_logs_are_compared_by_name(plot, arguments, names):
    pytest.importorskip("matplotlib")
    write_log("one.jsonl")
    write_log("two.jsonl", EVENTS[:2])
    assert plot("one.jsonl", "two.jsonl", "-o", "both.svg", *arguments)[0] == 0
    texts = texts_of(Path("both.svg"))
    assert f"{names[0]}: test loss 0.6" in texts and f"{names[1]}: test loss 2.4" in texts


@pytest.mark.parametrize("arguments, message", [
    (["log.jsnl"], "MissingFileError: log.jsnl: no such file. Hint: did you mean 'log.jsonl'?"),
    (["log.jsonl", "--names", "a,b"], "ParameterError: --names: expected 1 different names, one "
                                      "for each log, got a, b"),
    (["log.jsonl", "log.jsonl", "--names", "a,a"], "ParameterError: --names: expected 2 different"),
    (["log.jsonl", "log.jsonl"], "ParameterError: --names: expected 2 different names"),
    (["log.jsonl", "-o", "none/x.png"], "ParameterError: plot: expected a file in a folder that is "
     "there, got 'none/x.png', and there is no folder 'none'. Hint: mkdir -p none makes it.")])
def test_mistakes_are_told_in_one_line(plot, arguments, message):
    pytest.importorskip("matplotlib")
    write_log("log.jsonl")
    status, lines, said = plot(*arguments)
    assert status == 2 and lines == [] and said.startswith(message) and said.count("\n") == 1


def test_the_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        cli.main(["plot", "--help"])
    assert "minicaffe plot training.jsonl -o training.svg" in capsys.readouterr().out
