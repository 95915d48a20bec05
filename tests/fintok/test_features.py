"""The estimators on features: a table of numbers, a row a day."""

import numpy as np
import pandas as pd
import pytest

from fintok.anomaly import AnomalyScorer
from fintok.errors import InputError
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import make_panel, simulate_returns


def test_features_in_a_table_give_arrays_and_states_that_persist():
    returns, states = simulate_returns(2400, 8)
    dates = make_panel(returns).dates
    rng = np.random.default_rng(0)
    table = states[:, None] + 0.7 * rng.standard_normal((2400, 3))
    labeler = RegimeLabeler(n_regimes=3).fit(table[:1400])
    labels, p = labeler.predict(table), labeler.predict_proba(table)
    assert np.mean(labels[1400:] == states[1400:]) > 0.85
    np.testing.assert_array_equal(p.argmax(axis=1), labels)
    np.testing.assert_array_equal(labeler.labels_, labels[:1400])
    np.testing.assert_array_equal(labeler.predict(table[:1500]), labels[:1500])
    dated = pd.DataFrame(table, index=pd.DatetimeIndex(dates), columns=list("xyz"))
    weekly = RegimeLabeler(n_regimes=3).fit(dated[:1400])
    assert weekly.model_.half_spell == pytest.approx(labeler.model_.half_spell * 365.25 / 252, rel=0.01)
    with pytest.raises(InputError, match="must strictly increase"):
        weekly.predict(dated[::-1])


def test_features_far_from_their_column_score_high():
    values = np.random.default_rng(0).standard_normal((3000, 3)) * [1.0, 20.0, 0.1]
    scorer = AnomalyScorer().fit(values)
    values[[7, 8, 9]] = [[6.0, 0.0, 0.0], [0.0, -120.0, 0.0], [0.0, 6.0, 0.0]]
    scores = scorer.score(values)
    assert scores.shape == (3000,)
    assert set(np.argsort(-scores)[:2]) == {7, 8}
    assert scores[9] < 2.0  # six is nothing for the second column
    with pytest.raises(InputError, match="fitted on features"):
        scorer.score(make_panel(np.zeros((30, 2))))
