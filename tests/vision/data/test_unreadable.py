"""Images that cannot be read, and data that is refused."""

import io
import re
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.vision.data.image_files import colors, picture, write_folder, write_parquet, write_tar
from vision.data.decode import decode
from vision.data.images import open_images
from vision.errors import InputError


def test_whatever_a_reader_raises_the_image_is_unreadable(tmp_path, monkeypatch, capsys):
    def broken(content, shortest=None):
        if content == picture(2):
            raise struct.error("unpack requires a buffer of 4 bytes")
        return decode(content, shortest)

    monkeypatch.setattr("vision.data.images.decode", broken)
    images = open_images(write_folder(tmp_path, [f"{number}.png" for number in range(4)]), max_unreadable=0.25)
    assert colors(images) == [0, 1, 3]
    assert "2.png (unpack requires a buffer of 4 bytes)" in capsys.readouterr().err


def test_an_image_of_another_size_among_many_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("vision.data.images.MEMORY_BYTES", 0)
    write_folder(tmp_path, [f"{number:02d}.png" for number in range(60)])
    (tmp_path / "31.png").write_bytes(picture(1, (6, 5)))
    assert open_images(tmp_path).size is None


def test_unreadable_images_are_named_and_left_out(tmp_path, capsys):
    write_folder(tmp_path, [f"{'ab'[number % 2]}/{number}.png" for number in range(6)])
    (tmp_path / "b" / "3.png").write_bytes(picture(3)[:40])
    images = open_images(tmp_path, max_unreadable=0.2)
    assert len(images) == len(images.labels.numbers) == 5
    assert colors(images) == [0, 2, 4, 1, 5]
    assert images.labels.numbers.tolist() == [0, 0, 0, 1, 1]
    assert "b/3.png (" in capsys.readouterr().err


def test_in_a_set_too_large_to_keep_the_next_image_stands_in_and_the_damaged_one_is_named_once(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("vision.data.images.MEMORY_BYTES", 0)
    write_folder(tmp_path, [f"{number}.png" for number in range(4)])
    (tmp_path / "1.png").write_bytes(b"no image")
    images = open_images(tmp_path, max_unreadable=0.25)
    assert colors(images) == colors(images) == [0, 2, 2, 3]
    assert capsys.readouterr().err.count("1.png (not an image)") == 1
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"2 of the 4 images .* more than the share of 0\.25 .*3\.png"):
        images[3]


@pytest.mark.parametrize("is_kept", [True, False])
def test_unreadable_images_take_their_labels_and_label_maps_along(tmp_path, monkeypatch, capsys, is_kept):
    monkeypatch.setattr("vision.data.images.MEMORY_BYTES", 10**9 if is_kept else 0)
    content = [picture(number) for number in range(5)]
    maps = [io.BytesIO() for _ in content]
    for number, file in enumerate(maps):
        Image.fromarray(np.full((6, 4), number, dtype=np.uint8)).save(file, "png")
    content[1] = content[1][:40]
    columns = {"label": list("abcde"), "mask": [file.getvalue() for file in maps]}
    images = open_images(write_parquet(tmp_path / "x.parquet", content, **columns), max_unreadable=0.2)
    images.leave_out_unreadable()
    assert colors(images) == images.labels.numbers.tolist() == [0, 2, 3, 4]
    assert [int(images.segmentation(number)[0, 0]) for number in range(len(images))] == [0, 2, 3, 4]
    assert capsys.readouterr().err.count("x.parquet, row 1 (") == 1
    images.leave_out_unreadable()  # again, nothing changes
    assert colors(images) == [0, 2, 3, 4]


def test_more_unreadable_images_than_the_share_are_an_error(tmp_path):
    write_folder(tmp_path, [f"{number}.png" for number in range(4)])
    (tmp_path / "2.png").write_bytes(b"")
    said = r"1 of the 4 images .*\(--max-unreadable, in pretrain --images\.max-unreadable\).*2\.png \(not an image\)"
    with pytest.raises(InputError, match=said):
        open_images(tmp_path)


def test_a_row_that_holds_a_path_alone_is_told_from_a_damaged_image(tmp_path):
    rows = [{"bytes": picture(1), "path": "1.png"}, {"bytes": None, "path": "images/2.png"}]
    with pytest.raises(InputError, match=r"row 1 \(a path without bytes: write the images themselves into the table\)"):
        open_images(write_parquet(tmp_path / "x.parquet", rows))


def test_a_photograph_of_too_many_pixels_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"0\.png \(too many pixels for Pillow: cut it into tiles, or give \.npy\)"):
        open_images(write_folder(tmp_path, ["0.png"]))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e200])
def test_an_array_with_infinite_pixels_names_the_image(tmp_path, value):
    values = np.zeros((3, 2, 4, 5))
    values[0, 0, 0, 0], values[2, 1, 3, 3] = np.nan, value
    np.save(tmp_path / "x.npy", values)
    images = open_images(tmp_path / "x.npy")
    assert images[1][1].all()
    with pytest.raises(InputError, match=r"x\.npy: image 2 holds infinite values; put NaN"):
        images[2]


def npy(path, array):
    np.save(path, array)
    return path


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])
    return path


BAD = {
    "nothing there": (lambda p: p / "none", "does not exist; --data takes a folder"),
    "an empty folder": (lambda p: p, "holds no images"),
    "another ending": (lambda p: write_folder(p, ["a.txt"]) / "a.txt", "expected a folder of images"),
    "a broken Parquet": (lambda p: cut(write_parquet(p / "x.parquet", [b"1"]), 50), "cannot be read as Parquet"),
    "no image column": (
        lambda p: (pq.write_table(pa.table({"a": [1], "b": [2]}), p / "x.parquet"), p / "x.parquet")[1],
        "no column of image bytes; its columns: a, b",
    ),
    "a broken tar": (
        lambda p: cut(write_tar(p / "x.tar", [("a.png", picture(1)), ("b.png", picture(2, (99, 99)))]), 1100 + 512),
        r"x\.tar cannot be read as a tar of images \(unexpected end",
    ),
    "no tar": (lambda p: write_folder(p, ["a.png"]).joinpath("a.png").rename(p / "x.tar"), "cannot be read as a tar"),
    "a tar of text": (lambda p: write_tar(p / "x.tar", [("a.txt", b"hello")]), "holds no images"),
    "a label missing": (
        lambda p: write_tar(p / "x.tar", [("a.png", picture(1)), ("a.cls", b"1"), ("b.png", picture(1))]),
        r"b\.png has no label though others have",
    ),
    "a broken array": (lambda p: cut(npy(p / "x.npy", np.zeros((2, 1, 3, 3))), 90), "cannot be read as a NumPy array"),
    "objects": (lambda p: npy(p / "x.npy", np.array([{}], dtype=object)), "cannot be read as a NumPy array"),
    "too few axes": (lambda p: npy(p / "x.npy", np.zeros((2, 3))), r"shape \(2, 3\)"),
    "channels last": (lambda p: npy(p / "x.npy", np.zeros((2, 9, 9, 3))), "channels come second"),
    "many channels last": (lambda p: npy(p / "x.npy", np.zeros((2, 64, 64, 12))), "channels come second"),
    "a single label": (
        lambda p: (np.savez(p / "x.npz", images=np.zeros((2, 1, 3, 3)), labels=np.array(3)), p / "x.npz")[1],
        r"x\.npz has a single label, expected one for each of 2 images",
    ),
    "no images in it": (lambda p: (np.savez(p / "x.npz", a=np.ones(2)), p / "x.npz")[1], "x.npz holds a; name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_sentence(case, tmp_path):
    make, said = BAD[case]
    with pytest.raises(InputError) as error:
        open_images(make(tmp_path))
    assert re.search(said, str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["parquet", "npz", "npy", "tar"])
def test_a_label_column_that_is_missing_is_named(kind, tmp_path):
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        write_parquet(path, [picture(1)])
    elif kind == "tar":
        write_tar(path, [("a.png", picture(1))])
    elif kind == "npz":
        np.savez(path, images=np.zeros((1, 1, 2, 2)))
    else:
        np.save(path, np.zeros((1, 1, 2, 2)))
    with pytest.raises(InputError, match="'kind'"):
        open_images(path, label_column="kind")
