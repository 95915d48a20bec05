"""Images from folders, Parquet, tars and arrays; what is unreadable; what is refused."""

import io
import json
import re
import struct
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import ExifTags, Image

from vision.data.decode import decode
from vision.data.images import open_images
from vision.errors import InputError


def picture(number, size=(6, 4), ending="png"):
    """Encoded (height, width) picture of one colour that tells the number."""
    file = io.BytesIO()
    Image.new("RGB", size[::-1], (number, 2 * number, 0)).save(file, ending)
    return file.getvalue()


def write_folder(folder, names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return folder


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(path, images, **columns):
    pq.write_table(pa.table({"image": images, **columns}), path)
    return path


def colors(images):
    return [int(images[index][0][0, 0, 0]) for index in range(len(images))]


def test_class_folders_are_labels(tmp_path):
    images = open_images(write_folder(tmp_path, ["dog/b.png", "cat/c.png", "dog/a.png"]))
    assert images.labels.names == ("cat", "dog")
    assert images.labels.numbers.tolist() == [0, 1, 1]
    assert colors(images) == [1, 2, 0]  # by name
    assert images.size == (6, 4)
    assert images[0][0].shape == (3, 6, 4)


def test_links_to_folders_are_followed_once_and_what_is_hidden_is_left_out(tmp_path):
    write_folder(tmp_path / "elsewhere", ["b.png", "a.png", ".c.png", ".hidden/d.png"])
    folder = tmp_path / "x"
    write_folder(folder, ["cat/c.png"])
    (folder / "dog").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "dog" / "loop").symlink_to(folder, target_is_directory=True)
    images = open_images(folder)
    assert images.source.names == ["cat/c.png", "dog/a.png", "dog/b.png"]
    assert images.labels.names == ("cat", "dog")


def test_what_a_folder_holds_beside_what_is_read_is_told(tmp_path, capsys):
    write_folder(tmp_path, ["a/1.png", "a/2.jpg"])
    write_parquet(tmp_path / "x.parquet", [picture(1)])
    open_images(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: 1 Parquet tables are read, 2 image files left alone\n"
    write_tar(tmp_path / "x.tar", [("a.png", picture(1))])
    open_images(tmp_path)
    assert "1 tars are read, 1 Parquet tables left alone" in capsys.readouterr().err


def test_a_flat_folder_has_no_labels(tmp_path):
    images = open_images(write_folder(tmp_path, ["b.png", "a.png"]))
    assert images.labels is None
    assert len(images) == 2


@pytest.mark.parametrize("is_struct", [False, True])
def test_parquet_holds_bytes_or_structs_of_them(tmp_path, is_struct):
    content = [picture(number) for number in (5, 6)]
    values = [{"bytes": one, "path": "x"} for one in content] if is_struct else content
    images = open_images(write_parquet(tmp_path / "x.parquet", values, label=["b", "a"]))
    assert colors(images) == [5, 6]
    assert images.labels.numbers.tolist() == [1, 0]
    assert images.labels.names == ("a", "b")


def test_a_label_map_lies_beside_its_image(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 11], [3, 4]], dtype=np.uint8)).save(file, "png")
    images = open_images(write_parquet(tmp_path / "x.parquet", [picture(1)], mask=[file.getvalue()]))
    assert images.segmentation(0).tolist() == [[0, 11], [3, 4]]


@pytest.mark.parametrize("ending", ["jpeg", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(16, 48), (32, 32)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_label_map_stands_as_its_photo(tmp_path, ending, orientation, size, kind):
    lying = np.zeros(size, dtype=kind)
    lying[:8, :24] = 1
    photo, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray((255 * lying).astype(np.uint8)).convert("RGB").save(photo, ending, exif=exif)
    upright = (decode(photo.getvalue())[0] > 128).numpy()
    maps = [io.BytesIO(), io.BytesIO()]
    for label_map, file in zip((lying, upright.astype(kind)), maps, strict=True):
        Image.fromarray(label_map).save(file, "png")
    columns = {"mask": [file.getvalue() for file in maps]}
    images = open_images(write_parquet(tmp_path / "x.parquet", [photo.getvalue()] * 2, **columns))
    assert np.array_equal(images.segmentation(0), upright)
    if upright.shape != lying.shape:  # only then can one tell that it was drawn on the upright photo
        assert np.array_equal(images.segmentation(1), upright)


def test_tars_are_read_in_any_order(tmp_path):
    write_tar(tmp_path / "0.tar", [("a.png", picture(1)), ("a.cls", b"7"), ("b.cls", b"3"), ("b.png", picture(2))])
    write_tar(tmp_path / "1.tar", [("c.png", picture(3)), ("c.json", json.dumps({"label": 7}).encode())])
    images = open_images(tmp_path)
    assert colors(images) == [1, 2, 3]
    assert images.labels.numbers.tolist() == [1, 0, 1]
    assert images.labels.names == ("3", "7")


def test_of_two_images_of_a_sample_in_a_tar_the_plainer_counts(tmp_path):
    write_tar(tmp_path / "x.tar", [("7.mask.png", picture(1)), ("7.png", picture(2)), ("8.jpg", picture(3))])
    assert colors(open_images(tmp_path / "x.tar")) == [2, 3]
    write_tar(
        tmp_path / "y.tar", [("a/7.left.png", picture(1)), ("b/7.png", picture(2)), ("a/7.right.png", picture(3))]
    )
    with pytest.raises(InputError, match=r"a/7\.left\.png and a/7\.right\.png have the same name up to the first dot"):
        open_images(tmp_path / "y.tar")


def test_members_of_a_tar_that_are_hidden_or_no_files_are_no_images(tmp_path):
    write_tar(tmp_path / "x.tar", [("./._a.png", b"AppleDouble"), ("./a.png", picture(1)), ("./b.png", picture(2))])
    with tarfile.open(tmp_path / "x.tar", "a") as tar:
        folder, link = tarfile.TarInfo("c.png"), tarfile.TarInfo("d.png")
        folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "a.png"
        tar.addfile(folder)
        tar.addfile(link)
    assert colors(open_images(tmp_path / "x.tar")) == [1, 2]


def test_classes_in_tars_may_be_names_but_not_names_and_numbers(tmp_path):
    write_tar(tmp_path / "x.tar", [("a.png", picture(1)), ("a.cls", b"dog"), ("b.cls", b"cat"), ("b.png", picture(2))])
    assert open_images(tmp_path / "x.tar").labels.names == ("cat", "dog")
    write_tar(tmp_path / "y.tar", [("a.png", picture(1)), ("a.cls", b"7"), ("b.cls", b"cat"), ("b.png", picture(2))])
    with pytest.raises(InputError, match="some labels are names and some are numbers"):
        open_images(tmp_path / "y.tar")


def test_arrays_keep_their_channels_and_nan_is_not_observed(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 5, 2, 7))
    values[1, 4, 0, 6] = np.nan
    np.savez(tmp_path / "x.npz", images=values, labels=[1, 0, 1])
    images = open_images(tmp_path / "x.npz")
    assert (images.channels, images.size, images.is_encoded) == (5, (2, 7), False)
    assert images.labels.numbers.tolist() == [1, 0, 1]
    image, observed = images[1]
    assert image.dtype == torch.float32
    assert not observed[0, 6]
    assert observed.sum() == 13
    assert not image[:, 0, 6].any()
    assert images[0][1].all()  # as long as one image has gaps, all say what was observed
    np.save(tmp_path / "whole.npy", values[:1])
    assert open_images(tmp_path / "whole.npy")[0][1] is None


def test_large_images_are_scaled_down_and_keep_their_shape(tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture(9, (80, 120), "jpeg"))
    (tmp_path / "b.png").write_bytes(picture(9, (10, 12)))
    images = open_images(tmp_path, shortest=20)
    assert images.size is None
    assert [tuple(images[index][0].shape) for index in range(2)] == [(3, 20, 30), (3, 10, 12)]


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
    said = r"1 of the 4 images .*\(--images\.max-unreadable of pretrain\).*2\.png \(not an image\)"
    with pytest.raises(InputError, match=said):
        open_images(tmp_path)


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
