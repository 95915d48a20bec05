"""Reading windows with a model of the default kind (axial, no CLS); its weights are random."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fintok import inference
from fintok.config import EncoderConfig, ImagingConfig
from fintok.hints import HINTS
from fintok.imaging import CROSS_SECTIONAL, ReturnImager, ReturnImages
from fintok.inference import Vocabulary, read_forecast, read_surprise
from vision.config import CodebookConfig
from vision.methods.codes import MaskedCodeModel
from vision.nn.tokenizer import Tokenizer

NUM_CODES, WINDOW, PATCH = 9, 30, 5


@pytest.fixture(scope="module")
def images(small_panel) -> ReturnImages:
    return ReturnImager(ImagingConfig().channels).transform(small_panel[:160])


@pytest.fixture(scope="module")
def model() -> MaskedCodeModel:
    torch.manual_seed(0)
    imaging = ImagingConfig(window_days=WINDOW)
    encoder = EncoderConfig(dim=16, heads=2).window(imaging, len(imaging.channels), has_cls=False)
    mixed = tuple(imaging.channels.index(name) for name in CROSS_SECTIONAL)
    model = MaskedCodeModel(encoder, NUM_CODES, mixed, len(HINTS))
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model


def read(model: MaskedCodeModel, images: ReturnImages, since: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mean, variance = rng.standard_normal((2, NUM_CODES, PATCH)).astype(np.float32)
    vocabulary = Vocabulary(mean, variance**2 + 0.1, np.ones(NUM_CODES, np.int64), np.arange(NUM_CODES))
    codes = (np.arange(images.num_days)[:, None] + np.arange(images.num_assets)).astype(np.int32) % NUM_CODES
    surprise = read_surprise(model, images, codes, vocabulary, WINDOW, PATCH, since)
    return {"forecast": read_forecast(model, images, WINDOW, PATCH, since), **surprise._asdict()}


@pytest.fixture(scope="module")
def whole(model, images):
    return read(model, images)


def test_readings_are_those_of_the_whole_pass(model, images, whole, monkeypatch):
    monkeypatch.setattr(inference, "can_read_last_column", lambda config: False)
    for name, values in read(model, images).items():
        assert np.isfinite(values).mean() > 0.5, name
        np.testing.assert_allclose(whole[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("row", [71, 133])
def test_rows_to_come_change_no_bit_of_a_reading(model, images, whole, row):
    part = replace(
        images, values=images.values[:, :, :row], observed=images.observed[:, :row], dates=images.dates[:row]
    )
    noise = images.values.copy()
    noise[:, :, row:] = np.random.default_rng(0).standard_normal(noise[:, :, row:].shape)
    for changed in (part, replace(images, values=noise)):
        for name, values in read(model, changed).items():
            np.testing.assert_array_equal(values[:row], whole[name][:row], err_msg=name)


@pytest.mark.parametrize("is_short", [True, False])
def test_the_other_assets_tell_nothing_of_what_is_hidden(model, small_panel, monkeypatch, is_short):
    if not is_short:
        monkeypatch.setattr(inference, "can_read_last_column", lambda config: False)
    panel = small_panel[:160]
    group = inference.asset_groups(ReturnImager(ImagingConfig().channels).transform(panel), WINDOW)[0]
    returns = panel.returns.copy()
    returns[-PATCH:, group.numpy()] *= 3.0
    question = inference.Question(inference._hide(group, panel.num_assets), None)
    answers = []
    for version in (panel, replace(panel, returns=returns)):
        images = ReturnImager(ImagingConfig().channels).transform(version)
        hints = inference.panel_hints(model, images, WINDOW, PATCH)
        windows = inference.Windows.of(images, WINDOW, 1, hints)
        values, observed = windows.cut(torch.tensor([len(windows.ends) - 1]), torch.arange(panel.num_assets))
        assert values[0, -3, group].abs().max() > 0.1
        with inference.reading(model):
            answers.append(inference._last_column(model, values, observed, [question])[0][:, group])
    assert torch.equal(answers[0], answers[1])


def test_the_numbers_of_a_surprise_are_those_of_the_loop():
    rng = torch.Generator().manual_seed(0)
    logits = 2.0 * torch.randn(2, 3, 5, generator=rng)
    codes = torch.randint(0, 5, (2, 3), generator=rng)
    patches, seen = torch.randn(2, 3, 4, generator=rng), torch.rand(2, 3, 4, generator=rng) < 0.6
    seen[..., 0] = True
    mean, variance = torch.randn(5, 4, generator=rng), torch.rand(5, 4, generator=rng) + 0.1
    found = inference._judge(logits, codes, patches, seen, mean, variance)
    for row, asset in np.ndindex(2, 3):
        p = logits[row, asset].softmax(-1)
        code, surprises = int(codes[row, asset]), -p.log()
        expected = float((p * surprises).sum())
        deviation = float((p * (surprises - expected) ** 2).sum().sqrt())
        squares = (patches[row, asset] - mean[code]) ** 2 / variance[code]
        wanted = [float(surprises[code]), expected, deviation, float(squares[seen[row, asset]].mean())]
        torch.testing.assert_close(found[:, row, asset], torch.tensor(wanted), rtol=1e-4, atol=1e-4)


def test_batches_since_a_row_are_batches_of_the_whole_pass(images):
    windows = inference.Windows.of(images, WINDOW, WINDOW * len(images.assets) * 7)
    assert windows.batch_size == 7
    whole = {rows.start: values for rows, _, values, _ in windows.batches("windows")}
    part = {rows.start: values for rows, _, values, _ in windows.batches("windows", since=83)}
    assert part
    assert part.keys() < whole.keys()
    assert all(torch.equal(part[start], whole[start]) for start in part)


def test_a_window_by_itself_leaves_out_the_assets_of_which_it_shows_nothing(model, images, monkeypatch):
    observed = images.observed.copy()
    observed[1, 60:], observed[2:4, :90], observed[:, 100:140] = False, False, False  # delisted, late, all closed
    images = replace(images, observed=observed, values=np.where(observed, images.values, np.float32(0.0)))
    together = read(model, images)
    asked, ask = [], inference._last_column

    def counted(model, values, observed, questions):
        asked.append(values.shape[2])
        return ask(model, values, observed, questions)

    monkeypatch.setattr(inference, "TOKENS_PER_BATCH", 1)
    monkeypatch.setattr(inference, "_last_column", counted)
    for name, values in read(model, images).items():
        np.testing.assert_allclose(values, together[name], rtol=1e-4, atol=1e-5, err_msg=name)
    last = images.num_days - 1
    windows = [*range(WINDOW - 1, last + 1), *range(WINDOW - PATCH - 1, last + 1)]
    days = [WINDOW] * (last - WINDOW + 2) + [WINDOW - PATCH] * (last - WINDOW + PATCH + 2)
    shown = [observed[:, end - many + 1 : end + 1].any(axis=1).sum() for end, many in zip(windows, days, strict=True)]
    assert sorted(asked) == sorted(count or images.num_assets for count in shown)
    assert len(set(asked)) > 3


def test_a_forecast_is_the_mean_over_the_assets_observed_in_the_patch_that_ends_that_day(model, images, monkeypatch):
    last, places = WINDOW - PATCH - 1, torch.arange(NUM_CODES)
    observed = images.observed.copy()
    observed[:, [101, 102]] = False  # all closed
    images = replace(images, observed=observed, values=np.where(observed, images.values, np.float32(0.0)))

    def said(model, values, observed, questions):  # logits that know their asset and day, without a network
        return [values[:, 0, :, last, None] * places]

    monkeypatch.setattr(inference, "_last_column", said)
    found = read_forecast(model, images, WINDOW, PATCH)
    for day in range(images.num_days):
        assets = np.flatnonzero(images.observed[:, max(day - PATCH + 1, 0) : day + 1].any(axis=1))
        if day < last or not images.observed[:, day].any():
            assert np.isnan(found[day]).all()
            continue
        told = np.exp([images.values[0, asset, day] * np.arange(NUM_CODES) for asset in assets])
        np.testing.assert_allclose(found[day], (told / told.sum(axis=1, keepdims=True)).mean(axis=0), rtol=1e-4)


def test_readings_since_a_row_are_those_of_the_whole_pass(model, images, whole):
    assert np.isfinite(whole["forecast"][82:]).all()
    for name, values in read(model, images, since=83).items():
        assert np.isnan(values[:83]).all(), name
        np.testing.assert_array_equal(values[83:], whole[name][83:], err_msg=name)


def test_codes_since_a_row_are_those_of_the_whole_pass(images):
    torch.manual_seed(0)
    encoder = EncoderConfig(dim=16, heads=2).patch(ImagingConfig(window_days=WINDOW), len(images.channel_names))
    tokenizer = Tokenizer(encoder, CodebookConfig(num_codes=NUM_CODES, dim=8))
    whole, part = (inference.read_codes(tokenizer, images, PATCH, since) for since in (0, 83))
    assert len(np.unique(whole[:83])) > 3
    assert (part[:83] == -1).all()
    np.testing.assert_array_equal(part[83:], whole[83:])


def test_whether_a_universe_is_large_is_told_by_the_assets_of_its_first_window(images):
    observed = np.ones((110, images.num_days), dtype=bool)
    observed[90:, :WINDOW] = False
    whole = replace(images, observed=observed, assets=tuple(f"A{place:03d}" for place in range(110)))
    first = replace(whole, observed=observed[:, :WINDOW], dates=images.dates[:WINDOW])
    groups, before = (inference.asset_groups(one, WINDOW) for one in (whole, first))
    assert len(groups) == 4
    for now, then in zip(groups, before, strict=True):
        assert now[now < 90].tolist() == then[then < 90].tolist()
    assert len(inference.asset_groups(replace(whole, observed=np.ones_like(observed)), WINDOW)) == 2
