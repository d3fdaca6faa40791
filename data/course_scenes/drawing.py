"""Helpers for drawing a scene's parameters at random: colours, rotations, camera, light, backdrop.

Everything here is NumPy and returns plain numbers and lists, so that scenes can be written as JSON.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from .parameters import Values

Generator = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> list[float]:
    """Linear RGB of a colour given by hue (wraps around at 1), saturation and value (clipped)."""
    rgb = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return [part**2.2 for part in rgb]


def rgb(red: float, green: float, blue: float) -> list[float]:
    """Linear RGB of a screen colour, three numbers in [0, 1]."""
    return [min(max(part, 0.0), 1.0) ** 2.2 for part in (red, green, blue)]


def rotation_matrix(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Object-to-world rotation (3, 3): roll about z, then pitch about x, then yaw about y."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a plain float."""
    return float(rng.uniform(low, high))


def pick(rng: Generator, shares: dict[str, float]) -> str:
    """Draw one of the names with these shares, which need not add up to 1."""
    weights = np.array(list(shares.values()), float)
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def rounded(values: Values) -> Values:
    """Round all numbers to five significant digits: short lines of JSON that lose nothing."""
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(f"{value:.5g}") if isinstance(value, (float, np.floating)) else value


def light_direction(azimuth: float, elevation: float) -> list[float]:
    """Direction towards a lamp, of length 1; azimuth 0 is the side of the camera at yaw 0."""
    return [
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.sin(elevation)),
        float(np.cos(elevation) * np.cos(azimuth)),
    ]


def draw_stage(rng: Generator, **given: Any) -> Values:
    """Camera, light, floor, backdrop and film: every parameter that the engine itself needs.

    All of them are drawn, in this order, before `given` replaces some: what one scene fixes does
    not move the others' random numbers.
    """
    azimuth, elevation = rng.uniform(-2.4, 2.4), rng.uniform(0.5, 1.2)
    warmth, brightness = rng.uniform(-0.12, 0.12), 1.15 * rng.uniform(0.8, 1.25)
    values: Values = {
        "yaw": uniform(rng, -0.5, 0.5),
        "pitch": 0.4,
        "roll": float(rng.normal(0, 0.05)),
        "distance": 6.0,
        "zoom": 0.30,
        "target": [0.0, 0.0, 0.0],
        "center": [0.0, 0.0, 0.0],
        "bound": 2.0,
        "light": light_direction(azimuth, elevation),
        "key": [brightness * (1 + warmth), brightness, brightness * (1 - warmth)],
        "ambient": [float(part) for part in np.array([0.36, 0.40, 0.48]) * rng.uniform(0.7, 1.2)],
        "exposure": uniform(rng, 0.85, 1.2),
        "floor": "none",
        "floor_color": [0.4, 0.4, 0.4],
        "floor_color2": [0.2, 0.2, 0.2],
        "floor_offset": uniform(rng, 0, 31),
        "floor_turn": uniform(rng, 0, 2 * np.pi),
        "floor_scale": 1.0,
        "backdrop": "sky",
        "backdrop_color": hsv(0.58, 0.25, 0.95),
        "backdrop_color2": hsv(0.6, 0.6, 0.8),
        "backdrop_offset": uniform(rng, 0, 31),
        "backdrop_detail": uniform(rng, 0, 1),
        "grain": uniform(rng, 0.004, 0.018),
        "grain_seed": int(rng.integers(1 << 20)),
        "without": "",
    }
    values.update(given)
    # kept apart from the floor: on another floor the things themselves look the same
    values.setdefault("bounce", values["floor_color"])
    return values
