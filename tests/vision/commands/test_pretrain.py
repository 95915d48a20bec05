"""Every method trains through the command; runs are resumed, kept, and say what they left."""

import functools
import io
import shutil
import signal

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import vision
from fintok.cli import run
from tests.vision.commands.conftest import NETWORK, TRAINING
from vision.config import NEEDS
from vision.train.build import build
from vision.train.checkpoint import CheckpointError
from vision.train.folder import read_run
from vision.train.metrics import read_metrics
from vision.train.module import PretrainModule
from vision.train.state import load_training_state


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (number, 0, 0)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["images", "panel"])
@pytest.mark.parametrize("method", NEEDS)
def test_every_method_trains_on_images_and_on_a_panel(train, method, kind):
    folder = train(method, kind)
    rows = read_metrics(folder / "pretrain.csv")
    assert [row["step"] for row in rows] == [1, 2]
    assert (folder / "encoder" / "model.safetensors").is_file()
    assert (folder / "tokenizer").is_dir() == (method in ("dvae", "vqkd", "online_tokenizer"))
    encoder = yaml.safe_load((folder / "config.yaml").read_text())["encoder"]
    assert encoder["patch_size"] == ([1, 5] if kind == "panel" else [4, 4])


def test_a_run_says_what_it_wrote_and_what_comes_next(data, tmp_path, capsys):
    out = tmp_path / "run"
    words = "vision pretrain --method simmim --encoder.dim 24 --encoder.depth 1 --max-steps 1 --accelerator cpu"
    assert run([*words.split(), "--data", str(data / "images.parquet"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("simmim: step 1, loss ")
    assert f"wrote {out}\nwrote {out / 'encoder'}\n" in printed
    assert f"next:  fintok vision features --model {out}" in printed


def words_of(folder, data, *more):
    words = ["vision", "pretrain", "-c", folder / "config.yaml", "--data", data / "images.parquet", *more]
    return [str(word) for word in [*words, "--accelerator", "cpu"]]


def test_a_run_can_be_made_again_from_its_configuration(train, data, tmp_path):
    folder = train("mae")
    assert run(words_of(folder, data, "--out", tmp_path / "again")) == 0
    assert (tmp_path / "again" / "config.yaml").read_text() == (folder / "config.yaml").read_text()
    states = [load_training_state(path / "pretrain.ckpt")["method"] for path in (folder, tmp_path / "again")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_python_takes_paths_as_text_and_the_folder_of_a_run_for_what_it_left(train, data, tmp_path):
    config, folder = read_run(train("dvae"))[0], str(tmp_path / "run")
    made = vision.pretrain(config, str(data / "images.parquet"), folder, progress=False, accelerator="cpu")
    assert made.folder == tmp_path / "run"
    state = vision.load_method(folder)[0].artifact().state_dict()
    tokenizer, encoder = vision.load_tokenizer(folder), vision.load_encoder(folder)
    assert all(torch.equal(value, state[name]) for name, value in tokenizer.state_dict().items())
    inside = vision.load_encoder(tmp_path / "run" / "encoder").state_dict()
    assert all(torch.equal(value, inside[name]) for name, value in encoder.state_dict().items())
    with pytest.raises(CheckpointError, match="expected a Tokenizer"):
        vision.load_tokenizer(folder, vision.Tokenizer)
    with pytest.raises(CheckpointError, match="holds no tokenizer but encoder"):
        vision.load_tokenizer(train("mae"))


def test_an_interrupted_run_goes_on_where_it_stopped(train, data, tmp_path, monkeypatch, capsys):
    """Ctrl-C after the first of two steps; then --resume with nothing but the folder."""
    start, cut = PretrainModule.on_train_batch_start, tmp_path / "cut"

    def press(self, batch, batch_idx):
        start(self, batch, batch_idx)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainModule, "on_train_batch_start", press)
        assert run(words_of(train("ibot"), data, "--out", cut)) == 130
    assert "--resume" in capsys.readouterr().err
    assert not (cut / "encoder").exists()
    assert load_training_state(cut / "pretrain.ckpt")["step"] == 1
    assert run(["vision", "pretrain", "--out", str(cut), "--resume", "--accelerator", "cpu"]) == 0
    states = [load_training_state(path / "pretrain.ckpt") for path in (train("ibot"), cut)]
    assert states[1]["step"] == 2
    assert all(torch.equal(value, states[1]["method"][name]) for name, value in states[0]["method"].items())


@pytest.mark.parametrize("method", ["beit", "dino"])  # with a parent; with a momentum teacher
def test_a_new_run_starts_from_the_weights_and_heads_of_another(method, train, data, tmp_path, capsys):
    """With a learning rate of 0 they stay; resuming before the first checkpoint knows them, too."""
    still = ["--init", train(method), "--optim.learning-rate", 0, "--optim.min-learning-rate", 0, "--max-steps", 1]
    parent = ["--tokenizer", train("dvae")] if method == "beit" else []
    words = words_of(train(method), data, "--out", tmp_path / "run", *parent, *still)
    assert run(words) == 0
    before = load_training_state(train(method) / "pretrain.ckpt")["method"]
    (tmp_path / "run" / "pretrain.ckpt").unlink()  # as if it had been cut before
    assert run(["vision", "pretrain", "--out", str(tmp_path / "run"), "--resume", "--accelerator", "cpu"]) == 0
    after = load_training_state(tmp_path / "run" / "pretrain.ckpt")["method"]
    assert before.keys() == after.keys()
    moved = ("teacher.", "centering.")  # after each step, whatever the rate
    assert all(torch.equal(value, after[name]) for name, value in before.items() if not name.startswith(moved))
    assert read_run(tmp_path / "run")[1].inputs == read_run(train(method))[1].inputs
    capsys.readouterr()
    assert run(["vision", "inspect", str(tmp_path / "run")]) == 0
    assert f"started from {train(method)}" in capsys.readouterr().out


def test_a_run_starts_from_one_of_the_same_method_and_parent(train, data, tmp_path, refuse):
    words = words_of(train("beit"), data, "--out", tmp_path / "run")[1:]
    line = refuse(*words, "--tokenizer", train("dvae"), "--init", train("simmim"))
    assert "is a run of simmim, not of beit" in line
    line = refuse(*words, "--tokenizer", train("online_tokenizer"), "--init", train("beit"))
    assert f"builds on another tokenizer, {train('dvae')}: give that one" in line
    assert not (tmp_path / "run").exists()


def test_a_run_knows_its_data_and_parent_from_any_working_directory(train, data, tmp_path, monkeypatch):
    for name, place in (("x.parquet", data / "images.parquet"), ("dvae", train("dvae"))):
        (tmp_path / name).symlink_to(place)
    monkeypatch.chdir(tmp_path)
    words = f"vision pretrain --method beit --tokenizer dvae --data x.parquet --out run {NETWORK} {TRAINING}"
    assert run(words.split()) == 0
    facts = read_run(tmp_path / "run")[1]
    assert (facts.data, facts.parent) == (str(tmp_path / "x.parquet"), str(tmp_path / "dvae"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["vision", "pretrain", "--out", str(tmp_path / "run"), "--resume", "--accelerator", "cpu"]) == 0
    (tmp_path / "dvae").unlink()
    state = load_training_state(tmp_path / "run" / "pretrain.ckpt")["method"]
    loaded = vision.load_method(tmp_path / "run").method.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def test_a_run_that_does_not_say_what_its_parent_was_asks_its_folder(train, tmp_path):
    shutil.copytree(train("beit"), tmp_path / "run")
    facts = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    del facts["parent_network"]
    (tmp_path / "run" / "run.yaml").write_text(yaml.safe_dump(facts))
    assert vision.load_method(tmp_path / "run").method.state_dict().keys()
    (tmp_path / "run" / "run.yaml").write_text(yaml.safe_dump({**facts, "parent_network": {"kind": "odd"}}))
    with pytest.raises(CheckpointError, match="does not describe the network"):
        vision.load_method(tmp_path / "run")


def test_a_run_gives_back_the_views_it_was_trained_on(train, data):
    images, loaded = vision.open_images(data / "panel.npy"), vision.load_method(train("mae", "panel"))
    (image, observed), views = images[3], []
    for maker in (loaded.views, build(read_run(train("mae", "panel"))[0], loaded.inputs, images.size)[1]):
        views.append(maker.prepare(maker.collate([maker(image, observed, np.random.default_rng(0))])).views[0])
        assert maker.data_size == (6, 20)
    assert torch.equal(*views)


def test_a_run_that_has_ended_says_how_to_go_on(train, refuse):
    line = refuse("pretrain", "--out", train("mae"), "--resume", "--max-steps", 9)
    assert "is one of 2 steps, not 9, and cannot be prolonged" in line
    assert f"--init {train('mae')} and another --out" in line


def test_a_run_may_be_resumed_compiled(train, data, tmp_path, capsys):
    shutil.copytree(train("mae"), tmp_path / "run")
    words = words_of(tmp_path / "run", data, "--out", tmp_path / "run")
    assert run([*words, "--resume", "--optim.compile"]) == 0  # nothing is left to do, and so to compile


def test_a_run_without_a_checkpoint_says_that_it_begins_anew(train, data, tmp_path, capsys):
    shutil.copytree(train("mae"), tmp_path / "run")
    (tmp_path / "run" / "pretrain.ckpt").unlink()
    words = words_of(tmp_path / "run", data, "--out", tmp_path / "run", "--resume")
    assert run(words) == 0
    assert "no checkpoint yet: the run begins anew" in capsys.readouterr().err
    assert run(words) == 0
    assert "begins anew" not in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run_with_code_1(train, data, tmp_path, capsys):
    words = words_of(train("simmim"), data, "--out", tmp_path / "run", "--optim.learning-rate", "1e38")
    assert run(words) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("fintok: the ")
    assert "not finite" in line
    assert "lower learning rate" in line
    assert not (tmp_path / "run" / "encoder").exists()


def test_what_is_there_is_kept_without_overwrite(train, data, tmp_path, refuse, capsys):
    folder = tmp_path / "run"
    shutil.copytree(train("mae"), folder)
    words = words_of(folder, data, "--out", folder)
    assert "--overwrite" in refuse(*words[1:])
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for wrong in (["--devices", "0"], ["--accelerator", "abacus"], ["--views.local-size", "6", "6"]):
        refuse(*words[1:], "--views.num-local", "1", "--overwrite", *wrong)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept
    assert run([*words, "--overwrite"]) == 0
    capsys.readouterr()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("")
    assert "left alone" in refuse(*words_of(folder, data, "--out", tmp_path / "thesis", "--overwrite")[1:])


def test_a_run_that_cannot_begin_leaves_nothing_in_its_folder(train, data, tmp_path, refuse, monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("no compiler")

    words = words_of(train("mae"), data, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend=fails))
        assert "no compiler" in refuse(*words[1:], "--optim.compile")
    assert not any((tmp_path / "run").iterdir())
    assert run(words) == 0  # without --overwrite


def test_more_codes_than_vectors_are_told_and_do_not_repeat(train, data, tmp_path, capsys):
    words = words_of(train("vqkd"), data, "--out", tmp_path / "run", "--teacher", train("dino"))
    assert run([*words, "--vqkd.codebook.num-codes", "100"]) == 0
    error = capsys.readouterr().err
    assert "64 vectors for 100 codes; 36 of them start at random" in error
    rows = load_training_state(tmp_path / "run" / "pretrain.ckpt")["method"]["tokenizer.codebook.weight"][0]
    assert len(rows.unique(dim=0)) == 100


def test_an_image_that_a_worker_cannot_read_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vision.data.images.MEMORY_BYTES", 0)  # read as they come
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(16):
        (folder / f"{number:02}.png").write_bytes(picture(number))
    (folder / "01.png").write_bytes(b"no image")
    words = "vision pretrain --method simmim --encoder.dim 24 --encoder.depth 1 --max-steps 4 --optim.batch-size 8"
    words += f" --num-workers 1 --accelerator cpu --data {folder} --out {tmp_path / 'run'}"
    assert run(words.split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("fintok: 1 of the 16 images of")
    assert len(lines) == 1


def test_numbers_of_a_list_follow_one_another(data, tmp_path, capsys):
    words = "pretrain --method mae --print-config --images.mean .1 .2 .3 --images.std 1 1 2 --optim.drop-at .5 .75"
    assert run(["vision", *words.split(), "--data", str(data), "--out", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    assert "mean: [0.1, 0.2, 0.3]" in printed
    assert "drop_at: [0.5, 0.75]" in printed
