"""Putting a thing into the scene: its size, its place, the balls that its parts lie in.

Every thing is made in a frame of its own, x forward, y up, and then scaled so that all of them fill
the picture alike: the camera need not know what it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..drawing import Generator, hsv, rotation_matrix
from ..geometry import to_local
from ..marching import Bound
from ..parameters import Array, Parameters

#: Hue, saturation, value.
Hsv = tuple[float, float, float]

#: Half the width, and the height, that a thing may fill; the camera looks at about half of it.
HALF_WIDTH, HEIGHT = 0.85, 1.15


def stand(
    yaw: float,
    reach: float,
    height: float,
    *,
    lift: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
) -> dict[str, Any]:
    """Scale a thing to the common size and put it on the floor.

    Parameters
    ----------
    yaw, pitch, roll : float
        How it is turned, in radians.
    reach : float
        Half its length, in its own frame.
    height : float
        Its height there.
    lift : float
        World units above the floor.

    Returns
    -------
    dict
        ``rotation``, ``position``, ``scale``; ``center`` and ``bound`` of the ball around it.
    """
    scale = min(HALF_WIDTH / reach, HEIGHT / height)
    rotation = rotation_matrix(yaw, pitch, roll)
    position = np.array([0.0, lift, 0.0])
    return {
        "rotation": rotation.ravel(),
        "position": position,
        "scale": scale,
        "center": position + rotation @ [0.0, 0.5 * height * scale, 0.0],
        "bound": scale * float(np.hypot(reach * 1.15, height / 2)),
    }


def fly(yaw: float, pitch: float, roll: float, reach: float, lift: float) -> dict[str, Any]:
    """Scale a thing whose frame has its origin in the middle, and hang it above the floor.

    Parameters and result are as in `stand`.
    """
    scale = HALF_WIDTH / reach
    position = np.array([0.0, lift, 0.0])
    return {
        "rotation": rotation_matrix(yaw, pitch, roll).ravel(),
        "position": position,
        "scale": scale,
        "center": position,
        "bound": 1.1 * HALF_WIDTH,
    }


def ball(name: str, placed: Mapping[str, Any], center: ArrayLike, radius: float) -> dict[str, Any]:
    """Put a ball around a part, given in the thing's frame, into the world: see `in_ball`."""
    rotation = np.reshape(placed["rotation"], (3, 3))
    return {
        f"{name}_ball_center": placed["position"] + rotation @ np.asarray(center) * placed["scale"],
        f"{name}_ball_radius": radius * placed["scale"],
    }


def in_ball(name: str) -> Callable[[Parameters], Bound]:
    """Bound of a solid that lies in the ball of this name."""

    def bound(p: Parameters) -> Bound:
        return Bound(p[f"{name}_ball_center"], p[f"{name}_ball_radius"])

    return bound


def local_point(point: Array, p: Parameters) -> Array:
    """World coordinates (3, R) to those of the thing."""
    return to_local(point, p.rotation, p.position) / p.scale


def near(rng: Generator, color: Hsv) -> list[float]:
    """Linear RGB of a colour like this one."""
    hue, saturation, value = color
    return hsv(
        hue + rng.normal(0, 0.008), saturation + rng.normal(0, 0.05), value + rng.normal(0, 0.05)
    )


def to_frame(direction: Array, p: Parameters) -> Array:
    """Turn directions of the world (3, R) into those of the thing."""
    return to_local(direction, p.rotation)
