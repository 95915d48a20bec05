"""When a run's figures look wrong for some time, it is said, once."""

FEWEST_ROWS, MOST_ROWS = 3, 10  # of figures in a row; between them
SHARE_OF_ROWS = 0.3  # of those of a short run
SHARE_OF_STEPS = 0.1  # of the run: at its start every teacher is uniform for a while


class Concern:
    """Listens to what a method says of its figures (``Method.warning``) and decides when it is worth telling.

    Parameters
    ----------
    steps : of the whole run.
    every : steps between rows of figures.
    """

    def __init__(self, steps: int, every: int) -> None:
        self.steps = steps
        self.rows = max(FEWEST_ROWS, min(MOST_ROWS, round(SHARE_OF_ROWS * steps / every)))
        self._since: int | None = None  # the first step of an unbroken series of warnings
        self._rows = 0
        self._is_told = False

    def hear(self, step: int, warning: str | None) -> str | None:
        """The warning, if none was told before and it has stood for long enough, or for some rows at the end; else
        None.
        """
        if warning is None:
            self._since, self._rows = None, 0
            return None
        self._since = step if self._since is None else self._since
        self._rows += 1
        has_lasted = self._rows >= self.rows and step - self._since >= SHARE_OF_STEPS * self.steps
        is_at_end = self._rows >= FEWEST_ROWS and step == self.steps
        if self._is_told or not (has_lasted or is_at_end):
            return None
        self._is_told = True
        return f"warning at step {step}, and since step {self._since}: {warning}"
