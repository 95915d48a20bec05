import numpy as np
import pytest

from fintok.errors import InputError
from fintok.evaluate import anomalies
from fintok.evaluate.alarms import WILD, alarm_table, fixed_threshold_alarms, wild_months
from fintok.evaluate.anomalies import NINE, evaluate_anomalies
from fintok.evaluate.anomaly_rivals import RIVALS, Rival, ewma_z
from fintok.evaluate.detection import CHECKS_ALONE, SCORE_ALONE
from fintok.evaluate.result import OURS, Findings
from fintok.fault_kinds import BAR_KINDS, KINDS, LADDERS
from fintok.panel import Panel
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns

CUT = 900


@pytest.fixture(scope="module")
def panel():
    returns = simulate_returns(1900, 16, seed=4)[0]
    prices = 100.0 * np.exp(np.cumsum(returns, axis=0))
    volume = np.random.default_rng(0).lognormal(12.0, 0.3, prices.shape)
    fields = {"high": 1.01 * prices, "low": 0.99 * prices, "close": prices, "volume": volume}
    return make_panel(returns, fields={name: column.astype(np.float32) for name, column in fields.items()})


@pytest.fixture(scope="module", autouse=True)
def few():
    """One pass, and rivals that are quick; tests/fintok/evaluate/test_anomaly_rivals.py has them all."""
    rivals = {name: RIVALS[name] for name in ("EWMA z", "stale run", "volume z", "ECOD")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomalies, "MOST_PASSES", 1)
        patch.setattr(anomalies, "RIVALS", {**rivals, "oracle": Rival(lambda training: ewma_z, package="no_such")})
        yield


@pytest.fixture(scope="module")
def found(panel) -> Findings:
    return evaluate_anomalies(FakeBundle(panel[:CUT]), panel, events=3)


def test_all_kinds_are_planted_and_every_detector_is_judged(found):
    kinds = found.tables["recall by kind"]
    assert set(kinds["kind"]) == {*KINDS, *BAR_KINDS}
    assert (kinds["faults"] >= 2).all()
    assert set(kinds.loc[kinds["counts"], "kind"]) == set(NINE)
    detectors = list(kinds.columns[3:])
    assert detectors[:3] == [OURS, SCORE_ALONE, CHECKS_ALONE]
    assert detectors[3:] == ["EWMA z", "stale run", "volume z", "ECOD"]
    assert any("oracle is left out" in sentence for sentence in found.verdicts)
    values = kinds[detectors].to_numpy()
    assert ((values >= 0) & (values <= 1)).all()
    assert (found.tables["recall by kind at 5"][detectors].to_numpy() >= values).all()
    assert list(found.tables["detectors"]["detector"]) == detectors


def test_what_is_easy_is_found(found):
    kinds = found.tables["recall by kind"].set_index("kind")
    for kind in ("decimal shift", "missed split", "filled forward", "high below close"):
        assert kinds.loc[kind, OURS] == 1.0, kind
    assert kinds.loc["decimal shift", "EWMA z"] == 1.0
    assert kinds.loc["stale", "stale run"] == 1.0
    assert kinds.loc["volume x1000", "volume z"] == 1.0
    assert kinds.loc["high below close", "EWMA z"] == 0.0
    assert kinds.loc["high below close", SCORE_ALONE] <= 0.5
    assert kinds.loc["high below close", CHECKS_ALONE] == kinds.loc["stale", CHECKS_ALONE] == 1.0
    assert kinds.loc["swap", CHECKS_ALONE] == 0.0


def test_the_row_of_a_detector_is_the_mean_of_its_kinds(found):
    kinds = found.tables["recall by kind"]
    detectors = found.tables["detectors"].set_index("detector")
    means = kinds.loc[kinds["counts"], list(detectors.index)].mean()
    np.testing.assert_allclose(detectors["recall_at_1"], means[detectors.index])
    alone, both = detectors["recall_at_1"], detectors["recall_at_1_with_checks"]
    assert both[CHECKS_ALONE] == alone[CHECKS_ALONE]
    assert (both >= np.maximum(alone, alone[CHECKS_ALONE])).all()
    assert (both <= alone + alone[CHECKS_ALONE]).all()
    assert both["EWMA z"] > alone["EWMA z"]  # which sees no stale price
    for column in ("average_precision", "vus_pr", "hit_at_1", "hit_at_3"):
        assert detectors[column].between(0, 1).all()
    assert (detectors["hit_at_3"] >= detectors["hit_at_1"]).all()


def test_severities_stand_in_order(found):
    table = found.tables["recall by severity"]
    names = [rung for ladder in LADDERS.values() for rung in ladder]
    assert list(table["kind"]) == [rung for rung in names if rung in set(table["kind"])]
    assert len(table) == len(names)
    drift = table[table["family"] == "drift"]
    assert list(drift["kind"]) == ["drift 0.7", "drift", "drift 2"]


def test_every_year_has_its_alarms_and_the_verdicts_say_who_won(found, panel):
    alarms = found.tables["alarms"]
    years = [str(year) for year in np.unique(panel.dates[CUT:].astype("datetime64[Y]"))]
    assert list(alarms["period"]) == ["all", WILD, *years]
    assert alarms.loc[2:, "asset_days"].sum() == alarms.loc[0, "asset_days"] == 16 * 1000
    assert alarms.iloc[0, 2] < 5.0
    alike = found.tables["alarms calibrated alike"]
    assert list(alike.columns) == list(alarms.columns)
    np.testing.assert_array_equal(alike[OURS], alarms[OURS])
    assert 0.5 < alike.loc[0, "EWMA z"] < 2.5  # whatever is calibrated
    assert (alike["EWMA z"] != alarms["EWMA z"]).any()
    text = " ".join(found.verdicts)
    for word in (
        "planted faults",
        "one false alarm",
        "clearly ahead",
        "Average precision",
        "wildest months",
        "calibrated as fintok is",
    ):
        assert word in text
    assert len(found.figures) == 3
    for figure in found.figures.values():
        assert figure.data


def test_a_panel_of_returns_has_the_faults_it_can_have(panel):
    returns = Panel.from_arrays(panel.returns, panel.dates, panel.assets, values="returns")
    found = evaluate_anomalies(FakeBundle(returns[:CUT]), returns, events=1)
    assert "drift" in set(found.tables["recall by kind"]["kind"])
    assert any("Not planted" in sentence and "missed split" in sentence for sentence in found.verdicts)


def test_too_few_rows_are_refused(panel):
    with pytest.raises(InputError, match="100 rows up to the model's train_end"):
        evaluate_anomalies(FakeBundle(panel[:100]), panel)
    with pytest.raises(InputError, match="100 rows after the model's train_end"):
        evaluate_anomalies(FakeBundle(panel[:1800]), panel)


def test_the_wildest_months_are_those_in_which_the_market_moved_most():
    returns = 0.01 * np.random.default_rng(0).normal(size=(730, 3))
    returns[400:420] *= 10  # 6 to 25 February 2001
    assert wild_months(make_panel(returns, start="2000-01-03"), 10) == [np.datetime64("2001-02")]


def test_a_fixed_threshold_comes_from_rows_before_the_cut():
    scores = np.arange(2000.0).reshape(1000, 2) % 997
    scores[500:] *= 3.0
    alarms = fixed_threshold_alarms(scores, 500, 10.0)
    assert alarms[:500].mean() == pytest.approx(0.01, abs=0.002)
    assert alarms[500:].mean() > 0.5
    panel = make_panel(np.full((1000, 2), 0.01), start="2000-01-03")
    table = alarm_table(panel, 500, {"loud": (alarms, np.ones_like(alarms))})
    assert table.loc[0, "loud"] == pytest.approx(1000 * alarms[500:].mean())
