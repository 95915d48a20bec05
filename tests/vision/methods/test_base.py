import subprocess
import sys

import pytest
import torch

from vision.methods import METHODS
from vision.methods.base import MaskToken, Method, observed_patches, take
from vision.nn.grid import PatchGrid


def test_methods_are_found_by_name():
    assert {"beit2", "dino", "dinov2", "ibot", "mae", "simmim", "vqkd"} <= set(METHODS)
    assert all(issubclass(METHODS[name], Method) for name in METHODS)
    with pytest.raises(KeyError):
        METHODS["simclr"]


def test_naming_the_methods_imports_no_torch():
    code = "import sys; from vision.methods import METHODS; list(METHODS); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mask_token_stands_where_patches_are_hidden():
    token = MaskToken(3, std=0.02)
    tokens, hidden = torch.randn(2, 4, 3), torch.rand(2, 4) < 0.5
    out = token(tokens, hidden)
    assert torch.equal(out[~hidden], tokens[~hidden])
    assert torch.equal(out[hidden], token.weight.expand(int(hidden.sum()), -1))
    assert MaskToken(3, std=0.0).weight.abs().sum() == 0


def test_take_picks_patches_by_index():
    patches, index = torch.randn(2, 5, 3), torch.tensor([4, 0, 6])
    assert torch.equal(take(patches, index), torch.stack([patches[0, 4], patches[0, 0], patches[1, 1]]))


def test_patch_is_observed_where_one_pixel_is():
    grid = PatchGrid(1, 2, 2, 2)
    observed = torch.zeros(1, 2, 4, dtype=torch.bool)
    observed[0, 1, 3] = True
    assert observed_patches(observed, grid).tolist() == [[False, True]]
    assert observed_patches(None, grid) is None
