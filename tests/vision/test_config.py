"""Configurations: frozen, checked, and the same after a round trip."""

import dataclasses

import pytest
import yaml
from PIL import Image

from vision.config import (
    VIT_SIZES,
    BEiT2Config,
    CodebookConfig,
    ConfigError,
    DINOConfig,
    DINOv2Config,
    DVAEConfig,
    IBOTConfig,
    ImagesConfig,
    MAEConfig,
    MaskConfig,
    OptimConfig,
    PretrainConfig,
    SimMIMConfig,
    ViTConfig,
    VQKDConfig,
    from_dict,
    load_yaml,
    to_dict,
)
from vision.evaluate.config import FinetuneConfig, SegmentConfig
from vision.train.inputs import open_data

ALL = [
    ViTConfig,
    OptimConfig,
    CodebookConfig,
    MAEConfig,
    SimMIMConfig,
    DINOConfig,
    IBOTConfig,
    DINOv2Config,
    VQKDConfig,
    BEiT2Config,
]


@pytest.mark.parametrize("cls", ALL)
def test_round_trip_through_dict_and_yaml(cls, tmp_path):
    config = cls()
    assert from_dict(cls, to_dict(config)) == config
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_dict(config)))
    assert load_yaml(cls, path) == config


@pytest.mark.parametrize("cls", ALL)
def test_configs_are_frozen_and_keyword_only(cls):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, None)
    with pytest.raises(TypeError):
        cls(1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"dim": 64, "heads": 3}, "heads is 3, expected a divisor of dim = 64"),
        ({"scope": "patch"}, "CLS or register tokens"),
        ({"drop_path": 1.0}, r"a rate in \[0, 1\)"),
        ({"dim": 6, "heads": 1}, "a multiple of 4 for sincos"),
        (
            {"dim": 6, "heads": 1, "row_position": "rotary", "column_position": "rotary"},
            "a multiple of 4 for rotary",
        ),
        ({"patch_size": (0, 4)}, "two positive numbers"),
        ({"patch_size": 16}, r"patch_size is 16, expected two positive numbers \(height, width\)"),
    ],
)
def test_impossible_transformers_are_refused(values, expected):
    with pytest.raises(ConfigError, match=expected):
        ViTConfig(**values)


@pytest.mark.parametrize(
    ("cls", "values", "expected"),
    [
        (ViTConfig, {"row_position": "sin-cos"}, "ViTConfig.row_position: got 'sin-cos', expected one of 'none', 'sin"),
        (ViTConfig, {"mlp": "GELU"}, "expected one of 'gelu', 'swiglu'"),
        (DINOv2Config, {"assignment": "sinkhorn"}, "expected one of 'sinkhorn_knopp', 'centering'"),
        (DVAEConfig, {"sample": "hard"}, "expected one of 'relaxed', 'straight_through'"),
        (VQKDConfig, {"target": "feature"}, "expected one of 'features', 'patches', 'both'"),
        (OptimConfig, {"scaling": "square"}, "expected one of 'linear', 'sqrt'"),
        (MaskConfig, {"kind": "blocks"}, "expected one of 'random', 'block', 'grid', 'strata'"),
        (FinetuneConfig, {"pooling": "avg"}, "FinetuneConfig.pooling: got 'avg', expected one of 'cls', 'mean'"),
        (SegmentConfig, {"head": "upernet"}, "expected one of 'linear', 'uper'"),
    ],
)
def test_a_misspelt_choice_does_not_pass_for_another(cls, values, expected):
    with pytest.raises(ConfigError, match=expected):
        cls(**values)


def test_a_transformer_of_every_size_and_free_changes():
    assert {name: ViTConfig.of_size(name).dim for name in VIT_SIZES} == {
        "tiny": 192, "small": 384, "base": 768, "large": 1024, "huge": 1280, "giant": 1536
    }  # fmt: skip
    base = ViTConfig.of_size("base")
    assert (base.depth, base.heads, base.mlp_dim) == (12, 12, 3072)
    assert ViTConfig.of_size("giant").mlp_dim == 4096  # DINOv2's ViT-g: swiglu of 4096
    assert dataclasses.replace(base, patch_size=(4, 4)).dim == 768


def test_an_unknown_size_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"'larg'; did you mean 'large'\? known sizes: tiny, small, base, large"):
        ViTConfig.of_size("larg")


def test_pixels_in_0_1_have_a_likelihood_of_their_own():
    images = ImagesConfig(mean=(0.0,) * 3, std=(1.0,) * 3)
    PretrainConfig(method="dvae", dvae=DVAEConfig(likelihood="logit_laplace"), images=images)
    with pytest.raises(ConfigError, match=r"give --images\.mean 0 --images\.std 1, both once"):
        PretrainConfig(method="dvae", dvae=DVAEConfig(likelihood="logit_laplace"))


def test_photographs_keep_the_side_that_is_asked_for(tmp_path):
    for number, size in enumerate([(90, 60), (40, 50)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    shortest = [
        [min(image.shape[-2:]) for image, _ in (images[0], images[1])]
        for images in (open_data(tmp_path, ImagesConfig(size=(16, 16), shorter_side=side)) for side in (None, 45))
    ]
    assert shortest == [[18, 18], [45, 40]]
    with pytest.raises(ConfigError, match=r"shorter_side is 8, expected at least 16, beside a size"):
        ImagesConfig(size=(16, 16), shorter_side=8)
