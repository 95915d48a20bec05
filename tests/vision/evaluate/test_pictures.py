"""Pictures: pixels, montages, attention maps, reconstructions."""

import numpy as np
import pytest
import torch
from PIL import Image

from vision.evaluate.attention import attention_maps, attention_picture
from vision.evaluate.pictures import heat, montage, save_picture, to_pictures
from vision.evaluate.reconstruct import fill_in, hide, reconstruction_picture
from vision.nn.grid import PatchGrid
from vision.targets import normalise_patches

GRID = PatchGrid(4, 5, 2, 3)


def test_normalisation_is_undone_and_nan_is_grey():
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
    images = torch.tensor([[0.0, 10.0], [-10.0, 1.0], [torch.nan, 0.5]]).view(1, 3, 1, 2)
    picture = to_pictures(images, mean, std)[0]
    assert picture.shape == (1, 2, 3)
    assert picture[0, 0].tolist() == [128, 0, 128]  # .5; below 0; NaN
    assert picture[0, 1].tolist() == [255, 153, 102]  # above 1; .4 + .2; .3 + .1


def test_without_a_normalisation_an_image_is_stretched_and_one_channel_is_grey():
    images = torch.tensor([[-1.0, 3.0, torch.nan], [5.0, 5.0, 5.0]]).view(2, 1, 1, 3)
    first, second = to_pictures(images)
    assert first[0].tolist() == [[0, 0, 0], [255, 255, 255], [128, 128, 128]]
    assert second[0, 0].tolist() == [0, 0, 0]  # a constant image divides by no zero


def test_a_montage_has_white_between_and_a_file_holds_it(tmp_path):
    dark, grey = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)
    whole = montage([[dark, grey], [grey]], gap=1)
    assert whole.shape == (5, 7, 3)
    assert whole[0, 3].tolist() == [255] * 3
    assert whole[0, 4].tolist() == [9] * 3
    assert whole[4, 6].tolist() == [255] * 3  # no picture there
    save_picture(whole, tmp_path / "new" / "x.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "x.png")), whole)


def test_heat_fills_the_cells():
    picture = heat(torch.tensor([[0.0, 1.0], [0.5, 0.25]]), (4, 6))
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[1, 5].tolist() == [255, 255, 255]
    assert picture[3, 2].tolist() == [230, 90, 20]


@pytest.mark.parametrize("options", [{"num_registers": 2}, {"has_cls": False}, {"relative_position": "shared"}])
def test_maps_are_the_shares_of_the_patches_in_what_cls_gets(options, make_encoder, images):
    encoder = make_encoder(**options).train()
    maps = attention_maps(encoder, images, block=1)
    assert encoder.training
    assert maps.shape == (6, 2, 4, 5)
    states = encoder.eval().encode([encoder.embed(images)], [GRID], layers=(1,))[0]
    patches, cls = states.layers[1], states.cls_layers.get(1)
    if options.get("num_registers") is None:  # all tokens are at hand: recompute
        tokens = patches if cls is None else torch.cat([cls[:, None], patches], dim=1)
        block = encoder.blocks[1]
        query, key, _ = block.attention.qkv(block.norm1(tokens)).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-2, -1) / 4
        if encoder.relative is not None:
            scores = scores + encoder.relative(GRID, 1)
        shares = scores.softmax(-1)
        expected = shares.mean(dim=2) if cls is None else shares[:, :, 0, 1:]
        assert torch.allclose(maps.flatten(2), expected, atol=1e-5)
    total = maps.sum(dim=(2, 3))
    assert (total < 1.0).all() if encoder.config.has_cls else torch.allclose(total, torch.ones(6, 2))


@pytest.mark.parametrize("has_cls", [True, False])
def test_patches_that_were_not_observed_get_no_attention_and_do_not_ask(has_cls, make_encoder, gappy):
    encoder, (with_gaps, seen) = make_encoder(has_cls=has_cls), gappy
    maps = attention_maps(encoder, with_gaps).flatten(2)
    assert maps.isfinite().all()
    assert not maps.transpose(1, 2)[~seen].any()
    cut = PatchGrid(4, 3, 2, 3)  # what was observed of image 1 is an image of its own, but for the positions
    tokens = encoder.positions(encoder.embed(with_gaps.nan_to_num()), GRID)[1:2, seen[1]]
    asked = []
    encoder.blocks[-1].attention.register_forward_pre_hook(lambda _, inputs: asked.append(inputs))
    encoder._through_blocks([tokens], [encoder.segment(1, cut, None)], ())
    weights = encoder.blocks[-1].attention.weights(*asked[0])[0][0]
    expected = weights[:, 0, 1:] if has_cls else weights.mean(dim=1)
    assert torch.allclose(maps[1][:, seen[1]], expected, atol=1e-5)


def test_an_attention_picture_has_a_column_per_head_and_axial_attention_has_none(make_encoder, images):
    picture = attention_picture(make_encoder(), images[:2])
    assert picture.shape == (2 * (8 + 2) - 2, 4 * (15 + 2) - 2, 3)
    with pytest.raises(ValueError, match="of joint attention"):
        attention_maps(make_encoder(attention="axial"), images)
    with pytest.raises(ValueError, match="expected -4 to 3"):
        attention_maps(make_encoder(), images, block=4)


@pytest.mark.parametrize("is_normalised", [False, True])
def test_predicting_the_truth_gives_the_image_back(is_normalised, images):
    index = torch.stack([torch.randperm(20, generator=torch.Generator().manual_seed(n))[:7] for n in range(6)])
    patches = GRID.patchify(images)
    wanted = normalise_patches(patches) if is_normalised else patches
    index = (index + 20 * torch.arange(6)[:, None]).flatten()
    predicted = wanted.flatten(0, 1)[index]
    assert torch.allclose(fill_in(images, predicted, index, GRID, is_normalised=is_normalised), images, atol=1e-5)
    zeros = GRID.patchify(fill_in(images, torch.zeros_like(predicted), index, GRID, is_normalised=is_normalised))
    hidden = torch.zeros(6 * 20, dtype=torch.bool).index_fill(0, index, True).view(6, 20)
    assert torch.equal(zeros[~hidden], patches[~hidden])
    level = patches[hidden].mean(dim=-1, keepdim=True) if is_normalised else torch.zeros(1)
    assert torch.allclose(zeros[hidden], level.expand_as(zeros[hidden]), atol=1e-6)


def test_the_scale_of_a_patch_is_that_of_its_observed_pixels(images):
    gappy = images.clone()
    gappy[0, :, :, 1] = torch.nan  # a column of pixels in every patch on the left
    gappy[1] = torch.nan
    index = 20 * torch.arange(6)
    zeros = torch.zeros(6, 18)
    filled = fill_in(gappy, zeros + 1.0, index, GRID, is_normalised=True)
    assert torch.equal(filled.isnan(), gappy.isnan())
    observed = images[0, :, :2, [0, 2]]
    expected = observed.mean() + observed.std()
    assert torch.allclose(filled[0, :, :2, [0, 2]], expected.expand(3, 2, 2), atol=1e-5)


def test_a_reconstruction_shows_what_was_seen_rebuilt_and_there(images):
    hidden = torch.zeros(6, 20, dtype=torch.bool)
    hidden[:, 0] = True
    assert torch.isnan(hide(images, hidden, GRID)[:, :, :2, :3]).all()
    unit = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    picture = reconstruction_picture(images[:1] * 0 + 1, images[:1] * 0, hidden[:1], GRID, **unit)
    assert picture.shape == (8, 3 * 17 - 2, 3)
    assert picture[0, 0].tolist() == [128] * 3
    assert picture[0, 4].tolist() == [255] * 3
    assert picture[0, 17].tolist() == [0] * 3
    assert picture[0, 34].tolist() == [255] * 3
    assert reconstruction_picture(images, images, None, GRID).shape == (6 * 10 - 2, 2 * 17 - 2, 3)
