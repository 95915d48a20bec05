"""BEiT v2's visual tokenizer (VQ-KD) out of the official checkpoint, and into one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vision.config import CodebookConfig
from vision.convert.files import ConvertError, read_checkpoint
from vision.convert.forms import FORMS
from vision.convert.infer import infer_config
from vision.convert.match import account, to_ours, to_theirs
from vision.convert.names import BEIT
from vision.convert.write import check_suffix, refuse, write_tensors
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
    path: str | Path,
    *,
    entry: str | None = None,
    heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> ConvertedTokenizer:
    """The tokenizer of an official VQ-KD checkpoint; the decoder stays behind. It takes images in [−1, 1].

    ``entry``, ``heads`` and ``grid`` as in :func:`vision.convert.read.read_encoder`. Raises ConvertError.
    """
    source = Path(path)
    checkpoint = read_checkpoint(source, ("model", "module"), entry)
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


def write_tokenizer(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write the tokenizer as the official VQ-KD code names it, without decoder and teacher, which coding needs not.

    Raises ConvertError for a codebook of several levels, chosen channels, or an encoder without a place there.
    """
    target, codebook = Path(path), tokenizer.codebook.config
    check_suffix(target)
    refuse(tokenizer.encoder.config, FORMS["beit2"])
    if codebook.levels > 1 or tokenizer.channels is not None:
        raise ConvertError("a BEiT v2 tokenizer has one level of codes and reads all channels, this one does not")
    state = tokenizer.state_dict()
    encoder = to_theirs(tokenizer.encoder.state_dict(), ENCODER, tokenizer.encoder.config)
    codes, counts = state["codebook.weight"][0], state["codebook.cluster_size"][0]
    statistics = {"initted": torch.ones(1), "cluster_size": counts, "embed_avg": codes}
    write_tensors(
        {
            **{f"encoder.{name}": tensor for name, tensor in encoder.items()},
            **{theirs: state[ours] for ours, theirs in TASK.items()},
            **{f"quantize.embedding.{name}": tensor for name, tensor in statistics.items()},
            CODES: codes,
            COUNTS: counts,
        },
        target,
        FORMS["beit2"].layout,
    )


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
