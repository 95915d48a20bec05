import subprocess
import sys

import pytest

from fintok.anomaly import AnomalyScorer
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
