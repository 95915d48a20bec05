import numpy as np
import pytest
import torch

from tests.vision.view_makers import MultiCrop, SingleView
from vision.data.views import draw_crop, resize
from vision.masks import RandomMask


def test_single_view_is_the_image_with_a_mask():
    views = SingleView((4, 6), (2, 3), RandomMask(0.5))
    image = torch.randn(2, 4, 6)
    [[(same, observed, hidden)]] = views(image, None, np.random.default_rng(0))
    assert same is image
    assert observed is None
    assert hidden.shape == (2, 2)
    assert hidden.sum() == 2
    assert views.num_masked == (2,)
    assert SingleView((4, 6), (2, 3))(image, None, np.random.default_rng(0))[0][0][2] is None


def test_single_view_refuses_another_size():
    with pytest.raises(ValueError, match="expected"):
        SingleView((4, 6), (2, 3))(torch.randn(2, 6, 4), None, np.random.default_rng(0))


def test_multi_crop_gives_global_views_with_masks_and_local_ones_without():
    views = MultiCrop((2, 3), (8, 12), (4, 6), num_local=3, mask=RandomMask(0.25))
    crops = views(torch.randn(2, 20, 30), None, np.random.default_rng(0))
    assert [len(size) for size in crops] == [2, 3]
    assert [tuple(size[0][0].shape) for size in crops] == [(2, 8, 12), (2, 4, 6)]
    assert all(hidden.sum() == 4 for _, _, hidden in crops[0])
    assert all(hidden is None for _, _, hidden in crops[1])
    assert views.num_masked == (4, 0)
    assert not torch.equal(crops[0][0][0], crops[0][1][0])


def test_multi_crop_without_local_views_has_one_crop_size():
    views = MultiCrop((2, 3), (8, 12), (4, 6), num_global=1, num_local=0)
    assert len(views(torch.randn(2, 20, 30), None, np.random.default_rng(0))) == len(views.num_masked) == 1


def test_crop_that_patches_do_not_fill_is_refused():
    with pytest.raises(ValueError, match="do not fill"):
        MultiCrop((2, 3), (8, 12), (5, 6))


def test_crops_have_the_asked_share_of_the_area_and_lie_inside():
    rng = np.random.default_rng(0)
    for _ in range(200):
        top, left, height, width = draw_crop((40, 100), (20, 50), (0.2, 0.4), (0.75, 1.34), rng)
        assert top >= 0
        assert left >= 0
        assert top + height <= 40
        assert left + width <= 100
        assert 0.18 < height * width / 4000 < 0.42


@pytest.mark.parametrize("view", [(16, 16), (8, 32)])
def test_a_crop_has_the_aspect_of_its_view_not_of_its_image(view):
    """torchvision's rule: within 3/4 and 4/3 of it; where nothing fits, the largest in the middle that does."""
    rng, own = np.random.default_rng(0), view[1] / view[0]
    drawn = [draw_crop((256, 341), view, (0.05, 0.25), (3 / 4, 4 / 3), rng) for _ in range(400)]
    aspects = np.array([width / height for _, _, height, width in drawn]) / own
    assert 0.73 < aspects.min() < 0.85
    assert 1.2 < aspects.max() < 1.37
    assert abs(np.log(aspects).mean()) < 0.03
    top, left, height, width = draw_crop((100, 300), (16, 16), (1.0, 1.0), (3 / 4, 4 / 3), rng)
    assert (top, left, height, width) == (0, 83, 100, 133)
    assert draw_crop((300, 100), (16, 16), (1.0, 1.0), (3 / 4, 4 / 3), rng) == (83, 0, 133, 100)
    assert draw_crop((40, 100), (20, 50), (1.0, 1.0), (1.0, 1.0), rng) == (0, 0, 40, 100)


def test_flip_is_the_mirror_image_and_observed_flips_with_it():
    views = MultiCrop((1, 1), (2, 2), num_global=1, num_local=0, global_scale=(1, 1), aspect=(1, 1), flip=1.0)
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    observed = torch.tensor([[True, False], [True, True]])
    [[(flipped, seen, _)]] = views(image, observed, np.random.default_rng(0))
    assert flipped.tolist() == [[[0.0, 1.0], [4.0, 3.0]]]  # what was not observed is 0
    assert seen.tolist() == [[False, True], [True, True]]


def test_resizing_averages_over_observed_pixels_only():
    image = torch.full((1, 4, 4), 3.0)
    observed = torch.ones(4, 4, dtype=torch.bool)
    observed[:, 3] = False
    image[:, :, 3] = torch.nan
    small, seen = resize(image, observed, (2, 2))
    assert seen.all()
    torch.testing.assert_close(small, torch.full((1, 2, 2), 3.0))
    observed[:, 2:] = False
    image[:, :, 2] = torch.nan
    small, seen = resize(image, observed, (2, 2))
    assert seen.tolist() == [[True, False]] * 2
    assert small[:, :, 1].eq(0).all()
