"""A vector-quantisation codebook without gradients: cosine, exponential averages, residual levels."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.collectives import (
    StepSums,
    copy_from_first,
    gather_over_ranks,
    mean_over_ranks,
    rank,
    sum_over_ranks,
)
from vision.config import CodebookConfig
from vision.nn.sampling import spread_choice

UNUSED_EPS = 1e-12  # keeps a division by the count of an unused code finite; its result is not taken


class Quantized(NamedTuple):
    """Vectors (..., d) replaced by their codes."""

    codes: Tensor  # (...) long for one level, (..., levels) for more
    quantized: Tensor  # (..., d) sum over levels of the code's rows; gradients pass straight through to the input
    commitment: Tensor  # scalar: mean of (code row − unit vector)² over elements of counted vectors
    distance: Tensor  # (...) squared distance of the unit vector to what stands for it; 2 − 2 cos for one level


class Codebook(nn.Module):
    """Unit vectors to nearest rows (NormEMAVectorQuantizer of BEiT v2, Peng et al. 2022, §2.2), always in
    float32.

    Level 0 holds unit rows, so nearest means largest cosine; further levels hold plain rows for what the
    levels before left over (residual quantisation, SoundStream, Zeghidour et al. 2021). In training, used
    rows move by ``decay`` towards the mean of their vectors (at level 0 towards its direction); an unused row
    stays.

    Differences from the official code: the k-means start happens in training only, once, on the vectors of
    all processes, and is the same on each; where there are fewer vectors than codes the rest stays random
    instead of being duplicates; dead codes can be revived. All draws follow from ``seed`` and the number of
    updates. Vectors of weight 0 never count. Buffers, not parameters: optimiser, weight decay and EMATeacher
    leave them alone.
    """

    weight: Tensor  # (levels, K, d) float32
    cluster_size: Tensor  # (levels, K) float32: average vectors per update, a statistic
    codes_used_for: Tensor  # (levels, K) long: updates since a code was last used
    updates: Tensor  # 0-d long

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        rows = torch.randn(config.levels, config.num_codes, config.dim, generator=generator)
        rows = F.normalize(rows, dim=-1)
        rows[1:] *= 0.1  # residuals are shorter than what they correct
        self.register_buffer("weight", rows)
        self.register_buffer("cluster_size", torch.zeros(config.levels, config.num_codes))
        self.register_buffer("codes_used_for", torch.zeros(config.levels, config.num_codes, dtype=torch.long))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.sums = StepSums()
        self.is_started = False  # a Python bool, so that the step need not ask the device
        self.register_load_state_dict_post_hook(_restore_is_started)

    def forward(self, vectors: Tensor, weight: Tensor | None = None) -> Quantized:
        """Vectors (..., d), weight (...) 1 = counts, 0 = padding or not observed -> :class:`Quantized`."""
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            unit = F.normalize(vectors.float(), dim=-1)
            counted = unit.new_ones(unit.shape[:-1]) if weight is None else weight.to(unit.dtype)
            flat, flat_counted = unit.detach().flatten(0, -2), counted.flatten()
            if self.training and not self.is_started:
                self._start(flat, flat_counted)
            all_codes = self._assign_unit(unit)  # (..., levels)
            codes = all_codes[..., 0] if self.config.levels == 1 else all_codes
            rows = self.lookup(codes)
            if self.training:
                self._update(flat, all_codes.flatten(0, -2), flat_counted)
            error = (rows - unit).square().sum(dim=-1)
            places = mean_over_ranks(counted.sum()) if self.training else counted.sum()
            commitment = (error * counted).sum() / (places * self.config.dim).clamp(min=UNUSED_EPS)
            quantized = unit + (rows - unit).detach()
        return Quantized(codes, quantized, commitment, error.detach())

    @torch.no_grad()
    def assign(self, vectors: Tensor) -> Tensor:
        """Vectors (..., d) of any length -> codes (..., levels) long; moves nothing."""
        with torch.autocast(device_type=vectors.device.type, enabled=False):
            return self._assign_unit(F.normalize(vectors.float(), dim=-1))

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (...) for one level, (..., levels) for more -> rows (..., d), summed over levels."""
        if self.config.levels == 1:
            return F.embedding(codes, self.weight[0])
        rows = [F.embedding(codes[..., level], self.weight[level]) for level in range(self.config.levels)]
        return torch.stack(rows).sum(dim=0)

    def usage(self, within: int = 100) -> Tensor:
        """Share of first-level codes used in the last ``within`` updates, 0-d in [0, 1]."""
        return ((self.codes_used_for[0] < within) & (self.cluster_size[0] > 0)).float().mean()

    def perplexity(self) -> Tensor:
        """exp of the entropy of first-level code frequencies, 0-d; equal use of every code gives K."""
        share = self.cluster_size[0] / self.cluster_size[0].sum().clamp(min=UNUSED_EPS)
        return torch.special.entr(share).sum().exp()

    @torch.no_grad()
    def _assign_unit(self, residual: Tensor) -> Tensor:
        """Unit vectors (..., d) -> codes (..., levels): each level codes what the levels before left over."""
        codes = []
        for level in range(self.config.levels):
            rows = self.weight[level].float()  # a tokenizer may have been given another type
            codes.append(nearest_row(residual, rows))
            residual = residual - F.embedding(codes[-1], rows)
        return torch.stack(codes, dim=-1)

    @torch.no_grad()
    def _start(self, vectors: Tensor, counted: Tensor) -> None:
        """k-means on the first training batch of all processes; the first process's rows are everyone's."""
        vectors, counted = gather_over_ranks(vectors), gather_over_ranks(counted)
        rows = []
        for level in range(self.config.levels):
            choice, is_repeat = spread_choice(counted > 0, self.config.num_codes, self.config.seed, level)
            centres = torch.where(is_repeat[:, None], self.weight[level], vectors[choice])
            for _ in range(self.config.kmeans_iterations):
                sums, counts = _sums(vectors, nearest_row(vectors, centres), counted, self.config.num_codes)
                mean = self._on_level(level, sums / counts.clamp(min=UNUSED_EPS)[:, None])
                centres = torch.where(counts[:, None] > 0, mean, centres)
            rows.append(copy_from_first(centres))
            vectors = vectors - rows[-1][nearest_row(vectors, rows[-1])]
        self.weight.copy_(torch.stack(rows))
        self.is_started = True

    @torch.no_grad()
    def _update(self, vectors: Tensor, codes: Tensor, counted: Tensor) -> None:
        """One pass from flat vectors (n, d) and their codes (n, levels); the step's last moves the averages."""
        residuals, messages = [vectors], []
        for level in range(self.config.levels):
            sums, counts = _sums(residuals[-1], codes[:, level], counted, self.config.num_codes)
            messages.append(torch.cat([sums, counts[:, None]], dim=1))
            residuals.append(residuals[-1] - F.embedding(codes[:, level], self.weight[level]))
        total = self.sums(torch.stack(messages))  # (levels, K, d + 1), one message
        if total is None:
            return
        rows = []
        for level in range(self.config.levels):
            old, sums, counts = self.weight[level], total[level, :, :-1], total[level, :, -1]
            is_used = counts > 0
            mean = self._on_level(level, sums / counts.clamp(min=UNUSED_EPS)[:, None])
            moved = torch.where(is_used[:, None], self._on_level(level, old.lerp(mean, 1 - self.config.decay)), old)
            self.cluster_size[level].lerp_(counts, 1 - self.config.decay)
            idle = torch.where(is_used, 0, self.codes_used_for[level] + 1)
            if self.config.revive_after:
                moved, idle = self._revive(level, moved, idle, residuals[level], counted)
            self.codes_used_for[level].copy_(idle)
            rows.append(moved)
        self.weight.copy_(torch.stack(rows))
        self.updates.add_(1)

    def _revive(
        self, level: int, rows: Tensor, idle: Tensor, vectors: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put codes unused for ``revive_after`` updates on random vectors of this pass, of any process."""
        is_dead = idle >= self.config.revive_after
        everyone = gather_over_ranks(counted)
        choice, is_repeat = spread_choice(
            everyone > 0, self.config.num_codes, self.config.seed + self.updates, level, is_dead
        )
        seeds = rows_of_everyone(vectors, choice)
        is_revived = is_dead & ~is_repeat
        return torch.where(is_revived[:, None], self._on_level(level, seeds), rows), torch.where(is_revived, 0, idle)

    @staticmethod
    def _on_level(level: int, rows: Tensor) -> Tensor:
        """Rows as the level keeps them: unit length at level 0."""
        return F.normalize(rows, dim=-1) if level == 0 else rows


def nearest_row(vectors: Tensor, rows: Tensor) -> Tensor:
    """The nearest of rows (K, d) to each vector (..., d) -> (...) long; for unit rows the largest cosine."""
    half_norms = rows.square().sum(dim=1) / 2
    return torch.addmm(-half_norms, vectors.flatten(0, -2), rows.T).argmax(dim=1).view(vectors.shape[:-1])


def _sums(vectors: Tensor, codes: Tensor, counted: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Sum (K, d) and number (K,) of the counted vectors (n, d) of each code."""
    sums = vectors.new_zeros(num_codes, vectors.shape[1]).index_add_(0, codes, vectors * counted[:, None])
    return sums, vectors.new_zeros(num_codes).index_add_(0, codes, counted)


def rows_of_everyone(vectors: Tensor, choice: Tensor) -> Tensor:
    """Rows ``choice`` (K,) of all processes' vectors (n, d) end to end, without gathering them -> (K, d)."""
    own = choice - rank() * vectors.shape[0]
    is_own = (own >= 0) & (own < vectors.shape[0])
    return sum_over_ranks(torch.where(is_own[:, None], vectors[own.clamp(0, vectors.shape[0] - 1)], 0.0))


def _restore_is_started(codebook: Codebook, _: Any) -> None:
    codebook.is_started = bool(codebook.updates > 0)  # a synchronisation, once per load
