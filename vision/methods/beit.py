"""BEiT: BERT pre-training of image transformers (Bao et al., ICLR 2022, arXiv 2106.08254).

An image has two views: patches, which the encoder reads, and visual tokens, one of |V| = 8192 per patch, which a
frozen tokenizer reads (the paper's is DALL-E's dVAE). Some 40 % of the patches, in blocks, are replaced by one
shared, learned embedding [M], before positions are added. At each hidden place a linear softmax classifier on the
last state names the visual token (§2.3, eq. 1 and 2)::

    p(z' | x^M) = softmax(W_c h^L_i + b_c)        max  Σ_{x in D} E_M [ Σ_{i in M} log p(z_i | x^M) ]

The loss is the mean of −log p over all hidden patches of the batch, as in the official code: one flat mean, not
one per image. The weights start as there: from a normal of std .02 cut at ± one std, the patch projection too, and
each block's two output weights divided by √(2i) in block i. The paper's encoder has ``relative_position: shared``,
no other position, and ``layer_scale`` .1 (ViT-L: 1e-5). Differences: any tokenizer with a code per patch serves,
dVAE or VQ-KD, and it reads the same view as the encoder (the paper's reads a smaller copy of it, on the same grid);
keys have a bias, which changes nothing; a patch that was not observed is neither seen nor asked for.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from vision.batch import Batch
from vision.collapse import code_warning
from vision.config import BEiTConfig, ViTConfig
from vision.losses import masked_cross_entropy
from vision.methods.base import Method, check_global_tokens, mask_of, take
from vision.methods.codes import (
    MaskedCodeModel,
    check_tokenizer,
    code_entropy,
    hidden_codes,
    init_cut_normal,
    rescale_outputs,
)
from vision.nn.teacher import Frozen
from vision.nn.tokenizer import VisualTokenizer


class BEiT(Method):
    """See the module's docstring. Batches: one crop size, with masks (paper: BlockMask of 75 of 196 patches).

    Parameters
    ----------
    encoder : its final norm is the head's norm.
    config : knobs of the method.
    tokenizer : gives the visual tokens; copied and frozen.

    Raises
    ------
    ValueError : tokenizer and encoder have patches of different size, or the encoder has global tokens that no
        patch sees (scope "causal").
    """

    def __init__(self, encoder: ViTConfig, config: BEiTConfig, tokenizer: VisualTokenizer) -> None:
        super().__init__()
        check_global_tokens(encoder)
        check_tokenizer(encoder, tokenizer)
        self.config = config
        self.tokenizer = Frozen(tokenizer)
        self.model = MaskedCodeModel(encoder, tokenizer.num_codes)
        init_cut_normal(self.model, config.initial_std)
        for number, block in enumerate(self.model.encoder.blocks, start=1):
            rescale_outputs(block, number)
        self._last: tuple[Tensor, Tensor] | None = None  # codes and weight of the last batch, for the figures

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Visual tokens (R,) long of the hidden patches, read from the whole image."""
        mask = mask_of(batch, "BEiT")
        codes = hidden_codes(self.tokenizer.module, batch, mask)
        self._last = (codes, mask.weight)
        return codes

    def predict(self, batch: Batch) -> Tensor:
        """Logits (R, K) of the hidden patches' tokens; the classifier runs on these patches alone."""
        mask = mask_of(batch, "BEiT")
        encoded = self.model.encode(batch.views[0], batch.valid[0], mask.hidden)
        return self.model.head(take(encoded.patches, mask.index))

    def loss(self, predictions: Tensor, targets: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"code": masked_cross_entropy(predictions, targets, mask_of(batch, "BEiT").weight)}

    def num_places(self, targets: Tensor, batch: Batch) -> Tensor:
        return mask_of(batch, "BEiT").weight.sum(dtype=torch.float32)

    def artifact(self) -> MaskedCodeModel:
        """Encoder, mask token and classifier."""
        return self.model

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Entropy (nats) of the tokens asked for in the last batch: the loss of a model that sees nothing."""
        return {} if self._last is None else {"code_entropy": code_entropy(*self._last, self.model.num_codes)}

    def warning(self, figures: Mapping[str, float]) -> str | None:
        places = 0 if self._last is None else len(self._last[0])
        return code_warning(figures, "code", self.model.num_codes, places)
