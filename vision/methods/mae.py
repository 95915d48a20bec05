"""MAE: masked autoencoders (He et al., CVPR 2022, arXiv 2111.06377).

The encoder sees the visible patches alone (a quarter of them, at the paper's ratio of .75): positions are
added, then the hidden patches are dropped. A narrow decoder puts a mask token in their place, adds its own
positions, and predicts their pixels; the loss is over the hidden patches only (§3). With x the pixels of a
patch, normalised by the patch's own mean and unbiased variance,

    L = Σ_hidden mean_pixel (x̂ − (x − μ) / √(σ² + 10⁻⁶))² / number of hidden patches

one ratio for the whole batch. The paper hides patches at random, which serves it best, in blocks, or on a grid (§4,
fig. 6): RandomMask, BlockMask, GridMask. Written from the paper. Differences: a patch that was not observed is neither
seen nor predicted, nor are pixels that were not, but it goes through the encoder as padding, so that shapes do
not depend on the data. Where a mask generator varies its number, every image loses as many patches as it can
hide at most, and those that were dropped without being hidden are not predicted.
"""

import dataclasses

import torch
from torch import Tensor, nn

from vision.batch import Batch, Mask
from vision.config import ConfigError, MAEConfig, ViTConfig
from vision.losses import masked_mse
from vision.methods.base import HiddenPixels, MaskToken, Method, hidden_pixels, mask_of, observed_patches, take
from vision.nn.block import Block
from vision.nn.embed import Positions
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, pack, split
from vision.nn.vit import Encoded, VisionTransformer


class MAEDecoder(nn.Module):
    """Encoded visible patches, and a mask token for every other -> pixels (paper, §3, "MAE decoder").

    Parameters
    ----------
    encoder : gives attention's surroundings: patch size, positions, MLP.
    config : width, depth and heads.
    """

    def __init__(self, encoder: ViTConfig, config: MAEConfig) -> None:
        super().__init__()
        narrow = dataclasses.replace(
            encoder,
            dim=config.decoder_dim,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            num_registers=0,
            drop_path=0.0,
            layer_scale=None,
        )
        rows, columns = encoder.patch_size
        self.embed = nn.Linear(encoder.dim, narrow.dim)
        self.mask_token = MaskToken(narrow.dim, std=0.02)
        self.positions = Positions(narrow)
        self.blocks = nn.ModuleList(Block(narrow, index) for index in range(narrow.depth))
        self.norm = nn.LayerNorm(narrow.dim, eps=narrow.norm_eps)
        self.head = nn.Linear(narrow.dim, encoder.in_channels * rows * columns)

    def forward(self, encoded: Encoded, kept: Tensor, asked: Tensor, grid: PatchGrid, valid: Tensor | None) -> Tensor:
        """What was encoded of the patches ``kept`` (B, K) -> pixels (R, P) of those at ``asked`` (R,).

        ``valid`` : observed patches (B, N) bool, or None for all.
        """
        visible = self.embed(encoded.patches)  # (B, K, d)
        batch, _, dim = visible.shape
        place = kept.unsqueeze(-1).expand(-1, -1, dim)
        tokens = visible.new_zeros(batch, grid.num_patches, dim).scatter(1, place, visible)
        is_dropped = torch.ones_like(tokens[..., 0], dtype=torch.bool).scatter(1, kept, False)
        tokens = self.positions(self.mask_token(tokens, is_dropped), grid)
        num_global = 0
        if encoded.cls is not None:  # it has no position, here as in the encoder
            tokens, num_global = torch.cat([self.embed(encoded.cls).unsqueeze(1), tokens], dim=1), 1
        segments = [Segment(batch, grid, num_global, valid)]
        flat = pack([tokens])
        for block in self.blocks:
            flat = block(flat, segments)
        return self.head(self.norm(take(split(flat, segments)[0][:, num_global:], asked)))


class MAE(Method):
    """See the module's docstring. Batches: one crop size, with masks (paper: RandomMask(.75)).

    Parameters
    ----------
    encoder : joint attention over the window, with positions that are added: "sincos" (paper), "learned" or
        "table".
    config : knobs of the method.

    Raises
    ------
    ConfigError : the encoder cannot drop patches.
    """

    def __init__(self, encoder: ViTConfig, config: MAEConfig) -> None:
        super().__init__()
        _check_encoder(encoder)
        self.config = config
        self.encoder = VisionTransformer(encoder)
        self.decoder = MAEDecoder(encoder, config)
        self.apply(_init_weights)
        for token in (self.encoder.cls_token, self.encoder.registers):
            if token is not None:
                nn.init.normal_(token, std=0.02)

    @torch.no_grad()
    def targets(self, batch: Batch) -> HiddenPixels:
        """Pixels of the hidden patches, each patch normalised by itself if asked."""
        grid = self.encoder.grid(batch.views[0])
        return hidden_pixels(batch, _mask(batch, grid), grid, is_normalised=self.config.normalise_pixels)

    def predict(self, batch: Batch) -> Tensor:
        """Pixels (R, P) of the hidden patches, from the others."""
        images, observed = batch.views[0], batch.valid[0]
        grid = self.encoder.grid(images)
        mask = _mask(batch, grid)
        valid = observed_patches(observed, grid)
        kept = visible_index(mask)
        encoded = self.encoder.encode_kept(self.encoder.embed(images, observed), grid, kept, valid)
        return self.decoder(encoded, kept, mask.index, grid, valid)

    def loss(self, predictions: Tensor, targets: HiddenPixels, batch: Batch) -> dict[str, Tensor]:
        return {"pixel": masked_mse(predictions, targets.patches, targets.weight)}

    def num_places(self, targets: HiddenPixels, batch: Batch) -> Tensor:
        return targets.weight.sum(dtype=torch.float32)

    def artifact(self) -> VisionTransformer:
        """The encoder; the decoder was there for the training only."""
        return self.encoder


def visible_index(mask: Mask) -> Tensor:
    """The last N − M of each image's patches that are not hidden, (B, N − M) long, in their order."""
    return mask.hidden.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, mask.num_masked :]


def _mask(batch: Batch, grid: PatchGrid) -> Mask:
    mask = mask_of(batch, "MAE")
    expected = (len(batch.views[0]), grid.num_patches)  # patches are gathered: a smaller mask would go unnoticed
    if mask.hidden.shape != expected:
        raise ValueError(f"the mask is {tuple(mask.hidden.shape)} images and patches, the batch has {expected}")
    hidden, patches = mask.num_masked, mask.hidden.shape[1]
    if not 0 < hidden < patches:
        raise ValueError(f"MAE needs hidden and visible patches, the mask generator hides {hidden} of {patches}")
    return mask


def _check_encoder(encoder: ViTConfig) -> None:
    wanted = {"attention": "joint", "scope": "window", "relative_position": "none"}
    wrong = [f"{name} {value!r}" for name, value in wanted.items() if getattr(encoder, name) != value]
    axes = ("row_position", "column_position")
    wrong += [f"{name} 'sincos', 'learned' or 'table'" for name in axes if getattr(encoder, name) in ("none", "rotary")]
    if wrong:
        raise ConfigError(
            f"MAE drops the hidden patches, so its encoder must know a patch's place from its position alone: "
            f"set {', '.join(wrong)}; or take SimMIM, which keeps all patches"
        )


def _init_weights(module: nn.Module) -> None:
    """Xavier-uniform for every linear map, the patch projection included (paper, App. A.1)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
