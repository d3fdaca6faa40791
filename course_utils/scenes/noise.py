"""Value noise: random numbers on a grid, blended smoothly. The source of grain, veins and bumps.

Textures need randomness that is the same whenever the same point is looked at. Value noise gives
every corner of a unit grid a fixed random number and interpolates between the corners (Perlin 1985
popularised the idea); sums of it at doubling frequencies look like marble, clouds or bark.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: The noise repeats after this many units along x and y.
PERIOD = 64
# Layer z is the same table, moved by this many cells (x, y) for each unit of z: a two-dimensional
# table serves as a three-dimensional one, and PyTorch interpolates tables in two dimensions fast.
_SHIFT = (37, 17)


def _table() -> Tensor:
    """(1, 2, PERIOD + 1, PERIOD + 1): random numbers, and those of the next layer."""
    layer = np.random.default_rng(0).random((PERIOD, PERIOD), dtype=np.float32)
    next_layer = np.roll(layer, (-_SHIFT[1], -_SHIFT[0]), axis=(0, 1))
    table = torch.from_numpy(np.stack([layer, next_layer]))[None]
    return F.pad(table, (0, 1, 0, 1), mode="circular")


_TABLE = _table()


def noise(point: Tensor) -> Tensor:
    """Smooth noise in [0, 1] at points (3, R), one feature per unit; shape (R,).

    Evaluated at a point, it depends on nothing but the point: the same everywhere and always.
    """
    cell = point.floor()
    share = point - cell
    share = share * share * (3 - 2 * share)
    x = (cell[0] + _SHIFT[0] * cell[2]).remainder(PERIOD) + share[0]
    y = (cell[1] + _SHIFT[1] * cell[2]).remainder(PERIOD) + share[1]
    grid = torch.stack([x, y], -1) * (2 / PERIOD) - 1  # corners of the table are -1 and 1
    layers = F.grid_sample(
        _TABLE, grid[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )[0, :, 0]
    return layers[0] + (layers[1] - layers[0]) * share[2]


def fractal_noise(point: Tensor, octaves: int = 3) -> Tensor:
    """Sum noise at doubling frequencies and halving strengths: [0, 1], shape (R,)."""
    total = 0.5 * noise(point)
    strength = 0.5
    for _ in range(octaves - 1):
        strength *= 0.5
        point = point * 2.03 + 7.1  # not quite 2, so that the grids never line up
        total = total + strength * noise(point)
    return total / (1 - 0.5**octaves)
