"""When a run's figures look wrong for some time, it is said, once."""

ROWS = 10  # of figures in a row
SHARE = 0.1  # of the run's steps: at its start every teacher is uniform for a while


class Concern:
    """Listens to what a method says of its figures (``Method.warning``) and decides when it is worth telling.

    Parameters
    ----------
    steps : of the whole run.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._since: int | None = None  # the first step of an unbroken series of warnings
        self._rows = 0
        self._is_told = False

    def hear(self, step: int, warning: str | None) -> str | None:
        """The warning, if it has stood for long enough and none was told before; else None."""
        if warning is None:
            self._since, self._rows = None, 0
            return None
        self._since = step if self._since is None else self._since
        self._rows += 1
        has_lasted = self._rows >= ROWS and step - self._since >= SHARE * self.steps
        if self._is_told or not has_lasted:
            return None
        self._is_told = True
        return f"warning at step {step}, and since step {self._since}: {warning}"
