import numpy as np
import pytest

import fintok
from fintok import regime_choice
from fintok.errors import InputError
from fintok.evaluate.log_score import fit_student, log_density
from fintok.regime_choice import _choose, _Judged
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns, with_noise_after

TRAIN = 1600


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(1800, 6, seed=2)[0])


@pytest.fixture(scope="module")
def labeler(panel):
    return RegimeLabeler(FakeBundle(panel[:TRAIN]))


@pytest.fixture(scope="module")
def choice(labeler, panel):
    return fintok.choose_regimes(labeler, panel, candidates=(2, 3, 5))


def test_three_volatilities_need_three_regimes_or_as_few_as_tell_the_same(choice):
    assert choice.n_regimes == 3
    assert choice.table.loc[3, "log_score"] > choice.table.loc[2, "log_score"] + choice.table.loc[2, "error"]
    assert choice.table.index.tolist() == [2, 3, 5]
    assert choice.table["behind"].min() == 0.0
    assert (choice.table["agreement_min"] <= choice.table["agreement_mean"]).all()
    assert (choice.table["smallest_share"] < 0.5).all()
    assert (choice.table["switches_per_year"] < 12).all()


def test_nothing_after_the_training_rows_plays_a_part(labeler, panel, choice):
    again = fintok.choose_regimes(labeler, with_noise_after(panel, TRAIN - 1), candidates=(2, 3, 5))
    assert again.table.equals(choice.table)


def test_twenty_rows_before_each_judged_stretch_are_not_learned_from(labeler, monkeypatch):
    splits = []

    def without_a_model(labeler, training, number, split):
        splits.append(split)
        return np.zeros(split.test.stop, dtype=int)

    monkeypatch.setattr(regime_choice, "_path", without_a_model)
    fintok.choose_regimes(labeler, candidates=[2])
    assert [split.test.start - split.train.stop for split in splits] == [20] * 5


def test_without_a_panel_the_market_of_the_bundle_is_what_is_told(labeler):
    alone = fintok.choose_regimes(labeler, candidates=(2, 3))
    assert np.isfinite(alone.table.to_numpy()).all()
    assert alone.n_regimes in (2, 3)
    assert not labeler.__sklearn_is_fitted__()
    assert labeler.n_regimes == 4


def test_the_score_is_that_of_the_next_day_given_what_was_known(panel):
    """One stretch worked by hand: distributions from earlier pairs, judged on later ones."""
    from fintok.regime_choice import _judge
    from fintok.regime_model import Days
    from fintok.regime_training import Training
    from fintok.split import Split

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 0, 1], 400)
    returns = rng.standard_normal((1600, 1)) * np.where(labels == 0, 0.01, 0.03)[:, None]
    days = Days(panel.dates[:1600], np.zeros((1600, 1), np.float32))
    training = Training(days, returns[:, 0], returns)
    splits = [Split(slice(0, 980), slice(1000, 1300)), Split(slice(0, 1280), slice(1300, 1600))]
    judged = _judge([labels[:1300], labels], splits, training, 2)
    after, before = returns[1:980, 0], labels[:979]
    law = {k: fit_student(after[before == k]) for k in (0, 1)}
    expected = [log_density(returns[day, 0], *law[labels[day - 1]]) for day in range(1000, 1300)]
    np.testing.assert_allclose(judged.days[:300], expected)
    assert judged.counts.sum() == 600
    np.testing.assert_array_equal(judged.dates, panel.dates[1000:1600])
    assert judged.figures["agreement_min"] == 1.0


def judge(score, share=0.2, agreement=0.95, noise=0.0):
    days = np.full(600, score) + noise * np.repeat([1.0, -1.0], 300)
    figures = {"agreement_min": agreement, "smallest_share": share}
    return _Judged(days, np.ones(600, int), np.arange(600).astype("datetime64[D]"), figures)


def test_the_rule_takes_the_fewest_within_a_standard_error_of_the_best_sound_number():
    assert _choose({2: judge(1.0), 3: judge(1.1), 4: judge(1.05)}).n_regimes == 3
    assert _choose({2: judge(1.09, noise=0.5), 3: judge(1.1)}).n_regimes == 2
    assert _choose({2: judge(1.0), 3: judge(1.1, share=0.01)}).n_regimes == 2
    assert _choose({2: judge(1.0), 3: judge(1.1, agreement=0.7)}).n_regimes == 2
    unsound = _choose({2: judge(1.0, share=0.0), 3: judge(1.1, share=0.0)})
    assert unsound.n_regimes == 3
    assert "no number has frequent regimes" in unsound.reason


def test_tables_and_figure(choice):
    assert choice.to_polars().columns[:2] == ["regimes", "log_score"]
    assert list(choice.plot().data[0].x) == [2, 3, 5]
    assert repr(choice).startswith("RegimeChoice(3 regimes ")


@pytest.mark.parametrize(
    ("candidates", "message"), [((), "from 2 on"), ((1, 3), "from 2 on"), ((2, "a"), "from 2 on"), ((2, 40), "too few")]
)
def test_candidates_out_of_range_are_refused(labeler, candidates, message):
    with pytest.raises(InputError, match=message):
        fintok.choose_regimes(labeler, candidates=candidates)
