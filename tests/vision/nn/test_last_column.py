"""The last column alone, against the whole pass."""

import pytest
import torch

from vision.config import ViTConfig
from vision.methods.base import observed_patches
from vision.methods.codes import MaskedCodeModel
from vision.nn.last_column import Question, can_read_last_column, read_last_column

ROWS, COLUMNS, PATCH, NUM_HIDDEN = 7, 6, 5, 2


def config(**changes) -> ViTConfig:
    values = {
        "patch_size": (1, PATCH),
        "in_channels": 3,
        "dim": 16,
        "depth": 4,
        "heads": 2,
        "attention": "axial",
        "row_position": "none",
        "column_position": "learned",
        "max_columns": COLUMNS,
        "has_cls": False,
        "observed_channel": True,
        "layer_scale": 0.5,
    }
    return ViTConfig(**{**values, **changes})


def build(encoder: ViTConfig) -> MaskedCodeModel:
    torch.manual_seed(0)
    model = MaskedCodeModel(encoder, 11, hint_channels=1).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model


def hide(rows: torch.Tensor, num_rows: int, num_columns: int = NUM_HIDDEN) -> torch.Tensor:
    hidden = torch.zeros(num_rows, num_columns, dtype=torch.bool)
    hidden[rows] = True
    return hidden


@pytest.mark.parametrize("num_rows", [ROWS, 1, 20], ids=["rows", "one row", "more rows than a short line"])
@pytest.mark.parametrize("depth", [2, 3, 4, 5])
@torch.inference_mode()
def test_the_last_column_is_what_the_whole_pass_gives(depth, num_rows):
    model = build(config(depth=depth))
    images = torch.randn(3, 4, num_rows, COLUMNS * PATCH)  # the last channel: hints
    observed = torch.rand(3, num_rows, COLUMNS * PATCH) > 0.4
    observed[:, num_rows // 2] = False  # a row that is never seen
    observed[1, :, -2 * PATCH :] = False  # an image whose newest columns are not
    grid = model.encoder.grid(images)
    everyone, some = torch.arange(num_rows), torch.arange(0, num_rows, 3).flip(0)
    questions = [
        Question(hide(some, num_rows), some),
        Question(hide(everyone, num_rows), None),
        Question(hide(some[:0], num_rows), some),
    ]
    tokens, seen = model.encoder.embed(images[:, :3], observed), observed_patches(observed, grid)
    answers = read_last_column(model.encoder, tokens, grid, seen, model.stand_ins(images), questions)
    for answer, (hidden, rows) in zip(answers, questions, strict=True):
        whole = torch.nn.functional.pad(hidden, (COLUMNS - NUM_HIDDEN, 0))
        patches = model.encode(images, observed, whole.flatten().expand(3, -1)).patches
        expected = patches.unflatten(1, (num_rows, COLUMNS))[:, :, -1]
        torch.testing.assert_close(answer, expected if rows is None else expected[:, rows], rtol=1e-4, atol=1e-5)
        assert answer.std() > 0.1


def test_what_it_does_not_know_is_told():
    assert can_read_last_column(config())
    for change in (
        {"attention": "joint"},
        {"has_cls": True},
        {"num_registers": 2},
        {"column_position": "rotary"},
        {"scope": "causal"},
        {"depth": 1},
    ):
        assert not can_read_last_column(config(**change)), change
