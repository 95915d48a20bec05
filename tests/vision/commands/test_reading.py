"""What features, tokenize, evaluate, convert and inspect leave and print."""

import json
import os
import shlex

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from fintok.cli import run
from tests.vision.commands.conftest import NETWORK, encoded
from vision.commands.reading import inputs_of, open_shown, tracked
from vision.data.shown import ShownImages
from vision.errors import InputError
from vision.evaluate.features import extract_features
from vision.train.artifacts import open_encoder

SHORT = "--finetune.epochs 2 --finetune.batch-size 4 --segment.steps 4 --segment.batch-size 4"


class Processes:
    """Images that tell the number of the process which reads them."""

    def __init__(self, images):
        self.images = images

    def __getitem__(self, index):
        return torch.full_like(self.images[index][0], os.getpid(), dtype=torch.float64), None


def call(*words):
    assert run(["vision", *(str(word) for word in words)]) == 0


def test_features_are_a_row_for_each_image(train, data, tmp_path, capsys):
    out = tmp_path / "new" / "f.npz"
    call("features", "--model", train("mae"), "--data", data / "images.parquet", "--out", out, "--pooling", "cls+mean")
    printed = capsys.readouterr().out
    assert "20 images, 48 features each (cls+mean)" in printed
    assert f"wrote {out}" in printed
    with np.load(out) as arrays:
        assert arrays["features"].shape == (20, 48)
        assert arrays["labels"].tolist() == [0, 1] * 10
        assert arrays["label_names"].tolist() == ["a", "b"]


@pytest.mark.parametrize("kind", ["images", "panel"])  # with labels; without
def test_the_command_to_try_next_works(kind, train, data, tmp_path, capsys):
    images = data / ("images.parquet" if kind == "images" else "panel.npy")
    call("features", "--model", train("mae", kind), "--data", images, "--out", tmp_path / "f.npz")
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("next:  fintok vision evaluate --model ")
    call(*shlex.split(line)[3:], "--device", "cpu")
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())
    assert ("attention" if kind == "panel" else "knn") in results


def test_codes_are_a_grid_for_each_image_and_minus_one_where_nothing_was_observed(train, data, tmp_path, capsys):
    out = tmp_path / "c.npy"
    call("tokenize", "--model", train("vqkd", "panel"), "--data", data / "panel.npy", "--out", out)
    assert "codes used" in capsys.readouterr().out
    codes = np.load(out)
    assert codes.shape == (16, 6, 4)
    assert codes.max() < 16
    missing = np.argwhere(codes < 0).tolist()
    assert missing == [[3, 2, 1]]  # days 5 to 9 are one patch of which nothing was observed; of 10 and 11's some was


@pytest.mark.parametrize("method", ["dvae", "online_tokenizer"])
def test_every_tokenizer_gives_codes(train, data, tmp_path, method):
    call("tokenize", "--model", train(method), "--data", data / "images.parquet", "--out", tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as arrays:
        assert arrays["codes"].shape == (20, 4, 4)
        assert 0 <= arrays["codes"].min() <= arrays["codes"].max() < 16


def test_an_evaluation_leaves_its_figures_and_pictures(train, data, tmp_path, capsys):
    words = "--task knn linear pixels finetune segment codebook attention reconstruction --linear.epochs 1 "
    words += "--finetune.epochs 1 --segment.steps 1 --device cpu"
    out = tmp_path / "e"
    call("evaluate", "--model", train("dvae"), "--data", data / "images.parquet", "--out", out, *words.split())
    results = json.loads((out / "results.json").read_text())
    assert (results["training_images"], results["test_images"], results["pooling"]) == (16, 4, "mean")
    assert results["knn"].keys() == results["pixels"].keys() == {"k = 10"}
    figures = {"linear": "accuracy", "finetune": "accuracy", "segment": "mean_iou", "codebook": "usage"}
    for task, name in figures.items():
        assert 0 <= results[task][name] <= 1
    printed = capsys.readouterr().out
    for name in ("codebook.html", "attention.png", "reconstruction.png"):
        assert (out / name).stat().st_size > 0
        assert f"wrote {out / name}" in printed


def test_features_of_several_blocks_are_judged_together(train, data, tmp_path, refuse, monkeypatch):
    shapes = []

    def seen(*given, **named):
        shapes.append((made := extract_features(*given, **named)).shape)
        return made

    monkeypatch.setattr("vision.commands.evaluation.extract_features", seen)
    words = ["evaluate", "--model", train("dino"), "--data", data / "images.parquet", "--linear.epochs", "1"]
    call(*words, "--last-blocks", "2", "--out", tmp_path / "two")
    assert shapes == [(16, 48), (4, 48)]
    assert json.loads((tmp_path / "two" / "results.json").read_text())["last_blocks"] == 2
    said = refuse(*words, "--last-blocks", "3", "--out", tmp_path / "three")
    assert "last_blocks is 3, expected 1 to 2" in said


def test_what_was_not_observed_changes_no_feature_and_no_figure(train, data, tmp_path, capsys):
    images = np.load(data / "panel.npy")
    images[7] = np.nan
    np.savez(tmp_path / "gaps.npz", images=images, labels=np.arange(16) % 2)
    model = train("vqkd", "panel")
    words = ["--model", train("mae", "panel"), "--data", tmp_path / "gaps.npz"]
    call("features", *words, "--out", tmp_path / "f.npy")
    assert "nothing was observed of 1 of them: their features are NaN" in capsys.readouterr().out
    features = np.load(tmp_path / "f.npy")
    assert np.isnan(features).all(axis=1).nonzero()[0].tolist() == [7]
    encoder, extra = open_encoder(train("mae", "panel"))
    shown = open_shown(tmp_path / "gaps.npz", inputs_of(tmp_path, extra))
    observed = torch.from_numpy(~np.isnan(images[3]).any(axis=0))[None]
    with torch.no_grad():
        patches = encoder(shown[torch.tensor([3])].nan_to_num(), observed).patches[0]
    seen = encoder.grid(observed).pool_any(observed)[0]
    assert int(seen.sum()) == 23
    np.testing.assert_allclose(features[3], patches[seen].mean(dim=0), atol=1e-5)
    tasks = "knn linear pixels finetune attention reconstruction --linear.epochs 1 --finetune.epochs 1 --device cpu"
    every = ("--test", tmp_path / "gaps.npz", "--linear.holdout-ratio", ".2", "--out", tmp_path / "e")
    call("evaluate", *words, *every, "--task", *tasks.split())
    assert "left out 1 of the 16 images, of which nothing was observed" in capsys.readouterr().err
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert (results["training_images"], results["test_images"]) == (15, 15)
    call("evaluate", "--model", model, *words[2:], "--test", words[3], "--out", tmp_path / "c", "--task", "codebook")
    assert "Codebook on 359 patches" in capsys.readouterr().out  # 15 images of 24, and one was not observed


def test_damaged_images_of_several_sizes_are_named_and_left_out_with_their_labels(train, tmp_path, capsys):
    names = [f"{'ab'[number % 2]}/{number:03d}.png" for number in range(120)]
    for number, name in enumerate(names):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16 + number % 3, 16), (255 * (number % 2), 0, number)).save(tmp_path / "x" / name)
    (tmp_path / "x" / "a" / "118.png").write_bytes(b"no image")  # the last of its class: a "b" would stand in
    words = ["--data", tmp_path / "x", "--device", "cpu"]
    call("features", "--model", train("mae"), *words, "--out", tmp_path / "f.npz")
    captured = capsys.readouterr()
    assert captured.err.count("118.png (not an image)") == 1
    assert "119 images" in captured.out
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["labels"].tolist() == [0] * 59 + [1] * 60
        assert len(arrays["features"]) == 119
    call("tokenize", "--model", train("dvae"), *words, "--out", tmp_path / "c.npy")
    assert len(np.load(tmp_path / "c.npy")) == 119
    call("evaluate", "--model", train("mae"), *words, "--out", tmp_path / "e", "--task", "pixels")
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert (results["training_images"], results["test_images"]) == (96, 23)
    assert "118.png (not an image)" in capsys.readouterr().err


def test_as_many_images_may_be_damaged_as_in_the_run(data, tmp_path, refuse):
    table = pq.read_table(data / "images.parquet").to_pydict()
    table["image"][3] = b"no image"
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    damaged = ("--data", tmp_path / "x.parquet")
    words = "--max-steps 1 --accelerator cpu --images.max-unreadable 0.1 --dvae.decoder-depth 1"
    call("pretrain", "--method", "dvae", *f"{NETWORK} {words}".split(), *damaged, "--out", tmp_path / "run")
    on = ("--model", tmp_path / "run", *damaged, "--out")
    call("features", *on, tmp_path / "f.npy")
    call("tokenize", *on, tmp_path / "c.npy")
    call("evaluate", *on, tmp_path / "e", "--task", "pixels")
    assert len(np.load(tmp_path / "f.npy")) == len(np.load(tmp_path / "c.npy")) == 19
    line = refuse("features", *on, tmp_path / "g.npy", "--max-unreadable", 0.01)
    assert "1 of the 20 images" in line
    assert "(--max-unreadable, in pretrain" in line


def test_test_images_are_those_given_and_the_floor_is_an_untrained_network(train, data, tmp_path, refuse):
    words = ["evaluate", "--model", train("mae"), "--data", data / "images.parquet", "--task", "knn", "--untrained"]
    call(*words, "--test", data / "images.parquet", "--out", tmp_path / "e")
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert results["untrained"]
    assert results["test_images"] == 20
    assert "--overwrite" in refuse(*words, "--out", tmp_path / "e")


@pytest.mark.parametrize(("given", "used"), [((), "cls"), (("--pooling", "mean"), "mean"),
                                             (("--pooling", "mean", "--finetune.pooling", "cls"), "cls")])  # fmt: skip
def test_fine_tuning_reads_what_is_asked_for_and_says_so(train, data, tmp_path, given, used):
    words = ["--model", train("dino"), "--data", data / "images.parquet", "--out", tmp_path / "e"]
    call("evaluate", *words, "--task", "finetune", "knn", *SHORT.split(), *given, "--device", "cpu")
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert results["finetune"]["pooling"] == used
    assert results["pooling"] == ("mean" if given else "cls")


def test_a_method_that_rebuilds_no_pixels_has_no_reconstruction(train, data, tmp_path, refuse):
    words = ["evaluate", "--model", train("dino"), "--data", data / "images.parquet", "--out", tmp_path / "e"]
    assert "a run of dino, which rebuilds no pixels; mae, simmim, dvae do" in refuse(*words, "--task", "reconstruction")
    assert "holds no tokenizer" in refuse(*words, "--task", "codebook")


def test_an_encoder_goes_to_another_library_and_back(train, data, tmp_path, capsys):
    call("convert", train("mae"), "--to", "huggingface", "--out", tmp_path / "hf")
    call("convert", tmp_path / "hf", "--out", tmp_path / "back")
    assert "tensors used" in capsys.readouterr().out
    pair = []
    for model, name in ((train("mae"), "a.npy"), (tmp_path / "back", "b.npy")):
        words = ["--model", model, "--data", data / "images.parquet", "--out", tmp_path / name, "--pooling", "mean"]
        if model == tmp_path / "back":  # the other library knows nothing of the scale of these images
            header = model / "encoder" / "config.json"
            ours = json.loads((train("mae") / "encoder" / "config.json").read_text())
            header.write_text(json.dumps({**json.loads(header.read_text()), "extra": ours["extra"]}))
        call("features", *words)
        pair.append(np.load(tmp_path / name))
    np.testing.assert_allclose(pair[0], pair[1], atol=1e-4)


def test_inspect_prints_what_a_run_holds(train, capsys, tmp_path, refuse):
    call("inspect", train("vqkd"))
    printed = capsys.readouterr().out
    for words in ("method: vqkd", "trained on 20 images", "builds on", "2 of 2 steps", "tokenizer: tokenizer, "):
        assert words in printed
    assert "holds no run" in refuse("inspect", tmp_path)


def test_the_images_held_out_are_drawn_whatever_the_order_of_classes(train, tmp_path):
    colours = np.repeat(np.arange(20, 220, 40, dtype=np.uint8), 3).reshape(5, 3)
    pictures = [encoded(np.broadcast_to(colours[number % 5], (16, 16, 3)).copy()) for number in range(100)]
    pq.write_table(pa.table({"image": pictures, "label": [*"abcde"] * 20}), tmp_path / "in_turn.parquet")
    words = ["evaluate", "--model", train("mae"), "--data", tmp_path / "in_turn.parquet", "--out", tmp_path / "e"]
    call(*words, "--task", "pixels", "--device", "cpu")
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert (results["training_images"], results["test_images"]) == (80, 20)
    assert results["pixels"]["k = 10"] == 1.0


def test_fewer_than_five_images_need_others_to_test_on(train, data, tmp_path, refuse):
    table = pq.read_table(data / "images.parquet")
    pq.write_table(table.slice(0, 4), tmp_path / "few.parquet")
    words = ["evaluate", "--model", train("mae"), "--data", tmp_path / "few.parquet", "--task", "attention"]
    assert "has 4 images, of which a fifth is to be tested on: give" in refuse(*words, "--out", tmp_path / "e")
    call(*words, "--test", tmp_path / "few.parquet", "--out", tmp_path / "e")


def test_images_are_read_by_other_processes_with_the_same_numbers(train, data, tmp_path):
    words = ["--data", data / "images.parquet", "--batch-size", "3", "--device", "cpu"]
    tasks = ["--task", "knn", "pixels", "finetune", "segment", *SHORT.split()]
    for workers in ("0", "2"):
        torch.manual_seed(0)  # of the classifier's first weights and of stochastic depth
        own = [*words, "--num-workers", workers]
        call("features", "--model", train("mae"), *own, "--out", tmp_path / f"f{workers}.npy")
        call("tokenize", "--model", train("dvae"), *own, "--out", tmp_path / f"c{workers}.npy")
        call("evaluate", "--model", train("mae"), *own, *tasks, "--out", tmp_path / f"e{workers}")
    for name in ("f{}.npy", "c{}.npy"):
        np.testing.assert_array_equal(*(np.load(tmp_path / name.format(workers)) for workers in "02"))
    assert len({(tmp_path / f"e{workers}" / "results.json").read_text() for workers in "02"}) == 1
    shown = open_shown(data / "images.parquet", inputs_of(tmp_path, open_encoder(train("mae"))[1]))
    shown.images = Processes(shown.images)
    assert os.getpid() not in {int(one) for images in tracked(shown, 3, "x", 2) for one in images[:, 0, 0, 0].tolist()}
    before = torch.get_rng_state()
    assert sum(1 for _ in tracked(shown, 3, "x")) == 7
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("workers", "expected"), [(0, 18), (2, 3)])  # 3: the first ones, for their size, a picture
def test_evaluations_that_train_read_in_other_processes(train, data, tmp_path, monkeypatch, workers, expected):
    read, reads = ShownImages.__getitem__, []
    monkeypatch.setattr(ShownImages, "__getitem__", lambda shown, index: reads.append(index) or read(shown, index))
    words = ["--model", train("mae"), "--data", data / "images.parquet", "--num-workers", workers]
    call("evaluate", *words, "--task", "finetune", "segment", "--out", tmp_path / "e", *SHORT.split())
    assert len(reads) == expected


def test_an_error_of_a_process_that_reads_is_its_sentence(train, data):
    class Broken:
        def __getitem__(self, index):
            raise InputError("no image")

    shown = open_shown(data / "images.parquet", inputs_of(data, open_encoder(train("mae"))[1]))
    shown.images = Broken()
    with pytest.raises(InputError, match=r"^no image$"):
        list(tracked(shown, 3, "x", 2))


@pytest.mark.parametrize(
    ("task", "said"),
    [("codebook", "holds no tokenizer"), ("reconstruction", "rebuilds no"), ("attention", "attends along an axis")],
)
def test_what_a_model_cannot_do_is_refused_before_its_other_tasks(task, said, train, data, tmp_path, refuse):
    model, images = tmp_path / "run" if task == "attention" else train("dino"), data / "images.parquet"
    if task == "attention":
        words = f"pretrain --method simmim {NETWORK} --encoder.attention axial --max-steps 1 --accelerator cpu"
        call(*words.split(), "--data", images, "--out", model)
    words = ("--model", model, "--data", images, "--out", tmp_path / "e", "--task", "pixels", task)
    assert said in refuse("evaluate", *words)
    assert not (tmp_path / "e").exists()
