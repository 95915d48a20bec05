"""The figures of a run as a CSV file: one row every some steps, the same columns in every row."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from vision.files import write_bytes
from vision.train.checkpoint import CheckpointError


class MetricsFile:
    """Appends rows to a CSV file whose first column is ``step``.

    Parameters
    ----------
    path : of the file; its folder is made.
    keep_until : rows up to this step stay, later ones are dropped: a resumed run writes them again. 0 =
        start anew.
    """

    def __init__(self, path: Path, keep_until: int = 0) -> None:
        self.path = path
        rows = [row for row in read_metrics(path) if row["step"] <= keep_until] if keep_until else []
        self._columns = list(rows[0]) if rows else []
        write_bytes(self._format(rows, with_header=True).encode(), path)

    def append(self, row: Mapping[str, float]) -> None:
        """Write one row and flush it. Raises ValueError when its columns are not those of the rows before."""
        is_first = not self._columns
        self._columns = self._columns or list(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(self._format([row], with_header=is_first))

    def _format(self, rows: list[Mapping[str, float]] | list[dict[str, float]], with_header: bool) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        if with_header and self._columns:
            writer.writeheader()
        for row in rows:
            if list(row) != self._columns:
                raise ValueError(f"a row of {self.path.name} has columns {list(row)}, expected {self._columns}")
            writer.writerow(row)
        return text.getvalue()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics file as numbers, none if it is not there. Raises CheckpointError if damaged.

    A last line without its end was cut short, as where a process was killed, and is left out.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
    except (ValueError, TypeError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a metrics file of a run ({error})") from None
    return [{**row, "step": int(row["step"])} for row in rows]
