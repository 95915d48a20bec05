"""What commands that read with a trained model share: the model, the images as it sees them, the device."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter
from cyclopts.validators import Number

from vision.commands.options import AT_LEAST_ONE
from vision.config import ImagesConfig, from_dict, read_yaml
from vision.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset

    from vision.data.shown import ShownImages
    from vision.evaluate.finetune import Images
    from vision.train.inputs import Inputs

Device = Annotated[str, Parameter(help="Where to compute: cpu, cuda, or auto.")]
BatchSize = Annotated[int, Parameter(help="Images at once.", validator=AT_LEAST_ONE)]
NumWorkers = Annotated[int, Parameter(help="Processes that read images; 0 = this one.", validator=Number(gte=0))]
MaxUnreadable = Annotated[
    float | None,
    Parameter(
        help="Share of the images that may be unreadable and are left out; by default what the run was trained with.",
        validator=Number(gte=0, lt=1),
        show_default=False,
    ),
]


def inputs_of(model: Path, extra: Mapping[str, Any]) -> Inputs:
    """What the model was trained on. Raises InputError where it does not say."""
    from vision.train.inputs import Inputs

    if "inputs" not in extra:
        raise InputError(f"{model} does not say what images it was trained on (size, mean and std)")
    return from_dict(Inputs, extra["inputs"], str(model))


def unreadable_share(model: Path | None, given: float | None) -> float:
    """Share of the images that may be unreadable: as given, else as the run ``model`` says, else as by default."""
    from vision.train.folder import CONFIG_FILE

    if given is None and model is not None and (model / CONFIG_FILE).is_file():
        given = read_yaml(model / CONFIG_FILE).get("images", {}).get("max_unreadable")
    return ImagesConfig.max_unreadable if given is None else given


def open_shown(
    data: Path,
    inputs: Inputs,
    label_column: str | None = None,
    *,
    is_reduced: bool = True,
    max_unreadable: float = ImagesConfig.max_unreadable,
) -> ShownImages:
    """The images at ``data`` that can be read, as the model sees them; those beneath may be reduced to what that takes.

    ``max_unreadable`` : share of them that may be left out. Raises InputError.
    """
    from vision.data.images import EncodedImages
    from vision.data.shown import ShownImages
    from vision.train.inputs import open_data
    from vision.train.progress import track

    size = inputs.image_size if is_reduced else None
    images = open_data(data, ImagesConfig(size=size, label_column=label_column, max_unreadable=max_unreadable))
    if images.channels != inputs.channels:
        raise InputError(f"{data} has {images.channels} channels, the model was trained on {inputs.channels}")
    if isinstance(images, EncodedImages):
        images.leave_out_unreadable(track)
    return ShownImages(images, inputs.image_size, inputs.mean, inputs.std)


def tracked(shown: ShownImages, batch_size: int, description: str, num_workers: int = 0) -> Iterator[Tensor]:
    """Batches of all images, NaN = not observed; long readings show how far they are, on stderr.

    ``num_workers`` : processes that read them; 0 = this one. Changes no number.
    """
    import torch

    from vision.train.progress import track

    chosen = torch.arange(len(shown)).split(batch_size)
    for _, images in zip(track(chosen, description), read_batches(shown, chosen, num_workers), strict=True):
        yield images


def read_batches(images: Images, chosen: Sequence[Tensor], num_workers: int = 0) -> Iterator[Tensor]:
    """Batches of images by their numbers (B,), in this order, ``num_workers`` as in :func:`tracked`."""
    import torch
    from torch.utils.data import DataLoader

    from vision.data.loader import prepare_worker, unwrapped

    try:
        yield from DataLoader(
            cast("Dataset[Tensor]", images),
            batch_size=None,
            sampler=chosen,
            num_workers=num_workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=prepare_worker,
            generator=torch.Generator(),  # else the loader draws from the global one
        )
    except InputError as error:
        raise unwrapped(error) from None


def observed_part(shown: ShownImages) -> ShownImages:
    """The images of which something was observed; how many others there are is told on stderr. Raises InputError."""
    import torch

    from vision.data.arrays import ArrayImages

    if not (isinstance(shown.images, ArrayImages) and shown.images.has_gaps):
        return shown
    places = torch.arange(len(shown))
    is_seen = torch.cat([~shown[place].isnan().flatten(1).all(dim=1) for place in places.split(1)])
    if not is_seen.any():
        raise InputError(f"{shown.images.name}: nothing was observed of any image")
    if not is_seen.all():
        unseen = f"{int((~is_seen).sum())} of the {len(shown)} images"
        print(f"{shown.images.name}: left out {unseen}, of which nothing was observed", file=sys.stderr)
    return shown.part(places[is_seen])


def labels_of(shown: ShownImages) -> Tensor:
    """Labels (n,) long. Raises InputError where there are none."""
    if shown.labels is None:
        raise InputError(f"{shown.images.name} has no labels: {shown.images.label_advice}")
    return shown.labels


def pick_device(device: str) -> str:
    """``auto`` is the GPU where there is one. Raises InputError for a device that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def write_arrays(arrays: Mapping[str, Any], out: Path, *, overwrite: bool) -> Path:
    """Write ``.npz`` with every array, or ``.npy`` with the first. Raises InputError."""
    import io

    import numpy as np

    from vision.files import check_output, write_bytes

    path, file = check_output(out, overwrite=overwrite), io.BytesIO()
    if path.suffix == ".npy":
        np.save(file, next(iter(arrays.values())))
    else:
        np.savez(file, **arrays)
    return write_bytes(file.getbuffer(), path)


def check_arrays(out: Path, *, overwrite: bool) -> None:
    """Refuse before the work what :func:`write_arrays` would refuse after it."""
    from vision.files import check_output

    if out.suffix not in (".npz", ".npy"):
        raise InputError(f"{out}: arrays are written as .npz or .npy, by the ending of the name")
    check_output(out, overwrite=overwrite)
