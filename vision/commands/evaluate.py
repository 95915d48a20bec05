"""``fintok vision evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Group, Parameter

from vision.commands.features import default_pooling
from vision.commands.options import AT_LEAST_ONE, DataPath, LabelColumn, Overwrite, RunPath, say_wrote
from vision.commands.reading import (
    BatchSize,
    Device,
    MaxUnreadable,
    NumWorkers,
    inputs_of,
    observed_part,
    open_shown,
    pick_device,
    unreadable_share,
)
from vision.config import ImagesConfig
from vision.errors import InputError
from vision.evaluate.config import FinetuneConfig, LinearConfig, Pooling, SegmentConfig, finetune_pooling
from vision.files import write_bytes

if TYPE_CHECKING:
    from vision.data.shown import ShownImages
    from vision.nn.vit import VisionTransformer
    from vision.train.inputs import Inputs

Task = Literal["knn", "linear", "pixels", "finetune", "segment", "codebook", "attention", "reconstruction", "masking"]
PROTOCOLS = Group("Protocols", sort_key=20)
IGNORE, PICTURES = 255, 8
SHARE = 5  # without test images, one of so many is one


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Protocols of the tasks that train something."""

    linear: LinearConfig = field(default_factory=LinearConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)


def evaluate(
    *,
    model: Annotated[RunPath | None, Parameter(show_default=False)] = None,
    data: DataPath,
    test: Annotated[
        DataPath | None,
        Parameter(
            help="Images to test on; without them a fifth of --data, drawn at random, the same each time.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, Parameter(help="Folder for results.json and the pictures.")],
    task: Annotated[tuple[Task, ...], Parameter(help="What to do; several may follow one another.")] = (
        "knn",
        "linear",
    ),
    untrained: Annotated[
        bool, Parameter(help="The same network with random weights, the floor: of all tasks that use the encoder.")
    ] = False,
    pooling: Annotated[
        Pooling | None,
        Parameter(
            help="Of features and, but for both, fine-tuning: CLS, the mean patch, or both; by default what the method "
            "trains.",
            show_default=False,
        ),
    ] = None,
    last_blocks: Annotated[
        int, Parameter(help="Features of as many blocks, one after the other: DINO and iBOT probe ViT-S by 4.")
    ] = 1,
    label_column: LabelColumn = None,
    max_unreadable: MaxUnreadable = None,
    patch_size: Annotated[
        tuple[int, int] | None,
        Parameter(help="Of masking without --model: height and width.", validator=AT_LEAST_ONE, show_default=False),
    ] = None,
    ignore: Annotated[
        int | None,
        Parameter(help=f"Class of pixels that segmentation does not count; {IGNORE} by default.", show_default=False),
    ] = None,
    pictures: Annotated[
        int | None,
        Parameter(help=f"Images in a picture; {PICTURES} by default.", validator=AT_LEAST_ONE, show_default=False),
    ] = None,
    batch_size: BatchSize = 256,
    num_workers: NumWorkers = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Annotated[EvaluateConfig, Parameter(name="*", group=PROTOCOLS)] = EvaluateConfig(),
) -> None:
    """What a trained encoder is worth: k-NN, linear probe, fine-tuning, segmentation, codebook, pictures.

    The task masking measures the images themselves: how much of them to hide. Images of which nothing was observed
    are left out.
    """
    results = out / "results.json"
    if results.exists() and not overwrite:
        raise InputError(f"{results} exists: choose another --out, or allow it with --overwrite")
    _refuse_without_effect(task, model, config, untrained=untrained, pooling=pooling, patch_size=patch_size)
    if last_blocks != 1 and not {"knn", "linear"} & set(task):
        raise InputError("--last-blocks is of knn and linear: leave it out, or ask for one with --task")
    if ignore is not None and "segment" not in task:
        raise InputError("--ignore is of segment: ask for it with --task, or leave it out")
    if pictures is not None and not {"attention", "reconstruction", "segment"} & set(task):
        raise InputError(
            "--pictures is of attention, reconstruction and segment: ask for one with --task, or leave it out"
        )
    from vision.commands.evaluation import Evaluation, check_tasks
    from vision.commands.tasks import TASKS
    from vision.evaluate.features import check_pooling

    place, is_masking = pick_device(device), set(task) == {"masking"}
    share = unreadable_share(model, max_unreadable)
    if model is not None:
        subject = _opened(model, place, untrained=untrained)
    elif is_masking:
        subject = _without_model(data, ImagesConfig(label_column=label_column, max_unreadable=share), patch_size)
    else:
        raise InputError("evaluate needs --model for every task but masking")

    if subject.trained is not None:
        check_tasks(task, *subject.trained)
        check_pooling(subject.trained[1], pooling or "mean", last_blocks)

    def read(path: Path) -> ShownImages:
        is_reduced = "segment" not in task  # its masks have the images' own size
        opened = open_shown(path, subject.inputs, label_column, is_reduced=is_reduced, max_unreadable=share)
        return observed_part(opened)

    train, held_out = _split(read(data), is_tested=not is_masking) if test is None else (read(data), read(test))
    has_cls = subject.trained is not None and subject.trained[1].config.has_cls
    method = subject.method
    head_pooling = config.finetune.pooling or (None if pooling == "cls+mean" else pooling)
    on = Evaluation(
        trained=subject.trained,
        patch_size=subject.patch_size,
        inputs=subject.inputs,
        train=train,
        test=held_out,
        out=out,
        pooling=pooling or default_pooling(method, has_cls),
        last_blocks=last_blocks,
        device=place,
        batch_size=batch_size,
        num_workers=num_workers,
        linear=config.linear,
        finetune=replace(config.finetune, pooling=head_pooling or finetune_pooling(method, has_cls)),
        segment=config.segment,
        ignore=IGNORE if ignore is None else ignore,
        pictures=pictures or PICTURES,
    )
    figures: dict[str, object] = {
        "model": None if model is None else str(model),
        "untrained": untrained,
        "pooling": on.pooling,
        "last_blocks": last_blocks,
        "training_images": len(train),
        "test_images": len(held_out),
    }
    for name in task:
        try:
            figures[name] = TASKS[name](on)
        except ValueError as error:
            raise error if isinstance(error, InputError) else InputError(str(error)) from None
        write_bytes((json.dumps(figures, indent=2) + "\n").encode(), results)  # what was done stays, whatever follows
    say_wrote(results, *on.written)


def _refuse_without_effect(
    task: tuple[Task, ...],
    model: Path | None,
    config: EvaluateConfig,
    *,
    untrained: bool,
    pooling: Pooling | None,
    patch_size: tuple[int, int] | None,
) -> None:
    """InputError for an option that would change nothing, or not what it says."""
    others = [name for name in task if name in ("codebook", "reconstruction", "masking")]
    if untrained and (others or set(task) == {"pixels"}):
        named = ", ".join(others or ["pixels"])
        raise InputError(f"--untrained leaves nothing to measure by {named}: leave out one or the other")
    if patch_size is not None and model is not None:
        raise InputError("--patch-size is of masking without --model: leave it out, the model has its own")
    is_finetuned = "finetune" in task and config.finetune.pooling is None and pooling != "cls+mean"
    if pooling is not None and not is_finetuned and not {"knn", "linear"} & set(task):
        raise InputError(
            f"--pooling {pooling} changes nothing in {', '.join(task)}: it is of knn, linear and (cls or mean, without "
            "--finetune.pooling) finetune"
        )


class _Subject(NamedTuple):
    """What is evaluated."""

    trained: tuple[Path, VisionTransformer] | None  # the model's folder and its encoder; None = the images themselves
    inputs: Inputs
    patch_size: tuple[int, int]
    method: str | None  # that trained it


def _opened(model: Path, device: str, *, untrained: bool) -> _Subject:
    """The encoder of a folder, or the same network with random weights."""
    import torch

    from vision.nn.vit import VisionTransformer
    from vision.train.artifacts import open_encoder

    encoder, extra = open_encoder(model)
    if untrained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            encoder = VisionTransformer(encoder.config).eval()
    trained = (model, encoder.to(device))
    return _Subject(trained, inputs_of(model, extra), encoder.config.patch_size, extra.get("method"))


def _without_model(data: Path, config: ImagesConfig, patch_size: tuple[int, int] | None) -> _Subject:
    """Images as they are, which must have one size. Raises InputError."""
    from vision.train.inputs import decide_inputs, open_data

    if patch_size is None:
        raise InputError("masking without --model needs --patch-size, as --patch-size 4 4")
    images = open_data(data, config)
    if images.size is None:
        raise InputError(
            f"{images.name} holds images of several sizes: with --model, masking takes the size which that model "
            "sees; without, bring them to one size first"
        )
    return _Subject(None, decide_inputs(images, config), patch_size, None)


def _split(shown: ShownImages, *, is_tested: bool) -> tuple[ShownImages, ShownImages]:
    """Images to train on, and a fifth to test on: drawn at random, since files may come in any order of classes.

    Raises InputError where none would be left for a test.
    """
    import torch

    if is_tested and len(shown) < SHARE:
        raise InputError(
            f"{shown.images.name} has {len(shown)} images, of which a fifth is to be tested on: give the images to "
            "test on as --test"
        )
    places = torch.randperm(len(shown), generator=torch.Generator().manual_seed(0))
    count = len(shown) // SHARE
    return shown.part(places[count:].sort().values), shown.part(places[:count].sort().values)
