"""A page of what each code stands for: the patches nearest to it, in their surroundings."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision.evaluate.codebook import CodebookHealth, codes_and_closeness
from vision.evaluate.pictures import NOT_OBSERVED, Picture, data_uri, enlarge, montage, to_pictures
from vision.files import write_bytes
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import VisualTokenizer

FRAME = (255, 220, 0)  # colour of the frame around the patch itself
LEAST_SIDE = 48  # pixels of a thumbnail; smaller ones are enlarged

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
        color: #222; background: #fff; color-scheme: light dark }}
p {{ max-width: 45rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min({width}px, 100%), 1fr)); gap: 1rem 1.5rem }}
figure {{ margin: 0 }}
figcaption {{ margin-bottom: .2rem; font-variant-numeric: tabular-nums }}
img {{ image-rendering: pixelated; max-width: 100% }}
small {{ color: #666 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e5e7eb; background: #111827 }} small {{ color: #9ca3af }} }}
</style></head><body>
<h1>{title}</h1>
<p>{figures}</p>
<p>Each row shows the patches nearest to a code, the nearest first, framed, with the pixels around them;
grey lies beyond the image. {order}</p>
<main>
{rows}
</main></body></html>
"""


@dataclass(frozen=True)
class CodeGallery:
    """The nearest patches of each code, as pictures."""

    rows: dict[int, Picture]  # code -> its thumbnails side by side, the most used code first
    health: CodebookHealth

    def summary(self) -> str:
        """The health of the codebook, and how many codes are shown."""
        return f"{self.health.summary()}\ncodes shown: {len(self.rows)} of the {self.health.num_used} used"

    def __repr__(self) -> str:
        return f"CodeGallery({len(self.rows)} of {self.health.num_used} used codes)"

    def to_html(self, title: str = "What each code stands for") -> str:
        """One self-contained page."""
        health = self.health
        figures = (
            f"{health.num_used} of {health.num_codes} codes used on {health.num_patches} patches; perplexity "
            f"{health.perplexity:.1f}; the most used code has {health.largest_share:.1%} of the patches."
        )
        is_whole = len(self.rows) == health.num_used
        shown = "Every code that is used is shown" if is_whole else f"The {len(self.rows)} most used codes are shown"
        width = max((row.shape[1] for row in self.rows.values()), default=LEAST_SIDE)
        rows = "\n".join(_row(code, picture, int(health.counts[code])) for code, picture in self.rows.items())
        order = f"{shown}, the most used first."
        return _PAGE.format(title=html.escape(title), width=min(width, 560), figures=figures, order=order, rows=rows)

    def save(self, path: str | Path, title: str = "What each code stands for") -> None:
        """Write the page; its folder is made if it is not there."""
        write_bytes(self.to_html(title).encode(), Path(path))


@torch.no_grad()
def code_gallery(
    tokenizer: VisualTokenizer,
    images: Tensor,
    *,
    per_code: int = 8,
    max_codes: int = 512,
    context: int = 1,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 256,
) -> CodeGallery:
    """The ``per_code`` patches of ``images`` (n, C, H, W) that are nearest to each of the most used codes.

    Parameters
    ----------
    images : normalised as in training, NaN = not observed; they stay in memory, so some thousands.
    max_codes : shown; all used ones of a large codebook make a large page.
    context : patches shown around each, on every side.
    mean, std : undo the normalisation, see :func:`~vision.evaluate.pictures.to_pictures`.
    """
    device = next(tokenizer.parameters()).device
    grid = PatchGrid.of(images.shape[-2], images.shape[-1], tokenizer.patch_size)
    counts = torch.zeros(tokenizer.num_codes, dtype=torch.long)
    kept = (torch.empty(0, dtype=torch.long), torch.empty(0), torch.empty(0, dtype=torch.long))
    start = 0
    for batch in images.split(batch_size):
        codes, closeness = (part.flatten().cpu() for part in codes_and_closeness(tokenizer, batch.to(device)))
        places = torch.arange(start, start + len(codes))  # of a patch among all patches of all images
        start += len(codes)
        new = [part[codes >= 0] for part in (codes, closeness, places)]
        counts += torch.bincount(new[0], minlength=tokenizer.num_codes)
        pooled = [torch.cat(pair) for pair in zip(kept, new, strict=True)]
        nearest = nearest_of_each(pooled[0], pooled[1], per_code)
        kept = (pooled[0][nearest], pooled[1][nearest], pooled[2][nearest])
    used = int((counts > 0).sum())
    shown = counts.argsort(descending=True, stable=True)[: min(max_codes, used)].tolist()
    rows = {}
    for code in shown:
        places = kept[2][kept[0] == code].tolist()
        thumbnails = [_thumbnail(images, grid, place, context, mean, std) for place in places]
        rows[code] = montage([thumbnails], gap=3)
    return CodeGallery(rows, CodebookHealth(counts))


def nearest_of_each(codes: Tensor, closeness: Tensor, per_code: int) -> Tensor:
    """Codes (n,) and closeness (n,) -> numbers of the ``per_code`` closest of each code, the closest first."""
    order = closeness.argsort(descending=True, stable=True)
    order = order[codes[order].argsort(stable=True)]
    sorted_codes = codes[order]
    rank = torch.arange(len(order)) - torch.searchsorted(sorted_codes, sorted_codes)
    return order[rank < per_code]


def _thumbnail(
    images: Tensor,
    grid: PatchGrid,
    place: int,
    context: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Picture:
    """A patch, numbered through all images, with what is around it; grey beyond the image's edge."""
    number, patch = divmod(place, grid.num_patches)
    picture = to_pictures(images[number : number + 1], mean, std)[0]
    row, column = divmod(patch, grid.columns)
    high, wide = grid.patch_height, grid.patch_width
    edges = ((context * high,) * 2, (context * wide,) * 2, (0, 0))
    padded = np.pad(picture, edges, constant_values=NOT_OBSERVED)
    cut = padded[row * high : (row + 2 * context + 1) * high, column * wide : (column + 2 * context + 1) * wide]
    factor = max(-(-LEAST_SIDE // min(cut.shape[:2])), 1)
    cut = enlarge(cut, factor)
    if context:
        top, left, height, width = (side * factor for side in (context * high, context * wide, high, wide))
        cut[[top - 1, top + height], left - 1 : left + width + 1] = FRAME
        cut[top - 1 : top + height + 1, [left - 1, left + width]] = FRAME
    return cut


def _row(code: int, picture: Picture, count: int) -> str:
    caption = f"<figcaption>code {code} <small>{count} patches</small></figcaption>"
    image = f'<img src="{data_uri(picture)}" alt="patches nearest to code {code}" loading="lazy">'
    return f"<figure>{caption}{image}</figure>"
