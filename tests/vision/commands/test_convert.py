"""``convert``: what a folder holds after it."""

import pytest
import torch

from fintok.cli import run
from vision.config import MAEConfig, ViTConfig
from vision.convert.heads import mae_decoder_to_theirs
from vision.convert.write import write_encoder
from vision.methods.base import MaskedCodeModel
from vision.methods.mae import MAE
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import save_artifacts

ENCODER = ViTConfig(patch_size=(4, 4), dim=32, depth=1, heads=4, max_rows=3, max_columns=3)
RELATIVE = {"row_position": "none", "column_position": "none", "relative_position": "shared"}


@pytest.fixture
def convert(capsys):
    """Runs ``fintok vision convert`` with 4 heads; returns what it printed."""

    def call(*words: object) -> str:
        assert run(["vision", "convert", *map(str, words), "--heads", "4"]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def mae(tmp_path):
    """An official MAE with its decoder, as a file."""
    method = MAE(ENCODER, MAEConfig(decoder_dim=32, decoder_depth=1, decoder_heads=16))
    beside = mae_decoder_to_theirs(method.state_dict(), ENCODER, method.config)
    write_encoder(method.encoder, tmp_path / "mae.pth", "mae", beside)
    return tmp_path / "mae.pth"


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
