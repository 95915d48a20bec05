"""ReturnImager: a panel as an image. Rows are assets, columns dates, channels point-in-time features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fintok import channels as features
from fintok.config import PretrainConfig
from fintok.errors import InputError
from fintok.panel import Panel

CHANNELS = ("return", "volatility", "slow_volatility", "market", "market_volatility", "rank", "residual")
CROSS_SECTIONAL = ("market", "market_volatility", "rank", "residual")  # each asset's numbers tell of the others
BAR_CHANNELS = {  # what they need beside prices
    "range": ("high", "low"),
    "gap": ("open", "close"),
    "volume": ("volume",),
}


@dataclass(frozen=True, eq=False)
class ReturnImages:
    """The image of a whole panel; windows of it are cut where they are needed."""

    values: NDArray[np.float32]  # (C, A, T) contiguous; 0 where not observed
    observed: NDArray[np.bool_]  # (A, T) the return is known and its scale as well
    dates: NDArray[np.datetime64]  # (T,)
    assets: tuple[str, ...]  # A names
    channel_names: tuple[str, ...]  # C names
    scale: NDArray[np.float32]  # (A, T) slow scale before each date, in units of return; NaN = none

    @property
    def num_assets(self) -> int:
        return len(self.assets)

    @property
    def num_days(self) -> int:
        return len(self.dates)

    def channel(self, name: str) -> NDArray[np.float32]:
        """One channel (A, T), a view."""
        if name not in self.channel_names:
            raise InputError(f"there is no channel {name!r}; the image has {', '.join(self.channel_names)}")
        return self.values[self.channel_names.index(name)]

    def __repr__(self) -> str:
        return (
            f"ReturnImages({len(self.channel_names)} channels x {self.num_assets} assets x {self.num_days} "
            f"days, {100.0 * self.observed.mean() if self.observed.size else 0.0:.1f} % observed)"
        )


class ReturnImager:
    """Turns returns into channels, all from the past of each date: ``transform(panel[:t])`` is
    ``transform(panel)`` up to t, bit for bit.

    With r the return, the scale s is 1.2533 times the mean of abs(r) over all earlier dates (an expanding
    scale keeps the level of volatility, which regimes are made of; a trailing one strips it), and x = r / s:

    - ``return``: asinh(x), linear for ordinary days and logarithmic for extreme ones
    - ``volatility``: log of the decayed mean of abs(r), half-life `fast_days`, over s
    - ``slow_volatility``: the same with `slow_days`
    - ``market``: asinh of the mean of x over the assets observed that day, the same for all of them
    - ``market_volatility``: log of the decayed mean of abs(x) over all assets, half-life `fast_days`
    - ``rank``: of x among the assets observed that day, from -1 to 1
    - ``residual``: asinh(x - beta m), m the market's mean and beta that of all earlier days, shrunk to 1
    - with bars: ``range`` (log of high/low over s), ``gap`` (asinh, last close to open), ``volume`` (log,
      against its decayed mean)

    An asset is not observed on a date without a return, on the dates of its first `min_observations` returns,
    and while it has never moved; all channels are 0 there. A bar channel is 0 also where its own column is
    missing. A gap in an asset's history leaves its scale as it was.

    Parameters
    ----------
    channels : names from the list above, in the order they are stacked.
    fast_days, slow_days : half-lives in rows of the panel.
    min_observations : returns an asset needs before its scale counts.
    """

    def __init__(
        self,
        channels: Sequence[str] = CHANNELS,
        *,
        fast_days: float = 10.0,
        slow_days: float = 126.0,
        min_observations: int = 20,
    ) -> None:
        self.channels = channels
        self.fast_days = fast_days
        self.slow_days = slow_days
        self.min_observations = min_observations

    def fit(self, panel: Panel) -> Self:
        """Check the parameters, and that the training rows can give an image; nothing else is learned.

        Every statistic here is a function of each date's own past, so that there is nothing to carry over
        from training rows. Raises InputError for an unknown channel, for one whose column the panel lacks,
        and for a panel in which no asset has more than `min_observations` returns.
        """
        self._check()
        for name in self.channels:
            missing = [column for column in BAR_CHANNELS.get(name, ()) if column not in panel.fields]
            if missing:
                raise InputError(f"{panel.source}: channel {name!r} needs a column {missing[0]!r}")
        if not features.scaled_returns(panel, self.min_observations).observed.any():
            raise InputError(
                f"{panel.source}: no asset has more than {self.min_observations} returns that move, "
                "so there is nothing to learn from; give a longer panel"
            )
        return self

    def transform(self, panel: Panel, past: features.Past | None = None) -> ReturnImages:
        """The image of a panel, which may have any assets and any dates; `past` is what is known from before them."""
        self._check()
        data = features.scaled_returns(panel, self.min_observations, past)
        values = np.zeros((len(self.channels), panel.num_assets, panel.num_days), dtype=np.float32)
        for place, name in enumerate(self.channels):
            if all(column in panel.fields for column in BAR_CHANNELS.get(name, ())):
                values[place] = np.where(data.observed, self._channel(name, panel, data), 0.0).T
        return ReturnImages(
            values=values,
            observed=np.ascontiguousarray(data.observed.T),
            dates=panel.dates,
            assets=panel.assets,
            channel_names=tuple(self.channels),
            scale=np.ascontiguousarray(np.where(data.observed, data.scale, np.nan).T, dtype=np.float32),
        )

    def _channel(self, name: str, panel: Panel, data: features.ScaledReturns) -> NDArray[np.float64]:
        match name:
            case "return":
                return np.arcsinh(data.scaled)
            case "volatility":
                return features.relative_volatility(data, self.fast_days)
            case "slow_volatility":
                return features.relative_volatility(data, self.slow_days)
            case "market":
                return np.broadcast_to(np.arcsinh(data.market), data.scaled.shape)
            case "market_volatility":
                return np.broadcast_to(features.market_volatility(data, self.fast_days), data.scaled.shape)
            case "rank":
                return features.cross_rank(data.scaled, data.observed)
            case "residual":
                return np.arcsinh(features.market_residual(data))
            case "range":
                return features.relative_range(panel, data)
            case "gap":
                return np.arcsinh(features.opening_gap(panel, data))
            case _:
                return features.relative_volume(panel, self.slow_days, self.min_observations)

    def _check(self) -> None:
        known = (*CHANNELS, *BAR_CHANNELS)
        for name in self.channels:
            if name not in known:
                raise InputError(f"there is no channel {name!r}; choose among {', '.join(known)}")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise InputError(f"channels are {tuple(self.channels)}, expected one or more different names")
        if not 0.0 < self.fast_days < self.slow_days:
            days = f"fast_days is {self.fast_days} and slow_days {self.slow_days}"
            raise InputError(f"{days}, expected 0 < fast < slow")
        if self.min_observations < 1:
            raise InputError(f"min_observations is {self.min_observations}, expected at least 1")


def imager(config: PretrainConfig) -> ReturnImager:
    """The imager of a configuration."""
    imaging = config.imaging
    return ReturnImager(
        imaging.channels,
        fast_days=imaging.fast_days,
        slow_days=imaging.slow_days,
        min_observations=imaging.min_observations,
    )
