"""A desk without a network: the fake bundle reads codes too, and the desk's model is at hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from fintok.bundle import Bundle
from fintok.counterfactual import Counterfactual
from fintok.panel import Panel
from fintok.regime_result import Regimes
from fintok.score_result import Scores
from fintok.tails import TailMap
from fintok.tokenizer import Tokens
from fintok_dashboard.desk import Desk, Sources
from fintok_dashboard.reading import Pictures, Reading
from fintok_dashboard.store import Store
from tests.fintok.fake_bundle import NUM_CODES, FakeBundle, make_panel, simulate_returns

PATCH_DAYS = 5
HOSTILE = "<script>alert(1)</script>"


class FakeModel(FakeBundle):
    """Codes are the size of the last five days' move, words are pairs of codes."""

    codebook_size = NUM_CODES
    word_of_code = np.arange(NUM_CODES) // 2
    vocabulary = SimpleNamespace(
        patch_mean=np.linspace(-1.0, 1.0, NUM_CODES)[:, None] * np.ones((1, PATCH_DAYS), np.float32),
        counts=np.arange(1, NUM_CODES + 1),
    )

    def codes(self, panel: Panel) -> np.ndarray:
        self.calls.append("codes")
        path = np.nancumsum(panel.returns, axis=0)
        move = path - np.concatenate([np.zeros_like(path[:PATCH_DAYS]), path])[: len(path)]
        codes = np.clip((move / 0.05 + 0.5) * NUM_CODES, 0, NUM_CODES - 1).astype(np.int32)
        return np.where(np.isfinite(panel.returns), codes, -1)

    def words(self) -> tuple[np.ndarray, np.ndarray]:
        return self.vocabulary.patch_mean[::2], self.vocabulary.counts[::2]

    def counterfactual(self, panel: Panel, date: np.datetime64, symbol: str) -> Counterfactual:
        row, column = int(np.searchsorted(panel.dates, date)), panel.assets.index(symbol)
        days = slice(row + 1 - PATCH_DAYS, row + 1)
        seen = panel.returns[days, column]
        zero, one = np.zeros(PATCH_DAYS), np.full(PATCH_DAYS, 0.01)
        return Counterfactual(
            symbol=symbol, dates=panel.dates[days], seen=seen, expected=zero, deviation=one, code=1,
            surprise=3.0, usual=2.0, values=panel.values,
        )  # fmt: skip


class FakeDesk(Desk):
    """A desk whose model is a fake one, trained on the first part of its panel."""

    fake: FakeModel | None = None

    def bundle(self) -> Bundle:
        if self.fake is None:
            panel = self.sources.read_panel()
            self.fake = FakeModel(panel[: max(2 * panel.num_days // 3, 1)])
        return self.fake  # pyright: ignore[reportReturnType]


def market(num_days: int = 1500, num_assets: int = 8, seed: int = 0) -> Panel:
    """Simulated prices; the second asset has a hostile name, and the third a misplaced decimal."""
    returns, _ = simulate_returns(num_days, num_assets, seed)
    if num_assets > 2:
        returns[num_days - 20, 2] += np.log(10.0)
        returns[num_days - 19, 2] -= np.log(10.0)
    panel = make_panel(returns)
    names = [HOSTILE if place == 1 else name for place, name in enumerate(panel.assets)]
    return replace(panel, assets=tuple(names))


def make_desk(folder: Path, panel: Panel, **sources: Path) -> FakeDesk:
    """A desk in a folder, its store and cache there too; the panel's file exists, so that it can change."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prices.parquet"
    if not file.exists():
        file.write_bytes(b"what the panel was read from")
    given = Sources(model=folder, panel=file, read_panel=lambda: panel, cache=folder / "cache", **sources)
    return FakeDesk(given, Store.beside(folder / "store"))


def make_large_desk(folder: Path, num_days: int = 5_000, num_assets: int = 500) -> FakeDesk:
    """A desk whose scores, regimes and tokens are drawn, not read: 500 assets and 5,000 days in a moment."""
    rng = np.random.default_rng(0)
    returns, state = simulate_returns(num_days, num_assets)
    panel = make_panel(returns)
    score = rng.exponential(0.43, returns.shape) + rng.exponential(0.2, (num_days, 1))
    score[:300, ::7] = np.nan
    p_value = np.minimum(10.0 ** (-score), 1.0)
    p_value[:10] = np.nan
    codes = rng.integers(0, NUM_CODES, returns.shape).astype(np.int32)
    statistic = score.astype(np.float32)
    nothing = np.zeros(returns.shape)
    scores = Scores(
        panel=panel, score=score, p_value=p_value, levels=np.full(returns.shape, 0.001), is_alarm=p_value <= 0.001,
        alarms_per_1000=1.0,
        reason_codes=(p_value <= 0.001).astype(np.uint8), reasons=("", "jumped"), statistics={"jump": statistic},
        tails={"jump": TailMap.standard()}, expected=nothing, residual=returns / 0.01, train_end=panel.dates[3_000],
    )  # fmt: skip
    sure = np.eye(3)[state]
    names = ("calm", "normal", "stressed")
    regimes = Regimes(panel=panel, labels=state, probabilities=sure, names=names, train_end=panel.dates[3_000])
    model = FakeModel(panel)
    pictures = Pictures(np.asarray(model.vocabulary.patch_mean, np.float32), model.vocabulary.counts)
    desk = make_desk(folder, panel)
    desk.fake, desk.version = model, 1
    desk.reading = Reading(
        panel=panel, scores=scores, regimes={3: regimes},
        tokens=Tokens(codes, codes // 2, statistic, panel.dates, panel.assets, NUM_CODES, NUM_CODES // 2),
        pictures={"word": Pictures(pictures.patches[::2], pictures.counts[::2]), "code": pictures},
        findings=pd.DataFrame({"kind": [], "date": panel.dates[:0], "symbol": [], "days": []}),
        left_out=np.zeros(returns.shape, dtype=bool), groups={},
    )  # fmt: skip
    desk.reading.prepare(1.0)  # as a desk does before it shows a reading
    return desk
