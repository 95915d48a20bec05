"""A step of several passes is that of one batch as large."""

import dataclasses

import pytest
import torch

from vision.nn.block import DropPath
from vision.train.fit import fit


@pytest.mark.parametrize("name", ["ibot", "vqkd"])
def test_centres_and_codebook_move_once_a_step_by_all_its_passes(build, dataset, config, tmp_path, name):
    found = []
    for accumulate in (1, 3):
        still = dataclasses.replace(config, steps=2, learning_rate=0.0, min_learning_rate=0.0, weight_decay=0.0)
        still = dataclasses.replace(still, final_weight_decay=None, batch_size=6 // accumulate, accumulate=accumulate)
        method, views = build(name)
        if name == "vqkd":
            method.tokenizer.codebook.is_started = True  # else k-means looks at the first pass alone
        for block in [part for part in method.modules() if isinstance(part, DropPath)]:
            block.rate = 0.0
        fit(method, dataset, views, still, seed=0, out=tmp_path, name=str(accumulate), progress=False)
        found.append(method.state_dict())
    moved = build(name)[0].state_dict()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, msg=key)
        is_statistic = "center" in key or key.startswith("tokenizer.codebook")
        assert is_statistic != torch.equal(value, moved[key]), key
