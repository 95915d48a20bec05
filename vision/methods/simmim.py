"""SimMIM: a simple framework for masked image modelling (Xie et al., CVPR 2022, arXiv 2111.09886).

Hidden patches are replaced by a learned mask token before positions are added; the encoder sees all tokens;
one linear layer predicts the pixels of the hidden ones, as they are, under an l1 loss (§3):

    L = Σ_hidden |x̂ − x| / number of hidden pixels and channels

one ratio for the whole batch. The paper hides 60 % in cells of 32 pixels (``GridMask``, §3.2); its ViT is BEiT's
(``relative_position: shared``, no other position, ``layer_scale`` .1) and starts like it. Differences: pixels are
in the order of our PatchGrid, not PixelShuffle's, which permutes the rows of the linear layer; the official 10⁻⁵
in the denominator is left out; a patch that was not observed is neither seen nor predicted, nor are pixels that
were not.
"""

import torch
from torch import Tensor, nn

from vision.batch import Batch
from vision.config import SimMIMConfig, ViTConfig
from vision.losses import masked_l1
from vision.methods.base import (
    HiddenPixels,
    MaskToken,
    Method,
    check_global_tokens,
    hidden_pixels,
    mask_of,
    observed_patches,
    take,
)
from vision.methods.codes import init_cut_normal, rescale_outputs
from vision.nn.vit import VisionTransformer


class SimMIM(Method):
    """See the module's docstring. Batches: one crop size, with masks (paper: GridMask(.6)).

    Parameters
    ----------
    encoder : any in which patches see one another.
    config : knobs of the method.

    Raises
    ------
    ValueError : a hidden patch sees no other (scope "patch"), or no patch the global tokens (scope "causal").
    """

    def __init__(self, encoder: ViTConfig, config: SimMIMConfig) -> None:
        super().__init__()
        if encoder.scope == "patch":
            raise ValueError("in scope 'patch' a hidden patch sees no other: set scope 'window' or 'causal'")
        check_global_tokens(encoder)
        self.config = config
        rows, columns = encoder.patch_size
        self.encoder = VisionTransformer(encoder)
        self.mask_token = MaskToken(encoder.dim, std=0.02)
        self.head = nn.Linear(encoder.dim, encoder.in_channels * rows * columns)
        for part in (self.encoder, self.mask_token):  # the head keeps PyTorch's default, as in the official code
            init_cut_normal(part, std=0.02)
        for number, block in enumerate(self.encoder.blocks, start=1):
            rescale_outputs(block, number)

    @torch.no_grad()
    def targets(self, batch: Batch) -> HiddenPixels:
        """The pixels of the hidden patches, as the loader gives them unless asked otherwise."""
        grid = self.encoder.grid(batch.views[0])
        return hidden_pixels(batch, mask_of(batch, "SimMIM"), grid, is_normalised=self.config.normalise_pixels)

    def predict(self, batch: Batch) -> Tensor:
        """Pixels (R, P) of the hidden patches, from the others."""
        images, observed, mask = batch.views[0], batch.valid[0], mask_of(batch, "SimMIM")
        grid = self.encoder.grid(images)
        tokens = self.mask_token(self.encoder.embed(images, observed), mask.hidden)
        encoded = self.encoder.encode([tokens], [grid], [observed_patches(observed, grid)])[0]
        return self.head(take(encoded.patches, mask.index))

    def loss(self, predictions: Tensor, targets: HiddenPixels, batch: Batch) -> dict[str, Tensor]:
        return {"pixel": masked_l1(predictions, targets.patches, targets.weight)}

    def num_places(self, targets: HiddenPixels, batch: Batch) -> Tensor:
        return targets.weight.sum(dtype=torch.float32)

    def artifact(self) -> VisionTransformer:
        """The encoder; the mask token and the linear layer stay behind."""
        return self.encoder
