"""Where labels come from, how classes are called, and what is said where there are none."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.vision.data.image_files import picture, write_folder, write_parquet, write_tar
from vision.commands.reading import labels_of
from vision.data.images import open_images
from vision.data.shown import ShownImages
from vision.errors import InputError


def test_whole_floats_are_called_as_the_integers_that_they_were(tmp_path):
    images = [picture(1), picture(2), picture(3)]
    for values, names in (([2.0, 0.0, 10.0], ("0", "2", "10")), ([2, 0, 10], ("0", "2", "10")), ([0.5, 1, 2], None)):
        labels = open_images(write_parquet(tmp_path / "x.parquet", images, label=values)).labels
        assert labels.names == (names or ("0.5", "1", "2"))
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 1, 3, 3)), labels=np.array([7.0, -1.0]))
    assert open_images(tmp_path / "x.npz").labels.names == ("-1", "7")


def hugging_face(path, numbers, features):
    table = pa.table({"image": [picture(number) for number in range(len(numbers))], "label": numbers})
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), path)
    return path


def test_classes_of_hugging_face_have_their_names(tmp_path):
    kind = {"names": ["dog", "cat", "ant"], "_type": "ClassLabel"}
    features = json.dumps({"info": {"features": {"label": kind}}})
    labels = open_images(hugging_face(tmp_path / "x.parquet", [2, 0, 2, -1], features)).labels
    assert labels.names == ("-1", "dog", "ant")  # in the order of the numbers; -1 is not the last name
    assert labels.numbers.tolist() == [2, 1, 2, 0]


@pytest.mark.parametrize("features", ["{", "[]", '{"info": {"features": {"label": {"dtype": "int64"}}}}'])
def test_what_hugging_face_says_beside_is_left_alone(tmp_path, features):
    assert open_images(hugging_face(tmp_path / "x.parquet", [2, 0], features)).labels.names == ("0", "2")


def test_an_image_outside_the_class_folders_is_named(tmp_path, capsys):
    images = open_images(write_folder(tmp_path, ["cat/1.png", "dog/2.png", "cover.png"]))
    assert images.labels is None
    said = "no labels are read, for cover.png lies in no class folder (1 of 3 images do not)\n"
    assert capsys.readouterr().err == f"{tmp_path}: {said}"
    assert advice(images) == "move cover.png into a class folder, where others are"


def test_what_gives_labels_is_said_for_each_kind_of_data(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 3, 3)))
    assert "as 'labels' of an .npz" in advice(open_images(tmp_path / "x.npy"))
    assert ".cls or .json" in advice(open_images(write_tar(tmp_path / "x.tar", [("a.png", picture(1))])))
    assert "--label-column" in advice(open_images(write_parquet(tmp_path / "x.parquet", [picture(1)])))
    assert advice(open_images(write_folder(tmp_path / "x", ["a.png"]))) == "sort the images into class folders"
    assert capsys.readouterr().err == ""


def advice(images):
    with pytest.raises(InputError) as error:
        labels_of(ShownImages(images, (2, 2), (0.0,), (1.0,)))
    return str(error.value).partition(" has no labels: ")[2]
