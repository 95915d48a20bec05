"""Images from folders, Parquet, tars and arrays."""

import gzip
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import ExifTags, Image

from tests.vision.data.image_files import colors, picture, write_folder, write_parquet, write_tar
from vision.data.decode import decode
from vision.data.images import open_images
from vision.errors import InputError


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


def test_shards_of_several_sets_and_a_label_column_of_files_are_refused(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        write_parquet(tmp_path / f"{name}.parquet", [picture(1)])
    assert len(open_images(tmp_path)) == 2
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [picture(1)])
    with pytest.raises(InputError, match="shards of several sets, test and train: give a folder that holds one"):
        open_images(tmp_path)
    write_folder(tmp_path / "files", ["a/1.png"])
    with pytest.raises(InputError, match=r"--label-column .+ is of tables, tars and arrays; in a folder"):
        open_images(tmp_path / "files", label_column="kind")


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
    assert open_images(write_parquet(tmp_path / "x.parquet", values, label=[b"b", b"a"])).labels.names == ("a", "b")


def test_a_label_map_lies_beside_its_image(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 11], [3, 4]], dtype=np.uint8)).save(file, "png")
    images = open_images(write_parquet(tmp_path / "x.parquet", [picture(1)], mask=[file.getvalue()]))
    assert images.segmentation(0).tolist() == [[0, 11], [3, 4]]


def test_the_column_of_the_images_is_told_from_label_maps_and_other_structs(tmp_path):
    path, photos, masks = tmp_path / "x.parquet", [picture(5), picture(6)], [picture(1), picture(2)]
    meta = [{"id": 1}, {"id": 2}]
    pq.write_table(pa.table({"mask": masks, "photo": photos}), path)
    assert colors(open_images(path)) == [5, 6]
    pq.write_table(pa.table({"meta": meta, "thumb": masks, "img": photos}), path)
    assert colors(open_images(path)) == [5, 6]
    pq.write_table(pa.table({"meta": meta, "left": photos, "right": photos}), path)
    with pytest.raises(InputError, match=r"several columns of bytes \(left, right\): name that of the images 'image'"):
        open_images(path)
    pq.write_table(pa.table({"meta": meta, "mask": masks}), path)
    with pytest.raises(InputError, match="no column of image bytes; its columns: meta, mask"):
        open_images(path)


def test_a_label_map_may_be_a_struct_as_hugging_face_writes_it(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 11]], dtype=np.uint8)).save(file, "png")
    masks = [{"bytes": file.getvalue(), "path": "x"}, {"bytes": None, "path": "y"}]
    images = open_images(write_parquet(tmp_path / "x.parquet", [picture(1), picture(2)], mask=masks))
    assert images.segmentation(0).tolist() == [[0, 11]]
    assert images.segmentation(1) is None


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


def test_a_named_key_of_the_json_in_a_tar_counts_whatever_its_cls_says(tmp_path):
    members = [("a.png", picture(1)), ("a.cls", b"0"), ("a.json", json.dumps({"label": 5, "coarse": "x"}).encode())]
    members += [("b.json", json.dumps({"label": 6, "coarse": "y"}).encode()), ("b.png", picture(2)), ("b.cls", b"1")]
    path = write_tar(tmp_path / "x.tar", members)
    assert open_images(path).labels.names == ("0", "1")
    assert open_images(path, label_column="coarse").labels.names == ("x", "y")
    assert open_images(path, label_column="label").labels.names == ("5", "6")
    with pytest.raises(InputError, match=r"no sample has a \.json with 'fine'"):
        open_images(path, label_column="fine")


def test_a_folder_may_be_named_as_a_tar_and_a_compressed_one_is_told(tmp_path):
    write_folder(tmp_path / "folder.tar", ["a.png"])
    assert colors(open_images(tmp_path / "folder.tar")) == [0]
    (tmp_path / "x.tar").write_bytes(gzip.compress(write_tar(tmp_path / "y.tar", [("a.png", picture(1))]).read_bytes()))
    with pytest.raises(InputError, match="tars must not be compressed"):
        open_images(tmp_path / "x.tar")


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
