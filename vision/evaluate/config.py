"""Protocols of the evaluations that train something: frozen dataclasses, checked when built; no torch.

A paper's value stands beside each field. Numbers under different protocols cannot be compared: state which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vision.config.model import require
from vision.strict import check_choices

Pooling = Literal["cls", "mean", "cls+mean"]
Precision = Literal["32-true", "bf16-mixed"]

DINOV2_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
HIGHER_RATES = (0.2, 0.5, 1.0, 2.0)  # standardised features bear them, and small data sets have few steps


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """A linear probe on features that were extracted once: one head per learning rate, all trained together.

    The sweep of DINOv2 (Oquab et al. 2023, ``eval/linear.py``: SGD with momentum .9, no decay, cosine), its 13
    rates and four above. As in MAE (He et al. 2022, §A.1) each feature is standardised over the training images,
    without affine parameters. Different from both: no augmentation, and the rate is chosen on images held out of the
    training set, not on the test set.
    """

    epochs: int = 50
    """DINOv2: 12,500 steps of 1024 images, 10 epochs of ImageNet; DINO: 100."""
    batch_size: int = 1024
    """DINOv2: 1024."""
    learning_rates: tuple[float, ...] = DINOV2_RATES + HIGHER_RATES
    """For 256 images; times batch_size / 256."""
    momentum: float = 0.9
    """Of SGD."""
    holdout_ratio: float = 0.1
    """Of the training images, to choose the rate."""
    seed: int = 0
    """Of first weights, order and the images held out."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        is_right = len(self.learning_rates) > 0 and all(rate > 0 for rate in self.learning_rates)
        require(is_right, self, "learning_rates", "one or more positive numbers")
        require(0 <= self.momentum < 1, self, "momentum", "a number in [0, 1)")
        require(0 < self.holdout_ratio < 1, self, "holdout_ratio", "a share in (0, 1)")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Training the whole encoder with a classifier on top, deeper blocks faster (BEiT, MAE, iBOT).

    Not taken from the papers: mixup, cutmix and random erasing; what else changes the images is the caller's.
    """

    epochs: int = 100
    """MAE-B, BEiT-B, iBOT-B: 100."""
    batch_size: int = 256
    """Papers: 1024."""
    learning_rate: float = 5e-4
    """For 256 images; scaled by batch_size / 256; MAE-B: 5e-4."""
    min_learning_rate: float = 1e-6
    """At the end of the cosine; never scaled."""
    warmup_epochs: float = 5.0
    """MAE: 5; BEiT: 20."""
    layer_decay: float = 0.75
    """Factor per layer, from the head down; MAE-B .65, iBOT-S .75."""
    weight_decay: float = 0.05
    """Of matrices; vectors have none."""
    drop_path: float = 0.1
    """Rate of the last block; MAE-B, BEiT-B: .1."""
    label_smoothing: float = 0.1
    """Share of the target that all classes have alike."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    pooling: Literal["cls", "mean"] | None = None
    """None = as the method's paper has it."""
    precision: Precision = "32-true"
    """Of the network's arithmetic."""
    seed: int = 0
    """Of the classifier, drop path and order."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("learning_rate", "min_learning_rate", "warmup_epochs", "weight_decay"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        require(0 < self.layer_decay <= 1, self, "layer_decay", "a factor in (0, 1]")
        for name in ("drop_path", "label_smoothing"):
            require(0 <= getattr(self, name) < 1, self, name, "a number in [0, 1)")


def finetune_pooling(method: str | None, has_cls: bool) -> Literal["cls", "mean"]:
    """What a classifier reads of a fine-tuned encoder: CLS of DINO, iBOT and DINOv2, the mean patch of all others.

    MAE, SimMIM, BEiT and BEiT v2 average the patches; DINO follows DeiT, which reads CLS (§4.4), iBOT's ``run.sh`` has
    ``--use_cls``, and DINOv2 is taken as they are.
    """
    return "cls" if has_cls and method in ("dino", "ibot", "dinov2") else "mean"


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Training a semantic segmentation head on an encoder's patches (BEiT, DINOv2).

    "linear" is DINOv2's: batch norm and one weight per class on the last block's patches. "uper" is a pyramid
    of four blocks with pooled context (UPerNet, Xiao et al. 2018, on a ViT as in BEiT §A): after each quarter of them,
    where BEiT-B takes 4, 6, 8 and 12, without its auxiliary head and dropout, rates on a cosine in place of a line.
    """

    head: Literal["linear", "uper"] = "linear"
    """What reads the patches: linear (DINOv2), or a pyramid of four blocks (BEiT's UPerNet)."""
    is_encoder_frozen: bool = True
    """DINOv2's linear: true; BEiT's and iBOT's UPerNet: false."""
    hidden_dim: int = 256
    """Of the pyramid; BEiT: the encoder's width."""
    steps: int = 2000
    """BEiT: 160,000 of 16 images."""
    batch_size: int = 16
    """Images a step."""
    crop: tuple[int, int] | None = None
    """Pixels (height, width) of a training crop; None = whole images."""
    learning_rate: float = 1e-3
    """DINOv2's linear: 1e-3; BEiT-B's UPerNet: 3e-5 on the encoder."""
    encoder_learning_rate: float = 3e-5
    """Of its last layer, where the encoder trains."""
    layer_decay: float = 0.9
    """Factor from layer to layer of the encoder, where it trains; BEiT-B's UPerNet: .9, BEiT v2's: .75."""
    drop_path: float = 0.1
    """Rate of the last block, where the encoder trains; BEiT-B's UPerNet: .1."""
    warmup_steps: int = 100
    """Over which the rates rise from 0."""
    weight_decay: float = 1e-4
    """Of AdamW, on matrices; DINOv2's linear: 1e-4, BEiT-B's UPerNet: .05."""
    precision: Precision = "32-true"
    """Of the network's arithmetic."""
    seed: int = 0
    """Of the head, drop path, order and crops."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("hidden_dim", "steps", "batch_size"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("learning_rate", "encoder_learning_rate", "warmup_steps", "weight_decay"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        require(0 < self.layer_decay <= 1, self, "layer_decay", "a factor in (0, 1]")
        require(0 <= self.drop_path < 1, self, "drop_path", "a number in [0, 1)")
        least = 1 if self.head == "linear" else 2  # batch norm of pooled context: one number per image and channel
        require(self.batch_size >= least, self, "batch_size", f"at least {least} with head {self.head!r}")
        require(self.crop is None or min(self.crop) >= 1, self, "crop", "two positive numbers, or null")
