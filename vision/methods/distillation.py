"""Self-distillation: what the methods share whose student learns from its own momentum copy (DINO, iBOT, DINOv2)."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from vision.collapse import Branch, Distillation, distillation_figures, distillation_warning
from vision.collectives import world_size
from vision.config import DINOConfig, DINOv2Config, IBOTConfig
from vision.methods.base import Method
from vision.nn.teacher import EMATeacher
from vision.nn.vit import VisionTransformer
from vision.schedule import CosineSchedule, Scheduled, warmed_up


class DistilledNetwork(nn.Module):
    """What student and teacher both have: encoder and heads."""

    encoder: VisionTransformer

    def prototypes(self) -> Iterable[nn.Parameter]:
        """Weights of the last layers: what is held still at the start."""
        raise NotImplementedError


Network = TypeVar("Network", bound=DistilledNetwork)


class SelfDistillation(Method, Generic[Network]):
    """A student, its teacher and their schedules. A method adds targets, predictions and the loss, which leaves what
    was said of the batch in ``_last``.

    Parameters
    ----------
    student : its encoder needs a CLS token.
    config : of the method.

    Raises
    ------
    ValueError : the encoder has no CLS token.
    """

    assignment: str = "centering"  # what spreads the targets over the prototypes

    def __init__(self, student: Network, config: DINOConfig | IBOTConfig | DINOv2Config) -> None:
        super().__init__()
        if not student.encoder.config.has_cls:
            raise ValueError("views are compared by their CLS token: expected an encoder with has_cls true")
        self.student = student
        self.teacher = EMATeacher(student)
        self.temperature = Scheduled(
            warmed_up(config.teacher_temperature, config.final_teacher_temperature, config.temperature_warmup)
        )
        self.momentum = CosineSchedule(start=config.momentum, end=config.final_momentum)
        self.freeze_last_layer = config.freeze_last_layer
        self.branches: tuple[Branch, ...] = (Branch(config.num_prototypes),)
        self._progress = 0.0
        self._last: Distillation | None = None

    def begin_step(self, progress: float) -> None:
        self._progress = progress
        self.temperature.update(progress)
        self._last = None  # of patches it is large

    def before_update(self) -> None:
        """Hold the last layers still at first, by dropping their gradients after clipping
        (``cancel_gradients_last_layer``).
        """
        if self._progress < self.freeze_last_layer:
            for parameter in self.student.prototypes():
                parameter.grad = None

    def end_step(self) -> None:
        self.teacher.update(self.momentum(self._progress))

    def artifact(self) -> VisionTransformer:
        """The teacher's encoder, which is the better one (DINO, §5.2; iBOT, §4); DINOv2's official weights."""
        return self.teacher.module.encoder

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """Signs of collapse, see :func:`vision.collapse.distillation_figures`."""
        return distillation_figures(self._last)

    def warning(self, figures: Mapping[str, float]) -> str | None:
        images = 0 if self._last is None else self._last.teacher.shape[1] * world_size()
        return distillation_warning(figures, self.branches, images, self.assignment)
