"""Which files of a folder are read, and that they are of one set."""

import re

import numpy as np
import pytest

from tests.vision.data.image_files import picture, write_folder, write_parquet, write_tar
from vision.data.images import open_images
from vision.errors import InputError


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/a/1.png", "train/b/2.png", "val/a/3.png"], "holds several sets, train and val"),
        (["x/Test/1.png", "x/training/2.png", "x/valid/3.png"], "several sets, Test and training and valid"),
        (["train2017/1.png", "val2017/2.png", "cover.png"], "several sets, train2017 and val2017"),
    ],
)
def test_folders_of_several_sets_are_no_classes(tmp_path, names, said):
    write_folder(tmp_path, names)
    with pytest.raises(InputError, match=rf"{said}.* as {re.escape(str(tmp_path))}.+(train|Test)"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    "names",
    [["train/1.png", "ship/2.png"], ["test1/1.png", "test2/1.png"], ["train/a/1.png", "train/b/1.png"], ["val/1.png"]],
)
def test_classes_and_one_set_alone_are_read(tmp_path, names):
    assert len(open_images(write_folder(tmp_path, names))) == len(names)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train.parquet", "test.parquet"], "test and train"),
        (["imagenet-train-000000.tar", "imagenet-train-000001.tar", "imagenet-val-000000.tar"],
         "imagenet-train and imagenet-val"),
        (["train/0000.parquet", "validation/0000.parquet"], "train and validation"),
        (["a/train-0.parquet", "a/test-0.parquet"], "a/test and a/train"),
        (["a_test_0.tar", "a_train_0.tar"], "a_test and a_train"),
    ],
)  # fmt: skip
def test_files_that_differ_by_the_split_are_several_sets(tmp_path, names, said):
    write_all(tmp_path, names)
    with pytest.raises(InputError, match=f"holds (shards of )?several sets, {said}: give a folder that holds one"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["train-000.tar", "train-001.tar"],
        ["a.parquet", "b.parquet"],
        ["0.tar", "1.tar"],
        ["contest.tar", "context.tar"],
        ["train-00000-of-00002-3ac7.parquet", "train-00001-of-00002-9ef0.parquet"],
    ],
)
def test_shards_of_one_set_are_read_together(tmp_path, names):
    write_all(tmp_path, names)
    assert len(open_images(tmp_path)) == len(names)


def write_all(folder, names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".tar"):
            write_tar(folder / name, [(f"{number}.png", picture(number))])
        else:
            write_parquet(folder / name, [picture(number)])


def test_a_folder_of_arrays_says_to_give_the_array(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 4)))
    with pytest.raises(InputError, match=r"holds arrays, .+: give the array itself, as .+a\.npy$"):
        open_images(tmp_path)


def test_images_of_rarer_endings_are_read_and_what_is_no_image_is_told(tmp_path, capsys):
    write_folder(tmp_path, ["a.jfif", "b.JPE", "c.jpg", "d.tga", "e.avif", "f.jp2", "g.heic", "h.heic", "i.mp4"])
    write_folder(tmp_path, ["labels.csv", "README", "c.json", ".hidden.raw"])
    assert len(open_images(tmp_path)) == 6
    assert capsys.readouterr().err == f"{tmp_path}: left alone 3 files of other endings (2 .heic, 1 .mp4)\n"
