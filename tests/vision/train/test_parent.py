"""A tokenizer that a run builds on must know all places of the run's images."""

import dataclasses

import pytest

from vision.config import BEiTConfig, CodebookConfig, MaskConfig, PretrainConfig, ViTConfig
from vision.errors import InputError
from vision.nn.tokenizer import Tokenizer
from vision.train.build import build
from vision.train.inputs import Inputs

ENCODER = ViTConfig(patch_size=(4, 4), dim=24, depth=1, heads=3, max_rows=4, max_columns=4)
RELATIVE = {"row_position": "none", "column_position": "none", "relative_position": "shared"}
LEARNED = {"row_position": "learned", "column_position": "sincos"}


@pytest.mark.parametrize(("positions", "is_refused"), [(RELATIVE, True), (LEARNED, True), ({}, False)])
def test_a_parent_whose_learned_positions_end_before_the_images_is_refused_at_once(positions, is_refused):
    tokenizer = Tokenizer(dataclasses.replace(ENCODER, **positions), CodebookConfig(num_codes=8, dim=4))
    mask = MaskConfig(kind="block", ratio=0.4, min_patches=2)
    config = PretrainConfig(method="beit", encoder=ENCODER, mask=mask, beit=BEiTConfig())
    build(config, _inputs(16), None, tokenizer)
    if is_refused:
        with pytest.raises(InputError, match="images of 20 x 20 pixels go beyond the 4 x 4 patches of the run it bui"):
            build(config, _inputs(20), None, tokenizer)
    else:
        build(config, _inputs(20), None, tokenizer)


def _inputs(side):
    return Inputs(image_size=(side, side), channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
