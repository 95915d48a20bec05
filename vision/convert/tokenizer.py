"""BEiT v2's visual tokenizer (VQ-KD) out of the official checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vision.config import CodebookConfig
from vision.convert.files import ConvertError, read_checkpoint
from vision.convert.infer import infer_config
from vision.convert.match import account, to_ours
from vision.convert.names import BEIT
from vision.nn.tokenizer import Tokenizer

# microsoft/unilm, beit2/modeling_vqkd.py: the encoder's norm is on patches alone, and named fc_norm
ENCODER = replace(BEIT, linears={**BEIT.linears, "norm": "fc_norm"}, extras={r"(.*\.)?relative_position_index": ""})
TASK = {f"task.{layer}.{part}": f"encode_task_layer.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")}
CODES, COUNTS = "quantize.embedding.weight", "quantize.cluster_size"
EXTRAS = {
    r"decoder\..*|decode_task_layer\..*": "decoder",
    r"teacher_model\..*|scaling_layer\..*": "teacher",
    r"quantize\.embedding\.(initted|cluster_size|embed_avg)": "statistics of the k-means start",
    r"encoder\.(.*\.)?relative_position_index": "index that follows from the grid",
    r"encoder\.(mask_token|head\..*)": "unused part of the encoder",
}


@dataclass(frozen=True)
class ConvertedTokenizer:
    """A tokenizer out of the official checkpoint, and what became of every tensor of the file."""

    tokenizer: Tokenizer  # in eval mode, on the CPU; it reads images in [−1, 1]
    source: Path
    num_used: int
    unused: Mapping[str, str]  # name of a tensor or of an entry of the file -> what it is

    def summary(self) -> str:
        """What was read and what was not."""
        config = self.tokenizer.codebook.config
        kinds = ", ".join(dict.fromkeys(self.unused.values()))
        return (
            f"{self.source}: BEiT v2 tokenizer, {config.num_codes} codes of {config.dim}; {self.num_used} tensors "
            f"used, {len(self.unused)} not ({kinds})"
        )

    def __repr__(self) -> str:
        return f"ConvertedTokenizer({self.tokenizer.codebook.config.num_codes} codes, {self.num_used} tensors used)"


def read_tokenizer(
    path: str | Path, *, heads: int | None = None, grid: tuple[int, int] | None = None
) -> ConvertedTokenizer:
    """The tokenizer of an official VQ-KD checkpoint; the decoder stays behind. It takes images in [−1, 1].

    ``heads`` and ``grid`` as in :func:`vision.convert.read.read_encoder`. Raises ConvertError.
    """
    source = Path(path)
    checkpoint = read_checkpoint(source, ("model", "module"))
    what = f"{source}, read as a BEiT v2 tokenizer,"
    tensors = checkpoint.tensors
    extras = {name: kind for name in tensors if (kind := _extra(name)) is not None}
    own = {CODES, COUNTS, *TASK.values()}
    for name in sorted(own - tensors.keys()):
        raise ConvertError(f"{what} lacks {name!r}")
    inside = {name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")}
    inside = {name: tensor for name, tensor in inside.items() if f"encoder.{name}" not in extras}
    for name in sorted(tensors.keys() - own - extras.keys() - {f"encoder.{name}" for name in inside}):
        raise ConvertError(f"{what} holds {name!r}, for which there is no place")
    config = infer_config(inside, ENCODER, what, heads, grid)
    account(inside, ENCODER, config, what)
    num_codes, dim = _shape(tensors[CODES], CODES, what)
    tokenizer = Tokenizer(config, CodebookConfig(num_codes=num_codes, dim=dim))
    state = {f"encoder.{name}": tensor for name, tensor in to_ours(inside, ENCODER, config).items()}
    state |= {ours: tensors[theirs].float() for ours, theirs in TASK.items()}
    state |= _codebook(tokenizer, tensors)
    _fill(tokenizer, state, what)
    others = dict.fromkeys(checkpoint.others, "entry of the file")
    return ConvertedTokenizer(tokenizer.eval(), source, len(tensors) - len(extras), {**extras, **others})


def _codebook(tokenizer: Tokenizer, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Codes and their counts; the codebook counts as started, so that training on does not begin anew."""
    fresh = tokenizer.codebook.codes_used_for
    return {
        "codebook.weight": tensors[CODES].float()[None],
        "codebook.cluster_size": tensors[COUNTS].float()[None],
        "codebook.codes_used_for": torch.zeros_like(fresh),
        "codebook.updates": torch.ones((), dtype=torch.long),
    }


def _fill(tokenizer: Tokenizer, state: Mapping[str, Tensor], what: str) -> None:
    wanted = tokenizer.state_dict()
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            found, expected = tuple(tensor.shape), tuple(wanted[name].shape)
            raise ConvertError(f"{what} has {name!r} of shape {found}, where the others ask for {expected}")
    tokenizer.load_state_dict(dict(state))


def _extra(name: str) -> str | None:
    return next((kind for pattern, kind in EXTRAS.items() if re.fullmatch(pattern, name)), None)


def _shape(tensor: Tensor, name: str, what: str) -> tuple[int, int]:
    if tensor.ndim != 2:
        raise ConvertError(f"{what} has {name!r} of shape {tuple(tensor.shape)}, expected (codes, width)")
    return tensor.shape[0], tensor.shape[1]
