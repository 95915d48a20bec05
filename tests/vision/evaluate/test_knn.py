"""k-NN against a naive loop."""

import math

import pytest
import torch

from vision.errors import InputError
from vision.evaluate.knn import knn


def _naive(bank, labels, query, k, temperature):
    cosines = [(float(torch.nn.functional.cosine_similarity(query, key, dim=0)), int(label))
               for key, label in zip(bank, labels, strict=True)]  # fmt: skip
    votes = {}
    for cosine, label in sorted(cosines, reverse=True)[:k]:
        votes[label] = votes.get(label, 0.0) + math.exp(cosine / temperature)
    return max(sorted(votes), key=votes.get)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_knn_is_the_naive_loop(blobs, temperature):
    bank, labels = blobs(60, spread=4.0)
    queries, truth = blobs(50, spread=4.0, seed=1)
    result = knn(bank, labels, queries, truth, ks=(1, 5, 20), temperature=temperature, chunk=7)
    for k in (1, 5, 20):
        right = [_naive(bank, labels, query, k, temperature) == int(t) for query, t in zip(queries, truth, strict=True)]
        assert result.accuracies[k] == pytest.approx(sum(right) / 50)
    assert 0.4 < result.best < 1.0
    assert result.best == max(result.accuracies.values())
    assert "50 images against 60" in result.summary()


def test_the_temperature_weighs_near_neighbours_and_never_overflows():
    bank = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, 0.81]])
    labels, query, truth = torch.tensor([1, 0, 0]), torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    assert knn(bank, labels, query, truth, ks=(3,), temperature=0.07).best == 1.0  # e^14 against 2 e^8.6
    assert knn(bank, labels, query, truth, ks=(3,), temperature=10.0).best == 0.0  # two against one
    assert knn(bank, labels, query, truth, ks=(3,), temperature=1e-3).best == 1.0  # e^1000 is infinite


def test_a_k_beyond_the_bank_is_left_out(blobs):
    bank, labels = blobs(15)
    assert list(knn(bank, labels, bank, labels, ks=(10, 20)).accuracies) == [10]
    with pytest.raises(ValueError, match="expected one from 1 to 15"):
        knn(bank, labels, bank, labels, ks=(20,))


def test_features_that_are_nan_are_refused_for_they_would_be_the_nearest_of_all(blobs):
    whole, labels = blobs(30)
    gappy = whole.clone()
    gappy[3] = torch.nan
    with pytest.raises(InputError, match="1 of the 30 features of bank are NaN: leave out images of which"):
        knn(gappy, labels, whole, labels)
    with pytest.raises(InputError, match="1 of the 30 features of queries are NaN"):
        knn(whole, labels, gappy, labels)


def test_labels_that_do_not_fit_are_refused(blobs):
    bank, labels = blobs(10)
    with pytest.raises(ValueError, match="bank has 10 images and labels of shape"):
        knn(bank, labels[:9], bank, labels)
    with pytest.raises(ValueError, match=r"labels of queries are torch\.float32"):
        knn(bank, labels, bank, labels.float())
    with pytest.raises(ValueError, match="queries is empty"):
        knn(bank, labels, bank[:0], labels[:0])
