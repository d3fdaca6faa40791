"""The camera: from a pixel to a ray.

A pinhole camera stands at `eye` and looks at `target`. A point (u, v) of the picture, both in
[-1, 1] with v upwards, looks along ``forward + zoom·(u·right + v·up)``: a larger zoom number shows
more. The camera's parameters are `yaw` (around the target), `pitch` (above the floor), `roll`
(tilt), in radians, `distance` and `zoom`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .geometry import normalize
from .parameters import Array, Parameters


def camera_frame(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Position and axes of one scene's camera: eye, forward, right, upward, (3,) each."""
    yaw, pitch, roll = values["yaw"], values["pitch"], values["roll"]
    towards_camera = np.array(
        [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)]
    )
    eye = np.asarray(values["target"]) + values["distance"] * towards_camera
    forward = -towards_camera
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right = right / np.linalg.norm(right)
    upward = np.cross(right, forward)
    return {
        "eye": eye,
        "forward": forward,
        "right": right * np.cos(roll) + upward * np.sin(roll),
        "upward": upward * np.cos(roll) - right * np.sin(roll),
    }


@dataclass
class Rays:
    """A bundle of rays.

    Attributes
    ----------
    origin, direction : Array
        (3, R), origin possibly (3, 1); directions have length 1.
    u, v : Array
        (R,) where they cross the picture.
    tile : Array
        (R,) which tile of the picture they belong to (see `marching`).
    p : Parameters
        The scenes' parameters, per ray.
    """

    origin: Array
    direction: Array
    u: Array
    v: Array
    tile: Array
    p: Parameters

    def at(self, distance: Array) -> Array:
        """Points (3, R) at these distances (R,) along the rays."""
        return self.origin + self.direction * distance

    def select(self, chosen: Array) -> Rays:
        """Return some of the rays."""
        return Rays(
            self.origin if self.origin.shape[1] == 1 else self.origin.take(chosen, axis=1),
            self.direction.take(chosen, axis=1),
            self.u[chosen],
            self.v[chosen],
            self.tile[chosen],
            self.p.for_rays(chosen),
        )


def cast(p: Parameters, scene: Array, u: Array, v: Array, tile: Array) -> Rays:
    """Rays through points (u, v) of the pictures `scene`, all (R,)."""
    own = p.for_rays(scene)
    direction = normalize(own.forward + own.right * (u * own.zoom) + own.upward * (v * own.zoom))
    return Rays(own.eye, direction, u, v, tile, own)


def pixel_grid(size: int) -> tuple[Array, Array]:
    """(u, v) of the pixel centres of a square picture, row by row from the top, (size²,) each."""
    centers = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    v, u = np.meshgrid(-centers, centers, indexing="ij")
    return u.reshape(-1), v.reshape(-1)
