"""``convert``: what a folder holds after it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from fintok.cli import run
from vision.config import MAEConfig, ViTConfig
from vision.convert.heads import mae_decoder_to_theirs
from vision.convert.write import write_encoder
from vision.methods.codes import MaskedCodeModel
from vision.methods.mae import MAE
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import open_encoder, save_artifacts
from vision.train.state import load_training_state

ENCODER = ViTConfig(patch_size=(4, 4), dim=32, depth=1, heads=4, max_rows=3, max_columns=3)
RELATIVE = {"row_position": "none", "column_position": "none", "relative_position": "shared"}


@pytest.fixture
def convert(capsys):
    """Runs ``fintok vision convert``, of a checkpoint with 4 heads; returns what it printed."""

    def call(*words: object) -> str:
        heads = () if "--to" in words else ("--heads", "4")
        assert run(["vision", "convert", *map(str, words), *heads]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def mae(tmp_path):
    """An official MAE with its decoder, as a file."""
    method = MAE(ENCODER, MAEConfig(decoder_dim=32, decoder_depth=1, decoder_heads=16))
    beside = mae_decoder_to_theirs(method.state_dict(), ENCODER, method.config)
    write_encoder(method.encoder, tmp_path / "mae.pth", "mae", beside)
    return tmp_path / "mae.pth"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_mae_in_another_precision_keeps_its_decoder_and_its_positions(dtype, convert, mae, tmp_path):
    tensors = torch.load(mae)["model"]
    torch.save({"model": {name: tensor.to(dtype) for name, tensor in tensors.items()}}, tmp_path / "other.pth")
    assert "decoder and mask token" in convert(tmp_path / "other.pth", "--out", tmp_path / "run")
    encoder = open_encoder(tmp_path / "run")[0]
    assert (encoder.config.row_position, encoder.config.column_position) == ("sincos", "sincos")
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    moved = tensors["decoder_pos_embed"].to(dtype)
    moved[0, 3, 0] += 0.1
    torch.save({"model": {**tensors, "decoder_pos_embed": moved}}, tmp_path / "moved.pth")
    assert run(["vision", "convert", str(tmp_path / "moved.pth"), "--heads", "4", "--out", str(tmp_path / "no")]) == 2


def test_nothing_of_the_model_before_is_left_after_overwrite(convert, mae, tmp_path):
    out = tmp_path / "run"
    model = MaskedCodeModel(ViTConfig(patch_size=(4, 4), dim=32, depth=1, heads=4, **RELATIVE), 16)
    write_encoder(VisionTransformer(ENCODER), tmp_path / "alone.pth", "dino")
    save_artifacts(out, model, {})
    (out / "features.npz").write_bytes(b"mine")
    convert(mae, "--out", out, "--overwrite")
    assert not (out / "model").exists()
    convert(tmp_path / "alone.pth", "--out", out, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == ["encoder", "features.npz"]
    convert(out, "--to", "mae", "--out", tmp_path / "again.pth")
    assert not any("decoder" in name for name in torch.load(tmp_path / "again.pth")["model"])


def test_a_folder_of_something_else_is_left_alone(mae, tmp_path, refuse):
    (tmp_path / "thesis" / "model").mkdir(parents=True)
    (tmp_path / "thesis" / "model" / "config.json").write_text("{}")
    words = ["convert", mae, "--heads", 4, "--overwrite", "--out"]
    assert "was not made by fintok vision and is left alone" in refuse(*words, tmp_path / "thesis")
    assert "is a file: name a folder" in refuse(*words, mae)
    assert (tmp_path / "thesis" / "model" / "config.json").is_file()


def scale_of(run):
    inputs = open_encoder(run)[1]["inputs"]
    return inputs["mean"], inputs["std"]


HALF, CENTS = [0.5] * 3, [0.1, 0.2, 0.3]
FOLDERS = {  # form -> (file of the folder, what it says, mean and std in it)
    "timm": ("config.json", {"architecture": "vit", "pretrained_cfg": {"mean": CENTS, "std": HALF}}, (CENTS, HALF)),
    "old timm": ("config.json", {"architecture": "vit", "mean": HALF, "std": CENTS}, (HALF, CENTS)),
    "huggingface": ("preprocessor_config.json", {"image_mean": CENTS, "image_std": HALF}, (CENTS, HALF)),
    "bytes": ("preprocessor_config.json", {"image_mean": [51] * 3, "image_std": [255] * 3, "do_rescale": False},
              ([0.2] * 3, [1.0] * 3)),
    "as it is": ("preprocessor_config.json", {"image_mean": HALF, "image_std": HALF, "do_normalize": False},
                 ([0.0] * 3, [1.0] * 3)),
}  # fmt: skip


@pytest.mark.parametrize("form", FOLDERS)
def test_mean_and_std_are_those_that_the_folder_names(form, convert, tmp_path):
    name, said, expected = FOLDERS[form]
    encoder, folder = VisionTransformer(ENCODER), tmp_path / "theirs"
    if "timm" in form:
        write_encoder(encoder, folder / "model.safetensors", "timm")
    else:
        write_encoder(encoder, folder, "huggingface")
    (folder / name).write_text(json.dumps(said))
    assert f"({folder / name})" in convert(folder, "--out", tmp_path / "run")
    assert scale_of(tmp_path / "run") == expected


def test_a_scale_that_nothing_names_is_the_forms_and_is_told(convert, mae, tmp_path):
    printed = convert(mae, "--out", tmp_path / "mae")
    assert "scale: --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 (ImageNet's, for the checkpoint" in printed
    encoder = VisionTransformer(ViTConfig(patch_size=(4, 4), dim=32, depth=1, heads=4, **RELATIVE))
    for form, mean in (("beit", HALF), ("beit2", [0.485, 0.456, 0.406])):
        write_encoder(encoder, tmp_path / f"{form}.pth", form)
        printed = convert(tmp_path / f"{form}.pth", "--form", form, "--out", tmp_path / form)
        assert ("of BEiT v2 say --form beit2" in printed) == (form == "beit")
        assert scale_of(tmp_path / form)[0] == mean


def test_a_given_scale_is_taken_and_travels_to_hugging_face_and_back(convert, mae, tmp_path, refuse):
    convert(mae, "--out", tmp_path / "run", "--mean", *CENTS, "--std", *HALF)
    assert "written along" in convert(tmp_path / "run", "--to", "huggingface", "--out", tmp_path / "hf")
    convert(tmp_path / "hf", "--out", tmp_path / "back")
    assert scale_of(tmp_path / "run") == scale_of(tmp_path / "back") == (CENTS, HALF)
    printed = convert(tmp_path / "run", "--to", "timm", "--out", tmp_path / "x.pth")
    assert "--mean 0.1 0.2 0.3 --std 0.5 0.5 0.5" in printed
    words = ["convert", mae, "--heads", 4, "--out", tmp_path / "no", "--mean", 0.5]
    assert "--mean and --std go together" in refuse(*words)
    assert "expected a number for each of 3 channels" in refuse(*words, "--std", 0.5)
    (tmp_path / "hf" / "preprocessor_config.json").write_text("[]")
    assert "preprocessor_config.json names no mean" in refuse("convert", tmp_path / "hf", "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_what_has_no_place_in_the_other_form_is_told(convert, train, tmp_path, refuse):
    printed = convert(train("mae"), "--to", "mae", "--out", tmp_path / "mae.pth")
    assert "note: the encoder alone is written, for the official MAE has 16 heads" in printed
    line = refuse("convert", train("vqkd"), "--to", "vqkd", "--out", tmp_path / "vqkd.pth")
    assert "has no place for" in line
    assert "holds no tokenizer" in refuse("convert", train("dino"), "--to", "vqkd", "--out", tmp_path / "vqkd.pth")
    assert "is a run: say with --to" in refuse("convert", train("dino"), "--out", tmp_path / "again")
    printed = convert(train("dino"), "--to", "program", "--out", tmp_path / "dino.pt2")
    assert "for which the file has no place: give images scaled so" in printed


def test_the_mask_token_of_dinov2_goes_with_its_encoder(convert, train, tmp_path):
    convert(train("dinov2"), "--to", "dinov2", "--out", tmp_path / "dinov2.safetensors")
    token = load_file(tmp_path / "dinov2.safetensors")["mask_token"]
    assert torch.equal(token, load_training_state(train("dinov2") / "pretrain.ckpt")["method"]["mask_token.weight"])
    assert token.abs().max() > 0
