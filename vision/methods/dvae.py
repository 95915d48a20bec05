"""dVAE: the discrete variational autoencoder of DALL-E (Ramesh et al., ICML 2021, arXiv 2102.12092, §2.1 and
appendix A), the visual tokenizer of BEiT (Bao et al., ICLR 2022, §2.1).

The encoder says q(z | x), a softmax over K = 8192 codes for every patch; the decoder p(x | z) has to rebuild the
image from the codes' vectors. A code is drawn by the Gumbel-softmax, so that the draw has a gradient: with g the
Gumbel noise and τ a temperature that falls from 1 to 1/16::

    z̃ = softmax((logits + g) / τ),        L = −ln p(x | Σ_k z̃_k e_k) + β KL(q(z | x) ‖ uniform)

p is a (logit-)Laplace density of each pixel value, its scale predicted too, or a Gaussian of fixed width; β rises
from 0. As in DALL-E the loss is per pixel value and β counts nats per patch against it: 6.6 / 192 for patches of
8 × 8 RGB pixels; the KL is a mean over patches (the class in BEiT's repository sums it over the batch, so that
its weight depends on batch and grid). Afterwards the code of a patch is the most likely one.

Differences: transformers in place of convolutions (see :class:`~vision.nn.dvae.DiscreteVAE`); the share of the run
over which τ falls and β rises is larger, for runs shorter than DALL-E's 3,000,000 updates; a patch that was not
observed is not seen, costs no KL, and its pixels are not rebuilt.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.batch import Batch
from vision.collapse import codebook_warning
from vision.collectives import StepSums
from vision.config import DVAEConfig, ViTConfig
from vision.losses import weighted_mean
from vision.methods.base import Method, check_global_tokens, count_places, observed_patches, pixel_patches
from vision.nn.dvae import DiscreteVAE, divergence_from_uniform, relaxed_one_hot, straight_through
from vision.nn.usage import CodeUsage
from vision.schedule import CosineSchedule, Scheduled


class DVAETargets(NamedTuple):
    """The pixels to rebuild, and what counts."""

    patches: Tensor  # (B, N, P), 0 where not observed
    observed: Tensor | None  # (B, N, P) bool, observed pixels; None = all
    valid: Tensor | None  # (B, N) bool, observed patches; None = all


class DVAEPredictions(NamedTuple):
    """What encoder and decoder say."""

    pixels: Tensor  # (B, N, v · P) numbers of the likelihood
    logits: Tensor  # (B, N, K) of q(z | x)


class DVAE(Method):
    """See the module's docstring. Batches: one crop size, no masks.

    Parameters
    ----------
    encoder : of the tokenizer; the decoder has its width, heads, attention, scope and positions.
    config : knobs of the method.

    Raises
    ------
    ValueError : the encoder has global tokens that no patch sees (scope "causal").
    """

    def __init__(self, encoder: ViTConfig, config: DVAEConfig) -> None:
        super().__init__()
        check_global_tokens(encoder)
        self.config = config
        self.tokenizer = DiscreteVAE(encoder, config)
        self.temperature = Scheduled(
            partial(_eased, config.temperature, config.final_temperature, config.temperature_decay)
        )
        self.kl_weight = Scheduled(partial(_eased, 0.0, config.kl_weight, config.kl_warmup))
        self.usage = CodeUsage(config.num_codes)
        self._counts = StepSums()

    def begin_step(self, progress: float) -> None:
        self.temperature.update(progress)
        self.kl_weight.update(progress)

    @torch.no_grad()
    def targets(self, batch: Batch) -> DVAETargets:
        """The image's own pixels."""
        images, observed = batch.views[0], batch.valid[0]
        grid = self.tokenizer.encoder.grid(images)
        return DVAETargets(*pixel_patches(images, observed, grid), observed_patches(observed, grid))

    def predict(self, batch: Batch) -> DVAEPredictions:
        """Encode, draw codes (in eval mode: take the most likely ones), decode."""
        images, observed = batch.views[0], batch.valid[0]
        grid = self.tokenizer.encoder.grid(images)
        valid = observed_patches(observed, grid)
        logits = self.tokenizer.encode(images, observed)
        codes = logits.argmax(dim=-1)
        if self.training:
            counts = self._counts(self.usage.count(codes, valid))
            if counts is not None:  # the last pass of a step
                self.usage.move(counts)
            vectors = self._draw(logits) @ self.tokenizer.vectors
        else:
            vectors = F.embedding(codes, self.tokenizer.vectors)
        return DVAEPredictions(self.tokenizer.decode(vectors, grid, valid), logits)

    def _draw(self, logits: Tensor) -> Tensor:
        soft = relaxed_one_hot(logits, self.temperature())
        return straight_through(soft) if self.config.sample == "straight_through" else soft

    def loss(self, predictions: DVAEPredictions, targets: DVAETargets, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(predictions.logits.device.type, enabled=False):
            errors = self.tokenizer.likelihood.negative_log(predictions.pixels.float(), targets.patches.float())
            divergence = divergence_from_uniform(predictions.logits)
        return {
            "pixel": weighted_mean(errors, targets.observed),
            "kl": self.kl_weight() * weighted_mean(divergence, targets.valid),
        }

    def num_places(self, targets: DVAETargets, batch: Batch) -> Tensor:
        return count_places(targets.observed, targets.patches)

    def artifact(self) -> DiscreteVAE:
        """Encoder, vectors and decoder."""
        return self.tokenizer

    def metrics(self) -> dict[str, Tensor]:
        """Share of codes that were some patch's most likely one, and the perplexity of their frequencies."""
        return {"codebook_usage": self.usage.share_used(), "codebook_perplexity": self.usage.perplexity()}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        remedy = "Set learning_rate lower, kl_weight higher (it spreads the codes) or num_codes lower"
        return codebook_warning(figures, self.config.num_codes, remedy)


def _eased(start: float, end: float, share: float, progress: float) -> float:
    """Half a cosine from ``start`` to ``end`` over the first ``share`` of the run, then ``end``."""
    return CosineSchedule(start=start, end=end)(progress / share) if share else end
