"""A run that looks wrong for some time says so, once, beside its progress."""

import pytest

from vision.methods.vqkd import VQKD
from vision.train.concern import Concern
from vision.train.fit import fit


def test_it_is_told_once_when_ten_rows_and_a_tenth_of_the_run_have_shown_it():
    assert told(Concern(steps=1000, every=5), range(5, 500, 5)) == {
        105: "warning at step 105, and since step 5: all alike"
    }


def told(concern, steps):
    """What is said, by step, where all rows from the first of ``steps`` on look wrong."""
    heard = {step: concern.hear(step, "all alike") for step in steps}
    return {step: text for step, text in heard.items() if text}


@pytest.mark.parametrize(
    ("steps", "said_at"),
    [
        ([1, 25, 30], 30),
        ([1, 25, 50, 75, 100, 125, 150, 175, 200], 50),
        ([100, 125, 150, 175, 200], 150),
        (range(25, 1000, 25), 250),
    ],
)
def test_a_short_run_has_few_rows_and_a_third_of_them_is_enough(steps, said_at):
    concern = Concern(steps=steps[-1], every=25)
    assert list(told(concern, steps)) == [said_at]


def test_what_stands_at_the_end_is_told_though_it_is_young_but_not_of_one_row_or_two():
    assert list(told(Concern(steps=1000, every=5), [980, 985, 990, 995, 1000])) == [1000]
    assert told(Concern(steps=1000, every=5), [995, 1000]) == {}
    assert told(Concern(steps=2, every=1), [1, 2]) == {}


def test_what_passes_is_not_told():
    concern = Concern(steps=200, every=1)
    for step in range(1, 200):
        assert concern.hear(step, None if step % 20 == 0 else "all alike") is None


@pytest.mark.parametrize("progress", [True, False])
def test_a_run_tells_what_its_method_thinks_of_the_figures(
    dataset, build, config, tmp_path, monkeypatch, capsys, caplog, progress
):
    monkeypatch.setattr(VQKD, "warning", lambda self, figures: f"usage is {figures['codebook_usage']:.0f}")
    method, views = build("vqkd")
    options = {"seed": 5, "log_every": 1, "accelerator": "cpu", "progress": progress}
    fit(method, dataset, views, config, out=tmp_path, name="stage", **options)
    text = capsys.readouterr().err if progress else caplog.text
    assert text.count("warning at step 4, and since step 1: usage is 1") == 1
    assert "stage  warning" in text
