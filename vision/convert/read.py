"""Reading encoders of other libraries, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vision.config import ViTConfig
from vision.convert.files import Checkpoint, ConvertError, read_checkpoint
from vision.convert.forms import FORMS, HUGGING_FACE, Form, find_form, recognise
from vision.convert.hugging_face import describe
from vision.convert.infer import infer_config
from vision.convert.match import account, to_ours
from vision.convert.names import Names
from vision.nn.vit import VisionTransformer

ENTRIES = ("teacher", "model", "state_dict", "model_ema", "module", "student")  # where the form is not known yet


@dataclass(frozen=True)
class Converted:
    """An encoder out of another library's checkpoint, and what became of every tensor of the file."""

    encoder: VisionTransformer  # in eval mode, float32, on the CPU
    source: Path
    form: str
    num_used: int  # tensors of the file that the encoder is made of
    unused: Mapping[str, str]  # name of a tensor or of an entry of the file -> what it is
    entry: str | None  # of the file, that the tensors are from; None = it has none

    def summary(self) -> str:
        """What was read, what was not, one line for each kind."""
        config = self.encoder.config
        size = f"{config.depth} blocks of {config.dim}, {config.heads} heads, patches of {config.patch_size}"
        lines = [f"{self.source}: {self.form}, {size}; {self.num_used} tensors used"]
        kinds = dict.fromkeys(self.unused.values())
        for kind in kinds:
            names = [name for name, what in self.unused.items() if what == kind]
            listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            lines.append(f"not used: {kind}, {len(names)} ({listed})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Converted({self.form}, {self.num_used} tensors used, {len(self.unused)} not used)"


def read_encoder(
    path: str | Path,
    form: str | None = None,
    *,
    entry: str | None = None,
    heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> Converted:
    """The encoder of a published checkpoint: a ``.pth`` or ``.safetensors`` file, or a Hugging Face or timm folder.

    Every tensor of the file is used, or named in ``unused`` with what it is; one that is missing, unknown or of
    a wrong shape is an error. The position of CLS becomes part of the token, the bias that BEiT's keys do not
    have is zero: the features are the same.

    Parameters
    ----------
    form : "dino", "ibot", "dinov2", "mae", "beit", "beit2" or "timm"; None = as the names tell.
    entry : of the file, that holds the weights ("teacher", "student", "model", …); None = the best there is.
    heads, grid : where the file does not tell; see :func:`vision.convert.infer.infer_config`.

    Raises
    ------
    ConvertError : one sentence with the file and its fault.
    """
    source = Path(path)
    asked = None if form is None else find_form(form)
    checkpoint = read_checkpoint(source, ENTRIES if asked is None else asked.entries, entry)
    if checkpoint.config is not None and not _is_timm(checkpoint.config):
        return _from_hugging_face(checkpoint, asked, heads, grid)
    tensors = _without_chunks(checkpoint.tensors)
    chosen = asked or (recognise(tensors) if checkpoint.config is None else FORMS["timm"])
    what = f"{source}, read as {chosen.title},"
    try:
        names = chosen.names(tensors)
        config = infer_config(tensors, names, what, heads, grid)
        return _build(checkpoint, tensors, names, config, chosen.title, what)
    except ConvertError as error:
        raise ConvertError(f"{error}{_hint(chosen, tensors)}") from None


def _is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a folder of the hub is timm's, whose ``config.json`` names an architecture and no model_type."""
    return "architecture" in config and "model_type" not in config


def _from_hugging_face(
    checkpoint: Checkpoint, asked: Form | None, heads: int | None, grid: tuple[int, int] | None
) -> Converted:
    if asked is not None:
        raise ConvertError(f"{checkpoint.path} is a Hugging Face folder: read it without the form {asked.name!r}")
    assert checkpoint.config is not None
    kind, tensors, config = describe(checkpoint.path, checkpoint.config, checkpoint.tensors)
    told = config.heads, (config.max_rows, config.max_columns)
    if heads not in (None, told[0]) or grid not in (None, told[1]):
        raise ConvertError(
            f"{checkpoint.path / 'config.json'} tells of {told[0]} heads and {told[1][0]} x {told[1][1]} patches: "
            "leave --heads and --grid (in Python heads and grid) out"
        )
    title = f"Hugging Face {kind}"
    return _build(checkpoint, tensors, HUGGING_FACE[kind], config, title, f"{checkpoint.path}, read as {title},")


def _build(
    checkpoint: Checkpoint, tensors: Mapping[str, Tensor], names: Names, config: ViTConfig, title: str, what: str
) -> Converted:
    unused = account(tensors, names, config, what)
    with torch.device("meta"):  # no weights are drawn, only to be replaced
        encoder = VisionTransformer(config)
    state = {name: tensor.contiguous() for name, tensor in to_ours(tensors, names, config).items()}
    encoder.load_state_dict(state, assign=True)
    others = dict.fromkeys(checkpoint.others, "entry of the file")
    num_used = len(tensors) - len(unused)
    return Converted(encoder.eval(), checkpoint.path, title, num_used, {**unused, **others}, checkpoint.entry)


def _without_chunks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``blocks.0.3.norm1`` of DINOv2's training checkpoints (blocks in chunks, for FSDP) -> ``blocks.3.norm1``."""
    return {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name): tensor for name, tensor in tensors.items()}


def _hint(chosen: Form, tensors: Mapping[str, Tensor]) -> str:
    likely = recognise(tensors)
    is_same = likely is chosen or (likely is FORMS["timm"] and chosen.name in ("dino", "ibot", "mae"))
    return "" if is_same else f"; by its names it is a {likely.title} checkpoint ({likely.name!r})"
