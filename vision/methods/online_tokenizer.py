"""Online tokenizer: masked modelling of the codes of a tokenizer that is learnt at the same time.

A variant of iBOT (Zhou et al., ICLR 2022; see ``ibot`` for the published method) that is told of in its name, with
a discrete vocabulary where iBOT has a softmax over prototypes. Four parts learn together: an encoder, a tokenizer,
the tokenizer's momentum copy, and a classifier::

    q = argmin_{e in E} ‖f − e‖₂                                     the code of a feature f, K = 16,384 of d = 256
    L = L_recon + α L_momentum,      L_recon = −Σ_{i in M} log p(q_i^target | h_i)
    θ^momentum ← τ θ^momentum + (1 − τ) θ,  τ = .999                 targets come from it, without gradient
    L_codebook = ‖z − sg(e)‖² + β ‖sg(z) − e‖²
    Σ_k 1[codebook_k used] = K                                       every code in use

How this reads here, where the description leaves it open:

- L_recon asks the encoder for the momentum tokenizer's codes at the hidden patches M (blocks) and teaches the
  encoder and the classifier alone. L_momentum teaches the tokenizer: it has to place its own features at the same
  codes, with p(k | f) = softmax_k(−‖f − e_k‖² / T).
- The *validation mask* is an additional block mask on what the tokenizer reads, and L_momentum counts at its hidden
  patches. Without it the answer is trivial: tokenizer and copy are nearly one network, and on the same pixels they
  agree whatever the codes mean. With it a code has to be foreseeable from its surroundings. The additional mask is
  M turned by half a turn: blocks of the same sizes elsewhere, whatever the batch, and no second draw.
- All codes in use: the divergence from equal use, KL(mean_i p(· | f_i) ‖ uniform), over the patches of all
  processes, is a loss (a code that is foreseeable and evenly used says most about the image); and a code that no
  target had for some steps is put on the feature of a random patch, in the tokenizer and its copy. All codes start
  so, on patches of the first batch, since a random codebook has most of its rows where no feature is.

Losses are means over patches, not sums. The tokenizer is a small transformer, not a convolutional network; its
features have unit length. A patch that was not observed is neither seen, asked for, nor counted.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.batch import Batch, Mask
from vision.collapse import code_warning, codebook_warning
from vision.collectives import gather_over_ranks, split_like, sum_over_ranks, world_size
from vision.config import OnlineTokenizerConfig, ViTConfig
from vision.losses import masked_cross_entropy, weighted_mean
from vision.methods.base import MaskToken, Method, check_global_tokens, mask_of, observed_patches, take
from vision.methods.codes import MaskedCodeModel, code_entropy
from vision.nn.codebook import rows_of_everyone
from vision.nn.nearest_code import NearestCodeTokenizer, codebook_loss
from vision.nn.sampling import spread_choice
from vision.nn.teacher import EMATeacher
from vision.nn.usage import CodeUsage


class OnlineTokenizerTargets(NamedTuple):
    """What the momentum tokenizer reads in whole images."""

    codes: Tensor  # (B, N) long
    valid: Tensor  # (B, N) float32, 1 = the patch was observed


class OnlineTokenizerPredictions(NamedTuple):
    """What encoder and tokenizer say of images in which patches are hidden, other ones from each."""

    logits: Tensor  # (R, K) of the encoder at its hidden places
    features: Tensor  # (B, N, d) of the tokenizer


class ModelWithTokenizer(nn.Module):
    """What a run leaves: the masked code model, and the momentum tokenizer whose codes it names."""

    def __init__(self, model: MaskedCodeModel, tokenizer: NearestCodeTokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer


class OnlineTokenizer(Method):
    """See the module's docstring. Batches: one crop size, with masks (BlockMask).

    Parameters
    ----------
    encoder : of the masked code model; the tokenizer's is as wide, of ``config.tokenizer_depth`` blocks.
    config : knobs of the method.

    Raises
    ------
    ValueError : the encoder has global tokens that no patch sees (scope "causal").
    """

    def __init__(self, encoder: ViTConfig, config: OnlineTokenizerConfig) -> None:
        super().__init__()
        check_global_tokens(encoder)
        self.config = config
        self.model = MaskedCodeModel(encoder, config.num_codes)
        small = dataclasses.replace(encoder, depth=config.tokenizer_depth)
        self.tokenizer = NearestCodeTokenizer(small, config.num_codes, config.code_dim)
        self.validation_token = MaskToken(encoder.dim, std=0.02)  # stands in for what the tokenizer may not see
        self.momentum = EMATeacher(self.tokenizer)
        self.usage = CodeUsage(config.num_codes)  # of the targets
        self.usage.unused_for.fill_(config.revive_after)  # all codes start on patches of the first batch
        self._last: tuple[Tensor, OnlineTokenizerTargets] | None = None  # the momentum tokenizer's features

    @torch.no_grad()
    def targets(self, batch: Batch) -> OnlineTokenizerTargets:
        """The momentum tokenizer on whole images."""
        images, observed = batch.views[0], batch.valid[0]
        features = self.momentum.module.features(images, observed)
        codes = self.momentum.module.nearest(features)
        valid = observed_patches(observed, self.tokenizer.encoder.grid(images))
        targets = OnlineTokenizerTargets(codes, torch.ones_like(codes).float() if valid is None else valid.float())
        self._last = (features, targets)
        return targets

    def predict(self, batch: Batch) -> OnlineTokenizerPredictions:
        """The encoder behind its mask, the tokenizer behind the validation mask."""
        images, observed, mask = batch.views[0], batch.valid[0], mask_of(batch, "online_tokenizer")
        encoded = self.model.encode(images, observed, mask.hidden)
        logits = self.model.head(take(encoded.patches, mask.index))
        grid = self.tokenizer.encoder.grid(images)
        tokens = self.validation_token(self.tokenizer.encoder.embed(images, observed), validation_mask(mask).hidden)
        features = self.tokenizer.encode(tokens, grid, observed_patches(observed, grid))
        return OnlineTokenizerPredictions(logits, features)

    def loss(
        self, predictions: OnlineTokenizerPredictions, targets: OnlineTokenizerTargets, batch: Batch
    ) -> dict[str, Tensor]:
        config, mask = self.config, mask_of(batch, "online_tokenizer")
        held_out = validation_mask(mask)
        features, codes, valid = predictions.features, targets.codes, targets.valid
        recon = masked_cross_entropy(predictions.logits, take(codes, mask.index), mask.weight)
        logits = self.tokenizer.logits(features, config.temperature)  # (B, N, K)
        weight = held_out.weight * take(valid, held_out.index)
        momentum = masked_cross_entropy(take(logits, held_out.index), take(codes, held_out.index), weight)
        rows = F.embedding(self.tokenizer.nearest(features), self.tokenizer.codebook)
        distance = codebook_loss(features, rows, config.beta)
        return {
            "recon": recon,
            "momentum": config.momentum_weight * momentum,
            "codebook": config.codebook_weight * weighted_mean(distance, valid * ~held_out.hidden),
            "usage": config.usage_weight * divergence_from_equal_use(logits.softmax(dim=-1), valid),
        }

    def num_places(self, targets: OnlineTokenizerTargets, batch: Batch) -> Tensor:
        return mask_of(batch, "online_tokenizer").weight.sum(dtype=torch.float32)

    @torch.no_grad()
    def end_step(self) -> None:
        """Move the momentum tokenizer; put codes that no target had for long on patches of the last batch."""
        self.momentum.update(self.config.momentum)
        if self._last is None or not self.training:
            return
        features, targets = self._last
        self.usage.update(targets.codes, targets.valid)
        if self.config.revive_after == 0:
            return
        is_dead = self.usage.unused_for >= self.config.revive_after
        everyone = gather_over_ranks(targets.valid.flatten())
        seed = self.config.seed + self.usage.updates
        choice, is_repeat = spread_choice(everyone > 0, self.config.num_codes, seed, 0, is_dead)
        is_revived = is_dead & ~is_repeat
        seeds = rows_of_everyone(features.flatten(0, 1), choice)
        for codebook in (self.tokenizer.codebook, self.momentum.module.codebook):
            chosen, rows = split_like(is_revived[:, None], codebook), split_like(seeds, codebook)
            codebook.copy_(torch.where(chosen, rows, codebook))
        self.usage.unused_for.masked_fill_(is_revived, 0)

    def artifact(self) -> ModelWithTokenizer:
        """The masked code model and the momentum tokenizer."""
        return ModelWithTokenizer(self.model, self.momentum.module)

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Share of codes in use, perplexity of their frequencies, entropy (nats) of those of the last batch."""
        if self._last is None:
            return {}
        targets = self._last[1]
        return {
            "codebook_usage": self.usage.share_used(),
            "codebook_perplexity": self.usage.perplexity(),
            "code_entropy": code_entropy(targets.codes, targets.valid, self.config.num_codes),
        }

    def warning(self, figures: Mapping[str, float]) -> str | None:
        config, places = self.config, 0 if self._last is None else self._last[1].codes.numel()
        revive = "lower" if config.revive_after else "100"
        remedy = f"Set usage_weight higher, num_codes lower, revive_after {revive} or learning_rate lower"
        found = codebook_warning(figures, config.num_codes, remedy)
        return found or code_warning(figures, "recon", config.num_codes, places)


def validation_mask(mask: Mask) -> Mask:
    """Each image's mask turned by half a turn; weights 1 where it hides, whether or not that was observed."""
    hidden, last = mask.hidden.flip(1), mask.hidden.shape[1] - 1
    index = mask.index + last - 2 * (mask.index % mask.hidden.shape[1])
    return mask._replace(hidden=hidden, index=index, weight=take(hidden, index).float())


def divergence_from_equal_use(assignments: Tensor, valid: Tensor) -> Tensor:
    """KL(p̄ ‖ uniform), nats, of the mean assignment p̄ over the observed patches of all processes.

    Assignments (B, N, K), valid (B, N). 0 when every code has the same share, ln K when one has all. The value
    is of all processes; the gradient is right once the processes' gradients are averaged.
    """
    sums = (assignments * valid.unsqueeze(-1)).sum(dim=(0, 1))  # (K,)
    total = sum_over_ranks(torch.cat([sums.detach(), valid.sum()[None]]))
    count = total[-1].clamp(min=1)
    own = sums * world_size() / count
    mean = own + (total[:-1] / count - own).detach()
    return (mean * mean.clamp(min=1e-12).log()).sum() + math.log(assignments.shape[-1])
