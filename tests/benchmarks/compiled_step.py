"""How much faster a step is with `--optim.compile`: forward, backward and teacher, plain and compiled in turns.

    python tests/benchmarks/compiled_step.py IMAGES [--method ibot] [--dim 192 --depth 12 --patch 4] [--batch 64]

The recipe is configs/vision/small, of a method that builds on no other run. A step's time is the process's on a CPU
(one thread), the clock's on a GPU.
"""

import argparse
import copy
import dataclasses
import platform
import time
from collections.abc import Callable

import torch
from lightning.fabric.utilities import move_data_to_device

import vision
from vision.batch import Batch
from vision.data.loader import make_loader
from vision.methods.base import Method
from vision.recipes import find_recipe
from vision.train.build import build
from vision.train.inputs import decide_inputs, open_data
from vision.train.module import _losses

ROUNDS, BATCHES = 10, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("images", help="as of fintok vision pretrain --data")
    parser.add_argument("--method", default="ibot")
    for name, default in (("dim", 192), ("depth", 12), ("patch", 4), ("batch", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = vision.load_yaml(vision.PretrainConfig, find_recipe(f"small/{given.method}"))
    patch_size = (given.patch, given.patch)
    encoder = dataclasses.replace(config.encoder, dim=given.dim, depth=given.depth, patch_size=patch_size)
    images = open_data(given.images, config.images)
    inputs = decide_inputs(images, config.images, None)
    method, views = build(dataclasses.replace(config, encoder=encoder), inputs, images.size)
    loader = make_loader(images, views, given.batch, 0, given.batch * BATCHES, 0, 0, rank=0, world_size=1)
    batches = [views.prepare(move_data_to_device(batch, device)) for batch in loader]
    steps = {name: step_of(copy.deepcopy(method).to(device), device, name) for name in ("plain", "compiled")}
    first = {}
    for name, step in steps.items():
        began = time.perf_counter()
        for batch in batches:
            step(batch)
        first[name] = time.perf_counter() - began
    spent = dict.fromkeys(steps, 0.0)
    for _ in range(ROUNDS):
        for batch in batches:
            for name, step in steps.items():
                spent[name] += seconds(step, batch, device)
    print(f"{platform.machine()}, {device.type}, torch {torch.__version__}, {given.method}, bf16-mixed")
    print(f"first {BATCHES} steps: {first['plain']:.1f} s plain, {first['compiled']:.1f} s compiled")
    each = {name: 1e3 * total / (ROUNDS * BATCHES) for name, total in spent.items()}
    ratio = each["plain"] / each["compiled"]
    print(f"a step: {each['plain']:.0f} ms plain, {each['compiled']:.0f} ms compiled, ratio {ratio:.2f}")


def step_of(method: Method, device: torch.device, name: str) -> Callable[[Batch], None]:
    losses = torch.compile(_losses) if name == "compiled" else _losses

    def step(batch: Batch) -> None:
        method.begin_step(0.1)
        with torch.autocast(device.type, torch.bfloat16):
            terms, _ = losses(method, batch, with_places=False)
        torch.stack(list(terms.values())).sum().backward()
        method.zero_grad(set_to_none=True)
        method.end_step()

    return step


def seconds(step: Callable[[Batch], None], batch: Batch, device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


if __name__ == "__main__":
    main()
