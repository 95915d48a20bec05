"""What a decoder says about a pixel: a density with a few numbers per pixel value, its −log p and its mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

LOGIT_MARGIN = 0.1  # DALL-E, eq. 2: keeps pixels of 0 and 1 away from the ends of the logit
SMALLEST_LOG_SCALE = -5.0  # of a Laplace density: a patch that is flat to the last bit would ask for minus infinity


class Likelihood(Protocol):
    """Numbers (B, N, v · P) of a decoder -> a density for each of P pixel values of N patches."""

    numbers: int  # v

    def negative_log(self, predicted: Tensor, pixels: Tensor) -> Tensor:
        """Predicted (B, N, v · P), pixels (B, N, P) -> −log p (B, N, P), up to a constant."""
        ...

    def mean(self, predicted: Tensor) -> Tensor:
        """Predicted (B, N, v · P) -> the pixels expected (B, N, P); of a skewed density its median."""
        ...


class Squared:
    """A Gaussian of fixed width, as squared error: ``mse`` of the class that BEiT trains its own dVAE with."""

    numbers = 1

    def negative_log(self, predicted: Tensor, pixels: Tensor) -> Tensor:
        return (predicted - pixels).square()

    def mean(self, predicted: Tensor) -> Tensor:
        return predicted


class Laplace:
    """−log p = ln 2b + |x − μ| / b with μ and ln b predicted, for pixels of any range: DALL-E's without the logit."""

    numbers = 2

    def negative_log(self, predicted: Tensor, pixels: Tensor) -> Tensor:
        centre, log_scale = predicted.chunk(2, dim=-1)
        log_scale = log_scale.clamp(min=SMALLEST_LOG_SCALE)
        return math.log(2) + log_scale + (pixels - centre).abs() * (-log_scale).exp()

    def mean(self, predicted: Tensor) -> Tensor:
        return predicted.chunk(2, dim=-1)[0]


class LogitLaplace:
    """DALL-E's density of pixels in [0, 1] (Ramesh et al. 2021, appendix A.3, eq. 2), with y = (1 − 2ε) x + ε::

    −log p = ln 2b + ln y (1 − y) + |logit(y) − μ| / b        ε = .1

    A pixel outside of [−.12, 1.12] has no density: the loss is NaN.
    """

    numbers = 2

    def negative_log(self, predicted: Tensor, pixels: Tensor) -> Tensor:
        inner = (1 - 2 * LOGIT_MARGIN) * pixels + LOGIT_MARGIN
        logit = inner.log() - (1 - inner).log()
        return Laplace().negative_log(predicted, logit) + inner.log() + (1 - inner).log()

    def mean(self, predicted: Tensor) -> Tensor:
        inner = predicted.chunk(2, dim=-1)[0].sigmoid()
        return ((inner - LOGIT_MARGIN) / (1 - 2 * LOGIT_MARGIN)).clamp(0, 1)  # DALL-E, unmap_pixels


LIKELIHOODS: Mapping[str, Likelihood] = {
    "squared": Squared(),
    "laplace": Laplace(),
    "logit_laplace": LogitLaplace(),
}
