"""What the tasks of ``fintok vision evaluate`` work on: a trained encoder, images, and where to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision.commands.reading import labels_of, tracked
from vision.data.shown import ShownImages
from vision.errors import InputError
from vision.evaluate.config import FinetuneConfig, LinearConfig, Pooling, SegmentConfig
from vision.evaluate.features import extract_features
from vision.evaluate.pictures import enlarge, save_picture
from vision.nn.vit import VisionTransformer
from vision.train.artifacts import open_tokenizer
from vision.train.folder import read_run
from vision.train.inputs import Inputs

REBUILDING = ("mae", "simmim", "dvae")  # methods that predict pixels
LEAST_SIDE = 96  # pixels of a shown image; smaller ones are enlarged


def check_tasks(tasks: Sequence[str], model: Path, encoder: VisionTransformer) -> None:
    """Refuse before the work what the model in a folder cannot do. Raises InputError or CheckpointError."""
    if "codebook" in tasks:
        open_tokenizer(model)
    if "attention" in tasks and (encoder.config.attention != "joint" or encoder.config.scope == "patch"):
        raise InputError(
            f"the encoder of {model} attends along an axis, or each patch to itself, of which there is no picture: "
            "leave out attention"
        )
    if "reconstruction" in tasks and (method := read_run(model)[0].method) not in REBUILDING:
        raise InputError(f"{model} is a run of {method}, which rebuilds no pixels; {', '.join(REBUILDING)} do")


@dataclass
class Evaluation:
    """What the tasks work on."""

    trained: tuple[Path, VisionTransformer] | None  # the model's folder and its encoder; masking needs none
    patch_size: tuple[int, int]
    inputs: Inputs
    train: ShownImages
    test: ShownImages
    out: Path
    pooling: Pooling
    last_blocks: int  # whose features follow one another
    device: str
    batch_size: int
    num_workers: int  # processes that read images
    linear: LinearConfig
    finetune: FinetuneConfig
    segment: SegmentConfig
    ignore: int  # class of pixels that do not count
    pictures: int  # images in a picture
    say: Callable[[str], None] = print
    written: list[Path] = field(default_factory=list)
    _features: tuple[Tensor, Tensor] | None = None

    @property
    def model(self) -> Path:
        """Folder of the model. Raises InputError where none was given."""
        return self._with_model[0]

    @property
    def encoder(self) -> VisionTransformer:
        """Its encoder, likewise."""
        return self._with_model[1]

    @property
    def _with_model(self) -> tuple[Path, VisionTransformer]:
        if self.trained is None:
            raise InputError("evaluate needs --model for every task but masking")
        return self.trained

    def features(self) -> tuple[Tensor, Tensor]:
        """Of training and test images, (n, F) and (m, F), made once."""
        if self._features is None:
            pair = [
                extract_features(
                    self.encoder,
                    tracked(shown, self.batch_size, f"features of the {name} images", self.num_workers),
                    pooling=self.pooling,
                    last_blocks=self.last_blocks,
                    device=self.device,
                )
                for name, shown in (("training", self.train), ("test", self.test))
            ]
            self._features = (pair[0], pair[1])
        return self._features

    def labels(self) -> tuple[Tensor, Tensor]:
        """Of training and test images; the same name has the same number. Raises InputError."""
        train, test = labels_of(self.train), labels_of(self.test)
        classes = (self.train.images.labels, self.test.images.labels)
        assert classes[0] is not None  # labels_of has looked
        assert classes[1] is not None
        known, names = classes[0].names, classes[1].names
        strange = [name for name in names if name not in known]
        if strange:
            raise InputError(
                f"{self.test.images.name} has the class {strange[0]!r}, which {self.train.images.name} has not; "
                "the same names are needed in both (--label-column names the column)"
            )
        return train, torch.tensor([known.index(name) for name in names])[test]

    def shown(self) -> Tensor:
        """Some test images, for pictures."""
        return self.test.spread(self.pictures)

    def save(self, picture: np.ndarray, name: str, columns: int) -> None:
        """Write a picture of some columns of images, enlarged where they are small."""
        side = picture.shape[1] // columns
        save_picture(enlarge(picture, max(1, LEAST_SIDE // side)), self.out / name)
        self.written.append(self.out / name)
