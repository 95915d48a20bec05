"""What an encoder looks at: attention maps, and pictures of them (DINO, Caron et al. 2021, figures 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.errors import InputError
from vision.evaluate.features import evaluating
from vision.evaluate.gaps import mean_patch, split_gaps
from vision.evaluate.pictures import Picture, heat, montage, to_pictures
from vision.nn.attention import JointAttention
from vision.nn.packed import Segment
from vision.nn.vit import VisionTransformer


@torch.no_grad()
def attention_maps(encoder: VisionTransformer, images: Tensor, block: int = -1) -> Tensor:
    """(B, heads, R, C): the share of every patch in what CLS gets in a block; what CLS and registers get is left out.

    Without a CLS token, the mean over all patches that ask. Patches that were not observed get nothing and do not ask.

    Parameters
    ----------
    images : (B, C, H, W), normalised as in training, NaN = not observed.
    block : counted from 0, or from the end where negative.

    Raises
    ------
    InputError : there is no such block, or its attention is not joint.
    """
    depth = encoder.config.depth
    if not -depth <= block < depth:
        raise InputError(f"block is {block}, expected {-depth} to {depth - 1}: the encoder has {depth}")
    attention = encoder.blocks[block].get_submodule("attention")
    if not isinstance(attention, JointAttention):
        raise InputError("attention maps are of joint attention; this encoder's is along an axis, or of one patch")
    images, pixels, seen = split_gaps(images, encoder.config.patch_size)
    asked: list[tuple[Tensor, list[Segment]]] = []
    handle = attention.register_forward_pre_hook(lambda _, inputs: asked.append(inputs))
    try:
        with evaluating(encoder):
            encoder(images, pixels)
    finally:
        handle.remove()
    weights = attention.weights(*asked[0])[0]  # (B, heads, L, L)
    num_global, grid = encoder.config.num_global_tokens, encoder.grid(images)
    to_patches = weights[..., num_global:]
    if encoder.config.has_cls:
        shares = to_patches[:, :, 0]
    else:
        asking = to_patches[:, :, num_global:].transpose(1, 2).flatten(2)  # (B, N, heads · N)
        shares = mean_patch(asking, seen).unflatten(1, (encoder.config.heads, -1))
    return shares.unflatten(2, (grid.rows, grid.columns))


def attention_picture(
    encoder: VisionTransformer,
    images: Tensor,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Picture:
    """A row per image: the image, the mean over the last block's heads, then each; a map's brightest patch is white.

    ``mean`` and ``std`` undo the normalisation, see :func:`~vision.evaluate.pictures.to_pictures`.
    """
    maps = attention_maps(encoder, images.to(encoder.patch_embed.projection.weight.device)).cpu()
    size = (images.shape[-2], images.shape[-1])
    shown = to_pictures(images, mean, std)
    return montage(
        [
            [picture, heat(heads.mean(dim=0), size), *[heat(head, size) for head in heads]]
            for picture, heads in zip(shown, maps, strict=True)
        ]
    )
