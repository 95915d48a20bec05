"""No token, label, probability, score or p-value at a date changes when later rows do; columns have no order."""

from dataclasses import replace

import numpy as np
import pytest

from fintok.anomaly import AnomalyScorer
from fintok.panel import Panel
from fintok.regimes import RegimeLabeler

CUTS = (331, 407, 462)  # rows; the training rows end before


def readings(bundle, panel: Panel) -> dict[str, np.ndarray]:
    """Everything that is said of a panel, (T, ...) each."""
    tokens = bundle.tokenize(panel)
    labeler = RegimeLabeler(bundle, n_regimes=2).fit()
    scores = AnomalyScorer(bundle, alarms_per_1000=5.0).fit(panel).score(panel)
    frame = scores.to_pandas().set_index(["date", "symbol"])
    wide = {
        name: frame[name].unstack().reindex(index=panel.dates, columns=list(panel.assets))
        for name in ("score", "p_value", "alert", "reason")
    }
    return {
        "codes": tokens.codes,
        "words": tokens.words,
        "surprise": tokens.surprise,
        "forecast": bundle.forecast(panel),
        "labels": labeler.predict(panel).to_numpy(dtype=float, na_value=np.nan),
        "probabilities": labeler.predict_proba(panel).to_numpy(),
        "scores": wide["score"].to_numpy(dtype=float),
        "p-values": wide["p_value"].to_numpy(dtype=float),
        "alerts": wide["alert"].to_numpy(dtype=float),
        "reasons": wide["reason"].astype(object).fillna("").to_numpy(),
    }


@pytest.fixture(scope="module")
def whole(small_bundle, small_panel):
    return readings(small_bundle, small_panel)


@pytest.mark.parametrize("row", CUTS)
def test_a_panel_cut_short_says_the_same_of_every_earlier_date(small_bundle, small_panel, whole, row):
    for name, values in readings(small_bundle, small_panel[:row]).items():
        np.testing.assert_array_equal(values, whole[name][:row], err_msg=name)


@pytest.mark.parametrize("row", CUTS)
def test_noise_after_a_date_changes_nothing_before_it(small_bundle, small_panel, whole, noise_after, row):
    for name, values in readings(small_bundle, noise_after(small_panel, row)).items():
        np.testing.assert_array_equal(values[:row], whole[name][:row], err_msg=name)


@pytest.mark.parametrize("row", CUTS)
def test_assets_that_list_later_and_columns_without_a_value_change_nothing_before(small_bundle, small_panel, row):
    """To rounding: another number of columns gives other batches."""
    more = np.full((small_panel.num_days, 2), np.nan)
    more[row:, 0] = np.random.default_rng(row).normal(0, 0.02, small_panel.num_days - row)
    assets = ("AAA listed later", f"{small_panel.assets[5]} never", *small_panel.assets)  # among the others by name
    wider = replace(small_panel, returns=np.hstack([more, small_panel.returns]), assets=assets, prices=None)
    again = readings(small_bundle, wider)
    one = readings(small_bundle, replace(small_panel, prices=None))
    for name in ("codes", "surprise", "scores", "p-values", "alerts"):
        known, found = one[name][:row], again[name][:row, 2:]
        np.testing.assert_array_equal(np.isnan(known), np.isnan(found), err_msg=name)
        close = np.isclose(known, found, rtol=2e-3, atol=2e-3, equal_nan=True)
        assert close.mean() > 0.9999, name  # a tie may fall the other way
    np.testing.assert_allclose(again["forecast"][:row], one["forecast"][:row], atol=1e-5)
    np.testing.assert_array_equal(again["labels"][:row], one["labels"][:row])


def test_the_readings_compared_are_not_empty(whole):
    assert (whole["codes"] >= 0).mean() > 0.8
    for name in ("surprise", "forecast", "labels", "probabilities", "scores"):
        assert np.isfinite(whole[name]).mean() > 0.5, name


def test_permuting_assets_permutes_tokens_and_scores_and_leaves_regimes(small_bundle, small_panel, whole):
    order = np.random.default_rng(1).permutation(small_panel.num_assets)
    shuffled = replace(
        small_panel,
        returns=small_panel.returns[:, order],
        prices=None if small_panel.prices is None else small_panel.prices[:, order],
        assets=tuple(small_panel.assets[place] for place in order),
    )
    again = readings(small_bundle, shuffled)
    assert (again["codes"] == whole["codes"][:, order]).mean() > 0.9999  # a tie may fall the other way
    np.testing.assert_allclose(again["surprise"], whole["surprise"][:, order], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(again["forecast"], whole["forecast"], atol=1e-5)
    known = np.isfinite(whole["labels"])
    assert (again["labels"] == whole["labels"])[known].mean() > 0.99
    known = np.isfinite(whole["scores"][:, order])
    np.testing.assert_array_equal(known, np.isfinite(again["scores"]))
    assert np.corrcoef(again["scores"][known], whole["scores"][:, order][known])[0, 1] > 0.999
