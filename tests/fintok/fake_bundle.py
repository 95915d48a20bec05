"""A bundle without a network: causal functions of the returns that look like what a trained one gives."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fintok.expected_size import size_predictors
from fintok.memory import Recall
from fintok.panel import Panel
from fintok.signature import market_return
from fintok.trailing import trailing_moments

NUM_CODES = 12
HISTORY = 40


class FakeSurprise(NamedTuple):
    surprise: np.ndarray
    expected: np.ndarray
    deviation: np.ndarray
    distance: np.ndarray


def fake_forecast(panel: Panel) -> np.ndarray:
    """A bump over the codes whose place is the market's recent volatility; (T, C), NaN rows at the start."""
    market = np.nan_to_num(market_return(panel.returns))[:, None]
    past = trailing_moments(np.abs(np.concatenate([market, market[-1:]])), half_life=6, min_count=HISTORY)
    level = np.log(past.mean[1:, 0] / 0.01)  # shifted by one row: day t counts in its own forecast
    centre = np.clip((level + 1.5) * 4.0, 0.0, NUM_CODES - 1.0)
    width = 2.5  # the second principal component is a third of the first, as in real forecasts
    bump = np.exp(-0.5 * ((np.arange(NUM_CODES) - centre[:, None]) / width) ** 2)
    return (bump / bump.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass
class FakeBundle:
    """Trained on `training`, a panel that ends at train_end."""

    training: Panel
    calls: list[str] = field(default_factory=list)
    bar_fields: tuple[str, ...] = ("volume",)
    fingerprint: str = "fake"

    @property
    def train_end(self) -> np.datetime64:
        return self.training.dates[-1]

    @property
    def training_forecast(self) -> np.ndarray:
        return fake_forecast(self.training).astype(np.float16).astype(np.float32)

    @property
    def training_dates(self) -> np.ndarray:
        return self.training.dates

    @property
    def training_returns_market(self) -> np.ndarray:
        return market_return(self.training.returns)

    @property
    def training_sizes(self) -> np.ndarray:
        return size_predictors(self.training)

    def forecast(self, panel: Panel, since: int = 0) -> np.ndarray:
        self.calls.append(f"forecast since {since}" if since else "forecast")
        return fake_forecast(panel)

    def recall(self, panel: Panel) -> Recall:
        """It remembers nothing."""
        return Recall()

    def surprise(self, panel: Panel, since: int = 0) -> FakeSurprise:
        self.calls.append(f"surprise since {since}" if since else "surprise")
        residual = panel.returns - market_return(panel.returns)[:, None]
        scale = trailing_moments(np.abs(residual), half_life=60, min_count=HISTORY).mean
        residual = residual / np.where(scale > 0, scale, np.nan)
        squares = np.nan_to_num(residual) ** 2
        surprise = np.where(np.isfinite(residual), 2.0 + 0.5 * squares, np.nan)
        known = np.where(np.isfinite(residual), 1.0, np.nan)
        arrays = (surprise, 2.5 * known, known, np.abs(residual) + 0.1)
        read = np.arange(panel.num_days)[:, None] >= since
        return FakeSurprise(*(np.where(read, a, np.nan).astype(np.float32) for a in arrays))


def make_panel(returns: np.ndarray, *, start: str = "2000-01-03", fields: dict | None = None) -> Panel:
    """A panel of daily prices (seven-day weeks) from log returns (T, A), assets named A00, A01, ..."""
    num_days, num_assets = returns.shape
    return Panel(
        returns=returns,
        dates=np.datetime64(start, "ns") + np.arange(num_days) * np.timedelta64(1, "D"),
        assets=tuple(f"A{a:02d}" for a in range(num_assets)),
        prices=100.0 * np.exp(np.nancumsum(returns, axis=0)),
        fields=fields or {},
        values="prices",
        source="simulated",
    )


def simulate_returns(num_days: int = 2400, num_assets: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log returns (T, A) of a one-factor market whose volatility is 0.5, 1 or 3 %, and that state (T,)."""
    rng = np.random.default_rng(seed)
    state, states = 0, np.empty(num_days, dtype=int)
    for day in range(num_days):
        if rng.random() < 1 / 120:
            state = int(rng.choice([s for s in range(3) if s != state]))
        states[day] = state
    volatility = np.array([0.005, 0.01, 0.03])[states]
    market = volatility * rng.standard_normal(num_days)
    own = 0.7 * volatility[:, None] * rng.standard_t(5, (num_days, num_assets))
    return market[:, None] + own, states


def with_noise_after(panel: Panel, row: int, seed: int = 1) -> Panel:
    """The same panel up to and including `row`; wild returns after it."""
    returns = panel.returns.copy()
    rng = np.random.default_rng(seed)
    returns[row + 1 :] = 0.2 * rng.standard_normal(returns[row + 1 :].shape)
    return make_panel(returns, start=str(panel.dates[0]))


def permuted(panel: Panel, order: np.ndarray) -> Panel:
    """The same assets in another order."""
    return panel.select([panel.assets[a] for a in order])
