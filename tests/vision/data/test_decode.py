"""Bytes of a file become pixels: upright, reduced, eight bits."""

import io
import struct
import zlib

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


def _png(values):
    """An RGB picture (H, W, 3) of 16 bits as PNG."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    crcs = [zlib.crc32(name + content) for name, content in chunks]
    parts = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)
        for (name, content), crc in zip(chunks, crcs, strict=True)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _ppm(values):
    """The same as PPM, of as many bits as ``values`` has."""
    highest = np.iinfo(values.dtype).max
    return (
        f"P6 {values.shape[1]} {values.shape[0]} {highest}\n".encode()
        + values.astype(values.dtype.newbyteorder(">")).tobytes()
    )


def _tiff(values):
    """The same as TIFF, not compressed."""
    content, rows = values.astype("<u2").tobytes(), values.shape[0]
    start = 8 + len(content)
    depths = start + 2 + 9 * 12 + 4
    tags = [(256, 1, values.shape[1]), (257, 1, rows), (258, 3, depths), (259, 1, 1), (262, 1, 2), (273, 1, 8),
            (277, 1, 3), (278, 1, rows), (279, 1, len(content))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 3, count, value) for tag, count, value in tags)
    head = struct.pack("<2sHI", b"II", 42, start)
    return head + content + struct.pack("<H", 9) + entries + struct.pack("<I3H", 0, 16, 16, 16)


@pytest.mark.parametrize("write", [_png, _ppm, _tiff])
@pytest.mark.parametrize("shortest", [None, 2])
def test_colours_of_sixteen_bits_are_refused_not_cut(write, shortest):
    values = np.random.default_rng(0).integers(0, 4096, (4, 6, 3)).astype(np.uint16)
    assert Image.open(io.BytesIO(write(values))).size == (6, 4)
    with pytest.raises(ValueError, match=r"16 bits in mode RGB: give images of more than 8 bits as \.npy"):
        decode(write(values), shortest)


def test_colours_of_eight_bits_or_fewer_are_read():
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    assert np.array_equal(decode(_ppm(values)).permute(1, 2, 0), values)
    pixels = np.array([[0xF800, 0x07E0], [0x001F, 0xFFFF]], "<u2")  # five bits, six and five: 16 a pixel, not a colour
    header = struct.pack("<IiiHHIIiiII", 40, 2, -2, 1, 16, 3, 8, 0, 0, 0, 0) + struct.pack("<3I", 0xF800, 0x07E0, 0x1F)
    bmp = struct.pack("<2sIHHI", b"BM", 66 + 8, 0, 0, 66) + header + pixels.tobytes()
    assert decode(bmp).flatten(1).T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
