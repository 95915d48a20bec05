"""Fine-tuning: the encoder and a classifier trained together, deeper layers faster (BEiT, MAE, iBOT)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.errors import DivergedError
from vision.evaluate.config import FinetuneConfig
from vision.evaluate.features import check_pooling
from vision.evaluate.gaps import mean_patch, nan_if_unseen, split_gaps
from vision.evaluate.tables import check_labels, table
from vision.nn.relative import with_a_table_per_block
from vision.nn.vit import VisionTransformer
from vision.schedule import CosineSchedule

if TYPE_CHECKING:
    from vision.evaluate.segment_heads import Segmenter

EMBEDDING = ("patch_embed", "cls_token", "registers", "positions")  # layer 0, as in BEiT's and MAE's code
UNDECAYED = ("cls_token", "positions")  # whatever their shape: both codes' no_weight_decay


class Images(Protocol):
    """Images that are taken by number: a tensor (n, C, H, W), or anything that reads them when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor:
        """Numbers (B,) long -> images (B, C, H, W), NaN = not observed."""
        ...


Reader: TypeAlias = Callable[[Images, Sequence[Tensor]], Iterable[Tensor]]
"""(images, the numbers (B,) of each batch) -> the batches, in this order."""


def read_here(images: Images, chosen: Sequence[Tensor]) -> Iterator[Tensor]:
    """Batches of images by their numbers, read in this process."""
    return (images[numbers] for numbers in chosen)


class Classifier(nn.Module):
    """An encoder and a linear classifier. Images (B, C, H, W) -> logits (B, classes).

    What is NaN was not observed and takes no part; an image without any observed patch has NaN for logits.

    With pooling "mean", the default, the patches are averaged first and normed then, and the encoder has no final norm
    (MAE's and BEiT's ``fc_norm``); with "cls" the classifier reads the normed CLS token.

    Parameters
    ----------
    encoder : copied, see :func:`copy_to_train`.
    """

    def __init__(self, encoder: VisionTransformer, num_classes: int, config: FinetuneConfig) -> None:
        super().__init__()
        pooling = config.pooling or "mean"
        check_pooling(encoder, pooling)
        self.is_mean = pooling == "mean"
        own = encoder.config
        self.encoder = copy_to_train(encoder, config.drop_path, final_norm=own.final_norm and not self.is_mean)
        self.norm = nn.LayerNorm(own.dim, eps=own.norm_eps) if self.is_mean else nn.Identity()
        self.head = nn.Linear(own.dim, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=2e-5)  # MAE, main_finetune.py
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor, has_gaps: bool | None = None) -> Tensor:
        """``has_gaps`` as in :func:`vision.evaluate.gaps.split_gaps`."""
        images, pixels, seen = split_gaps(images, self.encoder.config.patch_size, has_gaps)
        encoded = self.encoder(images, pixels, only_cls=not self.is_mean)
        pooled = self.norm(mean_patch(encoded.patches, seen)) if self.is_mean else encoded.cls
        assert pooled is not None  # the constructor asks for CLS
        return nan_if_unseen(self.head(pooled), seen)


def copy_to_train(encoder: VisionTransformer, drop_path: float, *, final_norm: bool) -> VisionTransformer:
    """The same network, which drops paths at another rate; nothing is drawn for it.

    A table of relative positions that its blocks share becomes one in each (BEiT's and SimMIM's fine-tuning).
    """
    own = replace(encoder.config, drop_path=drop_path, drop_path_shape="linear", final_norm=final_norm)
    state = encoder.state_dict()
    if own.relative_position == "shared":
        own = replace(own, relative_position="block")
        state = with_a_table_per_block(state, own.depth)
    with torch.device("meta"):
        copied = VisionTransformer(own)
    kept = {name: tensor.clone() for name, tensor in state.items() if final_norm or not name.startswith("norm.")}
    copied.load_state_dict(kept, assign=True)
    return copied


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuned encoder gets right."""

    accuracy: float  # on the test images after the last epoch, in [0, 1]
    accuracies: Sequence[float]  # after each epoch
    losses: Sequence[float]  # mean of each epoch
    num_train: int
    num_test: int
    classifier: Classifier

    def summary(self) -> str:
        """A table of epochs, some ten of them."""
        every = max(math.ceil(len(self.losses) / 10), 1)
        shown = [n for n in range(len(self.losses)) if n % every == every - 1 or n == len(self.losses) - 1]
        rows = [(str(n + 1), f"{self.losses[n]:.4f}", f"{self.accuracies[n]:.2%}") for n in shown]
        title = f"Fine-tuned: {self.accuracy:.2%} of {self.num_test} images, from {self.num_train}"
        return table(title, ("epoch", "loss", "accuracy"), rows)

    def __repr__(self) -> str:
        return f"FinetuneResult({self.accuracy:.2%} after {len(self.losses)} epochs, {self.num_test} images)"


@torch.enable_grad()
def finetune(
    encoder: VisionTransformer,
    train: Images,
    train_labels: Tensor,
    test: Images,
    test_labels: Tensor,
    config: FinetuneConfig | None = None,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    read: Reader = read_here,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, float], None] | None = None,
) -> FinetuneResult:
    """Train a copy of ``encoder`` with a classifier on (train, labels), count right answers on (test, labels).

    Parameters
    ----------
    train, test : images, normalised as in pre-training, NaN = not observed; labels long (n,) and (m,).
    augment : batch (B, C, H, W) on the device -> what is trained on; None = as they are.
    read : reads the batches, in other processes perhaps.
    on_epoch : told the epoch, from 1, and its mean loss.

    Raises
    ------
    ValueError : labels do not fit, or the pooling asks for a CLS token that is not there.
    DivergedError : the loss is not a number, as where nothing was observed of an image of ``train``; leave
        such images out. Of ``test`` they count as wrong.
    """
    config = config or FinetuneConfig()
    for name, images, labels in (("the training set", train, train_labels), ("the test set", test, test_labels)):
        check_labels(len(images), labels, name)
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # of the classifier's first weights and of drop path
        classifier = Classifier(encoder, num_classes, config).to(device)
        optimizer = torch.optim.AdamW(
            layer_groups(classifier, config.layer_decay, config.weight_decay), betas=config.betas
        )
        batch_size = min(config.batch_size, len(train))
        steps = config.epochs * (len(train) // batch_size)
        rates = CosineSchedule(
            start=config.learning_rate * batch_size / 256,
            end=config.min_learning_rate,
            warmup=min(config.warmup_epochs / config.epochs, 1.0),
        )
        losses, accuracies, step = [], [], 0
        for epoch in range(1, config.epochs + 1):
            classifier.train()
            total = torch.zeros((), device=device)
            chosen = epoch_batches(len(train), batch_size, generator)
            for numbers, batch in zip(chosen, read(train, chosen), strict=True):
                has_gaps = bool(batch.isnan().any())  # on the host, which then need not wait for the device
                images, labels = (part.to(device, non_blocking=True) for part in (batch, train_labels[numbers]))
                images = images if augment is None else augment(images)
                set_rates(optimizer, rates((step + 1) / steps))
                with torch.autocast(
                    torch.device(device).type, torch.bfloat16, enabled=config.precision == "bf16-mixed"
                ):
                    logits = classifier(images, has_gaps)
                loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach()
                step += 1
            losses.append(float(total) / (len(train) // batch_size))
            if not math.isfinite(losses[-1]):
                raise DivergedError(f"the loss is {losses[-1]} in epoch {epoch}: lower the learning rate")
            accuracies.append(accuracy_of(classifier, test, test_labels, batch_size, device, read))
            if on_epoch is not None:
                on_epoch(epoch, losses[-1])
        return FinetuneResult(accuracies[-1], accuracies, losses, len(train), len(test), classifier.eval().cpu())


def layer_groups(
    network: Classifier | Segmenter, layer_decay: float, weight_decay: float, encoder_scale: float = 1.0
) -> list[dict[str, object]]:
    """What is to be trained by layer and by weight decay, with the factor of the learning rate under "rate_scale".

    The embedding is layer 0, block i layer i + 1; the norm, the head and shared relative positions keep the whole
    rate (BEiT, ``optim_factory.py``), those of the encoder ``encoder_scale`` of it. What has one dimension does not
    decay, nor the CLS token and the positions.
    """
    last = network.encoder.config.depth + 1
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        block = re.match(r"encoder\.blocks\.(\d+)\.", name)
        parts = name.split(".")
        layer = int(block[1]) + 1 if block else 0 if any(part in EMBEDDING for part in parts) else last
        is_decayed = parameter.ndim > 1 and not any(part in UNDECAYED for part in parts)
        groups.setdefault((name.startswith("encoder."), layer, is_decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if is_decayed else 0.0,
            "rate_scale": layer_decay ** (last - layer) * (encoder_scale if is_encoder else 1.0),
        }
        for (is_encoder, layer, is_decayed), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]


def epoch_batches(num_images: int, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
    """Numbers (batch_size,) of images in a new order; what does not fill a batch is left out."""
    order = torch.randperm(num_images, generator=generator)
    return order[: num_images - num_images % batch_size].split(batch_size)


@torch.no_grad()
def accuracy_of(
    classifier: nn.Module,
    images: Images,
    labels: Tensor,
    batch_size: int,
    device: torch.device | str,
    read: Reader = read_here,
) -> float:
    """The share of images whose class is named, no class by NaN; the classifier is in eval mode afterwards."""
    classifier.eval()
    right = torch.zeros((), dtype=torch.long, device=device)
    chosen = torch.arange(len(images)).split(batch_size)
    for numbers, batch in zip(chosen, read(images, chosen), strict=True):
        best = classifier(batch.to(device)).max(dim=1)
        right += ((best.indices == labels[numbers].to(device)) & ~best.values.isnan()).sum()
    return int(right) / len(images)
