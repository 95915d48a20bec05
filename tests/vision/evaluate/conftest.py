from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vision.config import ViTConfig
from vision.nn.vit import VisionTransformer

PATCH = (2, 3)


@pytest.fixture
def make_encoder() -> Callable[..., VisionTransformer]:
    """A small encoder of rectangular patches on images of 8 × 15 pixels, in eval mode."""

    def make(**options) -> VisionTransformer:
        torch.manual_seed(0)
        encoder = VisionTransformer(ViTConfig(**{"patch_size": PATCH, "dim": 32, "depth": 4, "heads": 2, **options}))
        for parameter in encoder.parameters():  # away from the small initialisation
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.2)
        return encoder.eval()

    return make


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 3, 8, 15, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def gappy(images) -> tuple[Tensor, Tensor]:
    """(images with NaN, observed patches (6, 20)): of image 1 the right two columns are missing, of image 2 all."""
    gappy = images.clone()
    gappy[0, 1, 0, 0] = torch.nan  # one channel of one pixel
    gappy[1, :, :, 9:] = torch.nan
    gappy[2] = torch.nan
    seen = torch.ones(6, 4, 5, dtype=torch.bool)
    seen[1, :, 3:] = False
    seen[2] = False
    return gappy, seen.flatten(1)


@pytest.fixture
def blobs() -> Callable[..., tuple[Tensor, Tensor]]:
    """(features (n, F), labels (n,)): a cloud per class, the same centres for every seed."""

    def make(size: int, spread: float = 1.0, seed: int = 0, classes: int = 3, dim: int = 8) -> tuple[Tensor, Tensor]:
        centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(7)) * 2
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (size,), generator=generator)
        return centres[labels] + spread * torch.randn(size, dim, generator=generator), labels

    return make
