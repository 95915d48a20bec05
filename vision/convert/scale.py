"""The mean and standard deviation that a checkpoint wants its images normalised by."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vision.convert.files import ConvertError

PREPROCESSOR = "preprocessor_config.json"
BYTES = 255
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)
# microsoft/unilm: BEiT and VQ-KD bring images to [−1, 1]; BEiT v2 is trained with --imagenet_default_mean_and_std
HALVED = ("BEiT", "Hugging Face beit", "BEiT v2 tokenizer")


class Scale(NamedTuple):
    """Numbers per channel, of values in [0, 1] where the images are bytes."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str  # where they are from

    def summary(self) -> str:
        """As the flags that say the same, and where it is from."""
        return f"--mean {_listed(self.mean)} --std {_listed(self.std)} ({self.origin})"


def read_scale(path: Path, title: str, channels: int) -> Scale:
    """What the folder of timm or Hugging Face says, else the default of the form called ``title``.

    Raises ConvertError where the folder says something else than a number per channel.
    """
    for place in (path / PREPROCESSOR, path / "config.json"):
        if place.is_file() and (said := _said(place)) is not None:
            return make_scale(*said, str(place), channels)
    if channels != 3:
        return Scale((0.0,) * channels, (1.0,) * channels, f"none is known for {channels} channels")
    name, scale = ("BEiT's", HALF) if title in HALVED else ("ImageNet's", IMAGENET)
    other = "; of BEiT v2 say --form beit2" if title == "BEiT" else ""  # once fine-tuned, no name tells them apart
    return Scale(*scale, f"{name}, for the checkpoint does not say{other}")


def make_scale(mean: Sequence[float], std: Sequence[float], origin: str, channels: int) -> Scale:
    """Checked. Raises ConvertError that names ``origin``."""
    is_right = len(mean) == len(std) == channels and all(map(math.isfinite, (*mean, *std))) and min(std) > 0
    if not is_right:
        raise ConvertError(
            f"{origin}: mean is {_listed(mean)}, std is {_listed(std)}, expected a number for each of {channels} "
            "channels, those of std above 0: give --mean and --std"
        )
    return Scale(tuple(map(float, mean)), tuple(map(float, std)), origin)


def preprocessor_json(mean: Sequence[float], std: Sequence[float], size: tuple[int, int]) -> dict[str, Any]:
    """What Hugging Face's image processor is to do."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size[0], "width": size[1]},
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": 1 / BYTES,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def _said(place: Path) -> tuple[list[float], list[float]] | None:
    """Mean and std that a file of the folder names, of values in [0, 1]; None = it names none."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
        if place.name == PREPROCESSOR:
            mean, std = content.get("image_mean"), content.get("image_std")
            factor = BYTES * content.get("rescale_factor", 1 / BYTES) if content.get("do_rescale", True) else BYTES
        else:
            content = content.get("pretrained_cfg") or content  # older folders of timm have its keys at the top
            mean, std, factor = content.get("mean"), content.get("std"), 1.0
        if mean is None or std is None:
            return None
        if content.get("do_normalize") is False:
            mean, std = [0.0] * len(mean), [1.0] * len(std)
        return [value / factor for value in mean], [value / factor for value in std]
    except (OSError, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ConvertError(f"{place} names no mean and std per channel ({error})") from None


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(map(str, numbers))
