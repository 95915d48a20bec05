import pickle
from dataclasses import replace
from typing import get_overloads

import numpy as np
import polars as pl
import pytest

from fintok.errors import InputError
from fintok.panel import Panel
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import (
    HISTORY,
    FakeBundle,
    make_panel,
    permuted,
    simulate_returns,
    with_noise_after,
)

TRAIN = 1400


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(2400, 8)[0])


@pytest.fixture(scope="module")
def bundle(panel):
    return FakeBundle(panel[:TRAIN])


@pytest.fixture(scope="module")
def labeler(bundle, panel):
    return RegimeLabeler(bundle, n_regimes=3).fit(panel)


def test_labels_recover_the_volatility_states_causally(labeler, panel):
    _, states = simulate_returns(2400, 8)
    labels = labeler.label(panel).labels
    late = np.arange(2400) >= TRAIN
    assert np.mean(labels[late] == states[late]) > 0.8


def test_regimes_are_ordered_from_calm_to_stressed(labeler, panel):
    volatility = labeler.signature_["volatility"].to_numpy()
    assert (np.diff(volatility) > 0).all()
    assert labeler.names_[0].startswith("calm")
    assert labeler.names_[-1].startswith("stressed")
    out_of_sample = labeler.label(panel).summary()["volatility"].to_numpy()
    assert (np.diff(out_of_sample) > 0).all()


@pytest.mark.parametrize("length", [HISTORY + 3, 777, TRAIN + 1, 2399])
def test_truncating_the_panel_changes_nothing_before(labeler, panel, length):
    whole, part = labeler.label(panel), labeler.label(panel[:length])
    np.testing.assert_array_equal(part.labels, whole.labels[:length])
    np.testing.assert_array_equal(part.probabilities, whole.probabilities[:length])


def test_noise_after_a_date_changes_nothing_before(labeler, panel):
    for row in (TRAIN + 200, 2000):
        noisy = labeler.label(with_noise_after(panel, row))
        whole = labeler.label(panel)
        np.testing.assert_array_equal(noisy.labels[: row + 1], whole.labels[: row + 1])
        np.testing.assert_array_equal(noisy.probabilities[: row + 1], whole.probabilities[: row + 1])
        assert (noisy.labels[row + 1 :] != whole.labels[row + 1 :]).any()


def test_fit_looks_at_training_rows_only(bundle, labeler, panel):
    noisy = RegimeLabeler(bundle, n_regimes=3).fit(with_noise_after(panel, TRAIN - 1))
    assert noisy.model_.penalty == labeler.model_.penalty
    np.testing.assert_array_equal(noisy.model_.centres, labeler.model_.centres)
    assert noisy.names_ == labeler.names_


def test_permuting_the_assets_leaves_the_regimes_as_they_were(bundle, labeler, panel):
    shuffled = permuted(panel, np.random.default_rng(0).permutation(8))
    again = RegimeLabeler(bundle, n_regimes=3).fit(shuffled)
    np.testing.assert_array_equal(again.label(shuffled).labels, labeler.label(panel).labels)
    np.testing.assert_array_equal(labeler.label(shuffled).labels, labeler.label(panel).labels)


@pytest.mark.parametrize("switches_per_year", [1.0, 4.0, 12.0])
def test_training_path_keeps_to_the_switches_asked_for(bundle, panel, switches_per_year):
    labeler = RegimeLabeler(bundle, n_regimes=3, switches_per_year=switches_per_year).fit(panel)
    assert labeler.label(panel[:TRAIN]).switches_per_year <= switches_per_year * 1.05  # less the unlabelled start


def test_probabilities_sum_to_one_agree_with_the_label_and_are_never_certain(labeler, panel):
    regimes = labeler.label(panel)
    labelled = regimes.labels >= 0
    p = regimes.probabilities[labelled]
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_array_equal(p.argmax(axis=1), regimes.labels[labelled])
    assert p.max() < 0.9995
    assert p.max(axis=1).std() > 0.02
    assert np.isnan(regimes.probabilities[~labelled]).all()


def test_probabilities_predict_what_hindsight_will_say(labeler, panel):
    regimes, hindsight = labeler.label(panel), labeler.smooth(panel)
    days = np.flatnonzero(regimes.labels >= 0)
    truth = hindsight.to_numpy(dtype=float, na_value=-1)[days].astype(int)
    p = regimes.probabilities[days, truth]
    certain = np.where(regimes.labels[days] == truth, 0.999, 0.001 / 2)
    assert -np.log(p).mean() < -np.log(certain).mean()
    assert -np.log(p).mean() < np.log(3)


def test_the_start_without_forecast_is_missing_everywhere(labeler, panel):
    series, table = labeler.predict(panel), labeler.label(panel).to_pandas()
    missing = int(series.isna().sum())
    assert missing >= HISTORY - 1
    assert series.dtype == "Int64"
    assert series.index.name == "date"
    assert series.iloc[:missing].isna().all()
    assert table["name"].isna().sum() == missing
    assert labeler.predict_proba(panel).isna().all(axis=1).sum() == missing
    assert table.columns.tolist() == ["date", "regime", "name", "p_0", "p_1", "p_2", "in_sample"]
    assert table["in_sample"].sum() == TRAIN


def test_polars_table_has_the_same_rows_with_nulls(labeler, panel):
    regimes = labeler.label(panel)
    table = regimes.to_polars()
    assert table.columns == regimes.to_pandas().columns.tolist()
    assert table["regime"].dtype == pl.Int64
    missing = int((regimes.labels < 0).sum())
    assert table.null_count().select("regime", "name", "p_0").row(0) == (missing, missing, missing)
    assert table["regime"].drop_nulls().to_list() == regimes.labels[regimes.labels >= 0].tolist()


def test_a_bundle_labels_another_panel_without_any_option(bundle):
    returns, states = simulate_returns(900, 3, seed=9)
    other = make_panel(returns, start="2015-01-01")  # all after train_end, other assets, another number of them
    labeler = RegimeLabeler(bundle, n_regimes=3).fit(other)
    assert labeler.fitted_on_ == "bundle"
    assert labeler.signature_["correlation"].isna().all()
    labels = labeler.label(other).labels
    labelled = labels >= 0
    assert np.corrcoef(labels[labelled], states[labelled])[0, 1] > 0.7
    assert not labeler.label(other).is_in_sample.any()


def test_fitting_without_a_panel_equals_fitting_on_the_training_panel(bundle, panel):
    alone = RegimeLabeler(bundle, n_regimes=3).fit()
    together = RegimeLabeler(bundle, n_regimes=3).fit(panel)
    assert (alone.fitted_on_, together.fitted_on_) == ("bundle", "panel")
    np.testing.assert_array_equal(alone.label(panel).labels, together.label(panel).labels)
    np.testing.assert_array_equal(alone.label(panel).probabilities, together.label(panel).probabilities)
    np.testing.assert_allclose(alone.signature_["volatility"], together.signature_["volatility"])


def test_a_panel_of_returns_is_described_in_deviations_of_each_asset(bundle, labeler, panel):
    """One contract a thousand times louder than the others says no more than they do; labels are the model's."""
    loud = panel.returns * np.where(np.arange(8) == 3, 1e3, 1.0)
    given = replace(panel, returns=loud, values="returns", prices=None)
    quiet = replace(given, returns=panel.returns)
    columns = ["volatility", "mean", "dispersion", "correlation"]
    labels = labeler.label(panel)
    described = replace(labels, panel=given).summary()
    np.testing.assert_allclose(described[columns], replace(labels, panel=quiet).summary()[columns])
    assert 0.2 < described.loc[0, "volatility"] < 1.0 < described.loc[2, "volatility"] < 5.0


def test_a_gap_in_the_forecast_is_skipped_and_stays_unlabelled(labeler, panel):
    class WithGap(FakeBundle):
        def forecast(self, panel):
            forecast = super().forecast(panel).copy()
            forecast[500:520] = np.nan
            return forecast

    gappy = RegimeLabeler(WithGap(panel[:TRAIN]), n_regimes=3).fit(panel)
    labels = gappy.label(panel).labels
    assert (labels[500:520] == -1).all()
    assert (labels[520:] >= 0).all()
    assert np.isfinite(gappy.label(panel).probabilities[520:]).all()


def test_a_panel_without_any_forecast_is_all_missing(labeler, panel):
    short = labeler.label(panel[: HISTORY // 2])
    assert (short.labels == -1).all()
    assert short.to_series().isna().all()
    assert len(short.to_polars()) == HISTORY // 2
    assert "no date" in repr(short)
    assert short.summary()["days"].sum() == 0


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.0, "no asset moves on any of 30 dates"),
        (np.nan, "no asset has a return on any of 30 dates: every gap is longer than 5 rows or 20 days"),
        (0.01, "no date of 30 has enough history"),
    ],
)
def test_a_panel_that_cannot_be_labelled_says_why(labeler, panel, value, sentence):
    short = replace(panel[:30], returns=np.full((30, panel.num_assets), value))
    nothing = replace(labeler.label(panel[:30]), panel=short)
    assert repr(nothing) == f"Regimes({sentence})"


def test_smooth_sees_the_whole_sample_and_agrees_with_the_causal_labels_on_most_days(labeler, panel):
    causal, hindsight = labeler.predict(panel), labeler.smooth(panel)
    assert (causal.isna() == hindsight.isna()).all()
    assert 0.7 < (causal.dropna() == hindsight.dropna()).mean() < 1.0
    changed = [(labeler.smooth(panel[:n]).dropna() != hindsight.iloc[:n].dropna()).any() for n in range(1500, 1600, 5)]
    assert any(changed)


def test_one_panel_costs_one_forecast(panel):
    bundle = FakeBundle(panel[:TRAIN])
    labeler = RegimeLabeler(bundle, n_regimes=2).fit(panel)
    labeler.predict(panel), labeler.predict_proba(panel), labeler.smooth(panel)
    assert bundle.calls == ["forecast"]


def test_transitions_durations_and_repr(labeler, panel):
    np.testing.assert_allclose(labeler.transition_matrix_.sum(axis=1), 1.0)
    assert (np.diag(labeler.transition_matrix_) > 0.9).all()
    assert (labeler.durations_ > 5).all()
    text = repr(labeler.label(panel))
    assert "switches a year" in text
    assert "\n" not in text


def test_the_same_seed_gives_the_same_labels_and_pickling_keeps_them(bundle, labeler, panel):
    again = RegimeLabeler(bundle, n_regimes=3).fit(panel)
    np.testing.assert_array_equal(again.label(panel).probabilities, labeler.label(panel).probabilities)
    copied = pickle.loads(pickle.dumps(labeler))
    np.testing.assert_array_equal(copied.label(panel).labels, labeler.label(panel).labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_regimes": 1}, "n_regimes"),
        ({"n_regimes": 2.5}, "n_regimes"),
        ({"n_regimes": "auto"}, "n_regimes"),
        ({"n_regimes": float("nan")}, "n_regimes"),
        ({"switches_per_year": -1.0}, "switches_per_year"),
        ({"switches_per_year": float("inf")}, "switches_per_year"),
        ({"n_regimes": 60}, "too few"),
    ],
)
def test_a_parameter_out_of_range_is_refused(bundle, panel, parameters, message):
    with pytest.raises(InputError, match=message):
        RegimeLabeler(bundle, **parameters).fit(panel)


def test_labelling_before_fitting_is_refused(bundle, panel):
    with pytest.raises(InputError, match=r"call fit"):
        RegimeLabeler(bundle).predict(panel)


def test_names_of_an_earlier_fit_are_kept_by_a_registry(bundle, labeler, panel):
    registry = labeler.signature_.assign(name=["quiet days", "as usual", "storm"])
    again = RegimeLabeler(bundle, n_regimes=3).fit(panel, until=panel.dates[TRAIN + 200], registry=registry)
    assert again.names_ == ("quiet days", "as usual", "storm")
    assert again.signature_["name"].tolist() == ["quiet days", "as usual", "storm"]
    assert again.label(panel).names == again.names_


def test_until_learns_from_the_rows_up_to_it_and_needs_enough(bundle, labeler, panel):
    same = RegimeLabeler(bundle, n_regimes=3).fit(panel, until=panel.dates[TRAIN - 1])
    np.testing.assert_array_equal(same.model_.centres, labeler.model_.centres)
    later = RegimeLabeler(bundle, n_regimes=3).fit(with_noise_after(panel, 1900), until=panel.dates[1900])
    np.testing.assert_array_equal(
        later.model_.centres, RegimeLabeler(bundle, n_regimes=3).fit(panel, until=panel.dates[1900]).model_.centres
    )
    with pytest.raises(InputError, match="fewer than 500 labelled rows"):
        RegimeLabeler(bundle, n_regimes=3).fit(panel, until=panel.dates[300])


def test_as_of_a_date_is_what_was_known_then(labeler, panel):
    regimes, date = labeler.label(panel), panel.dates[1700]
    then = regimes.as_of(date)
    alone = labeler.label(panel[:1701])
    np.testing.assert_array_equal(then.labels, alone.labels)
    np.testing.assert_array_equal(then.transition_matrix, alone.transition_matrix)
    assert then.summary().equals(alone.summary())
    assert then.outlook().equals(alone.outlook())
    assert str(date.astype("datetime64[D]")) in repr(then)
    with pytest.raises(InputError, match="starts after 1999"):
        regimes.as_of("1999-12-31")


def test_the_outlook_goes_from_the_day_s_probabilities_to_the_usual_shares(labeler, panel):
    regimes = labeler.label(panel)
    outlook = regimes.outlook((1, 5, 100_000))
    np.testing.assert_allclose(outlook[["now", "after 1", "after 5", "after 100000", "usual"]].sum(), 1.0)
    np.testing.assert_allclose(outlook["now"], regimes.probabilities[-1])
    np.testing.assert_allclose(outlook["after 1"], regimes.probabilities[-1] @ regimes.transition_matrix)
    np.testing.assert_allclose(outlook["after 100000"], outlook["usual"], atol=0.05)
    assert outlook["name"].tolist() == list(regimes.names)
    assert labeler.label(panel[: HISTORY // 2]).outlook()["now"].isna().all()
    for wrong in (5, (-1,), (1.5,)):
        with pytest.raises(InputError, match="expected whole numbers of rows"):
            regimes.outlook(wrong)


def test_the_outlook_of_a_regime_never_visited_gives_way_to_the_usual_ones(labeler, panel):
    regimes = labeler.label(panel[:200])
    probabilities = np.tile([0.2, 0.3, 0.5], (200, 1))
    odd = replace(regimes, labels=np.repeat([0, 1], 100), probabilities=probabilities)
    outlook = odd.outlook((1, 5, 10_000))
    np.testing.assert_allclose(outlook[["after 1", "after 5", "after 10000"]].sum(), 1.0)
    assert 0.5 > outlook.loc[2, "after 1"] > outlook.loc[2, "after 5"] > outlook.loc[2, "after 10000"]
    assert outlook.loc[2, "after 10000"] == pytest.approx(0.0, abs=1e-6)


def test_regimes_that_never_occur_or_are_out_of_order_are_remarked_upon(labeler, panel):
    regimes = labeler.label(panel)
    assert regimes.remarks() == []
    upside_down = replace(regimes, labels=np.where(regimes.labels < 0, -1, 2 - regimes.labels))
    (sentence,) = upside_down.remarks()
    assert "does not hold here" in sentence
    assert repr(regimes.names[0]) in sentence
    one = replace(regimes, labels=np.where(regimes.labels < 0, -1, 1))
    assert one.remarks() == ["2 of 3 regimes never occur here; raise --switches or lower --regimes"]


def test_a_labeler_without_a_bundle_reads_no_panel(panel):
    with pytest.raises(InputError, match="takes features"):
        RegimeLabeler().fit(panel)


def test_a_type_checker_is_told_that_panels_give_pandas_and_features_arrays():
    for method, table, array in (
        (RegimeLabeler.predict, "pd.Series", "NDArray[np.int64]"),
        (RegimeLabeler.predict_proba, "pd.DataFrame", "NDArray[np.float64]"),
    ):
        told = [(form.__annotations__["panel"], form.__annotations__["return"]) for form in get_overloads(method)]
        assert told == [(Panel, table), ("ArrayLike | pd.DataFrame", array)]
