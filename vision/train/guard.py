"""What a run does when its loss is no longer a number: it stops, and leaves the last good checkpoint alone."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vision.collectives import max_over_ranks
from vision.errors import DivergedError

REMEDY = "try a lower learning rate, a smaller clip_norm, or precision 32-true"


class LossGuard:
    """Remembers on the device the first step whose loss was not finite: it waits for nothing until asked."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._step: Tensor | None = None  # 0-d long, -1 = all were finite
        self._values: Tensor | None = None  # the terms of that step, or of the last

    def watch(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Look at the terms of the loss of ``step``, 1 = the first."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self._step is None or self._values is None:
            self._names = tuple(terms)
            self._step, self._values = torch.full((), -1, device=values.device), values
        was_finite = self._step < 0
        is_bad = was_finite & ~values.isfinite().all()
        self._values = torch.where(was_finite, values, self._values)
        self._step = torch.where(is_bad, step, self._step)

    def check(self, parameters: Iterable[Tensor] = ()) -> None:
        """Raise DivergedError if a loss was not finite, or one of ``parameters`` is not. Waits for the device.

        Every process must call it at the same step, and raises if one of them must.
        """
        if self._step is None or self._values is None:
            return
        finite = [parameter.detach().isfinite().all() for parameter in parameters]
        broken = ~torch.stack(finite).all() if finite else torch.zeros_like(self._step, dtype=torch.bool)
        step, is_broken = max_over_ranks(torch.stack([self._step, broken.long()])).tolist()
        if step >= 0:
            pairs = zip(self._names, self._values.tolist(), strict=True)
            terms = ", ".join(f"{name} {value:.4g}" for name, value in pairs)
            raise DivergedError(f"the loss is not finite at step {step}: {terms}; {REMEDY}")
        if is_broken:
            raise DivergedError(f"the weights are not finite though the loss was; {REMEDY}")
