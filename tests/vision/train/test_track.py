"""Readings: silent when short, with the time left when long."""

from vision.train import progress


def test_everything_is_handed_on_and_short_work_is_silent(capsys):
    assert list(progress.track(range(5), "codes")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


def test_long_work_shows_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", -1.0)
    assert list(progress.track(range(5), "codes")) == [0, 1, 2, 3, 4]
    line = capsys.readouterr().err
    assert "codes  5/5  100%" in line
    assert "left" in line
