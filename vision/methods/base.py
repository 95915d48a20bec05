"""What every method of this library is: three steps, and what happens around them; and the parts methods
share.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch, Mask
from vision.config import ViTConfig
from vision.nn.grid import PatchGrid
from vision.nn.vit import Encoded, VisionTransformer
from vision.targets import normalise_patches


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
        """Health figures as scalar tensors, of the last batch; asked for every some steps only, of every process.

        The same names at every call. A name that ends in ``usage`` is a share in [0, 1] and is shown beside
        the loss while the run goes on.
        """
        return {}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        """What is wrong, its cause and remedy, in a sentence; None = nothing.

        ``figures``: those of :meth:`metrics` and each term of the loss, ``name_loss``. The trainer tells it once, when
        it has been so for some time.
        """
        return None

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """(name, parameter) of everything the optimiser moves."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)


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


def take(patches: Tensor, index: Tensor) -> Tensor:
    """What patches (B, N, ...) hold at places ``index`` (R,) in B·N -> (R, ...)."""
    return patches.flatten(0, 1).index_select(0, index)


def observed_patches(observed: Tensor | None, grid: PatchGrid) -> Tensor | None:
    """Observed pixels (B, H, W) bool -> observed patches (B, N) bool; None, all observed, stays None."""
    return None if observed is None else grid.pool_any(observed)


def count_places(valid: Tensor | None, patches: Tensor) -> Tensor:
    """How many of ``patches`` (B, N, ...) are valid (B, N), or by the share of their pixels (B, N, P); None = all."""
    if valid is None:
        return patches.new_full((), patches.shape[0] * patches.shape[1], dtype=torch.float32)
    return valid.flatten(2).float().mean(dim=2).sum() if valid.ndim > 2 else valid.sum(dtype=torch.float32)


def cls_of(encoded: Encoded) -> Tensor:
    """CLS (B, D) of an encoder that is known to have one."""
    assert encoded.cls is not None
    return encoded.cls


def encode_views(
    encoder: VisionTransformer, batch: Batch, mask_token: MaskToken | None = None, hidden: Tensor | None = None
) -> list[Encoded]:
    """All views of a batch, packed into one pass: what becomes of each crop size; of the patches where they are asked.

    The patches ``hidden`` (V·B, N) bool of the first crop size are replaced by the mask token, and asked for; where
    there are none, and of all other crop sizes, CLS is.
    """
    grids = [encoder.grid(images) for images in batch.views]
    tokens = [encoder.embed(images, observed) for images, observed in zip(batch.views, batch.valid, strict=True)]
    if mask_token is not None and hidden is not None:
        tokens[0] = mask_token(tokens[0], hidden)
    valid = [observed_patches(observed, grid) for observed, grid in zip(batch.valid, grids, strict=True)]
    return encoder.encode(tokens, grids, valid, only_cls=[hidden is None, *[True] * (len(tokens) - 1)])


class HiddenPixels(NamedTuple):
    """Pixels of the hidden patches, and where they count: the targets of methods that predict pixels."""

    patches: Tensor  # (R, P), 0 where not observed
    observed: Tensor | None  # (R, P) bool; None = all
    weight: Tensor  # (R,), or (R, P) where some pixels were not observed; 0 = does not count


def pixel_patches(images: Tensor, observed: Tensor | None, grid: PatchGrid) -> tuple[Tensor, Tensor | None]:
    """Pixels (B, N, P) of images (B, C, H, W), 0 where not observed, and which were observed, bool; None = all."""
    if observed is None:
        return grid.patchify(images), None
    whole = observed.unsqueeze(1).expand_as(images)
    return grid.patchify(torch.where(whole, images, 0.0)), grid.patchify(whole)


def hidden_pixels(batch: Batch, mask: Mask, grid: PatchGrid, *, is_normalised: bool) -> HiddenPixels:
    """The pixels that ``mask`` hides of the batch's first crop size, each patch normalised by itself if asked."""
    patches, observed = pixel_patches(batch.views[0], batch.valid[0], grid)
    patches, weight = take(patches, mask.index), mask.weight
    if observed is not None:
        observed = take(observed, mask.index)
        weight = weight.unsqueeze(-1) * observed
    if is_normalised:
        patches = normalise_patches(patches.float(), observed)
    return HiddenPixels(patches, observed, weight)


def mask_of(batch: Batch, method: str) -> Mask:
    """The masks of the batch's first crop size. Raises ValueError, naming the method, when it has none."""
    mask = batch.masks[0]
    if mask is None:
        raise ValueError(f"{method} learns from hidden patches: give its views a mask generator")
    return mask


def check_global_tokens(encoder: ViTConfig) -> None:
    """ValueError when the encoder has global tokens that no patch, hence no loss on patches, ever sees."""
    if encoder.scope == "causal" and encoder.num_global_tokens:
        raise ValueError("no patch sees CLS or registers in scope 'causal': set has_cls false, num_registers 0")
