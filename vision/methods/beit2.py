"""BEiT v2: masked image modelling on codes, with patch aggregation (Peng et al. 2022, arXiv 2208.06366,
§2.3).

Hidden patches are replaced by a mask token and their codes, which a frozen tokenizer reads from the whole
image, are to be named from what is visible. A second path makes CLS carry the image: CLS of the last block L
joins the patches of an early one l (l = 9 of 12, 21 of 24) for two extra blocks, under the same norm and head::

    L_MIM   = −mean over hidden i of log p(z_i | h_i^L),      p = softmax of norm and linear head
    L^c_MIM = the same of the extra blocks' states of [h_CLS^L; h_1^l, …, h_N^l]
    L_total = L_MIM + L^c_MIM

The extra blocks are thrown away afterwards. Differences: the head's mean runs over masked patches that were observed;
positions and initial weights are those of our VisionTransformer (official: a normal cut at ± one std, and PyTorch's
own in the extra blocks), with BEiT's division of each block's output weights by √(2i); ``codebook_head`` adds to the
head's weight W the term E P, with E the code vectors, so that codes that lie close share what is learned (where data
are few; what the run leaves is the sum, a linear head); ``hint_channels`` show at hidden patches what a simpler model
expects there, and a second crop size, if there is one, images that this model has drawn, from which p(code | hint) is
learned beside the rest.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.batch import Batch
from vision.collapse import code_warning
from vision.config import BEiT2Config, ViTConfig
from vision.losses import masked_cross_entropy
from vision.methods.base import Method, check_global_tokens, mask_of, observed_patches, take
from vision.methods.codes import (
    MaskedCodeModel,
    check_tokenizer,
    code_entropy,
    hidden_codes,
    read_codes,
    rescale_outputs,
)
from vision.nn.block import Block
from vision.nn.grid import PatchGrid
from vision.nn.heads import CodebookHead
from vision.nn.packed import Segment, pack, split
from vision.nn.teacher import Frozen
from vision.nn.tokenizer import Tokenizer, VisualTokenizer
from vision.nn.vit import Encoded, init_weights


class BEiT2Targets(NamedTuple):
    """Codes, from whole images."""

    patches: Tensor  # (R,) long at the masked places
    drawn: Tensor | None  # (B', N') long of a second crop size


class BEiT2Predictions(NamedTuple):
    """Logits over K codes."""

    patches: Tensor  # (R, K) at the masked places
    aggregated: Tensor | None  # (R, K) of the second path
    drawn: Tensor | None  # (B', N', K) of a second crop size, from its hints alone


class BEiT2(Method):
    """See the module's docstring. Batches: one crop size, with masks; with hints perhaps a second one, without.

    Parameters
    ----------
    encoder : needs a CLS token when ``config.aggregation_depth`` is above 0.
    config : knobs of the method.
    tokenizer : copied and frozen; of several levels the first is predicted. It sees all channels.
    mixed_channels, hint_channels : see :class:`MaskedCodeModel`.

    Raises
    ------
    ValueError : encoder, tokenizer and aggregation do not fit together.
    """

    def __init__(
        self,
        encoder: ViTConfig,
        config: BEiT2Config,
        tokenizer: VisualTokenizer,
        mixed_channels: tuple[int, ...] = (),
        hint_channels: int = 0,
    ) -> None:
        super().__init__()
        is_aggregated = config.aggregation_depth > 0
        if is_aggregated and (not encoder.has_cls or config.early_layer > encoder.depth):
            raise ValueError(
                f"patch aggregation needs has_cls true and early_layer at most depth = {encoder.depth}, got "
                f"has_cls {encoder.has_cls} and early_layer {config.early_layer}; or set aggregation_depth 0"
            )
        if not is_aggregated:
            check_global_tokens(encoder)
        check_tokenizer(encoder, tokenizer)
        self.config = config
        self.tokenizer = Frozen(tokenizer)
        self.model = MaskedCodeModel(encoder, tokenizer.num_codes, mixed_channels, hint_channels)
        end = config.early_layer + config.aggregation_depth
        last, is_linear = max(encoder.depth, end) - 1, encoder.drop_path_shape == "linear"
        self.extra_blocks = nn.ModuleList(
            Block(encoder, index, drop_path=encoder.drop_path * (index / last if is_linear else 1.0))
            for index in range(config.early_layer, end)
        )
        self.extra_blocks.apply(init_weights)
        for number, block in enumerate(self.model.encoder.blocks, start=1):
            rescale_outputs(block, number)
        for number, block in enumerate(self.extra_blocks, start=config.early_layer + 1):
            rescale_outputs(block, number)
        if config.codebook_head:
            if not isinstance(tokenizer, Tokenizer):
                raise ValueError("codebook_head needs a tokenizer with a codebook (vqkd); set codebook_head false")
            self.model.head = CodebookHead(encoder.dim, tokenizer.codebook.weight[0])
        self._last: tuple[Tensor, Tensor] | None = None  # codes and weight of the last batch, for the figures

    @torch.no_grad()
    def targets(self, batch: Batch) -> BEiT2Targets:
        """The tokenizer's codes."""
        mask = mask_of(batch, "BEiT v2")
        whole = batch._replace(views=tuple(self.model.without_hints(images) for images in batch.views))
        codes = hidden_codes(self.tokenizer.module, whole, mask)
        self._last = (codes, mask.weight)
        if len(whole.views) == 1:
            return BEiT2Targets(codes, None)
        return BEiT2Targets(codes, read_codes(self.tokenizer.module, whole.views[1], whole.valid[1]))

    def predict(self, batch: Batch) -> BEiT2Predictions:
        """Both paths; the head runs on masked patches only."""
        images, observed, mask = batch.views[0], batch.valid[0], mask_of(batch, "BEiT v2")
        early = (self.config.early_layer,) if len(self.extra_blocks) else ()
        encoded = self.model.encode(images, observed, mask.hidden, early)
        hints = self.model.hint_patches(images)
        patches = self.model.classify(take(encoded.patches, mask.index), take(hints, mask.index))
        drawn = None
        if self.model.prior is not None and len(batch.views) > 1:
            drawn = self.model.prior(self.model.hint_patches(batch.views[1]))
        if not early:
            return BEiT2Predictions(patches, None, drawn)
        grid = self.model.encoder.grid(images)
        states = self._aggregate(encoded, grid, observed_patches(observed, grid))
        states = self.model.encoder.norm(take(states, mask.index))
        return BEiT2Predictions(patches, self.model.classify(states, take(hints, mask.index)), drawn)

    def _aggregate(self, encoded: Encoded, grid: PatchGrid, valid: Tensor | None) -> Tensor:
        """[CLS after the last block; patches after the early one] through the extra blocks -> patches (B,
        N, D).
        """
        assert encoded.cls_raw is not None
        patches = encoded.layers[self.config.early_layer]
        relative = self.model.encoder.relative
        segments = [Segment(patches.shape[0], grid, 1, valid, None if relative is None else relative(grid, 1))]
        flat = pack([torch.cat([encoded.cls_raw.unsqueeze(1), patches], dim=1)])
        for block in self.extra_blocks:
            flat = block(flat, segments)
        return split(flat, segments)[0][:, 1:]

    def loss(self, predictions: BEiT2Predictions, targets: BEiT2Targets, batch: Batch) -> dict[str, Tensor]:
        weight = mask_of(batch, "BEiT v2").weight
        terms = {"code": masked_cross_entropy(predictions.patches, targets.patches, weight)}
        if predictions.aggregated is not None:
            entropy = masked_cross_entropy(predictions.aggregated, targets.patches, weight)
            terms["aggregation"] = self.config.aggregation_weight * entropy
        if predictions.drawn is not None and targets.drawn is not None:
            is_told = self.model.hint_patches(batch.views[1]).any(dim=-1)
            terms["hint"] = masked_cross_entropy(predictions.drawn, targets.drawn, is_told.float())
        return terms

    def num_places(self, targets: BEiT2Targets, batch: Batch) -> Tensor:
        return mask_of(batch, "BEiT v2").weight.sum(dtype=torch.float32)

    def artifact(self) -> MaskedCodeModel:
        """Encoder, mask token and linear head; the extra blocks stay behind."""
        if not isinstance(self.model.head, CodebookHead):
            return self.model
        model = copy.deepcopy(self.model)
        model.head = self.model.head.plain()
        return model

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Entropy (nats) of the codes asked for in the last batch: what a model that sees nothing would
        reach.
        """
        if self._last is None:
            return {}
        return {"code_entropy": code_entropy(*self._last, self.model.num_codes)}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        places = 0 if self._last is None else len(self._last[0])
        return code_warning(figures, "code", self.model.num_codes, places)
