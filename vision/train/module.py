"""What Lightning calls: the one LightningModule, which runs any Method, and two callbacks around it."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from vision.batch import Batch
from vision.collectives import StepSums, mean_over_ranks
from vision.config import OptimConfig
from vision.errors import DivergedError
from vision.methods.base import Method
from vision.train.concern import Concern
from vision.train.guard import LossGuard
from vision.train.metrics import MetricsFile
from vision.train.optim import clip_gradients, learning_rate_at, make_optimizer, set_step
from vision.train.progress import Reporter, make_reporter
from vision.train.shard import load_optimizer, own_part, shard, whole
from vision.train.state import save_training_state

STEPS_BETWEEN_AGREEMENTS = 20  # several processes agree whether to stop: a message, so now and then


class PretrainModule(pl.LightningModule):
    """Drives a Method from step to step.

    Whatever is random inside a step (stochastic depth) is seeded by (seed, micro-batch, process) at its
    start, so a step gives the same numbers whether or not the run was interrupted before it.

    Parameters
    ----------
    method, config : what is trained and how.
    seed : of the run.
    start_step : updates made before this process took over.
    loader : (rank, number of processes) -> the loader of the batches from there on.
    prepare : what the loader gives, on the device -> Batch; None = it gives batches.
    """

    def __init__(
        self,
        method: Method,
        config: OptimConfig,
        seed: int,
        start_step: int,
        loader: Callable[[int, int], Any],
        prepare: Callable[[Any], Batch] | None = None,
    ) -> None:
        super().__init__()
        self.method, self.config, self.seed, self.loader = method, config, seed, loader
        self.prepare = prepare
        self.start_step = start_step
        self.step = start_step  # updates made
        self.is_between_steps = True  # False while parameters, centres and teacher may belong to different steps
        self.terms: dict[str, Tensor] = {}  # means over the passes of the step so far, not yet read from the device
        self.guard = LossGuard()
        self._places: Tensor | None = None  # that the batches of the step so far were a mean over
        self._losses = torch.compile(_losses) if config.compile else _losses
        self._set_passes(config.accumulate)

    def teardown(self, stage: str) -> None:
        self._set_passes(1)  # as it was: elsewhere each pass is a step
        if self.config.compile:
            torch.compiler.reset()  # the next run compiles its own: a function keeps but a few graphs

    def _set_passes(self, passes: int) -> None:
        for part in self.method.modules():
            if isinstance(part, StepSums):
                part.passes = passes

    def configure_model(self) -> None:
        """Split the method over the devices, under FSDP; Lightning calls it once the processes know each other."""
        if self.device_mesh is not None:
            shard(self, self.device_mesh["data_parallel"], "training_step")

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        return batch if self.prepare is None else self.prepare(batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.is_between_steps = False
        micro_batch = self.step * self.config.accumulate + batch_idx % self.config.accumulate
        seed = _mix(self.seed, micro_batch, self.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a traceback for each device type
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        self.method.begin_step(self.step / self.config.steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms, places = self._losses(self.method, batch, with_places=self.config.accumulate > 1)
        found = {name: term.detach() for name, term in terms.items()}
        self.guard.watch(self.step + 1, found)
        number = batch_idx % self.config.accumulate  # of the pass
        before = self.terms if number else found
        self.terms = {name: before[name] + (term - before[name]) / (number + 1) for name, term in found.items()}
        loss = torch.stack(list(terms.values())).sum()
        if places is None:
            return loss
        places = mean_over_ranks(places)
        self._places = places if self._places is None else self._places + places
        return loss * places

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        set_step(optimizer, self.step, self.config)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
        if self._places is not None:  # the mean over batches of loss times places is here: divide by that of places
            gradients = [p.grad for _, p in self.method.parameters_to_train() if p.grad is not None]
            torch._foreach_mul_(gradients, self.config.accumulate / self._places.clamp(min=1))  # pyright: ignore[reportPrivateImportUsage]
            self._places = None
        clip_gradients(self.method.parameters_to_train(), self.config)
        self.method.before_update()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        optimizer.step(closure=optimizer_closure)
        self.method.end_step()
        self.step += 1
        self.is_between_steps = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.method.parameters_to_train(), self.config)

    def train_dataloader(self) -> Any:
        return self.loader(self.trainer.global_rank, self.trainer.world_size)


class Keeper(Callback):
    """Saves the run every some steps, at its end and when interrupted; puts the optimiser back on resume."""

    def __init__(
        self, path: Path, identity: Mapping[str, Any], every: int, optimizer_state: dict[str, Any] | None
    ) -> None:
        self.path, self.identity, self.every, self.optimizer_state = path, identity, every, optimizer_state
        self.is_interrupted = False
        self._saved_step = -1

    def request_stop(self) -> None:
        """Stop at the end of the step, with the state saved."""
        self.is_interrupted = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.optimizer_state is not None:
            load_optimizer(trainer.optimizers[0], self.optimizer_state)
            self.optimizer_state = None
            assert isinstance(pl_module, PretrainModule)
            self._saved_step = pl_module.start_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        if not pl_module.is_between_steps:
            return
        if self._must_stop(trainer, pl_module.step):
            trainer.should_stop = True
        if trainer.should_stop or pl_module.step % self.every == 0:
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PretrainModule)
        self._save(trainer, pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        assert isinstance(pl_module, PretrainModule)
        if isinstance(exception, DivergedError):
            kept = f"{self.path} keeps step {self._saved_step}" if self._saved_step >= 0 else "no step was saved yet"
            exception.args = (f"{exception}; {kept}",)
        # of several processes one may be told to end before the others: they need not be at one step
        is_ended = isinstance(exception, SIGTERMException) and trainer.world_size == 1
        if isinstance(exception, KeyboardInterrupt) or is_ended:
            self.is_interrupted = True
            if pl_module.is_between_steps and pl_module.step > pl_module.start_step:
                self._save(trainer, pl_module)

    def _must_stop(self, trainer: pl.Trainer, step: int) -> bool:
        """Several processes must agree on the step at which they stop."""
        if trainer.world_size == 1:
            return self.is_interrupted
        if step % STEPS_BETWEEN_AGREEMENTS:
            return False
        self.is_interrupted = trainer.strategy.reduce_boolean_decision(self.is_interrupted, all=False)
        return self.is_interrupted

    def _save(self, trainer: pl.Trainer, module: PretrainModule) -> None:
        """Write the checkpoint, unless the run has diverged: then the last good one stays."""
        if module.step == self._saved_step:
            return
        module.guard.check(own_part(parameter) for _, parameter in module.method.parameters_to_train())
        self._saved_step = module.step
        is_writer = trainer.is_global_zero
        state = {
            "run": dict(self.identity),
            "step": module.step,
            "method": whole(dict(module.method.state_dict()), is_kept=is_writer),
            "optimizer": whole(trainer.optimizers[0].state_dict(), is_kept=is_writer),
        }
        if is_writer:
            save_training_state(self.path, state)


class Watcher(Callback):
    """Reads the figures and writes a row every some steps, and shows after each where the run is."""

    def __init__(self, path: Path, name: str, every: int, progress: bool) -> None:
        self.path, self.name, self.every, self.progress = path, name, every, progress
        self._row: dict[str, float] = {}
        self._file: MetricsFile | None = None
        self._reporter: Reporter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PretrainModule)
        if trainer.is_global_zero:
            start = pl_module.start_step
            self._file = MetricsFile(self.path, keep_until=start)
            if self.progress:
                self._reporter = make_reporter(self.name, pl_module.config.steps, start)
        self._concern = Concern(pl_module.config.steps, self.every)
        self._mark = (time.monotonic(), pl_module.start_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        if not pl_module.is_between_steps:
            return
        if pl_module.step % self.every == 0 or pl_module.step in (1, pl_module.config.steps):
            self._row = self._read(trainer, pl_module)
            if self._file is not None:
                self._file.append(self._row)
                self._warn(self._concern.hear(pl_module.step, pl_module.method.warning(self._row)))
        if self._reporter is not None:
            self._reporter.show(pl_module.step, self._row)

    def _warn(self, text: str | None) -> None:
        if text is None:
            return
        if self._reporter is not None:
            self._reporter.warn(text)
        else:
            logging.getLogger(__name__).warning("%s  %s", self.name, text)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._reporter is not None:
            self._reporter.close()
            self._reporter = None

    def _read(self, trainer: pl.Trainer, module: PretrainModule) -> dict[str, float]:
        """One row, means over processes. Waits for the device, for all figures at once."""
        module.guard.check()
        with torch.no_grad():
            figures = module.method.metrics()
            numbers = torch.stack([number.float() for number in (*module.terms.values(), *figures.values())])
            if trainer.world_size > 1:
                numbers = trainer.strategy.reduce(numbers, reduce_op="mean")
            numbers = numbers.tolist()
        losses = dict(zip(module.terms, numbers, strict=False))
        now, (then, before) = time.monotonic(), self._mark
        self._mark = (now, module.step)
        return {
            "step": module.step,
            "loss": sum(losses.values()),
            **{f"{name}_loss": value for name, value in losses.items()},
            **dict(zip(figures, numbers[len(losses) :], strict=True)),
            "learning_rate": learning_rate_at(module.step - 1, module.config),  # before layers take their shares of it
            "steps_per_second": (module.step - before) / max(now - then, 1e-9),
        }


def _losses(method: Method, batch: Batch, *, with_places: bool) -> tuple[dict[str, Tensor], Tensor | None]:
    """The terms of the loss, and what they are a mean over (None where the method does not say)."""
    with torch.no_grad():
        targets = method.targets(batch)
    terms = method.loss(method.predict(batch), targets, batch)
    return terms, method.num_places(targets, batch) if with_places else None


def _mix(seed: int, micro_batch: int, rank: int) -> int:
    """One 63-bit seed out of three numbers (SplitMix64's finaliser), cheap enough for every step."""
    mixed = (seed * 0x9E3779B97F4A7C15 + micro_batch * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return (mixed ^ (mixed >> 31)) >> 1
