"""Writing our encoders as other libraries do."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from vision.config import ViTConfig
from vision.convert.files import ConvertError
from vision.convert.forms import HUGGING_FACE, Form, find_form
from vision.convert.hugging_face import architecture, config_json, general_lacks, not_same
from vision.convert.match import to_theirs
from vision.convert.names import TIMM_REGISTERS, Names
from vision.convert.scale import PREPROCESSOR, Scale, preprocessor_json
from vision.files import write_bytes
from vision.nn.vit import VisionTransformer

HUGGING_FACE_FORM = "huggingface"
LARGEST_EPS = 1e-5  # that passes for the 1e-6 of official code, which no tensor tells (Hugging Face: 1e-12)


def write_encoder(
    encoder: VisionTransformer,
    path: str | Path,
    form: str,
    beside: Mapping[str, Tensor] | None = None,
    scale: Scale | None = None,
) -> None:
    """Write ``encoder`` in a form of :data:`vision.convert.forms.FORMS`, or "huggingface" for a folder.

    ``path`` ends in ``.pth`` (as the official code saves) or ``.safetensors``; a Hugging Face folder is made if
    it is not there. What is there is written over. The position of CLS, which is part of the token here, is
    zero, sin-cos positions are written out on the grid of ``max_rows`` × ``max_columns``, and BEiT's keys lose
    their bias, which changes no feature. Raises ConvertError when the form has no place for what the encoder has.

    ``beside`` : further tensors of the file, under their names there (see ``vision.convert.heads``).
    ``scale`` : of the images; a Hugging Face folder has a place for it, in ``preprocessor_config.json``.
    """
    target = Path(path)
    if form == HUGGING_FACE_FORM:
        _write_folder(encoder, target, scale)
        return
    chosen = find_form(form)
    check_suffix(target)
    names = _variant(encoder.config, chosen)
    refuse(encoder.config, chosen)
    tensors = {**to_theirs(encoder.state_dict(), names, encoder.config), **(beside or {})}
    if form == "dinov2":  # which is never without one
        tensors.setdefault("mask_token", torch.zeros(1, encoder.config.dim))
    write_tensors(tensors, target, chosen.layout)


def check_suffix(target: Path) -> None:
    """ConvertError unless the file is one that tensors are written to."""
    if target.suffix not in (".pth", ".pt", ".safetensors"):
        raise ConvertError(f"{target} ends in {target.suffix!r}, expected .pth or .safetensors")


def write_tensors(tensors: Mapping[str, Tensor], target: Path, layout: tuple[str, ...]) -> None:
    """Write a checkpoint; a ``.pth`` file holds the tensors under the entries of ``layout``."""
    content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(save(content) if target.suffix == ".safetensors" else _pickled(content, layout), target)


def _write_folder(encoder: VisionTransformer, folder: Path, scale: Scale | None) -> None:
    kind = architecture(encoder.config)
    tensors = to_theirs(encoder.state_dict(), HUGGING_FACE[kind], encoder.config)
    content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(save(content, metadata={"format": "pt"}), folder / "model.safetensors")
    write_bytes(_json(config_json(encoder.config, kind)), folder / "config.json")
    (folder / PREPROCESSOR).unlink(missing_ok=True)  # of another encoder
    if scale is not None:
        (rows, columns), config = encoder.config.patch_size, encoder.config
        size = (rows * config.max_rows, columns * config.max_columns)
        write_bytes(_json(preprocessor_json(scale.mean, scale.std, size)), folder / PREPROCESSOR)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _pickled(tensors: dict[str, Tensor], layout: tuple[str, ...]) -> memoryview:
    """The content of a file as the form's own code saves it."""
    content: dict[str, Any] = tensors
    for entry in layout:
        content = {entry: content}
    file = io.BytesIO()
    torch.save(content, file)
    return file.getbuffer()


def _variant(config: ViTConfig, form: Form) -> Names:
    """timm's names for a transformer with registers, with BEiT's attention, or the plain ones."""
    if config.num_registers and TIMM_REGISTERS in form.variants:
        return TIMM_REGISTERS
    if config.relative_position != "none":
        return form.variants[0]
    return form.variants[-1]


def refuse(config: ViTConfig, form: Form) -> None:
    """ConvertError where the form has no place for what the transformer has."""
    kinds = ("table", "sincos", "none") if "beit" in form.name or form.name == "timm" else ("table", "sincos")
    lacks = [
        (f"{config.row_position!r} row and {config.column_position!r} column positions", not_same(config, kinds)),
        (f"norm_eps {config.norm_eps:g}, for its code has 1e-6", config.norm_eps > LARGEST_EPS),
        *general_lacks(config),
    ]
    lacking = [what for what, is_lacking in lacks if is_lacking]
    if lacking:
        raise ConvertError(f"a {form.title} checkpoint has no place for {' and '.join(lacking)}")
