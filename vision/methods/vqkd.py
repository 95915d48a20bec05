"""VQ-KD: vector-quantised knowledge distillation, the tokenizer of BEiT v2 (Peng et al. 2022, arXiv
2208.06366, §2.2).

An encoder turns patches into vectors h_i, a codebook of unit rows v_j (K = 8192 of 32 numbers) these into codes z_i,
and a decoder has to say from the codes alone, o_i, what a frozen teacher saw there, t_i. With ℓ₂ the unit length and
sg the stopped gradient (eq. 1 and 2)::

    z_i = argmin_j ‖ℓ₂(h_i) − ℓ₂(v_j)‖²
    max  Σ_x Σ_i cos(o_i, t_i) − ‖sg[ℓ₂(h_i)] − ℓ₂(v_{z_i})‖² − ‖ℓ₂(h_i) − sg[ℓ₂(v_{z_i})]‖²

The decoder reads ℓ₂(v_{z_i}) and its gradient passes straight through to ℓ₂(h_i). The second term, which would move
the codebook, is no loss here, as in the official code: its rows follow exponential averages of their vectors, which
lower it. So the loss is mean(1 − cos) + β · mean of the third term over its elements, β = 1. Differences: the target
may be the patch itself (mean squared error over observed pixels), or both; the decoder has no CLS token, and the
encoder's attention, scope and positions, so that codes of scope "patch" are decoded one by one; the output weights of
block i do not start divided by √(2i), as those of the official encoder and decoder do; a patch that was not observed
moves no code and has no loss.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vision.batch import Batch
from vision.collapse import codebook_warning
from vision.config import ViTConfig, VQKDConfig
from vision.losses import cosine_distance, masked_mse
from vision.methods.base import Method, check_global_tokens, count_places, observed_patches, pixel_patches
from vision.nn.decoder import TokenDecoder
from vision.nn.teacher import Frozen
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import VisionTransformer


class VQKDTargets(NamedTuple):
    """What is to be rebuilt, and where it counts."""

    features: Tensor | None  # (B, N, D) of the teacher
    patches: Tensor | None  # (B, N, P) pixels, 0 where not observed
    valid: Tensor | None  # (B, N) bool, observed patches; None = all
    observed: Tensor | None  # (B, N, P) bool, observed pixels; None = all


class VQKDPredictions(NamedTuple):
    """What the decoder makes of the codes."""

    features: Tensor | None  # (B, N, D)
    patches: Tensor | None  # (B, N, P)
    commitment: Tensor  # scalar, mean squared distance of vectors to their codes


class VQKD(Method):
    """See the module's docstring. Batches: one crop size, no masks.

    Parameters
    ----------
    encoder : of the tokenizer.
    config : knobs of the method.
    teacher : gives the features; copied and frozen. None when the target is "patches".
    channels : of the image, that the tokenizer reads and patches are rebuilt in; None = all. The teacher sees
        all.

    Raises
    ------
    ValueError : teacher, target and patch size do not fit, or the encoder has global tokens that no patch
        sees (scope "causal").
    """

    def __init__(
        self,
        encoder: ViTConfig,
        config: VQKDConfig,
        teacher: VisionTransformer | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if (teacher is None) != (config.target == "patches"):
            needs = "no teacher" if config.target == "patches" else "a teacher"
            raise ValueError(f"VQ-KD with target {config.target!r} takes {needs}")
        if teacher is not None and teacher.config.patch_size != encoder.patch_size:
            sizes = f"{teacher.config.patch_size} and {encoder.patch_size}"
            raise ValueError(f"teacher and tokenizer need the same patch_size, got {sizes}")
        check_global_tokens(encoder)
        self.config = config
        self.tokenizer = Tokenizer(encoder, config.codebook, channels)
        self.teacher = None if teacher is None else Frozen(teacher)
        rows, columns = encoder.patch_size
        self.num_features = 0 if teacher is None else teacher.config.dim
        self.num_pixels = 0 if config.target == "features" else encoder.in_channels * rows * columns
        self.decoder = TokenDecoder(
            encoder,
            config.codebook.dim,
            config.decoder_depth,
            self.num_features + self.num_pixels,
            dim=config.decoder_dim,
            heads=config.decoder_heads,
        )

    @torch.no_grad()
    def targets(self, batch: Batch) -> VQKDTargets:
        """The teacher's features of every patch, or its pixels, or both."""
        images, observed = batch.views[0], batch.valid[0]
        grid = self.tokenizer.encoder.grid(images)
        features = patches = seen = None
        if self.teacher is not None:
            features = self.teacher.module(images, observed).patches
        if self.num_pixels:
            patches, seen = pixel_patches(self.tokenizer.select(images), observed, grid)
        return VQKDTargets(features, patches, observed_patches(observed, grid), seen)

    def predict(self, batch: Batch) -> VQKDPredictions:
        """Encode, quantise (which in training moves the codebook), decode."""
        images, observed = batch.views[0], batch.valid[0]
        grid = self.tokenizer.encoder.grid(images)
        valid = observed_patches(observed, grid)
        vectors = self.tokenizer.encode(images, observed)
        quantized = self.tokenizer.quantize(vectors, None if valid is None else valid.float())
        decoded = self.decoder(quantized.quantized, grid, valid)
        features, patches = decoded.split([self.num_features, self.num_pixels], dim=-1)
        return VQKDPredictions(
            features if self.num_features else None,
            patches if self.num_pixels else None,
            quantized.commitment,
        )

    def loss(self, predictions: VQKDPredictions, targets: VQKDTargets, batch: Batch) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if predictions.features is not None and targets.features is not None:
            distance = cosine_distance(predictions.features, targets.features, targets.valid)
            terms["feature"] = config.feature_weight * distance
        if predictions.patches is not None and targets.patches is not None:
            error = masked_mse(predictions.patches, targets.patches, targets.observed)
            terms["patch"] = config.patch_weight * error
        return {**terms, "commitment": config.commitment_weight * predictions.commitment}

    def num_places(self, targets: VQKDTargets, batch: Batch) -> Tensor | None:
        patches = targets.features if targets.patches is None else targets.patches
        return None if patches is None else count_places(targets.valid, patches)

    def artifact(self) -> Tokenizer:
        return self.tokenizer

    def metrics(self) -> dict[str, Tensor]:
        """Share of codes in use, and the perplexity of their frequencies."""
        codebook = self.tokenizer.codebook
        return {"codebook_usage": codebook.usage(), "codebook_perplexity": codebook.perplexity()}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        config = self.config.codebook
        revive = "lower" if config.revive_after else "100"
        remedy = f"Set codebook.num_codes lower, codebook.revive_after {revive} or learning_rate lower"
        return codebook_warning(figures, config.num_codes, remedy)
