"""The commands ``fintok vision``: which there are. What they do is in vision/commands; no torch is imported here."""

from __future__ import annotations

from cyclopts import App, Parameter

from vision.commands.layers import PretrainLayers, refuse_fractions
from vision.config import NEEDS

_COMMANDS = {
    "pretrain": "Train an encoder or a tokenizer on images, without labels; leaves a folder.",
    "features": "Features of every image: one row of numbers each.",
    "tokenize": "Codes of every image: one number per patch.",
    "evaluate": "k-NN, linear probe, fine-tuning, segmentation, codebook, attention, reconstructions.",
    "convert": "Checkpoints of other libraries to ours and back; ONNX and torch.export.",
    "inspect": "What a run holds: configuration, figures, what it left.",
}

app = App(
    name="vision",
    help="Masked image modelling and self-distillation on images, or arrays of any number of channels.",
    help_epilogue=f"Methods: {', '.join(NEEDS)}.",
    default_parameter=Parameter(negative=(), consume_multiple=True),
    config=(refuse_fractions, PretrainLayers()),
    result_action="return_value",
)
for _name, _help in _COMMANDS.items():
    app.command(f"vision.commands.{_name}:{_name}", name=_name, help=_help)
