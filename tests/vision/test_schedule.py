"""Schedules: pure functions of progress with exact ends."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.schedule import CosineSchedule, Scheduled, warmed_up


def test_cosine_has_hand_worked_values():
    schedule = CosineSchedule(start=1.0, end=0.2, warmup=0.2, warmup_start=0.0)
    expected = {0.0: 0.0, 0.1: 0.5, 0.2: 1.0, 0.6: 0.6, 1.0: 0.2}
    for progress, value in expected.items():
        assert math.isclose(schedule(progress), value, abs_tol=1e-12)


def test_a_teacher_temperature_rises_along_a_line_and_then_stays():
    schedule = warmed_up(0.04, 0.07, 0.3)
    assert [round(schedule(p), 4) for p in (0.0, 0.15)] == [0.04, 0.055]
    assert {schedule(p) for p in (0.3, 0.7, 1.0)} == {0.07}


@given(
    start=st.floats(-10, 10),
    end=st.floats(-10, 10),
    warmup=st.floats(0, 1),
    progress=st.floats(-0.5, 1.5),
)
def test_values_stay_between_the_ends(start, end, warmup, progress):
    schedule = CosineSchedule(start=start, end=end, warmup=warmup, warmup_start=0.0)
    low, high = min(start, end, 0.0), max(start, end, 0.0)
    assert low - 1e-9 <= schedule(progress) <= high + 1e-9


def test_a_run_that_is_all_warmup_works():
    schedule = CosineSchedule(start=1.0, end=0.0, warmup=1.0)
    assert [schedule(0.5), schedule(1.0)] == [0.5, 1.0]


def test_outside_the_run_the_nearest_end_holds():
    schedule = CosineSchedule(start=1.0, end=0.1)
    assert (schedule(-1.0), schedule(2.0)) == (1.0, schedule(1.0))


def test_warmup_must_be_a_share():
    with pytest.raises(ValueError, match="warmup is 10"):
        CosineSchedule(start=1.0, end=0.0, warmup=10)


def test_scheduled_is_a_scalar_tensor_that_stays_the_same_object_and_is_not_saved():
    scheduled = Scheduled(CosineSchedule(start=1.0, end=3.0))
    before = scheduled()
    scheduled.update(0.5)
    assert before is scheduled()
    assert before.shape == ()
    assert torch.equal(before, torch.tensor(2.0))
    assert scheduled.state_dict() == {}
