"""Where other libraries keep what a vision transformer is made of: name maps as data.

``{i}`` is a block, counted from 0. Read in the repositories named beside each map; Hugging Face's are those of
its files, which ``from_pretrained`` of every release reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

BLOCK, LAYER = "blocks.{i}", "encoder.layer.{i}"


@dataclass(frozen=True, kw_only=True)
class Names:
    """One library's names for our tensors; None where it has no such thing."""

    linears: Mapping[str, str]  # ours -> theirs: norms and linear maps, each with .weight and .bias
    kernel: str  # the patch convolution, .weight and .bias
    cls: str
    positions: str
    qkv: tuple[str, ...]  # one fused linear map, or query, key and value
    query_value_bias: tuple[str, str] | None = None  # BEiT: keys have none; None = .bias beside each .weight
    registers: str | None = None
    scales: tuple[str, str] | None = None  # LayerScale of attention and of the MLP
    swiglu: tuple[str, str] | None = None  # both linear maps of a gated MLP, the first of gate and value
    shared_bias: str | None = None  # relative position table of all blocks
    block_bias: str | None = None  # relative position table of one block
    cls_has_position: bool = True
    extras: Mapping[str, str]  # pattern -> what it is: no part of the encoder


_OFFICIAL_LINEARS = {
    "norm": "norm",
    f"{BLOCK}.norm1": f"{BLOCK}.norm1",
    f"{BLOCK}.attention.proj": f"{BLOCK}.attn.proj",
    f"{BLOCK}.norm2": f"{BLOCK}.norm2",
    f"{BLOCK}.mlp.0": f"{BLOCK}.mlp.fc1",
    f"{BLOCK}.mlp.2": f"{BLOCK}.mlp.fc2",
}
_INDEX = {r"(.*\.)?relative_position_index": "index that follows from the grid"}
_CLASSIFIER = {r"head\.(weight|bias)": "classifier", r"fc_norm\..*": "norm of the classifier"}

DINO = Names(  # facebookresearch/dino, vision_transformer.py
    linears=_OFFICIAL_LINEARS,
    kernel="patch_embed.proj",
    cls="cls_token",
    positions="pos_embed",
    qkv=(f"{BLOCK}.attn.qkv",),
    extras={r"head\.(mlp|last_layer).*": "projection head"},
)
IBOT = replace(  # bytedance/ibot, models/vision_transformer.py
    DINO, extras={**DINO.extras, r"head\.last_layer2.*": "projection head", r"masked_embed": "mask token"}
)
MAE = replace(  # facebookresearch/mae, models_mae.py and models_vit.py
    DINO, extras={**_CLASSIFIER, r"decoder_.*": "decoder", r"mask_token": "mask token"}
)
DINOV2 = replace(  # facebookresearch/dinov2, models/vision_transformer.py
    DINO,
    registers="register_tokens",
    scales=(f"{BLOCK}.ls1.gamma", f"{BLOCK}.ls2.gamma"),
    swiglu=(f"{BLOCK}.mlp.w12", f"{BLOCK}.mlp.w3"),
    extras={r"(dino|ibot)_head\..*": "projection head", r"mask_token": "mask token"},
)
BEIT = replace(  # microsoft/unilm, beit/modeling_pretrain.py and modeling_finetune.py
    DINO,
    query_value_bias=(f"{BLOCK}.attn.q_bias", f"{BLOCK}.attn.v_bias"),
    scales=(f"{BLOCK}.gamma_1", f"{BLOCK}.gamma_2"),
    shared_bias="rel_pos_bias.relative_position_bias_table",
    block_bias=f"{BLOCK}.attn.relative_position_bias_table",
    extras={
        **_CLASSIFIER,
        r"lm_head\..*": "masked modelling head",
        r"mask_token": "mask token",
        **_INDEX,
    },
)
BEIT2 = replace(  # microsoft/unilm, beit2/modeling_pretrain.py
    BEIT, extras={**BEIT.extras, r"cls_pt_layers\..*": "patch aggregation", r"cls_pt_(norm|lm_head)\..*": "its head"}
)
TIMM = replace(  # huggingface/pytorch-image-models, timm/models/vision_transformer.py
    DINOV2,
    registers="reg_token",
    swiglu=(f"{BLOCK}.mlp.fc1", f"{BLOCK}.mlp.fc2"),
    extras=_CLASSIFIER,
)
TIMM_REGISTERS = replace(TIMM, cls_has_position=False)  # its no_embed_class
TIMM_BEIT = replace(BEIT, extras={**_CLASSIFIER, **_INDEX})  # timm/models/beit.py; older releases saved the index

_HF_LINEARS = {
    "norm": "layernorm",
    f"{BLOCK}.norm1": f"{LAYER}.layernorm_before",
    f"{BLOCK}.attention.proj": f"{LAYER}.attention.output.dense",
    f"{BLOCK}.norm2": f"{LAYER}.layernorm_after",
    f"{BLOCK}.mlp.0": f"{LAYER}.intermediate.dense",
    f"{BLOCK}.mlp.2": f"{LAYER}.output.dense",
}
_QUERY, _KEY, _VALUE = (f"{LAYER}.attention.attention.{part}" for part in ("query", "key", "value"))

HF_VIT = Names(  # transformers, ViTModel: DINO's and iBOT's architecture
    linears=_HF_LINEARS,
    kernel="embeddings.patch_embeddings.projection",
    cls="embeddings.cls_token",
    positions="embeddings.position_embeddings",
    qkv=(_QUERY, _KEY, _VALUE),
    extras={
        r"pooler\..*": "pooler",
        r"classifier\..*": "classifier",
        r"embeddings\.mask_token": "mask token",
        r"decoder\..*": "decoder",
    },
)
HF_BEIT = replace(  # transformers, BeitModel
    HF_VIT,
    query_value_bias=(f"{_QUERY}.bias", f"{_VALUE}.bias"),
    scales=(f"{LAYER}.lambda_1", f"{LAYER}.lambda_2"),
    shared_bias="encoder.relative_position_bias.relative_position_bias_table",
    block_bias=f"{LAYER}.attention.attention.relative_position_bias.relative_position_bias_table",
    extras={
        **HF_VIT.extras,
        r"lm_head\..*": "masked modelling head",
        **_INDEX,
    },
)
HF_DINOV2 = replace(  # transformers, Dinov2Model and Dinov2WithRegistersModel
    HF_VIT,
    linears={
        "norm": "layernorm",
        f"{BLOCK}.norm1": f"{LAYER}.norm1",
        f"{BLOCK}.attention.proj": f"{LAYER}.attention.output.dense",
        f"{BLOCK}.norm2": f"{LAYER}.norm2",
        f"{BLOCK}.mlp.0": f"{LAYER}.mlp.fc1",
        f"{BLOCK}.mlp.2": f"{LAYER}.mlp.fc2",
    },
    registers="embeddings.register_tokens",
    scales=(f"{LAYER}.layer_scale1.lambda1", f"{LAYER}.layer_scale2.lambda1"),
    swiglu=(f"{LAYER}.mlp.weights_in", f"{LAYER}.mlp.weights_out"),
)
