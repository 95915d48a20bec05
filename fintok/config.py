"""What a pretraining run can be told: frozen dataclasses, read strictly from YAML and flags. Imports no torch.

Defaults are the recipe ``base``. A patch is one asset over ``imaging.patch_days`` rows; a window is what the
models see at once. Days are rows of the panel, whatever their frequency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from vision.config import BEiT2Config, CodebookConfig, ConfigError, IBOTConfig, OptimConfig, ViTConfig, VQKDConfig
from vision.config.model import require

STAGES = ("teacher", "tokenizer", "predictor")


@dataclass(frozen=True, kw_only=True)
class ImagingConfig:
    """How returns become an image: assets x days x channels."""

    channels: tuple[str, ...] = (
        "return",
        "volatility",
        "market",
        "market_volatility",
        "rank",
        "residual",
    )
    """Channels of the image, see fintok.imaging.ReturnImager."""
    patch_days: int = 5
    """Days of a patch: one token."""
    window_days: int = 25
    """Days that a model sees at once, a multiple of patch_days."""
    fast_days: float = 10.0
    """Half-life of the fast volatility, days."""
    slow_days: float = 126.0
    """Half-life of the slow volatility, days."""
    min_observations: int = 20
    """Returns an asset needs before it is shown."""

    def __post_init__(self) -> None:
        require(self.patch_days >= 1, self, "patch_days", "at least 1")
        is_whole = self.window_days % self.patch_days == 0 and self.window_days >= 3 * self.patch_days
        require(is_whole, self, "window_days", f"a multiple of patch_days = {self.patch_days}, at least three patches")
        require("return" in self.channels, self, "channels", "the channel 'return' among them")

    @property
    def num_columns(self) -> int:
        """Patches of a window along time."""
        return self.window_days // self.patch_days


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A small vision transformer."""

    dim: int = 64
    """Width of a token."""
    depth: int = 4
    """Blocks; even ones attend over assets, odd ones over time."""
    heads: int = 4
    """Attention heads, a divisor of dim."""
    mlp_ratio: float = 4.0
    """Width of the hidden layer over dim."""

    def __post_init__(self) -> None:
        require(self.dim % (2 * self.heads) == 0, self, "dim", f"a multiple of twice heads = {self.heads}")

    def window(self, imaging: ImagingConfig, num_channels: int, *, has_cls: bool) -> ViTConfig:
        """Axial attention over the window; assets are a set, time has a learned position."""
        return ViTConfig(
            patch_size=(1, imaging.patch_days),
            in_channels=num_channels,
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            attention="axial",
            row_position="none",
            column_position="learned",
            max_columns=imaging.num_columns,
            has_cls=has_cls,
            observed_channel=True,
        )

    def patch(self, imaging: ImagingConfig, num_channels: int) -> ViTConfig:
        """Every patch by itself: what a token says depends on its own days alone."""
        window = self.window(imaging, num_channels, has_cls=False)
        return replace(window, scope="patch", column_position="none")


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """Stage 1: iBOT self-distillation on crops of return images."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    method: IBOTConfig = field(
        default_factory=lambda: IBOTConfig(
            num_prototypes=512, hidden_dim=256, bottleneck_dim=64, momentum=0.99, final_teacher_temperature=0.05
        )
    )
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            steps=300, batch_size=16, learning_rate=1e-3, warmup_steps=50, weight_decay=0.04, clip_norm=3.0
        )
    )
    num_local_crops: int = 4
    """Local crops a window; global ones are always two."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Stage 2: VQ-KD, the tokenizer and its codebook."""

    channels: tuple[str, ...] = ("return", "market")
    """Channels of the image that a token speaks of."""
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(depth=2))
    method: VQKDConfig = field(
        default_factory=lambda: VQKDConfig(
            codebook=CodebookConfig(num_codes=512, dim=32, revive_after=50),
            decoder_depth=2,
            target="both",
            feature_weight=0.1,
        )
    )
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            steps=1200, batch_size=32, learning_rate=2e-3, warmup_steps=50, weight_decay=1e-4, betas=(0.9, 0.99)
        )
    )
    num_words: int = 64
    """Coarse codes: the codebook merged by likeness."""

    def __post_init__(self) -> None:
        require("return" in self.channels, self, "channels", "the channel 'return' among them")
        is_coarser = 2 <= self.num_words <= self.method.codebook.num_codes
        require(is_coarser, self, "num_words", "from 2 to the number of codes")


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Stage 3: masked modelling of the tokens, p(code | what is visible)."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    method: BEiT2Config = field(
        default_factory=lambda: BEiT2Config(early_layer=3, aggregation_depth=0, codebook_head=True)
    )
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            steps=2000, batch_size=72, learning_rate=4e-3, warmup_steps=100, betas=(0.9, 0.98), clip_norm=3.0
        )
    )
    max_passes: float = 20.0
    """Times that a training window is drawn, at most: a short history gets fewer steps, before it is known by heart.
    Draws with assets or blocks hidden are counted an asset, and a large panel, of which a draw sees a few, has more."""
    asset_share: float = 0.25
    """Share of training windows in which a quarter of the assets is hidden for the last two patches."""
    forecast_share: float = 0.65
    """Share in which the last patch of all assets is hidden."""
    block_share: float = 0.1
    """Share in which blocks of assets x days are hidden."""

    def __post_init__(self) -> None:
        require(self.max_passes > 0, self, "max_passes", "a positive number")
        total = self.asset_share + self.forecast_share + self.block_share
        require(abs(total - 1.0) < 1e-6, self, "block_share", f"the three shares to sum to 1, they sum to {total:g}")

    def schedule(self, num_windows: int, draws_to_see_all: float) -> tuple[int, tuple[float, float, float]]:
        """Steps, and the shares of (asset, forecast, block) draws in them.

        num_windows : ends of windows that there are to draw.
        draws_to_see_all : assets of the panel over assets of a draw, 1 or more. What the coming patch of one asset
            says is much what those of the others say, so draws with it hidden are counted a window; what one asset
            tells of another has to be learned of each.
        """
        other_share = self.asset_share + self.block_share
        forecasts = self.max_passes * self.forecast_share * num_windows
        others = self.max_passes * other_share * num_windows * draws_to_see_all
        draws = min(forecasts + others, self.optim.steps * self.optim.batch_size)
        forecast = min(self.forecast_share, forecasts / draws)
        rest = (1.0 - forecast) / other_share if other_share else 0.0
        steps = math.ceil(draws / self.optim.batch_size)
        return steps, (self.asset_share * rest, forecast, self.block_share * rest)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One pretraining run."""

    seed: int = 0
    """Of weights, crops, masks and order: the same seed gives the same bundle."""
    max_assets: int = 12
    """Assets drawn per training window from a larger panel; reading takes them all."""
    level_jitter: float = 0.35
    """Standard deviation of the log factor by which a training window's returns are scaled as a whole."""
    imaging: ImagingConfig = field(default_factory=ImagingConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**62, self, "seed", "a number from 0 to 2 ** 62 - 1")  # stages multiply it
        require(self.max_assets >= 4, self, "max_assets", "at least 4")
        require(self.level_jitter >= 0, self, "level_jitter", "0 or more")
        unknown = [name for name in self.tokenizer.channels if name not in self.imaging.channels]
        if unknown:
            raise ConfigError(f"tokenizer.channels has {unknown[0]!r}, which is not among imaging.channels")
