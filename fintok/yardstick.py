"""How well the tokens of a panel are predicted: the masked model beside the marginal and a linear factor model.

A masked model that is worse than the marginal has learned nothing; one that is worse than the factor model does not
make the most of the regressions that it is told. All are judged on the rows after ``train_end``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from fintok.bundle import Bundle, PanelReading
from fintok.factor_model import factor_model_nll
from fintok.hints import HIDDEN_COLUMNS, group_hints
from fintok.inference import asset_groups, panel_hints, read_codes, reading
from fintok.panel import Panel
from fintok.progress import track
from fintok.spans import rows_until
from fintok.standard_error import BLOCK_DATES, mean_of_blocks
from vision.masks import BlockMask
from vision.nn.grid import PatchGrid

MAX_TOKENS = 4_000  # (asset, window) pairs judged: enough for two digits, and seconds on one core


class Yardstick(NamedTuple):
    """Mean negative log-likelihood of the true codes, nats; lower is better. NaN: nothing to judge by."""

    asset: float  # a quarter of the assets (of more than 100, half) hidden for the last two patches
    asset_marginal: float
    asset_factor: float  # of the linear factor model on the same tokens (fintok.factor_model)
    forecast: float  # the last patch of all assets hidden
    forecast_marginal: float
    block: float  # blocks of assets x days hidden; volatilities of the days after them still tell of their size
    block_marginal: float
    asset_factor_error: float  # standard error of asset less asset_factor; infinite for fewer than 61 rows

    def summary(self) -> str:
        """One line."""
        if np.isnan(self.asset):
            return "masked NLL: too few rows after train_end to judge by"
        error, gap = self.asset_factor_error, abs(self.asset - self.asset_factor)
        of_factor = f", a difference of {gap:.3f} ± {error:.3f}" if np.isfinite(error) else ""
        return (
            f"masked NLL in nats, model / marginal: assets {self.asset:.3f} / {self.asset_marginal:.3f} "
            f"(factor model {self.asset_factor:.3f}{of_factor}), forecast {self.forecast:.3f} / "
            f"{self.forecast_marginal:.3f}, blocks {self.block:.3f} / {self.block_marginal:.3f}"
        )


def measure(bundle: Bundle, panel: Panel, seed: int = 0, read: PanelReading | None = None) -> Yardstick:
    """Judge a bundle on the rows of a panel after ``train_end``; ``read`` is its reading of these, if there is one.

    Windows lie wholly after ``train_end``; where fewer than ten do, all is NaN.
    """
    window, images = bundle.config.imaging, bundle.images(panel) if read is None else read.images
    found = read_codes(bundle.tokenizer, images, window.patch_days) if read is None else read.codes
    codes = torch.from_numpy(found.astype(np.int64))
    num_training = rows_until(panel.dates, bundle.train_end)
    ends = np.arange(num_training + window.window_days - 1, panel.num_days)
    if len(ends) < 10:
        return Yardstick(*[float("nan")] * len(Yardstick._fields))
    keep = max(10, MAX_TOKENS // panel.num_assets)
    ends = ends[np.linspace(0, len(ends) - 1, min(keep, len(ends))).astype(int)]
    marginal = torch.from_numpy(bundle.vocabulary.marginal).log()
    grid = PatchGrid.of(panel.num_assets, window.window_days, (1, window.patch_days))
    groups = asset_groups(images, window.window_days)
    masks = _masks(grid, groups, len(ends), seed)
    places = torch.arange(grid.columns - 1, -1, -1) * window.patch_days  # days back of each column's last day
    model: dict[str, list[torch.Tensor]] = {kind: [] for kind in masks}
    plain: dict[str, list[torch.Tensor]] = {kind: [] for kind in masks}
    values, observed = torch.from_numpy(images.values), torch.from_numpy(images.observed)
    hints = panel_hints(bundle.predictor, images, window.window_days, window.patch_days)
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
    places_of = [group.numpy() for group in groups]
    told = group_hints(images, places_of, window.window_days, window.patch_days) if hints is None else hints
    expected = np.sinh(told[0].T.astype(np.float64))
    factor = factor_model_nll(bundle, images, codes.numpy(), ends, places_of, expected, seed)
    own, counts = (np.array([ask(one) for one in model["asset"]]) for ask in (torch.sum, len))
    error = mean_of_blocks(own - factor, counts, (ends - ends[0]) // BLOCK_DATES)[1]
    return Yardstick(*mean["asset"], factor.sum() / counts.sum(), *mean["forecast"], *mean["block"], error)


def _mean(parts: list[torch.Tensor]) -> float:
    return float(torch.cat(parts).mean())


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
