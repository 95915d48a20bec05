"""The linear probe: what it learns, how it chooses."""

import pytest
import torch
from torch.nn import functional as F

from vision.config import ConfigError
from vision.errors import InputError
from vision.evaluate.config import LinearConfig
from vision.evaluate.linear import LinearHeads, linear_probe, standardisation

QUICK = LinearConfig(epochs=20, batch_size=64, learning_rates=(1e-6, 1e-2, 1e-1))


def test_clouds_are_told_apart_by_the_rate_that_held_out_images_choose(blobs):
    train, test = blobs(400), blobs(200, seed=1)
    inputs = [_beside_noise(features, seed) for seed, (features, _) in enumerate((train, test))]
    result = linear_probe(inputs[0], train[1], inputs[1], test[1], QUICK)
    assert result.accuracy > 0.9
    assert result.learning_rate == 1e-2 or result.learning_rate == 1e-1
    assert result.heldout_accuracies[result.learning_rate] == max(result.heldout_accuracies.values())
    assert result.num_train == 360  # a tenth is held out
    predicted = F.linear(inputs[1], result.weight, result.bias).argmax(dim=1)
    assert float((predicted == test[1]).float().mean()) == pytest.approx(result.accuracy)
    assert not result.weight.requires_grad
    with torch.no_grad():  # as in a notebook that has switched gradients off
        assert linear_probe(inputs[0], train[1], inputs[1], test[1], QUICK).accuracy == result.accuracy
    with pytest.raises(InputError, match="features of the test set have 3 numbers each, those learned from"):
        linear_probe(inputs[0], train[1], inputs[1][:, :3], test[1], QUICK)
    assert "learning rate" in result.summary()


def _beside_noise(features, seed):
    """What tells the classes apart is small and far from zero, beside it is a loud feature that tells nothing."""
    noise = torch.randn(len(features), 1, generator=torch.Generator().manual_seed(seed))
    return torch.cat([features * 0.01 + 5.0, noise * 1000.0], dim=1)


def test_of_rates_that_get_as_many_held_out_images_right_the_surer_one_is_chosen(blobs):
    config = LinearConfig(epochs=20, batch_size=64, learning_rates=(1e-2, 1e-1))
    result = linear_probe(*blobs(100), *blobs(100, seed=1), config)
    assert result.heldout_accuracies == {1e-2: 1.0, 1e-1: 1.0}
    assert result.learning_rate == 1e-1


def test_labels_without_relation_are_not_learned(blobs):
    (train, _), (test, _) = blobs(300), blobs(300, seed=1)
    labels = torch.randint(3, (600,), generator=torch.Generator().manual_seed(5))
    assert linear_probe(train, labels[:300], test, labels[300:], QUICK).accuracy < 0.5


def test_the_loss_of_all_heads_is_the_sum_of_each():
    heads = LinearHeads(3, 5, 4, torch.Generator().manual_seed(0)).to(torch.device("cpu"))
    with torch.no_grad():
        heads.weight.copy_(torch.randn(3, 5, 4))
        heads.bias.copy_(torch.randn(3, 4))
    features, labels = torch.randn(7, 5), torch.randint(4, (7,))
    each = [F.cross_entropy(features @ heads.weight[h] + heads.bias[h], labels) for h in range(3)]
    assert torch.allclose(heads.loss(features, labels), torch.stack(each).sum(), atol=1e-5)
    assert torch.allclose(heads.logits(features, 1), features @ heads.weight[1] + heads.bias[1])


def test_a_constant_feature_is_harmless(blobs):
    train, labels = blobs(100)
    mean, scale = standardisation(torch.cat([train, torch.full((100, 1), 3.0)], dim=1))
    assert torch.isfinite(scale).all()
    assert mean[-1] == 3.0
    constant = torch.cat([train, torch.full((100, 1), 3.0)], dim=1)
    assert linear_probe(constant, labels, constant, labels, QUICK).accuracy > 0.9


def test_faults_are_named(blobs):
    train, labels = blobs(4)
    with pytest.raises(ValueError, match="4 training images are too few"):
        linear_probe(train, labels, train, labels, QUICK)
    train, labels = blobs(40)
    gappy = train.clone()
    gappy[:2, 0] = torch.nan
    with pytest.raises(InputError, match="2 of the 40 features of the training set are NaN"):
        linear_probe(gappy, labels, train, labels, QUICK)
    with pytest.raises(InputError, match="2 of the 40 features of the test set are NaN"):
        linear_probe(train, labels, gappy, labels, QUICK)
    with pytest.raises(ConfigError, match="learning_rates"):
        LinearConfig(learning_rates=())
