"""Patch embedding and positions."""

import math

import pytest
import torch

from vision.config import ConfigError, ViTConfig
from vision.nn.embed import PatchEmbed, Positions
from vision.nn.grid import PatchGrid

GRID = PatchGrid(2, 3, 2, 5)


def _config(**options):
    return ViTConfig(**{"patch_size": (2, 5), "in_channels": 3, "dim": 16, "heads": 2, "depth": 1, **options})


def test_patch_embedding_is_a_strided_convolution():
    embed = PatchEmbed(_config())
    images = torch.randn(2, 3, 4, 15)
    kernel = embed.projection.weight.view(16, 2, 5, 3).permute(0, 3, 1, 2)
    expected = torch.nn.functional.conv2d(images, kernel, embed.projection.bias, stride=(2, 5))
    assert torch.allclose(embed(images), expected.flatten(2).transpose(1, 2), atol=1e-5)


@pytest.mark.parametrize("observed_channel", [False, True])
def test_unobserved_pixels_do_not_matter_even_when_nan(observed_channel):
    embed = PatchEmbed(_config(observed_channel=observed_channel))
    images = torch.randn(2, 3, 4, 15)
    observed = torch.rand(2, 4, 15) > 0.5
    missing = images.masked_fill(~observed[:, None], torch.nan)
    tokens = embed(missing, observed)
    assert torch.isfinite(tokens).all()
    assert torch.equal(tokens, embed(images, observed))
    tokens.sum().backward()
    assert torch.isfinite(embed.projection.weight.grad).all()


def test_observed_channel_tells_an_observed_zero_from_a_missing_value():
    images, observed = torch.zeros(1, 3, 4, 15), torch.ones(1, 4, 15, dtype=torch.bool)
    plain, telling = PatchEmbed(_config()), PatchEmbed(_config(observed_channel=True))
    assert torch.equal(plain(images, observed), plain(images, ~observed))
    assert not torch.equal(telling(images, observed), telling(images, ~observed))
    assert torch.equal(telling(images, observed), telling(images, None))


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="images have 1 channels, this model takes 3"):
        PatchEmbed(_config())(torch.zeros(1, 1, 4, 15))


def _sincos(position, dim):
    angles = [position / 10_000 ** (i / (dim / 2)) for i in range(dim // 2)]
    return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]


def test_positions_have_a_shape_where_there_are_no_values():
    assert Positions(_config())(torch.zeros(1, 6, 16, device="meta"), GRID).shape == (1, 6, 16)


def test_two_sincos_axes_are_those_of_mae_column_first():
    positions = Positions(_config())(torch.zeros(1, 6, 16), GRID)[0]
    for row in range(2):
        for column in range(3):
            expected = torch.tensor(_sincos(column, 8) + _sincos(row, 8))
            assert torch.allclose(positions[row * 3 + column], expected, atol=1e-6)


def test_a_single_sincos_axis_has_all_channels():
    positions = Positions(_config(row_position="none"))(torch.zeros(1, 6, 16), GRID)[0].view(2, 3, 16)
    assert torch.equal(positions[0], positions[1])
    assert torch.allclose(positions[0, 2], torch.tensor(_sincos(2, 16)), atol=1e-6)


def test_learned_axes_are_tables_whose_first_entries_serve_smaller_grids():
    config = _config(row_position="learned", column_position="learned", max_rows=4, max_columns=5)
    positions = Positions(config)
    added = positions(torch.zeros(1, 6, 16), GRID)[0]
    assert positions.rows is not None
    assert positions.columns is not None
    assert torch.equal(added[1 * 3 + 2], positions.rows[1] + positions.columns[2])
    with pytest.raises(ValueError, match="max_columns = 5"):
        positions(torch.zeros(1, 6, 16), PatchGrid(1, 6, 2, 5))


def test_a_table_has_a_vector_per_patch_and_is_resized_to_other_grids():
    config = _config(row_position="table", column_position="table", max_rows=2, max_columns=3)
    positions = Positions(config)
    assert positions.table is not None
    assert torch.equal(positions(torch.zeros(1, 6, 16), GRID)[0], positions.table.flatten(0, 1))
    with torch.no_grad():  # a plane stays one under cubic interpolation, inside: the row, 0 or 1, in channel 0
        positions.table[..., 0] = torch.tensor([0.0, 1.0])[:, None]
    added = positions(torch.zeros(1, 24, 16), PatchGrid(4, 6, 2, 5))[0, :, 0].view(4, 6)
    assert torch.allclose(added, added[:, :1].expand(4, 6), atol=1e-6)
    assert torch.allclose(added[0] + added[3], torch.ones(6), atol=1e-6)
    assert (added.diff(dim=0) > 0).all()


def test_a_table_is_for_both_axes():
    with pytest.raises(ConfigError, match="'table' on both axes"):
        _config(row_position="table", column_position="none")


@pytest.mark.parametrize("kind", ["none", "rotary"])
def test_axes_without_an_added_position_add_nothing(kind):
    tokens = torch.randn(1, 6, 16)
    positions = Positions(_config(row_position=kind, column_position=kind))
    assert torch.equal(positions(tokens, GRID), tokens)
    assert list(positions.parameters()) == []
