"""Configuration of the optimiser: each paper's rules for rate, decay and clipping; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from vision.config.model import require
from vision.strict import check_choices


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with linear warm-up, then half a cosine or steps; one step is one weight update.

    A step of several passes (``accumulate``) is that of one batch as large: gradients, centres and codebooks move by
    the sums over all passes and processes. What looks at a pass by itself does not add up: Sinkhorn-Knopp, a
    codebook's start, codes brought back to life, the online tokenizer's use of codes, and, in each process by itself
    too, KoLeo, stochastic depth and the dVAE's noise. Where pixels are missing, passes weigh by the places of one term,
    and two add up but nearly: the dVAE's KL (weighed by pixels) and VQ-KD's error of pixels (by patches).
    """

    steps: int = 10_000
    """Weight updates of the whole run."""
    batch_size: int = 64
    """Samples per forward pass and process."""
    learning_rate: float = 1e-3
    """Peak, at reference_batch samples per step."""
    reference_batch: int | None = None
    """None = the rate is absolute; MAE, DINO, iBOT 256, SimMIM 512, VQ-KD 128."""
    scaling: Literal["linear", "sqrt"] = "linear"
    """Of the rate with the samples per step; DINOv2: sqrt."""
    min_learning_rate: float = 1e-6
    """Never scaled."""
    warmup_steps: int = 500
    """Over which the rate rises from 0."""
    decay_share: float = 1.0
    """Of the run, over which the rate falls to the minimum, where it stays; DALL-E's dVAE 0.4."""
    drop_at: tuple[float, ...] = ()
    """Shares of the run at which the rate falls to a tenth; () = cosine; SimMIM 7/8."""
    layer_decay: float = 1.0
    """Factor per block below the last; DINOv2 0.9."""
    embed_rate: float = 1.0
    """Factor of the patch embedding's rate; DINOv2 0.2."""
    weight_decay: float = 0.05
    """MAE, BEiT 0.05; DINO, iBOT 0.04."""
    final_weight_decay: float | None = None
    """None = constant; DINO, iBOT 0.4, on a cosine."""
    undecayed: tuple[str, ...] = ()
    """Parts of names without decay beside all vectors; BEiT: cls_token."""
    betas: tuple[float, float] = (0.9, 0.999)
    """VQ-KD (0.9, 0.99), MAE (0.9, 0.95)."""
    clip_norm: float | None = None
    """Of the gradient; BEiT, DINO, iBOT, DINOv2 3.0, SimMIM 5.0."""
    clip: Literal["global", "module", "tensor"] = "global"
    """What the norm is of; DINO, iBOT tensor, DINOv2 module."""
    accumulate: int = 1
    """Forward passes per step."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of the network's arithmetic."""
    compile: bool = False
    """Compile the step (torch.compile): a minute or more at the start, faster then; numbers differ by rounding, and
    what is random inside a step is drawn otherwise."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("steps", "batch_size", "accumulate"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "warmup_steps", "embed_rate"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        require(self.reference_batch is None or self.reference_batch >= 1, self, "reference_batch", "at least 1")
        require(all(0 < share < 1 for share in self.drop_at), self, "drop_at", "shares of the run in (0, 1)")
        require(0 < self.decay_share <= 1, self, "decay_share", "a share in (0, 1]")
        require(0 < self.layer_decay <= 1, self, "layer_decay", "a number in (0, 1]")
        require(all(0 <= beta < 1 for beta in self.betas), self, "betas", "two numbers in [0, 1)")
        require(self.clip_norm is None or self.clip_norm > 0, self, "clip_norm", "a positive number or null")

    def at_batch(self, samples: int) -> OptimConfig:
        """With the rate that ``samples`` per step ask for, absolute."""
        if self.reference_batch is None:
            return self
        ratio = samples / self.reference_batch
        factor = ratio if self.scaling == "linear" else math.sqrt(ratio)
        return replace(self, learning_rate=self.learning_rate * factor, reference_batch=None)
