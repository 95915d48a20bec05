"""Linear probe: a sweep of linear classifiers on frozen features, all trained at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.errors import InputError
from vision.evaluate.config import LinearConfig
from vision.evaluate.tables import check_features, share_right, table
from vision.schedule import CosineSchedule

STD_OF_FIRST_WEIGHTS = 0.01  # DINO, MAE and DINOv2
VARIANCE_EPS = 1e-6  # MAE's batch norm


@dataclass(frozen=True)
class LinearResult:
    """What the best head of the sweep gets right, and the head itself."""

    accuracy: float  # on the test images, in [0, 1], by the head that was best on held-out ones
    learning_rate: float  # of that head, for 256 images
    heldout_accuracies: Mapping[float, float]  # learning rate -> share of right answers on held-out images
    num_train: int
    num_test: int
    weight: Tensor  # (classes, F) of that head, on features that are not standardised
    bias: Tensor  # (classes,)

    def summary(self) -> str:
        """A table of the sweep; * is the rate that was chosen."""
        rows = [
            (f"{rate:g}{'*' if rate == self.learning_rate else ''}", f"{accuracy:.2%}")
            for rate, accuracy in self.heldout_accuracies.items()
        ]
        title = f"Linear probe: {self.accuracy:.2%} of {self.num_test} images, from {self.num_train}"
        return table(title, ("learning rate", "held out"), rows)

    def __repr__(self) -> str:
        return f"LinearResult({self.accuracy:.2%} at learning rate {self.learning_rate:g}, {self.num_test} images)"


def linear_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    config: LinearConfig | None = None,
    *,
    device: torch.device | str = "cpu",
) -> LinearResult:
    """Train a head for every learning rate on ``train`` (n, F), choose on held-out images, test on ``test``.

    Labels are long, (n,) and (m,). See :class:`LinearConfig` for the protocol; of rates that get as many held-out
    images right, as where these are few, the one of the lowest loss is chosen. Raises InputError on labels that do not
    fit, features that are NaN, or too few images to hold any out.
    """
    config = config or LinearConfig()
    check_features(train, train_labels, "the training set")
    check_features(test, test_labels, "the test set", train.shape[1])
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(train.shape[0], generator=generator)
    num_heldout = round(config.holdout_ratio * train.shape[0])
    if not 0 < num_heldout < train.shape[0]:
        raise InputError(f"{train.shape[0]} training images are too few to hold {config.holdout_ratio:.0%} of them out")
    heldout, kept = order[:num_heldout], order[num_heldout:]
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1

    mean, scale = standardisation(train[kept])
    features = ((train - mean) * scale).float().to(device)
    labels = train_labels.to(device)
    heads = train_heads(features[kept], labels[kept], num_classes, config, generator)
    scores = [
        _score(heads.logits(features[heldout], index), labels[heldout]) for index in range(len(config.learning_rates))
    ]
    best = max(range(len(scores)), key=scores.__getitem__)
    weight = heads.weight[best].detach().T.cpu() * scale
    bias = heads.bias[best].detach().cpu() - weight @ mean
    predicted = F.linear(test.float(), weight, bias).argmax(dim=1)
    return LinearResult(
        accuracy=share_right(predicted, test_labels),
        learning_rate=config.learning_rates[best],
        heldout_accuracies={rate: accuracy for rate, (accuracy, _) in zip(config.learning_rates, scores, strict=True)},
        num_train=len(kept),
        num_test=test.shape[0],
        weight=weight,
        bias=bias,
    )


def _score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Logits (n, classes), labels (n,) -> the share of right answers, and minus the cross-entropy."""
    return share_right(logits.argmax(dim=1), labels), -float(F.cross_entropy(logits, labels))


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features (n, F) -> mean (F,) and the factor 1 / sd (F,); a constant feature gets a large, finite one."""
    mean = features.float().mean(dim=0)
    variance = (features.float() - mean).square().mean(dim=0)
    return mean, (variance + VARIANCE_EPS).rsqrt()


class LinearHeads:
    """H linear classifiers on the same features, one matrix product for all."""

    def __init__(self, num_heads: int, dim: int, num_classes: int, generator: torch.Generator) -> None:
        first = torch.randn(dim, num_classes, generator=generator) * STD_OF_FIRST_WEIGHTS
        self.weight = first.repeat(num_heads, 1, 1)  # (H, F, classes), the same start for each
        self.bias = torch.zeros(num_heads, num_classes)

    def to(self, device: torch.device) -> LinearHeads:
        """On a device, with gradient."""
        self.weight = self.weight.to(device).requires_grad_()
        self.bias = self.bias.to(device).requires_grad_()
        return self

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, F), labels (B,) -> the sum over heads of their mean cross-entropies."""
        logits = torch.einsum("bf,hfc->hbc", features, self.weight) + self.bias[:, None]
        return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="sum") / len(labels)

    @torch.no_grad()
    def logits(self, features: Tensor, head: int) -> Tensor:
        """Features (B, F) -> the logits (B, classes) of one head."""
        return features @ self.weight[head] + self.bias[head]


@torch.enable_grad()
def train_heads(
    features: Tensor, labels: Tensor, num_classes: int, config: LinearConfig, generator: torch.Generator
) -> LinearHeads:
    """SGD with momentum; each head has its own learning rate, all have the same batches and half-cosine."""
    heads = LinearHeads(len(config.learning_rates), features.shape[1], num_classes, generator).to(features.device)
    batch_size = min(config.batch_size, len(features))
    rates = torch.tensor(config.learning_rates, device=features.device) * batch_size / 256
    steps_per_epoch = len(features) // batch_size
    schedule = CosineSchedule(start=1.0, end=0.0)
    parameters = (heads.weight, heads.bias)
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for epoch in range(config.epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for number, chosen in enumerate(order[: steps_per_epoch * batch_size].split(batch_size)):
            gradients = torch.autograd.grad(heads.loss(features[chosen], labels[chosen]), parameters)
            factor = schedule((epoch + number / steps_per_epoch) / config.epochs)
            with torch.no_grad():
                for parameter, gradient, velocity in zip(parameters, gradients, velocities, strict=True):
                    velocity.mul_(config.momentum).add_(gradient)
                    parameter.sub_(factor * rates.view(-1, *[1] * (parameter.ndim - 1)) * velocity)
    return heads
