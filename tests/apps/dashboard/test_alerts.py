"""Alerts at any rate are those of the library at that rate."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok import AnomalyScorer
from fintok_dashboard.alerts import WINDOW_DAYS, AlarmBook
from fintok_dashboard.ledger import alert_table, as_csv, as_parquet, strangest
from fintok_dashboard.view import View
from tests.apps.dashboard.fake_desk import FakeModel, make_desk, market


@pytest.mark.parametrize("rate", [0.5, 1.0, 5.0, 40.0])
def test_alerts_and_reasons_are_those_of_the_scorer_at_that_rate(desk, rate):
    panel = desk.reading.panel
    expected = AnomalyScorer(desk.bundle(), alarms_per_1000=rate).fit(panel).score(panel)
    alerts = desk.reading.alarms.at(rate)
    assert len(alerts.row) > 0
    np.testing.assert_array_equal(np.nonzero(expected.alert), (alerts.row, alerts.asset))
    np.testing.assert_array_equal(expected.is_alarm[alerts.row, alerts.asset], alerts.is_alarm)
    reasons = np.array(expected.reasons, dtype=object)[expected.reason_codes[alerts.row, alerts.asset]]
    np.testing.assert_array_equal(alerts.reason, reasons)


def test_known_errors_move_neither_level_nor_threshold(desk):
    panel = desk.reading.panel
    row, asset = np.unravel_index(np.nanargmax(desk.reading.scores.score), panel.returns.shape)
    errors = pl.DataFrame({"date": [str(panel.dates[row])[:10]], "symbol": [panel.assets[asset]]})
    left_out = np.zeros(panel.returns.shape, dtype=bool)
    left_out[row, asset] = True
    scorer = AnomalyScorer(desk.bundle(), alarms_per_1000=2.0).fit(panel, errors=errors)
    expected = scorer.score(panel, errors=errors)
    book = AlarmBook(expected, left_out)
    np.testing.assert_array_equal(np.nonzero(expected.alert), book.at(2.0)[:2])
    assert np.nanmax(book.thresholds(2.0)[row + 1 :]) < np.nanmax(desk.reading.alarms.thresholds(2.0)[row + 1 :])


def test_a_score_alarms_when_it_passes_the_threshold(reading):
    scores, found = reading.scores, reading.alarms.thresholds(5.0)
    thresholds = np.nan_to_num(found, nan=np.inf)
    alarms = scores.p_value <= reading.alarms.levels(5.0)[:, None]
    known = np.isfinite(scores.p_value)
    above = scores.score >= thresholds[:, None]
    near = np.abs(scores.score - thresholds[:, None]) < 0.011  # the histogram's step
    assert np.isfinite(found[known.any(axis=1)]).mean() > 0.9
    np.testing.assert_array_equal(alarms[known & ~near], above[known & ~near])


def test_many_threads_ask_at_once(reading, monkeypatch):
    """The dashboard answers eight at a time, each at an alarm rate of its own; room is made all the time."""

    class Rate(float):
        def __hash__(self) -> int:
            time.sleep(0)  # here another thread goes on
            return super().__hash__()

    monkeypatch.setattr("fintok_dashboard.alerts._KEPT", 1)
    monkeypatch.setattr("fintok_dashboard.alerts.adaptive_levels", lambda p_values, rate: np.array([rate]))
    book = AlarmBook(replace(reading.scores, p_value=np.zeros((1, 1))), np.zeros((1, 1), dtype=bool))
    rates = [Rate(rate) for rate in range(1, 9)] * 100
    with ThreadPoolExecutor(8) as pool:
        assert [levels[0] for levels in pool.map(book.levels, rates)] == [rate / 1000 for rate in rates]


def test_a_p_value_at_the_level_alarms_and_one_just_above_does_not(reading):
    row, levels = reading.panel.num_days - 1, reading.alarms.levels(5.0)
    p_value = reading.scores.p_value.copy()
    p_value[row, :2] = levels[row], np.nextafter(levels[row], 1.0)
    alerts = AlarmBook(replace(reading.scores, p_value=p_value), reading.left_out).at(5.0)
    alarms = alerts.within(slice(row, row + 1)).asset[alerts.within(slice(row, row + 1)).is_alarm]
    assert 0 in alarms
    assert 1 not in alarms


def test_a_threshold_is_the_quantile_of_its_window(reading):
    row = reading.panel.num_days - 1
    window = reading.scores.score[row - WINDOW_DAYS : row]
    window = np.sort(window[np.isfinite(window)])[::-1]
    allowed = reading.alarms.levels(5.0)[row] * (len(window) + 1) - 1
    assert abs(reading.alarms.thresholds(5.0)[row] - window[int(allowed) - 1]) < 0.25


def test_the_table_has_a_row_for_each_alert_of_the_view_and_its_mark(tmp_path):
    desk = make_desk(tmp_path, market(700))
    desk.read()
    view = View(alarms=20.0)
    table = alert_table(desk.reading, view, desk.store)
    assert len(table) == len(desk.reading.alarms.at(20.0).row)
    assert table["date"].to_list() == sorted(table["date"].to_list(), reverse=True)
    first = table.row(0, named=True)
    desk.store.mark([(first["date"], first["symbol"])], verdict="noise", note="=1+1")
    again = alert_table(desk.reading, view, desk.store)
    assert again.row(0, named=True) == first | {"verdict": "noise", "note": "=1+1"}
    assert (again["verdict"] != "open").sum() == 1
    file = pl.read_parquet(as_parquet(again))
    assert file.drop("date").equals(again.drop("date"))
    scores = desk.reading.scores.to_polars().select("date", "symbol", score_of_file="score")
    assert len(file.join(scores, on=["date", "symbol"])) == len(again)
    assert pl.read_parquet(as_parquet(again[:0])).schema["date"] == scores.schema["date"]
    read = pl.read_csv(as_csv(again))
    assert read["note"][0] == "'=1+1"  # no spreadsheet runs it
    assert read["symbol"].to_list() == again["symbol"].to_list()


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_runs_a_text_of_a_csv_file(sign):
    text = f"{sign}=1+1"
    read = pl.read_csv(as_csv(pl.DataFrame({"note": [text, "plain"], "symbol": ["A", text]})))
    assert read.rows() == [(f"'{text}", "A"), ("plain", f"'{text}")]


def test_of_a_long_table_the_strangest_rows_stay_in_their_order(monkeypatch):
    monkeypatch.setattr("fintok_dashboard.ledger.MAX_ROWS", 2)
    table = pl.DataFrame({"score": [1.0, None, 3.0, 2.0]})
    assert strangest(table)["score"].to_list() == [3.0, 2.0]


def test_the_model_reads_the_panel_once(tmp_path):
    desk = make_desk(tmp_path, market(500, 4))
    desk.read()
    assert isinstance(desk.fake, FakeModel)
    assert desk.fake.calls.count("surprise") == 1
    assert desk.fake.calls.count("forecast") == 1
