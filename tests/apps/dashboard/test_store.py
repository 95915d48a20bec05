"""Marks: kept, shared between readers, safe from a kill."""

import subprocess
import sys

import pytest

from fintok import InputError
from fintok_dashboard.store import MAX_NOTE, Mark, Store

CELL = ("2020-03-16", "AAPL")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.beside(tmp_path / "store")


def test_a_mark_is_seen_by_another_reader_of_the_file(store, tmp_path):
    other = Store.beside(tmp_path / "store")
    before = other.revision()
    store.mark([CELL, ("2020-03-17", "MSFT")], verdict="news")
    assert other.marks() == [Mark(*CELL, "news", ""), Mark("2020-03-17", "MSFT", "news", "")]
    assert other.revision() > before


def test_verdict_and_note_are_changed_apart(store):
    store.mark([CELL], note="a split")
    store.mark([CELL], verdict="data error")
    assert store.marks() == [Mark(*CELL, "data error", "a split")]
    store.mark([CELL], note="")
    assert store.marks() == [Mark(*CELL, "data error", "")]


def test_only_data_errors_are_left_out_of_the_calibration(store):
    store.mark([CELL], verdict="data error")
    store.mark([("2020-03-17", "MSFT")], verdict="noise")
    assert store.data_errors().rows() == [CELL]


def test_hostile_texts_come_back_as_they_are(store):
    texts = ("'; DROP TABLE marks; --", "<script>alert(1)</script>")
    store.mark([("2020-01-01", texts[1])], note=texts[0])
    assert store.marks() == [Mark("2020-01-01", texts[1], "open", texts[0])]


def test_what_is_no_mark_is_refused(store):
    with pytest.raises(InputError, match="'maybe' is no verdict; choose from open"):
        store.mark([CELL], verdict="maybe")
    with pytest.raises(InputError, match="2,000 are the most"):
        store.mark([CELL], note="x" * (MAX_NOTE + 1))
    assert store.marks() == []


@pytest.mark.parametrize("url", ["nonsense", "nonsense://x", "sqlite:////nowhere/at/all/marks.sqlite"])
def test_a_database_that_cannot_be_had_is_refused_in_a_sentence(url):
    with pytest.raises(InputError, match="store"):
        Store.open(url)


def test_what_was_marked_survives_a_kill(tmp_path, root):
    """A process marks one alert after another and is killed; all it said were stored are there."""
    code = (
        "import sys; from pathlib import Path; from fintok_dashboard.store import Store\n"
        "store = Store.beside(Path(sys.argv[1]))\n"
        "for k in range(100000):\n"
        "    store.mark([(f'{k:06d}', 'A')], verdict='news')\n"
        "    print(k, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {"PYTHONPATH": f"{root}:{root / 'apps' / 'dashboard'}", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(5)]
        process.kill()
        said += process.stdout.read().split()
    marks = Store.beside(tmp_path).marks()
    assert len(said) >= 5
    assert len(marks) >= len(said)
    assert {mark.verdict for mark in marks} == {"news"}
