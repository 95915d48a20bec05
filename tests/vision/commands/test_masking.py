"""``evaluate --task masking``, and which images a study or a page sees where it does not see all."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from fintok.cli import run
from tests.vision.commands.conftest import NETWORK, TRAINING, encoded
from vision.errors import InputError
from vision.evaluate.masking import MaskingStudy


def call(*words):
    assert run(["vision", *(str(word) for word in words)]) == 0


def test_masking_is_measured_without_a_model(tmp_path, refuse):
    rng = np.random.default_rng(0)
    levels = rng.standard_normal((80, 1, 1, 1))  # what all patches of an image share
    np.save(tmp_path / "x.npy", (levels + rng.standard_normal((80, 1, 4, 6))).astype(np.float32))
    words = ["evaluate", "--data", tmp_path / "x.npy", "--task", "masking"]
    call(*words, "--patch-size", "1", "2", "--out", tmp_path / "e")
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert 0 < results["masking"]["best_ratio"] < 1
    assert "--patch-size 4 4" in refuse(*words, "--out", tmp_path / "f")
    assert "needs --model" in refuse(*words, "knn", "--out", tmp_path / "f")


@pytest.mark.parametrize("method", ["beit", "online_tokenizer"])  # whose tokenizer is its parent's; its own
def test_masking_of_a_masked_code_model_measures_what_that_has_of_the_codes(method, train, tmp_path, monkeypatch):
    rng, seen = np.random.default_rng(0), []
    levels = rng.integers(0, 256, (80, 1, 1, 1))  # what all patches of an image share
    noise = rng.integers(0, 128, (80, 16, 16, 3))
    images = [encoded(image) for image in ((levels + noise) // 2).astype(np.uint8)]
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")

    def measure(model, tokenizer, images, **options):
        seen.append((model.num_codes, tokenizer.num_codes, len(images)))
        return MaskingStudy((0.25, 0.5), (2.0, 1.0), (0.1, 0.1), len(images), "masked code model")

    words = ["evaluate", "--model", train(method), "--data", tmp_path / "x.parquet", "--task", "masking"]
    with monkeypatch.context() as patch:
        patch.setattr("vision.commands.tasks.code_information", measure)
        call(*words, "--out", tmp_path / "e")
    assert seen == [(16, 16, 16)]
    figures = json.loads((tmp_path / "e" / "results.json").read_text())["masking"]
    assert (figures["codes: I(0.250)"], figures["codes: best_measured"]) == (2.0, 0.25)
    assert 0 < figures["best_ratio"] < 1
    call(*words, "--out", tmp_path / "f")  # two steps have taught it nothing, or next to it: that is no error


def test_the_codes_are_those_of_the_tokenizer_that_the_run_learned_from(train, data, tmp_path, monkeypatch, capsys):
    """Its folder was another working directory's, and another tokenizer lies there now."""
    asked, elsewhere = [], tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(train("dvae"), tmp_path / "dvae")
    monkeypatch.chdir(tmp_path)
    words = f"--method beit --tokenizer dvae --data {data / 'images.parquet'} --out run {NETWORK} {TRAINING}"
    call("pretrain", *words.split())
    weights = tmp_path / "dvae" / "tokenizer" / "model.safetensors"
    before = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in before.items()}, weights)
    monkeypatch.chdir(elsewhere)

    def measure(model, tokenizer, images, **options):
        asked.append(tokenizer.state_dict())
        raise InputError("far enough")

    monkeypatch.setattr("vision.commands.tasks.code_information", measure)
    levels = np.random.default_rng(0).integers(0, 256, (80, 1, 1, 1), dtype=np.uint8)
    images = [encoded(image) for image in np.broadcast_to(levels, (80, 16, 16, 3))]
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")
    study = ("evaluate", "--model", tmp_path / "run", "--data", tmp_path / "x.parquet", "--task", "masking")
    call(*study, "--out", tmp_path / "e")
    shutil.rmtree(tmp_path / "dvae")
    call(*study, "--out", tmp_path / "f")
    assert capsys.readouterr().out.count("is not measured: far enough") == len(asked) == 2
    for state in asked:
        assert state.keys() == before.keys()
        assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("task", "most", "reader"),
    [("masking", "IN_STUDY", "linear_information"), ("codebook", "IN_GALLERY", "code_gallery")],
)
def test_a_study_and_a_page_of_some_images_see_all_classes_of_a_sorted_set(
    task, most, reader, train, tmp_path, monkeypatch, refuse
):
    seen = []

    def stop(*given, **options):
        seen.append(next(one for one in given if hasattr(one, "shape")))
        raise InputError("far enough")

    monkeypatch.setattr(f"vision.commands.tasks.{most}", 3)
    monkeypatch.setattr(f"vision.commands.tasks.{reader}", stop)
    values = np.arange(25, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 6, 20), np.float32)
    np.save(tmp_path / "x.npy", values)
    words = ("evaluate", "--model", train("vqkd", "panel"), "--data", tmp_path / "x.npy", "--test", tmp_path / "x.npy")
    assert "far enough" in refuse(*words, "--out", tmp_path / "e", "--task", task)
    first, middle, last = seen[0].mean(dim=(1, 2, 3)).tolist()
    assert last - middle == pytest.approx(middle - first)
    assert last - first > 20
