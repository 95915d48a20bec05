"""The visual tokenizer: images to one code per patch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.config import CodebookConfig, ViTConfig
from vision.nn.codebook import Codebook, Quantized
from vision.nn.vit import VisionTransformer, init_weights


class VisualTokenizer(nn.Module):
    """Whatever reads one code per patch in an image; masked image modelling needs no more than this."""

    @property
    def num_codes(self) -> int:
        """K: codes are 0 … K − 1."""
        raise NotImplementedError

    @property
    def patch_size(self) -> tuple[int, int]:
        """(height, width) pixels that a code stands for."""
        raise NotImplementedError

    def codes(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> codes (B, N) long, without gradient.

        The code of a patch that was not observed means nothing.
        """
        raise NotImplementedError


class Tokenizer(VisualTokenizer):
    """A ViT encoder, a task layer down to the codebook's width, and the codebook (BEiT v2, Peng et al. 2022,
    §2.1).

    With the encoder's scope "patch" a code is a function of its own pixels (and position), with "causal" of
    this and earlier columns, with "window" of the whole image.

    Parameters
    ----------
    channels : places of the image's channels that the encoder reads, ``encoder.in_channels`` of them; None =
        the image has just those.
    """

    places: Tensor | None  # (in_channels,) long: ``channels``

    def __init__(self, encoder: ViTConfig, codebook: CodebookConfig, channels: tuple[int, ...] | None = None) -> None:
        super().__init__()
        if channels is not None and len(channels) != encoder.in_channels:
            raise ValueError(f"channels are {channels}, expected {encoder.in_channels} places")
        self.channels = channels
        places = None if channels is None else torch.tensor(channels)
        self.register_buffer("places", places, persistent=False)  # on the device: no copy from the host each step
        self.encoder = VisionTransformer(encoder)
        self.task = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.Tanh(), nn.Linear(encoder.dim, codebook.dim))
        self.task.apply(init_weights)
        self.codebook = Codebook(codebook)

    @property
    def num_codes(self) -> int:
        return self.codebook.config.num_codes

    @property
    def patch_size(self) -> tuple[int, int]:
        return self.encoder.config.patch_size

    def select(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> the channels that are read, (B, in_channels, H, W)."""
        return images if self.places is None else images.index_select(1, self.places)

    def encode(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> vectors (B, N, d), not quantised."""
        patches = self.encoder(self.select(images), valid).patches
        with torch.autocast(device_type=patches.device.type, enabled=False):  # the official code: float32
            return self.task(patches.to(self.codebook.weight.dtype))

    def quantize(self, vectors: Tensor, weight: Tensor | None = None) -> Quantized:
        """Vectors (B, N, d), weight (B, N) 0 = not observed -> codes; in training the codebook follows."""
        return self.codebook(vectors, weight)

    @torch.no_grad()
    def codes(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Codes (B, N) of the first level where there are more; never moves the codebook."""
        return self.codebook.assign(self.encode(images, valid))[..., 0]
