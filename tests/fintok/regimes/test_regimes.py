import pickle
from typing import get_overloads

import numpy as np
import pytest

from fintok.errors import InputError
from fintok.panel import Panel
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import HISTORY, FakeBundle, make_panel, permuted, simulate_returns, with_noise_after
from tests.fintok.regimes.conftest import TRAIN


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


@pytest.mark.parametrize("switches_per_year", [2.0, 4.0, 12.0])
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


def test_a_bundle_labels_another_panel_without_any_option(bundle):
    returns, _ = simulate_returns(900, 3, seed=9)
    other = make_panel(returns, start="2015-01-01")  # all after train_end, other assets, another number of them
    labeler = RegimeLabeler(bundle, n_regimes=3).fit(other)
    assert labeler.fitted_on_ == "bundle"
    assert labeler.signature_["correlation"].isna().all()
    assert np.isin(labeler.label(other).labels, (-1, 0, 1, 2)).all()
    found = []
    for seed in range(10, 18):  # what is usual there is told from its first two years: right on average
        returns, states = simulate_returns(900, 3, seed=seed)
        labels = labeler.label(make_panel(returns, start="2015-01-01")).labels
        labelled = labels >= 0
        found.append(np.corrcoef(labels[labelled], states[labelled])[0, 1])
    assert np.mean(found) > 0.65
    assert not labeler.label(other).is_in_sample.any()


def test_fitting_without_a_panel_equals_fitting_on_the_training_panel(bundle, panel):
    alone = RegimeLabeler(bundle, n_regimes=3).fit()
    together = RegimeLabeler(bundle, n_regimes=3).fit(panel)
    assert (alone.fitted_on_, together.fitted_on_) == ("bundle", "panel")
    np.testing.assert_array_equal(alone.label(panel).labels, together.label(panel).labels)
    np.testing.assert_array_equal(alone.label(panel).probabilities, together.label(panel).probabilities)
    np.testing.assert_allclose(alone.signature_["volatility"], together.signature_["volatility"])


def test_a_panel_that_goes_on_is_read_from_its_first_new_row_on(panel, labeler):
    bundle = FakeBundle(panel[:TRAIN])
    live = RegimeLabeler(bundle, n_regimes=3).fit(panel[:2300])
    bundle.calls.clear()
    whole = labeler.label(panel)
    for count in (2301, 2400):
        labels = live.label(panel[:count])
        np.testing.assert_array_equal(labels.labels, whole.labels[:count])
        np.testing.assert_array_equal(labels.probabilities, whole.probabilities[:count])
    live.label(permuted(panel, np.arange(8)[::-1]))
    assert bundle.calls == ["forecast since 2300", "forecast since 2301", "forecast"]


def test_a_gap_in_the_forecast_is_skipped_and_stays_unlabelled(panel):
    class WithGap(FakeBundle):
        def forecast(self, panel, since=0):
            forecast = super().forecast(panel).copy()
            forecast[500:520] = np.nan
            return forecast

    gappy = RegimeLabeler(WithGap(panel[:TRAIN]), n_regimes=3).fit(panel)
    labels = gappy.label(panel).labels
    assert (labels[500:520] == -1).all()
    assert (labels[520:] >= 0).all()
    assert np.isfinite(gappy.label(panel).probabilities[520:]).all()


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
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": None}, "seed must be a whole number"),
        ({"n_regimes": 60}, "training rows are too few"),
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


def test_regimes_that_learn_on_keep_their_names_and_nearly_all_days(bundle, panel):
    labeler = RegimeLabeler(bundle, n_regimes=3).fit(panel)
    before, centres = labeler.predict(panel[:TRAIN]).to_numpy(float), labeler.model_.centres
    names = labeler.names_
    assert labeler.update(panel, until=panel.dates[1999]) is labeler
    after = labeler.predict(panel[:TRAIN]).to_numpy(float)
    assert not np.array_equal(labeler.model_.centres, centres)
    assert (before == after)[np.isfinite(before)].mean() > 0.95
    assert labeler.names_ == names == tuple(labeler.signature_["name"])
    assert labeler.learned_until_ == panel.dates[1999]
    assert labeler.label(panel).is_in_sample.sum() == 2000


def test_an_update_looks_at_no_row_after_until_and_at_none_twice(bundle, panel):
    one = RegimeLabeler(bundle, n_regimes=3).fit(panel).update(panel, until=panel.dates[1799])
    other = RegimeLabeler(bundle, n_regimes=3).fit(panel).update(with_noise_after(panel, 1800)[:1800])
    np.testing.assert_array_equal(one.model_.centres, other.model_.centres)
    assert one.model_.penalty == other.model_.penalty
    model = one.model_
    assert one.update(panel, until=panel.dates[1799]).model_ is model
    assert one.update(panel, until=panel.dates[TRAIN]).model_ is model
    assert one.update(panel).model_.counts.sum() == np.isfinite(bundle.forecast(panel)[:, 0]).sum()


def test_regimes_may_learn_on_among_rows_that_the_network_has_seen(bundle, panel):
    labeler = RegimeLabeler(bundle, n_regimes=3).fit(panel, until=panel.dates[799])
    labeler.update(panel, until=panel.dates[1199])
    assert labeler.model_.counts.sum() == np.isfinite(bundle.forecast(panel)[:1200, 0]).sum()
    assert labeler.learned_until_ == bundle.train_end


def test_regimes_of_the_bundle_learn_on_from_another_panel(bundle):
    other = make_panel(simulate_returns(2400, 5, seed=7)[0])
    labeler = RegimeLabeler(bundle, n_regimes=3).fit().update(other)
    assert labeler.learned_until_ == other.dates[-1]
    assert np.isfinite(labeler.signature_["correlation"]).all()
    assert labeler.label(other).is_in_sample.all()


def test_an_update_needs_a_fit_and_a_panel_with_a_past(bundle, labeler, panel):
    with pytest.raises(InputError, match="not fitted yet"):
        RegimeLabeler(bundle).update(panel)
    with pytest.raises(InputError, match="fewer than 500 labelled rows"):
        labeler.update(panel[:300])
    with pytest.raises(InputError, match="read_panel"):
        labeler.update(np.zeros((600, 3)))


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
