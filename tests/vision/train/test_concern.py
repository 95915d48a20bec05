"""A run that looks wrong for some time says so, once, beside its progress."""

import pytest

from vision.methods.vqkd import VQKD
from vision.train.concern import ROWS, Concern
from vision.train.fit import fit


def test_it_is_told_once_when_ten_rows_and_a_tenth_of_the_run_have_shown_it():
    concern = Concern(steps=1000)
    heard = {step: concern.hear(step, "all alike") for step in range(5, 500, 5)}
    assert {step: text for step, text in heard.items() if text} == {
        105: "warning at step 105, and since step 5: all alike"
    }


def test_what_passes_is_not_told():
    concern = Concern(steps=20)
    for step in range(1, 100):
        assert concern.hear(step, None if step % ROWS == 0 else "all alike") is None


@pytest.mark.parametrize("progress", [True, False])
def test_a_run_tells_what_its_method_thinks_of_the_figures(
    dataset, build, config, tmp_path, monkeypatch, capsys, caplog, progress
):
    monkeypatch.setattr(VQKD, "warning", lambda self, figures: f"usage is {figures['codebook_usage']:.0f}")
    method, views = build("vqkd")
    options = {"seed": 5, "log_every": 1, "accelerator": "cpu", "progress": progress}
    fit(method, dataset, views, config, out=tmp_path, name="stage", **options)
    text = capsys.readouterr().err if progress else caplog.text
    assert text.count("warning at step 10, and since step 1: usage is 1") == 1
    assert "stage  warning" in text
