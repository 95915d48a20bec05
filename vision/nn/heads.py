"""Projection heads of self-distillation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.nn.vit import init_weights


class WeightNormLinear(nn.Module):
    """A linear map without bias, rows ``weight_g`` · direction of ``weight_v`` (Salimans & Kingma 2016)."""

    def __init__(self, in_dim: int, out_dim: int, has_fixed_norm: bool) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(nn.Linear(in_dim, out_dim, bias=False).weight.detach())  # PyTorch's default init
        self.weight_g = nn.Parameter(torch.ones(out_dim, 1), requires_grad=not has_fixed_norm)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_dim) -> (..., out_dim), in the type of the weights."""
        weight = self.weight_g * F.normalize(self.weight_v, dim=1, eps=1e-12)
        return F.linear(x.to(weight.dtype), weight)


class DINOHead(nn.Module):
    """MLP to a bottleneck, unit length, weight-normed prototypes (DINO, Caron et al. 2021, App. C; iBOT).

    GELU, no batch norm. With ``norm_last_layer`` prototypes have length 1, so a logit is a cosine. The
    prototypes keep PyTorch's default initialisation, as in the official code, where weight norm comes after
    the .02 init.
    """

    def __init__(
        self,
        in_dim: int,
        num_prototypes: int,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        layers: int = 3,
        norm_last_layer: bool = True,
    ) -> None:
        super().__init__()
        dims = [in_dim, *[hidden_dim] * (layers - 1), bottleneck_dim]
        steps: list[nn.Module] = []
        for before, after in pairwise(dims):
            steps += [nn.Linear(before, after), nn.GELU()]
        self.mlp = nn.Sequential(*steps[:-1])
        self.mlp.apply(init_weights)
        self.last_layer = WeightNormLinear(bottleneck_dim, num_prototypes, has_fixed_norm=norm_last_layer)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (..., D) -> logits (..., K). Lengths in float32, with DINOv2's epsilon in float16."""
        return self.last_layer(self.bottleneck(tokens))

    def bottleneck(self, tokens: Tensor) -> Tensor:
        """Tokens (..., D) -> the unit vectors (..., bottleneck_dim) that the prototypes are compared with."""
        hidden = self.mlp(tokens)
        return F.normalize(hidden.float(), dim=-1, eps=1e-6 if hidden.dtype == torch.float16 else 1e-12)


class CodebookHead(nn.Linear):
    """A linear classifier of codes whose weight is W + E P, with E (K, d) the codes' vectors.

    What is learned of one code, through P (d, D), then serves those alike. E is standardised: mean 0 and
    deviation 1 over the codes.

    Parameters
    ----------
    in_dim : D.
    vectors : (K, d), copied.
    """

    vectors: Tensor

    def __init__(self, in_dim: int, vectors: Tensor) -> None:
        super().__init__(in_dim, vectors.shape[0])
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)
        centred = vectors.detach() - vectors.detach().mean(dim=0)
        self.register_buffer("vectors", centred / centred.std(dim=0).clamp(min=1e-6))
        self.directions = nn.Parameter(torch.randn(vectors.shape[1], in_dim) * 0.02)

    def forward(self, input: Tensor) -> Tensor:
        """Tokens (..., D) -> logits (..., K)."""
        return F.linear(input, self._sum(), self.bias)

    @torch.no_grad()
    def plain(self) -> nn.Linear:
        """The same map as a linear layer of weight W + E P."""
        linear = nn.Linear(self.in_features, self.out_features, device=self.weight.device)
        linear.weight.copy_(self._sum())
        linear.bias.copy_(self.bias)
        return linear

    def _sum(self) -> Tensor:
        return self.weight + self.vectors @ self.directions
