import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fintok
from fintok.anomaly import AnomalyScorer
from fintok.errors import InputError
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns


@pytest.fixture(scope="module")
def bundle():
    return FakeBundle(make_panel(simulate_returns(600, 4)[0]))


@pytest.mark.parametrize("kind", [RegimeLabeler, AnomalyScorer])
def test_parameters_are_stored_as_given_read_and_set_by_name(bundle, kind):
    estimator = kind(bundle)
    params = estimator.get_params()
    assert params["bundle"] is bundle
    for name, value in params.items():
        assert getattr(estimator, name) is value
    name = next(name for name in params if name != "bundle")
    assert estimator.set_params(**{name: 7}) is estimator
    assert estimator.get_params()[name] == 7
    with pytest.raises(ValueError, match="no parameter 'nonsense'"):
        estimator.set_params(nonsense=1)
    assert "bundle" not in repr(estimator)
    assert f"{name}=7" in repr(estimator)


def test_scikit_learn_clones_and_pipelines_the_estimators(bundle):
    base = pytest.importorskip("sklearn.base")
    pipeline = pytest.importorskip("sklearn.pipeline")
    validation = pytest.importorskip("sklearn.utils.validation")
    labeler = RegimeLabeler(bundle, n_regimes=2)
    copied = base.clone(labeler)
    assert copied is not labeler
    assert copied.n_regimes == 2
    assert labeler.__sklearn_tags__().target_tags.required is False
    with pytest.raises(Exception, match="not fitted"):
        validation.check_is_fitted(labeler)
    chain = pipeline.Pipeline([("regimes", labeler)]).fit(bundle.training)
    validation.check_is_fitted(labeler)
    assert len(chain.predict(bundle.training)) == 600


def test_another_bundle_is_asked_anew():
    one, other = (FakeBundle(make_panel(simulate_returns(900, 4, seed)[0])) for seed in (1, 2))
    panel = make_panel(simulate_returns(1200, 4, 3)[0])
    labeler, scorer = RegimeLabeler(one, n_regimes=2).fit(), AnomalyScorer(one).fit()
    labeler.predict(panel)
    scorer.score(panel)
    asked = len(other.calls)
    changed = labeler.set_params(bundle=other).fit().predict(panel)
    assert changed.equals(RegimeLabeler(other, n_regimes=2).fit().predict(panel))
    scorer.set_params(bundle=other).fit().score(panel)
    assert any(call.startswith("surprise") for call in other.calls[asked:])


@pytest.mark.parametrize("kind", [RegimeLabeler, AnomalyScorer])
def test_a_table_is_not_taken_for_a_panel_nor_a_panel_for_features(bundle, kind):
    pytest.importorskip("sklearn")
    panel = bundle.training
    with pytest.raises(InputError, match=r"expected a Panel, got pandas.*read_panel makes one"):
        kind(bundle).fit(panel.to_pandas())
    ask = "predict" if kind is RegimeLabeler else "score"
    with pytest.raises(InputError, match="expected a Panel"):
        getattr(kind(bundle).fit(panel), ask)(panel.to_pandas())
    with pytest.raises(InputError, match="was fitted on features: fit it on a panel first"):
        getattr(kind().fit(panel.returns), ask)(panel)
    assert len(getattr(kind().fit(panel.returns), ask)(panel.returns)) == panel.num_days


def weekly_features():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    weeks = pd.date_range("2008-01-04", periods=600, freq="W-FRI", name="date")
    return pd.DataFrame(np.random.default_rng(0).normal(size=(600, 3)), index=weeks, columns=list("abc"))


def test_dates_of_features_may_be_written_in_many_ways():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = weekly_features()
    weeks = table.index
    plain = RegimeLabeler(n_regimes=2).fit(table)
    for index in (weeks.tz_localize("Asia/Tokyo"), weeks.to_period("W-FRI"), pd.Index(weeks.date), weeks.astype(str),
                  pd.CategoricalIndex(weeks.astype(str))):  # fmt: skip
        np.testing.assert_array_equal(RegimeLabeler(n_regimes=2).fit(table.set_axis(index)).labels_, plain.labels_)
    dated = pl.from_pandas(table.reset_index())
    found = RegimeLabeler(n_regimes=2).fit(dated)
    assert found.n_features_in_ == 3
    np.testing.assert_array_equal(found.predict(dated), plain.predict(table))
    np.testing.assert_array_equal(RegimeLabeler(n_regimes=2).fit(table.reset_index()).labels_, plain.labels_)
    undated = RegimeLabeler(n_regimes=2).fit(table.to_numpy()).labels_
    assert (undated != plain.labels_).any()  # 252 rows a year switch less often
    for index in (range(600), [f"row {k}" for k in range(600)]):
        np.testing.assert_array_equal(RegimeLabeler(n_regimes=2).fit(table.set_axis(index)).labels_, undated)


def test_dates_of_features_that_are_missing_doubled_or_out_of_order_are_refused():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = weekly_features()
    labeler = RegimeLabeler(n_regimes=2)
    with pytest.raises(InputError, match="a row of the features has no date"):
        labeler.fit(table.set_axis(table.index.insert(0, pd.NaT)[:-1]))
    with pytest.raises(InputError, match="must strictly increase"):
        labeler.fit(table.set_axis(table.index.date)[::-1])
    doubled = pd.concat([table, table[-1:]])
    with pytest.raises(
        InputError, match=r"and (\S+) follows \1: sort the table by its dates, and keep one row of each"
    ):
        labeler.fit(doubled)
    with pytest.raises(InputError, match="several columns of dates, date, other: keep one"):
        labeler.fit(table.reset_index().assign(other=table.index))
    with pytest.raises(InputError, match="several columns of dates, date, other: keep one"):
        labeler.fit(pl.from_pandas(table.reset_index()).with_columns(other=pl.col("date")))
    with pytest.raises(InputError, match="`until` and `registry` are of panels"):
        labeler.fit(table, until="2010-01-01")


def test_functions_of_a_panel_refuse_a_table_in_the_same_words(bundle, tmp_path):
    table, labeler = bundle.training.to_pandas(), RegimeLabeler(bundle, n_regimes=2)
    for ask in (
        lambda: fintok.check_panel(table),
        lambda: fintok.walk_forward(labeler, table),
        lambda: fintok.choose_regimes(labeler, table),
        lambda: fintok.audit(bundle, table),
        lambda: fintok.evaluate(bundle, table, tmp_path),
        lambda: fintok.report(bundle, table, tmp_path / "report.html"),
    ):
        with pytest.raises(InputError, match=r"expected a Panel, got pandas.*read_panel makes one"):
            ask()


@pytest.mark.parametrize("model", ["runs/us", Path("runs/us")])
def test_the_folder_of_a_model_is_not_taken_for_a_bundle(bundle, model, tmp_path):
    panel = bundle.training
    for ask in (
        lambda: RegimeLabeler(model).fit(panel),
        lambda: AnomalyScorer(model).fit(panel),
        lambda: fintok.audit(model, panel),
        lambda: fintok.evaluate(model, panel, tmp_path),
        lambda: fintok.report(model, panel, tmp_path / "report.html"),
    ):
        with pytest.raises(InputError, match=r"expected a Bundle, got the path 'runs/us': fintok\.load makes one"):
            ask()


def test_other_things_in_place_of_a_bundle_or_a_labeler_are_named(bundle, tmp_path):
    panel = bundle.training
    for ask in (
        lambda: RegimeLabeler(panel).fit(),
        lambda: RegimeLabeler(panel).fit(panel),
        lambda: AnomalyScorer(panel).fit(panel),
        lambda: fintok.evaluate(panel, panel, tmp_path),
    ):
        with pytest.raises(InputError, match=r"expected a Bundle, got a Panel: fintok\.load\(\) or fintok\.pretrain"):
            ask()
    for ask in (lambda: fintok.walk_forward(bundle, panel), lambda: fintok.choose_regimes(bundle, panel)):
        with pytest.raises(InputError, match=r"expected a RegimeLabeler, got a FakeBundle: RegimeLabeler\(bundle\)"):
            ask()


ORDER = "a day's regime follows from the days before it"


@pytest.mark.parametrize(
    ("estimator", "not_held"),
    [
        (
            RegimeLabeler(n_regimes=2),
            {"check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER},
        ),
        (AnomalyScorer(), {}),
    ],
    ids=["labeler", "scorer"],
)
def test_scikit_learn_s_checks_pass_on_features_but_for_what_order_means(estimator, not_held):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    results = checks.check_estimator(estimator, expected_failed_checks=not_held, on_fail=None)
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []
    assert sum(result["status"] == "passed" for result in results) > 30


def test_importing_the_heads_stays_light():
    heavy = "torch pandas polars plotly scipy sklearn lightning"
    code = (
        "import sys, fintok.regimes, fintok.anomaly, fintok.report, fintok.plots.scores, fintok.plots.regimes\n"
        f"print(*(name for name in '{heavy}'.split() if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
