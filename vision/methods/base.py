"""What every method of this library is: three steps, and what happens around them; and the parts methods
share.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from vision.batch import Batch, Mask
from vision.config import ViTConfig
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import VisualTokenizer
from vision.nn.vit import Encoded, VisionTransformer

Copied = TypeVar("Copied", bound=nn.Module)


class Method(nn.Module):
    """A pre-training method: ``targets`` without gradient, ``predict``, ``loss``.

    One training step, whoever drives it::

        method.begin_step(progress)                      # schedules
        targets = method.targets(batch)                  # no gradient
        predictions = method.predict(batch)
        terms = method.loss(predictions, targets, batch)
        sum(terms.values()).backward()
        method.before_update()                           # after clipping, before the optimiser
        optimizer.step(); optimizer.zero_grad()
        method.end_step()                                # EMA of the teacher

    It is a plain module and needs no trainer. What it predicts and against what is its own business: the
    trainer only hands results from one step to the next.
    """

    def begin_step(self, progress: float) -> None:
        """Set what is scheduled. ``progress``: share of the run that lies behind, in [0, 1)."""

    def targets(self, batch: Batch) -> Any:
        """What is to be predicted. Run without gradient."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> Any:
        """The student's predictions."""
        raise NotImplementedError

    def loss(self, predictions: Any, targets: Any, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms by name, each a scalar; what is minimised is their sum."""
        raise NotImplementedError

    def num_places(self, targets: Any, batch: Batch) -> Tensor | None:
        """How many places the loss of this batch is a mean over, a scalar; None = as many as any other batch.

        When a step is made of several batches (gradient accumulation), each counts for as much.
        """
        return None

    def before_update(self) -> None:
        """Last look at the gradients, after clipping and before the optimiser uses them."""

    def end_step(self) -> None:
        """Called after each update of the parameters."""

    def artifact(self) -> nn.Module:
        """What the run leaves: an encoder, a tokenizer, a masked model."""
        raise NotImplementedError

    def metrics(self) -> dict[str, Tensor]:
        """Health figures as scalar tensors, of the last batch; asked for every some steps only.

        The same names at every call. A name that ends in ``usage`` is a share in [0, 1] and is shown beside
        the loss while the run goes on.
        """
        return {}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        """What is wrong with ``figures`` of :meth:`metrics`, its cause and remedy, in a sentence; None = nothing.

        The trainer tells it once, when it has been so for some time.
        """
        return None

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """(name, parameter) of everything the optimiser moves."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)


class Frozen(nn.Module, Generic[Copied]):
    """A copy of a module that never trains: no gradient, always in eval mode, whatever its parent is told."""

    module: Copied

    def __init__(self, module: Copied) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: a tokenizer in training mode would move its codebook."""
        return super().train(False)


class MaskToken(nn.Module):
    """The learned token that stands in for hidden patches, put in place before positions are added.

    Parameters
    ----------
    dim : of the tokens.
    std : of its initial values; 0 in iBOT and DINOv2, .02 in BEiT and SimMIM.
    """

    def __init__(self, dim: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, dim) * std)

    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Tokens (B, N, D), hidden (B, N) bool, True = hidden -> (B, N, D)."""
        return torch.where(hidden.unsqueeze(-1), self.weight.to(tokens.dtype), tokens)


class MaskedCodeModel(nn.Module):
    """p(code | visible patches): encoder, mask token and a linear head. What a run of BEiT or BEiT v2 leaves.

    Parameters
    ----------
    encoder : its final norm is the head's norm.
    num_codes : K.
    mixed_channels : places of channels that mix the rows of a column, as a mean over them does. They would tell
        of what is hidden at patches that are seen, so they are 0 in columns where a patch is hidden.
    hint_channels : channels that images have after the encoder's own. At hidden patches they hold what a simpler
        model expects there; their linear embedding is added to the mask token. At visible patches they do not count.
    """

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
        self.hint_channels = hint_channels
        self.encoder = VisionTransformer(encoder)
        self.mask_token = MaskToken(encoder.dim, std=0.02)
        height, width = encoder.patch_size
        self.hint = nn.Linear(hint_channels * height * width, encoder.dim, bias=False) if hint_channels else None
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
        hints = images[:, images.shape[1] - self.hint_channels :]
        return self.mask_token.weight + self.hint(self.encoder.grid(images).patchify(hints))

    def conceal(self, images: Tensor, columns: Tensor) -> Tensor:
        """Images (B, C, H, W) without their mixed channels in the patch columns that are True, (B or 1, columns)."""
        if not self.mixed_channels:
            return images
        shown = ~columns.repeat_interleave(self.encoder.config.patch_size[1], dim=1)[:, None, None]
        mixed = torch.zeros(images.shape[1], 1, 1, dtype=torch.bool, device=images.device)
        mixed[list(self.mixed_channels)] = True
        return torch.where(~mixed | shown, images, 0.0)

    def logits(self, images: Tensor, valid: Tensor | None, hidden: Tensor) -> Tensor:
        """Logits (B, N, K) of every patch's code, where the patches of ``hidden`` (B, N) bool are not seen.

        At visible patches they say little: nothing was learned there.
        """
        return self.head(self.encode(images, valid, hidden).patches)

    forward = logits


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


def take(patches: Tensor, index: Tensor) -> Tensor:
    """The patches (B, N, D) at ``index`` (B, M) -> (B, M, D)."""
    return patches.gather(1, index.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def observed_patches(observed: Tensor | None, grid: PatchGrid) -> Tensor | None:
    """Observed pixels (B, H, W) bool -> observed patches (B, N) bool; None, all observed, stays None."""
    return None if observed is None else grid.pool_any(observed)


def count_places(valid: Tensor | None, patches: Tensor) -> Tensor:
    """How many of ``patches`` (B, N, ...) are valid (B, N); None = all."""
    if valid is None:
        return patches.new_full((), patches.shape[0] * patches.shape[1], dtype=torch.float32)
    return valid.sum(dtype=torch.float32)


def cls_of(encoded: Encoded) -> Tensor:
    """CLS (B, D) of an encoder that is known to have one."""
    assert encoded.cls is not None
    return encoded.cls


def encode_views(
    encoder: VisionTransformer, batch: Batch, mask_token: MaskToken | None = None, hidden: Tensor | None = None
) -> list[Encoded]:
    """All views of a batch, packed into one pass: what becomes of each crop size.

    The patches ``hidden`` (V·B, N) bool of the first crop size are replaced by the mask token.
    """
    grids = [encoder.grid(images) for images in batch.views]
    tokens = [encoder.embed(images, observed) for images, observed in zip(batch.views, batch.valid, strict=True)]
    if mask_token is not None and hidden is not None:
        tokens[0] = mask_token(tokens[0], hidden)
    valid = [observed_patches(observed, grid) for observed, grid in zip(batch.valid, grids, strict=True)]
    return encoder.encode(tokens, grids, valid)


class HiddenPixels(NamedTuple):
    """Pixels of the hidden patches, and where they count: the targets of methods that predict pixels."""

    patches: Tensor  # (B, M, P), 0 where not observed
    observed: Tensor | None  # (B, M, P) bool; None = all
    weight: Tensor  # (B, M), or (B, M, P) where some pixels were not observed; 0 = does not count


def hidden_pixels(batch: Batch, mask: Mask, grid: PatchGrid) -> HiddenPixels:
    """The pixels that ``mask`` hides of the batch's first crop size."""
    images, seen = batch.views[0], batch.valid[0]
    if seen is None:
        return HiddenPixels(take(grid.patchify(images), mask.index), None, mask.weight)
    whole = seen.unsqueeze(1).expand_as(images)
    patches = take(grid.patchify(torch.where(whole, images, 0.0)), mask.index)
    observed = take(grid.patchify(whole), mask.index)
    return HiddenPixels(patches, observed, mask.weight.unsqueeze(-1) * observed)


def mask_of(batch: Batch, method: str) -> Mask:
    """The masks of the batch's first crop size. Raises ValueError, naming the method, when it has none."""
    mask = batch.masks[0]
    if mask is None:
        raise ValueError(f"{method} learns from hidden patches: give its views a mask generator")
    return mask


@torch.no_grad()
def hidden_codes(tokenizer: VisualTokenizer, batch: Batch, mask: Mask) -> Tensor:
    """Codes (B, M) long of the patches that ``mask`` hides, which the tokenizer reads from the whole image."""
    images = batch.views[0]
    with torch.autocast(images.device.type, enabled=False):  # codes are the same whatever the precision
        return tokenizer.codes(images, batch.valid[0]).gather(1, mask.index)


def code_entropy(codes: Tensor, weight: Tensor, num_codes: int) -> Tensor:
    """Entropy (nats, 0-d) of codes (B, M) under weight (B, M): the loss of a model that sees nothing."""
    counts = torch.bincount(codes.flatten(), weight.flatten(), minlength=num_codes)
    return torch.special.entr(counts / counts.sum().clamp(min=1)).sum()


def check_tokenizer(encoder: ViTConfig, tokenizer: VisualTokenizer) -> None:
    """ValueError unless the tokenizer has one code for each patch of the encoder."""
    if tokenizer.patch_size != encoder.patch_size:
        sizes = f"{tokenizer.patch_size} and {encoder.patch_size}"
        raise ValueError(f"tokenizer and encoder need the same patch_size, got {sizes}")


def check_global_tokens(encoder: ViTConfig) -> None:
    """ValueError when the encoder has global tokens that no patch, hence no loss on patches, ever sees."""
    if encoder.scope == "causal" and encoder.num_global_tokens:
        raise ValueError("no patch sees CLS or registers in scope 'causal': set has_cls false, num_registers 0")
