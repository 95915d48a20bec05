"""Regimes learned anew in one call: steady, named as before, and never knowing what comes."""

from dataclasses import replace

import numpy as np
import pytest

import fintok
from fintok import refits
from fintok.errors import InputError
from fintok.regimes import RegimeLabeler
from tests.fintok.fake_bundle import FakeBundle, make_panel, simulate_returns, with_noise_after

TRAIN = 1000


@pytest.fixture(scope="module")
def panel():
    return make_panel(simulate_returns(2000, 5)[0])


@pytest.fixture(scope="module")
def labeler(panel):
    return RegimeLabeler(FakeBundle(panel[:TRAIN]), n_regimes=3)


@pytest.fixture(scope="module")
def walk(labeler, panel):
    return fintok.walk_forward(labeler, panel, refit="6M")


def test_each_stretch_has_the_labels_of_the_fit_before_it(walk, labeler, panel):
    first = RegimeLabeler(labeler.bundle, n_regimes=3).fit(panel)
    until = TRAIN + round(0.5 * 365.25)
    np.testing.assert_array_equal(walk.regimes.labels[:until], first.label(panel).labels[:until])
    second = first.update(panel, until=walk.refits["until"][1])
    np.testing.assert_array_equal(walk.regimes.labels[until : until + 100], second.label(panel).labels[until:][:100])
    assert walk.refits["rows"].tolist()[:2] == [TRAIN, until]
    assert len(walk.refits) == 6
    assert len(walk.regimes.labels) == len(panel)
    assert walk.regimes.names == RegimeLabeler(labeler.bundle, n_regimes=3).fit(panel).names_


def test_the_first_fit_is_the_only_one_and_regimes_learn_on_from_it(labeler, panel, monkeypatch):
    done, honest = [], {name: getattr(RegimeLabeler, name) for name in ("fit", "update")}
    for name, do in honest.items():
        monkeypatch.setattr(
            RegimeLabeler, name, lambda self, *a, do=do, name=name, **k: done.append(name) or do(self, *a, **k)
        )
    walk = fintok.walk_forward(labeler, panel, refit="1Y")
    assert done == ["fit", *["update"] * (len(walk.refits) - 1)]
    assert len(done) > 2


def test_what_the_labeler_has_read_is_not_read_again(panel, monkeypatch):
    labeler = RegimeLabeler(FakeBundle(panel[:TRAIN]), n_regimes=3).fit(panel)
    monkeypatch.setattr(FakeBundle, "forecast", lambda *_: pytest.fail("a pass of the network"))
    fintok.walk_forward(labeler, panel, refit="1Y")


def test_a_panel_that_begins_late_is_walked_from_its_five_hundredth_labelled_row(labeler, panel):
    late = panel[TRAIN - 100 :]
    walk = fintok.walk_forward(labeler, late, refit="1Y")
    first = walk.refits["rows"][0]
    assert (walk.regimes.labels[:first] >= 0).sum() == 500
    assert walk.regimes.labels[first - 1] >= 0


def test_days_that_the_first_fit_learned_from_are_in_sample(walk, labeler, panel):
    assert walk.regimes.is_in_sample.sum() == TRAIN
    later = RegimeLabeler(labeler.bundle, n_regimes=3).fit(panel, until=panel.dates[TRAIN + 100])
    assert later.label(panel).is_in_sample.sum() == TRAIN + 101
    start = fintok.walk_forward(labeler, panel, refit="6M", start=panel.dates[TRAIN + 300])
    assert start.regimes.is_in_sample.sum() == TRAIN + 301


def test_agreement_is_high_and_its_minimum_is_the_worst_fit(walk):
    assert walk.agreement_min == walk.refits["agreement"].min() <= walk.agreement_mean
    assert walk.agreement_min > 0.8
    assert np.isnan(walk.refits["agreement"][0])
    assert (walk.refits["distance"][1:] < 2.0).all()
    assert f"at worst {walk.agreement_min:.3f}" in repr(walk)


def test_agreement_is_of_the_labelled_rows_that_both_learned_from(walk):
    labels = {4: [-1, -1, 0, 1, 0, 0], 6: [-1, -1, 1, 1, 1, 1]}
    before, now = (
        refits._Fit(replace(walk.regimes, labels=np.array(of_fit)), walk.refits, slice(0), rows)
        for rows, of_fit in labels.items()
    )
    assert now.agreement(before) == 0.5


@pytest.mark.parametrize("cut", [lambda panel: panel[:1301], lambda panel: with_noise_after(panel, 1300)])
def test_no_label_knows_what_comes(walk, labeler, panel, cut):
    again = fintok.walk_forward(labeler, cut(panel), refit="6M").regimes
    np.testing.assert_array_equal(again.labels[:1301], walk.regimes.labels[:1301])
    np.testing.assert_array_equal(again.probabilities[:1301], walk.regimes.probabilities[:1301])


def test_the_labeler_is_left_alone_and_one_pass_of_the_network_is_enough(panel):
    bundle = FakeBundle(panel[:TRAIN])
    labeler = RegimeLabeler(bundle, n_regimes=2)
    fintok.walk_forward(labeler, panel)
    assert bundle.calls == ["forecast"]
    assert not labeler.__sklearn_is_fitted__()


def test_how_long_a_stretch_is_does_not_depend_on_how_far_apart_later_rows_are(labeler, panel):
    days = np.arange(1400) + 6 * np.maximum(np.arange(1400) - TRAIN, 0)  # weekly from the walk's start on
    weekly = replace(panel[:1400], dates=panel.dates[0] + days * np.timedelta64(1, "D"))
    walk = fintok.walk_forward(labeler, weekly, refit="6M")
    assert walk.refits["rows"].tolist() == [TRAIN, TRAIN + 183, TRAIN + 2 * 183]


@pytest.mark.parametrize("refit", ["yearly", "0M", "1.5Y", 1, None])
def test_a_refit_of_another_form_is_refused(labeler, panel, refit):
    with pytest.raises(InputError, match="as 90D, 6W, 3M or 1Y"):
        fintok.walk_forward(labeler, panel, refit=refit)


def test_too_little_before_or_after_the_start_is_refused(labeler, panel):
    with pytest.raises(InputError, match="fewer than 500 labelled rows"):
        fintok.walk_forward(labeler, panel, start="2001-01-01")
    with pytest.raises(InputError, match="1000 of its 1000 rows"):
        fintok.walk_forward(labeler, panel[:TRAIN])
    with pytest.raises(InputError, match="without a bundle takes features"):
        fintok.walk_forward(RegimeLabeler(), panel)
