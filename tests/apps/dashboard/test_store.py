"""Marks: kept, shared between readers, safe from a kill."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fintok import InputError
from fintok_dashboard.store import MARKS, MAX_NOTE, Mark, Store

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
    said = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    assert store.data_errors().rows() == [CELL]
    assert all("WHERE" in statement for statement in said)  # browsers ask every two seconds: not for all marks


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


@pytest.mark.parametrize("cell", [("2020-03-16", "AA\0PL"), ("2020\0", "AAPL"), CELL])
def test_a_nul_character_is_refused_as_not_every_database_keeps_it(store, cell):
    with pytest.raises(InputError, match="NUL character"):
        store.mark([cell], verdict="news", note="a split\0" if cell == CELL else None)
    assert store.marks() == []


def test_marks_are_written_in_the_sql_of_any_database(store):
    """MySQL and the others know neither of the upserts of SQLite and PostgreSQL."""
    said = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    store.mark([CELL, ("2020-03-17", "MSFT"), CELL], verdict="news")
    store.mark([CELL, ("2020-03-18", "MSFT")], note="a split")
    assert [mark.note for mark in store.marks()] == ["a split", "", "a split"]
    assert not any("CONFLICT" in statement.upper() for statement in said)


def test_two_who_mark_the_same_alerts_at_once_both_succeed(tmp_path):
    """Each writer has a connection of its own; none fails, none marks half of its alerts, no mark is lost."""
    cells = [(f"2020-01-{day:02d}", "AAPL") for day in range(1, 29)]
    stores = [Store.beside(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(lambda own: own.mark(cells, verdict="news"), stores))
        list(pool.map(lambda own: own.mark(cells[::-1], note="all"), stores))
    assert {mark[2:] for mark in stores[0].marks()} == {("news", "all")}
    assert stores[0].revision() == 2 * len(stores) * len(cells)


def test_a_mark_that_somebody_else_has_just_made_is_renewed(store, monkeypatch):
    """The insert meets the other's row, the transaction is undone, and the second attempt updates it."""
    write, calls = Store._write, []

    def late(self, alerts, changes):
        calls.append(alerts)
        if len(calls) == 1:
            write(self, alerts, {"verdict": "noise"})
            with self.engine.begin() as connection:
                connection.execute(MARKS.insert().values(dict.fromkeys(MARKS.c.keys(), CELL[0]) | {"symbol": CELL[1]}))
        write(self, alerts, changes)

    monkeypatch.setattr(Store, "_write", late)
    store.mark([CELL], note="a split")
    assert len(calls) == 2
    assert store.marks() == [Mark(*CELL, "noise", "a split")]


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
