import io

import pytest

from vision.train import progress
from vision.train.progress import (
    BarReporter,
    LineReporter,
    format_seconds,
    is_quiet,
    make_reporter,
    quiet,
    track,
)

FIGURES = {"loss": 4.51234, "codebook_usage": 0.631, "codebook_perplexity": 80.0}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when it is told to."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_lines_come_about_every_ten_seconds_and_once_at_the_end(clock):
    stream = io.StringIO()
    reporter = make_reporter("tokenizer", total=100, start=0, stream=stream)
    assert isinstance(reporter, LineReporter)
    for step in range(1, 26):
        clock.now += 1.0
        reporter.show(step, FIGURES)
    reporter.close()
    lines = stream.getvalue().splitlines()
    assert lines == [
        "tokenizer  10/100  10%  1 it/s  1:30 left  loss 4.512  codebook usage 63%",
        "tokenizer  20/100  20%  1 it/s  1:20 left  loss 4.512  codebook usage 63%",
        "tokenizer  25/100  25%  1 it/s  1:15 left  loss 4.512  codebook usage 63%",
    ]


def test_nothing_is_said_of_a_run_that_did_nothing(clock):
    stream = io.StringIO()
    make_reporter("x", total=10, start=10, stream=stream).close()
    assert stream.getvalue() == ""


def test_speed_is_that_of_the_last_half_minute(clock):
    stream = io.StringIO()
    reporter = LineReporter("x", 10_000, 0, stream)
    for step in range(1, 101):  # a slow start
        clock.now += 1.0
        reporter.show(step, {})
    for step in range(101, 601):
        clock.now += 0.1
        reporter.show(step, {})
    assert "10 it/s" in stream.getvalue().splitlines()[-1]


def test_speed_of_a_resumed_run_does_not_count_the_steps_before(clock):
    stream = io.StringIO()
    reporter = LineReporter("x", 1000, 500, stream)
    clock.now += 10.0
    reporter.show(520, {})
    assert "2 it/s  4:00 left" in stream.getvalue()


def test_terminal_gets_a_bar_with_the_same_figures(clock):
    stream = Terminal()
    reporter = make_reporter("ibot", total=100, start=0, stream=stream)
    assert isinstance(reporter, BarReporter)
    clock.now += 10.0
    reporter.show(50, FIGURES)
    reporter.close()
    text = stream.getvalue()
    for part in ("ibot", "50/100", "0:10 left", "5 it/s", "loss 4.512", "codebook usage 63%"):
        assert part in text


def test_bar_is_not_redrawn_after_every_step(clock):
    stream = Terminal()
    reporter = BarReporter("x", 100, 0, stream)
    reporter.show(1, {})
    length = len(stream.getvalue())
    reporter.show(2, {})
    assert len(stream.getvalue()) == length


def test_where_it_is_quiet_nothing_is_shown(clock, capsys):
    def work():
        for _ in track(range(5), "codes"):
            clock.now += 9.0

    with quiet():
        work()
        assert is_quiet()
    assert capsys.readouterr().err == ""
    work()
    assert "codes  5/5  100%" in capsys.readouterr().err


def test_times_read_as_minutes_or_hours():
    assert format_seconds(5.4) == "0:05"
    assert format_seconds(75) == "1:15"
    assert format_seconds(3675) == "1:01:15"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_warning_stands_beside_what_is_shown(stream):
    reporter = make_reporter("ibot", total=100, start=0, stream=stream)
    reporter.warn("warning at step 20: [all] alike")
    reporter.close()
    assert "ibot  warning at step 20: [all] alike" in " ".join(stream.getvalue().split("\n"))
