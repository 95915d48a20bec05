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
from vision.methods.beit2 import MaskedCodeModel

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


def read(model: MaskedCodeModel, images: ReturnImages) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mean, variance = rng.standard_normal((2, NUM_CODES, PATCH)).astype(np.float32)
    vocabulary = Vocabulary(mean, variance**2 + 0.1, np.ones(NUM_CODES, np.int64), np.arange(NUM_CODES))
    codes = (np.arange(images.num_days)[:, None] + np.arange(images.num_assets)).astype(np.int32) % NUM_CODES
    surprise = read_surprise(model, images, codes, vocabulary, WINDOW, PATCH)
    return {"forecast": read_forecast(model, images, WINDOW, PATCH), **surprise._asdict()}


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
        hints = inference.panel_hints(model, images, WINDOW)
        windows = inference.Windows.of(images, WINDOW, 1, hints)
        values, observed = windows.cut(torch.tensor([len(windows.ends) - 1]))
        assert values[0, -2, group].abs().max() > 0.1
        with inference.reading(model):
            answers.append(inference._last_column(model, values, observed, [question])[0][:, group])
    assert torch.equal(answers[0], answers[1])
