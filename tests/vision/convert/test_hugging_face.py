"""Hugging Face models with random weights and their converted twins; what we write, ``from_pretrained`` reads."""

import pytest
import torch

from vision.config import ViTConfig
from vision.convert.changes import sincos_positions
from vision.convert.read import read_encoder
from vision.convert.resize import resize_positions
from vision.convert.write import write_encoder

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 12, "patch_size": 4}
WIDE = {**SHAPE, "intermediate_size": 96}
RELATIVE = "relative_position_bias"
TABLE, SHARED, BLOCK = (f"use_{kind}" for kind in ("absolute_position_embeddings", f"shared_{RELATIVE}", RELATIVE))
CASES = {
    "ViT": {**WIDE, "image_size": [12, 20], "layer_norm_eps": 1e-3},
    "ViTMAE": {**WIDE, "mask_ratio": 0.0},
    "Beit": {**WIDE, BLOCK: True, "use_mean_pooling": True},
    "Beit shared": {**WIDE, SHARED: True, TABLE: True, "use_mean_pooling": False},
    "Dinov2": {**SHAPE, "mlp_ratio": 3, "num_channels": 2},
    "Dinov2 giant": {**SHAPE, "use_swiglu_ffn": True},
    "Dinov2WithRegisters": {**SHAPE, "num_register_tokens": 3},
}


@pytest.fixture(scope="module")
def transformers():
    module = pytest.importorskip("transformers")
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


def _features(model, images):
    """CLS and patches of a Hugging Face model; MAE's shuffle is kept from shuffling."""
    options = {}
    if "MAE" in type(model).__name__:
        num_patches = (images.shape[-1] // 4) * (images.shape[-2] // 4)
        options["noise"] = torch.arange(float(num_patches)).expand(len(images), -1)
    with torch.no_grad():
        states = model.eval()(images, **options).last_hidden_state
    return states[:, 0], states[:, -(images.shape[-1] // 4) * (images.shape[-2] // 4) :]


def _images(options):
    size = options["image_size"] if isinstance(options["image_size"], list) else [12, 12]
    return torch.randn(2, options.get("num_channels", 3), *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("case", CASES)
def test_a_model_and_its_twin_have_equal_features_and_so_has_what_is_written_back(
    case, transformers, randomise, tmp_path
):
    name, options = case.split()[0], CASES[case]
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**options))
    randomise(model)
    model.save_pretrained(tmp_path / "theirs")
    images = _images(options)
    cls, patches = _features(model, images)
    converted = read_encoder(tmp_path / "theirs")
    with torch.no_grad():
        ours = converted.encoder(images)
    assert cls.std() > 0.1
    assert torch.allclose(ours.cls, cls, atol=1e-5)
    assert torch.allclose(ours.patches, patches, atol=1e-5)
    assert set(converted.unused.values()) <= {"pooler", "mask token"}

    write_encoder(converted.encoder, tmp_path / "ours", "huggingface")
    loaded, report = transformers.AutoModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["unexpected_keys"]
    spared = ("pooler.", "embeddings.mask_token") if case == "Dinov2WithRegisters" else "pooler."
    assert not [key for key in report["missing_keys"] if not key.startswith(spared)]
    again_cls, again_patches = _features(loaded, images)
    assert torch.allclose(again_cls, cls, atol=1e-5)
    assert torch.allclose(again_patches, patches, atol=1e-5)


def test_sincos_positions_are_written_out_for_a_model_that_hides_nothing(make_encoder, transformers, images, tmp_path):
    encoder = make_encoder(row_position="sincos", column_position="sincos")
    write_encoder(encoder, tmp_path, "huggingface")
    model = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(model).__name__ == "ViTModel"
    with torch.no_grad():
        encoded, states = encoder(images), model.eval()(images).last_hidden_state
    assert torch.allclose(encoded.cls, states[:, 0], atol=1e-5)
    assert torch.allclose(encoded.patches, states[:, 1:], atol=1e-5)
    assert read_encoder(tmp_path).encoder.config == encoder.config


def test_a_whole_pretraining_model_is_read_and_its_decoder_reported(transformers, randomise, tmp_path):
    options = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**WIDE, **options))
    randomise(model)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists()  # weights in several files
    converted = read_encoder(tmp_path)
    assert set(converted.unused.values()) == {"decoder"}
    assert torch.equal(converted.encoder.cls_token, (model.vit.embeddings.cls_token[0] + _first(model)).data)


def _first(model):
    return model.vit.embeddings.position_embeddings[:, 0]


@pytest.mark.parametrize("side", [2, 5])
@pytest.mark.parametrize("case", ["Dinov2", "Dinov2WithRegisters", "Beit"])
def test_positions_resized_to_another_grid_are_hugging_faces(case, side, transformers, randomise, tmp_path):
    options = {**CASES[case], "num_channels": 3}
    model = getattr(transformers, f"{case}Model")(getattr(transformers, f"{case}Config")(**options))
    randomise(model)
    model.save_pretrained(tmp_path)
    images = torch.randn(2, 3, 4 * side, 4 * side)
    cls, patches = _features(model, images)
    encoder = read_encoder(tmp_path).encoder
    resized = resize_positions(encoder, side, side)
    assert resized.config.max_rows == side
    for ours in (resized,) if case == "Beit" else (resized, encoder):  # a table is resized at every pass, too
        with torch.no_grad():
            encoded = ours(images)
        assert torch.allclose(encoded.cls, cls, atol=1e-5)
        assert torch.allclose(encoded.patches, patches, atol=1e-5)


@pytest.mark.parametrize("side", [2, 5])
def test_sincos_positions_of_another_grid_are_a_resized_table_as_in_mae(side, transformers, randomise, tmp_path):
    model = transformers.ViTMAEModel(transformers.ViTMAEConfig(**CASES["ViTMAE"])).eval()
    randomise(model)
    config = ViTConfig(patch_size=(4, 4), dim=32, heads=4, max_rows=3, max_columns=3)
    model.embeddings.position_embeddings.data[0, 1:] = sincos_positions(config)
    model.save_pretrained(tmp_path)
    encoder, images = read_encoder(tmp_path).encoder, torch.randn(2, 3, 4 * side, 4 * side)
    assert encoder.config.row_position == encoder.config.column_position == "sincos"
    noise = torch.arange(float(side**2)).expand(2, -1)
    with torch.no_grad():
        theirs = model(images, noise=noise, interpolate_pos_encoding=True).last_hidden_state
        ours = resize_positions(encoder, side, side)(images)
    assert torch.allclose(ours.cls, theirs[:, 0], atol=1e-5)
    assert torch.allclose(ours.patches, theirs[:, 1:], atol=1e-5)
    assert resize_positions(encoder, 3, 3).config == encoder.config


def test_positions_learned_per_axis_are_not_resized(make_encoder):
    encoder = make_encoder(row_position="learned", column_position="learned")
    with pytest.raises(ValueError, match="learned per axis"):
        resize_positions(encoder, 5, 5)
