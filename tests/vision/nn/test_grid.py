"""PatchGrid: geometry on rectangles."""

import pytest
import torch

from vision.nn.grid import PatchGrid

GRID = PatchGrid.of(4, 15, (2, 5))


def test_properties_of_a_rectangular_grid():
    assert (GRID.rows, GRID.columns, GRID.num_patches, GRID.height, GRID.width) == (2, 3, 6, 4, 15)


def test_patches_are_numbered_row_by_row_with_pixels_in_the_order_row_column_channel():
    images = torch.randn(2, 3, 4, 15)
    patches = GRID.patchify(images)
    assert patches.shape == (2, 6, 30)
    for row in range(2):
        for column in range(3):
            block = images[:, :, row * 2 : row * 2 + 2, column * 5 : column * 5 + 5]
            assert torch.equal(patches[:, row * 3 + column], block.permute(0, 2, 3, 1).flatten(1))


def test_unpatchify_is_the_inverse_of_patchify():
    images = torch.randn(2, 3, 4, 15)
    assert torch.equal(GRID.unpatchify(GRID.patchify(images), channels=3), images)


def test_a_patch_is_observed_if_any_pixel_is():
    observed = torch.zeros(1, 4, 15, dtype=torch.bool)
    observed[0, 3, 5] = True  # second row of patches, second column
    assert GRID.pool_any(observed).tolist() == [[False, False, False, False, True, False]]


@pytest.mark.parametrize("size", [(5, 15), (4, 14), (0, 15)])
def test_an_image_that_patches_do_not_fill_is_refused(size):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels"):
        PatchGrid.of(*size, (2, 5))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="4 x 10 pixels, this grid covers 4 x 15"):
        GRID.patchify(torch.zeros(1, 3, 4, 10))
    with pytest.raises(ValueError, match="this grid covers"):
        GRID.pool_any(torch.ones(1, 15, 4, dtype=torch.bool))
