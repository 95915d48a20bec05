"""``fintok vision tokenize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vision.commands.options import DataPath, Overwrite, RunPath, say_next, say_wrote
from vision.commands.reading import (
    BatchSize,
    Device,
    MaxUnreadable,
    NumWorkers,
    check_arrays,
    inputs_of,
    open_shown,
    pick_device,
    tracked,
    unreadable_share,
    write_arrays,
)


def tokenize(
    *,
    model: RunPath,
    data: DataPath,
    out: Annotated[Path, Parameter(help="Where to write: .npz or .npy.")],
    max_unreadable: MaxUnreadable = None,
    batch_size: BatchSize = 256,
    num_workers: NumWorkers = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Codes of every image: one number per patch.

    Writes codes (N, rows, columns) int32; -1 = nothing of the patch was observed.
    """
    check_arrays(out, overwrite=overwrite)
    import torch

    from vision.evaluate.codebook import CodebookHealth, observed_codes
    from vision.nn.grid import PatchGrid
    from vision.train.artifacts import open_tokenizer

    tokenizer, extra = open_tokenizer(model)
    inputs = inputs_of(model, extra)
    shown = open_shown(data, inputs, max_unreadable=unreadable_share(model, max_unreadable))
    place = pick_device(device)
    grid = PatchGrid.of(*inputs.image_size, tokenizer.patch_size)
    tokenizer.to(place)
    batches = tracked(shown, batch_size, "tokens", num_workers)
    parts = [observed_codes(tokenizer, images.to(place)).int().cpu() for images in batches]
    codes = torch.cat(parts).view(-1, grid.rows, grid.columns)
    counts = torch.bincount(codes[codes >= 0].flatten().long(), minlength=tokenizer.num_codes)
    print(CodebookHealth(counts).summary())
    say_wrote(write_arrays({"codes": codes.numpy()}, out, overwrite=overwrite))
    say_next("vision", "pretrain", "--method", "beit2", "--tokenizer", model, "--data", data, "--out", "runs/beit2")
