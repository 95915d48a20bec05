"""How a run shows where it stands: a bar on a terminal, a line about every ten seconds elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Item = TypeVar("Item")
SILENT_SECONDS = 2.0  # of a reading; a training run shows itself at once
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_REDRAWS = 0.1
SPEED_WINDOW = 30.0  # seconds over which the speed is averaged


_IS_QUIET = ContextVar("_IS_QUIET", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress on stderr within: of training, of readings, of an evaluation. Warnings and errors stay."""
    token = _IS_QUIET.set(True)
    try:
        yield
    finally:
        _IS_QUIET.reset(token)


def is_quiet() -> bool:
    """Whether progress is to be left out here."""
    return _IS_QUIET.get()


class Reporter(Protocol):
    """Shows a run to whoever waits for it."""

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        """``step`` updates are made, ``figures`` are the latest known. Cheap: called after every step."""

    def warn(self, text: str) -> None:
        """Say something that is not to be missed, beside what is shown."""

    def close(self) -> None:
        """The run has ended, whichever way."""


def make_reporter(name: str, total: int, start: int, stream: TextIO | None = None) -> Reporter:
    """The reporter that suits a stream (default: stderr): a bar if it is a terminal, lines otherwise.

    Parameters
    ----------
    name : of the stage, shown in front.
    total, start : steps of the whole run, and those already made.
    """
    target = stream or sys.stderr
    return (BarReporter if target.isatty() else LineReporter)(name, total, start, target)


class Speed:
    """Steps per second over the last half minute, and the time that is left."""

    def __init__(self, total: int, start: int) -> None:
        self.total, self._marks = total, deque([(time.monotonic(), start)])

    def update(self, step: int) -> tuple[float, str]:
        """(steps per second, time left as text)."""
        now = time.monotonic()
        while len(self._marks) > 1 and now - self._marks[0][0] > SPEED_WINDOW:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (step - before) / max(now - then, 1e-9)
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, step))
        return rate, format_seconds((self.total - step) / rate) if rate > 0 else "?"


class LineReporter:
    """One plain line about every ten seconds, and one at the end: readable in a log file."""

    def __init__(self, name: str, total: int, start: int, stream: TextIO) -> None:
        self.name, self.total, self.stream = name, total, stream
        self._speed, self._step, self._last = Speed(total, start), start, time.monotonic()
        self._figures: Mapping[str, float] = {}
        self._shown = start

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        self._step, self._figures = step, figures
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._write()

    def warn(self, text: str) -> None:
        print(f"{self.name}  {text}", file=self.stream, flush=True)

    def close(self) -> None:
        if self._step > self._shown:
            self._write()

    def _write(self) -> None:
        self._last, self._shown = time.monotonic(), self._step
        rate, left = self._speed.update(self._step)
        done = f"{self._step}/{self.total}  {self._step / self.total:.0%}"
        text = "  ".join([self.name, done, f"{rate:.3g} it/s", f"{left} left", *describe(self._figures)])
        print(text, file=self.stream, flush=True)


class BarReporter:
    """A rich progress bar with stage, steps, time left, speed, loss and codebook usage."""

    def __init__(self, name: str, total: int, start: int, stream: TextIO) -> None:
        self._speed, self._last = Speed(total, start), 0.0
        console = Console(file=stream)
        self._name, self._total = name, total
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24 if console.width >= 100 else 8),  # the figures come first
            TextColumn("{task.fields[figures]}"),
            console=console,
            auto_refresh=False,  # redrawn below, so that no thread competes with the training
        )
        self._task = self._progress.add_task(name, total=total, completed=start, figures="")
        self._latest: tuple[int, Mapping[str, float]] = (start, {})
        self._progress.start()

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        self._latest = (step, figures)
        if time.monotonic() - self._last >= SECONDS_BETWEEN_REDRAWS:
            self._draw()

    def warn(self, text: str) -> None:
        self._progress.console.print(f"{self._name}  {text}", style="yellow", markup=False, highlight=False)

    def close(self) -> None:
        self._draw()
        self._progress.stop()

    def _draw(self) -> None:
        self._last = time.monotonic()
        step, figures = self._latest
        rate, left = self._speed.update(step)
        text = "  ".join([f"{step}/{self._total}", f"{left} left", f"{rate:.3g} it/s", *describe(figures)])
        self._progress.update(self._task, completed=step, figures=text, refresh=True)


def describe(figures: Mapping[str, float]) -> list[str]:
    """The loss, and every figure that is a usage, as short texts."""
    texts = [f"loss {figures['loss']:.4g}"] if "loss" in figures else []
    usages = [(name, value) for name, value in figures.items() if name.endswith("usage")]
    return texts + [f"{name.replace('_', ' ')} {value:.0%}" for name, value in usages]


def format_seconds(seconds: float) -> str:
    """``75 -> "1:15"``, ``3675 -> "1:01:15"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Iterate; from the third second on, a bar on a terminal and a line about every ten seconds elsewhere, unless
    it is `quiet`."""
    began, reporter = time.monotonic(), None
    try:
        for step, item in enumerate(items):
            yield item
            if reporter is None and not is_quiet() and time.monotonic() - began > SILENT_SECONDS:
                reporter: Reporter | None = make_reporter(description, len(items), step)
            if reporter is not None:
                reporter.show(step + 1, {})
    finally:
        if reporter is not None:
            reporter.close()
