from collections.abc import Callable

import pytest
import torch
from torch import nn

from vision.config import ViTConfig
from vision.nn.vit import VisionTransformer

SMALL = {"patch_size": (4, 4), "dim": 32, "depth": 2, "heads": 4, "max_rows": 3, "max_columns": 3}


def make_random(module: nn.Module, seed: int = 0) -> None:
    """Weights far from their initialisation, so that a tensor in the wrong place shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


@pytest.fixture
def make_encoder() -> Callable[..., VisionTransformer]:
    """A small encoder with random weights, in eval mode."""

    def make(**options) -> VisionTransformer:
        table = {"row_position": "table", "column_position": "table"}
        encoder = VisionTransformer(ViTConfig(**{**SMALL, **table, **options}))
        make_random(encoder)
        return encoder.eval()

    return make


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def randomise() -> Callable[[nn.Module], None]:
    return make_random


@pytest.fixture
def assert_twins() -> Callable[..., None]:
    """Two encoders give equal features."""

    def check(first: VisionTransformer, second: VisionTransformer, images: torch.Tensor, atol: float = 1e-5) -> None:
        with torch.no_grad():
            one, two = first(images), second(images)
        assert one.cls is not None
        assert two.cls is not None
        assert one.cls.std() > 0.1
        assert torch.allclose(one.cls, two.cls, atol=atol)
        assert torch.allclose(one.patches, two.patches, atol=atol)

    return check
