"""Two processes that the command starts give what one gives."""

import os
import subprocess
import sys

import pytest

from vision.train.metrics import read_metrics


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one(data, tmp_path, root):
    words = "-m fintok vision pretrain --method mae --encoder.patch-size 1 5 --views.flip 0 --encoder.dim 24 "
    words += "--encoder.depth 2 --encoder.heads 2 --mae.decoder-dim 16 --mae.decoder-depth 1 --mae.decoder-heads 2 "
    words += f"--max-steps 4 --log-every 1 --accelerator cpu --data {data / 'panel.npy'}"
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    for devices in (1, 2):
        own = ["--devices", devices, "--optim.batch-size", 8 // devices, "--out", tmp_path / str(devices)]
        command = [sys.executable, *words.split(), *map(str, own)]
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True, timeout=240)
    one, two = ([row["loss"] for row in read_metrics(tmp_path / str(n) / "pretrain.csv")] for n in (1, 2))
    assert len(one) == 4
    assert two == pytest.approx(one, rel=1e-5)
