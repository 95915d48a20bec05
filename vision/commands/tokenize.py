"""``fintok vision tokenize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vision.commands.options import DataPath, Overwrite, RunPath, say_next, say_wrote
from vision.commands.reading import (
    BatchSize,
    Device,
    check_arrays,
    inputs_of,
    open_shown,
    pick_device,
    write_arrays,
)


def tokenize(
    *,
    model: RunPath,
    data: DataPath,
    out: Annotated[Path, Parameter(help="Where to write: .npz or .npy.")],
    batch_size: BatchSize = 256,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Codes of every image: one number per patch.

    Writes codes (N, rows, columns) int32; -1 = nothing of the patch was observed.
    """
    check_arrays(out, overwrite=overwrite)
    import torch

    from vision.evaluate.codebook import CodebookHealth
    from vision.nn.grid import PatchGrid
    from vision.train.artifacts import open_tokenizer
    from vision.train.progress import track

    tokenizer, extra = open_tokenizer(model)
    inputs = inputs_of(model, extra)
    shown, place = open_shown(data, inputs), pick_device(device)
    grid = PatchGrid.of(*inputs.image_size, tokenizer.patch_size)
    tokenizer.to(place)
    parts = []
    for chosen in track(torch.arange(len(shown)).split(batch_size), "tokens"):
        images, observed = zip(*(shown.read(number) for number in chosen.tolist()), strict=True)
        valid = None
        if any(seen is not None for seen in observed):
            whole = torch.ones(inputs.image_size, dtype=torch.bool)
            valid = torch.stack([whole if seen is None else seen for seen in observed]).to(place)
        codes = tokenizer.codes(torch.stack(images).to(place), valid)
        if valid is not None:
            codes = torch.where(grid.pool_any(valid), codes, -1)
        parts.append(codes.view(-1, grid.rows, grid.columns).int().cpu())
    codes = torch.cat(parts)
    counts = torch.bincount(codes[codes >= 0].flatten().long(), minlength=tokenizer.num_codes)
    print(CodebookHealth(counts).summary())
    say_wrote(write_arrays({"codes": codes.numpy()}, out, overwrite=overwrite))
    say_next("vision", "pretrain", "--method", "beit2", "--tokenizer", model, "--data", data, "--out", "runs/beit2")
