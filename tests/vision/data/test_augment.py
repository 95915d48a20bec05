"""Batched views: a function of the position, right in geometry and colour, any channels, NaN and rectangles."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision.config import ColorConfig, ViewsConfig
from vision.data.augment import ImageViews
from vision.data.color import apply_color, draw_color
from vision.data.loader import make_loader
from vision.data.views import crop
from vision.errors import InputError
from vision.masks import RandomMask

PATCH, SIZE = (2, 3), (8, 12)
COLOR = ColorConfig(jitter=0.8, grayscale=0.2, blur=(1.0, 0.1, 0.5), solarize=(0.0, 0.2, 0.0))
CROPS = ViewsConfig(num_global=2, num_local=1, local_size=(4, 6), global_scale=(0.4, 1.0), color=COLOR)


class Pictures:
    """RGB bytes of several sizes, or floats of two channels with pixels that were not observed."""

    def __init__(self, is_bytes=True):
        generator = torch.Generator().manual_seed(0)
        self.items = []
        for number in range(10):
            if is_bytes:
                height, width = 10 + number % 3, 15 + number % 2
                image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
                self.items.append((image, None))
            else:
                observed = torch.rand(*SIZE, generator=generator) > 0.2 if number else None
                image = torch.randn(2, *SIZE, generator=generator)
                self.items.append((image, observed))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def views_of(config=CROPS, channels=3, mask=None, data_size=None):
    return ImageViews(SIZE, PATCH, config, [0.5] * channels, [0.25] * channels, mask, data_size)


def batches(data, views, batch_size, **options):
    loader = make_loader(data, views, batch_size, 0, 24, seed=3, **options)
    return [views.prepare(planned) for planned in loader]


def test_an_image_of_another_size_than_the_network_sees_is_refused():
    views = views_of(data_size=SIZE)
    with pytest.raises(InputError, match=r"8 x 12 and 8 x 13 pixels: .*--images\.size"):
        views(torch.zeros(3, 8, 13), None, np.random.default_rng(0))


def test_images_are_cut_to_what_their_crops_look_at_and_the_views_stay(monkeypatch):
    """A panorama and a tower in one batch would else make every image as wide and as high as both."""
    config = ViewsConfig(num_global=1, num_local=1, local_size=(4, 6), global_scale=(0.02, 0.05))
    views, generator = views_of(config), torch.Generator().manual_seed(0)
    images = [torch.rand(3, *shape, generator=generator) for shape in [(12, 400), (300, 20), (30, 45)] * 4]

    def planned():
        return [views(image, None, np.random.default_rng(number)) for number, image in enumerate(images)]

    cut = planned()
    assert all(sample.image.numel() < image.numel() for image, sample in zip(images, cut, strict=True))
    monkeypatch.setattr("vision.data.augment._cut", lambda sample: sample)
    batch, expected = (views.prepare(views.collate(samples)) for samples in (cut, planned()))
    for made, wanted in zip(batch.views, expected.views, strict=True):
        torch.testing.assert_close(made, wanted, atol=1e-3, rtol=1e-4)


def test_views_have_the_sizes_asked_for_view_major():
    batch = batches(Pictures(), views_of(mask=RandomMask(0.5)), 4)[0]
    assert [tuple(view.shape) for view in batch.views] == [(8, 3, *SIZE), (4, 3, 4, 6)]
    assert batch.masks[0].hidden.sum(1).tolist() == [8] * 8
    assert batch.masks[1] is None
    assert batch.valid == (None, None)
    assert (batch.num_views(0), batch.num_views(1)) == (2, 1)
    assert all(view.isfinite().all() and view.min() >= -2 and view.max() <= 2 for view in batch.views)


@pytest.mark.parametrize("is_bytes", [True, False])
def test_a_view_is_a_function_of_its_position_alone(is_bytes):
    views = views_of(channels=3 if is_bytes else 2, mask=RandomMask(0.5))
    data = Pictures(is_bytes)
    whole = batches(data, views, 6)
    parts = [batches(data, views, 3, rank=rank, world_size=2) for rank in range(2)]
    for batch, *halves in zip(whole, *parts, strict=True):
        for size in range(2):
            made = [half.views[size].unflatten(0, (-1, 3)) for half in halves]
            torch.testing.assert_close(torch.cat(made, 1).flatten(0, 1), batch.views[size], atol=1e-5, rtol=1e-5)
        weights = [half.masks[0].weight.unflatten(0, (-1, 3)) for half in halves]
        assert torch.equal(torch.cat(weights, 1).flatten(0, 1), batch.masks[0].weight)


def test_the_whole_box_is_the_image_and_a_flip_its_mirror():
    images = torch.rand(2, 4, 6, 9)
    boxes = torch.tensor([[0.0, 0, 6, 9]] * 2)
    made, _ = crop(images, None, boxes, torch.tensor([False, True]), (6, 9))
    torch.testing.assert_close(made[0], images[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made[1], images[1].flip(-1), atol=1e-5, rtol=1e-5)


def test_a_crop_is_the_part_scaled_as_interpolate_scales_it():
    images = torch.rand(1, 2, 12, 16)
    made, _ = crop(images, None, torch.tensor([[2.0, 3, 5, 7]]), torch.tensor([False]), (15, 21))
    expected = F.interpolate(images[..., 2:7, 3:10], (15, 21), mode="bicubic", align_corners=False)
    inner = (..., slice(6, 9), slice(6, 15))  # away from the border, which crop continues with what is there
    torch.testing.assert_close(made[inner], expected[inner], atol=1e-5, rtol=1e-5)


def test_oversampling_means_over_what_a_pixel_covers():
    images = torch.zeros(1, 1, 8, 8)
    images[..., ::2] = 1.0  # stripes of one pixel: their mean is a half
    boxes, flips = torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([False])
    assert (crop(images, None, boxes, flips, (4, 4), oversampling=2)[0] - 0.5).abs().max() < 1e-5


def test_arrays_of_numbers_keep_them_whatever_their_channels():
    images = 4 * torch.rand(3, 3, *SIZE) - 2
    whole = ViewsConfig(num_global=2, global_scale=(1.0, 1.0), flip=0.0, color=COLOR)
    views, rng = views_of(whole, data_size=SIZE), np.random.default_rng(0)
    batch = views.prepare(views.collate([views(image, None, rng) for image in images]))
    torch.testing.assert_close(batch.views[0], (images.repeat(2, 1, 1, 1) - 0.5) / 0.25)
    pictures = (images.clamp(0, 1) * 255).byte()
    batch = views.prepare(views.collate([views(image, None, rng) for image in pictures]))
    assert not torch.allclose(batch.views[0], (pictures.repeat(2, 1, 1, 1) / 255 - 0.5) / 0.25, atol=0.1)


def test_what_was_not_observed_never_shows():
    images = torch.ones(1, 1, 6, 9)
    observed = torch.ones(1, 6, 9, dtype=torch.bool)
    observed[:, :, :4] = False
    spoilt = torch.where(observed[:, None], images, 1e9)
    made, seen = crop(spoilt, observed, torch.tensor([[0.0, 0, 6, 9]]), torch.tensor([False]), (4, 6))
    assert 0 < seen.sum() < seen.numel()
    assert torch.allclose(made[seen[:, None]], torch.tensor(1.0))
    assert not made[~seen[:, None]].any()


def test_masked_places_that_were_not_observed_have_no_weight():
    whole = ViewsConfig(global_scale=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0)
    views = views_of(whole, 2, RandomMask(0.5), SIZE)
    image, observed = torch.randn(2, *SIZE), torch.ones(*SIZE, dtype=torch.bool)
    observed[:, :6] = False  # the left half of the patches
    batch = views.prepare(views.collate([views(image, observed, np.random.default_rng(0))]))
    mask, valid = batch.masks[0], batch.valid[0]
    assert torch.equal(valid[0], observed)
    expected = (mask.index % 4 >= 2).float()
    assert torch.equal(mask.weight, expected)
    torch.testing.assert_close(batch.views[0][0][:, observed], ((image - 0.5) / 0.25)[:, observed])
    assert not batch.views[0][0][:, ~observed].any()


def no_change(**fields):
    order = ("brightness", "contrast", "saturation", "hue", "is_gray", "sigma", "is_solarized")
    values = dict.fromkeys(order[:3], 1.0) | dict.fromkeys(order[3:], 0.0) | fields
    return torch.tensor([[values[name] for name in order]])


GRAY = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, lambda x: x),
        ({"brightness": 0.6}, lambda x: 0.6 * x),
        ({"contrast": 0.5}, lambda x: 0.5 * x + 0.5 * (GRAY * x).sum(1, keepdim=True).mean((2, 3), keepdim=True)),
        ({"saturation": 0.0}, lambda x: (GRAY * x).sum(1, keepdim=True).expand_as(x)),
        ({"is_gray": 1.0}, lambda x: (GRAY * x).sum(1, keepdim=True).expand_as(x)),
        ({"is_solarized": 1.0}, lambda x: torch.where(x >= 0.5, 1 - x, x)),
        ({"hue": 2 * torch.pi / 3}, lambda x: x[:, [2, 0, 1]]),  # a third of the circle: red becomes green
    ],
)
def test_each_change_of_colour_is_what_its_name_says(fields, expected):
    images = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    made = apply_color(images, no_change(**fields), COLOR)
    torch.testing.assert_close(made, expected(images), atol=2e-3, rtol=1e-3)


def test_blur_is_by_each_images_own_sigma():
    images = torch.zeros(2, 3, 31, 31)
    images[..., 15, 15] = 1.0
    change = torch.cat([no_change(), no_change(sigma=1.5)])
    sharp, soft = apply_color(images, change, COLOR)
    torch.testing.assert_close(sharp, images[0])
    offsets = torch.arange(31) - 15.0
    kernel = torch.exp(-(offsets**2) / (2 * 1.5**2))
    kernel = torch.where(offsets.abs() <= 6, kernel, 0.0)
    torch.testing.assert_close(soft[0], torch.outer(kernel, kernel) / kernel.sum() ** 2, atol=1e-4, rtol=1e-3)


def test_the_share_of_changed_views_is_the_probability():
    rng = np.random.default_rng(0)
    config = COLOR
    first, other, local = (np.stack([draw_color(config, place, rng) for _ in range(600)]) for place in range(3))
    for drawn, blur, solarize in ((first, 1.0, 0.0), (other, 0.1, 0.2), (local, 0.5, 0.0)):
        shares = [(drawn[:, 3] != 0).mean(), drawn[:, 4].mean(), (drawn[:, 5] > 0).mean(), drawn[:, 6].mean()]
        assert shares == pytest.approx([0.8, 0.2, blur, solarize], abs=0.06)


def test_a_pixel_of_a_crop_is_observed_where_half_of_what_it_covers_is():
    images, box, no = torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([False])
    observed = torch.ones(1, 4, 4, dtype=torch.bool)
    observed[:, :2, :2] = False
    observed[:, :, 0] = False  # of the four blocks: nothing of one, half of one, all of two
    seen = crop(images, observed, box, no, (2, 2), oversampling=2)[1]
    assert seen.tolist() == [[[False, True], [True, True]]]
    observed[:, 2, 1] = False
    seen = crop(images, observed, box, no, (2, 2), oversampling=2)[1]
    assert seen.tolist() == [[[False, True], [False, True]]]


def test_pixels_of_bytes_stay_within_their_range_where_colours_stay():
    views = ImageViews((8, 8), (2, 2), ViewsConfig(num_global=1, global_scale=(0.3, 0.6)), [0.0] * 3, [1.0] * 3)
    rng = np.random.default_rng(0)
    image = (torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.5).byte() * 255
    made = views.prepare(views.collate([views(image, None, rng) for _ in range(8)])).views[0]
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize("data_size", [(8, 32), (32, 8)])
def test_oversampling_follows_the_side_that_is_scaled_down_most(data_size):
    config = ViewsConfig(num_global=1, global_scale=(1.0, 1.0))
    assert ImageViews((8, 8), (2, 2), config, [0.0], [1.0], data_size=data_size).oversampling == [4]


def test_larger_photographs_are_sampled_more_densely():
    config, fixed = ViewsConfig(num_global=1, global_scale=(1.0, 1.0)), ((8, 8), (2, 2))
    assert ImageViews(*fixed, config, [0.0], [1.0]).oversampling == [1]  # of 9 pixels
    assert ImageViews(*fixed, config, [0.0], [1.0], shorter_side=24).oversampling == [3]


def test_each_kind_of_view_has_the_colours_of_its_place():
    color = ColorConfig(blur=(1.0, 0.0, 1.0), solarize=(0.0, 1.0, 0.0))
    config = ViewsConfig(num_global=2, num_local=2, local_size=(4, 6), color=color)
    planned = views_of(config)(torch.zeros(3, 9, 9, dtype=torch.uint8), None, np.random.default_rng(0))
    whole, local = (crops.colors for crops in planned.crops)
    assert (whole[:, 5] > 0).tolist() == [True, False]
    assert whole[:, 6].tolist() == [0.0, 1.0]
    assert (local[:, 5] > 0).all()
    assert not local[:, 6].any()
