"""BEiT v2: masked image modelling on codes, with patch aggregation (Peng et al. 2022, arXiv 2208.06366,
§2.3).

Hidden patches are replaced by a mask token and their codes, which a frozen tokenizer reads from the whole
image, are to be named from what is visible. A second path makes CLS carry the image: CLS of the last block
joins the patches of an early one for a few extra blocks, under the same norm and head; its loss is added
and the blocks are then thrown away. Differences: the head's mean runs over masked patches that were
observed; positions and initial weights are those of our VisionTransformer, with BEiT's division of each
block's output weights by √(2i).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch, Mask
from vision.config import BEiT2Config, ViTConfig
from vision.losses import masked_cross_entropy
from vision.methods.base import Frozen, MaskToken, Method, observed_patches, take
from vision.nn.block import Block
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, pack, split
from vision.nn.tokenizer import Tokenizer
from vision.nn.vit import Encoded, VisionTransformer, init_weights


class MaskedCodeModel(nn.Module):
    """p(code | visible patches): encoder, mask token and a linear head. What a BEiT v2 run leaves.

    Parameters
    ----------
    encoder : its final norm is the head's norm.
    num_codes : K.
    """

    def __init__(self, encoder: ViTConfig, num_codes: int) -> None:
        super().__init__()
        self.num_codes = num_codes
        self.encoder = VisionTransformer(encoder)
        self.mask_token = MaskToken(encoder.dim, std=0.02)
        self.head = nn.Linear(encoder.dim, num_codes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def encode(
        self, images: Tensor, valid: Tensor | None, hidden: Tensor, layers: tuple[int, ...] = ()
    ) -> Encoded:
        """Images (B, C, H, W), observed pixels (B, H, W) or None, hidden patches (B, N) bool -> their
        encoding.
        """
        grid = self.encoder.grid(images)
        tokens = self.mask_token(self.encoder.embed(images, valid), hidden)
        return self.encoder.encode([tokens], [grid], [observed_patches(valid, grid)], layers)[0]

    def logits(self, images: Tensor, valid: Tensor | None, hidden: Tensor) -> Tensor:
        """Logits (B, N, K) of every patch's code, where the patches of ``hidden`` (B, N) bool are not seen.

        At visible patches they say little: nothing was learned there.
        """
        return self.head(self.encode(images, valid, hidden).patches)

    forward = logits


class BEiT2Predictions(NamedTuple):
    """Logits over K codes at the masked places."""

    patches: Tensor  # (B, M, K)
    aggregated: Tensor | None  # (B, M, K) of the second path


class BEiT2(Method):
    """See the module's docstring. Batches: one crop size, with masks.

    Parameters
    ----------
    encoder : needs a CLS token when ``config.aggregation_depth`` is above 0.
    config : knobs of the method.
    tokenizer : copied and frozen; of several levels the first is predicted.

    Raises
    ------
    ValueError : encoder and aggregation do not fit together.
    """

    def __init__(self, encoder: ViTConfig, config: BEiT2Config, tokenizer: Tokenizer) -> None:
        super().__init__()
        is_aggregated = config.aggregation_depth > 0
        if is_aggregated and (not encoder.has_cls or config.early_layer > encoder.depth):
            raise ValueError(
                f"patch aggregation needs has_cls true and early_layer at most depth = {encoder.depth}, got "
                f"has_cls {encoder.has_cls} and early_layer {config.early_layer}; or set aggregation_depth 0"
            )
        if not is_aggregated and encoder.scope == "causal" and encoder.num_global_tokens:
            raise ValueError(
                "no patch sees CLS or registers in scope 'causal': set has_cls false, num_registers 0"
            )
        self.config = config
        self.tokenizer = Frozen(tokenizer)
        self.model = MaskedCodeModel(encoder, tokenizer.codebook.config.num_codes)
        last = encoder.depth - 1
        self.extra_blocks = nn.ModuleList(
            Block(encoder, index, drop_path=encoder.drop_path * min(index, last) / max(last, 1))
            for index in range(config.early_layer, config.early_layer + config.aggregation_depth)
        )
        self.extra_blocks.apply(init_weights)
        for number, block in enumerate(self.model.encoder.blocks, start=1):
            _rescale(block, number)
        for number, block in enumerate(self.extra_blocks, start=config.early_layer + 1):
            _rescale(block, number)
        self._last: tuple[Tensor, Tensor] | None = None  # codes and weight of the last batch, for the figures

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Codes (B, M) long at the masked places, from the whole image."""
        images, mask = batch.views[0], _mask(batch)
        with torch.autocast(images.device.type, enabled=False):  # codes are the same whatever the precision
            codes = self.tokenizer.module.codes(images, batch.valid[0]).gather(1, mask.index)
        self._last = (codes, mask.weight)
        return codes

    def predict(self, batch: Batch) -> BEiT2Predictions:
        """Both paths; the head runs on masked patches only."""
        images, observed, mask = batch.views[0], batch.valid[0], _mask(batch)
        early = (self.config.early_layer,) if len(self.extra_blocks) else ()
        encoded = self.model.encode(images, observed, mask.hidden, early)
        patches = self.model.head(take(encoded.patches, mask.index))
        if not early:
            return BEiT2Predictions(patches, None)
        grid = self.model.encoder.grid(images)
        states = self._aggregate(encoded, grid, observed_patches(observed, grid))
        aggregated = self.model.head(self.model.encoder.norm(take(states, mask.index)))
        return BEiT2Predictions(patches, aggregated)

    def _aggregate(self, encoded: Encoded, grid: PatchGrid, valid: Tensor | None) -> Tensor:
        """[CLS after the last block; patches after the early one] through the extra blocks -> patches (B,
        N, D).
        """
        assert encoded.cls_raw is not None
        patches = encoded.layers[self.config.early_layer]
        segments = [Segment(patches.shape[0], grid, 1, valid)]
        flat = pack([torch.cat([encoded.cls_raw.unsqueeze(1), patches], dim=1)])
        for block in self.extra_blocks:
            flat = block(flat, segments)
        return split(flat, segments)[0][:, 1:]

    def loss(self, predictions: BEiT2Predictions, targets: Tensor, batch: Batch) -> dict[str, Tensor]:
        weight = _mask(batch).weight
        terms = {"code": masked_cross_entropy(predictions.patches, targets, weight)}
        if predictions.aggregated is not None:
            entropy = masked_cross_entropy(predictions.aggregated, targets, weight)
            terms["aggregation"] = self.config.aggregation_weight * entropy
        return terms

    def artifact(self) -> MaskedCodeModel:
        """Encoder, mask token and head; the extra blocks stay behind."""
        return self.model

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Entropy (nats) of the codes asked for in the last batch: what a model that sees nothing would
        reach.
        """
        if self._last is None:
            return {}
        codes, weight = self._last
        counts = torch.bincount(codes.flatten(), weight.flatten(), minlength=self.model.num_codes)
        return {"code_entropy": torch.special.entr(counts / counts.sum().clamp(min=1)).sum()}


def _mask(batch: Batch) -> Mask:
    mask = batch.masks[0]
    if mask is None:
        raise ValueError("BEiT v2 learns from masked patches: give its views a mask generator")
    return mask


def _rescale(block: nn.Module, number: int) -> None:
    """Divide the weights that write to the residual stream by √(2 · number) (BEiT, ``fix_init_weight``)."""
    with torch.no_grad():
        for name in ("attention.proj.weight", "mlp.2.weight"):
            block.get_parameter(name).div_(math.sqrt(2.0 * number))
