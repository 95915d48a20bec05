"""The patch seen beside the one expected."""

import numpy as np
import pytest

from fintok import inference
from fintok.counterfactual import mixture_moments
from fintok.errors import InputError


def test_the_moments_are_those_of_draws_from_the_mixture():
    rng = np.random.default_rng(0)
    p = np.array([0.2, 0.5, 0.3])
    mean = np.array([[-1.0, 0.4], [0.1, 0.0], [0.8, 1.2]])
    variance = np.array([[0.2, 0.1], [0.05, 0.3], [0.1, 0.2]])
    code = rng.choice(3, size=400_000, p=p)
    draws = np.sinh(mean[code] + np.sqrt(variance[code]) * rng.standard_normal((400_000, 2)))
    expected, deviation = mixture_moments(p, mean, variance)
    np.testing.assert_allclose(expected, draws.mean(0), atol=0.01)
    np.testing.assert_allclose(deviation, draws.std(0), rtol=0.01)


@pytest.fixture(scope="module")
def cell(small_bundle, small_panel):
    """A row and column with a token and a surprise, late in the panel."""
    surprise = small_bundle.surprise(small_panel[:300]).surprise
    return 299, int(np.isfinite(surprise[299]).argmax())


def test_it_shows_the_panel_s_returns_and_the_surprise_of_the_whole_pass(small_bundle, small_panel, cell):
    row, column = cell
    patch = small_bundle.counterfactual(small_panel, small_panel.dates[row], small_panel.assets[column])
    whole = small_bundle.surprise(small_panel[:300])
    assert patch.surprise == pytest.approx(whole.surprise[row, column], rel=1e-4)
    assert patch.usual == pytest.approx(whole.expected[row, column], rel=1e-4)
    assert patch.code == small_bundle.codes(small_panel[:300])[row, column]
    np.testing.assert_array_equal(patch.dates, small_panel.dates[row - 4 : row + 1])
    np.testing.assert_array_equal(patch.seen, small_panel.returns[row - 4 : row + 1, column])
    assert (patch.deviation > 0).all()
    np.testing.assert_allclose(patch.distance, (patch.seen - patch.expected) / patch.deviation)


def test_what_is_expected_is_in_the_asset_s_own_units_and_blind_to_the_patch(small_bundle, small_panel, cell):
    from dataclasses import replace

    row, column = cell
    returns = small_panel.returns.copy()
    returns[row - 2 : row + 1, column] *= 3.0
    name = small_panel.assets[column]
    here = small_bundle.counterfactual(small_panel, small_panel.dates[row], name)
    changed = small_bundle.counterfactual(replace(small_panel, returns=returns), small_panel.dates[row], name)
    np.testing.assert_allclose(changed.expected[:3], here.expected[:3], rtol=1e-4)  # later scales know the change
    usual = np.nanmean(np.abs(small_panel.returns[:row, column]))
    assert 0.2 * usual < here.deviation.mean() < 5.0 * usual


def test_rows_to_come_change_nothing(small_bundle, small_panel, cell, noise_after):
    row, column = cell
    name, date = small_panel.assets[column], small_panel.dates[row]
    here = small_bundle.counterfactual(small_panel, date, name)
    for changed in (small_panel[: row + 1], noise_after(small_panel, row + 1)):
        there = small_bundle.counterfactual(changed, date, name)
        np.testing.assert_array_equal(there.expected, here.expected)
        assert there.surprise == here.surprise


def test_per_cent_are_shares_of_the_price_over_the_days_observed(small_bundle, small_panel, cell):
    from dataclasses import replace

    row, column = cell
    patch = small_bundle.counterfactual(small_panel, small_panel.dates[row], small_panel.assets[column])
    seen, expected = np.array([-0.2, np.nan, 0.05, np.nan, -0.1]), np.array([0.01, 0.3, 0.02, 0.3, 0.03])
    told = repr(replace(patch, seen=seen, expected=expected, values="prices"))
    assert f"{np.expm1(-0.25):+.2%} seen, {np.expm1(0.06):+.2%} expected" in told
    assert "-0.25 seen, +0.06 expected" in repr(replace(patch, seen=seen, expected=expected, values="returns"))
    bars, points = replace(patch, seen=seen, expected=expected, values="prices").plot().data
    np.testing.assert_allclose(bars.y, np.expm1(seen), rtol=1e-5)
    np.testing.assert_allclose(points.y, np.expm1(expected), rtol=1e-5)


def test_tables_figure_and_repr(small_bundle, small_panel, cell):
    row, column = cell
    patch = small_bundle.counterfactual(small_panel, str(small_panel.dates[row]), small_panel.assets[column])
    assert patch.to_polars().columns == ["date", "seen", "expected", "deviation", "distance"]
    assert patch.to_pandas()["date"].tolist() == list(small_panel.dates[row - 4 : row + 1])
    assert patch.summary().loc["surprise", "value"] == patch.surprise
    assert [trace.name for trace in patch.plot().data] == ["seen", "expected, ± 2 deviations"]
    assert len(repr(patch).splitlines()) == 1


def test_a_cell_without_a_token_is_refused(small_bundle, small_panel):
    day = str(small_panel.dates[10])[:10]
    with pytest.raises(InputError, match=f"has no token on {day} to compare"):
        small_bundle.counterfactual(small_panel, small_panel.dates[10], small_panel.assets[0])
    with pytest.raises(InputError, match="no asset"):
        small_bundle.counterfactual(small_panel, small_panel.dates[300], "nobody")


def test_readings_from_a_row_on_are_those_of_the_whole_pass(small_bundle, small_panel, monkeypatch):
    monkeypatch.setattr(inference, "TOKENS_PER_BATCH", 12 * 4 * 7)  # several batches, and a row in the middle of one
    whole, part = small_bundle.surprise(small_panel[:200]), small_bundle.surprise(small_panel[:200], since=150)
    for one, other in zip(part, whole, strict=True):
        assert np.isnan(one[:150]).all()
        np.testing.assert_array_equal(one[150:], other[150:])
    whole, part = small_bundle.forecast(small_panel[:200]), small_bundle.forecast(small_panel[:200], since=150)
    assert np.isnan(part[:150]).all()
    np.testing.assert_array_equal(part[150:], whole[150:])
