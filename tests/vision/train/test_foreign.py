"""MAE's decoder and BEiT's classifier of codes travel with their encoders, both ways: official and Hugging Face's."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vision.methods.hugging_face import randomise
from vision.batch import Batch, Mask
from vision.config import MAEConfig, ViTConfig
from vision.convert.changes import sincos_positions
from vision.convert.files import ConvertError
from vision.convert.heads import mae_decoder_to_theirs
from vision.convert.read import read_encoder
from vision.convert.write import write_encoder
from vision.methods.codes import MaskedCodeModel
from vision.methods.mae import MAE
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import open_encoder, save_artifacts
from vision.train.build import load_method
from vision.train.checkpoint import load_encoder, load_masked_model
from vision.train.foreign import save_converted, tensors_beside
from vision.train.inputs import Inputs

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


def test_what_the_official_decoder_has_not_is_named_and_nothing_else():
    config = MAEConfig(decoder_dim=32, decoder_depth=1, decoder_heads=4)
    with pytest.raises(ConvertError, match=r"^the official MAE has 16 heads in its decoder, this one has 4$"):
        mae_decoder_to_theirs({}, MAE_ENCODER, config)
    learned = dataclasses.replace(MAE_ENCODER, row_position="learned")
    with pytest.raises(ConvertError, match=r"^the official MAE has 'sincos' positions in its decoder, this one 'learn"):
        mae_decoder_to_theirs({}, learned, dataclasses.replace(config, decoder_heads=16))


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


HF_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
HF_SHAPE |= {"image_size": 12, "patch_size": 4}
HF_DECODER = {"decoder_hidden_size": 64, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 16}


def hugging_face_mae(folder, **options):
    transformers = pytest.importorskip("transformers")
    model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**HF_SHAPE, **HF_DECODER, **options)).eval()
    randomise(model)
    for positions in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
        fixed = sincos_positions(dataclasses.replace(MAE_ENCODER, dim=positions.shape[-1]))
        positions.data[0] = torch.nn.functional.pad(fixed, (0, 0, 1, 0))  # a new model has none, files of the hub have
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("layers", ["decoder_encoder.layer", "decoder_layers"])  # as saved; as on the hub
def test_hugging_faces_mae_rebuilds_as_there_and_goes_on_to_the_official_form(layers, tmp_path):
    theirs = hugging_face_mae(tmp_path / "hf", decoder_intermediate_size=192, norm_pix_loss=False)
    tensors = load_file(tmp_path / "hf" / "model.safetensors")
    renamed = {name.replace("decoder_encoder.layer", layers): tensor for name, tensor in tensors.items()}
    save_file(renamed, tmp_path / "hf" / "model.safetensors")
    assert save_converted(tmp_path / "run", read_encoder(tmp_path / "hf"), INPUTS, {}) == "decoder and mask token"
    ours = load_method(tmp_path / "run")[0]
    images, noise = torch.randn(2, 3, 12, 12), torch.rand(2, 9)
    with torch.no_grad():
        expected = theirs(images, noise=noise)
        mask = Mask.from_hidden(expected.mask.bool(), 7)
        predicted = ours.predict(Batch((images,), (mask,), (None,), 2))
    torch.testing.assert_close(predicted, expected.logits.flatten(0, 1)[mask.index], rtol=1e-4, atol=1e-5)
    assert (ours.config.decoder_heads, ours.config.normalise_pixels) == (16, False)
    assert tensors_beside(tmp_path / "run", "mae").keys() == OFFICIAL_DECODER


@pytest.mark.parametrize(
    ("kind", "method"),
    [("ViTMAE", "mae"), ("Beit", "beit"), ("Dinov2", "dinov2"), ("Dinov2WithRegisters", "dinov2"), ("ViT", None)],
)
def test_an_encoder_of_hugging_face_alone_knows_its_method(kind, method, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**HF_SHAPE, num_channels=3))
    model.save_pretrained(tmp_path / "hf")
    assert save_converted(tmp_path / "run", read_encoder(tmp_path / "hf"), INPUTS, {}) is None
    assert open_encoder(tmp_path / "run")[1]["method"] == method


def test_a_decoder_that_ours_cannot_be_is_left_behind(tmp_path):
    hugging_face_mae(tmp_path / "hf", decoder_intermediate_size=128)  # the encoder's are three times its width
    assert save_converted(tmp_path / "run", read_encoder(tmp_path / "hf"), INPUTS, {}) is None
    assert load_encoder(tmp_path / "run" / "encoder").config.row_position == "sincos"


def test_hugging_faces_beit_names_codes_as_there(tmp_path):
    transformers = pytest.importorskip("transformers")
    options = {"use_shared_relative_position_bias": True, "use_mask_token": True, "vocab_size": 16}
    theirs = transformers.BeitForMaskedImageModeling(transformers.BeitConfig(**HF_SHAPE, **options)).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path / "hf")
    said = save_converted(tmp_path / "run", read_encoder(tmp_path / "hf"), INPUTS, {})
    assert said == "mask token and classifier of codes"
    images, hidden = torch.randn(2, 3, 12, 12), torch.rand(2, 9) > 0.5
    with torch.no_grad():
        expected = theirs(images, bool_masked_pos=hidden).logits
        found = load_masked_model(tmp_path / "run" / "model").logits(images, None, hidden)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_head_with_a_norm_of_its_own_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    options = {"use_mean_pooling": False, "use_mask_token": True, "vocab_size": 16}
    transformers.BeitForMaskedImageModeling(transformers.BeitConfig(**HF_SHAPE, **options)).save_pretrained(tmp_path)
    with pytest.raises(ConvertError, match="a norm after the encoder's own"):
        read_encoder(tmp_path)
