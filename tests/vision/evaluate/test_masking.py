"""The masking study: known information is found, its decay fitted, and the ratio that follows."""

import math

import numpy as np
import pytest
import torch

from vision.config import CodebookConfig, ViTConfig
from vision.errors import InputError
from vision.evaluate.copula import log_score_gain, normal_scores, shrunk_correlation
from vision.evaluate.masking import MaskingStudy, code_information, fit_decay, linear_information
from vision.masks import BlockMask, RandomMask
from vision.methods.codes import MaskedCodeModel
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import Tokenizer, VisualTokenizer


def _autoregressive(count, length, correlation, seed=0):
    """Rows (count, 1, 1, length) whose neighbours have the given correlation, each value of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, length, generator=generator)
    values = [noise[:, 0]]
    for place in range(1, length):
        values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * noise[:, place])
    return torch.stack(values, dim=1)[:, None, None]


def _smooth(count, side, seed=0):
    """Images (count, 1, side, side) of a few waves: every place says much of every other."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.linspace(0, math.pi, side)
    waves = torch.stack([torch.cos(k * place) for k in range(3)])
    weights = torch.randn(count, 3, 3, generator=generator)
    smooth = torch.einsum("nij,ir,jc->nrc", weights, waves, waves)
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator))[:, None]


def test_the_gain_of_a_gaussian_is_its_mutual_information():
    """Two places of correlation ρ: I = −½ ln(1 − ρ²); given a third that is independent, the same."""
    generator = torch.Generator().manual_seed(0)
    first, noise, third = torch.randn(3, 40_000, generator=generator, dtype=torch.float64)
    scores = torch.stack([first, 0.8 * first + 0.6 * noise, third], dim=1).unsqueeze(-1)
    correlation = torch.corrcoef(scores.flatten(1).T)
    gain = log_score_gain(scores, correlation, torch.tensor([False, True, False]))
    assert float(gain.mean()) == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.01)
    nothing = log_score_gain(scores, correlation, torch.tensor([False, False, True]))
    assert float(nothing.mean()) == pytest.approx(0.0, abs=0.001)


def test_the_study_finds_the_information_of_a_known_chain():
    """Each hidden value from its nearest visible neighbours, against the exact conditional variances."""
    chain = _autoregressive(8000, 12, 0.8)
    study = linear_information(chain, (1, 1), ratios=(0.25, 0.75), components=1, num_masks=3, seed=4)
    covariance = 0.8 ** (torch.arange(12)[:, None] - torch.arange(12)[None]).abs().double()
    expected = []
    rng = np.random.default_rng(4)
    rng.permutation(8000)  # the split comes first
    for ratio in (0.25, 0.75):
        gains = []
        for _ in range(3):
            hidden = torch.from_numpy(RandomMask(ratio)(PatchGrid(1, 12, 1, 1), rng)).flatten()
            visible, joint = covariance[~hidden][:, ~hidden], covariance[hidden][:, ~hidden]
            left = 1 - (joint @ torch.linalg.inv(visible) * joint).sum(1)
            gains.append(float((-0.5 * left.log()).mean()))
        expected.append(sum(gains) / 3)
    assert study.ratios == (0.25, 0.75)
    for found, error, exact in zip(study.information, study.standard_errors, expected, strict=True):
        assert found == pytest.approx(exact, abs=4 * error + 0.02)


def test_monotone_changes_of_scale_change_nothing():
    chain = _autoregressive(1000, 8, 0.7)
    plain = linear_information(chain, (1, 1), ratios=(0.5,))
    bent = linear_information(chain.sinh().sinh(), (1, 1), ratios=(0.5,))  # tails of thousands
    assert bent.information[0] == pytest.approx(plain.information[0], abs=1e-6)


def test_what_is_independent_has_no_information():
    noise = torch.randn(600, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    study = linear_information(noise, (2, 3), ratios=(0.25, 0.5, 0.75))
    assert all(abs(value) < 0.05 for value in study.information)


def test_images_want_a_larger_ratio_than_text():
    """A chain with weak neighbours loses its information sooner than smooth images: r* is smaller."""
    text = linear_information(_autoregressive(2000, 36, 0.5), (1, 1), components=1)
    images = linear_information(_smooth(2000, 9), (1, 1), components=1)
    assert text.decay.rate > images.decay.rate
    assert text.best_ratio < images.best_ratio
    assert text.best_measured < images.best_measured
    assert text.information[0] > 2 * text.information[-1]


@pytest.mark.parametrize(("rate", "best"), [(4.0, 0.25), (1.6, 0.625), (0.5, 0.9), (-1.0, 0.9), (50.0, 0.1)])
def test_the_best_ratio_is_one_over_the_rate_kept_within_the_ratios(rate, best):
    ratios = tuple(k / 20 for k in range(2, 19))
    study = MaskingStudy(ratios, tuple(2.5 * math.exp(-rate * r) for r in ratios), (0.0,) * 17, 10, "exact")
    if abs(rate) < 20:
        assert study.decay.rate == pytest.approx(rate, abs=1e-3)
        assert study.decay.initial == pytest.approx(2.5, rel=1e-2)
    assert study.best_ratio == pytest.approx(best, abs=2e-3)
    assert study.best_measured == pytest.approx(best, abs=0.026)
    assert "r I(r)" in study.summary()
    assert repr(study) in study.summary()


def test_the_fit_is_least_squares():
    ratios, values = (0.1, 0.4, 0.7, 0.9), (3.0, 2.0, 1.6, 0.5)

    def error(initial, rate):
        return sum((initial * math.exp(-rate * r) - v) ** 2 for r, v in zip(ratios, values, strict=True))

    initial, rate = fit_decay(ratios, values)
    for other in ((initial * 1.01, rate), (initial * 0.99, rate), (initial, rate + 0.01), (initial, rate - 0.01)):
        assert error(*other) > error(initial, rate)


def test_channels_patches_and_what_was_not_observed():
    images = _smooth(400, 6).repeat(1, 5, 1, 2) + torch.randn(400, 5, 6, 12, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(400, 6, 12, dtype=torch.bool)
    valid[::4, 0, 0] = False
    broken = images.masked_fill(~valid[:, None], torch.nan)
    study = linear_information(broken, (2, 3), valid=valid, ratios=(0.5,), mask=lambda r: BlockMask(r, min_patches=2))
    assert study.num_images == 150
    assert math.isfinite(study.information[0])
    assert study.information[0] > 0.1


def test_a_model_that_knows_gains_the_entropy_of_the_codes_and_a_blind_one_nothing():
    class Sign(VisualTokenizer):
        num_codes, patch_size = 2, (1, 1)

        def codes(self, images, valid=None):
            return (images[:, 0] > 0).flatten(1).long()

    class Blind:
        def logits(self, images, valid, hidden):
            return share.log().expand(len(images), hidden.shape[1], 2)

    class Knowing:  # every row has one sign: any visible neighbour tells
        def logits(self, images, valid, hidden):
            codes = Sign().codes(images)
            return 30.0 * torch.nn.functional.one_hot(codes, 2).float()

    images = torch.randn(90, 1, 1, 1, generator=torch.Generator().manual_seed(0)).sign().repeat(1, 1, 2, 4)
    share = torch.bincount(Sign().codes(images).flatten()) / (90 * 8)
    entropy = float(torch.special.entr(share).sum())
    blind = code_information(Blind(), Sign(), images, ratios=(0.25, 0.5))
    assert all(abs(value) < 1e-5 for value in blind.information)
    knowing = code_information(Knowing(), Sign(), images, ratios=(0.25, 0.5), batch_size=40)
    assert all(value == pytest.approx(entropy, abs=1e-5) for value in knowing.information)
    with pytest.raises(InputError, match="no decay to fit"):
        fit_decay(blind.ratios, (0.0, 0.0))


def test_of_codes_what_was_not_observed_is_not_counted_and_networks_are_in_eval_mode():
    config = ViTConfig(patch_size=(1, 2), in_channels=2, dim=16, depth=2, heads=2, drop_path=0.9)
    torch.manual_seed(0)
    tokenizer, model = Tokenizer(config, CodebookConfig(num_codes=6, dim=4)), MaskedCodeModel(config, 6)
    for parameter in (*tokenizer.parameters(), *model.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    images = torch.randn(9, 2, 3, 8)
    images[0], images[1, :, 1, 4:6] = torch.nan, torch.nan
    options = {"ratios": (0.25,), "batch_size": 4}
    study = code_information(model.train(), tokenizer.train(), images, **options)
    assert model.training
    assert study == code_information(model.eval(), tokenizer.eval(), images, **options)
    assert study.num_images == 8
    assert study.information[0] == pytest.approx(_information(model, tokenizer, images[1:]), abs=1e-5)


def _information(model, tokenizer, images):
    """The gain by a loop over hidden patches, with the masks of seed 0 for one image more, which comes first."""
    rng, grid = np.random.default_rng(0), PatchGrid(3, 4, 1, 2)
    hidden = torch.from_numpy(np.stack([RandomMask(0.25)(grid, rng) for _ in range(9)])[1:]).flatten(1)
    seen = ~images.isnan().any(dim=1)
    values, patches = images.nan_to_num(0.0), grid.pool_any(seen)
    with torch.no_grad():
        codes, said = tokenizer.codes(values, seen), model.logits(values, seen, hidden).log_softmax(dim=-1)
    share = torch.bincount(codes[patches], minlength=6) / patches.sum()
    gains = []
    for image in range(len(images)):
        asked = [n for n in range(12) if hidden[image, n] and patches[image, n]]
        told = [said[image, n, codes[image, n]] - share[codes[image, n]].log() for n in asked]
        gains.append(float(sum(told)) / len(told))
    return sum(gains) / len(gains)


def test_normal_scores_are_ranks_among_the_first_half():
    values = torch.tensor([3.0, 1.0, 2.0, 2.5, 99.0])[:, None]
    scores = normal_scores(values, 3)
    expected = torch.special.ndtri(torch.tensor([0.75, 0.25, 0.5, 0.625, 0.875], dtype=torch.float64))
    assert torch.allclose(scores.flatten(), expected)


def test_few_samples_are_shrunk_and_many_are_not():
    few, many = torch.randn(10, 30, dtype=torch.float64), torch.randn(100_000, 3, dtype=torch.float64)
    many[:, 1] = 0.6 * many[:, 0] + 0.8 * many[:, 1]
    assert float(torch.linalg.eigvalsh(shrunk_correlation(few))[0]) > 0.1
    assert float(shrunk_correlation(many)[0, 1]) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": (4, 5)}, "patches of 4 x 5 do not fill an image of 6 x 6"),
        ({"ratios": (0.5, 1.0)}, "a ratio of 1.0 hides 36 of 36 patches"),
        ({"ratios": (0.0,)}, "a ratio of 0.0 hides 0 of 36 patches"),
        ({"valid": torch.zeros(100, 6, 6, dtype=torch.bool)}, "0 images were observed in full, the study needs 50"),
    ],
)
def test_what_cannot_be_studied_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        linear_information(_smooth(100, 6), **{"patch_size": (1, 1), **options})
