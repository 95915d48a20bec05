import dataclasses
import signal
import threading
import warnings

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from tests.vision.train.conftest import At, check_equal
from tests.vision.view_makers import SingleView
from vision.errors import DivergedError
from vision.methods.base import Method
from vision.train.checkpoint import CheckpointError
from vision.train.fit import _tensor_cores, fit
from vision.train.metrics import read_metrics
from vision.train.optim import learning_rate_at, weight_decay_at
from vision.train.progress import quiet
from vision.train.state import load_training_state


@pytest.mark.parametrize("name", ["ibot", "vqkd", "beit2"])
def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(run, interrupted_and_resumed, name):
    check_equal(run(name, "whole"), interrupted_and_resumed(name, step=6))


def test_a_run_shows_itself_but_where_it_is_quiet(run, capsys):
    run(folder="shown", progress=True)
    assert "vqkd  " in capsys.readouterr().err
    with quiet():
        run(folder="unseen", progress=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("step", [0, 3, 10, 11])
def test_resume_is_exact_wherever_the_run_was_cut(run, interrupted_and_resumed, step):
    check_equal(run("vqkd", "whole"), interrupted_and_resumed("vqkd", step))


def test_resume_is_exact_with_gradient_accumulation(run, interrupted_and_resumed, config):
    config = dataclasses.replace(config, accumulate=3, batch_size=2)
    check_equal(run("ibot", "whole", config), interrupted_and_resumed("ibot", 5, config=config))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_resume_is_exact_with_workers(run, interrupted_and_resumed, config, accumulate):
    config = dataclasses.replace(config, accumulate=accumulate, batch_size=2)
    whole = run("vqkd", "whole", config, num_workers=0)
    check_equal(whole, interrupted_and_resumed("vqkd", 5, config=config, num_workers=2))


def test_resume_is_exact_after_a_kill_that_saved_nothing(run):
    """The run dies between checkpoints: resume goes back to the last one and walks the same way again."""
    whole = run("ibot", "whole")
    with pytest.raises(OSError, match="out of luck"):
        run("ibot", "cut", callbacks=[At(8, OSError("out of luck"))], checkpoint_every=5)
    check_equal(whole, run("ibot", "cut", resume=True))


def test_a_step_has_its_order(dataset, config, tmp_path):
    """Schedules, targets, predictions, loss, gradients clipped, a last look, the update, and then the teacher."""
    calls = []

    class Recorder(Method):
        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(()))

        def begin_step(self, progress):
            calls.append(("begin", progress))

        def targets(self, batch):
            calls.append(("targets", torch.is_grad_enabled()))

        def predict(self, batch):
            calls.append(("predict", torch.is_grad_enabled()))
            return self.slope

        def loss(self, predictions, targets, batch):
            calls.append(("loss", None))
            return {"line": 1000.0 * predictions}

        def before_update(self):
            calls.append(("look", self.slope.grad.item()))

        def end_step(self):
            calls.append(("end", self.slope.item() != 0.0))

    two = dataclasses.replace(config, steps=2, warmup_steps=0, clip_norm=1.0)
    fit(Recorder(), dataset, SingleView((4, 9), (2, 3)), two, seed=1, out=tmp_path, name="m", progress=False)
    step = [("targets", False), ("predict", True), ("loss", None), ("look", pytest.approx(1.0)), ("end", True)]
    assert calls == [("begin", 0.0), *step, ("begin", 0.5), *step]


def test_ctrl_c_twice_stops_at_once(run, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run("vqkd", callbacks=[At(4), At(4, hook="on_before_optimizer_step")], checkpoint_every=3)
    assert load_training_state(tmp_path / "run" / "vqkd.ckpt")["step"] == 3  # not the half-made fifth step
    assert signal.getsignal(signal.SIGINT) is before


def test_keyboard_interrupt_between_steps_saves_the_step(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run("vqkd", callbacks=[At(4, KeyboardInterrupt(), "on_train_batch_end")])
    assert load_training_state(tmp_path / "run" / "vqkd.ckpt")["step"] == 4


def test_sigterm_ends_the_step_and_saves_it(run, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run("vqkd", callbacks=[At(4, signal.SIGTERM)])
    assert load_training_state(tmp_path / "run" / "vqkd.ckpt")["step"] == 5
    assert signal.getsignal(signal.SIGTERM) is before


def test_system_exit_of_someone_else_stays_one(run):
    with pytest.raises(SystemExit):
        run("vqkd", callbacks=[At(0, SystemExit(3), "on_train_start")])


def test_checkpoint_holds_method_heads_centres_and_optimizer(run):
    method, result = run("ibot")
    state = load_training_state(result.checkpoint)  # weights_only
    assert state["step"] == 12
    assert state["method"].keys() == method.state_dict().keys()
    for part in ("teacher.module.head", "patch_centering.center", "mask_token.weight"):
        assert any(part in name for name in state["method"])
    assert len(state["optimizer"]["state"]) == len(list(method.parameters_to_train()))


def test_finished_run_is_not_repeated(run):
    _, first = run("vqkd")
    method, second = run("vqkd", resume=True, callbacks=[At(step, RuntimeError("a step")) for step in range(12)])
    assert second.steps == 12
    assert second.metrics == first.metrics
    stored = load_training_state(first.checkpoint)["method"]
    assert all(torch.equal(value, stored[name]) for name, value in method.state_dict().items())


def test_a_run_that_starts_anew_leaves_none_of_the_run_before_it_to_resume(run, tmp_path):
    run("vqkd")
    with pytest.raises(OSError, match="out of luck"):
        run("vqkd", callbacks=[At(0, OSError("out of luck"))])
    assert not (tmp_path / "run" / "vqkd.ckpt").exists()


def test_without_resume_a_run_starts_anew(run):
    first, again = run("vqkd"), run("vqkd")
    check_equal(first, again)
    assert [row["step"] for row in read_metrics(again[1].metrics_file)] == [1, 2, 4, 6, 8, 10, 12]


def test_run_of_another_seed_or_rate_is_not_resumed(run, config):
    run("vqkd")
    with pytest.raises(CheckpointError, match="seed 5, not 6"):
        run("vqkd", resume=True, seed=6)
    with pytest.raises(CheckpointError, match="learning_rate"):
        run("vqkd", config=dataclasses.replace(config, learning_rate=1.0), resume=True)
    with pytest.raises(CheckpointError, match="batch_size x accumulate x processes 4, not 8: it cannot go on"):
        run("vqkd", config=dataclasses.replace(config, batch_size=8), resume=True)


def test_same_step_in_other_portions_may_be_resumed(run, config):
    portions = dataclasses.replace(config, batch_size=2, accumulate=2)
    with pytest.raises(KeyboardInterrupt):
        run("beit2", callbacks=[At(4)])
    assert run("beit2", config=portions, resume=True)[1].steps == 12


def test_metrics_have_loss_terms_figures_and_rate(run):
    row = run("vqkd")[1].metrics
    assert row["loss"] == pytest.approx(row["patch_loss"] + row["commitment_loss"])
    assert 0 < row["codebook_usage"] <= 1
    assert row["learning_rate"] == pytest.approx(1e-6)
    assert row["steps_per_second"] > 0


def test_the_rate_that_is_told_is_that_of_the_run_not_of_a_layer(run, config):
    shared = dataclasses.replace(config, layer_decay=0.5, embed_rate=0.2, steps=3, min_learning_rate=0.0)
    rows = read_metrics(run("vqkd", config=shared, log_every=1)[1].metrics_file)
    assert [row["learning_rate"] for row in rows] == pytest.approx([5e-3 / 3, 1e-2 / 3, 5e-3])  # warm-up alone


@pytest.mark.parametrize("name", ["ibot", "vqkd", "beit2"])
def test_bfloat16(run, config, name):
    row = run(name, config=dataclasses.replace(config, precision="bf16-mixed", steps=2))[1].metrics
    assert 0 < row["loss"] < 20


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda", "bf16-mixed", "high"), ("cuda", "32-true", "highest"), ("cpu", "bf16-mixed", "highest")],
)
def test_a_mixed_run_on_a_gpu_lets_float32_use_its_tensor_cores(device, precision, expected):
    with _tensor_cores(device, precision):
        assert torch.get_float32_matmul_precision() == expected
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_loss_that_is_not_finite_stops_the_run(build, config, tmp_path):
    class Broken:
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return torch.full((1, 4, 9), torch.inf), None

    method, views = build("vqkd")
    with pytest.raises(DivergedError, match=r"at step 1: patch nan, commitment .*no step was saved"):
        fit(method, Broken(), views, config, seed=0, out=tmp_path, name="broken", accelerator="cpu")
    assert not (tmp_path / "broken.ckpt").exists()


@pytest.mark.parametrize(("hook", "fault"), [("loss", "the loss is not finite at step 8"), ("weight", "the weights")])
def test_a_run_that_diverges_keeps_the_last_good_checkpoint(run, tmp_path, hook, fault):
    class Spoil(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            if pl_module.step == (6 if hook == "loss" else 9):  # the weights are NaN from the next step on
                next(pl_module.method.parameters()).grad.fill_(torch.nan)

    with pytest.raises(DivergedError, match=rf"{fault}.*vqkd\.ckpt keeps step 5"):
        run("vqkd", callbacks=[Spoil()], checkpoint_every=5, log_every=7)
    state = load_training_state(tmp_path / "run" / "vqkd.ckpt")
    assert state["step"] == 5
    assert all(value.isfinite().all() for value in state["method"].values())


def test_run_leaves_its_two_files_and_no_chatter(run, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run("beit2")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"beit2.ckpt", "beit2.csv"}
    output = capfd.readouterr()
    assert output.out == output.err == ""


def test_progress_lines_go_to_stderr(run, capfd):
    run("vqkd", progress=True)
    line = capfd.readouterr().err.strip()
    assert line.startswith("vqkd  12/12  100%")
    assert "loss" in line
    assert "codebook usage" in line


def test_fit_leaves_the_global_generator_where_it_was(dataset, build, config, tmp_path):
    method, views = build("vqkd")
    before = torch.get_rng_state()
    fit(method, dataset, views, config, seed=0, out=tmp_path, name="x", progress=False, accelerator="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_runs_outside_the_main_thread(run):
    results = []
    thread = threading.Thread(target=lambda: results.append(run("vqkd")[1]))
    thread.start()
    thread.join()
    assert results[0].steps == 12


def test_each_step_has_the_rate_and_the_decay_of_its_number(run, config):
    found = []

    class Record(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            group = trainer.optimizers[0].param_groups[0]
            found.append((group["lr"], group["weight_decay"]))

    run("vqkd", callbacks=[Record()])
    assert found == [(learning_rate_at(step, config), weight_decay_at(step, config)) for step in range(config.steps)]
