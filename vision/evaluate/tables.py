"""What the results share: tables of text, shares of right answers, and the checks of labels and features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.errors import InputError


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text with aligned columns, the first to the left, the others to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *aligned])


def check_labels(num_images: int, labels: Tensor, name: str) -> None:
    """InputError unless there is one label, a whole number from 0 on, for each of one or more images."""
    if num_images == 0:
        raise InputError(f"{name} is empty")
    if labels.shape != (num_images,):
        raise InputError(f"{name} has {num_images} images and labels of shape {tuple(labels.shape)}")
    if labels.dtype != torch.long or int(labels.min()) < 0:
        raise InputError(f"labels of {name} are {labels.dtype}, expected long integers from 0 on")


def check_features(features: Tensor, labels: Tensor, name: str, width: int | None = None) -> None:
    """InputError unless ``labels`` fit as in :func:`check_labels` and no row of ``features`` (n, F) has a NaN, with F
    as ``width`` says.
    """
    check_labels(len(features), labels, name)
    if width is not None and features.shape[1] != width:
        raise InputError(f"features of {name} have {features.shape[1]} numbers each, those learned from {width}")
    count = int(features.isnan().any(dim=1).sum())
    if count:
        raise InputError(
            f"{count} of the {len(features)} features of {name} are NaN: leave out images of which nothing was observed"
        )


def share_right(predicted: Tensor, labels: Tensor) -> float:
    """The share of predicted classes (n,) that are the labels (n,)."""
    return float((predicted == labels).float().mean())
