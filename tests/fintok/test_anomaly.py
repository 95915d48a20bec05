import copy
import pickle
import re

import numpy as np
import polars as pl
import pytest

from fintok import anomaly
from fintok.anomaly import AnomalyScorer
from fintok.errors import InputError
from fintok.evidence import REASONS, gather
from fintok.score_result import COLUMNS
from tests.fintok.fake_bundle import (
    FakeBundle,
    make_panel,
    permuted,
    simulate_returns,
    with_noise_after,
)

TRAIN = 1200


def faulty_returns():
    """Ordinary returns with one fault of each kind after the training rows."""
    returns, _ = simulate_returns(2400, 10)
    returns[1500, 1] += 0.25  # a jump of its own
    returns[1700:1708, 2] = 0.0  # stale
    returns[1900, 3] -= np.log(2.0)  # a missed split
    returns[300, 4] += 0.3  # a fault in sample
    return returns


@pytest.fixture(scope="module")
def panel():
    return make_panel(faulty_returns())


@pytest.fixture(scope="module")
def bundle(panel):
    return FakeBundle(panel[:TRAIN])


@pytest.fixture(scope="module")
def scorer(bundle, panel):
    return AnomalyScorer(bundle).fit(panel)


@pytest.fixture(scope="module")
def scores(scorer, panel):
    return scorer.score(panel)


def reason_at(scores, row, asset):
    return scores.reasons[scores.reason_codes[row, asset]]


def test_planted_faults_alert_on_their_day_with_their_reason(scores):
    assert reason_at(scores, 1500, 1) in REASONS.values()
    assert reason_at(scores, 1705, 2) == "stale price"
    assert reason_at(scores, 1900, 3) == "possible unadjusted split"
    assert np.nanmax(scores.score) in (scores.score[1500, 1], scores.score[1900, 3], scores.score[300, 4])
    assert scores.p_value[1500, 1] < 0.001


def test_alarms_keep_to_the_budget(bundle, panel):
    for budget in (1.0, 10.0):
        summary = AnomalyScorer(bundle, alarms_per_1000=budget).fit(panel).score(panel).summary()
        assert summary.loc["after train_end", "alarms_per_1000"] == pytest.approx(budget, rel=0.5)


@pytest.mark.parametrize("length", [30, 333, TRAIN + 1, 2399])
def test_truncating_the_panel_changes_nothing_before(scorer, scores, panel, length):
    part = scorer.score(panel[:length])
    for name in ("score", "p_value", "levels", "reason_codes", "is_alarm"):
        np.testing.assert_array_equal(getattr(part, name), getattr(scores, name)[:length], err_msg=name)


def test_noise_after_a_date_changes_nothing_before(scorer, scores, panel):
    for row in (TRAIN + 50, 2000):
        noisy = scorer.score(with_noise_after(panel, row))
        for name in ("score", "p_value", "levels", "reason_codes"):
            before, same = getattr(noisy, name)[: row + 1], getattr(scores, name)[: row + 1]
            np.testing.assert_array_equal(before, same, err_msg=name)


def test_fit_looks_at_training_rows_only(bundle, scorer, panel):
    noisy = AnomalyScorer(bundle).fit(with_noise_after(panel, TRAIN - 1))
    for name, tail in scorer.tails_.items():
        np.testing.assert_array_equal(noisy.tails_[name].values, tail.values)
        assert noisy.tails_[name].scale == tail.scale


def test_permuting_the_assets_permutes_the_scores(scorer, scores, panel):
    order = np.random.default_rng(0).permutation(10)
    shuffled = scorer.score(permuted(panel, order))
    np.testing.assert_allclose(shuffled.score, scores.score[:, order], rtol=1e-4)
    np.testing.assert_allclose(shuffled.p_value, scores.p_value[:, order], atol=5e-4)
    assert np.mean(shuffled.alert == scores.alert[:, order]) > 0.9999


def test_a_bundle_scores_another_panel_without_any_option(bundle):
    returns, _ = simulate_returns(900, 4, seed=7)
    returns[800, 2] += 0.3
    other = make_panel(returns, start="2015-01-01")
    scorer = AnomalyScorer(bundle).fit(other)
    assert scorer.fitted_on_ == "standard"
    scores = scorer.score(other)
    assert scores.alert[800, 2]
    assert np.nanargmax(scores.score) == np.ravel_multi_index((800, 2), scores.score.shape)
    assert not scores.is_in_sample.any()


def test_missing_assets_have_missing_scores_and_never_alert(bundle, scorer):
    returns = faulty_returns()
    returns[:600, 5] = np.nan  # starts late
    returns[1800:, 6] = np.nan  # ends
    returns[1000:1030, 7] = np.nan  # a gap
    returns[:, 8] = np.nan  # never listed
    returns[:, 9] = 0.0  # constant
    scores = scorer.score(make_panel(returns))
    for rows, asset in ((slice(600), 5), (slice(1800, None), 6), (slice(1000, 1030), 7), (slice(None), 8)):
        assert np.isnan(scores.score[rows, asset]).all()
        assert np.isnan(scores.p_value[rows, asset]).all()
        assert not scores.alert[rows, asset].any()
    assert np.isfinite(scores.score[1100:, 7]).all()
    assert len(scores.to_pandas()) == np.isfinite(returns).sum()


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


def test_attribution_names_the_statistics_and_the_days(scores):
    date = scores.dates[1500]
    statistics, days = why = scores.attribution(date, "A01")
    assert set(statistics["statistic"]) == set(REASONS)
    assert statistics["share"].sum() == pytest.approx(1.0)
    assert statistics.iloc[0]["meaning"] == reason_at(scores, 1500, 1)
    assert len(days) == 10
    assert days.iloc[-1]["date"] == date
    assert days["share"].idxmax() == 9
    assert days["share"].sum() == pytest.approx(1.0)
    assert len(scores.attribution(scores.dates[2], "A01").days) == 3
    first = statistics["meaning"][0]
    assert re.fullmatch(rf"Attribution\('{first}' carries \d+%; \S+: \S+, \S+ expected\)", repr(why))


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
    assert f"no asset-day is calibrated yet ({count} scores; p-values need 1,000)" in repr(scores)


def test_one_panel_costs_one_pass(panel):
    bundle = FakeBundle(panel[:TRAIN])
    scorer = AnomalyScorer(bundle).fit(panel)
    scorer.score(panel)
    assert bundle.calls == ["surprise"]


def test_pickling_keeps_the_scores(scorer, scores, panel):
    copied = pickle.loads(pickle.dumps(scorer))
    np.testing.assert_array_equal(copied.score(panel).p_value, scores.p_value)


def test_the_attribution_of_a_day_without_a_score_says_so(scores):
    assert "no score on" in repr(scores.attribution(scores.dates[3], scores.assets[0]))
    assert "carries" in repr(scores.attribution(scores.dates[1500], scores.assets[1]))


@pytest.mark.parametrize("parameters", [{"alarms_per_1000": 0.0}, {"alarms_per_1000": 900.0}, {"days": 3}])
def test_a_parameter_out_of_range_is_refused(bundle, panel, parameters):
    with pytest.raises(InputError, match=next(iter(parameters))):
        AnomalyScorer(bundle, **parameters).fit(panel)


def test_scoring_before_fitting_is_refused(bundle, panel):
    with pytest.raises(InputError, match="call fit"):
        AnomalyScorer(bundle).score(panel)


def with_evidence_of(scorer, **parameters):
    """A scorer with other parameters that has read the panel already."""
    return copy.copy(scorer).set_params(**parameters)


def test_marked_errors_change_later_p_values_and_nothing_before(scorer, scores, panel):
    marks = pl.DataFrame({"date": panel.dates[[1500]], "symbol": ["A01"], "verdict": ["data error"]})
    scorer.score(panel)
    marked = with_evidence_of(scorer).score(panel, errors=marks)
    np.testing.assert_array_equal(marked.score, scores.score)
    for name in ("p_value", "levels", "reason_codes"):
        np.testing.assert_array_equal(getattr(marked, name)[:1501], getattr(scores, name)[:1501], err_msg=name)
    later = slice(1501, 2251)
    assert (marked.p_value[later] < scores.p_value[later]).mean() > 0.95
    assert marked.levels[1501, 0] > scores.levels[1501, 0]


def test_training_errors_do_not_shape_the_tails(scorer, panel):
    scorer.score(panel)
    marks = pl.DataFrame({"date": panel.dates[300:340], "symbol": ["A04"] * 40})
    marked = with_evidence_of(scorer).fit(panel, errors=marks)
    assert marked.tails_["jump"].shape < scorer.tails_["jump"].shape  # the fault in sample is one of them


def test_one_group_is_no_group_and_two_are_calibrated_apart(scorer, scores, panel):
    scorer.score(panel)
    same = with_evidence_of(scorer, groups=dict.fromkeys(panel.assets, "stock")).score(panel)
    np.testing.assert_array_equal(same.p_value, scores.p_value)
    np.testing.assert_array_equal(same.reason_codes, scores.reason_codes)
    apart = with_evidence_of(scorer, groups=dict.fromkeys(panel.assets[::2], "even")).score(panel)
    assert (apart.p_value[:, ::2] != scores.p_value[:, ::2]).any()
    assert (apart.levels[-1, 0] == apart.levels[-1, ::2]).all()
    assert apart.levels[-1, 0] != apart.levels[-1, 1]
    reader = FakeBundle(panel[:TRAIN])
    with pytest.raises(InputError, match="put them into a larger group"):
        AnomalyScorer(reader, groups={panel.assets[0]: "alone"}).fit().score(panel)
    assert not reader.calls  # said before the network reads


def test_discoveries_name_what_stands_out_on_its_day(scores):
    found = scores.discoveries(q=0.05)
    assert found.columns.tolist() == ["date", "symbol", "score", "p_value", "q_value"]
    on_the_day = found[found["date"] == scores.dates[1500]]
    assert on_the_day["symbol"].tolist()[0] == "A01"
    assert (found["q_value"] <= 0.05).all()
    assert (found["q_value"] >= found["p_value"]).all()
    assert len(found) < len(scores.discoveries(q=0.3))
    with pytest.raises(InputError, match="between 0 and 1"):
        scores.discoveries(q=2.0)


def test_a_new_day_is_all_that_is_read_and_the_scores_are_those_of_the_whole(bundle, scorer, scores, panel):
    daily = pickle.loads(pickle.dumps(scorer))
    daily.bundle = FakeBundle(panel[:TRAIN])
    daily.score(panel[:2397])
    for length in (2398, 2400):
        part = daily.score(panel[:length])
    for name in ("score", "p_value", "levels", "reason_codes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(scores, name), err_msg=name)
    assert daily.bundle.calls == ["surprise", "surprise since 2396", "surprise since 2397"]


def test_features_and_panels_are_not_mixed(bundle, scorer, panel):
    with pytest.raises(InputError, match="without a bundle takes features"):
        AnomalyScorer().fit(panel)
    with pytest.raises(InputError, match=r"expected a Panel, got numpy\.ndarray"):
        scorer.score(np.zeros((5, 3)))


def test_a_panel_scored_meanwhile_leaves_nothing_of_its_own_in_the_readings(bundle, panel, monkeypatch):
    scorer, other = AnomalyScorer(bundle).fit(), panel.select(panel.assets[::-1])
    waiting = [other]  # scored by another thread, between what the first one reads and what it keeps

    def interrupted(*args):
        found = gather(*args)
        if waiting:
            scorer.score(waiting.pop())
        return found

    monkeypatch.setattr(anomaly, "gather", interrupted)
    scorer.score(panel[:2000])
    kept, alone = scorer.readings, AnomalyScorer(bundle).fit()
    alone.score(panel[:2000])
    assert kept.panel.assets == panel.assets
    np.testing.assert_array_equal(kept.peers.expected, alone.readings.peers.expected)
    np.testing.assert_array_equal(scorer.score(panel).score, alone.score(panel).score)
