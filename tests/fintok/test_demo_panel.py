"""What the demo promises, on the bundled panel: trained on the rows to 2007, judged after."""

import numpy as np
import pytest

from fintok.regimes import RegimeLabeler
from fintok.yardstick import measure

pytestmark = pytest.mark.timeout(2400)  # one training: some minutes, several times that on a busy machine


@pytest.fixture(scope="module")
def yardstick(demo_bundle, demo_panel):
    return measure(demo_bundle, demo_panel)


@pytest.fixture(scope="module")
def labeler(demo_bundle, demo_panel):
    return RegimeLabeler(demo_bundle, n_regimes=4).fit(demo_panel)


@pytest.fixture(scope="module")
def labels(labeler, demo_panel):
    return labeler.predict(demo_panel)


@pytest.mark.parametrize("mask", ["asset", "forecast", "block"])
def test_hidden_tokens_are_predicted_better_than_by_their_frequencies(yardstick, mask):
    assert getattr(yardstick, mask) < getattr(yardstick, f"{mask}_marginal")


def test_hidden_assets_are_predicted_about_as_well_as_by_a_factor_model(yardstick):
    assert yardstick.asset <= 1.1 * yardstick.asset_factor


def test_nine_codes_in_ten_are_used_on_training_rows(demo_bundle, demo_panel):
    tokens = demo_bundle.tokenize(demo_panel.until(demo_bundle.train_end))
    print(f"codebook usage {tokens.usage:.1%}, perplexity {tokens.perplexity:.0f}")
    assert tokens.usage >= 0.9
    assert demo_bundle.figures["codebook usage"] == pytest.approx(tokens.usage)


@pytest.mark.parametrize(("first", "last"), [("2008-09-01", "2009-03-31"), ("2020-03-01", "2020-03-31")])
def test_crises_fall_into_the_most_stressed_regime(labels, first, last):
    assert (labels[first:last] == 3).mean() >= 0.8


def test_fitting_with_and_without_the_training_panel_learns_the_same_regimes(demo_bundle, labeler):
    alone = RegimeLabeler(demo_bundle, n_regimes=4).fit()
    assert (alone.fitted_on_, labeler.fitted_on_) == ("bundle", "panel")
    np.testing.assert_array_equal(alone.model_.centres, labeler.model_.centres)
    assert (alone.model_.penalty, alone.model_.temperature) == (labeler.model_.penalty, labeler.model_.temperature)


def test_labels_switch_less_than_twelve_times_a_year(labels):
    after = labels["2008":].to_numpy(dtype=float)
    years = len(after) / 252
    assert (after[1:] != after[:-1]).sum() / years < 12


def test_every_regime_occurs_after_training(labels):
    share = labels["2008":].value_counts(normalize=True)
    assert set(share.index) == {0, 1, 2, 3}
    assert share.min() > 0.02


def test_stressed_days_are_wilder(labels, demo_panel):
    size = np.abs(demo_panel.returns).mean(axis=1)
    mean = [size[1:][(labels == regime).to_numpy(dtype=bool, na_value=False)[:-1]].mean() for regime in range(4)]
    assert mean == sorted(mean)
