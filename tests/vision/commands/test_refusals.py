"""Bad methods, sizes, patches, masks, data and checkpoints: one sentence, code 2, nothing written."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from fintok.cli import run
from vision.config import NEEDS

BASE = ("pretrain", "--method", "mae")
WRITE = ("convert", "m", "--out", "o", "--to", "timm")
READ = ("evaluate", "--model", "m", "--data", "d", "--out", "o")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pretrain"], f"pretrain needs --method; there are: {', '.join(NEEDS)}"),
        (["pretrain", "--method", "ibit"], "unknown method 'ibit'; did you mean 'ibot'? known methods: mae, simmim"),
        ([*BASE, "--size", "bas"], "did you mean 'base'? known sizes: tiny, small, base, large, huge, giant"),
        ([*BASE, "--mae.decoder-dm", "3"], "--mae.decoder-dim?"),
        ([*BASE, "--optim.lr", "1e-3"], "Unknown option: --optim.lr. Did you mean --optim.learning-rate?"),
        ([*BASE, "--optim.bs=8"], "Unknown option: --optim.bs. Did you mean --optim.batch-size?"),
        ([*BASE, "--ibot.momentum", ".5"], "--ibot.momentum is of the method 'ibot', this run's is 'mae'"),
        ([*BASE, "--mask.ratio", "1"], "MaskConfig.ratio is 1.0, expected a share in (0, 1)"),
        ([*BASE, "--max-steps", "0"], "--max-steps is 0"),
        ([*BASE, "--max-steps", "2.5"], "--max-steps is 2.5, expected a whole number"),
        ([*BASE, "--optim.steps", "5"], "optim.warmup_steps is 1950, expected fewer than optim.steps, 5: lower it"),
        (
            ["pretrain", "--method", "dvae", "--dvae.likelihood", "logit_laplace"],
            "of pixels in [0, 1], expected images.mean 0 and images.std 1",
        ),
        ([*BASE, "-c", "paper/mea"], "recipes: paper/beit-base"),
        ([*BASE, "-c", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (list(BASE), "pretrain needs --data"),
        (["pretain"], 'Did you mean "pretrain"?'),
        (["features", "--model", "m", "--data", "d", "--out", "f.txt"], ".npz or .npy"),
        (["evaluate", "--model", "m", "--data", "d", "--out", "o", "--task", "nn"], 'Did you mean "knn"?'),
        ([*READ, "--batch-size", "0"], 'Invalid value "0" for --batch-size. Must be >= 1'),
        (["features", *READ[1:-1], "f.npz", "--batch-size", "-1"], 'Invalid value "-1" for --batch-size. Must be >= 1'),
        (["tokenize", *READ[1:-1], "c.npz", "--batch-size", "0"], "Must be >= 1"),
        ([*READ, "--pictures", "0"], "Must be >= 1"),
        ([*READ, "--num-workers", "-1"], "Must be >= 0"),
        ([*READ, "--task", "masking", "--patch-size", "0", "4"], "Must be >= 1"),
        ([*READ, "--task", "masking", "--patch-size", "4", "4"], "--patch-size is of masking without --model: leave"),
        ([*READ, "--task", "knn", "codebook", "--untrained"], "--untrained leaves nothing to measure by codebook:"),
        ([*READ, "--task", "pixels", "--untrained"], "--untrained leaves nothing to measure by pixels:"),
        ([*READ, "--task", "reconstruction", "masking", "--untrained"], "measure by reconstruction, masking: leave"),
        ([*READ, "--task", "codebook", "--pooling", "mean"], "--pooling mean changes nothing in codebook: it is of"),
        ([*READ, "--task", "finetune", "--pooling", "cls+mean"], "--pooling cls+mean changes nothing in finetune:"),
        (
            [*READ, "--task", "finetune", "--pooling", "cls", "--finetune.pooling", "mean"],
            "--pooling cls changes nothing in finetune",
        ),
        ([*READ, "--task", "attention", "--last-blocks", "2"], "--last-blocks is of knn and linear: leave it out"),
        ([*READ, "--ignore", "0"], "--ignore is of segment: ask for it with --task, or leave it"),
        ([*READ, "--pictures", "4"], "--pictures is of attention, reconstruction and segment:"),
        ([*READ, "--segment.is-encoder-frozen", "false"], "takes its value after an equals sign: --name=false"),
        ([*WRITE, "--form", "beit"], "--form is of a checkpoint that is read: leave it out with --to"),
        ([*WRITE, "--tokenizer"], "--tokenizer is of a checkpoint that is read"),
        ([*WRITE, "--entry", "student"], "--entry is of a checkpoint that is read"),
        ([*WRITE, "--heads", "7"], "--heads is of a checkpoint that is read"),
        ([*WRITE, "--grid", "9", "9"], "--grid is of a checkpoint that is read"),
        ([*WRITE[:-2], "--tokenizer", "--form", "beit"], "--tokenizer says the form: leave one of them out"),
    ],
)
def test_a_wrong_command_line_is_put_right(refuse, words, said):
    assert said in refuse(*words)


def cases(data, tmp_path):
    """Name -> (words after --method mae --out RUN, what is said)."""
    images = data / "images.parquet"
    broken, tar, empty, mixed = (tmp_path / name for name in ("broken", "x.tar", "empty", "mixed.npy"))
    for folder in (broken, empty):
        folder.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        info = tarfile.TarInfo("a.png")
        info.size = 5000
        file.addfile(info, io.BytesIO(b"x" * 5000))
    tar.write_bytes(content.getvalue()[:2000])
    np.save(mixed, np.zeros((4, 3, 16, 16)))
    np.savez(tmp_path / "whole.npz", images=np.zeros((40, 1, 8, 8), np.float32))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:3000])
    lists, nowhere, infinite = (tmp_path / f"{name}.npz" for name in ("lists", "nowhere", "infinite"))
    np.savez(lists, images=np.zeros((3, 1, 8, 8), np.float32), labels=np.eye(3))
    np.savez(nowhere, images=np.zeros((3, 1, 8, 8), np.float32), labels=np.array([1.0, np.nan, 2.0]))
    np.savez(infinite, images=np.array([1.0, np.inf], np.float32).repeat(64).reshape(2, 1, 8, 8))
    large = "--method dino --views.num-local 1 --views.local-size 16 20"
    large += " --encoder.row-position learned --encoder.column-position learned"
    return {
        "patches that do not fill": (
            ["--data", images, "--encoder.patch-size", "5", "4"],
            "patches of 5 x 4 do not fill images of 16 x 16 pixels; set encoder.patch_size to a divisor of each side: "
            "1, 2, 4, 8 for the height",
        ),
        "a mask that hides nothing": (
            ["--data", data / "panel.npy", "--encoder.patch-size", "6", "20"],
            "hides 1 of the 1 patches",
        ),
        "local crops of broken patches": (
            ["--data", images, "--views.num-local", "1", "--views.local-size", "6", "6"],
            "patches of 4 x 4 do not fill an image of 6 x 6 pixels",
        ),
        "a corrupted image": (["--data", broken], "a.png (not an image)"),
        "a corrupted tar": (["--data", tar], "x.tar cannot be read as a tar of images"),
        "a damaged archive": (["--data", tmp_path / "cut.npz"], "cut.npz cannot be read as a NumPy array: File is not"),
        "labels of several classes": (["--data", lists], "lists.npz: the label of row 0 is a list; give each image"),
        "a label that is NaN": (["--data", nowhere], "nowhere.npz: row 1 has no label"),
        "an infinite value": (
            ["--data", infinite],
            "infinite.npz: image 1 holds infinite values; put NaN where nothing was",
        ),
        "an empty folder": (["--data", empty], "holds no images"),
        "nothing there": (["--data", tmp_path / "none"], "does not exist"),
        "no label column": (["--data", images, "--images.label-column", "kind"], "no column 'kind'; its columns: "),
        "another number of channels": (
            ["--data", data / "panel.npy", "--images.mean", ".5", "--images.std", ".5"],
            "images.mean and images.std have 1 and 1 numbers",
        ),
        "no such number of devices": (["--data", images, "--devices", "0"], "cannot train on devices 0 of"),
        "no such accelerator": (["--data", images, "--accelerator", "abacus"], "of accelerator 'abacus' (You selected"),
        "a seed below zero": (["--data", images, "--seed", "-1"], "PretrainConfig.seed is -1, expected a number from"),
        "one view to compare": (
            ["--method", "ibot", "--data", images, "--views.num-global", "1", "--views.num-local", "0"],
            "ibot compares 2 views of an image or more: raise views.num_global or views.num_local",
        ),
        "local crops that nobody looks at": (
            ["--data", images, "--views.num-local", "2"],
            "mae looks at global crops alone: set views.num_local 0",
        ),
        "a mask that hides from nobody": (
            ["--method", "dino", "--data", images, "--mask.ratio", "0.3"],
            "dino hides nothing: leave mask.… out",
        ),
        "crops beyond learned positions": (
            ["--data", images, *large.split()],
            "local crops of 16 x 20 pixels go beyond images of 16 x 16, where learned positions end",
        ),
        "a name that no parameter has": (
            ["--data", images, "--optim.undecayed", "none"],
            "optim.undecayed names 'none'",
        ),
        "a parent it has no use for": (["--data", images, "--teacher", tmp_path], "mae builds on no other run"),
        "a folder that is a file": (["--data", images, "--out", images], "is a file"),
        "nothing to resume": (["--data", images, "--resume", "--out", broken], "holds no run to resume"),
    }


CASES = (
    "patches that do not fill",
    "a mask that hides nothing",
    "local crops of broken patches",
    "a corrupted image",
    "a corrupted tar",
    "a damaged archive",
    "labels of several classes",
    "a label that is NaN",
    "an infinite value",
    "an empty folder",
    "nothing there",
    "no label column",
    "another number of channels",
    "no such number of devices",
    "no such accelerator",
    "a seed below zero",
    "one view to compare",
    "local crops that nobody looks at",
    "a mask that hides from nobody",
    "crops beyond learned positions",
    "a name that no parameter has",
    "a parent it has no use for",
    "a folder that is a file",
    "nothing to resume",
)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence_and_nothing_is_written(case, data, tmp_path, refuse):
    words, said = cases(data, tmp_path)[case]
    given = words if "--method" in words else [*BASE[1:], *words]
    line = refuse("pretrain", *given, *([] if "--out" in words else ["--out", tmp_path / "run"]))
    assert said in line, line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "option", "parent", "said"),
    [
        ("beit2", "--tokenizer", "dino", "holds no tokenizer but encoder: it is a run of another method"),
        ("beit2", None, None, "beit2 builds on a tokenizer: name the folder of a run of dvae, vqkd"),
        ("vqkd", None, None, "vqkd builds on a teacher: name the folder of a run of dino, ibot or dinov2"),
        ("vqkd", "--tokenizer", "dino", "vqkd builds on a teacher: name it as --teacher, without --tokenizer"),
        ("beit2", "--teacher", "vqkd", "beit2 builds on a tokenizer: name it as --tokenizer, without --teacher"),
        ("vqkd", "--teacher", "nothing", "holds no encoder; name the folder that fintok vision pretrain left"),
    ],
)
def test_a_parent_of_another_method_is_refused(train, data, tmp_path, refuse, method, option, parent, said):
    words = ["pretrain", "--method", method, "--data", data / "images.parquet", "--out", tmp_path / "run"]
    if option:
        words += [option, tmp_path if parent == "nothing" else train(parent)]
    assert said in refuse(*words)
    assert not (tmp_path / "run").exists()


def test_a_parent_with_other_patches_or_channels_is_refused(train, data, tmp_path, refuse):
    words = ["pretrain", "--method", "vqkd", "--teacher", train("dino"), "--out", tmp_path / "run"]
    line = refuse(*words, "--data", data / "images.parquet", "--encoder.patch-size", "2", "2")
    assert "has patches of 4 x 4, encoder.patch_size is 2 x 2" in line
    line = refuse(*words, "--data", data / "panel.npy")
    assert "has 2 channels, the run it builds on was trained on 3" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--method", "simmim"], "has method 'mae', not 'simmim'"),
        (["--encoder.dim", "48"], "has encoder.dim 24, not 48"),
        (["--optim.learning-rate", "1"], "has optim.learning_rate"),
        (["--data", "panel.npy", "--encoder.patch-size", "2", "5"], "has encoder.patch_size"),
    ],
)
def test_a_run_of_another_method_or_width_is_not_resumed(train, data, refuse, change, said):
    change = [data / word if word == "panel.npy" else word for word in change]
    given = [] if "--data" in change else ["--data", data / "images.parquet"]
    assert said in refuse("pretrain", "--out", train("mae"), "--resume", *given, *change)


@pytest.mark.parametrize("name", ["encoder/model.safetensors", "encoder/config.json"])
def test_a_truncated_model_is_refused(train, data, tmp_path, refuse, name):
    folder = shutil.copytree(train("mae"), tmp_path / "run")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    line = refuse("features", "--model", folder, "--data", data / "images.parquet", "--out", tmp_path / "f.npz")
    assert name in line


def test_a_truncated_checkpoint_is_not_resumed(train, tmp_path, capsys):
    folder = shutil.copytree(train("mae"), tmp_path / "run")
    (folder / "pretrain.ckpt").write_bytes(b"PK half a checkpoint")
    assert run(["vision", "pretrain", "--out", str(folder), "--resume", "--accelerator", "cpu"]) == 2
    assert "pretrain.ckpt is cut short" in capsys.readouterr().err


def test_images_of_another_number_of_channels_are_refused(train, data, tmp_path, refuse):
    line = refuse("features", "--model", train("mae"), "--data", data / "panel.npy", "--out", tmp_path / "f.npz")
    assert "has 2 channels, the model was trained on 3" in line


def test_evaluation_without_labels_is_refused(train, data, tmp_path, refuse):
    words = ["evaluate", "--model", train("mae", "panel"), "--data", data / "panel.npy", "--out", tmp_path / "e"]
    assert "has no labels: put them beside the images, as 'labels' of an .npz" in refuse(*words)
    line = refuse(*words[:2], train("mae"), "--data", data / "images.parquet", "--label-column", "kind", *words[5:])
    assert "no column 'kind'" in line


def test_masking_of_several_sizes_says_what_evaluate_takes(train, tmp_path, refuse):
    for number in range(80):
        Image.new("RGB", (16 + number % 2 * 4, 16), (number, 0, 0)).save(tmp_path / f"{number}.png")
    words = ["evaluate", "--data", tmp_path, "--task", "masking"]
    line = refuse(*words, "--patch-size", "4", "4", "--out", tmp_path / "e")
    assert "images of several sizes: with --model, masking takes the size which that model sees" in line
    assert run([str(word) for word in ("vision", *words, "--model", train("mae"), "--out", tmp_path / "e")]) == 0
