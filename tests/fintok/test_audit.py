"""The audit finds a reader that peeks, and clears one that does not."""

from dataclasses import fields, replace

import numpy as np
import pytest

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.audit import LookAheadError, another_future
from fintok.bundle import Bundle
from fintok.errors import InputError
from fintok.regimes import RegimeLabeler


class PeekingLabeler(RegimeLabeler):
    """Calls each day what a month later is called, as a centred smoothing does."""

    def label(self, panel):
        regimes = super().label(panel)
        return replace(regimes, labels=np.roll(regimes.labels, -20))


class PeekingScorer(AnomalyScorer):
    """Divides its scores by their deviation over the whole panel."""

    def score(self, panel):
        scores = super().score(panel)
        return replace(scores, score=scores.score / np.nanstd(scores.score))


class PeekingBundle(Bundle):
    """Gives each day the forecast of the day after."""

    def forecast(self, panel, since=0):
        return np.roll(super().forecast(panel), -1, axis=0)


def guilty(found):
    table = found.summary()
    return set(table.index[table["changed"] > 0])


@pytest.fixture(scope="module")
def labeler(small_bundle):
    return RegimeLabeler(small_bundle, n_regimes=2)


@pytest.fixture(scope="module")
def clean(small_bundle, small_panel, labeler):
    return fintok.audit(small_bundle, small_panel, cuts=3, labeler=labeler)


def test_an_honest_bundle_is_cleared_on_many_cells(clean, small_bundle, small_panel):
    assert clean.is_clean
    clean.check()
    table = clean.summary()
    assert table.index.tolist()[:3] == ["code", "word", "surprise"]
    assert {"forecast", "regime", "probability", "score", "p_value", "alert", "reason"} < set(table.index)
    assert (table["dates"] == 3).all()
    assert (table["largest_change"] == 0.0).all()
    dates = clean.to_pandas()["date"].unique()
    assert table.loc["code", "cells"] == sum(small_panel.until(date).returns.size for date in dates)
    assert min(dates) >= small_panel.until(small_bundle.train_end).dates[-1]
    assert "no look-ahead found" in repr(clean)


def test_a_labeler_that_looks_a_month_ahead_is_caught_and_nothing_else_is(small_bundle, small_panel):
    found = fintok.audit(small_bundle, small_panel, cuts=3, labeler=PeekingLabeler(small_bundle, n_regimes=2))
    assert guilty(found) == {"regime"}
    with pytest.raises(LookAheadError, match=r"looks ahead: regime; regime changed in \d+ of"):
        found.check()


def test_a_scorer_that_scales_by_the_whole_panel_is_caught(small_bundle, small_panel, labeler):
    found = fintok.audit(small_bundle, small_panel, cuts=2, labeler=labeler, scorer=PeekingScorer(small_bundle))
    assert guilty(found) == {"score"}
    assert 0.0 < found.summary().loc["score", "largest_change"] < np.inf


def test_a_forecast_from_one_day_ahead_is_caught_on_its_one_row(small_bundle, small_panel):
    peeking = PeekingBundle(**{one.name: getattr(small_bundle, one.name) for one in fields(small_bundle) if one.init})
    labeler = RegimeLabeler(peeking, n_regimes=2).fit(small_panel)  # what it has read before is not taken again
    found = fintok.audit(peeking, small_panel, cuts=1, labeler=labeler)
    assert {"forecast", "probability"} <= guilty(found)
    table = found.to_pandas().set_index("what")
    assert table.loc["forecast", "changed"] <= peeking.codebook_size
    assert table.loc["forecast", "first_change"] == table.loc["forecast", "date"]


def test_estimators_are_left_as_they_were_and_a_seed_repeats_the_dates(clean, small_bundle, small_panel, labeler):
    assert not labeler.__sklearn_is_fitted__()
    assert labeler.bundle is small_bundle
    again = fintok.audit(small_bundle, small_panel, cuts=3, labeler=labeler)
    assert again.findings == clean.findings


def test_tables_and_figure(clean):
    assert clean.to_polars()["first_change"].null_count() == len(clean.findings)
    assert clean.to_polars().columns == clean.to_pandas().columns.tolist()
    assert clean.plot().data[0].z.max() == 0.0
    noon, evening = (finding._replace(date=np.datetime64(f"2020-01-03T{hour}")) for finding, hour in
                     ((clean.findings[0], 12), (clean.findings[0], 18)))  # fmt: skip
    assert replace(clean, findings=(noon, evening)).plot().data[0].x == ("2020-01-03 12:00", "2020-01-03 18:00")


def test_another_future_keeps_the_past_to_the_bit_and_changes_all_that_follows(small_panel):
    row = 300
    changed = another_future(small_panel, row, np.random.default_rng(0))
    np.testing.assert_array_equal(changed.returns[: row + 1], small_panel.returns[: row + 1])
    np.testing.assert_array_equal(changed.prices[: row + 1], small_panel.prices[: row + 1])
    assert len(changed) == row + 1 + 60
    assert (changed.returns[row + 1 :] != small_panel.returns[row + 1 : row + 61]).all()
    assert np.isfinite(changed.prices[row + 1 :]).all()
    ratio = np.log(changed.prices[row + 2 :] / changed.prices[row + 1 : -1])
    np.testing.assert_allclose(ratio, changed.returns[row + 2 :])


def test_a_panel_without_a_future_and_no_cuts_are_refused(small_bundle, small_panel):
    with pytest.raises(InputError, match=r"trained to 2015-03-31: an audit needs later rows"):
        fintok.audit(small_bundle, small_panel.until(small_bundle.train_end))
    for cuts in (0, 2.5):
        with pytest.raises(InputError, match=f"cuts is {cuts}, expected a whole number"):
            fintok.audit(small_bundle, small_panel, cuts=cuts)
