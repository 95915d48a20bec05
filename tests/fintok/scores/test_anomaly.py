import copy
import pickle
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok import anomaly
from fintok.anomaly import AnomalyScorer
from fintok.checks import run_checks
from fintok.errors import InputError
from fintok.evidence import REASONS, gather
from fintok.tails import TailMap
from tests.fintok.fake_bundle import FakeBundle, make_panel, permuted, simulate_returns, with_noise_after
from tests.fintok.scores.conftest import TRAIN, faulty_returns, reason_at


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


def test_tails_are_those_of_the_newest_2500_training_rows():
    panel = make_panel(simulate_returns(2800, 3)[0])
    scorer = AnomalyScorer(FakeBundle(panel[:2700])).fit(panel)
    for name, values in scorer.score(panel).statistics.items():
        np.testing.assert_array_equal(scorer.tails_[name].values, TailMap.fit(values[200:2700]).values, err_msg=name)


def test_of_two_checks_on_a_cell_the_first_is_the_reason(bundle, panel):
    close, high = panel.prices[:100], 1.01 * panel.prices[:100]
    high[60, 1] = -1.0
    barred = replace(panel[:100], fields={"high": high, "close": close})
    fired = [reason for reason, flags in run_checks(barred).items() if flags[60, 1]]
    assert fired == ["price not positive", "high and low out of order"]
    assert reason_at(AnomalyScorer(bundle).fit().score(barred), 60, 1) == fired[0]


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


def test_missing_assets_have_missing_scores_and_never_alert(scorer):
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


def test_one_panel_costs_one_pass(panel):
    bundle = FakeBundle(panel[:TRAIN])
    scorer = AnomalyScorer(bundle).fit(panel)
    scorer.score(panel)
    assert bundle.calls == ["surprise"]


def test_pickling_keeps_the_scores(scorer, scores, panel):
    copied = pickle.loads(pickle.dumps(scorer))
    np.testing.assert_array_equal(copied.score(panel).p_value, scores.p_value)


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


def test_a_new_day_is_all_that_is_read_and_the_scores_are_those_of_the_whole(scorer, scores, panel):
    daily = pickle.loads(pickle.dumps(scorer))
    daily.bundle = FakeBundle(panel[:TRAIN])
    daily.score(panel[:2397])
    for length in (2398, 2400):
        part = daily.score(panel[:length])
    for name in ("score", "p_value", "levels", "reason_codes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(scores, name), err_msg=name)
    assert daily.bundle.calls == ["surprise", "surprise since 2397", "surprise since 2398"]


def test_features_and_panels_are_not_mixed(scorer, panel):
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


def test_a_statistic_that_is_not_known_is_no_reason(bundle, panel, monkeypatch):
    scorer = AnomalyScorer(bundle).fit(panel)
    found = scorer._evidence(panel)
    name, values = next(iter(found.statistics.items()))
    unknown = found._replace(statistics={**found.statistics, name: np.full_like(values, np.nan)})
    monkeypatch.setattr(scorer, "_evidence", lambda panel: unknown)
    reasons = scorer.score(panel).reason_counts()
    assert REASONS[name] not in reasons.index
    assert len(reasons.index.intersection(list(REASONS.values()))) > 1
