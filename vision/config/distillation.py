"""Configurations of self-distillation (DINO, iBOT, DINOv2), as those of ``methods``; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vision.config.model import require
from vision.strict import check_choices


@dataclass(frozen=True, kw_only=True)
class DINOConfig:
    """DINO (Caron et al. 2021). Fractions are of the whole run, where the paper counts epochs."""

    num_prototypes: int = 65536
    """Classes that the head tells apart; paper: 65536."""
    hidden_dim: int = 2048
    """Width of the head's hidden layers; paper: 2048."""
    bottleneck_dim: int = 256
    """Width of the head's last layer before the prototypes; paper: 256."""
    head_layers: int = 3
    """Layers of the head before the prototypes; paper: 3."""
    norm_last_layer: bool = True
    """Keep prototypes at length 1; paper: false for ViT-S, true for ViT-B."""
    student_temperature: float = 0.1
    """Of the student's softmax; paper: 0.1."""
    teacher_temperature: float = 0.04
    """Of the teacher's softmax at the start; paper: 0.04."""
    final_teacher_temperature: float = 0.04
    """Official default: 0.04; ViT-B: 0.07."""
    temperature_warmup: float = 0.3
    """Fraction of the run; paper: 30 epochs of 100."""
    center_momentum: float = 0.9
    """Share of the old centre that each step keeps; paper: 0.9."""
    momentum: float = 0.996
    """Share of its old weights that the teacher keeps, at the start; paper: 0.996."""
    final_momentum: float = 1.0
    """The teacher's momentum at the end, on a cosine; paper: 1.0."""
    freeze_last_layer: float = 0.01
    """Fraction of the run; paper: 1 epoch of 100 (ViT-B: 3)."""

    def __post_init__(self) -> None:
        _check_distillation(self)


@dataclass(frozen=True, kw_only=True)
class DINOv2Config:
    """DINOv2 (Oquab et al. 2023). Fractions are of the whole run; "paper" is the recipe of ViT-L/14 and ViT-g/14."""

    num_prototypes: int = 131072
    """Classes that the CLS head tells apart; paper: 131072."""
    patch_prototypes: int = 131072
    """Classes that the patch head tells apart; paper: 131072."""
    hidden_dim: int = 2048
    """Width of the head's hidden layers; paper: 2048."""
    bottleneck_dim: int = 384
    """Width of the CLS head's last layer before the prototypes; paper: 384."""
    patch_bottleneck_dim: int = 256
    """Width of the patch head's last layer before the prototypes; paper: 256."""
    head_layers: int = 3
    """Layers of the head before the prototypes; paper: 3."""
    shared_head: bool = False
    """The CLS head serves patches too; paper: false, official short recipe: true."""
    assignment: Literal["sinkhorn_knopp", "centering"] = "sinkhorn_knopp"
    """How the teacher's targets are kept apart; paper: sinkhorn_knopp, short recipe: centering."""
    student_temperature: float = 0.1
    """Of the student's softmax; paper: 0.1."""
    teacher_temperature: float = 0.04
    """Of the teacher's softmax at the start; paper: 0.04."""
    final_teacher_temperature: float = 0.07
    """Of the teacher's softmax after the warm-up; paper: 0.07."""
    temperature_warmup: float = 0.06
    """Fraction of the run; paper: 30 epochs of 500, short recipe: 30 of 100."""
    center_momentum: float = 0.9
    """Share of the old centre that each step keeps; paper: 0.9."""
    momentum: float = 0.994
    """Share of its old weights that the teacher keeps, at the start; paper: 0.994, short recipe: 0.992."""
    final_momentum: float = 1.0
    """The teacher's momentum at the end, on a cosine; paper: 1.0."""
    cls_weight: float = 1.0
    """Weight of the loss of the image (CLS); paper: 1."""
    patch_weight: float = 1.0
    """Weight of the loss of the masked patches; paper: 1."""
    koleo_weight: float = 0.1
    """Weight of KoLeo, which keeps the features of a batch apart; paper: 0.1."""
    freeze_last_layer: float = 0.002
    """Fraction of the run; paper: 1 epoch of 500."""

    def __post_init__(self) -> None:
        for name in ("patch_prototypes", "patch_bottleneck_dim"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("cls_weight", "patch_weight", "koleo_weight"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        _check_distillation(self)


@dataclass(frozen=True, kw_only=True)
class IBOTConfig:
    """iBOT (Zhou et al. 2022). Fractions are of the whole run, where the paper counts epochs."""

    num_prototypes: int = 8192
    """Classes that the head tells apart; paper: 8192."""
    hidden_dim: int = 2048
    """Width of the head's hidden layers; paper: 2048."""
    bottleneck_dim: int = 256
    """Width of the head's last layer before the prototypes; paper: 256."""
    head_layers: int = 3
    """Layers of the head before the prototypes; paper: 3."""
    norm_last_layer: bool = True
    """Keep prototypes at length 1; paper: false for ViT-S, true for ViT-B."""
    shared_head: bool = True
    """One head for CLS and patches; paper: true."""
    student_temperature: float = 0.1
    """Of the student's softmax; paper: 0.1."""
    teacher_temperature: float = 0.04
    """Of the teacher's softmax at the start, CLS and patches; paper: 0.04."""
    final_teacher_temperature: float = 0.07
    """Of the teacher's softmax after the warm-up; paper: 0.07."""
    temperature_warmup: float = 0.3
    """Fraction of the run; paper: 30 epochs."""
    center_momentum: float = 0.9
    """Share of the old centre that each step keeps; paper: 0.9."""
    momentum: float = 0.996
    """Share of its old weights that the teacher keeps, at the start; paper: 0.996."""
    final_momentum: float = 1.0
    """The teacher's momentum at the end, on a cosine; paper: 1.0."""
    cls_weight: float = 1.0
    """Weight of the loss of the image (CLS); paper: 1."""
    patch_weight: float = 1.0
    """Weight of the loss of the masked patches; paper: 1."""
    freeze_last_layer: float = 0.01
    """Fraction of the run; paper: 1 epoch of 100 (ViT-B: 3)."""

    def __post_init__(self) -> None:
        _check_distillation(self)


def _check_distillation(config: DINOConfig | DINOv2Config | IBOTConfig) -> None:
    """The fields that the self-distillation methods share."""
    check_choices(config)
    for name in ("num_prototypes", "hidden_dim", "bottleneck_dim", "head_layers"):
        require(getattr(config, name) >= 1, config, name, "at least 1")
    for name in ("student_temperature", "teacher_temperature", "final_teacher_temperature"):
        require(getattr(config, name) > 0, config, name, "a positive number")
    for name in ("temperature_warmup", "center_momentum", "momentum", "final_momentum", "freeze_last_layer"):
        require(0 <= getattr(config, name) <= 1, config, name, "a number in [0, 1]")
