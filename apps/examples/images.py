"""Masked image modelling in Python: train a method on arrays, then take its encoder's features.

    python apps/examples/images.py images.npy --method mae --patch-size 4 4 --steps 200 --out runs/mae

images.npy is (images, channels, height, width), any number of channels, NaN = not observed. The command line does
the same: `fintok vision pretrain`, `fintok vision features`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import vision
from vision.recipes import find_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", default="mae", help="one that builds on no other run: mae, simmim, dino, ibot, …")
    parser.add_argument("--patch-size", type=int, nargs=2, default=(4, 4))
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()

    recipe = vision.load_yaml(vision.PretrainConfig, find_recipe(f"small/{options.method}"))
    optim = replace(recipe.optim, steps=options.steps, warmup_steps=options.steps // 20, batch_size=64)
    encoder = replace(recipe.encoder, patch_size=tuple(options.patch_size), dim=96, depth=4)
    run = vision.pretrain(replace(recipe, optim=optim, encoder=encoder), options.images, options.out)
    print(run.fit.metrics)

    inputs = vision.load_method(run.folder).inputs  # the scale that was learned from the images
    mean, std = (torch.tensor(values)[:, None, None] for values in (inputs.mean, inputs.std))
    images = (torch.from_numpy(np.load(options.images)).float() - mean) / std
    features = vision.extract_features(vision.load_encoder(run.folder / "encoder"), images, pooling="mean")
    print(f"features {tuple(features.shape)}, of the first image {features[0, :4].tolist()} …")


if __name__ == "__main__":
    main()
