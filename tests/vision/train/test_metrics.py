import pytest

from vision.train.checkpoint import CheckpointError
from vision.train.metrics import MetricsFile, read_metrics

ROWS = [{"step": step, "loss": step / 3} for step in (1, 25, 50)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "run.csv"
    file = MetricsFile(path)
    for row in ROWS:
        file.append(row)
    return path


def test_rows_come_back_as_they_were(path):
    assert read_metrics(path) == ROWS
    assert path.read_text().splitlines()[0] == "step,loss"


def test_resume_drops_the_rows_that_are_walked_again(path):
    file = MetricsFile(path, keep_until=30)
    assert read_metrics(path) == ROWS[:2]
    file.append(ROWS[2])
    assert read_metrics(path) == ROWS


@pytest.mark.parametrize("cut", [1, 3, 20])  # the end of the line, some digits, a whole number and the comma
def test_a_last_row_that_was_cut_short_is_written_again(path, cut):
    whole = path.read_text()
    path.write_text(whole[:-cut])
    assert read_metrics(path) == ROWS[:2]
    MetricsFile(path, keep_until=25).append(ROWS[2])
    assert path.read_text() == whole


def test_new_run_starts_an_empty_file(path):
    MetricsFile(path).append({"step": 1, "other": 2.0})
    assert read_metrics(path) == [{"step": 1, "other": 2.0}]


def test_other_columns_are_refused(path):
    with pytest.raises(ValueError, match="columns"):
        MetricsFile(path, keep_until=50).append({"step": 75, "accuracy": 1.0})


def test_no_file_has_no_rows_and_a_foreign_one_is_an_error(tmp_path):
    assert read_metrics(tmp_path / "none.csv") == []
    (tmp_path / "x.csv").write_text("a,b\n1,hello\n")
    with pytest.raises(CheckpointError, match="not a metrics file"):
        read_metrics(tmp_path / "x.csv")
