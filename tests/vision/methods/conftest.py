import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from vision.batch import Batch
from vision.config import CodebookConfig, ViTConfig, VQKDConfig
from vision.data.loader import View, collate
from vision.masks import RandomMask
from vision.methods.base import Method
from vision.methods.vqkd import VQKD
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import Tokenizer

PATCH = (2, 3)
GLOBAL, LOCAL = PatchGrid(4, 5, *PATCH), PatchGrid(2, 3, *PATCH)


@pytest.fixture
def encoder() -> ViTConfig:
    return ViTConfig(patch_size=PATCH, in_channels=2, dim=32, depth=3, heads=2)


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Batches of images made of four templates and a little noise, on rectangular grids."""

    def make(
        size: int = 8,
        num_global: int = 1,
        num_local: int = 0,
        mask_ratio: float | None = None,
        share_unmasked: float = 0.0,
        is_partly_observed: bool = False,
        seed: int = 0,
    ) -> Batch:
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        templates = torch.randn(4, 2, GLOBAL.height, GLOBAL.width, generator=torch.Generator().manual_seed(9))

        def view(template: Tensor, grid: PatchGrid, mask: RandomMask | None) -> View:
            image = template[:, : grid.height, : grid.width]
            image = image + 0.1 * torch.randn(image.shape, generator=generator)
            observed = None
            if is_partly_observed:
                observed = torch.ones(grid.height, grid.width, dtype=torch.bool)
                observed[: PATCH[0]] = False  # the first row of patches, and half of one more
                observed[PATCH[0], 0] = False
                image = torch.where(observed, image, torch.nan)
            hidden = None if mask is None or rng.random() < share_unmasked else mask(grid, rng)
            return image, observed, hidden

        mask = None if mask_ratio is None else RandomMask(mask_ratio)
        samples = []
        for number in range(size):
            template = templates[number % 4]
            crops = [[view(template, GLOBAL, mask) for _ in range(num_global)]]
            if num_local:
                crops.append([view(template, LOCAL, None) for _ in range(num_local)])
            samples.append(crops)
        return collate(samples, [0 if mask is None else mask.count(GLOBAL), 0])

    return make


def total_loss(method: Method, batch: Batch) -> Tensor:
    targets = method.targets(batch)
    terms = method.loss(method.predict(batch), targets, batch)
    return torch.stack(list(terms.values())).sum()


@pytest.fixture
def loss_of() -> Callable[[Method, Batch], Tensor]:
    return total_loss


@pytest.fixture
def train() -> Callable[..., list[float]]:
    """Steps of a method on one batch, as its docstring says; the losses."""

    def run(method: Method, batch: Batch, steps: int = 40, learning_rate: float = 2e-3) -> list[float]:
        optimizer = torch.optim.AdamW([p for _, p in method.parameters_to_train()], lr=learning_rate)
        method.train()
        losses = []
        for step in range(steps):
            method.begin_step(step / steps)
            loss = total_loss(method, batch)
            optimizer.zero_grad()
            loss.backward()
            method.before_update()
            optimizer.step()
            method.end_step()
            losses.append(loss.item())
        return losses

    return run


@pytest.fixture
def check_gradients() -> Callable[[Method, Batch], None]:
    def check(method: Method, batch: Batch) -> None:
        method.train()
        total_loss(method, batch).backward()
        without = [name for name, p in method.parameters_to_train() if p.grad is None]
        assert without == []
        assert all(p.grad is None for p in method.parameters() if not p.requires_grad)

    return check


@pytest.fixture
def tokenizer(encoder, make_batch, train) -> Tokenizer:
    torch.manual_seed(0)
    small = dataclasses.replace(encoder, depth=1, scope="patch", has_cls=False)
    codebook = CodebookConfig(num_codes=16, dim=8)
    vqkd = VQKD(small, VQKDConfig(codebook=codebook, target="patches", decoder_depth=1))
    train(vqkd, make_batch(8), steps=5)
    return vqkd.artifact()
