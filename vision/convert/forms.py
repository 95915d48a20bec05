"""The forms in which vision transformers are published, and which of them a checkpoint is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vision.convert.files import ConvertError
from vision.convert.names import (
    BEIT,
    BEIT2,
    DINO,
    DINOV2,
    HF_BEIT,
    HF_DINOV2,
    HF_VIT,
    IBOT,
    MAE,
    TIMM,
    TIMM_BEIT,
    TIMM_REGISTERS,
    Names,
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How one project publishes its encoders."""

    name: str  # as the user writes it
    title: str  # as it is called in messages
    variants: tuple[Names, ...]  # tried in this order: the first whose marks are there
    marks: tuple[str, ...]  # of each variant: a tensor that only it has; "" = any
    entries: tuple[str, ...]  # where a file keeps the weights, the best first
    layout: tuple[str, ...] = ()  # entries of a file that is written; () = tensors at the top

    def names(self, tensors: Collection[str]) -> Names:
        """The variant that these tensors are named by."""
        found = (names for names, mark in zip(self.variants, self.marks, strict=True) if not mark or mark in tensors)
        return next(found)


_TEACHER = ("teacher", "state_dict", "model", "student")  # DINO: the teacher is the better network
_MODEL = ("model", "model_ema", "state_dict", "module")

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(name="dino", title="DINO", variants=(DINO,), marks=("",), entries=_TEACHER),
        Form(name="ibot", title="iBOT", variants=(IBOT,), marks=("",), entries=_TEACHER, layout=("state_dict",)),
        Form(name="dinov2", title="DINOv2", variants=(DINOV2,), marks=("",), entries=_TEACHER),
        Form(name="mae", title="MAE", variants=(MAE,), marks=("",), entries=_MODEL, layout=("model",)),
        Form(name="beit", title="BEiT", variants=(BEIT,), marks=("",), entries=_MODEL, layout=("model",)),
        Form(name="beit2", title="BEiT v2", variants=(BEIT2,), marks=("",), entries=_MODEL, layout=("model",)),
        Form(
            name="timm",
            title="timm",
            variants=(TIMM_BEIT, TIMM_REGISTERS, TIMM),
            marks=("blocks.0.attn.q_bias", "reg_token", ""),
            entries=_MODEL,
        ),
    )
}

HUGGING_FACE: Mapping[str, Names] = {  # model_type of config.json -> names
    "vit": HF_VIT,
    "vit_mae": HF_VIT,
    "beit": HF_BEIT,
    "dinov2": HF_DINOV2,
    "dinov2_with_registers": HF_DINOV2,
}

_SIGNS = (  # a tensor's name that tells the form, the surest first
    ("beit2", r"cls_pt_layers\..*"),
    ("beit", r"(lm_head|rel_pos_bias)\..*|.*\.relative_position_index"),
    ("timm", r"reg_token|blocks\.0\.mlp\.fc1_.*"),
    ("timm", r"blocks\.0\.attn\.q_bias"),
    ("dinov2", r"register_tokens|blocks\.0\.mlp\.w12\.weight|(dino|ibot)_head\..*"),
    ("ibot", r"masked_embed|head\.last_layer2\..*"),
    ("dino", r"head\.last_layer\..*"),
    ("mae", r"decoder_embed\..*"),
)


def find_form(name: str) -> Form:
    """The form of a name. ConvertError with those there are."""
    if name not in FORMS:
        raise ConvertError(f"unknown form {name!r}; known: {', '.join(FORMS)}, and any Hugging Face folder")
    return FORMS[name]


def recognise(tensors: Collection[str]) -> Form:
    """The form that the names of the tensors tell; timm's, whose names DINO, iBOT and MAE share, if none does."""
    for name, pattern in _SIGNS:
        if any(re.fullmatch(pattern, tensor) for tensor in tensors):
            return FORMS[name]
    has_scale, has_mask_token = "blocks.0.ls1.gamma" in tensors, "mask_token" in tensors
    return FORMS["dinov2" if has_scale and has_mask_token else "mae" if has_mask_token else "timm"]
