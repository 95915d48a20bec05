"""Health of a vocabulary: how many of its codes are used, and how evenly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.evaluate.features import batches, evaluating
from vision.evaluate.gaps import split_gaps
from vision.evaluate.tables import table
from vision.nn.dvae import DiscreteVAE
from vision.nn.tokenizer import Tokenizer, VisualTokenizer


@dataclass(frozen=True)
class CodebookHealth:
    """Use of K codes over the patches of some images."""

    counts: Tensor  # (K,) long: observed patches of each code

    @property
    def num_codes(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def num_patches(self) -> int:
        return int(self.counts.sum())

    @property
    def num_used(self) -> int:
        """Codes that at least one patch has."""
        return int((self.counts > 0).sum())

    @property
    def usage(self) -> float:
        """Share of the codes that at least one patch has, in [0, 1]; below K patches it cannot reach 1."""
        return self.num_used / self.num_codes

    @property
    def entropy(self) -> float:
        """Of the frequencies, nats; ln K when every code is used equally. What a model that sees nothing loses."""
        share = self.counts.double() / max(self.num_patches, 1)
        return float(torch.special.entr(share).sum())

    @property
    def perplexity(self) -> float:
        """exp of the entropy: as many codes, used equally, would be as hard to guess."""
        return math.exp(self.entropy)

    @property
    def largest_share(self) -> float:
        """Share of the patches that the most used code has; near 1 the codebook has collapsed."""
        return int(self.counts.max()) / max(self.num_patches, 1)

    def summary(self) -> str:
        """A table of figures."""
        rows = [
            ("codes used", f"{self.num_used} of {self.num_codes} ({self.usage:.1%})"),
            ("perplexity", f"{self.perplexity:.1f}"),
            ("entropy (nats)", f"{self.entropy:.3f}"),
            ("most used code", f"{int(self.counts.argmax())} ({self.largest_share:.1%} of patches)"),
        ]
        return table(f"Codebook on {self.num_patches} patches", ("figure", "value"), rows)

    def __repr__(self) -> str:
        return f"CodebookHealth({self.num_used} of {self.num_codes} codes used, perplexity {self.perplexity:.1f})"


@torch.no_grad()
def codebook_health(
    tokenizer: VisualTokenizer, images: Tensor | Iterable[Tensor], *, batch_size: int = 256
) -> CodebookHealth:
    """Count the codes of images (n, C, H, W), NaN = not observed, or of batches of them, where the tokenizer is."""
    device = next(tokenizer.parameters()).device
    counts = torch.zeros(tokenizer.num_codes, dtype=torch.long)
    for batch in batches(images, batch_size):
        codes = observed_codes(tokenizer, batch.to(device)).cpu()
        counts += torch.bincount(codes[codes >= 0], minlength=tokenizer.num_codes)
    return CodebookHealth(counts)


def observed_codes(tokenizer: VisualTokenizer, images: Tensor) -> Tensor:
    """Images (B, C, H, W), NaN = not observed -> codes (B, N) long, -1 where nothing of the patch was observed.

    The tokenizer is in eval mode meanwhile.
    """
    images, pixels, seen = split_gaps(images, tokenizer.patch_size)
    with evaluating(tokenizer):
        codes = tokenizer.codes(images, pixels)
    return codes if seen is None else codes.masked_fill(~seen, -1)


@torch.no_grad()
def codes_and_closeness(tokenizer: VisualTokenizer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) -> codes as :func:`observed_codes`, and how well each fits (B, N), the larger the better.

    The cosine to the code's vector (VQ-KD), or the code's probability (dVAE); 0 for any other tokenizer.
    """
    images, pixels, seen = split_gaps(images, tokenizer.patch_size)
    with evaluating(tokenizer):
        if isinstance(tokenizer, Tokenizer):
            vectors = F.normalize(tokenizer.encode(images, pixels).float(), dim=-1)
            codes = tokenizer.codebook.assign(vectors)[..., 0]
            closeness = (vectors * F.embedding(codes, tokenizer.codebook.weight[0])).sum(dim=-1)
        elif isinstance(tokenizer, DiscreteVAE):
            closeness, codes = tokenizer.encode(images, pixels).float().softmax(dim=-1).max(dim=-1)
        else:
            codes = tokenizer.codes(images, pixels)
            closeness = torch.zeros(codes.shape, device=codes.device)
    return codes if seen is None else codes.masked_fill(~seen, -1), closeness
