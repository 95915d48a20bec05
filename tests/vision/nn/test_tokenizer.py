"""Tokenizer: what a code depends on, and that coding never moves the codebook."""

import copy

import pytest
import torch

from vision.config import CodebookConfig, DVAEConfig, ViTConfig
from vision.nn.dvae import DiscreteVAE
from vision.nn.nearest_code import NearestCodeTokenizer
from vision.nn.tokenizer import Tokenizer


def _tokenizer(levels=1, **options):
    torch.manual_seed(0)
    encoder = ViTConfig(**{"patch_size": (1, 5), "in_channels": 2, "dim": 32, "heads": 4, "depth": 2, **options})
    tokenizer = Tokenizer(encoder, CodebookConfig(num_codes=64, dim=8, levels=levels))
    for parameter in tokenizer.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return tokenizer.eval()


@pytest.mark.parametrize("levels", [1, 2])
def test_codes_are_one_integer_per_patch(levels):
    tokenizer = _tokenizer(levels)
    images = torch.randn(3, 2, 4, 15)
    codes = tokenizer.codes(images)
    assert codes.shape == (3, 12)
    assert codes.dtype == torch.long
    quantized = tokenizer.quantize(tokenizer.encode(images))
    assert torch.equal(codes, quantized.codes if levels == 1 else quantized.codes[..., 0])
    assert tokenizer.encode(images).shape == (3, 12, 8)


def test_coding_in_training_mode_moves_nothing():
    tokenizer = _tokenizer().train()
    before = copy.deepcopy(tokenizer.state_dict())
    codes = tokenizer.codes(torch.randn(3, 2, 4, 15))
    assert not codes.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in tokenizer.state_dict().items())


def test_quantising_in_training_mode_moves_the_codebook():
    tokenizer = _tokenizer().train()
    tokenizer.quantize(tokenizer.encode(torch.randn(3, 2, 4, 15)))
    assert int(tokenizer.codebook.updates) == 1


def test_in_the_patch_scope_a_code_depends_on_its_own_pixels_alone():
    tokenizer = _tokenizer(scope="patch", has_cls=False, row_position="none", column_position="none")
    images = torch.randn(1, 2, 4, 30)
    alone = torch.cat(
        [tokenizer.encode(images[:, :, r : r + 1, c : c + 5]) for r in range(4) for c in range(0, 30, 5)],
        dim=1,
    )
    assert torch.allclose(tokenizer.encode(images), alone, atol=1e-5)


def test_in_the_causal_scope_codes_stay_as_columns_arrive():
    tokenizer = _tokenizer(scope="causal", attention="axial", row_position="none")
    images = torch.randn(2, 2, 4, 30)
    whole = tokenizer.codes(images).view(2, 4, 6)
    for columns in range(1, 7):
        shorter = tokenizer.codes(images[..., : 5 * columns]).view(2, 4, columns)
        assert torch.equal(shorter, whole[:, :, :columns])


def test_vectors_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _tokenizer().encode(torch.randn(1, 2, 4, 15)).dtype == torch.float32


def test_unobserved_pixels_do_not_matter():
    tokenizer = _tokenizer()
    images, valid = torch.randn(2, 2, 4, 15), torch.rand(2, 4, 15) > 0.4
    missing = images.masked_fill(~valid[:, None], torch.nan)
    assert torch.equal(tokenizer.codes(images, valid), tokenizer.codes(missing, valid))


def test_only_the_chosen_channels_are_read():
    whole = _tokenizer()
    part = Tokenizer(whole.encoder.config, whole.codebook.config, channels=(3, 1)).eval()
    part.load_state_dict(whole.state_dict())
    images = torch.randn(2, 5, 4, 15)
    torch.testing.assert_close(part.codes(images), whole.codes(images[:, [3, 1]]))
    images[:, [0, 2, 4]] = 9.0
    torch.testing.assert_close(part.codes(images), whole.codes(images[:, [3, 1]]))
    with pytest.raises(ValueError, match="expected 2 places"):
        Tokenizer(whole.encoder.config, whole.codebook.config, channels=(1,))


@pytest.mark.parametrize("kind", ["codebook", "nearest", "dvae"])
def test_a_tokenizer_of_another_type_reads_nearly_the_same_codes(kind):
    config = ViTConfig(patch_size=(1, 5), in_channels=2, dim=32, heads=4, depth=2)
    torch.manual_seed(0)
    tokenizer = {
        "codebook": lambda: _tokenizer(levels=2),
        "nearest": lambda: NearestCodeTokenizer(config, 64, 8),
        "dvae": lambda: DiscreteVAE(config, DVAEConfig(num_codes=64, code_dim=8, decoder_depth=1)),
    }[kind]().eval()
    images = torch.randn(30, 2, 4, 15)
    codes = tokenizer.codes(images)
    assert torch.equal(tokenizer.double().codes(images), codes)
    assert (tokenizer.bfloat16().codes(images) == codes).float().mean() > 0.8
