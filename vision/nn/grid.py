"""The geometry of a patched image: the only place that knows how pixels, patches, rows and columns relate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PatchGrid:
    """``rows`` × ``columns`` patches of ``patch_height`` × ``patch_width`` pixels, numbered row by row."""

    rows: int
    columns: int
    patch_height: int
    patch_width: int

    @classmethod
    def of(cls, height: int, width: int, patch_size: tuple[int, int]) -> PatchGrid:
        """The grid of an image, sizes in pixels. Raises ValueError if patches do not fill it."""
        patch_height, patch_width = patch_size
        if height < 1 or width < 1 or height % patch_height or width % patch_width:
            raise ValueError(
                f"patches of {patch_height} x {patch_width} do not fill an image of {height} x {width} pixels"
            )
        return cls(height // patch_height, width // patch_width, patch_height, patch_width)

    @property
    def num_patches(self) -> int:
        return self.rows * self.columns

    @property
    def height(self) -> int:
        """Of the image, pixels."""
        return self.rows * self.patch_height

    @property
    def width(self) -> int:
        """Of the image, pixels."""
        return self.columns * self.patch_width

    def patchify(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> patches (B, N, P), pixels in the order (patch row, patch column, channel).

        That is the layout of MAE (He et al. 2022, ``patchify``), not the channel-major one of PixelShuffle.
        """
        batch, channels = images.shape[:2]
        self._check(images.shape[-2], images.shape[-1])
        cells = images.reshape(batch, channels, self.rows, self.patch_height, self.columns, self.patch_width)
        return cells.permute(0, 2, 4, 3, 5, 1).reshape(batch, self.num_patches, -1)  # (B, R·C, ph·pw·c)

    def unpatchify(self, patches: Tensor, channels: int) -> Tensor:
        """Patches (B, N, P) -> images (B, C, H, W): the inverse of :meth:`patchify`."""
        batch = patches.shape[0]
        cells = patches.reshape(batch, self.rows, self.columns, self.patch_height, self.patch_width, channels)
        return cells.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, self.height, self.width)

    def pool_any(self, observed: Tensor) -> Tensor:
        """Observed pixels (B, H, W) bool -> observed patches (B, N) bool: at least one pixel was observed."""
        self._check(observed.shape[-2], observed.shape[-1])
        cells = observed.reshape(-1, self.rows, self.patch_height, self.columns, self.patch_width)
        return cells.any(dim=4).any(dim=2).reshape(-1, self.num_patches)

    def _check(self, height: int, width: int) -> None:
        if (height, width) != (self.height, self.width):
            raise ValueError(f"got {height} x {width} pixels, this grid covers {self.height} x {self.width}")
