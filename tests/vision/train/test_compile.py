"""A compiled step: the numbers of a plain one, resumed too, and a sentence where there is no compiler."""

import dataclasses
import functools

import pytest
import torch

from tests.vision.train.conftest import TIMES, check_equal
from vision.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize(("name", "accumulate"), [("ibot", 1), ("vqkd", 2)])
def test_a_compiled_run_gives_the_numbers_of_a_plain_one(
    run, interrupted_and_resumed, config, monkeypatch, name, accumulate
):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    plain = dataclasses.replace(config, steps=6, accumulate=accumulate)
    compiled = dataclasses.replace(plain, compile=True)
    expected = run(name, config=plain)[1].metrics
    method, result = run(name, "compiled", compiled)
    assert result.metrics | TIMES == pytest.approx(expected | TIMES, rel=1e-3, abs=1e-5)
    check_equal(interrupted_and_resumed(name, 3, config=compiled), (method, result))


def test_a_compiled_run_may_be_resumed_plainly(run, config):
    run(config=dataclasses.replace(config, steps=12))
    again = dataclasses.replace(config, compile=True)  # nothing is left to do, and so to compile
    assert run(config=again, resume=True)[1].steps == 12


def test_a_step_that_cannot_be_compiled_is_told_in_a_sentence(run, config, monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("No working C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=fails))
    with pytest.raises(
        InputError, match=r"cannot be compiled here \(.*No working C\+\+ compiler found\): .*optim.compile"
    ):
        run(config=dataclasses.replace(config, compile=True))
