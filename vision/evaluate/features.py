"""Features of images under a frozen encoder, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor, nn

from vision.errors import InputError
from vision.evaluate.config import Pooling
from vision.evaluate.gaps import mean_patch, nan_if_unseen, split_gaps
from vision.nn.vit import VisionTransformer


@torch.no_grad()
def extract_features(
    encoder: VisionTransformer,
    images: Tensor | Iterable[Tensor],
    *,
    pooling: Pooling = "cls",
    last_blocks: int = 1,
    batch_size: int = 256,
    device: torch.device | str | None = None,
) -> Tensor:
    """(n, F) float32 on the CPU, after the final norm; the encoder is in eval mode meanwhile.

    DINO probes ViT-S by the CLS tokens of the last 4 blocks (``pooling="cls"``, ``last_blocks=4``) and ViT-B by
    the last CLS beside the mean patch (``"cls+mean"``); k-NN takes the last CLS. MAE has no use for CLS:
    ``"mean"``, over the patches that were observed. An image without any has NaN in place of features.

    Parameters
    ----------
    images : (n, C, H, W), normalised as in training, NaN = not observed; or an iterable of batches of them.
    pooling : what is said about an image: CLS, the mean of its patches, or one after the other.
    last_blocks : of as many blocks, the earliest first, each through the final norm; F is proportional.
    batch_size : images at once where ``images`` is one tensor.
    device : None = where the encoder is; elsewhere it is moved there and stays.

    Raises
    ------
    InputError : the encoder has no CLS token or too few blocks, or there is no image.
    """
    check_pooling(encoder, pooling, last_blocks)
    target = torch.device(device) if device is not None else next(encoder.parameters()).device
    encoder.to(target)
    with evaluating(encoder):
        parts = [
            pooled_features(encoder, batch.to(target), pooling, last_blocks).float().cpu()
            for batch in batches(images, batch_size)
        ]
    if not parts:
        raise InputError("there is no image to extract features from")
    return torch.cat(parts)


def pooled_features(encoder: VisionTransformer, images: Tensor, pooling: Pooling, last_blocks: int = 1) -> Tensor:
    """Images (B, C, H, W), NaN = not observed -> (B, F), with gradient, in whatever mode the encoder is."""
    depth = encoder.config.depth
    wanted = range(depth - last_blocks + 1, depth + 1)
    images, pixels, seen = split_gaps(images, encoder.config.patch_size)
    tokens, grid = encoder.embed(images, pixels), encoder.grid(images)
    encoded = encoder.encode([tokens], [grid], [seen], layers=tuple(wanted), only_cls=[pooling == "cls"])[0]
    parts: list[Tensor] = []
    for number in wanted:
        if pooling != "mean":
            parts.append(encoder.norm(encoded.cls_layers[number]))
        if pooling != "cls":
            parts.append(mean_patch(encoder.norm(encoded.layers[number]), seen))
    return nan_if_unseen(torch.cat(parts, dim=-1), seen)


def check_pooling(encoder: VisionTransformer, pooling: Pooling, last_blocks: int = 1) -> None:
    """InputError when the encoder cannot give such features."""
    if pooling not in (words := get_args(Pooling)):
        raise InputError(f"pooling is {pooling!r}, expected one of {', '.join(map(repr, words))}")
    if pooling != "mean" and not encoder.config.has_cls:
        raise InputError(f"pooling {pooling!r} needs a CLS token, which this encoder lacks: choose 'mean'")
    if not 1 <= last_blocks <= encoder.config.depth:
        raise InputError(f"last_blocks is {last_blocks}, expected 1 to {encoder.config.depth}, the blocks there are")


def batches(images: Tensor | Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """A tensor (n, ...) in slices of ``batch_size``; an iterable of batches as it is."""
    return iter(images.split(batch_size)) if isinstance(images, Tensor) else iter(images)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A network in eval mode meanwhile: without drop path, which makes what it says random. Each part of it is then in
    the mode that it was in.
    """
    training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
