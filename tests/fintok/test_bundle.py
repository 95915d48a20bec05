"""Bundles: saved and loaded whole, refused when damaged."""

import json
import pickle
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from fintok.bundle import SHIPPED, load
from fintok.errors import InputError
from fintok.expected_size import size_predictors
from fintok.memory import Memory
from fintok.sample import load_us20
from fintok.vocabulary import merge_codes
from vision.train.checkpoint import CheckpointError


def test_what_is_loaded_reads_like_what_was_saved(small_bundle, small_panel, tmp_path):
    small_bundle.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    np.testing.assert_array_equal(copy.forecast(small_panel), small_bundle.forecast(small_panel))
    for mine, theirs in zip(copy.surprise(small_panel), small_bundle.surprise(small_panel), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(copy.training_forecast, small_bundle.training_forecast)
    late = small_panel[100:]
    np.testing.assert_array_equal(copy.recall(late).past, small_bundle.recall(late).past)
    assert copy.config == small_bundle.config
    assert copy.train_end == small_bundle.train_end
    assert copy.figures == small_bundle.figures
    assert copy.fingerprint == small_bundle.fingerprint != load().fingerprint


def test_a_model_that_is_there_is_replaced_only_where_that_is_allowed(small_bundle, tmp_path):
    small_bundle.save(tmp_path)
    before = (tmp_path / "arrays.safetensors").stat().st_mtime_ns
    with pytest.raises(InputError, match="holds a model: name another folder, or allow it with overwrite=True"):
        small_bundle.save(tmp_path)
    assert (tmp_path / "arrays.safetensors").stat().st_mtime_ns == before
    small_bundle.save(tmp_path, overwrite=True)


def test_an_interrupted_replacement_is_no_model(small_bundle, tmp_path, monkeypatch):
    small_bundle.save(tmp_path)
    monkeypatch.setattr("fintok.bundle.write_bytes", Mock(side_effect=InputError("disk full")))
    with pytest.raises(InputError, match="disk full"):
        small_bundle.save(tmp_path, overwrite=True)
    with pytest.raises(InputError):
        load(tmp_path)


def test_what_is_stored_of_the_training_rows_is_theirs(small_bundle, small_panel):
    rows = np.searchsorted(small_panel.dates, small_bundle.training_dates)
    np.testing.assert_array_equal(small_bundle.training_sizes, size_predictors(small_panel)[rows])
    again = small_bundle.forecast(small_panel)[rows]
    np.testing.assert_allclose(small_bundle.training_forecast, again, atol=1e-3)
    assert small_bundle.training_dates[-1] <= small_bundle.train_end


def test_a_panel_is_read_once_and_another_anew(small_bundle, small_panel, monkeypatch):
    bundle = replace(small_bundle)
    forecast, surprise = bundle.forecast(small_panel), bundle.surprise(small_panel)
    tokens = bundle.tokenize(small_panel)
    monkeypatch.setattr("fintok.bundle.inference", Mock(side_effect=AssertionError))
    assert bundle.forecast(small_panel) is forecast
    assert bundle.surprise(small_panel) is surprise
    np.testing.assert_array_equal(bundle.tokenize(small_panel).codes, tokens.codes)
    monkeypatch.undo()
    shorter = small_panel[:200]
    np.testing.assert_array_equal(bundle.forecast(shorter), forecast[:200])
    assert bundle.forecast(shorter) is not forecast
    with pytest.raises(ValueError, match="read-only"):
        forecast[:] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        tokens.codes[:] = 0
    copy = pickle.loads(pickle.dumps(bundle))
    np.testing.assert_array_equal(copy.forecast(small_panel), forecast)


def test_forecasts_are_distributions_and_expected_surprise_is_their_entropy(small_bundle, small_panel):
    forecast = small_bundle.forecast(small_panel)
    known = np.isfinite(forecast[:, 0])
    np.testing.assert_allclose(forecast[known].sum(1), 1.0, atol=1e-4)
    surprise = small_bundle.surprise(small_panel)
    expected = surprise.expected[np.isfinite(surprise.expected)]
    assert (expected >= 0).all()
    assert (expected <= np.log(24) + 1e-4).all()


def test_tokens_tell_of_their_own_days_alone(small_bundle, small_panel):
    """Scope "patch": other days and other assets' own returns do not reach a code, but for the market's."""
    codes = small_bundle.codes(small_panel)
    later = small_bundle.codes(small_panel[200:])[60:]  # its volatilities begin anew
    assert (codes[260:] == later)[later >= 0].mean() > 0.9
    tokens = small_bundle.tokenize(small_panel)
    np.testing.assert_array_equal(tokens.codes, codes)
    assert tokens.to_polars().columns == ["date", "symbol", "code", "word", "surprise"]
    assert len(tokens.to_pandas()) == (codes >= 0).sum()
    assert 0 < tokens.usage <= 1
    assert tokens.perplexity <= 24
    assert len(repr(tokens).splitlines()) == 1
    assert len(repr(small_bundle).splitlines()) == 1
    assert tokens.summary()["share"].sum() == pytest.approx(1.0)


def test_the_patch_of_a_model_of_hours_is_hours_long(small_bundle):
    hourly = replace(small_bundle, training_dates=np.arange("2020-01-01", "2020-02-01", dtype="datetime64[h]"))
    for bundle, rows in ((small_bundle, "days"), (hourly, "hours")):
        assert bundle.summary().loc[["patch", "window"], "value"].tolist() == [f"1 asset x 5 {rows}", f"20 {rows}"]


def test_the_model_that_comes_with_fintok_is_of_the_bundled_panel():
    shipped, panel = load(), load_us20()
    (trained_on,) = shipped.training_panels
    assert trained_on["assets"] == list(panel.assets)
    assert trained_on["num_days"] == panel.num_days
    assert shipped.train_end == panel.dates[-1]
    assert (shipped.vocabulary.counts > 0).mean() > 0.9
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*")) < 20e6


def test_the_bundle_that_comes_along_holds_the_sizes_of_its_rows_and_remembers_its_assets():
    bundle, panel = load(), load_us20()
    (known,) = bundle.memories
    learned = Memory.of(panel, bundle.config.imaging.min_observations)
    np.testing.assert_allclose(known.sums, learned.sums, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(known.usual_sizes, learned.usual_sizes, rtol=1e-5)
    np.testing.assert_array_equal(known.dates, learned.dates)
    rows = np.searchsorted(panel.dates, bundle.training_dates)
    np.testing.assert_allclose(bundle.training_sizes, size_predictors(panel)[rows], atol=1e-5)


def test_words_merge_codes_of_like_patches():
    patches = np.array([[0.0, 0.1], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0], [-4.0, -4.0], [9.0, 9.0]])
    words = merge_codes(patches, np.array([3, 4, 5, 1, 2, 0]), 3)
    np.testing.assert_array_equal(words, [1, 1, 2, 2, 0, 2])  # by mean; the unseen code joins its nearest


def spoil_header(run, **changes):
    path = run / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip_a_bit(run):
    path = run / "predictor" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (lambda run: (run / "bundle.json").unlink(), InputError, "holds no model"),
        (lambda run: (run / "bundle.json").write_text("{"), CheckpointError, "damaged"),
        (lambda run: spoil_header(run, format_version=99), CheckpointError, "format version 99"),
        (lambda run: spoil_header(run, colour="red"), CheckpointError, "'colour' is unknown"),
        (lambda run: (run / "arrays.safetensors").write_bytes(b"\x00" * 40), CheckpointError, "damaged or cut short"),
        (
            lambda run: (run / "predictor/model.safetensors").write_bytes(
                (run / "predictor/model.safetensors").read_bytes()[:500]
            ),
            CheckpointError,
            "damaged or cut short",
        ),
        (flip_a_bit, CheckpointError, "damaged .* copy the whole folder anew"),
    ],
    ids=["no header", "cut header", "other version", "unknown key", "bad arrays", "truncated weights", "one bit"],
)
def test_a_damaged_bundle_is_refused_in_one_sentence(small_run, tmp_path, spoil, error, sentence):
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    shutil.rmtree(copy / "stages")
    spoil(copy)
    with pytest.raises(error, match=sentence) as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_parts_of_two_models_are_refused_as_one(small_bundle, tmp_path):
    small_bundle.save(tmp_path / "one")
    other = replace(small_bundle, training_forecast=small_bundle.training_forecast[:, ::-1])
    other.save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "arrays.safetensors", tmp_path / "one")
    with pytest.raises(CheckpointError, match=r"of another model than bundle\.json"):
        load(tmp_path / "one")
