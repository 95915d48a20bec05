"""Readings on disk: kept, opened again, whole or not at all, and never in the way of what is shown."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

from fintok.files import write_table
from fintok_dashboard.archive import open_reading, save_reading
from tests.apps.dashboard.fake_desk import make_desk, market


def test_a_reading_kept_is_the_reading(reading, tmp_path):
    save_reading(reading, tmp_path, "one")
    again = open_reading(tmp_path, "one", reading.panel, {})
    for name in ("score", "p_value", "reason_codes", "expected"):
        np.testing.assert_array_equal(getattr(again.scores, name), getattr(reading.scores, name))
    date, symbol = reading.panel.dates[-1], reading.panel.assets[0]
    for name in ("statistics", "days"):
        one, other = (getattr(scores.attribution(date, symbol), name) for scores in (again.scores, reading.scores))
        assert one.equals(other)
    assert list(again.regimes) == list(reading.regimes)
    np.testing.assert_array_equal(again.regimes[3].labels, reading.regimes[3].labels)
    assert again.regimes[3].names == reading.regimes[3].names
    np.testing.assert_array_equal(again.tokens.codes, reading.tokens.codes)
    assert again.findings.equals(reading.findings)


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, b"\x80\x04pickle", b"PK\x03\x04", b"[]", b'{"regimes": {}}'])
@pytest.mark.parametrize("kind", ["*.npy", "*.parquet", "*.json"])
def test_a_damaged_reading_counts_as_none(reading, tmp_path, kind, damage):
    save_reading(reading, tmp_path, "one")
    for file in (tmp_path / "one").glob(kind):
        file.write_bytes(damage)
    assert open_reading(tmp_path, "one", reading.panel, {}) is None
    assert open_reading(tmp_path, "two", reading.panel, {}) is None


def test_a_damaged_cache_is_read_anew(tmp_path, capsys):
    panel = market(500, 4)
    make_desk(tmp_path, panel).read()
    for file in (tmp_path / "cache").rglob("*.*"):
        file.write_bytes(b"")
    second = make_desk(tmp_path, panel)
    second.read()
    assert second.reading is not None, second.problem
    assert "reading all dates anew" in capsys.readouterr().err
    third = make_desk(tmp_path, panel)
    third.read()
    assert third.fake is None


@pytest.mark.parametrize("blocked", ["cache", "disk"])
def test_a_cache_that_cannot_be_written_costs_no_reading(tmp_path, capsys, monkeypatch, blocked):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if blocked == "cache":
        (tmp_path / "cache").write_text("a file, no folder")
    else:
        monkeypatch.setattr("os.fsync", full)
    desk = make_desk(tmp_path, market(400, 4))
    desk.read()
    assert desk.reading is not None
    assert desk.problem == ""
    said = capsys.readouterr().err
    assert "what the network read is not kept" in said
    assert "the reading is not kept" in said
    assert not list((tmp_path / "cache").glob("*"))


def test_two_who_write_readings_at_once_both_succeed(tmp_path):
    tables = [pl.DataFrame({"x": np.full(200_000, k)}) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda table: write_table(table, tmp_path / "readings.parquet", overwrite=True), tables * 5))
    assert pl.read_parquet(tmp_path / "readings.parquet")["x"].n_unique() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["readings.parquet"]


def test_what_is_kept_is_on_the_disk_before_it_has_its_name(reading, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append(os.fstat(number).st_ino))
    save_reading(reading, tmp_path, "one")
    assert sorted(synced) == sorted(path.stat().st_ino for path in (tmp_path / "one").iterdir())


def test_the_second_start_needs_no_model(tmp_path):
    panel = market(500, 4)
    make_desk(tmp_path, panel).read()
    second = make_desk(tmp_path, panel)
    second.read()
    assert second.reading is not None
    assert second.fake is None
