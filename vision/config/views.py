"""Configurations of what a method is shown: images, crops, colours, masks; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vision.config.model import require
from vision.strict import check_choices


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """How images are read and brought to one size and scale."""

    size: tuple[int, int] | None = None
    """Pixels (height, width) that the network sees; None = the images' own."""
    shorter_side: int | None = None
    """Pixels that an image's shorter side is scaled down to before it is cropped; None = 8/7 of the longer of size."""
    mean: tuple[float, ...] | None = None
    """Per channel, of values in [0, 1] where files hold bytes; None = measured."""
    std: tuple[float, ...] | None = None
    """As mean; ImageNet: (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)."""
    label_column: str | None = None
    """Of a Parquet table, key of a tar's .json or an .npz; None = label."""
    max_unreadable: float = 0.01
    """Share of images that may be unreadable: they are named and left out."""

    def __post_init__(self) -> None:
        require(self.size is None or min(self.size) >= 1, self, "size", "two positive numbers (height, width)")
        least = max(self.size or (1,))
        require(
            self.shorter_side is None or (self.size is not None and self.shorter_side >= least),
            self,
            "shorter_side",
            f"at least {least}, beside a size",
        )
        require(self.std is None or min(self.std) > 0, self, "std", "positive numbers")
        require((self.mean is None) == (self.std is None), self, "std", "given together with mean")
        require(0 <= self.max_unreadable < 1, self, "max_unreadable", "a share in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ColorConfig:
    """Changes of colour, on RGB bytes alone (files, uint8 arrays); as it stands, none.

    Where there are three probabilities they are of the first global, the other global and the local views.
    """

    jitter: float = 0.0
    """Probability; DINO, iBOT, DINOv2 0.8, BEiT 1."""
    brightness: float = 0.4
    """Factor in [1 - 0.4, 1 + 0.4]; all papers 0.4."""
    contrast: float = 0.4
    """As brightness; all papers 0.4."""
    saturation: float = 0.2
    """As brightness; DINO, iBOT, DINOv2 0.2, BEiT 0.4."""
    hue: float = 0.1
    """Turn in [-0.1, 0.1] of the circle; DINO, iBOT, DINOv2 0.1, BEiT 0."""
    grayscale: float = 0.0
    """Probability; DINO, iBOT, DINOv2 0.2."""
    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Probabilities of the first global, the other global, the local views; DINO, iBOT, DINOv2 (1, .1, .5)."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Pixels; DINO, iBOT, DINOv2, at 224 pixels."""
    solarize: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Probabilities as of blur; DINO, iBOT, DINOv2 (0, .2, 0)."""

    def __post_init__(self) -> None:
        for name in ("jitter", "grayscale"):
            require(0 <= getattr(self, name) <= 1, self, name, "a probability")
        for name in ("blur", "solarize"):
            require(all(0 <= share <= 1 for share in getattr(self, name)), self, name, "three probabilities")
        for name in ("brightness", "contrast", "saturation"):
            require(0 <= getattr(self, name) <= 1, self, name, "a number in [0, 1]")
        require(0 <= self.hue <= 0.5, self, "hue", "a number in [0, 0.5]")
        require(0 < self.blur_sigma[0] <= self.blur_sigma[1], self, "blur_sigma", "two rising positive numbers")

    @property
    def is_used(self) -> bool:
        """Whether anything ever changes."""
        return max(self.jitter, self.grayscale, *self.blur, *self.solarize) > 0


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """Random resized crops: global ones, which masks apply to, and smaller local ones (SwAV; DINO)."""

    num_global: int = 1
    """Crops of the whole size; MAE, SimMIM, BEiT, VQ-KD 1; DINO, iBOT, DINOv2 2."""
    num_local: int = 0
    """Smaller crops; DINO, iBOT 10, DINOv2 8."""
    local_size: tuple[int, int] | None = None
    """Pixels; papers 96 x 96; None = half the image, in whole patches."""
    global_scale: tuple[float, float] = (0.2, 1.0)
    """Share of the area; MAE (.2, 1), DINO, iBOT (.25, 1)."""
    local_scale: tuple[float, float] = (0.05, 0.25)
    """As global_scale; DINO, iBOT (.05, .25), DINOv2 (.05, .32)."""
    aspect: tuple[float, float] = (0.75, 1.3333333333333333)
    """Width over height relative to the image's."""
    flip: float = 0.5
    """Probability of a horizontal flip; where columns are days: 0."""
    color: ColorConfig = field(default_factory=ColorConfig)  # MAE, SimMIM, VQ-KD none

    def __post_init__(self) -> None:
        require(self.num_global >= 1, self, "num_global", "at least 1")
        require(self.num_local >= 0, self, "num_local", "0 or more")
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            require(0 < low <= high <= 1, self, name, "two rising shares in (0, 1]")
        require(0 < self.aspect[0] <= self.aspect[1], self, "aspect", "two rising positive numbers")
        require(0 <= self.flip <= 1, self, "flip", "a probability")


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Which patches are hidden from the student."""

    kind: Literal["random", "block", "grid", "strata"] = "random"
    """MAE random, SimMIM grid, BEiT block; iBOT and DINOv2 strata: blocks of a varying ratio in some views."""
    ratio: float = 0.75
    """Share of the patches; MAE .75, SimMIM .6, BEiT 75/196; of strata the largest: iBOT, DINOv2 .5."""
    min_ratio: float = 0.1
    """Of strata; iBOT, DINOv2 .1."""
    probability: float = 0.5
    """Of strata, that a view is masked at all; iBOT, DINOv2 .5."""
    min_patches: int | None = None
    """Of a block; BEiT 16, DINOv2 4; None = the square of a third of the grid's shorter side (iBOT): 16 of 14 x 14."""
    cell: tuple[int, int] = (2, 2)
    """Patches of a cell of grid; SimMIM 2 x 2 patches of 16 pixels."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("ratio", "min_ratio"):
            require(0 < getattr(self, name) < 1, self, name, "a share in (0, 1): some patches hidden, some visible")
        require(self.kind != "strata" or self.min_ratio <= self.ratio, self, "min_ratio", f"at most {self.ratio}")
        require(0 < self.probability <= 1, self, "probability", "a probability above 0")
        require(self.min_patches is None or self.min_patches >= 1, self, "min_patches", "at least 1")
        require(min(self.cell) >= 1, self, "cell", "two positive numbers of patches")
