import dataclasses
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok.anomaly import AnomalyScorer
from fintok.checks import CHECKS
from fintok.errors import InputError
from fintok.evidence import REASONS
from fintok.panel import Panel
from fintok.sample import load_us20
from fintok.score_result import COLUMNS, uncalibrated
from tests.fintok.fake_bundle import FakeBundle
from tests.fintok.scores.conftest import TRAIN, reason_at


def test_tables_have_the_public_columns_and_the_same_rows(scores):
    frame, table = scores.to_pandas(), scores.to_polars()
    columns = list(COLUMNS)
    assert columns == ["date", "symbol", "score", "p_value", "alert", "reason", "in_sample"]
    assert frame.columns.tolist() == columns
    assert table.columns == columns
    assert len(frame) == len(table) == 2400 * 10
    assert frame["alert"].sum() == table["alert"].sum() == scores.alert.sum()
    assert (frame["reason"] != "").sum() == scores.alert.sum()
    assert table["p_value"].null_count() == frame["p_value"].isna().sum() > 0
    assert table.schema["symbol"] == pl.String
    assert frame["date"].is_monotonic_increasing
    assert frame["in_sample"].sum() == TRAIN * 10
    row = frame[(frame["symbol"] == "A01") & (frame["date"] == np.datetime64("2000-01-03") + 1500)]
    assert row["score"].item() == scores.score[1500, 1]


def test_events_merge_neighbouring_alerts_and_put_the_strangest_first(scores):
    events = scores.events()
    assert events["alerts"].sum() == scores.alert.sum()
    stale = events[events["reason"] == "stale price"]
    assert len(stale) == 1
    assert stale["alerts"].item() == 6
    assert (stale["end"] - stale["start"]).item().days == 5
    known = events["score"].dropna().to_numpy()
    assert (np.diff(known) <= 0).all()
    first = events.iloc[0]
    row = int(np.searchsorted(scores.dates, first["peak"].to_datetime64()))
    assert scores.score[row, scores.assets.index(first["symbol"])] == first["score"]
    assert (events["start"] <= events["peak"]).all()
    assert (events["peak"] <= events["end"]).all()


def test_alerts_five_rows_apart_are_one_event_and_of_equal_scores_the_earlier_is_its_peak(scores):
    codes = np.zeros_like(scores.reason_codes)
    codes[[1500, 1505, 1511], 1] = 1
    events = replace(scores, reason_codes=codes, score=np.ones_like(scores.score)).events()
    assert events["alerts"].tolist() == [2, 1]
    assert events["peak"].tolist() == list(scores.dates[[1500, 1511]])


def test_as_of_a_date_is_what_was_known_then(scores):
    date = scores.dates[1500]
    then = scores.as_of(date)
    assert then.to_pandas().equals(scores.to_pandas().query("date <= @date"))
    why, whole = then.attribution(date, "A01"), scores.attribution(date, "A01")
    assert why.statistics.equals(whole.statistics)
    assert why.days.equals(whole.days)
    assert then.events()["end"].max() <= date
    assert then.plot().layout == scores.as_of(str(date)).plot().layout
    with pytest.raises(InputError, match="starts after 1999-12-31: no score was known then"):
        scores.as_of("1999-12-31")


def test_attribution_names_the_asset_whose_place_was_taken():
    panel = load_us20()["2003":"2009"].select(("AAPL", "BAC", "CVX", "JPM", "KO", "MRK", "PEP", "PFE", "XOM"))
    returns, places = panel.returns.copy(), [panel.assets.index(name) for name in ("JPM", "XOM")]
    returns[1700:1715, places] = returns[1700:1715, places[::-1]]
    swapped = replace(panel, returns=returns)
    scores = AnomalyScorer(FakeBundle(panel[:1200])).fit(swapped).score(swapped)
    now = scores.dates[1714]
    assert [scores.attribution(now, name).partner for name in ("JPM", "XOM", "PEP")] == ["XOM", "JPM", ""]
    assert scores.attribution(scores.dates[1690], "JPM").partner == ""
    assert "'moves like another asset' (JPM)" in repr(scores.attribution(now, "XOM"))


def test_attribution_names_the_statistics_and_the_days(scores):
    date = scores.dates[1500]
    why = scores.attribution(date, "A01")
    statistics, days = why.statistics, why.days
    assert set(statistics["statistic"]) == set(REASONS)
    assert statistics["share"].sum() == pytest.approx(1.0)
    assert statistics.iloc[0]["meaning"] == reason_at(scores, 1500, 1) == "jumped away from its peers"
    seen, expected = (f"{np.expm1(days.iloc[-1][name]):+.2%}" for name in ("return", "expected"))
    assert f"; {str(date)[:10]}: {seen} seen, {expected} expected" in repr(why)  # a jump is the last day's own
    with pytest.raises(ValueError, match="read-only"):
        scores.statistics["jump"][:] = 0.0
    assert len(days) == 10
    assert days.iloc[-1]["date"] == date
    assert days["share"].idxmax() == 9
    assert days["share"].sum() == pytest.approx(1.0)
    assert len(scores.attribution(scores.dates[2], "A01").days) == 3
    first = statistics["meaning"][0]
    assert (why.score, why.p_value) == (scores.score[1500, 1], scores.p_value[1500, 1])
    said = f"Attribution\\(A01 on {str(date)[:10]}: {{}}, score {why.score:.3g}, p \\S+; '{first}' carries \\d+%; "
    said += "\\S+: \\S+ seen, \\S+ expected\\)"
    assert re.fullmatch(said.format(f"alert, '{first}'" if why.reason else "no alert"), repr(why))
    assert why.reason in ("", first)
    codes = scores.reason_codes.copy()
    codes[1500, 1] = len(scores.reasons) - 1
    check = dataclasses.replace(scores, reason_codes=codes).attribution(date, "A01")
    assert check.reason == scores.reasons[-1] in CHECKS
    assert f"alert, {check.reason!r}, score" in repr(check)
    assert why.summary().index[0] == first
    assert list(why.summary().columns) == ["value", "p_value", "share"]
    (bars,) = why.plot().data
    assert bars.y[-1] == first
    assert bars.x[-1] == pytest.approx(statistics["share"].max())
    assert len(scores.attribution(scores.dates[2], "A01").plot().data) == 1  # no score


@pytest.mark.parametrize(("date", "symbol"), [("2000-01-05", "ZZZ"), ("1990-01-05", "A01"), ("2030-01-01", "A01")])
def test_attribution_of_the_unknown_is_refused(scores, date, symbol):
    with pytest.raises(InputError, match=r"there is no (asset|date)"):
        scores.attribution(date, symbol)


def test_summary_reasons_and_repr(scores):
    summary, counts = scores.summary(), scores.reason_counts()
    assert summary.index.tolist() == ["in sample", "after train_end", "all"]
    assert summary.loc["all", "alerts"] == scores.alert.sum() == counts.sum()
    assert summary.loc["after train_end", "by_check"] == 7  # six stale days and the split
    assert counts["stale price"] == 6
    assert "alarms per 1,000 asset-days" in repr(scores)
    assert "\n" not in repr(scores)


@pytest.mark.parametrize(("rows_after", "told_of"), [(0, "in sample"), (99, "all"), (100, "after train_end")])
def test_the_headline_is_of_rows_after_train_end_where_there_are_enough(scores, rows_after, told_of):
    part = dataclasses.replace(scores, train_end=scores.dates[-1 - rows_after])  # of ten assets
    assert part.told_of == told_of
    assert f"{told_of}: " in repr(part)


def test_a_panel_too_short_for_anything_gives_empty_results(scorer, panel):
    scores = scorer.score(panel[:10])
    assert np.isnan(scores.score).all()
    assert not scores.alert.any()
    assert len(scores.events()) == 0
    assert scores.reason_counts().empty
    assert scores.to_polars().height == 100


def test_scores_that_are_not_calibrated_yet_say_so(scorer, panel):
    scores = scorer.score(panel[:60])
    count = int(np.isfinite(scores.score).sum())
    assert 0 < count < 1000
    assert f"no asset-day is calibrated yet ({count} scores; p-values need 1,000 in the trailing window)" in repr(
        scores
    )


def test_many_scores_of_which_the_window_holds_too_few_are_told_so(scorer, panel):
    scores = AnomalyScorer(scorer.bundle, days=20).fit().score(panel)  # 20 dates of 10 assets
    count = int(np.isfinite(scores.score[~scores.is_in_sample]).sum())
    assert count > 1000
    assert f"({count:,} scores; p-values need 1,000 in the trailing window)" in uncalibrated(
        scores, ~scores.is_in_sample
    )


def test_the_attribution_of_a_day_without_a_score_says_so(scores):
    silent = scores.attribution(scores.dates[3], scores.assets[0])
    assert repr(silent) == f"Attribution({silent.symbol} on {str(scores.dates[3])[:10]}: no alert, no score)"
    assert "carries" in repr(scores.attribution(scores.dates[1500], scores.assets[1]))


def test_discoveries_name_what_stands_out_on_its_day(scores):
    found = scores.discoveries(q=0.05)
    assert found.columns.tolist() == ["date", "symbol", "score", "p_value", "q_value"]
    on_the_day = found[found["date"] == scores.dates[1500]]
    assert on_the_day["symbol"].tolist()[0] == "A01"
    assert (found["q_value"] <= 0.05).all()
    assert (found["q_value"] >= found["p_value"]).all()
    assert len(found) < len(scores.discoveries(q=0.3))
    for q in (2.0, "0.1"):
        with pytest.raises(InputError, match="between 0 and 1"):
            scores.discoveries(q=q)


def test_an_asset_whose_prices_are_too_far_apart_for_a_score_is_named(panel):
    prices = np.exp(np.cumsum(np.nan_to_num(panel.returns), axis=0))
    prices[np.arange(len(prices)) % 8 > 0, 2] = np.nan
    sparse = Panel.from_arrays(prices, panel.dates, panel.assets)
    scores = AnomalyScorer(FakeBundle(sparse[:1200])).fit(sparse).score(sparse)
    remark = f"without a score on any date: 1 of {panel.num_assets} assets, the first of them '{panel.assets[2]}', "
    assert scores.remarks() == [f"{remark}which has 0 returns, since its prices are too far apart"]
    assert AnomalyScorer(FakeBundle(panel[:1200])).fit(panel).score(panel).remarks() == []
