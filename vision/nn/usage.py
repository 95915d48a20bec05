"""How often each code of a vocabulary was used lately."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.collectives import sum_over_ranks

DECAY = 0.99  # of the average frequencies, per update


class CodeUsage(nn.Module):
    """Frequencies of K codes over the last updates of all processes; a statistic that nothing learns from."""

    frequencies: Tensor  # (K,) float32: average count per update
    unused_for: Tensor  # (K,) long: updates since a code was last used
    updates: Tensor  # 0-d long

    def __init__(self, num_codes: int) -> None:
        super().__init__()
        self.num_codes = num_codes
        self.register_buffer("frequencies", torch.zeros(num_codes))
        self.register_buffer("unused_for", torch.zeros(num_codes, dtype=torch.long))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, codes: Tensor, weight: Tensor | None = None) -> None:
        """Count codes (...) of weight (...): 1 = counts, 0 = does not (not observed); None = all count."""
        self.move(sum_over_ranks(self.count(codes, weight)))

    @torch.no_grad()
    def count(self, codes: Tensor, weight: Tensor | None = None) -> Tensor:
        """Counts (K,) of this process's codes, weighed as in :meth:`update`; moves nothing."""
        counted = torch.ones_like(codes, dtype=torch.float32) if weight is None else weight.float()
        return torch.zeros_like(self.frequencies).index_add_(0, codes.flatten(), counted.flatten())

    @torch.no_grad()
    def move(self, counts: Tensor) -> None:
        """One update, by counts (K,) of all processes."""
        self.frequencies.lerp_(counts, 1 - DECAY)
        self.unused_for.copy_(torch.where(counts > 0, 0, self.unused_for + 1))
        self.updates.add_(1)

    def share_used(self, within: int = 100) -> Tensor:
        """Share of the codes used in the last ``within`` updates, 0-d in [0, 1]."""
        return ((self.unused_for < within) & (self.frequencies > 0)).float().mean()

    def perplexity(self) -> Tensor:
        """exp of the entropy of the frequencies, 0-d; equal use of every code gives K."""
        share = self.frequencies / self.frequencies.sum().clamp(min=1e-12)
        return torch.special.entr(share).sum().exp()
