"""How well the tokens of a panel are predicted: the masked model beside the marginal and a linear factor model.

A masked model that is worse than the factor model has not learned the cross-section; one that is worse than the
marginal has learned nothing. The rivals learn from the rows up to ``train_end``, and all are judged after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fintok.bundle import Bundle
from fintok.channels import decayed_mean
from fintok.imaging import ReturnImages
from fintok.inference import HIDDEN_COLUMNS, asset_groups, panel_hints, reading
from fintok.panel import Panel
from fintok.progress import track
from vision.masks import BlockMask
from vision.nn.grid import PatchGrid

MAX_TOKENS = 4_000  # (asset, window) pairs judged: enough for two digits, and seconds on one core
NUM_PATHS = 400  # of the factor model, for each window
TAIL = 5.0  # degrees of freedom of its residuals (Student t)
RIDGE = 0.02  # of its regressions, in units of the training rows
RESIDUAL_HALF_LIFE = 20.0  # days, of its residual scale
PRIOR_PATHS = 20.0  # weight of the marginal in its counts, so that a code that no path met is not impossible


class Yardstick(NamedTuple):
    """Mean negative log-likelihood of the true codes, nats; lower is better. NaN: nothing to judge by."""

    asset: float  # a quarter of the assets hidden for the last two patches
    asset_marginal: float
    asset_factor: float  # of the linear factor model on the same tokens
    forecast: float  # the last patch of all assets hidden
    forecast_marginal: float
    block: float  # blocks of assets x days hidden; volatilities of the days after them still tell of their size
    block_marginal: float

    def summary(self) -> str:
        """One line."""
        if np.isnan(self.asset):
            return "masked NLL: too few rows after train_end to judge by"
        return (
            f"masked NLL in nats, model / marginal: assets {self.asset:.3f} / {self.asset_marginal:.3f} "
            f"(factor model {self.asset_factor:.3f}), forecast {self.forecast:.3f} / {self.forecast_marginal:.3f}, "
            f"blocks {self.block:.3f} / {self.block_marginal:.3f}"
        )


def measure(bundle: Bundle, panel: Panel, seed: int = 0) -> Yardstick:
    """Judge a bundle on the rows of a panel after ``train_end``.

    Windows lie wholly after ``train_end``; where fewer than ten do, all is NaN.
    """
    window, images = bundle.config.imaging, bundle.images(panel)
    codes = torch.from_numpy(bundle.codes(panel).astype(np.int64))
    num_training = int((panel.dates <= bundle.train_end).sum())
    ends = np.arange(num_training + window.window_days, panel.num_days)
    if len(ends) < 10:
        return Yardstick(*[float("nan")] * len(Yardstick._fields))
    keep = max(10, MAX_TOKENS // panel.num_assets)
    ends = ends[np.linspace(0, len(ends) - 1, min(keep, len(ends))).astype(int)]
    marginal = torch.from_numpy(_marginal(bundle)).log()
    grid = PatchGrid.of(panel.num_assets, window.window_days, (1, window.patch_days))
    groups = asset_groups(images, window.window_days)
    masks = _masks(grid, groups, len(ends), seed)
    places = torch.arange(grid.columns - 1, -1, -1) * window.patch_days  # days back of each column's last day
    model: dict[str, list[torch.Tensor]] = {kind: [] for kind in masks}
    plain: dict[str, list[torch.Tensor]] = {kind: [] for kind in masks}
    values, observed = torch.from_numpy(images.values), torch.from_numpy(images.observed)
    hints = panel_hints(bundle.predictor, images, window.window_days)
    with reading(bundle.predictor):
        for number, end in enumerate(track(list(ends), "yardstick")):
            days = slice(end - window.window_days + 1, end + 1)
            true = codes[end - places].T.flatten()  # (N,)
            for kind, hidden in masks.items():
                batch = hidden[number] if hidden.dim() == 3 else hidden
                image = values[:, :, days]
                if hints is not None:
                    told = torch.from_numpy(hints[:, :, days])
                    image = torch.cat([image, told if kind == "asset" else torch.zeros_like(told)])
                image = image.expand(len(batch), -1, -1, -1)
                seen = observed[None, :, days].expand(len(batch), -1, -1)
                log_p = bundle.predictor.logits(image, seen, batch).log_softmax(-1)
                asked = batch & (true >= 0)
                answer = true.expand(len(batch), -1)[asked]
                model[kind].append(-log_p[asked].gather(1, answer[:, None]).flatten())
                plain[kind].append(-marginal[answer])
    mean = {kind: (_mean(model[kind]), _mean(plain[kind])) for kind in masks}
    factor = _factor_model(bundle, images, codes, ends, num_training, marginal.exp().numpy(), seed)
    return Yardstick(*mean["asset"], factor, *mean["forecast"], *mean["block"])


def _mean(parts: list[torch.Tensor]) -> float:
    return float(torch.cat(parts).mean())


def _marginal(bundle: Bundle) -> NDArray[np.float64]:
    counts = bundle.vocabulary.counts + 0.5
    return counts / counts.sum()


def _masks(grid: PatchGrid, groups: Sequence[torch.Tensor], num_windows: int, seed: int) -> dict[str, torch.Tensor]:
    """Hidden patches of each kind: (masks, N), the same for every window, or (windows, 1, N)."""
    asset = torch.zeros(len(groups), grid.rows, grid.columns, dtype=torch.bool)
    for number, group in enumerate(groups):
        asset[number, group, -HIDDEN_COLUMNS:] = True
    forecast = torch.zeros(1, grid.rows, grid.columns, dtype=torch.bool)
    forecast[:, :, -1] = True
    rng, block = np.random.default_rng(seed), BlockMask(0.3, min_patches=4)
    blocks = torch.from_numpy(np.stack([block(grid, rng) for _ in range(num_windows)]))
    return {"asset": asset.flatten(1), "forecast": forecast.flatten(1), "block": blocks.flatten(1).unsqueeze(1)}


def _factor_model(
    bundle: Bundle,
    images: ReturnImages,
    codes: torch.Tensor,
    ends: NDArray[np.int64],
    num_training: int,
    marginal: NDArray[np.float64],
    seed: int,
) -> float:
    """NLL (nats) of a linear model with Student-t residuals on the tokens of the asset mask.

    Each hidden asset's scaled return is regressed on those of the assets that stay visible (ridge, training
    rows); residuals have the scale of their recent past; paths are drawn, tokenised and counted.
    """
    window, rng = bundle.config.imaging, np.random.default_rng(seed)
    days = HIDDEN_COLUMNS * window.patch_days
    x = np.sinh(images.channel("return").T.astype(np.float64))  # (T, A) scaled returns, 0 where not observed
    channels = bundle.config.tokenizer.channels
    sources = torch.from_numpy(images.values[[images.channel_names.index(name) for name in channels]])
    total, count = 0.0, 0
    for group in asset_groups(images, window.window_days):
        hidden = group.numpy()
        visible = np.setdiff1d(np.arange(images.num_assets), hidden)
        known = x[:num_training, visible]
        gram = known.T @ known + RIDGE * max(len(known), 1) * np.eye(len(visible))
        beta = np.linalg.solve(gram, known.T @ x[:num_training, hidden])
        square = np.asarray((x[:, hidden] - x[:, visible] @ beta) ** 2, dtype=np.float64)
        scale = np.sqrt(decayed_mean(square, images.observed.T[:, hidden], RESIDUAL_HALF_LIFE)) + 1e-4
        for end in track(list(ends), "factor model"):
            mean = x[end - days + 1 : end + 1, visible] @ beta  # (days, G)
            noise = rng.standard_t(TAIL, (NUM_PATHS, *mean.shape)) * np.sqrt((TAIL - 2.0) / TAIL)
            paths = np.arcsinh(mean + noise * scale[end - days]).astype(np.float32)
            image = sources[:, hidden, end - days + 1 : end + 1].expand(NUM_PATHS, -1, -1, -1).clone()
            image[:, channels.index("return")] = torch.from_numpy(paths).transpose(1, 2)
            seen = torch.from_numpy(images.observed[hidden, end - days + 1 : end + 1]).expand(NUM_PATHS, -1, -1)
            with reading(bundle.tokenizer):
                drawn = bundle.tokenizer.codebook.assign(_vectors(bundle, image, seen))[..., 0]
            drawn = drawn.view(NUM_PATHS, len(hidden), HIDDEN_COLUMNS)
            back = torch.arange(HIDDEN_COLUMNS - 1, -1, -1) * window.patch_days
            true = codes[end - back][:, group].T  # (G, columns)
            met = (drawn == true).sum(0).numpy()
            asked, wanted = (true >= 0).numpy(), true.clamp(min=0).numpy()
            likelihood = (met + PRIOR_PATHS * marginal[wanted]) / (NUM_PATHS + PRIOR_PATHS)
            total -= float(np.log(likelihood[asked]).sum())
            count += int(asked.sum())
    return total / max(count, 1)


def _vectors(bundle: Bundle, image: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Vectors of images that hold the tokenizer's channels alone."""
    return bundle.tokenizer.task(bundle.tokenizer.encoder(image, seen).patches)
