"""Every recipe of configs/vision names its method, and network and views can be built of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vision.config import NEEDS, CodebookConfig, ConfigError, PretrainConfig, load_yaml
from vision.errors import InputError
from vision.methods import METHODS
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import VisionTransformer
from vision.recipes import find_recipe, recipes_folder
from vision.train.build import build
from vision.train.inputs import Inputs, fit_encoder
from vision.train.optim import make_optimizer

RECIPES = sorted(recipes_folder().rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_loads_and_builds(path: Path):
    config = load_yaml(PretrainConfig, path)
    size = config.images.size or (32, 32)
    inputs = Inputs(image_size=size, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    encoder = fit_encoder(config.encoder, inputs)
    with torch.device("meta"):
        parents = {
            "teacher": lambda: VisionTransformer(encoder),
            "tokenizer": lambda: Tokenizer(encoder, CodebookConfig(num_codes=64, dim=8)),
        }
        needed = config.needs.parent
        method, views = build(config, inputs, size, parents[needed]() if needed else None)
    assert isinstance(method, METHODS[config.method])
    assert (views.num_masked[0] > 0) == config.needs.is_masked


@pytest.mark.parametrize(
    ("recipe", "clip", "norm", "reference", "scaling"),
    [
        ("mae-base", "global", None, 256, "linear"),
        ("simmim-base", "global", 5.0, 512, "linear"),
        ("beit-base", "global", 3.0, None, "linear"),
        ("beit2-base", "global", 3.0, None, "linear"),
        ("vqkd-base", "global", None, 128, "linear"),
        ("dino-base", "tensor", 0.3, 256, "linear"),
        ("ibot-base", "tensor", 0.3, 256, "linear"),
        ("dinov2-large", "module", 3.0, 1024, "sqrt"),
    ],
)
def test_each_paper_clips_and_scales_its_rate_in_its_own_way(recipe, clip, norm, reference, scaling):
    optim = load_yaml(PretrainConfig, find_recipe(f"paper/{recipe}")).optim
    assert (optim.clip_norm, optim.reference_batch, optim.scaling) == (norm, reference, scaling)
    assert norm is None or optim.clip == clip
    has_shape_rule = recipe.split("-")[0] in ("mae", "dino", "ibot", "dinov2")  # tokens decay; others' code exempts CLS
    exempt = ("cls_token", "positions") if recipe == "vqkd-base" else ("cls_token",)  # BEiT and SimMIM have no table
    assert optim.undecayed == (() if has_shape_rule else exempt)


def test_no_table_of_positions_decays_where_the_official_code_exempts_it():
    config = load_yaml(PretrainConfig, find_recipe("paper/vqkd-base"))
    encoder = replace(config.encoder, dim=16, depth=1, heads=2)
    method = METHODS["vqkd"](encoder, config.vqkd, VisionTransformer(encoder))
    optimizer = make_optimizer(method.parameters_to_train(), config.optim)
    decayed = {id(part) for group in optimizer.param_groups if group["is_decayed"] for part in group["params"]}
    tables = [parameter for name, parameter in method.named_parameters() if "positions" in name]
    assert len([table for table in tables if table.requires_grad]) == 2  # of the encoder and of the decoder
    assert not decayed & set(map(id, tables))


def test_recipes_of_papers_read_images_in_as_many_processes_as_the_official_codes():
    papers = {path.stem: load_yaml(PretrainConfig, path) for path in RECIPES if path.parent.name == "paper"}
    assert {name: config.num_workers for name, config in papers.items()} == {
        name: 8 if name == "simmim-base" else 10 for name in papers
    }


def test_every_method_has_a_recipe_for_small_data():
    assert set(NEEDS) == set(METHODS)
    assert {path.stem for path in RECIPES if path.parent.name == "small"} == set(METHODS)


def test_a_recipe_is_found_by_its_name_or_as_a_file(tmp_path):
    assert find_recipe("small/ibot") == recipes_folder() / "small" / "ibot.yaml"
    assert find_recipe(tmp_path / "mine.yaml") == tmp_path / "mine.yaml"
    with pytest.raises(InputError, match=r"paper/ibt is neither a YAML file nor a recipe; recipes: .*small/ibot"):
        find_recipe("paper/ibt")


def test_an_unknown_method_lists_the_methods():
    with pytest.raises(ConfigError, match=r"unknown method 'BEiTv2'; did you mean 'beit2'\? known methods: mae, "):
        PretrainConfig(method="BEiTv2")
