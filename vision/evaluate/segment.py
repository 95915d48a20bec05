"""Semantic segmentation: train a head, measure the mean intersection over union."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.errors import DivergedError, InputError
from vision.evaluate.config import SegmentConfig
from vision.evaluate.finetune import (
    Images,
    Reader,
    copy_to_train,
    epoch_batches,
    layer_groups,
    read_here,
    set_rates,
)
from vision.evaluate.segment_heads import Segmenter
from vision.evaluate.tables import table
from vision.nn.vit import VisionTransformer
from vision.schedule import CosineSchedule

OVERLAP = 1 / 3  # of neighbouring windows; mmsegmentation's slide: 341 of 512


@dataclass(frozen=True)
class SegmentationResult:
    """How well a segmenter's classes cover the true ones."""

    ious: Sequence[float]  # of each class; NaN where it is neither there nor predicted
    pixel_accuracy: float
    num_images: int
    segmenter: Segmenter
    names: Sequence[str]

    @property
    def mean_iou(self) -> float:
        """Over the classes that occur, in [0, 1]."""
        return float(torch.tensor(self.ious).nanmean())

    def summary(self) -> str:
        """A table of classes."""
        rows = [(name, f"{iou:.1%}") for name, iou in zip(self.names, self.ious, strict=True)]
        title = f"Segmentation: mIoU {self.mean_iou:.2%}, {self.pixel_accuracy:.2%} of pixels, {self.num_images} images"
        return table(title, ("class", "IoU"), rows)

    def __repr__(self) -> str:
        return f"SegmentationResult(mIoU {self.mean_iou:.2%}, {self.num_images} images)"


def segment(
    encoder: VisionTransformer,
    train: Images,
    train_masks: Tensor,
    test: Images,
    test_masks: Tensor,
    num_classes: int,
    config: SegmentConfig | None = None,
    *,
    ignore: int = 255,
    names: Sequence[str] | None = None,
    read: Reader = read_here,
    device: torch.device | str = "cpu",
    track: Callable[[Sequence[int], str], Iterable[int]] | None = None,
) -> SegmentationResult:
    """Train a head (and a copy of the encoder, unless frozen) on (train, masks), measure on (test, masks).

    Training crops are cut and mirrored at random. With ``config.crop`` the test images are seen through
    overlapping windows of that size, whose logits are averaged; without it, whole.

    Parameters
    ----------
    encoder : with tables of positions for what it sees at once, a crop or a whole image
        (:func:`vision.convert.resize.resize_positions`).
    train, test : images (n, C, H, W) by number, normalised as in pre-training. NaN = not observed: such pixels do not
        count if their class is ``ignore``.
    train_masks, test_masks : classes (n, H, W) integers from 0 on.
    num_classes : two or more.
    ignore : the class of pixels that do not count; where it is one of the classes (ADE20K: 0) it is never answered.
    names : of the classes; None = their numbers.
    read : reads the batches, in other processes perhaps.
    track : iterates over the training steps and shows how far they are; None = silent.

    Raises
    ------
    InputError : masks do not fit the images or the classes, or there is one class.
    DivergedError : the loss is not a number.
    """
    config = config or SegmentConfig()
    if num_classes < 2:
        raise InputError(f"num_classes is {num_classes}, expected two or more: of one class every pixel is right")
    for what, images, masks in (("the training set", train, train_masks), ("the test set", test, test_masks)):
        _check_masks(images, masks, num_classes, ignore, what)
    generator = torch.Generator().manual_seed(config.seed)
    steps = range(1, config.steps + 1) if track is None else track(range(1, config.steps + 1), "segmentation")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # of the head's first weights and of drop path
        own = copy_to_train(encoder, config.drop_path, final_norm=encoder.config.final_norm)
        segmenter = Segmenter(own, num_classes, config).to(device)
        _train(segmenter, _batches(train, train_masks, config, generator, read), config, ignore, device, steps)
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.long)
    chosen = torch.arange(len(test)).split(config.batch_size)
    for numbers, batch in zip(chosen, read(test, chosen), strict=True):
        answered = classify(segmenter, batch.to(device), config.crop, ignore).cpu()
        confusion += confusion_of(answered, test_masks[numbers].long(), num_classes, ignore)
    return SegmentationResult(
        ious=intersection_over_union(confusion).tolist(),
        pixel_accuracy=float(confusion.diag().sum() / confusion.sum().clamp(min=1)),
        num_images=len(test),
        segmenter=segmenter.cpu(),
        names=names or [str(number) for number in range(num_classes)],
    )


def confusion_of(predicted: Tensor, truth: Tensor, num_classes: int, ignore: int) -> Tensor:
    """Classes predicted and true, both (B, H, W) long -> (classes, classes) counts, rows true."""
    counted = truth != ignore
    places = truth[counted] * num_classes + predicted[counted]
    return torch.bincount(places, minlength=num_classes**2).view(num_classes, num_classes)


def intersection_over_union(confusion: Tensor) -> Tensor:
    """(classes,) float64 from counts (classes, classes); NaN where a class is neither there nor predicted."""
    both = confusion.diag().double()
    return both / (confusion.sum(dim=0) + confusion.sum(dim=1) - both)


def classify(segmenter: Segmenter, images: Tensor, crop: tuple[int, int] | None, ignore: int) -> Tensor:
    """Images (B, C, H, W) -> classes (B, H, W) long, never ``ignore``."""
    logits = predict(segmenter, images, crop)
    if 0 <= ignore < logits.shape[1]:
        logits[:, ignore] = -torch.inf
    return logits.argmax(dim=1)


@torch.no_grad()
def predict(segmenter: Segmenter, images: Tensor, crop: tuple[int, int] | None = None) -> Tensor:
    """Images (B, C, H, W) -> logits (B, classes, H, W), averaged over windows of ``crop`` where it is given."""
    segmenter.eval()
    height, width = images.shape[-2:]
    if crop is None:
        return segmenter(images)
    crop = (min(crop[0], height), min(crop[1], width))
    total, count = None, images.new_zeros(1, 1, height, width)
    for top in window_starts(height, crop[0]):
        for left in window_starts(width, crop[1]):
            place = (..., slice(top, top + crop[0]), slice(left, left + crop[1]))
            logits = segmenter(images[place])
            total = logits.new_zeros(*logits.shape[:2], height, width) if total is None else total
            total[place] += logits
            count[place] += 1
    assert total is not None
    return total / count


def window_starts(length: int, window: int) -> list[int]:
    """Where windows begin that cover ``length`` pixels, evenly, overlapping by :data:`OVERLAP` or more."""
    stride = max(int(window * (1 - OVERLAP)), 1)
    number = math.ceil((length - window) / stride) + 1
    return [round(index * (length - window) / max(number - 1, 1)) for index in range(number)]


@torch.enable_grad()
def _train(
    segmenter: Segmenter,
    batches: Iterator[tuple[Tensor, Tensor]],
    config: SegmentConfig,
    ignore: int,
    device: torch.device | str,
    steps: Iterable[int],
) -> None:
    encoder_rate = config.encoder_learning_rate / max(config.learning_rate, 1e-12)
    optimizer = torch.optim.AdamW(layer_groups(segmenter, config.layer_decay, config.weight_decay, encoder_rate))
    rates = CosineSchedule(start=config.learning_rate, end=0.0, warmup=min(config.warmup_steps / config.steps, 1.0))
    segmenter.train()
    for step, (batch, truth) in zip(steps, batches, strict=False):
        has_gaps = bool(batch.isnan().any())  # on the host, which then need not wait for the device
        set_rates(optimizer, rates(step / config.steps))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            logits = segmenter(batch.to(device, non_blocking=True), has_gaps)
        truth = truth.to(device, non_blocking=True)
        total = F.cross_entropy(logits.float(), truth, ignore_index=ignore, reduction="sum")
        loss = total / (truth != ignore).sum().clamp(min=1)  # a batch may have no pixel that counts
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == config.steps:  # a synchronisation, every hundredth step
            seen = float(loss.detach())
            if not math.isfinite(seen):
                raise DivergedError(f"the loss is {seen} at step {step}: lower the learning rate")


def _batches(
    images: Images, masks: Tensor, config: SegmentConfig, generator: torch.Generator, read: Reader
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops of images and masks, epoch after epoch without end."""
    while True:
        chosen = epoch_batches(len(images), min(config.batch_size, len(images)), generator)
        for numbers, batch in zip(chosen, read(images, chosen), strict=True):
            yield cut_and_mirror(batch, masks[numbers].long(), config.crop, generator)


def cut_and_mirror(
    images: Tensor, masks: Tensor, crop: tuple[int, int] | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A crop of each image (B, C, H, W) and its mask (B, H, W) at the same random place, mirrored by chance."""
    height, width = images.shape[-2:]
    crop = (height, width) if crop is None else (min(crop[0], height), min(crop[1], width))
    pairs = []
    for image, mask in zip(images, masks, strict=True):
        top, left, is_mirrored = (
            int(torch.randint(limit, (), generator=generator))
            for limit in (height - crop[0] + 1, width - crop[1] + 1, 2)
        )
        place = (..., slice(top, top + crop[0]), slice(left, left + crop[1]))
        cut = (image[place], mask[place])
        pairs.append(tuple(part.flip(-1) for part in cut) if is_mirrored else cut)
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])


def _check_masks(images: Images, masks: Tensor, num_classes: int, ignore: int, what: str) -> None:
    if len(images) == 0 or len(images) != len(masks):
        raise InputError(f"{what} has {len(images)} images and {len(masks)} masks, expected the same, one or more")
    size = images[torch.arange(1)].shape[-2:]
    if masks.ndim != 3 or masks.shape[1:] != size:
        raise InputError(f"masks of {what} are {tuple(masks.shape)}, expected (n, {size[0]}, {size[1]})")
    counted = masks[masks != ignore]
    if counted.numel() == 0 or int(counted.min()) < 0 or int(counted.max()) >= num_classes:
        raise InputError(f"masks of {what} need classes from 0 to {num_classes - 1}, or {ignore} to leave a pixel out")
