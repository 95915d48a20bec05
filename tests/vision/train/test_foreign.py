"""MAE's decoder and BEiT's classifier of codes travel with their encoders, both ways; the official names."""

import dataclasses

import pytest
import torch

from vision.config import MAEConfig, ViTConfig
from vision.convert.files import ConvertError
from vision.convert.read import read_encoder
from vision.convert.write import write_encoder
from vision.methods.codes import MaskedCodeModel
from vision.methods.mae import MAE
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import save_artifacts
from vision.train.checkpoint import load_encoder, load_masked_model
from vision.train.foreign import save_converted, tensors_beside
from vision.train.inputs import Inputs
from vision.train.run import load_method

MAE_ENCODER = ViTConfig(patch_size=(4, 4), dim=32, depth=2, heads=4, max_rows=3, max_columns=3)
BEIT_ENCODER = dataclasses.replace(MAE_ENCODER, row_position="none", column_position="none", relative_position="shared")
INPUTS = Inputs(image_size=(12, 12), channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
BLOCK = (f"blocks.0.{part}" for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"))
OFFICIAL_DECODER = {"mask_token", "decoder_pos_embed"} | {
    f"decoder_{name}.{kind}" for name in ("embed", "norm", "pred", *BLOCK) for kind in ("weight", "bias")
}


@pytest.fixture
def official(tmp_path):
    """A MAE, and the file that the official code would have of it."""
    torch.manual_seed(0)
    method = MAE(MAE_ENCODER, MAEConfig(decoder_dim=64, decoder_depth=1, decoder_heads=16))
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    encoder_alone, path = tmp_path / "encoder.pth", tmp_path / "mae.pth"
    write_encoder(method.encoder, encoder_alone, "mae")
    tensors = torch.load(encoder_alone)["model"]
    table = method.decoder.positions(torch.zeros(1, 9, 64), method.encoder.grid(torch.zeros(1, 3, 12, 12)))
    tensors["decoder_pos_embed"] = torch.cat([torch.zeros(1, 1, 64), table], dim=1)
    tensors["mask_token"] = method.decoder.mask_token.weight[None].detach()
    for name, tensor in method.decoder.state_dict().items():
        name = name.replace("attention", "attn").replace("mlp.0", "mlp.fc1").replace("mlp.2", "mlp.fc2")
        name = name.replace("head.", "pred.")
        if name != "mask_token.weight":
            tensors[f"decoder_{name}"] = tensor
    torch.save({"model": tensors, "epoch": 800}, path)
    return method, tensors, path


def test_an_official_mae_becomes_a_run_with_its_decoder_and_goes_back(official, tmp_path):
    method, tensors, path = official
    assert save_converted(tmp_path / "run", read_encoder(path, heads=4), INPUTS, {}) == "decoder and mask token"
    ours, views, inputs = load_method(tmp_path / "run")
    assert inputs == INPUTS
    assert views.mask is not None
    assert ours.config == method.config
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in method.state_dict().items())
    beside = tensors_beside(tmp_path / "run", "mae")
    assert beside.keys() == OFFICIAL_DECODER
    write_encoder(load_encoder(tmp_path / "run" / "encoder"), tmp_path / "again.pth", "mae", beside)
    again = torch.load(tmp_path / "again.pth")["model"]
    assert again.keys() == tensors.keys()
    assert all(torch.allclose(again[name], tensor, atol=1e-6) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.pop("decoder_norm.bias"), "lacks 'decoder_norm.bias'"),
        (lambda t: t.update({"decoder_odd.weight": torch.zeros(1)}), "holds 'decoder_odd.weight'"),
        (lambda t: t["decoder_pos_embed"].add_(1.0), "'decoder_pos_embed' that are not sin-cos"),
    ],
)
def test_a_tampered_decoder_names_the_tensor(change, fault, official, tmp_path):
    _, tensors, path = official
    change(tensors)
    torch.save({"model": tensors}, path)
    with pytest.raises(ConvertError, match=fault):
        save_converted(tmp_path / "run", read_encoder(path, heads=4), INPUTS, {})


def test_the_decoder_is_of_the_encoders_entry(official, tmp_path):
    _, tensors, path = official
    others = {name: tensor + 1.0 if name == "mask_token" else tensor for name, tensor in tensors.items()}
    for name, content in {"two": {"model": others, "net": tensors}, "one": {"net": tensors, "epoch": 3}}.items():
        torch.save(content, path)
        out = tmp_path / name
        save_converted(out, read_encoder(path, entry="net", heads=4), INPUTS, {})
        mask_token = load_method(out).method.state_dict()["decoder.mask_token.weight"]
        assert torch.equal(mask_token, tensors["mask_token"][0])


def test_an_encoder_alone_stays_one(tmp_path):
    write_encoder(VisionTransformer(MAE_ENCODER), tmp_path / "mae.pth", "mae")
    assert save_converted(tmp_path / "run", read_encoder(tmp_path / "mae.pth", heads=4), INPUTS, {}) is None
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["encoder"]
    assert tensors_beside(tmp_path / "run", "mae") == {}


@pytest.mark.parametrize("form", ["beit", "beit2"])
def test_mask_token_and_classifier_of_beit_go_both_ways(form, tmp_path):
    torch.manual_seed(0)
    model = MaskedCodeModel(BEIT_ENCODER, 16).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
        if name.endswith("qkv.bias"):
            parameter.data[32:64] = 0.0  # BEiT's keys have none
    save_artifacts(tmp_path / "ours", model, {})
    beside = tensors_beside(tmp_path / "ours", form)
    assert {name: tuple(tensor.shape) for name, tensor in beside.items()} == {
        "mask_token": (1, 1, 32), "lm_head.weight": (16, 32), "lm_head.bias": (16,)
    }  # fmt: skip
    write_encoder(model.encoder, tmp_path / "theirs.pth", form, beside)
    read = read_encoder(tmp_path / "theirs.pth", form, heads=4)
    assert save_converted(tmp_path / "again", read, INPUTS, {}) == "mask token and classifier of codes"
    again = load_masked_model(tmp_path / "again" / "model")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    tensors = torch.load(tmp_path / "theirs.pth")["model"]
    torch.save({"model": {**tensors, "lm_head.bias": torch.ones(16)}, "net": tensors}, tmp_path / "theirs.pth")
    save_converted(tmp_path / "net", read_encoder(tmp_path / "theirs.pth", form, entry="net", heads=4), INPUTS, {})
    head = load_masked_model(tmp_path / "net" / "model").state_dict()["head.bias"]
    assert torch.equal(head, model.state_dict()["head.bias"])
