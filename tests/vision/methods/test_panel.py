"""Methods that keep all patches, and MAE with joint attention, on what a panel of returns looks like: rows are assets
without a position, patches of 1 × 5 days, some assets not listed.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch

from vision.config import ConfigError, DINOConfig, DINOv2Config, MAEConfig, SimMIMConfig, ViTConfig
from vision.data.loader import collate
from vision.masks import AxisMask, RandomMask
from vision.methods.dino import DINO
from vision.methods.dinov2 import DINOv2
from vision.methods.mae import MAE
from vision.methods.simmim import SimMIM
from vision.nn.grid import PatchGrid

AXIAL = ViTConfig(
    patch_size=(1, 5),
    in_channels=3,
    dim=32,
    depth=2,
    heads=2,
    attention="axial",
    row_position="none",
    column_position="learned",
    observed_channel=True,
)
HEAD = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8}


@pytest.fixture
def make_panel():
    """Windows of a panel: 6 assets over 30 days, a common factor, one asset listed late."""

    def make(num_views, mask):
        rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        grid, samples = PatchGrid(6, 6, 1, 5), []
        for _ in range(4):
            factor = torch.randn(1, 1, 30, generator=generator)
            images = [factor + 0.3 * torch.randn(3, 6, 30, generator=generator) for _ in range(num_views)]
            observed = torch.ones(6, 30, dtype=torch.bool)
            observed[2, :12] = False
            views = [(torch.where(observed, image, torch.nan), observed, mask(grid, rng)) for image in images]
            samples.append([views])
        return collate(samples, [mask.count(grid)])

    return make


def _build(name):
    torch.manual_seed(0)
    if name == "dino":
        return DINO(AXIAL, DINOConfig(**HEAD))
    if name == "dinov2":
        return DINOv2(AXIAL, DINOv2Config(**HEAD, patch_prototypes=16, patch_bottleneck_dim=8))
    if name == "simmim":
        return SimMIM(AXIAL, SimMIMConfig())
    joint = dataclasses.replace(AXIAL, attention="joint", row_position="learned")
    return MAE(joint, MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2))


@pytest.mark.parametrize("name", ["mae", "simmim", "dino", "dinov2"])
def test_it_trains_on_a_panel_of_returns(name, make_panel, train, check_gradients):
    views = 2 if name.startswith("dino") else 1
    batch = make_panel(views, AxisMask("rows", 0.34, last=2) if name == "simmim" else RandomMask(0.5))
    check_gradients(_build(name), batch)
    losses = train(_build(name), batch, steps=12)
    assert all(math.isfinite(loss) for loss in losses)
    if views == 1:  # a teacher's loss may rise while it learns to tell
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["simmim", "dino", "dinov2"])
def test_assets_are_a_set(name, make_panel):
    """Permuting the rows permutes what is said of them."""
    method = _build(name).eval()
    batch = make_panel(2, RandomMask(0.5))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    encoder = method.artifact()
    first = encoder(batch.views[0], batch.valid[0])
    second = encoder(batch.views[0][:, :, order], batch.valid[0][:, order])
    seen = batch.valid[0][:, order].unflatten(2, (6, 5)).any(-1).flatten(1)
    torch.testing.assert_close(second.cls, first.cls)
    expected = first.patches.unflatten(1, (6, 6))[:, order].flatten(1, 2)
    torch.testing.assert_close(second.patches[seen], expected[seen])


def test_mae_says_what_to_set_for_an_axial_panel():
    with pytest.raises(ConfigError, match="'joint', row_position 'sincos', 'learned' or 'table'; or take SimMIM"):
        MAE(AXIAL, MAEConfig())
