from dataclasses import fields, replace

import numpy as np
import pytest

from fintok.bundle import Bundle
from fintok.errors import InputError
from fintok.evaluate import tokens
from fintok.evaluate.tokens import evaluate_tokens
from fintok.inference import read_codes
from fintok.spans import rows_until
from fintok.standard_error import mean_of_blocks
from fintok.yardstick import Yardstick, measure


@pytest.fixture(scope="module")
def found(small_bundle, small_panel):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fintok.yardstick.MAX_TOKENS", 120)
        patch.setattr("fintok.factor_model.MOST_DRAWS", 200)
        yield evaluate_tokens(small_bundle, small_panel, others=[small_bundle])


def test_each_mask_stands_beside_its_yardsticks(found):
    table = found.tables["masked nll"].set_index("hidden")
    assert list(table.index) == list(tokens.MASKS.values())
    np.testing.assert_allclose(table["perplexity"], np.exp(table["model"]))
    np.testing.assert_allclose(table["bits_gained"], (table["marginal"] - table["model"]) / np.log(2))
    assert np.isfinite(table["factor_model"]).tolist() == [True, False, False]
    lead, error = table[["model", "factor_model"]].diff(axis=1).iloc[0, 1], table["error_of_difference"].iloc[0]
    assert f"(a difference of {abs(lead):.3f} ± {error:.3f})" in found.verdicts[0]


def test_every_window_after_train_end_is_judged(small_bundle, small_panel, monkeypatch):
    judged = []
    monkeypatch.setattr("fintok.yardstick.factor_model_nll", lambda *given: judged.append(given[3]) or given[3] * 1.0)
    cut, days = rows_until(small_panel.dates, small_bundle.train_end), small_bundle.config.imaging.window_days
    measure(small_bundle, small_panel[: cut + days + 9])
    np.testing.assert_array_equal(judged[0] - days + 1, np.arange(cut, cut + 10))
    assert np.isnan(measure(small_bundle, small_panel[: cut + days + 8]).asset)


def test_use_of_the_codes_is_counted_on_rows_after_train_end(found, small_bundle, small_panel):
    cut = rows_until(small_panel.dates, small_bundle.train_end)
    table = found.tables["codebook"].set_index("rows")
    assert table.loc["after train end", "tokens"] == (small_bundle.codes(small_panel)[cut:] >= 0).sum()
    assert table.loc["in training", "tokens"] == small_bundle.vocabulary.counts.sum()


def test_the_own_panel_compares_days_another_one_panels(found, small_bundle, small_panel, monkeypatch):
    monkeypatch.setattr("fintok.yardstick.MAX_TOKENS", 120)
    monkeypatch.setattr("fintok.factor_model.MOST_DRAWS", 200)
    (own,) = found.tables["transfer"].to_dict("records")
    assert own["unseen"].startswith("days after train end")
    assert own["perplexity_ratio"] == pytest.approx(np.exp(own["nll_unseen"] - own["nll_seen"]))
    fewer = small_panel.select(small_panel.assets[:8])
    assert evaluate_tokens(small_bundle, fewer).tables["transfer"].empty  # all of its assets were in training
    (trained_on,) = small_bundle.training_panels
    named = replace(small_bundle, training_panels=[trained_on | {"assets": list(fewer.assets[:6])}])
    rows = evaluate_tokens(named, fewer).tables["transfer"].to_dict("records")
    assert [row["unseen"].split()[0] for row in rows] == ["this", "assets"]
    assert rows[0]["nll_seen"] == small_bundle.figures["masked NLL asset"]


def test_assets_are_told_apart(found, small_panel):
    table = found.tables["by asset"]
    assert list(table["symbol"]) == list(small_panel.assets)
    assert (np.isfinite(table["model"]) == (table["tokens"] > 0)).all()


def test_a_model_agrees_with_itself(found):
    (row,) = found.tables["stability"].to_dict("records")
    for column in ("codes_agreement", "words_agreement", "codes_shared_information"):
        assert row[column] == pytest.approx(1.0)
    assert any("are the same once matched" in sentence for sentence in found.verdicts)


def test_models_that_cannot_be_matched_are_refused(small_bundle, small_panel):
    config = small_bundle.config
    coarser = replace(small_bundle, config=replace(config, imaging=replace(config.imaging, patch_days=4)))
    with pytest.raises(InputError, match=r"24 codes of 4 rows of return.*is judged 24 codes of 5 rows"):
        evaluate_tokens(small_bundle, small_panel, others=[coarser])
    later = replace(small_bundle, train_end=small_panel.dates[-1])
    with pytest.raises(InputError, match="no row lies after the train_end of the other model"):
        evaluate_tokens(small_bundle, small_panel, others=[later])


def test_the_panel_is_read_once(small_bundle, small_panel, monkeypatch):
    calls = []

    class Counting(Bundle):
        def images(self, panel):
            calls.append("images")
            return super().images(panel)

    def counting(*given):
        calls.append("codes")
        return read_codes(*given)

    monkeypatch.setattr("fintok.yardstick.MAX_TOKENS", 120)
    monkeypatch.setattr("fintok.factor_model.MOST_DRAWS", 200)
    monkeypatch.setattr("fintok.inference.read_codes", counting)
    monkeypatch.setattr("fintok.yardstick.read_codes", counting)
    parts = {one.name: getattr(small_bundle, one.name) for one in fields(small_bundle) if one.init}
    evaluate_tokens(Counting(**parts), small_panel)
    assert calls == ["images", "codes"]


def test_what_was_read_gives_the_figures_of_a_reading_of_its_own(small_bundle, small_panel, monkeypatch):
    monkeypatch.setattr("fintok.yardstick.MAX_TOKENS", 120)
    monkeypatch.setattr("fintok.factor_model.MOST_DRAWS", 200)
    cut = rows_until(small_panel.dates, small_bundle.train_end)
    read = small_bundle.read(small_panel, since=cut)
    assert measure(small_bundle, small_panel, 0, read) == measure(small_bundle, small_panel)


def test_rows_after_train_end_are_needed(small_bundle, small_panel):
    with pytest.raises(InputError, match="too few rows after the model's train_end"):
        evaluate_tokens(small_bundle, small_panel.until(small_bundle.train_end))


def test_the_factor_model_costs_the_mean_of_its_tokens(small_bundle, small_panel, monkeypatch):
    monkeypatch.setattr("fintok.yardstick.MAX_TOKENS", 120)
    monkeypatch.setattr("fintok.factor_model.log_probabilities", lambda draw, wanted: np.where(wanted < 0, np.nan, -2))
    assert measure(small_bundle, small_panel).asset_factor == pytest.approx(2.0)


def test_the_error_is_that_of_the_difference_of_both_models(small_bundle, small_panel, monkeypatch):
    given = []
    monkeypatch.setattr("fintok.yardstick.MAX_TOKENS", 120)
    monkeypatch.setattr("fintok.yardstick.factor_model_nll", lambda *_: np.zeros(len(_[3])))
    with monkeypatch.context() as patch:
        patch.setattr("fintok.yardstick.mean_of_blocks", lambda *sums: given.append(sums[0]) or mean_of_blocks(*sums))
        assert measure(small_bundle, small_panel).asset_factor_error > 0.01
    monkeypatch.setattr("fintok.yardstick.factor_model_nll", lambda *_: given[0])
    assert measure(small_bundle, small_panel).asset_factor_error < 1e-6


def test_the_line_of_a_yardstick_has_the_error_of_the_difference_where_there_is_one():
    found = Yardstick(3.97, 6.2, 3.952, 5.93, 6.2, 4.59, 6.19, 0.013)
    assert "(factor model 3.952, a difference of 0.018 ± 0.013)" in found.summary()
    assert "(factor model 3.952)" in found._replace(asset_factor_error=np.inf).summary()
