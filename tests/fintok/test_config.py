"""How long the predictor learns: a window is not drawn so often that it is known by heart."""

import pytest

from fintok.config import PredictorConfig
from vision.config import OptimConfig

UNBOUNDED = OptimConfig(steps=10**9, batch_size=10)


def draws(config: PredictorConfig, num_windows: int, draws_to_see_all: float) -> tuple[float, float, float]:
    """Of each window: with (assets, the coming patch, blocks) hidden."""
    steps, shares = config.schedule(num_windows, draws_to_see_all)
    asset, forecast, block = (share * steps * config.optim.batch_size / num_windows for share in shares)
    return asset, forecast, block


def test_a_window_is_drawn_as_often_as_asked() -> None:
    asset, forecast, block = draws(PredictorConfig(max_passes=20.0, optim=UNBOUNDED), 1000, 1.0)
    assert (asset, forecast, block) == pytest.approx((5.0, 13.0, 2.0))


def test_more_assets_give_more_draws_of_hidden_assets_and_blocks_and_none_of_the_coming_patch() -> None:
    asset, forecast, block = draws(PredictorConfig(max_passes=20.0, optim=UNBOUNDED), 1000, 8.0)
    assert (asset, forecast, block) == pytest.approx((40.0, 13.0, 16.0))


def test_the_steps_asked_for_are_the_most() -> None:
    config = PredictorConfig(max_passes=20.0, optim=OptimConfig(steps=50, batch_size=10))
    assert config.schedule(1000, 1.0) == (50, pytest.approx((0.25, 0.65, 0.1)))
    steps, (asset, forecast, block) = config.schedule(20, 40.0)
    assert steps == 50
    assert forecast == pytest.approx(0.65 * 20.0 * 20 / 500)  # no more of them for it
    assert asset / block == pytest.approx(2.5)
    assert asset + forecast + block == pytest.approx(1.0)


def test_only_the_coming_patch_hidden() -> None:
    config = PredictorConfig(asset_share=0.0, forecast_share=1.0, block_share=0.0, optim=UNBOUNDED)
    assert config.schedule(100, 5.0) == (200, (0.0, 1.0, 0.0))


def test_nothing_but_blocks_hidden() -> None:
    config = PredictorConfig(asset_share=0.0, forecast_share=0.0, block_share=1.0, optim=UNBOUNDED)
    assert config.schedule(100, 1.5) == (300, (0.0, 0.0, 1.0))
