"""The tasks of ``fintok vision evaluate``: each reads with a trained encoder and gives figures, or pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision.batch import Batch, Mask
from vision.commands.evaluation import Evaluation
from vision.commands.reading import read_batches, tracked
from vision.convert.resize import resize_positions
from vision.data.images import EncodedImages
from vision.data.shown import ShownImages
from vision.data.views import crop, draw_crop
from vision.errors import InputError
from vision.evaluate.attention import attention_picture
from vision.evaluate.codebook import codebook_health
from vision.evaluate.finetune import finetune
from vision.evaluate.gallery import code_gallery
from vision.evaluate.gaps import split_gaps
from vision.evaluate.knn import knn
from vision.evaluate.linear import linear_probe
from vision.evaluate.masking import MaskingStudy, code_information, linear_information
from vision.evaluate.pictures import class_pictures, montage, to_pictures
from vision.evaluate.reconstruct import fill_in, reconstruction_picture
from vision.evaluate.segment import classify, segment
from vision.methods.beit import BEiT
from vision.methods.beit2 import BEiT2
from vision.methods.dvae import DVAE
from vision.methods.mae import MAE
from vision.methods.simmim import SimMIM
from vision.train.artifacts import MODEL, TOKENIZER, open_tokenizer
from vision.train.build import load_method
from vision.train.checkpoint import CheckpointError, load_masked_model
from vision.train.inputs import Inputs
from vision.train.progress import track

IN_GALLERY = 2000  # images
IN_STUDY = 5000


def run_knn(on: Evaluation) -> dict[str, float]:
    """k-NN on features: cosine, votes by similarity (DINO)."""
    train_labels, test_labels = on.labels()
    result = knn(*_interleave(on.features(), (train_labels, test_labels)), device=on.device)
    on.say(result.summary())
    return {f"k = {k}": accuracy for k, accuracy in result.accuracies.items()}


def run_pixels(on: Evaluation) -> dict[str, float]:
    """k-NN on the pixels themselves: what no network has to add to."""
    batches = (tracked(shown, on.batch_size, "pixels", on.num_workers) for shown in (on.train, on.test))
    pixels = [torch.cat([images.flatten(1) for images in one]) for one in batches]
    known = (pixels[0].nan_to_num(), pixels[1].nan_to_num())  # what was not observed adds nothing to a cosine
    result = knn(*_interleave(known, on.labels()), device=on.device)
    on.say(f"On raw pixels. {result.summary()}")
    return {f"k = {k}": accuracy for k, accuracy in result.accuracies.items()}


def run_linear(on: Evaluation) -> dict[str, float]:
    """A linear probe on features."""
    result = linear_probe(*_interleave(on.features(), on.labels()), on.linear, device=on.device)
    on.say(result.summary())
    return {"accuracy": result.accuracy, "learning_rate": result.learning_rate}


def run_finetune(on: Evaluation) -> dict[str, object]:
    """Encoder and classifier trained together; RGB images are cropped and mirrored at random."""
    train_labels, test_labels = on.labels()
    result = finetune(
        on.encoder,
        on.train,
        train_labels,
        on.test,
        test_labels,
        on.finetune,
        augment=RandomCrops(on.finetune.seed) if on.train.images.is_encoded else None,
        read=partial(read_batches, num_workers=on.num_workers),
        device=on.device,
        on_epoch=lambda epoch, loss: on.say(f"fine-tuning, epoch {epoch} of {on.finetune.epochs}: loss {loss:.4f}"),
    )
    on.say(result.summary())
    return {"accuracy": result.accuracy, "loss": result.losses[-1], "pooling": on.finetune.pooling}


def run_segment(on: Evaluation) -> dict[str, float]:
    """A segmentation head, and a picture of some test images, what it answers and what is true; the masks are the
    column ``mask`` of Parquet tables."""
    parts = [_with_masks(shown, on.encoder.config.patch_size) for shown in (on.train, on.test)]
    (train, train_masks), (test, test_masks) = parts
    rows, columns = _grid_seen(train.size, on.segment.crop, on.patch_size)
    result = segment(
        resize_positions(on.encoder, rows, columns),
        train,
        train_masks,
        test,
        test_masks,
        _num_classes([train_masks, test_masks], on.ignore, train.images.name),
        on.segment,
        ignore=on.ignore,
        read=partial(read_batches, num_workers=on.num_workers),
        device=on.device,
        track=track,
    )
    on.say(result.summary())
    places = test.spread_places(on.pictures)
    images = test[places]
    answered = classify(result.segmenter, images, on.segment.crop, on.ignore)
    shown = [to_pictures(images, *_scale(on.inputs)), class_pictures(answered), class_pictures(test_masks[places])]
    on.save(montage(list(zip(*shown, strict=True))), "segmentation.png", 3)
    by_class = {f"iou of {n}": iou for n, iou in zip(result.names, result.ious, strict=True) if math.isfinite(iou)}
    return {"mean_iou": result.mean_iou, "pixel_accuracy": result.pixel_accuracy, **by_class}


def run_codebook(on: Evaluation) -> dict[str, float]:
    """Use of the codes on the test images, and a page of what each stands for."""
    tokenizer, _ = open_tokenizer(on.model)
    tokenizer.to(on.device)
    health = codebook_health(tokenizer, tracked(on.test, on.batch_size, "codes", on.num_workers))
    on.say(health.summary())
    images = on.test.spread(IN_GALLERY)
    mean, std = _scale(on.inputs)
    code_gallery(tokenizer, images, mean=mean, std=std).save(on.out / "codebook.html")
    on.written.append(on.out / "codebook.html")
    return {"usage": health.usage, "perplexity": health.perplexity, "largest_share": health.largest_share}


def run_attention(on: Evaluation) -> dict[str, float]:
    """What the last block looks at, as a picture."""
    mean, std = _scale(on.inputs)
    picture = attention_picture(on.encoder, on.shown(), mean=mean, std=std)
    on.save(picture, "attention.png", on.encoder.config.heads + 2)
    return {}


def run_reconstruction(on: Evaluation) -> dict[str, float]:
    """What MAE, SimMIM or dVAE saw, what it made of it, and what was there."""
    method, views, inputs = load_method(on.model)
    images, grid = on.shown(), views.grid
    observed = split_gaps(images, (grid.patch_height, grid.patch_width))
    mean, std = _scale(inputs)
    hidden = None
    with torch.no_grad():
        if isinstance(method, DVAE):
            rebuilt = method.tokenizer.reconstruct(observed.images, observed.pixels)
            rebuilt = rebuilt.masked_fill(images.isnan(), torch.nan)
        else:
            assert isinstance(method, MAE | SimMIM)
            assert views.mask is not None
            rng = np.random.default_rng(0)
            drawn = np.stack([views.mask(grid, rng) for _ in images]).reshape(len(images), -1)
            mask = Mask.from_hidden(torch.from_numpy(drawn), views.num_masked[0])
            hidden, asked = mask.hidden, mask.index[: int(mask.hidden.sum())]  # the others are left over
            predicted = method.predict(Batch((observed.images,), (mask,), (observed.pixels,), len(images)))
            rebuilt = fill_in(
                images, predicted[: len(asked)], asked, grid, is_normalised=method.config.normalise_pixels
            )
    picture = reconstruction_picture(images, rebuilt, hidden, grid, mean=mean, std=std)
    on.save(picture, "reconstruction.png", 2 if hidden is None else 3)
    return {}


def run_masking(on: Evaluation) -> dict[str, float]:
    """How much to hide: information between hidden and visible patches by ratio, and r* = argmax r I(r).

    Of the images; and where the model is a masked code model, what that has of the test images' codes.
    """
    images, valid, _ = split_gaps(on.train.spread(IN_STUDY), on.patch_size)
    study = linear_information(images, on.patch_size, valid=valid)
    on.say(study.summary())
    figures = _figures_of(study)
    if on.trained is not None and (on.model / MODEL).is_dir():
        try:
            study = _study_codes(on)
            on.say(study.summary())
            figures |= {f"codes: {name}": value for name, value in _figures_of(study).items()}
        except (InputError, CheckpointError) as error:
            on.say(f"What the masked code model of {on.model} has of the codes is not measured: {error}")
    return figures


def _figures_of(study: MaskingStudy) -> dict[str, float]:
    figures = {f"I({r:.3f})": value for r, value in zip(study.ratios, study.information, strict=True)}
    fitted = {"best_ratio": study.best_ratio, "initial": study.decay.initial, "rate": study.decay.rate}
    return {**fitted, "r_squared": study.r_squared, "best_measured": study.best_measured, **figures}


def _study_codes(on: Evaluation) -> MaskingStudy:
    """The study by the model's masked code model, and the run's own copy of the tokenizer that it learned from.

    Raises InputError or CheckpointError where it lacks that.
    """
    if (on.model / TOKENIZER).is_dir():
        tokenizer, _ = open_tokenizer(on.model)
    else:
        method = load_method(on.model).method
        assert isinstance(method, BEiT | BEiT2)
        tokenizer = method.tokenizer.module
    model = load_masked_model(on.model / MODEL).to(on.device)
    images = on.test.spread(IN_STUDY).to(on.device)
    return code_information(model, tokenizer.to(on.device), images, batch_size=on.batch_size)


TASKS: Mapping[str, Callable[[Evaluation], Mapping[str, object]]] = {
    "knn": run_knn,
    "linear": run_linear,
    "pixels": run_pixels,
    "finetune": run_finetune,
    "segment": run_segment,
    "codebook": run_codebook,
    "attention": run_attention,
    "reconstruction": run_reconstruction,
    "masking": run_masking,
}


class RandomCrops:
    """Random resized crops and flips of a batch, on its device: fine-tuning's augmentation, without RandAugment.

    Parameters
    ----------
    seed : of the crops.
    scale : share of the image's area; the papers use (.08, 1), which is for large images.
    """

    def __init__(self, seed: int, scale: tuple[float, float] = (0.5, 1.0)) -> None:
        self.rng, self.scale = np.random.default_rng(seed), scale

    def __call__(self, images: Tensor) -> Tensor:
        size = (images.shape[-2], images.shape[-1])
        drawn = [draw_crop(size, size, self.scale, (3 / 4, 4 / 3), self.rng) for _ in images]
        boxes = torch.tensor(drawn, dtype=torch.float32).to(images.device, non_blocking=True)
        flips = torch.from_numpy(self.rng.random(len(images)) < 0.5).to(images.device, non_blocking=True)
        return crop(images, None, boxes, flips, size)[0]


def _interleave(
    features: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return features[0], labels[0], features[1], labels[1]


def _scale(inputs: Inputs) -> tuple[Any, Any]:
    """Mean and std to undo for a picture: of RGB; other images are stretched, each by itself."""
    return (inputs.mean, inputs.std) if inputs.channels == 3 else (None, None)


def _with_masks(shown: ShownImages, patch_size: tuple[int, int]) -> tuple[ShownImages, Tensor]:
    """Whole images with their label maps (n, H, W). Raises InputError where there are none, or sizes do not fit."""
    images = shown.images
    if not isinstance(images, EncodedImages) or images.segmentation(0) is None:
        raise InputError(f"{images.name} has no label maps: a Parquet table with the columns image and mask has")
    if images.size is None or any(side % patch for side, patch in zip(images.size, patch_size, strict=True)):
        raise InputError(
            f"patches of {' x '.join(map(str, patch_size))} do not fill the images of {images.name} "
            f"({'several sizes' if images.size is None else ' x '.join(map(str, images.size))})"
        )
    maps = {int(number): images.segmentation(int(number)) for number in shown.numbers}
    for number, label_map in maps.items():
        if label_map is None:
            raise InputError(f"{images.name}: image {number} has no label map; fill the column mask, or drop the row")
        if label_map.shape != images.size:
            raise InputError(
                f"{images.name}: the label map of image {number} has {' x '.join(map(str, label_map.shape))} pixels, "
                f"its image {' x '.join(map(str, images.size))}: give each map the size of its image"
            )
    masks = torch.stack([label_map for label_map in maps.values() if label_map is not None])
    whole = ShownImages(images, images.size, shown.mean.flatten().tolist(), shown.std.flatten().tolist(), shown.numbers)
    return whole, masks


def _grid_seen(size: tuple[int, int], crop: tuple[int, int] | None, patch_size: tuple[int, int]) -> list[int]:
    """Rows and columns of patches that the network sees at once. Raises InputError where they do not fill the crop."""
    seen = size if crop is None else (min(crop[0], size[0]), min(crop[1], size[1]))
    if any(side % patch for side, patch in zip(seen, patch_size, strict=True)):
        patch, sides = (" x ".join(map(str, pair)) for pair in (patch_size, seen))
        raise InputError(f"patches of {patch} do not fill crops of {sides}: change --segment.crop")
    return [side // patch for side, patch in zip(seen, patch_size, strict=True)]


def _num_classes(masks: Sequence[Tensor], ignore: int, name: str) -> int:
    """One more than the highest class that counts. Raises InputError where fewer than two classes do."""
    found = torch.cat([part.unique() for part in masks]).unique().tolist()
    counted = [number for number in found if number != ignore]
    if len(counted) < 2:
        said = " and ".join(map(str, found))
        left_out = f", of which {ignore} is --ignore and does not count" if ignore in found else ""
        raise InputError(
            f"the label maps of {name} hold {said}{left_out}: two classes or more must count; number them from 0 on"
            + (", or name another --ignore" if left_out else "")
        )
    return counted[-1] + 1
