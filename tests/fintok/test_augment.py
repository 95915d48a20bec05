"""Windows of a return image and their views."""

import numpy as np
import pytest
import torch

from fintok.augment import LevelJitter, MaskedWindow, ReturnMultiCrop, WindowDataset, draw_assets
from fintok.imaging import CHANNELS, ReturnImager
from fintok.panel import Panel
from vision.data.loader import make_loader
from vision.masks import RandomMask

NUM_ASSETS, NUM_DAYS, WINDOW = 12, 200, 40


@pytest.fixture(scope="module")
def images():
    returns = 0.01 * np.random.default_rng(0).standard_t(4, (NUM_DAYS, NUM_ASSETS))
    returns[:100, :4] = np.nan
    returns[150:, 4] = np.nan
    dates = np.datetime64("2020-01-01") + np.arange(NUM_DAYS)
    names = [f"A{i}" for i in range(NUM_ASSETS)]
    return ReturnImager().transform(Panel.from_arrays(returns, dates, names, values="returns"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def off() -> LevelJitter:
    return LevelJitter(CHANNELS, 0.0)


def test_a_window_ends_at_its_row_and_is_a_view(images):
    dataset = WindowDataset(images, WINDOW, np.array([WINDOW - 1, 120, NUM_DAYS - 1]))
    assert len(dataset) == 3
    values, observed = dataset[1]
    np.testing.assert_array_equal(values.numpy(), images.values[:, :, 81:121])
    np.testing.assert_array_equal(observed.numpy(), images.observed[:, 81:121])
    assert values.data_ptr() == torch.from_numpy(images.values)[:, :, 81:].data_ptr()
    np.testing.assert_array_equal(dataset[2][0].numpy(), images.values[:, :, -WINDOW:])


def test_assets_observed_in_the_window_come_before_the_others(images, rng):
    observed = images.observed[:, 60:100]  # eight of twelve
    for count in (3, 8):
        chosen = draw_assets(observed, count, rng)
        assert observed[chosen].any(axis=1).all()
        assert len(set(chosen.tolist())) == count
    assert observed[draw_assets(observed, 10, rng)].any(axis=1).sum() == 8
    drawn = {tuple(draw_assets(observed, 3, rng).tolist()) for _ in range(20)}
    assert len(drawn) > 10


def test_a_masked_window_hides_the_exact_number_and_keeps_pixels(images, rng):
    values, observed = WindowDataset(images, WINDOW, np.array([150]))[0]
    view = MaskedWindow(6, WINDOW, 5, off(), RandomMask(0.5))
    assert view.num_masked == (24,)
    [[(image, seen, hidden)]] = view(values, observed, rng)
    assert image.shape == (len(CHANNELS), 6, WINDOW)
    assert hidden.sum() == 24
    rows = {tuple(row) for row in values[0].numpy().tolist()}
    assert all(tuple(row) in rows for row in image[0].numpy().tolist())
    assert seen.shape == (6, WINDOW)


def test_jitter_is_the_image_of_returns_scaled_as_a_whole():
    returns = 0.01 * np.random.default_rng(1).standard_t(4, (300, 6))
    dates = np.datetime64("2020-01-01") + np.arange(300)
    panel = Panel.from_arrays(returns, dates, "ABCDEF", values="returns")
    imager = ReturnImager()
    image = imager.transform(panel)
    jittered = LevelJitter(CHANNELS, 0.5)(image.values.copy(), np.random.default_rng(3))
    factor = np.exp(np.random.default_rng(3).normal(0.0, 0.5))
    scaled = np.sinh(image.channel("return")) * factor
    np.testing.assert_allclose(jittered[0], np.arcsinh(scaled), atol=1e-5, rtol=1e-4)
    expected = image.channel("volatility") + np.log(factor) * image.observed
    np.testing.assert_allclose(jittered[1], expected, atol=1e-5)
    rank = CHANNELS.index("rank")
    np.testing.assert_array_equal(jittered[rank], image.values[rank])
    assert (jittered[:, ~image.observed] == 0).all()


@pytest.mark.parametrize("has_mask", [True, False])
def test_views_leave_the_image_as_it_is(images, rng, has_mask):
    before = images.values.copy()
    jitter, mask = LevelJitter(CHANNELS, 0.5), RandomMask(0.5)
    window = WindowDataset(images, WINDOW, np.array([150]))[0]
    MaskedWindow(len(images.values[0]), WINDOW, 5, jitter, mask if has_mask else None)(*window, rng)
    ReturnMultiCrop(6, WINDOW, 5, 2, jitter, mask)(*window, rng)
    np.testing.assert_array_equal(images.values, before)


def test_crops_are_whole_patches_of_the_window_in_the_order_of_time(images, rng):
    values, observed = WindowDataset(images, WINDOW, np.array([NUM_DAYS - 1]))[0]
    crops = ReturnMultiCrop(6, 30, 5, 3, off(), RandomMask(0.5))
    starts = set()
    for _ in range(20):
        whole, local = crops(values, observed, rng)
        assert [image.shape for image, _, _ in whole] == [(len(CHANNELS), 6, 30)] * 2
        assert [image.shape for image, _, _ in local] == [(len(CHANNELS), 3, 15)] * 3
        assert all(hidden is None for _, _, hidden in local)
        assert all(hidden.sum() in (0, crops.num_masked[0]) for _, _, hidden in whole)
        for image, _, _ in (*whole, *local):
            width = image.shape[2]
            matches = [
                start
                for start in range(0, WINDOW - width + 1)
                if (values[0][:, start : start + width] == image[0, 0]).all(dim=1).any() and image[0, 0].any()
            ]
            assert all(start % 5 == 0 for start in matches)
            starts.update(matches)
    assert len(starts) > 2


def test_the_loader_makes_batches_of_them_with_a_fixed_shape(images):
    dataset = WindowDataset(images, WINDOW, np.arange(WINDOW - 1, NUM_DAYS))
    views = ReturnMultiCrop(6, 30, 5, 2, LevelJitter(CHANNELS, 0.3), RandomMask(0.3))
    batches = list(make_loader(dataset, views, 4, 0, 12, seed=0))
    again = list(make_loader(dataset, views, 4, 0, 12, seed=0))
    assert len(batches) == 3
    for batch, same in zip(batches, again, strict=True):
        assert [view.shape[0] for view in batch.views] == [8, 8]
        assert torch.equal(batch.views[0], same.views[0])
        assert batch.valid[0].shape == (8, 6, 30)
        assert len(batch.masks[0].index) in (64, 8 * views.num_masked[0])


def test_half_of_the_global_crops_have_a_mask():
    crops = ReturnMultiCrop(6, 30, 5, 0, LevelJitter(("return",), 0.0), RandomMask(0.5))
    values, observed = torch.randn(1, 8, 40, generator=torch.Generator().manual_seed(0)), torch.ones(8, 40) > 0
    rng = np.random.default_rng(0)
    masks = [view[2] for _ in range(200) for view in crops(values, observed, rng)[0]]
    assert 0.4 < np.mean([not mask.any() for mask in masks]) < 0.6  # an array also where nothing is hidden
