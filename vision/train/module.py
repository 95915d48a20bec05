"""The one LightningModule: it runs any Method."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from vision.batch import Batch
from vision.config import OptimConfig
from vision.methods.base import Method
from vision.train.optim import make_optimizer, set_step


class PretrainModule(pl.LightningModule):
    """Drives a Method from step to step.

    Whatever is random inside a step (stochastic depth) is seeded by (seed, micro-batch, process) at its start, so
    a step gives the same numbers whether or not the run was interrupted before it.

    Parameters
    ----------
    method, config : what is trained and how.
    seed : of the run.
    start_step : updates made before this process took over.
    """

    def __init__(self, method: Method, config: OptimConfig, seed: int, start_step: int = 0) -> None:
        super().__init__()
        self.method, self.config, self.seed = method, config, seed
        self.step = start_step  # updates made
        self.is_between_steps = (
            True  # False while parameters, centres and teacher may belong to different steps
        )
        self.terms: dict[str, Tensor] = {}  # of the last micro-batch, not yet read from the device

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.is_between_steps = False
        micro_batch = self.step * self.config.accumulate + batch_idx % self.config.accumulate
        torch.manual_seed(_mix(self.seed, micro_batch, self.global_rank))
        self.method.begin_step(self.step / self.config.steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with torch.no_grad():
            targets = self.method.targets(batch)
        terms = self.method.loss(self.method.predict(batch), targets, batch)
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        set_step(optimizer, self.step, self.config)

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any
    ) -> None:
        if self.config.clip_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm, foreach=True)
        self.method.before_update(self.step)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        optimizer.step(closure=optimizer_closure)
        self.method.end_step()
        self.step += 1
        self.is_between_steps = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.method.parameters_to_train(), self.config)


def _mix(seed: int, micro_batch: int, rank: int) -> int:
    """One 63-bit seed out of three numbers (SplitMix64's finaliser), cheap enough for every step."""
    mixed = (seed * 0x9E3779B97F4A7C15 + micro_batch * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return (mixed ^ (mixed >> 31)) >> 1
