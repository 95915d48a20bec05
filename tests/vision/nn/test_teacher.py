"""Frozen copies never train; the momentum teacher follows by the formula."""

import copy

import pytest
import torch
from torch import nn

from vision.nn.teacher import EMATeacher, Frozen


@pytest.fixture
def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()


def _shift(student):
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_frozen_copy_stays_in_eval_mode_without_gradient():
    module = nn.Linear(2, 2)
    frozen = Frozen(module)
    nn.Sequential(frozen).train()
    assert not frozen.module.training
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(parameter.requires_grad for parameter in module.parameters())  # the original is left alone
    module.weight.data.zero_()
    assert frozen.module.weight.abs().sum() > 0


def test_teacher_starts_as_an_exact_copy_of_its_own(student):
    teacher = EMATeacher(student)
    for ours, theirs in zip(teacher.module.parameters(), student.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()


def test_update_is_the_formula_and_covers_parameters_only(student):
    teacher = EMATeacher(student)
    before = copy.deepcopy(teacher.module.state_dict())
    _shift(student)
    student(torch.randn(5, 4))  # moves the batch-norm statistics
    teacher.update(0.9)
    names = {name for name, _ in student.named_parameters()}
    for name, value in teacher.module.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * student.state_dict()[name] if name in names else before[name]
        assert torch.allclose(value, expected, atol=1e-6)


def test_momentum_one_leaves_the_teacher_and_zero_copies_the_student(student):
    teacher = EMATeacher(student)
    before = copy.deepcopy(teacher.state_dict())
    _shift(student)
    teacher.update(1.0)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    teacher.update(0.0)
    for ours, theirs in zip(teacher.module.parameters(), student.parameters(), strict=True):
        assert torch.allclose(ours, theirs)


def test_teacher_is_always_in_eval_mode_and_frozen(student):
    teacher = EMATeacher(student)
    parent = nn.ModuleList([teacher]).train()
    assert parent.training
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert student.training
    assert all(parameter.requires_grad for parameter in student.parameters())
    inputs = torch.randn(5, 4)
    assert torch.equal(teacher(inputs), teacher(inputs))  # no dropout


def test_the_student_is_not_part_of_its_teacher(student):
    teacher = EMATeacher(student)
    assert set(teacher.state_dict()) == {f"module.{name}" for name in student.state_dict()}
    assert len(list(teacher.parameters())) == len(list(student.parameters()))


def test_a_deep_copy_of_both_keeps_them_together(student):
    both = nn.ModuleDict({"student": student, "teacher": EMATeacher(student)})
    twin = copy.deepcopy(both)
    _shift(twin["student"])
    twin["teacher"].update(0.0)
    for ours, theirs in zip(twin["teacher"].module.parameters(), twin["student"].parameters(), strict=True):
        assert torch.allclose(ours, theirs)
    for ours, theirs in zip(both["teacher"].module.parameters(), student.parameters(), strict=True):
        assert torch.equal(ours, theirs)
