"""``fintok vision features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vision.commands.options import DataPath, LabelColumn, Overwrite, RunPath, say_next, say_wrote
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
from vision.evaluate.config import Pooling


def features(
    *,
    model: RunPath,
    data: DataPath,
    out: Annotated[Path, Parameter(help="Where to write: .npz (features, labels) or .npy (features).")],
    pooling: Annotated[
        Pooling | None,
        Parameter(help="CLS, the mean patch, or both; by default what the method trains.", show_default=False),
    ] = None,
    last_blocks: Annotated[int, Parameter(help="Of as many blocks, one after the other.")] = 1,
    label_column: LabelColumn = None,
    max_unreadable: MaxUnreadable = None,
    batch_size: BatchSize = 256,
    num_workers: NumWorkers = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Features of every image: one row of numbers each.

    Writes features (N, F) float32 and, where the images have them, labels (N,) and label_names. NaN = nothing of the
    image was observed.
    """
    check_arrays(out, overwrite=overwrite)
    from vision.evaluate.features import extract_features
    from vision.train.artifacts import open_encoder

    encoder, extra = open_encoder(model)
    share = unreadable_share(model, max_unreadable)
    shown = open_shown(data, inputs_of(model, extra), label_column, max_unreadable=share)
    chosen = pooling or default_pooling(extra.get("method"), encoder.config.has_cls)
    values = extract_features(
        encoder,
        tracked(shown, batch_size, "features", num_workers),
        pooling=chosen,
        last_blocks=last_blocks,
        device=pick_device(device),
    )
    arrays = {"features": values.numpy()}
    if shown.images.labels is not None:
        arrays |= {"labels": shown.images.labels.numbers, "label_names": shown.images.labels.names}
    print(f"{len(shown)} images, {values.shape[1]} features each ({chosen})")
    num_unseen = int(values.isnan().all(dim=1).sum())
    if num_unseen:
        print(f"nothing was observed of {num_unseen} of them: their features are NaN")
    say_wrote(write_arrays(arrays, out, overwrite=overwrite))
    column = [] if label_column is None else ["--label-column", label_column]
    task = [] if shown.images.labels is not None else ["--task", "attention"]  # the others want labels
    if not task or (encoder.config.attention == "joint" and encoder.config.scope != "patch"):
        words = ("--model", model, "--data", data, "--out", out.with_name("evaluation"))
        say_next("vision", "evaluate", *words, *column, *task)


def default_pooling(method: str | None, has_cls: bool) -> Literal["cls", "mean"]:
    """What a method trains: CLS where it is compared or predicts, else the patches."""
    return "cls" if has_cls and method in ("dino", "ibot", "dinov2", "beit2", None) else "mean"
