"""The discrete variational autoencoder: images to one of K codes per patch, and codes back to images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import DVAEConfig, ViTConfig
from vision.nn.decoder import TokenDecoder
from vision.nn.grid import PatchGrid
from vision.nn.likelihood import LIKELIHOODS
from vision.nn.tokenizer import VisualTokenizer
from vision.nn.vit import VisionTransformer

SMALLEST = 1e-30  # an exponential draw of exactly 0 would be infinite Gumbel noise
FIRST_LOGIT_STD = 3.0  # from logits near 0 the Gumbel noise, of std 1.3, drowns the patch: few codes are ever learnt


class DiscreteVAE(VisualTokenizer):
    """Encoder to logits over K codes, a table of K vectors, decoder to pixels (DALL-E, Ramesh et al. 2021, §2.1).

    The paper's networks are convolutional and their patches 8 × 8 pixels, by three poolings. Here both are
    transformers on patches of any rectangle, as everywhere in this library, so that patches which were not observed
    stay out, and a code may be kept to its own patch or to earlier columns (``ViTConfig.scope``).
    """

    def __init__(self, encoder: ViTConfig, config: DVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.likelihood = LIKELIHOODS[config.likelihood]
        self.encoder = VisionTransformer(encoder)
        self.head = nn.Linear(encoder.dim, config.num_codes)
        nn.init.normal_(self.head.weight, std=FIRST_LOGIT_STD / math.sqrt(encoder.dim))
        nn.init.zeros_(self.head.bias)
        self.vectors = nn.Parameter(torch.randn(config.num_codes, config.code_dim))
        rows, columns = encoder.patch_size
        numbers = self.likelihood.numbers * encoder.in_channels * rows * columns
        self.decoder = TokenDecoder(encoder, config.code_dim, config.decoder_depth, numbers)

    @property
    def num_codes(self) -> int:
        return self.config.num_codes

    @property
    def patch_size(self) -> tuple[int, int]:
        return self.encoder.config.patch_size

    def encode(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> logits (B, N, K), typed as the weights."""
        patches = self.encoder(images, valid).patches
        with torch.autocast(device_type=patches.device.type, enabled=False):  # as DALL-E's last layer
            return self.head(patches.to(self.head.weight.dtype))

    def decode(self, vectors: Tensor, grid: PatchGrid, valid: Tensor | None = None) -> Tensor:
        """Vectors (B, N, d) of codes, or means of them, observed patches (B, N) bool or None -> (B, N, v · P).

        What comes out are the numbers of the likelihood for every pixel value.
        """
        return self.decoder(vectors, grid, valid)

    @torch.no_grad()
    def codes(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """The most likely code of each patch, (B, N) long."""
        return self.encode(images, valid).argmax(dim=-1)

    @torch.no_grad()
    def reconstruct(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> what their codes alone say of them, (B, C, H, W)."""
        grid = self.encoder.grid(images)
        vectors = F.embedding(self.codes(images, valid), self.vectors)
        decoded = self.decode(vectors, grid, None if valid is None else grid.pool_any(valid))
        return grid.unpatchify(self.likelihood.mean(decoded), images.shape[1])


def relaxed_one_hot(logits: Tensor, temperature: Tensor) -> Tensor:
    """A draw from the Gumbel-softmax distribution (Jang et al. 2017; Maddison et al. 2017): (..., K) -> (..., K).

    softmax((logits + g) / τ) with g = −ln(−ln u): as τ falls to 0 a one-hot draw from softmax(logits), yet
    with a gradient.
    """
    noise = -torch.empty_like(logits).exponential_().clamp(min=SMALLEST).log()
    return ((logits + noise) / temperature).softmax(dim=-1)


def straight_through(soft: Tensor) -> Tensor:
    """Soft (..., K) -> the one-hot of its largest entry, with the gradient of the soft one (Jang et al. 2017, §2.2)."""
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """KL(q ‖ uniform) of q = softmax(logits), in nats: (..., K) -> (...); 0 for a uniform q, ln K for a sure one."""
    log_q = F.log_softmax(logits, dim=-1)
    return (log_q.exp() * log_q).sum(dim=-1) + math.log(logits.shape[-1])
