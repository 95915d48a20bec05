"""Health of a codebook and the page of its codes."""

import base64
import io
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from vision.config import CodebookConfig, ViTConfig
from vision.evaluate.codebook import CodebookHealth, codebook_health, codes_and_closeness, observed_codes
from vision.evaluate.gallery import FRAME, code_gallery, nearest_of_each
from vision.nn.block import DropPath
from vision.nn.tokenizer import Tokenizer

ENCODER = ViTConfig(patch_size=(2, 3), dim=16, depth=1, heads=2, scope="patch", has_cls=False)


@pytest.fixture
def tokenizer():
    torch.manual_seed(0)
    made = Tokenizer(ENCODER, CodebookConfig(num_codes=12, dim=4))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_figures_are_hand_worked():
    health = CodebookHealth(torch.tensor([6, 3, 3, 0]))
    entropy = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert (health.num_codes, health.num_used, health.num_patches) == (4, 3, 12)
    assert health.usage == 0.75
    assert health.entropy == pytest.approx(entropy)
    assert health.perplexity == pytest.approx(math.exp(entropy))
    assert health.largest_share == 0.5
    assert "3 of 4 (75.0%)" in health.summary()


def test_codes_are_counted_over_all_batches(tokenizer, images):
    codes = tokenizer.codes(images)
    expected = torch.bincount(codes.flatten(), minlength=12)
    assert torch.equal(codebook_health(tokenizer, images, batch_size=4).counts, expected)
    assert torch.equal(codebook_health(tokenizer, [images[:1], images[1:]]).counts, expected)
    assert int((expected > 0).sum()) > 1


def test_patches_that_were_not_observed_have_no_code(tokenizer, images, gappy):
    with_gaps, seen = gappy
    expected = tokenizer.codes(images, ~with_gaps.isnan().any(dim=1)).masked_fill(~seen, -1)
    assert torch.equal(observed_codes(tokenizer, with_gaps), expected)
    codes, closeness = codes_and_closeness(tokenizer, with_gaps)
    assert torch.equal(codes, expected)
    assert closeness[seen].isfinite().all()
    counts = torch.bincount(expected[seen], minlength=12)
    assert torch.equal(codebook_health(tokenizer, with_gaps, batch_size=4).counts, counts)
    whole, in_parts = (code_gallery(tokenizer, with_gaps, per_code=99, batch_size=size) for size in (6, 2))
    assert torch.equal(whole.health.counts, counts)
    assert all(np.array_equal(whole.rows[code], in_parts.rows[code]) for code in whole.rows)
    widths = {code: (row.shape[1] + 3) // 75 for code, row in whole.rows.items()}  # thumbnails of 72 pixels, gaps of 3
    assert widths == {code: int(counts[code]) for code in whole.rows}


def test_a_tokenizer_in_training_reads_as_one_that_is_not(tokenizer, images):
    for module in tokenizer.modules():
        if isinstance(module, DropPath):
            module.rate = 0.9
    expected, gallery = codebook_health(tokenizer, images).counts, code_gallery(tokenizer, images)
    tokenizer.train()
    assert torch.equal(codebook_health(tokenizer, images).counts, expected)
    assert torch.equal(code_gallery(tokenizer, images).health.counts, gallery.health.counts)
    assert tokenizer.training


def test_closeness_is_the_cosine_to_the_code(tokenizer, images):
    codes, closeness = codes_and_closeness(tokenizer, images)
    with torch.no_grad():
        vectors = tokenizer.encode(images)
    cosine = F.cosine_similarity(vectors, tokenizer.codebook.weight[0][codes], dim=-1)
    assert torch.equal(codes, tokenizer.codes(images))
    assert torch.allclose(closeness, cosine, atol=1e-5)


def test_the_nearest_of_each_code_come_first():
    codes = torch.tensor([1, 0, 1, 1, 0, 2])
    closeness = torch.tensor([0.1, 0.5, 0.9, 0.4, 0.6, 0.2])
    assert nearest_of_each(codes, closeness, 2).tolist() == [4, 1, 2, 3, 5]


def test_batches_change_no_gallery(tokenizer, images):
    whole, in_parts = (code_gallery(tokenizer, images, per_code=3, batch_size=size) for size in (6, 2))
    assert list(whole.rows) == list(in_parts.rows)
    assert all(np.array_equal(whole.rows[code], in_parts.rows[code]) for code in whole.rows)


def test_the_gallery_shows_the_nearest_patches_framed(tokenizer, images):
    gallery = code_gallery(tokenizer, images, per_code=3, context=1)
    codes, closeness = codes_and_closeness(tokenizer, images)
    most_used = int(gallery.health.counts.argmax())
    assert next(iter(gallery.rows)) == most_used
    best = int(torch.where(codes == most_used, closeness, -2.0).flatten().argmax())
    number, patch = divmod(best, 20)
    row, column = divmod(patch, 5)
    image = images[number] - images[number].min()
    pixels = (image / image.max() * 255).round().to(torch.uint8)
    patch_pixels = pixels[:, row * 2 : row * 2 + 2, column * 3 : column * 3 + 3].permute(1, 2, 0).numpy()
    factor = 8  # 6 x 9 pixels, enlarged to 48 or more
    inside = gallery.rows[most_used][2 * factor : 4 * factor, 3 * factor : 6 * factor]
    assert np.array_equal(inside[factor // 2 :: factor, factor // 2 :: factor], patch_pixels)
    assert tuple(gallery.rows[most_used][2 * factor - 1, 4 * factor]) == FRAME


def test_the_page_is_one_self_contained_file(tokenizer, images, tmp_path):
    gallery = code_gallery(tokenizer, images, per_code=2, max_codes=3)
    gallery.save(tmp_path / "pages" / "codes.html", title="Codes <of> mine")
    page = (tmp_path / "pages" / "codes.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert re.search(r"minmax\(min\(\d+px, 100%\), 1fr\)", page)  # no wider than a narrow window
    assert "Codes &lt;of&gt; mine" in page
    assert "http" not in page
    assert page.count("<figure>") == len(gallery.rows) == 3
    assert "The 3 most used codes are shown" in page
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert encoded is not None
    with Image.open(io.BytesIO(base64.b64decode(encoded[1]))) as picture:
        assert np.array_equal(np.asarray(picture), next(iter(gallery.rows.values())))
