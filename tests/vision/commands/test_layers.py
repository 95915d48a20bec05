"""Files and flags of ``pretrain`` together: what counts is the whole, and what is wrong names its file."""

import re

import pytest

from fintok.cli import run

MAE = ("pretrain", "--method", "mae", "--data", "x", "--print-config")


@pytest.fixture
def written(tmp_path):
    """Name -> a YAML file."""
    texts = {
        "short": "optim: {steps: 100}",  # fewer than the warm-up below it
        "warmup": "optim: {warmup_steps: 10}",
        "odd": "optim: {stepps: 100}",
        "heads": "encoder: {heads: 5}",
        "flat": "optim: 100",
        "ratio": "mask: {ratio: 1.5}",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return lambda *names: [word for name in names for word in ("-c", str(tmp_path / f"{name}.yaml"))]


@pytest.mark.parametrize(
    ("files", "flags"),
    [
        (["short", "warmup"], []),
        (["short"], ["--optim.warmup-steps", "10"]),
        (["heads"], ["--encoder.dim", "160"]),
        (["heads"], ["--size", "small"]),
        (["ratio"], ["--mask.ratio", "0.5"]),
    ],
)
def test_a_file_may_be_put_right_by_what_comes_after_it(written, capsys, files, flags):
    assert run(["vision", *MAE, *written(*files), *flags]) == 0
    assert "method: mae" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "flags", "said"),
    [
        (["short"], [], "short.yaml: optim.warmup_steps is 1950, expected fewer than optim.steps, 100"),
        (["short"], ["--seed", "3"], "short.yaml: optim.warmup_steps is 1950"),
        (["short", "heads"], ["--encoder.dim", "160"], "short.yaml: optim.warmup_steps is 1950"),
        (["odd", "warmup"], ["--optim.steps", "100"], "odd.yaml: optim: unknown key 'stepps' in OptimConfig"),
        (["warmup", "ratio"], ["--seed", "3"], "ratio.yaml: mask: MaskConfig.ratio is 1.5"),
        (["short"], ["--optim.warmup-steps", "200"], "optim.warmup_steps is 200, expected fewer"),
        (["flat"], ["--optim.steps", "3"], "flat.yaml: optim: got 100, expected a mapping"),
        (["ratio"], ["--optim.steps", "some"], 'unable to convert "some" into int'),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_end_names_the_file_at_fault(written, refuse, files, flags, said):
    line = refuse(*MAE, *written(*files), *flags)
    assert re.search(re.escape(said), line), line
