"""Value noise: random numbers on a grid, blended smoothly. The source of grain, veins and bumps.

Textures need randomness that is the same whenever the same point is looked at. Value noise gives
every corner of a unit grid a fixed random number and interpolates between the corners (Perlin 1985
popularised the idea); sums of it at doubling frequencies look like marble, clouds or bark.
"""

from __future__ import annotations

import numpy as np

from .parameters import Array

#: The noise repeats after this many units (a power of 2, so that wrapping around is a bit mask).
PERIOD = 32


def _table() -> Array:
    """Return (8, PERIOD³): the random numbers at the eight corners of each cell of the grid."""
    corner = np.random.default_rng(0).random((PERIOD,) * 3, dtype=np.float32)
    corners = [
        np.roll(corner, (-x, -y, -z), axis=(0, 1, 2))
        for x in (0, 1)
        for y in (0, 1)
        for z in (0, 1)
    ]
    return np.stack(corners).reshape(8, -1)


_TABLE = _table()


def noise(point: Array) -> Array:
    """Smooth noise in [0, 1] at points (3, R), one feature per unit; shape (R,).

    Evaluated at a point, it depends on nothing but the point: the same everywhere and always.
    """
    corner = np.floor(point)
    share = point - corner
    share = share * share * (3 - 2 * share)
    x, y, z = corner.astype(np.int32) & (PERIOD - 1)
    values = _TABLE.take((x * PERIOD + y) * PERIOD + z, axis=1)
    values = values[:4] + (values[4:] - values[:4]) * share[0]
    values = values[:2] + (values[2:] - values[:2]) * share[1]
    return values[0] + (values[1] - values[0]) * share[2]


def fractal_noise(point: Array, octaves: int = 3) -> Array:
    """Sum noise at doubling frequencies and halving strengths: [0, 1], shape (R,)."""
    total = 0.5 * noise(point)
    strength = 0.5
    for _ in range(octaves - 1):
        strength *= 0.5
        point = point * 2.03 + 7.1  # not quite 2, so that the grids never line up
        total = total + strength * noise(point)
    return total * (1 / (1 - 0.5**octaves))
