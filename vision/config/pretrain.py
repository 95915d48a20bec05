"""Configuration of one run of ``fintok vision pretrain``: values only; no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from vision.config.distillation import DINOConfig, DINOv2Config, IBOTConfig
from vision.config.methods import (
    BEiT2Config,
    BEiTConfig,
    DVAEConfig,
    MAEConfig,
    OnlineTokenizerConfig,
    SimMIMConfig,
    VQKDConfig,
)
from vision.config.model import ViTConfig, require
from vision.config.optim import OptimConfig
from vision.config.views import ImagesConfig, MaskConfig, ViewsConfig
from vision.strict import ConfigError, to_dict


class Needs(NamedTuple):
    """What a method wants beside images."""

    is_masked: bool  # hidden patches, of the global views
    parent: Literal["teacher", "tokenizer"] | None = None  # the run it builds on
    num_views: int = 1  # of an image, at least


NEEDS: Mapping[str, Needs] = {
    "mae": Needs(is_masked=True),
    "simmim": Needs(is_masked=True),
    "dvae": Needs(is_masked=False),
    "beit": Needs(is_masked=True, parent="tokenizer"),
    "vqkd": Needs(is_masked=False, parent="teacher"),
    "beit2": Needs(is_masked=True, parent="tokenizer"),
    "dino": Needs(is_masked=False, num_views=2),
    "ibot": Needs(is_masked=True, num_views=2),
    "dinov2": Needs(is_masked=True, num_views=2),
    "online_tokenizer": Needs(is_masked=True),
}
"""A new method is one line here, one field of PretrainConfig, and its recipe ``configs/vision/small``."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """A method, what it is shown, the network and its training. Of the methods' own sections, one is used."""

    method: str = ""
    """Which one: the name of a file of vision/methods."""
    seed: int = 0
    """Of weights, order of images, views and masks."""
    images: ImagesConfig = field(default_factory=ImagesConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    encoder: ViTConfig = field(default_factory=ViTConfig)  # channels, and the most rows and columns, are the data's
    optim: OptimConfig = field(default_factory=OptimConfig)
    log_every: int = 25
    """Steps between rows of figures."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    num_workers: int = 0
    """Processes that read and decode images; changes no number."""
    mae: MAEConfig = field(default_factory=MAEConfig)
    simmim: SimMIMConfig = field(default_factory=SimMIMConfig)
    dvae: DVAEConfig = field(default_factory=DVAEConfig)
    beit: BEiTConfig = field(default_factory=BEiTConfig)
    vqkd: VQKDConfig = field(default_factory=VQKDConfig)
    beit2: BEiT2Config = field(default_factory=BEiT2Config)
    dino: DINOConfig = field(default_factory=DINOConfig)
    ibot: IBOTConfig = field(default_factory=IBOTConfig)
    dinov2: DINOv2Config = field(default_factory=DINOv2Config)
    online_tokenizer: OnlineTokenizerConfig = field(default_factory=OnlineTokenizerConfig)

    def __post_init__(self) -> None:
        check_method(self.method)
        require(0 <= self.seed < 2**64, self, "seed", "a number from 0 to 2 ** 64 - 1")
        for name in ("log_every", "checkpoint_every"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(self.num_workers >= 0, self, "num_workers", "0 or more")
        steps, warmup = self.optim.steps, self.optim.warmup_steps
        if warmup >= steps:
            raise ConfigError(
                f"optim.warmup_steps is {warmup}, expected fewer than optim.steps, {steps}: lower it as well; "
                "--max-steps alone shortens both"
            )
        is_unscaled = (set(self.images.mean or ()), set(self.images.std or ())) == ({0}, {1})
        if self.method == "dvae" and self.dvae.likelihood == "logit_laplace" and not is_unscaled:
            raise ConfigError(
                "dvae.likelihood logit_laplace is of pixels in [0, 1], expected images.mean 0 and images.std 1: "
                "give --images.mean 0 --images.std 1, both once a channel, or another likelihood"
            )

    @property
    def needs(self) -> Needs:
        """What the method wants beside images."""
        return NEEDS[self.method]

    def values(self) -> dict[str, Any]:
        """As plain values, without the sections of other methods: what YAML takes."""
        return {key: value for key, value in to_dict(self).items() if key not in NEEDS or key == self.method}


def check_method(name: str) -> None:
    """ConfigError that lists the methods, unless ``name`` is one; empty = not chosen yet."""
    if name and name not in NEEDS:
        nearest = difflib.get_close_matches(name.lower(), NEEDS, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ConfigError(f"unknown method {name!r}; {hint}known methods: {', '.join(NEEDS)}")
