"""Parts of the methods that name codes of hidden patches (BEiT, BEiT v2): the model of them that a run leaves."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from vision.batch import Batch, Mask
from vision.config import ViTConfig
from vision.methods.base import MaskToken, observed_patches, take
from vision.nn.tokenizer import VisualTokenizer
from vision.nn.vit import Encoded, VisionTransformer


class MaskedCodeModel(nn.Module):
    """p(code | visible patches): encoder, mask token and a linear head. What a run of BEiT or BEiT v2 leaves.

    Parameters
    ----------
    encoder : its final norm is the head's norm.
    num_codes : K.
    mixed_channels : places of channels that mix the rows of a column, as a mean over them does. They would tell
        of what is hidden at patches that are seen, so they are 0 in columns where a patch is hidden.
    hint_channels : channels that images have after the encoder's own. At hidden patches they hold what a simpler
        model expects there; their linear embedding is added to the mask token, and what they say of the code by
        themselves (:class:`HintPrior`) to the logits. At visible patches, and where all are 0, they do not count.
    """

    is_mixed: Tensor  # (C, 1, 1) bool of the encoder's own channels

    def __init__(
        self,
        encoder: ViTConfig,
        num_codes: int,
        mixed_channels: tuple[int, ...] = (),
        hint_channels: int = 0,
    ) -> None:
        super().__init__()
        self.num_codes = num_codes
        self.mixed_channels = mixed_channels
        is_mixed = torch.tensor([channel in mixed_channels for channel in range(encoder.in_channels)])[:, None, None]
        self.register_buffer("is_mixed", is_mixed, persistent=False)  # on the device: no copy from the host each step
        self.hint_channels = hint_channels
        self.encoder = VisionTransformer(encoder)
        self.mask_token = MaskToken(encoder.dim, std=0.02)
        height, width = encoder.patch_size
        self.hint = nn.Linear(hint_channels * height * width, encoder.dim, bias=False) if hint_channels else None
        self.prior = HintPrior(self.hint.in_features, num_codes, 4 * encoder.dim) if self.hint is not None else None
        self.head = nn.Linear(encoder.dim, num_codes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def encode(self, images: Tensor, valid: Tensor | None, hidden: Tensor, layers: tuple[int, ...] = ()) -> Encoded:
        """Images (B, C, H, W), the hints' channels included, observed pixels (B, H, W) or None, hidden patches
        (B, N) bool -> their encoding.
        """
        grid = self.encoder.grid(images)
        shown = self.conceal(self.without_hints(images), hidden.unflatten(1, (grid.rows, grid.columns)).any(dim=1))
        tokens = torch.where(hidden.unsqueeze(-1), self.stand_ins(images), self.encoder.embed(shown, valid))
        return self.encoder.encode([tokens], [grid], [observed_patches(valid, grid)], layers)[0]

    def without_hints(self, images: Tensor) -> Tensor:
        """The encoder's own channels of images (B, C, H, W), a view."""
        return images[:, : images.shape[1] - self.hint_channels]

    def stand_ins(self, images: Tensor) -> Tensor:
        """What takes the place of a patch that is hidden, (B, N, D) or, without hints, (1, D): the mask token and
        the hint.
        """
        if self.hint is None:
            return self.mask_token.weight
        return self.mask_token.weight + self.hint(self.hint_patches(images))

    def hint_patches(self, images: Tensor) -> Tensor:
        """The hints of images (B, C, H, W) by patch, (B, N, P)."""
        return self.encoder.grid(images).patchify(images[:, images.shape[1] - self.hint_channels :])

    def classify(self, states: Tensor, hints: Tensor) -> Tensor:
        """Logits (..., K) of codes at hidden patches, of their states (..., D) and hints (..., P)."""
        logits = self.head(states)
        return logits if self.prior is None else logits + self.prior(hints)

    def conceal(self, images: Tensor, columns: Tensor) -> Tensor:
        """Images (B, C, H, W) without their mixed channels in the patch columns that are True, (B or 1, columns)."""
        if not self.mixed_channels:
            return images
        shown = ~columns.repeat_interleave(self.encoder.config.patch_size[1], dim=1)[:, None, None]
        return torch.where(~self.is_mixed | shown, images, 0.0)

    def logits(self, images: Tensor, valid: Tensor | None, hidden: Tensor) -> Tensor:
        """Logits (B, N, K) of every patch's code, where the patches of ``hidden`` (B, N) bool are not seen.

        At visible patches they say little: nothing was learned there.
        """
        hints = torch.where(hidden.unsqueeze(-1), self.hint_patches(images), 0.0)
        return self.classify(self.encode(images, valid, hidden).patches, hints)

    forward = logits


class HintPrior(nn.Module):
    """p(code | hint), whatever else is visible: an MLP; its logits are 0 where a hint is.

    Parameters
    ----------
    in_dim : P, hints of a patch.
    num_codes : K.
    hidden_dim : of its three layers.
    """

    def __init__(self, in_dim: int, num_codes: int, hidden_dim: int) -> None:
        super().__init__()
        dims = (in_dim, hidden_dim, hidden_dim, hidden_dim)
        layers = [layer for pair in pairwise(dims) for layer in (nn.Linear(*pair), nn.GELU())]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden_dim, num_codes))

    def forward(self, hints: Tensor) -> Tensor:
        """Hints (..., P) -> logits (..., K)."""
        return torch.where(hints.any(dim=-1, keepdim=True), self.mlp(hints), 0.0)


def init_cut_normal(model: nn.Module, std: float) -> None:
    """Matrices, CLS and mask tokens from a normal cut at ± one std, biases 0 (``_trunc_normal_`` of BEiT, SimMIM)."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std, a=-std, b=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, MaskToken):
            nn.init.trunc_normal_(module.weight, std=std, a=-std, b=std)
        elif isinstance(module, VisionTransformer) and module.cls_token is not None:
            nn.init.trunc_normal_(module.cls_token, std=std, a=-std, b=std)


def rescale_outputs(block: nn.Module, number: int) -> None:
    """Divide the weights that write to the residual stream by √(2 · number) (BEiT, ``fix_init_weight``)."""
    with torch.no_grad():
        for name in ("attention.proj.weight", "mlp.2.weight"):
            block.get_parameter(name).div_(math.sqrt(2.0 * number))


@torch.no_grad()
def hidden_codes(tokenizer: VisualTokenizer, batch: Batch, mask: Mask) -> Tensor:
    """Codes (R,) long of the patches that ``mask`` hides, which the tokenizer reads from the whole image."""
    return take(read_codes(tokenizer, batch.views[0], batch.valid[0]), mask.index)


@torch.no_grad()
def read_codes(tokenizer: VisualTokenizer, images: Tensor, valid: Tensor | None) -> Tensor:
    """Codes (B, N) long of images (B, C, H, W), in float32 whatever the precision of the run."""
    with torch.autocast(images.device.type, enabled=False):
        return tokenizer.codes(images, valid)


def code_entropy(codes: Tensor, weight: Tensor, num_codes: int) -> Tensor:
    """Entropy (nats, 0-d) of codes under weight, of one shape: the loss of a model that sees nothing."""
    counts = torch.bincount(codes.flatten(), weight.flatten(), minlength=num_codes)
    return torch.special.entr(counts / counts.sum().clamp(min=1)).sum()


def check_tokenizer(encoder: ViTConfig, tokenizer: VisualTokenizer) -> None:
    """ValueError unless the tokenizer has one code for each patch of the encoder."""
    if tokenizer.patch_size != encoder.patch_size:
        sizes = f"{tokenizer.patch_size} and {encoder.patch_size}"
        raise ValueError(f"tokenizer and encoder need the same patch_size, got {sizes}")
