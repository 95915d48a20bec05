from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fintok import regime_result
from fintok.errors import InputError
from fintok.signature import signature_table
from tests.fintok.fake_bundle import HISTORY
from tests.fintok.regimes.conftest import TRAIN


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


def test_the_table_is_worked_out_once_and_is_yours_to_change(labeler, panel, monkeypatch):
    regimes, tables = labeler.label(panel), []
    monkeypatch.setattr(regime_result, "signature_table", lambda *parts: tables.append(1) or signature_table(*parts))
    table = regimes.summary()
    table["days"] = 0
    regimes.remarks(), regimes.outlook()
    assert regimes.summary()["days"].sum() == (regimes.labels >= 0).sum()
    assert tables == [1]


def test_a_panel_of_returns_is_described_in_deviations_of_each_asset(labeler, panel):
    """One contract a thousand times louder than the others says no more than they do; labels are the model's."""
    loud = panel.returns * np.where(np.arange(8) == 3, 1e3, 1.0)
    given = replace(panel, returns=loud, values="returns", prices=None)
    quiet = replace(given, returns=panel.returns)
    columns = ["volatility", "mean", "dispersion", "correlation"]
    labels = labeler.label(panel)
    described = replace(labels, panel=given).summary()
    np.testing.assert_allclose(described[columns], replace(labels, panel=quiet).summary()[columns])
    assert 0.2 < described.loc[0, "volatility"] < 1.0 < described.loc[2, "volatility"] < 5.0


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
        (
            np.nan,
            "no asset has a return on any of 30 dates: the value before is always more than 5 rows or 20 days old",
        ),
        (0.01, "no date of 30 has enough history"),
    ],
)
def test_a_panel_that_cannot_be_labelled_says_why(labeler, panel, value, sentence):
    short = replace(panel[:30], returns=np.full((30, panel.num_assets), value))
    nothing = replace(labeler.label(panel[:30]), panel=short)
    assert repr(nothing) == f"Regimes({sentence})"


def test_transitions_durations_and_repr(labeler, panel):
    np.testing.assert_allclose(labeler.transition_matrix_.sum(axis=1), 1.0)
    assert (np.diag(labeler.transition_matrix_) > 0.9).all()
    assert (labeler.durations_ > 5).all()
    text = repr(labeler.label(panel))
    assert "switches a year" in text
    assert "\n" not in text


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
    for wrong in (5, np.int64(5), (-1,), (1.5,)):
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
    assert len(one.remarks()) == 1
    assert one.remarks()[0].startswith("2 of 3 regimes never occur here; raise --switches, lower --regimes, or learn")


def test_little_history_and_nothing_out_of_sample_are_remarked_upon(labeler, panel):
    few = labeler.label(panel[-1499:]).remarks()
    assert [sentence[:32] for sentence in few] == ["1,499 rows are little history: ea"[:32]]
    assert not any("history" in sentence for sentence in labeler.label(panel[-1500:]).remarks())
    known = labeler.label(panel.until(labeler.bundle.train_end))
    assert [sentence[:27] for sentence in known.remarks() if "history" not in sentence] == [
        "all dates are in sample, si"
    ]
    assert str(labeler.bundle.train_end)[:10] in known.remarks()[-1]


def test_a_holiday_carries_the_regime_of_the_day_before(labeler, panel):
    whole = labeler.label(panel)
    labels = whole.labels.copy()
    labels[1500:1503] = -1
    carried = replace(whole, labels=labels).carried
    assert (carried[1500:1503] == whole.labels[1499]).all()
    assert (carried[: HISTORY // 2] == -1).all()
    np.testing.assert_array_equal(np.delete(carried, np.s_[1500:1503]), np.delete(whole.labels, np.s_[1500:1503]))
