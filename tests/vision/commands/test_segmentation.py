"""``evaluate --task segment``: images and label maps of any size, crops, and what must be refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from fintok.cli import run
from tests.vision.commands.conftest import encoded
from vision.errors import InputError
from vision.train.artifacts import open_encoder

CPU = ("--device", "cpu")


def call(*words):
    assert run(["vision", *(str(word) for word in words)]) == 0


def write_maps(path, maps, size=(16, 16)):
    """A table of grey images and these label maps."""
    image = encoded(np.zeros((*size, 3), np.uint8))
    pq.write_table(pa.table({"image": [image] * len(maps), "mask": [encoded(one) for one in maps]}), path)
    return path


def test_images_larger_than_the_network_saw_are_segmented_whole(train, tmp_path):
    rng, table = np.random.default_rng(0), {}
    table["image"] = [encoded(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in range(10)]
    table["mask"] = [encoded(rng.integers(0, 3, (48, 64), dtype=np.uint8)) for _ in range(10)]
    pq.write_table(pa.table(table), tmp_path / "large.parquet")
    words = ("--data", tmp_path / "large.parquet", "--out", tmp_path / "e", "--task", "segment")
    call("evaluate", "--model", train("dvae"), *words, "--segment.steps", "1", "--device", "cpu")
    found = json.loads((tmp_path / "e" / "results.json").read_text())["segment"]
    of_classes = [found[f"iou of {number}"] for number in range(3)]
    assert 0 <= found["mean_iou"] == pytest.approx(sum(of_classes) / 3)
    picture = np.asarray(Image.open(tmp_path / "e" / "segmentation.png"))
    assert {*map(tuple, picture[:, -64:].reshape(-1, 3))} <= {(0, 0, 0), (128, 0, 0), (0, 128, 0), (255, 255, 255)}


def test_a_label_map_that_is_none_is_named(train, data, tmp_path, refuse):
    table = pq.read_table(data / "images.parquet")
    masks = table["mask"].to_pylist()
    words = ("evaluate", "--model", train("dvae"), "--out", tmp_path / "e", "--task", "segment", "--device", "cpu")
    for content, said in ((b"no picture", "row 3: the label map in column mask cannot be read"),
                          (encoded(np.zeros((16, 16, 3), np.uint8)), "row 3: the label map has colours")):  # fmt: skip
        damaged = tmp_path / "damaged.parquet"
        pq.write_table(table.set_column(2, "mask", pa.array([*masks[:3], content, *masks[4:]])), damaged)
        assert said in refuse(*words, "--data", damaged)


def test_an_image_without_its_label_map_is_named(train, data, tmp_path, capsys):
    table = pq.read_table(data / "images.parquet")
    masks = [None if row == 7 else mask for row, mask in enumerate(table["mask"].to_pylist())]
    damaged = tmp_path / "damaged.parquet"
    pq.write_table(table.set_column(2, "mask", pa.array(masks)), damaged)
    words = ("--model", train("dvae"), "--data", damaged, "--test", damaged, "--out", tmp_path / "e")
    assert run(["vision", "evaluate", *map(str, words), "--task", "segment", "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "image 7 has no label map" in error
    assert "Traceback" not in error


def test_the_network_that_sees_crops_has_positions_for_them(train, tmp_path, monkeypatch, refuse):
    """A crop of the size that was trained on gets the very biases that were learned."""
    seen = []

    def stop(encoder, *rest, **options):
        seen.append(encoder)
        raise InputError("far enough")

    monkeypatch.setattr("vision.commands.tasks.segment", stop)
    maps = np.random.default_rng(0).integers(0, 3, (10, 48, 64), dtype=np.uint8)
    data = write_maps(tmp_path / "large.parquet", maps, size=(48, 64))
    words = ("evaluate", "--model", train("beit"), "--data", data, "--out", tmp_path / "e", "--task", "segment")
    assert "far enough" in refuse(*words, "--segment.crop", 16, 16)
    assert "far enough" in refuse(*words, "--segment.crop", 80, 16)
    assert "far enough" in refuse(*words)
    learned = open_encoder(train("beit"))[0]
    assert seen[0].config == learned.config
    assert torch.equal(seen[0].relative.table, learned.relative.table)
    assert [(encoder.config.max_rows, encoder.config.max_columns) for encoder in seen[1:]] == [(12, 4), (12, 16)]
    assert "patches of 4 x 4 do not fill crops of 16 x 18" in refuse(*words, "--segment.crop", 16, 18)


@pytest.mark.parametrize(
    ("values", "sizes", "said"),
    [
        ((0, 255), [16] * 10, "binary.parquet hold 0 and 255, of which 255 is --ignore and does not count: two"),
        ((255,), [16] * 10, "hold 255, of which 255 is --ignore"),
        ((0,), [16] * 10, "hold 0: two classes or more must count; number them from 0 on"),
        ((0, 1), [16, 12] * 5, "has 12 x 16 pixels, its image 16 x 16: give each map"),
    ],
)
def test_label_maps_of_one_class_or_another_size_are_refused(train, tmp_path, refuse, values, sizes, said):
    maps = [np.resize(np.array(values, np.uint8), (rows, 16)) for rows in sizes]
    data = write_maps(tmp_path / "binary.parquet", maps)
    line = refuse(
        "evaluate", "--model", train("dvae"), "--data", data, "--out", tmp_path / "e", "--task", "segment", *CPU
    )
    assert said in line, line


def test_what_was_done_before_a_task_that_is_refused_stays(train, data, tmp_path, capsys):
    words = ["evaluate", "--model", train("mae", "panel"), "--data", data / "panel.npy", "--out", tmp_path / "e"]
    words += ["--task", "attention", "segment", "--device", "cpu"]
    assert run(["vision", *map(str, words)]) == 2
    assert "has no label maps" in capsys.readouterr().err
    assert "attention" in json.loads((tmp_path / "e" / "results.json").read_text())
