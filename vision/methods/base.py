"""What every method of this library is: three steps, and what happens around them."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vision.batch import Batch


class Method(nn.Module):
    """A pre-training method: ``targets`` without gradient, ``predict``, ``loss``.

    One training step, whoever drives it::

        method.begin_step(progress)                      # schedules
        targets = method.targets(batch)                  # no gradient
        predictions = method.predict(batch)
        terms = method.loss(predictions, targets, batch)
        sum(terms.values()).backward()
        method.before_update(step)                       # after clipping, before the optimiser
        optimizer.step(); optimizer.zero_grad()
        method.end_step()                                # EMA of the teacher

    It is a plain module and needs no trainer. What it predicts and against what is its own business: the trainer
    only hands results from one step to the next.
    """

    def begin_step(self, progress: float) -> None:
        """Set what is scheduled. ``progress``: share of the run that lies behind, in [0, 1)."""

    def targets(self, batch: Batch) -> Any:
        """What is to be predicted. Run without gradient."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> Any:
        """The student's predictions."""
        raise NotImplementedError

    def loss(self, predictions: Any, targets: Any, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms by name, each a scalar; what is minimised is their sum."""
        raise NotImplementedError

    def before_update(self, step: int) -> None:
        """Last look at the gradients, after clipping. ``step``: updates made so far."""

    def end_step(self) -> None:
        """Called after each update of the parameters."""

    def artifact(self) -> nn.Module:
        """What the run leaves: an encoder, a tokenizer, a masked model."""
        raise NotImplementedError

    def metrics(self) -> dict[str, Tensor]:
        """Health figures as scalar tensors, of the last batch; asked for every some steps only.

        The same names at every call. A name that ends in ``usage`` is a share in [0, 1] and is shown beside
        the loss while the run goes on.
        """
        return {}

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """(name, parameter) of everything the optimiser moves."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)
