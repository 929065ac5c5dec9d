"""The progress bar of a training: what fits the terminal, the most telling first."""

from __future__ import annotations

import sys

from tqdm import tqdm

BAR = 12  # columns that a bar is worth showing with, its ends and the blank after it among them


class Bar(tqdm):
    """A bar of iterations with numbers, as many of them as the terminal has columns for.

    From 60 columns on there are the share that is done, the time left, the loss, the accuracy and
    the images a second; the bar, the iterations and the other numbers come where there is room.

    Args:
        total: iterations.  initial: those done before.

    Nothing is shown where standard error is no terminal.
    """

    def __init__(self, total: int, initial: int = 0):
        self._numbers: dict[str, float] = {}
        super().__init__(total=total, initial=initial, unit="it", dynamic_ncols=True,
                         mininterval=0.2, disable=not sys.stderr.isatty())

    def show_numbers(self, numbers: dict[str, float]) -> None:
        """Show these from the next time on, in the place of earlier ones of their names."""
        self._numbers.update(numbers)

    def __str__(self) -> str:
        state = self.format_dict
        columns = state["ncols"] or 80  # 0 where the terminal does not tell
        return self.format_meter(**{**state, "ncols": columns,
                                    "bar_format": layout(columns, state, self._numbers)})


def layout(columns: int, state: dict, numbers: dict[str, float]) -> str:
    """What ``bar_format`` of tqdm is to be, so that a line of ``columns`` is not cut.

    Args:
        state: tqdm's ``format_dict``: n, total, elapsed, initial, rate.
        numbers: by name, those of ``images_per_second``, of losses and accuracies among them.
    """
    n, total = state["n"], state["total"]
    share, count = f"{100 * n // max(total, 1):3d}%", f"{n}/{total}"
    told = {name: _told(name, value) for name, value in numbers.items()}
    first = [_first(numbers, "loss"), _first(numbers, "accuracy"), "images_per_second"]
    first = [name for name in first if name in told]
    texts = [_left(state), *(told[name] for name in first)]
    others = [text for name, text in told.items() if name not in first]

    def fits(*parts: str, bar: bool = True) -> bool:
        return len(" ".join([share, *parts])) + BAR * bar <= columns
    if not fits(*texts):
        while len(texts) > 1 and not fits(*texts, bar=False):
            texts.pop()
        return _escaped(" ".join([share, *texts]))
    for text in [count, *others]:
        if fits(*texts, text):
            texts.insert(0, text) if text is count else texts.append(text)
    return f"{share} |{{bar}}| {_escaped(' '.join(texts))}"


def _first(numbers: dict[str, float], kind: str) -> str | None:
    """The name of the first number of a kind: of losses that of the training, if there is one."""
    names = [name for name in numbers if kind in name]
    return min(names, key=lambda name: name.startswith(("test_", "validation_")), default=None)


def _told(name: str, value: float) -> str:
    if name == "images_per_second":
        return f"{value:.0f} images/s"
    if name == "lr":
        return f"lr {value:.4g}"
    if "accuracy" in name:  # of the training there is none
        name = name.removeprefix("test_").removeprefix("validation_")
    size = ".1e" if 0 < abs(value) < 0.001 else ".4f" if abs(value) < 10 else ".4g"
    return f"{name} {value:{size}}"


def _left(state: dict) -> str:
    """The time that the rest takes at the present rate."""
    done = state["n"] - state["initial"]
    rate = state["rate"] or (done / state["elapsed"] if done and state["elapsed"] else 0)
    if not rate:
        return "?:?? left"
    return f"{tqdm.format_interval((state['total'] - state['n']) / rate)} left"


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
