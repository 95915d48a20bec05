"""Images as a trained network sees them."""

import numpy as np
import pytest
import torch

from vision.data.images import open_images
from vision.data.shown import ShownImages


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((14, 28), slice(1, 15), slice(2, 30)),  # 7/8 of each side
        ((14, 14), slice(1, 15), slice(9, 23)),
        ((7, 28), slice(4, 11), slice(2, 30)),
        ((14, 7), slice(1, 15), slice(12, 19)),
    ],
)
def test_seven_eighths_of_the_side_that_fits_are_seen(tmp_path, size, rows, columns):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 32), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    shown = ShownImages(open_images(tmp_path / "x.npy"), size, (0.0,) * 3, (1.0,) * 3)
    expected = torch.from_numpy(pixels[:, :, rows, columns] / 255).float()
    torch.testing.assert_close(shown[torch.arange(2)], expected)


def test_some_images_are_spread_evenly_over_all(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10.0)[:, None, None, None] * np.ones((1, 2, 2)))
    shown = ShownImages(open_images(tmp_path / "x.npy"), (2, 2), (0.0,), (1.0,))
    for most, expected in ((99, list(range(10))), (10, list(range(10))), (4, [0, 3, 6, 9]), (1, [0])):
        assert shown.spread(most)[:, 0, 0, 0].tolist() == expected
    assert shown.part(torch.arange(4, 9)).spread(3)[:, 0, 0, 0].tolist() == [4, 6, 8]
