"""Bytes of a file become pixels: upright, reduced, eight bits."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from vision.data.decode import decode


def test_of_a_very_long_image_the_middle_is_kept():
    stripes = np.zeros((100, 1000, 3), np.uint8)
    stripes[:, 495:505] = 255
    file = io.BytesIO()
    Image.fromarray(stripes).save(file, "png")
    whole = np.array(Image.fromarray(stripes).resize((200, 20), Image.Resampling.BICUBIC))
    assert np.array_equal(decode(file.getvalue(), 20).permute(1, 2, 0), whole[:, 60:140])  # cut, not scaled again
    assert decode(file.getvalue(), 200).shape == (3, 100, 800)
    assert decode(file.getvalue()).shape == (3, 100, 1000)


@pytest.mark.parametrize("ending", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_as_their_exif_block_says(ending, orientation):
    upright = np.zeros((16, 48, 3), np.uint8)
    upright[:8, :24] = 255
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(upright).save(file, ending, exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(file)))
    for shortest in (None, 8):
        image = decode(file.getvalue(), shortest).permute(1, 2, 0)
        side = expected.shape[0] // image.shape[0]
        assert image.shape[:2] == (expected.shape[0] // side, expected.shape[1] // side)
        corners = (slice(2, None, image.shape[0] - 5), slice(2, None, image.shape[1] - 5))
        places = (slice(4, None, expected.shape[0] - 9), slice(4, None, expected.shape[1] - 9))
        assert np.array_equal(image[corners] > 128, expected[places] > 128)


def test_a_damaged_exif_block_takes_no_image_along():
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (9, 9, 9)).save(file, "jpeg", exif=b"Exif\0\0no such thing")
    assert decode(file.getvalue()).shape == (3, 4, 6)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_images_of_more_than_eight_bits_are_refused(mode):
    file = io.BytesIO()
    Image.new(mode, (6, 4)).save(file, "tiff")
    with pytest.raises(ValueError, match=rf"mode {mode}: give images of more than 8 bits as \.npy"):
        decode(file.getvalue())
