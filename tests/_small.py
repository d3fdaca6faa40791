"""A small network and small pictures, for tests of what happens to many of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from course_utils.networks import Layers, Network, Preprocess

SIDE = 32


def tiny(seed: int = 0) -> Network:
    """Return a network of five classes for pictures of 32 px."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    with torch.no_grad():
        model[-1].weight.mul_(20)  # sure of what it says
    look = Preprocess((0.5,) * 3, (0.25,) * 3, resize=SIDE, crop=SIDE)
    layers = Layers("3", "6", "0", ("0",))
    return Network(
        "tiny", "tiny", model.eval().requires_grad_(False), look, list("abcde"), layers, "made here"
    )


def make_pictures(folder: Path, count: int, seed: int = 0) -> list[str]:
    """Write small pictures of coloured clouds; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, paths = np.random.default_rng(seed), []
    for index in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        paths.append(str(folder / f"{index:04d}.png"))
        coarse.resize((48, 40), Image.Resampling.BICUBIC).save(paths[-1])
    return paths
