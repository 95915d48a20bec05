"""The commands ``fintok vision``: which there are. What they do is in vision/commands; no torch is imported here."""

from __future__ import annotations

from cyclopts import App, Parameter

from vision.commands.layers import PretrainLayers

_COMMANDS = {
    "pretrain": "Train an encoder or a tokenizer on images, without labels; leaves a folder.",
}

app = App(
    name="vision",
    help="Masked image modelling and self-distillation on images, or arrays of any number of channels.",
    help_epilogue="Methods: mae, simmim, dvae, beit, vqkd, beit2, dino, ibot, dinov2.",
    default_parameter=Parameter(negative=()),
    config=PretrainLayers(),
    result_action="return_value",
)
for _name, _help in _COMMANDS.items():
    app.command(f"vision.commands.{_name}:{_name}", name=_name, help=_help)
