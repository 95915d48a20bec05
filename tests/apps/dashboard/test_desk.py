"""Readings: renewed when files or marks change, and honest about what is wrong."""

import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok import InputError
from fintok.files import write_table
from fintok.panel import Panel
from fintok_dashboard.alerts import AlarmBook
from fintok_dashboard.app import _news
from fintok_dashboard.desk import Desk
from fintok_dashboard.ledger import alert_table
from fintok_dashboard.likeness import peers_of
from fintok_dashboard.selection import day_of, row_of, select
from fintok_dashboard.standing import alert_counts, regime_on, silence_on
from fintok_dashboard.tables import read_groups, read_regimes, read_scores
from fintok_dashboard.view import View
from tests.apps.dashboard.fake_desk import FakeModel, make_desk, market
from tests.fintok.fake_bundle import make_panel
from vision.train.checkpoint import CheckpointError


def test_new_data_and_marked_errors_are_noticed_and_read(tmp_path):
    panel = market(600, 4)
    desk = make_desk(tmp_path, panel[:599])
    assert not desk.has_new_data
    desk.read()
    assert not desk.has_new_data
    desk.store.mark([(str(panel.dates[500])[:10], "A00")], verdict="data error")
    assert desk.has_new_data
    desk.read()
    assert desk.reading.left_out.sum() == 1
    assert not desk.has_new_data
    desk.sources = replace(desk.sources, read_panel=lambda: panel)
    os.utime(desk.sources.panel, (1, 1))
    assert desk.has_new_data
    desk.read()
    assert desk.reading.panel.num_days == 600
    assert any(call.startswith("surprise since") for call in desk.fake.calls)  # history was not read again


def test_the_panel_that_a_start_has_checked_is_read_again_only_where_it_changed(tmp_path):
    panel, reads = market(400, 4), []
    desk = make_desk(tmp_path, panel)
    desk.sources = replace(desk.sources, read_panel=lambda: reads.append(1) or panel)
    desk.fake = FakeModel(panel[:300])
    desk.check()
    desk.read()
    assert (len(reads), desk.reading.panel.num_days) == (1, 400)
    desk.read()
    assert len(reads) == 2
    desk.check()
    os.utime(desk.sources.panel, (1, 1))
    desk.read()
    assert len(reads) == 4


@pytest.mark.parametrize("minutes", [1440, 60, 7])
@pytest.mark.parametrize("time", ["00:00", "15:59:59", "23:59:59.999", "00:00:00.000000001"])
def test_every_date_is_found_again_by_its_text(minutes, time):
    dates = np.datetime64(f"2020-03-16T{time}", "ns") + np.arange(300) * np.timedelta64(minutes, "m")
    panel = replace(make_panel(np.zeros((300, 1))), dates=dates)
    assert [row_of(panel, day_of(panel, row)) for row in range(300)] == list(range(300))


def test_days_and_minutes_are_written_as_marks_have_them():
    dates = np.array(["2020-03-16", "2020-03-16T15:00", "2020-03-16T15:01:02"], dtype="datetime64[ns]")
    panel = replace(make_panel(np.zeros((3, 1))), dates=dates)
    assert [day_of(panel, row) for row in range(3)] == ["2020-03-16", "2020-03-16T15:00", "2020-03-16T15:01:02"]


@pytest.mark.parametrize("hours", [24, 1])
def test_a_marked_error_is_left_out_at_any_time_of_day(tmp_path, hours):
    """Of hourly dates one is a midnight, written shorter than the others."""
    panel = market(600, 4)
    since = np.datetime64("2000-01-03T23:59:59" if hours == 24 else "2000-01-03T00:00", "ns")
    panel = replace(panel, dates=since + np.arange(600) * np.timedelta64(hours, "h"))
    desk = make_desk(tmp_path, panel)
    desk.read()
    table = alert_table(desk.reading, View(alarms=40.0), desk.store)
    at = table["date"][0], table["symbol"][0]
    midnight = day_of(panel, 480), panel.assets[0]
    desk.store.mark([at, midnight], verdict="data error")
    desk.read()
    assert desk.problem == ""
    assert desk.reading.left_out.sum() == len({at, midnight})
    assert desk.reading.left_out[row_of(panel, at[0]), panel.assets.index(at[1])]


def test_marks_that_match_no_row_are_counted_and_said(tmp_path):
    panel = market(400, 4)
    desk = make_desk(tmp_path, panel)
    desk.store.mark([(day_of(panel, 300), "A00")], verdict="data error")
    desk.read()
    assert desk.lost_marks == 0
    assert _news(desk) is None
    desk.store.mark([("1990-01-01", "A00"), (day_of(panel, 300), "gone"), ("?", "A00")], verdict="data error")
    desk.read()
    assert desk.reading.left_out.sum() == 1
    assert "3 marks without effect" in str(_news(desk))


def test_the_model_is_the_one_of_the_reading_even_where_that_was_kept(tmp_path, monkeypatch):
    panel = market(400, 4)
    fake = make_desk(tmp_path, panel)
    desk = Desk(fake.sources, fake.store)
    monkeypatch.setattr("fintok.load", lambda folder: FakeModel(panel[:300], [(folder / "bundle.json").read_text()]))
    for text in ("old", "new", "old", "old"):
        (desk.sources.model / "bundle.json").write_text(text)
        desk.read()
        assert (desk.problem, desk.bundle().calls[0]) == ("", text)


@pytest.mark.parametrize("kind", [InputError, CheckpointError])
def test_a_file_that_breaks_leaves_the_reading_before(tmp_path, kind):
    desk = make_desk(tmp_path, market(400, 4))
    desk.read()
    known = desk.reading

    def broken() -> Panel:
        raise kind("prices.parquet: row 7 has no date")

    desk.sources = replace(desk.sources, read_panel=broken)
    desk.read()
    assert desk.reading is known
    assert desk.problem == "prices.parquet: row 7 has no date"


@pytest.mark.parametrize("shape", [(300, 1), (300, 2), (60, 4)])
def test_narrow_and_short_panels_are_read(tmp_path, shape):
    rng = np.random.default_rng(0)
    desk = make_desk(tmp_path, make_panel(0.01 * rng.standard_normal(shape)))
    desk.read()
    if desk.reading is None:  # too short for any regime: said in a sentence
        assert "training rows are too few" in desk.problem
    else:
        assert len(desk.reading.arrangement.order) == shape[1]


def test_tables_of_the_commands_are_taken_as_they_are(desk, tmp_path):
    reading = desk.reading
    panel, train_end = reading.panel, reading.scores.train_end
    reading.scores.to_polars().write_parquet(tmp_path / "scores.parquet")
    scores = read_scores(tmp_path / "scores.parquet", panel, train_end)
    np.testing.assert_array_equal(scores.p_value, reading.scores.p_value)
    np.testing.assert_array_equal(scores.reason_codes > 0, reading.scores.alert)
    reading.regimes[3].to_polars().write_parquet(tmp_path / "regimes.parquet")
    regimes = read_regimes(tmp_path / "regimes.parquet", panel, train_end)
    np.testing.assert_array_equal(regimes.labels, reading.regimes[3].labels)
    assert regimes.names == reading.regimes[3].names
    with pytest.raises(InputError, match="there is no column 'symbol'"):
        read_scores(tmp_path / "regimes.parquet", panel, train_end)
    with pytest.raises(InputError, match="none of its dates and symbols"):
        read_scores(tmp_path / "scores.parquet", make_panel(np.zeros((5, 2)), start="1950-01-01"), train_end)


@pytest.mark.parametrize(("ending", "row"), [("parquet", 1200), ("csv", 1200), ("parquet", -1), ("parquet", None)])
def test_what_was_seen_in_training_is_told_by_the_tables_not_by_another_model(reading, tmp_path, ending, row):
    dates = reading.panel.dates
    learned = dates[0] - np.timedelta64(9, "D") if row is None else dates[row]  # the model's: dates[999]
    for result, read in ((reading.scores, read_scores), (reading.regimes[3], read_regimes)):
        path = tmp_path / f"{type(result).__name__}.{ending}"
        write_table(replace(result, train_end=learned).to_polars(), path)
        found = read(path, reading.panel, dates[999])
        np.testing.assert_array_equal(found.is_in_sample, dates <= learned)
        assert read(path, reading.panel, learned).train_end == learned


def test_rows_of_a_table_that_the_panel_lacks_are_counted(reading, tmp_path, capsys):
    panel, train_end = reading.panel, reading.scores.train_end
    write_table(reading.scores.to_polars(), tmp_path / "scores.csv")
    write_table(reading.regimes[3].to_polars(), tmp_path / "regimes.csv")
    read_scores(tmp_path / "scores.csv", panel, train_end)
    read_regimes(tmp_path / "regimes.csv", panel, train_end)
    assert not capsys.readouterr().err
    read_scores(tmp_path / "scores.csv", replace(panel, assets=("META", *panel.assets[1:])), train_end)
    read_regimes(tmp_path / "regimes.csv", panel[1:], train_end)
    scores, regimes = capsys.readouterr().err.splitlines()
    assert scores.endswith("scores.csv: 10,500 of 12,000 rows are in the panel")
    assert regimes.endswith("regimes.csv: 1,499 of 1,500 rows are in the panel")


def test_groups_come_from_a_table(reading, tmp_path):
    names = reading.panel.assets
    pl.DataFrame({"symbol": list(names[:3]), "group": ["x", "y", "x"]}).write_csv(tmp_path / "groups.csv")
    groups = read_groups(tmp_path / "groups.csv", reading.panel)
    assert groups == {names[0]: "x", names[1]: "y", names[2]: "x"}
    with pytest.raises(InputError, match="none of its symbols"):
        read_groups(tmp_path / "groups.csv", make_panel(np.zeros((5, 2))).select(["A01"]))


def test_symbols_of_csv_tables_keep_their_zeros(reading, tmp_path):
    names = ("000001", "000002", "600519")
    panel = replace(reading.panel.select(list(reading.panel.assets[:3])), assets=names)
    pl.DataFrame({"symbol": names, "group": ["01", "02", "1"]}).write_csv(tmp_path / "groups.csv")
    assert read_groups(tmp_path / "groups.csv", panel) == dict(zip(names, ["01", "02", "1"], strict=True))
    table = pl.DataFrame({"date": panel.dates[:3], "symbol": names, "score": 1.0, "p_value": 0.1, "reason": None})
    table.with_columns(alert=False).write_csv(tmp_path / "scores.csv")
    scores = read_scores(tmp_path / "scores.csv", panel, panel.dates[-1])
    np.testing.assert_array_equal(np.isfinite(scores.score[:3]), np.eye(3, dtype=bool))


def test_a_view_selects_dates_group_and_order(reading):
    name, members = next(iter(reading.arrangement.groups.items()))
    view = View.parse(f"?start=2001-01-01&end=2001-12-31&group={name}")
    rows, assets = select(reading, view)
    years = reading.panel.dates[rows].astype("datetime64[Y]").astype(str)
    assert set(years) == {"2001"}
    np.testing.assert_array_equal(assets, members)
    everything = select(reading, View.parse("?start=1900-01-01&end=1900-12-31&group=../etc"))
    assert everything.rows == slice(0, reading.panel.num_days)
    assert len(everything.assets) == reading.panel.num_assets
    by_score = select(reading, View(order="score")).assets
    heights = np.nanmax(reading.scores.score, axis=0)[by_score]
    assert (np.diff(heights) <= 0).all()
    assert row_of(reading.panel, "2001-02-03") is not None
    assert row_of(reading.panel, "1990-01-01") is None
    assert row_of(reading.panel, "/etc/passwd") is None


def test_what_is_said_of_a_day_uses_no_later_day(reading):
    regimes, row = reading.regimes[3], 900
    now = regime_on(regimes, row)
    part = replace(regimes, labels=regimes.labels[: row + 1], panel=reading.panel[: row + 1])
    before = regime_on(replace(part, probabilities=regimes.probabilities[: row + 1]), row)
    assert now.days == before.days
    assert now.follows == before.follows
    np.testing.assert_array_equal(now.spells, before.spells)
    np.testing.assert_array_equal(peers_of(reading.panel, row, 0), peers_of(reading.panel[: row + 1], row, 0))


def test_expected_alerts_are_the_rate_times_the_asset_days(reading):
    day, week, month = alert_counts(reading, reading.panel.num_days - 1, 10.0)
    assert day.expected == pytest.approx(reading.panel.num_assets * 0.01)
    assert (week.rows.stop - week.rows.start, month.rows.stop - month.rows.start) == (7, 30)
    assert month.alarms >= week.alarms >= day.alarms


def test_the_last_day_of_an_hourly_panel_is_all_its_hours(reading):
    hours = np.datetime64("2020-01-01", "ns") + np.arange(reading.panel.num_days) * np.timedelta64(1, "h")
    panel = replace(reading.panel, dates=hours)
    hourly = replace(reading, panel=panel, scores=replace(reading.scores, panel=panel))
    row = 24 * 40 + 15  # four in the afternoon, with its own hour
    counts = alert_counts(hourly, row, 10.0)
    assert [count.rows.stop - count.rows.start for count in counts] == [16, 169, 730]
    assert counts[0].expected == pytest.approx(16 * panel.num_assets * 0.01)
    assert alert_counts(hourly, 0, 10.0)[2].rows == slice(0, 1)


def test_late_missing_and_present_assets_are_told_apart():
    returns = np.full((100, 3), 0.01)
    prices = np.ones((100, 3))
    prices[97:, 1] = np.nan
    prices[50:, 2] = np.nan
    panel = replace(make_panel(returns), prices=prices)
    silence = silence_on(panel, 99, np.array([True, False, False]))
    assert silence.present.tolist() == [0]
    assert silence.late == [(1, 3)]
    assert silence.gone.tolist() == [2]
    assert silence.stale.tolist() == [0]


def test_alerts_of_a_table_give_way_to_another_alarm_rate(reading, tmp_path):
    panel = reading.panel
    reading.scores.to_polars().write_parquet(tmp_path / "scores.parquet")
    scores = read_scores(tmp_path / "scores.parquet", panel, reading.scores.train_end)
    np.testing.assert_array_equal(scores.is_check, reading.scores.is_check)
    alerts = AlarmBook(scores, np.zeros(scores.score.shape, dtype=bool)).at(0.1)
    assert (alerts.is_alarm | scores.is_check[alerts.row, alerts.asset]).all()
    assert alerts.is_alarm.sum() < reading.scores.is_alarm.sum()


def test_regimes_of_a_csv_file_keep_their_names(reading, tmp_path):
    regimes = reading.regimes[3]
    labels = np.where(np.arange(len(regimes.labels)) < 300, -1, regimes.labels)  # more than a reader looks ahead
    replace(regimes, labels=labels).to_polars().write_csv(tmp_path / "regimes.csv")
    assert read_regimes(tmp_path / "regimes.csv", reading.panel, regimes.train_end).names == regimes.names
