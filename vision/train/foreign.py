"""Whole pre-training models out of other libraries' checkpoints and into them: what encoders alone leave behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vision.config import ImagesConfig, PretrainConfig
from vision.convert.forms import FORMS
from vision.convert.heads import code_head_to_theirs, mae_decoder_to_theirs, read_code_head, read_mae_decoder
from vision.convert.read import Converted
from vision.methods.codes import MaskedCodeModel
from vision.methods.mae import MAE
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import MODEL, save_artifacts
from vision.train.build import load_method
from vision.train.checkpoint import fill, load_masked_model
from vision.train.folder import STATE, RunFacts, clear_folder, open_folder, read_run
from vision.train.inputs import Inputs
from vision.train.state import load_training_state, save_training_state

_METHODS = {form.title: form.name for form in FORMS.values() if form.name != "timm"}
_HUGGING_FACE = {f"Hugging Face {kind}": name for kind, name in (
    ("vit_mae", "mae"), ("beit", "beit"), ("dinov2", "dinov2"), ("dinov2_with_registers", "dinov2"),
)}  # fmt: skip


def save_converted(out: Path, read: Converted, inputs: Inputs, extra: Mapping[str, Any]) -> str | None:
    """Write what a checkpoint holds into the folder ``out``; says what beside the encoder, None = nothing.

    What a run or another conversion left there is removed first.

    MAE with its decoder becomes a run that has not begun, whose pictures ``evaluate --task reconstruction`` draws (but
    for Hugging Face's, no file tells whether patches were normalised: as by default, they were); BEiT and BEiT v2 with
    their classifier a masked code model.
    """
    name = _METHODS.get(read.form) or _HUGGING_FACE.get(read.form)
    encoder = read.encoder
    if name == "mae" and (decoder := read_mae_decoder(read.source, read.entry, encoder.config)) is not None:
        config, tensors = decoder
        method = MAE(encoder.config, config)
        fill(method, _of_encoder(encoder) | tensors, read.source)
        _open_run(out, read.source, inputs, method)
        save_artifacts(out, encoder, {**extra, "method": name})
        return "decoder and mask token"
    if name in ("beit", "beit2") and (head := read_code_head(read.source, read.entry)) is not None:
        model = MaskedCodeModel(encoder.config, head["head.weight"].shape[0])
        fill(model, _of_encoder(encoder) | head, read.source)
        clear_folder(out)
        save_artifacts(out, model.eval(), {**extra, "method": name})
        return "mask token and classifier of codes"
    clear_folder(out)
    save_artifacts(out, encoder, {**extra, "method": name})
    return None


def tensors_beside(run: Path, form: str) -> dict[str, Tensor]:
    """What a run has beside its encoder, as a checkpoint of ``form`` names it; empty where there is nothing.

    Raises ConvertError where there is something for which the form has no place.
    """
    state = run / f"{STATE}.ckpt"
    if form == "dinov2" and state.is_file() and read_run(run)[0].method == "dinov2":
        return {"mask_token": load_training_state(state)["method"]["mask_token.weight"]}
    if form == "mae" and state.is_file() and read_run(run)[0].method == "mae":
        method = load_method(run).method
        assert isinstance(method, MAE)
        return mae_decoder_to_theirs(method.state_dict(), method.encoder.config, method.config)
    if form in ("beit", "beit2") and (run / MODEL).is_dir():
        return code_head_to_theirs(load_masked_model(run / MODEL).state_dict())
    return {}


def _of_encoder(encoder: VisionTransformer) -> dict[str, Tensor]:
    """Its weights as a model that holds it names them."""
    return {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}


def _open_run(out: Path, source: Path, inputs: Inputs, method: MAE) -> None:
    """A folder of a run at step 0."""
    images = ImagesConfig(size=inputs.image_size, mean=inputs.mean, std=inputs.std)
    config = PretrainConfig(method="mae", images=images, encoder=method.encoder.config, mae=method.config)
    facts = RunFacts(data=os.path.abspath(source), num_images=0, parent=None, inputs=inputs)
    open_folder(out, config, facts, resume=False)
    state = {"run": {}, "step": 0, "method": method.state_dict(), "optimizer": {}}
    save_training_state(out / f"{STATE}.ckpt", state)
