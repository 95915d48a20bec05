"""How much to hide: the information between hidden and visible patches, measured ratio by ratio.

I(r) is in nats per hidden patch, when a share r is hidden: h(p_i) − h(p_i | p_visible), a mean over hidden patches,
masks and images. It falls as r grows. Each image then has r · I(r) nats per patch to be learnt from, which is
largest at r*. With the model I(r) = I₀ e^{−λr}, d/dr [r I₀ e^{−λr}] = I₀ e^{−λr} (1 − λr) = 0 gives r* = 1/λ: text,
where neighbours say little beyond the nearest (large λ), wants a small ratio, images (small λ) a large one.

Two estimators, both on images that nothing was fitted to, both in log scores, so that they are bounds from below
up to noise:

- :func:`linear_information`, of any images. Patches are reduced to a few principal components, each component at
  each place to normal scores (information does not depend on monotone changes of scale, and heavy tails do not
  matter), and all of them together are a Gaussian with the correlations of one half of the images: a Gaussian
  copula (Ince et al. 2017). The other half is scored.
- :func:`code_information`, of a trained masked code model: the marginal cross-entropy of the codes less the model's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.errors import InputError
from vision.evaluate.codebook import observed_codes
from vision.evaluate.copula import log_score_gain, normal_scores, principal_components, shrunk_correlation
from vision.evaluate.features import evaluating
from vision.evaluate.gaps import split_gaps
from vision.evaluate.tables import table
from vision.masks import MaskGenerator, RandomMask
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import VisualTokenizer

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEEPEST, STEP = 20.0, 0.1  # decay rates are looked for in [-20, 20], then within a step to a hundredth of it
FEWEST_IMAGES = 50  # below it correlations are noise


class Decay(NamedTuple):
    """I(r) = initial · e^{−rate · r}."""

    initial: float  # I₀, nats per hidden patch
    rate: float  # λ


@dataclass(frozen=True)
class MaskingStudy:
    """Information between hidden and visible patches by the share that is hidden."""

    ratios: tuple[float, ...]  # as the grid allows them
    information: tuple[float, ...]  # nats per hidden patch; below 0 = worse than knowing nothing
    standard_errors: tuple[float, ...]  # over images
    num_images: int  # scored
    estimator: str

    @property
    def decay(self) -> Decay:
        """Least squares of I₀ e^{−λr} on the measured information."""
        return fit_decay(self.ratios, self.information)

    @property
    def best_ratio(self) -> float:
        """r* = argmax r · I(r) of the fitted decay: 1/λ, kept within the ratios measured."""
        rate = self.decay.rate
        best = 1 / rate if rate > 0 else math.inf
        return min(max(best, min(self.ratios)), max(self.ratios))

    @property
    def best_measured(self) -> float:
        """The measured ratio at which r · I(r) is largest."""
        return max(zip(self.ratios, self.information, strict=True), key=lambda pair: pair[0] * pair[1])[0]

    def summary(self) -> str:
        """A table of information by ratio, and what follows from it."""
        fitted = self.decay
        rows = [
            (f"{r:.3f}", f"{i:.4f}", f"{e:.4f}", f"{fitted.initial * math.exp(-fitted.rate * r):.4f}", f"{r * i:.4f}")
            for r, i, e in zip(self.ratios, self.information, self.standard_errors, strict=True)
        ]
        title = f"Information between hidden and visible patches, nats per hidden patch: {self.estimator}"
        header = ("ratio", "I(r)", "± s.e.", "fitted", "r I(r)")
        return "\n".join([table(title, header, rows), repr(self)])

    def __repr__(self) -> str:
        initial, rate = self.decay
        return (
            f"MaskingStudy(r* = {self.best_ratio:.2f} by I(r) = {initial:.3f} exp(-{rate:.2f} r), "
            f"{self.best_measured:.2f} as measured, {self.num_images} images)"
        )


def linear_information(
    images: Tensor,
    patch_size: tuple[int, int],
    *,
    valid: Tensor | None = None,
    ratios: Sequence[float] = RATIOS,
    mask: Callable[[float], MaskGenerator] = RandomMask,
    num_masks: int = 4,
    components: int = 4,
    seed: int = 0,
) -> MaskingStudy:
    """The study by a Gaussian copula, of images (n, C, H, W) of any channels.

    Parameters
    ----------
    patch_size : (height, width) pixels.
    valid : (n, H, W) bool, observed pixels; images that were not observed in full are left out. None = all were.
    ratios : shares to hide, in (0, 1).
    mask : ratio -> what hides patches.
    num_masks : drawn for each ratio.
    components : principal components that stand for a patch.
    seed : of masks and of the split into halves.

    Raises
    ------
    InputError : patches do not fill the images, a ratio hides all or nothing, or too few images are whole.
    """
    rng = np.random.default_rng(seed)
    whole = images if valid is None else images[valid.flatten(1).all(dim=1)]
    if len(whole) < FEWEST_IMAGES:
        raise InputError(f"{len(whole)} images were observed in full, the study needs {FEWEST_IMAGES} or more")
    grid = _grid(whole, patch_size)
    order = torch.from_numpy(rng.permutation(len(whole)))
    patches = grid.patchify(whole)[order].double()  # (n, N, P)
    half = len(whole) // 2
    scores = normal_scores(principal_components(patches, half, components), half)  # (n, N, d)
    correlation = shrunk_correlation(scores[:half].flatten(1))
    held_out, results = scores[half:], []
    for ratio in ratios:
        generator = mask(ratio)
        _check_count(generator, grid, ratio)
        draws = [torch.from_numpy(generator(grid, rng)).flatten() for _ in range(num_masks)]
        per_image = torch.stack([log_score_gain(held_out, correlation, hidden) for hidden in draws]).mean(dim=0)
        share = sum(int(hidden.sum()) for hidden in draws) / num_masks / grid.num_patches
        results.append((share, per_image))
    return _study(results, f"Gaussian copula of {scores.shape[2]} components, {type(mask(ratios[0])).__name__}")


class CodeModel(Protocol):
    """What names the codes of hidden patches: a masked code model."""

    def logits(self, images: Tensor, valid: Tensor | None, hidden: Tensor) -> Tensor:
        """Images (B, C, H, W), observed pixels or None, hidden (B, N) bool -> (B, N, K)."""
        ...


@torch.no_grad()
def code_information(
    model: CodeModel,
    tokenizer: VisualTokenizer,
    images: Tensor,
    *,
    ratios: Sequence[float] = RATIOS,
    mask: Callable[[float], MaskGenerator] = RandomMask,
    seed: int = 0,
    batch_size: int = 64,
) -> MaskingStudy:
    """The study by a trained masked code model, of images (n, C, H, W) that it was not trained on, NaN = not observed.

    What a model that sees nothing would say are the frequencies of the codes in ``images``. A patch that was not
    observed is not counted, nor an image without a hidden one that was. ``mask`` and errors as in
    :func:`linear_information`; one mask is drawn for each image.
    """
    rng = np.random.default_rng(seed)
    grid = _grid(images, tokenizer.patch_size)
    codes = torch.cat([observed_codes(tokenizer, part) for part in images.split(batch_size)])  # (n, N)
    seen = codes >= 0
    frequencies = torch.bincount(codes[seen], minlength=tokenizer.num_codes) / seen.sum()
    unseen = -frequencies.log()[codes]  # (n, N) nats
    results = []
    for ratio in ratios:
        generator = mask(ratio)
        _check_count(generator, grid, ratio)
        hidden = torch.from_numpy(np.stack([generator(grid, rng) for _ in range(len(images))])).flatten(1)
        hidden = hidden.to(images.device)
        parts = zip(*(whole.split(batch_size) for whole in (images, hidden, codes)), strict=True)
        entropy = torch.cat([_code_loss(model, tokenizer.patch_size, *part) for part in parts])  # (n, N)
        counted = hidden & seen
        gain = torch.where(counted, unseen - entropy, 0.0).sum(dim=1) / counted.sum(dim=1)
        results.append((float(hidden.float().mean()), gain[counted.any(dim=1)].double()))
    return _study(results, f"masked code model, {type(mask(ratios[0])).__name__}")


def _code_loss(model: CodeModel, patch_size: tuple[int, int], images: Tensor, hidden: Tensor, codes: Tensor) -> Tensor:
    """Nats (B, N) that the model loses on the codes of images; 0 where they are -1."""
    images, pixels, _ = split_gaps(images, patch_size)
    with evaluating(model) if isinstance(model, nn.Module) else nullcontext():
        logits = model.logits(images, pixels, hidden)
    return F.cross_entropy(logits.transpose(1, 2), codes, reduction="none", ignore_index=-1)


def fit_decay(ratios: Sequence[float], information: Sequence[float]) -> Decay:
    """Least squares of I₀ e^{−λr}: for each λ the best I₀ is known, and the best λ is looked for on a grid, twice.

    Raises InputError where there is nothing to fit: fewer than two ratios, or no information at any of them.
    """
    r, values = torch.tensor(ratios, dtype=torch.float64), torch.tensor(information, dtype=torch.float64)
    if len(r) < 2 or not (values > 0).any():
        raise InputError("there is no decay to fit: give two or more ratios at which patches say something of others")
    best = Decay(0.0, 0.0)
    for width, step in ((STEEPEST, STEP), (STEP, STEP / 100)):
        rates = best.rate + torch.arange(-width, width + step / 2, step, dtype=torch.float64)
        shapes = (-rates[:, None] * r).exp()  # (rates, ratios)
        initial = shapes @ values / shapes.square().sum(dim=1)
        place = int((initial[:, None] * shapes - values).square().sum(dim=1).argmin())
        best = Decay(float(initial[place]), float(rates[place]))
    return best


def _study(results: Sequence[tuple[float, Tensor]], estimator: str) -> MaskingStudy:
    """From (ratio, information per image (n,)) of each ratio."""
    return MaskingStudy(
        ratios=tuple(ratio for ratio, _ in results),
        information=tuple(float(values.mean()) for _, values in results),
        standard_errors=tuple(float(values.std() / math.sqrt(len(values))) for _, values in results),
        num_images=len(results[0][1]) if results else 0,
        estimator=estimator,
    )


def _grid(images: Tensor, patch_size: tuple[int, int]) -> PatchGrid:
    try:
        return PatchGrid.of(images.shape[-2], images.shape[-1], patch_size)
    except ValueError as error:
        raise InputError(str(error)) from None


def _check_count(mask: MaskGenerator, grid: PatchGrid, ratio: float) -> None:
    if not 0 < mask.count(grid) < grid.num_patches:
        raise InputError(f"a ratio of {ratio} hides {mask.count(grid)} of {grid.num_patches} patches: all or nothing")
