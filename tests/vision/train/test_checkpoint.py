import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vision.config import CodebookConfig, DVAEConfig, ViTConfig
from vision.files import write_bytes
from vision.methods.codes import MaskedCodeModel
from vision.nn.dvae import DiscreteVAE
from vision.nn.nearest_code import NearestCodeTokenizer
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import VisionTransformer
from vision.train.checkpoint import (
    CheckpointError,
    load_encoder,
    load_masked_model,
    load_tokenizer,
    save_encoder,
    save_masked_model,
    save_tokenizer,
)
from vision.train.state import load_training_state, save_training_state

VIT = ViTConfig(patch_size=(2, 3), in_channels=1, dim=16, depth=1, heads=2)


@pytest.fixture
def folder(tmp_path):
    save_encoder(tmp_path, VisionTransformer(VIT), {"seed": 3})
    return tmp_path


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_encoder_comes_back_with_the_same_numbers_in_eval_mode(tmp_path):
    encoder = VisionTransformer(dataclasses.replace(VIT, drop_path=0.3)).eval()
    save_encoder(tmp_path / "a" / "b", encoder)
    loaded = load_encoder(tmp_path / "a" / "b")
    images = torch.randn(2, 1, 4, 9)
    assert torch.equal(encoder(images).patches, loaded(images).patches)
    assert loaded.config == encoder.config
    assert not loaded.training


def test_tokenizer_comes_back_with_codebook_and_codes(tmp_path):
    tokenizer = Tokenizer(VIT, CodebookConfig(num_codes=8, dim=4))
    images = torch.randn(5, 1, 4, 9)
    tokenizer.quantize(tokenizer.encode(images))  # moves the codebook
    save_tokenizer(tmp_path, tokenizer)
    loaded = load_tokenizer(tmp_path)
    assert torch.equal(loaded.codes(images), tokenizer.eval().codes(images))
    assert loaded.codebook.is_started


def test_every_kind_of_tokenizer_comes_back_with_its_codes(tmp_path):
    method = DVAEConfig(num_codes=8, code_dim=4, decoder_depth=1, likelihood="squared")
    images = torch.randn(5, 1, 4, 9)
    for tokenizer in (DiscreteVAE(VIT, method), NearestCodeTokenizer(VIT, 8, 4)):
        save_tokenizer(tmp_path, tokenizer)
        loaded = load_tokenizer(tmp_path)
        assert type(loaded) is type(tokenizer)
        assert torch.equal(loaded.codes(images), tokenizer.eval().codes(images))
        assert not loaded.training
        with pytest.raises(CheckpointError, match="expected a Tokenizer"):
            load_tokenizer(tmp_path, Tokenizer)
    save_tokenizer(tmp_path, DiscreteVAE(VIT, method))
    edit(tmp_path, config={"encoder": {}, "method": {"num_codez": 8}})
    with pytest.raises(CheckpointError, match="did you mean 'num_codes'"):
        load_tokenizer(tmp_path)
    edit(tmp_path, kind="encoder")
    with pytest.raises(CheckpointError, match="holds 'encoder', expected 'tokenizer' or 'dvae' or"):
        load_tokenizer(tmp_path)


def test_masked_model_comes_back_with_the_same_logits(tmp_path):
    model = MaskedCodeModel(VIT, 8, hint_channels=1)
    save_masked_model(tmp_path, model)
    images, hidden = torch.randn(2, 2, 4, 9), torch.rand(2, 6) < 0.5
    assert torch.equal(load_masked_model(tmp_path).logits(images, None, hidden), model.logits(images, None, hidden))


def test_folder_holds_two_readable_files_and_says_what_it_is(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    header = json.loads((folder / "config.json").read_text())
    assert (header["format_version"], header["kind"], header["extra"]) == (1, "encoder", {"seed": 3})
    assert header["config"]["patch_size"] == [2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "format version 99; this release reads 1"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"kind": "tokenizer"}, "holds 'tokenizer', expected 'encoder'"),
        ({"config": {"patch_sise": [2, 3]}}, "did you mean 'patch_size'"),
        ({"config": {"dim": "wide"}}, "expected int"),
    ],
)
def test_wrong_header_is_one_clear_sentence(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        load_encoder(folder)
    assert "\n" not in str(error.value)


def test_missing_and_damaged_headers(tmp_path, folder):
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        load_encoder(tmp_path / "nothing")
    (folder / "config.json").write_text('{"format_version": 1, "ki')
    with pytest.raises(CheckpointError, match="damaged"):
        load_encoder(folder)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(CheckpointError, match="not written by this library"):
        load_encoder(folder)


def test_truncated_or_missing_weights(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for length in (0, 4, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            load_encoder(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        load_encoder(folder)


def test_every_tensor_is_accounted_for(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    less = {name: tensor for name, tensor in tensors.items() if name != "norm.bias"}
    for changed, message in (
        (less, "lacks 'norm.bias'"),
        ({**tensors, "ghost": torch.zeros(1)}, "holds 'ghost'"),
        ({**tensors, "norm.bias": torch.zeros(3)}, r"'norm.bias' has shape \(3,\), the model needs \(16,\)"),
    ):
        save_file(changed, path)
        with pytest.raises(CheckpointError, match=message):
            load_encoder(folder)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(b"old", path)
    with pytest.raises(TypeError):
        write_bytes("not bytes", path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_training_state_round_trip_and_damage(tmp_path):
    path = tmp_path / "run.ckpt"
    state = {"run": {"seed": 1}, "step": 3, "method": {"w": torch.ones(2)}, "optimizer": {"state": {}}}
    save_training_state(path, state)
    assert torch.equal(load_training_state(path)["method"]["w"], torch.ones(2))
    content = path.read_bytes()
    for damaged in (b"", content[:50], content[: len(content) // 2], b"PK\x03\x04 nothing", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a training checkpoint") as error:
            load_training_state(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format_version": 9}, "format version 9"),
        ({"state_dict": {}}, "not a training checkpoint"),
        ({"format_version": 1, "step": 1}, "lacks or does not know the entry"),
        ([1, 2], "not a training checkpoint"),
    ],
)
def test_foreign_training_state(tmp_path, content, message):
    torch.save(content, tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=message):
        load_training_state(tmp_path / "run.ckpt")


def test_training_state_runs_no_code(tmp_path):
    torch.save({"format_version": 1, "run": tmp_path}, tmp_path / "run.ckpt")  # a Path is code to unpickle
    with pytest.raises(CheckpointError):
        load_training_state(tmp_path / "run.ckpt")
