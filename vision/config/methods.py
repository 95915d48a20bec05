"""Configurations of the methods: what each paper lets one choose, its own value beside it; no torch.

Those of self-distillation stand in ``distillation``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vision.config.model import CodebookConfig, require
from vision.strict import check_choices


@dataclass(frozen=True, kw_only=True)
class MAEConfig:
    """Masked autoencoders (He et al. 2022)."""

    decoder_dim: int = 512
    """Width of the decoder; paper: 512."""
    decoder_depth: int = 8
    """Blocks of the decoder; paper: 8."""
    decoder_heads: int = 16
    """Official code: 16."""
    normalise_pixels: bool = True
    """Each patch by its own mean and variance; paper: true (table 1d)."""

    def __post_init__(self) -> None:
        for name in ("decoder_depth", "decoder_heads"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        is_right = self.decoder_dim >= 4 and self.decoder_dim % 4 == 0 and self.decoder_dim % self.decoder_heads == 0
        require(is_right, self, "decoder_dim", f"a multiple of 4 and of decoder_heads = {self.decoder_heads}")


@dataclass(frozen=True, kw_only=True)
class SimMIMConfig:
    """SimMIM (Xie et al. 2022)."""

    normalise_pixels: bool = False
    """Each patch by its own mean and variance, as MAE does; paper: false."""


@dataclass(frozen=True, kw_only=True)
class DVAEConfig:
    """The discrete VAE of DALL-E (Ramesh et al. 2021, appendix A), BEiT's tokenizer. Fractions are of the whole run."""

    num_codes: int = 8192
    """Codes of the vocabulary; paper: 8192."""
    code_dim: int = 256
    """Of the vectors that the decoder reads; official code: 128."""
    decoder_depth: int = 4
    """Blocks; paper: convolutions, as many as in the encoder."""
    likelihood: Literal["squared", "laplace", "logit_laplace"] = "laplace"
    """Of the pixels given the codes; paper: logit_laplace, of pixels in [0, 1]."""
    sample: Literal["relaxed", "straight_through"] = "relaxed"
    """What the decoder reads: soft codes, or hard ones with a straight-through gradient; paper: relaxed."""
    temperature: float = 1.0
    """Of the Gumbel-softmax at the start; paper: 1."""
    final_temperature: float = 0.0625
    """Of the Gumbel-softmax at the end; paper: 1/16."""
    temperature_decay: float = 0.5
    """Fraction of the run, on a cosine; paper: .05 (150,000 of 3,000,000 updates)."""
    kl_weight: float = 0.034
    """Nats of a patch against those of a pixel value; paper: 6.6 / 192 (8 x 8 RGB patches)."""
    kl_warmup: float = 0.1
    """Fraction of the run, from 0 on a cosine; paper: .0017 (5,000 updates)."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("num_codes", "code_dim", "decoder_depth"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("temperature", "final_temperature"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        for name in ("temperature_decay", "kl_warmup"):
            require(0 <= getattr(self, name) <= 1, self, name, "a number in [0, 1]")
        require(self.kl_weight >= 0, self, "kl_weight", "0 or more")


@dataclass(frozen=True, kw_only=True)
class BEiTConfig:
    """BEiT (Bao et al. 2022). What it hides is the view's: the paper 75 of 196 patches, in blocks of at least 16."""

    initial_std: float = 0.02
    """Of weights, mask token and head, from a normal cut at one std to either side; official code: .02."""

    def __post_init__(self) -> None:
        require(self.initial_std > 0, self, "initial_std", "a positive number")


@dataclass(frozen=True, kw_only=True)
class OnlineTokenizerConfig:
    """Masked modelling of the codes of a tokenizer that is learnt at the same time (see the method's docstring)."""

    num_codes: int = 16384
    """Typical: 16,384; fewer than the patches of a batch are filled sooner."""
    code_dim: int = 256
    """Typical: 256 to 512."""
    tokenizer_depth: int = 4
    """Blocks of the tokenizer's encoder."""
    momentum: float = 0.999
    """Tau of the tokenizer's copy; typical: .999."""
    momentum_weight: float = 1.0
    """Alpha, of the loss against the codes of the copy."""
    codebook_weight: float = 1.0
    """Of the codebook's loss."""
    beta: float = 0.25
    """Of the codebook's own term against the features'."""
    usage_weight: float = 1.0
    """Of the divergence of the mean assignment from equal use."""
    temperature: float = 0.1
    """Of soft assignments, in squared distances between unit features and rows."""
    revive_after: int = 100
    """Steps without use before a code is put on a patch of the batch; 0 = never."""
    seed: int = 0
    """Of these choices."""

    def __post_init__(self) -> None:
        for name in ("num_codes", "code_dim", "tokenizer_depth"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(0 <= self.momentum <= 1, self, "momentum", "a number in [0, 1]")
        for name in ("momentum_weight", "codebook_weight", "beta", "usage_weight", "revive_after"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        require(self.temperature > 0, self, "temperature", "a positive number")


@dataclass(frozen=True, kw_only=True)
class VQKDConfig:
    """Vector-quantised knowledge distillation, the tokenizer of BEiT v2 (Peng et al. 2022, §2.2)."""

    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    decoder_depth: int = 3
    """Blocks of the decoder; paper: 1 or 3."""
    decoder_dim: int | None = None
    """None = the encoder's; paper: the encoder's."""
    decoder_heads: int | None = None
    """None = the encoder's."""
    target: Literal["features", "patches", "both"] = "features"
    """What is reconstructed; paper: the teacher's features."""
    feature_weight: float = 1.0
    """Weight of the features' loss; paper: 1."""
    patch_weight: float = 1.0
    """Of the patch's own pixels; not in the paper."""
    commitment_weight: float = 1.0
    """Beta; official code: 1."""

    def __post_init__(self) -> None:
        check_choices(self)
        require(self.decoder_depth >= 1, self, "decoder_depth", "at least 1")
        for name in ("feature_weight", "patch_weight", "commitment_weight"):
            require(getattr(self, name) >= 0, self, name, "0 or more")


@dataclass(frozen=True, kw_only=True)
class BEiT2Config:
    """Masked image modelling on codes with patch aggregation (BEiT v2, Peng et al. 2022, §2.3)."""

    early_layer: int = 9
    """1-based block whose patches meet the final CLS; paper: 9 of 12, 21 of 24."""
    aggregation_depth: int = 2
    """Extra blocks, thrown away afterwards; paper: 2; 0 = main path alone."""
    aggregation_weight: float = 1.0
    """Weight of the loss after the extra blocks; paper: 1."""
    codebook_head: bool = False
    """Codes alike in the codebook share what the head learns; not in the paper."""

    def __post_init__(self) -> None:
        require(self.early_layer >= 1, self, "early_layer", "a block number, counted from 1")
        for name in ("aggregation_depth", "aggregation_weight"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
