"""A small model, trained in seconds, and the demo's model, trained in minutes; once for all tests."""

from pathlib import Path

import numpy as np
import pytest

from fintok.bundle import Bundle
from fintok.config import EncoderConfig, ImagingConfig, PredictorConfig, PretrainConfig, TeacherConfig, TokenizerConfig
from fintok.panel import Panel
from fintok.pretrain import pretrain
from fintok.recipes import recipe_path
from fintok.sample import load_us20, simulate_panel
from vision.config import BEiT2Config, CodebookConfig, IBOTConfig, OptimConfig, VQKDConfig, load_yaml

TRAIN_END = "2015-03-31"


def make_config(seed: int = 0) -> PretrainConfig:
    """Every stage, a few steps each."""
    encoder = EncoderConfig(dim=16, depth=2, heads=2)
    optim = OptimConfig(steps=6, batch_size=4, warmup_steps=1, learning_rate=3e-3)
    codebook = CodebookConfig(num_codes=24, dim=8, revive_after=2)
    return PretrainConfig(
        seed=seed,
        max_assets=8,
        imaging=ImagingConfig(window_days=20),
        teacher=TeacherConfig(
            encoder=encoder,
            method=IBOTConfig(num_prototypes=16, hidden_dim=16, bottleneck_dim=8),
            optim=optim,
            num_local_crops=2,
        ),
        tokenizer=TokenizerConfig(
            encoder=encoder,
            method=VQKDConfig(codebook=codebook, decoder_depth=1, target="both"),
            optim=optim,
            num_words=6,
        ),
        predictor=PredictorConfig(encoder=encoder, method=BEiT2Config(early_layer=1, aggregation_depth=1), optim=optim),
    )


@pytest.fixture(scope="session")
def small_config():
    """small_config(seed): the configuration of the small run."""
    return make_config


@pytest.fixture(scope="session")
def train_end() -> str:
    """Of the small run."""
    return TRAIN_END


@pytest.fixture(scope="session")
def small_panel() -> Panel:
    """Twelve simulated assets, some late, some ending, with holes."""
    return simulate_panel(12, 500, num_faults=2, seed=3).panel


@pytest.fixture(scope="session")
def small_run(small_panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run."""
    out = tmp_path_factory.mktemp("runs") / "small"
    pretrain(small_panel, train_end=TRAIN_END, out=out, config=make_config(), progress=False)
    return out


@pytest.fixture(scope="session")
def small_bundle(small_run: Path) -> Bundle:
    from fintok.bundle import load

    return load(small_run)


@pytest.fixture(scope="session")
def demo_panel() -> Panel:
    return load_us20()


@pytest.fixture(scope="session")
def demo_bundle(demo_panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundled panel to 2007, recipe ``tiny``: some minutes on one core."""
    config = load_yaml(PretrainConfig, recipe_path("tiny"))
    out = tmp_path_factory.mktemp("runs") / "demo"
    return pretrain(demo_panel, train_end="2007-12-31", out=out, config=config, progress=False)


@pytest.fixture
def noise_after():
    """The panel with noise instead of returns from a row on."""
    from dataclasses import replace

    def spoil(panel: Panel, row: int, seed: int = 0) -> Panel:
        rng = np.random.default_rng(seed)
        returns = panel.returns.copy()
        returns[row:] = rng.normal(0.0, 0.1, returns[row:].shape)
        return replace(panel, returns=returns)

    return spoil
