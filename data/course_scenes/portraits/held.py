"""What a person holds in the mouth or in the hand: cigarette, pen, straw, lollipop, phone, mug.

Cigarette, pen, straw and lollipop are sticks of about the same size in the same place, so that a
network has to look at the stick itself. Everything about them that is random is drawn whatever the
object is: holding something else instead changes one parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..drawing import rotation_matrix
from ..geometry import (
    Array,
    X,
    box,
    capsule,
    choose,
    cylinder,
    dot,
    length,
    linear_color,
    mix,
    radius,
    rotate,
    smooth_intersection,
    smoothstep,
    sphere,
    to_local,
    torus,
    vector,
)
from ..marching import Bound, Solid
from ..noise import noise
from ..parameters import Parameters
from ..shading import Material
from .head import LIPS
from .parts import CIGARETTE, OTHER_OBJECT

CIGARETTE_NAME = "cigarette"
#: Sticks and their lengths; a unit is half a head.
STICK_LENGTHS = {CIGARETTE_NAME: 0.80, "pen": 0.95, "straw": 1.05, "lollipop": 0.62}
OBJECTS = (*STICK_LENGTHS, "phone", "mug", "nothing")
#: In the mouth without a hand, in the mouth and held, or held beside the face.
POSES = ("mouth", "hand_at_mouth", "hand_beside")

#: How far from the lips the fingers hold a stick.
_GRIP_FROM_LIPS = 0.37
_STICK_BEFORE_GRIP = 0.19

_PAPER = linear_color((0.94, 0.93, 0.91))
_FILTER = linear_color((0.86, 0.56, 0.27))
_GOLD = linear_color((0.80, 0.65, 0.30))
_ASH = linear_color((0.32, 0.30, 0.30))
_EMBER = vector(2.6, 0.55, 0.08)
_STEEL = linear_color((0.60, 0.61, 0.63))
_CREAM = linear_color((0.94, 0.91, 0.88))
_COFFEE = linear_color((0.30, 0.17, 0.09))
_GLASS = linear_color((0.10, 0.12, 0.16))
_FILTER_SHARE, _ASH_SHARE = 0.28, 0.09


def grip_of(values: Mapping[str, Any]) -> str:
    """Say what the hand does: "none" (it is not there), "rest", "stick" or "wrap".

    A phone and a mug need a hand, so there it comes even where the pose has none.
    """
    held = values["object"]
    if held in ("phone", "mug"):
        return "wrap"
    if values["pose"] == "mouth":
        return "none"
    return "rest" if held == "nothing" else "stick"


def derive_held(values: Mapping[str, Any], head_rotation: np.ndarray) -> dict[str, Any]:
    """Where hand and object are; `head_rotation` is (3, 3), as the mouth turns with the head."""
    side = values["side"]
    outwards = np.array([side, 1.0, 1.0])
    direction = outwards * values["stick_direction"]
    direction = direction / np.linalg.norm(direction)
    if values["pose"] == "hand_beside":
        grip = outwards * values["hand_place"]
        start = grip - direction * _STICK_BEFORE_GRIP
    else:
        start = head_rotation @ (outwards * LIPS)
        grip = start + direction * _GRIP_FROM_LIPS
    end = start + direction * STICK_LENGTHS.get(values["object"], 0.7) * values["object_size"]
    across = np.cross(direction, [0.0, 0.0, 1.0])
    in_mouth = values["pose"] != "hand_beside"
    return {
        "grip": grip,
        "grip_kind": grip_of(values),
        "stick_start": start,
        "stick_end": end,
        "stick_middle": (start + end) / 2,
        "stick_direction_world": direction,
        "stick_across": across / np.linalg.norm(across),
        "stick_length": float(np.linalg.norm(end - start)),
        "pen_point": end + direction * 0.13,
        "candy": start + direction * 0.04 if in_mouth else end,
        "phone_center": grip + outwards * [0.05, 0.14, 0.06],
        "phone_rotation": rotation_matrix(-0.25 * side, 0.15, -0.12 * side).reshape(-1),
        "mug_center": grip + outwards * [-0.40, -0.06, 0.08],
        "mug_handle": [side * 0.30, 0.0, 0.0],
        "smoke_source": end
        if values["object"] == CIGARETTE_NAME
        else grip + outwards * [-0.40, 0.24, 0.08],
    }


# --- sticks ---------------------------------------------------------------------------------------


def _stick(size: float) -> Callable[[Array, Parameters, bool], Array]:
    """Distance to a stick of this radius."""
    return lambda point, p, detail: capsule(point, p.stick_start, p.stick_end, size, size)


def _along(point: Array, p: Parameters) -> Array:
    """Position along the stick: 0 at the lips' end, 1 at the other."""
    return dot(point - p.stick_start, p.stick_direction_world) / p.stick_length


def paint_cigarette(point: Array, normal: Array, p: Parameters) -> Material:
    """Filter, a golden ring, paper, and ash that glows in its cracks."""
    along = _along(point, p)
    color = choose(along < _FILTER_SHARE, _FILTER * (0.8 + 0.4 * noise(point * 40)), _PAPER)
    color = choose(np.abs(along - _FILTER_SHARE) < 0.015, _GOLD, color)
    burnt = along > 1 - _ASH_SHARE
    crumbs = noise(point * 30 + p.pattern_offset)
    color = choose(burnt, _ASH * (0.6 + 0.8 * crumbs), color)
    edge = (along > 1 - _ASH_SHARE * 1.25) & (along < 1 - _ASH_SHARE * 0.45)
    cracks = noise(point * 24 + p.pattern_offset) > 0.6
    hot = edge | (burnt & cracks)
    return Material(color, CIGARETTE, 0.04, 40.0, glow=_EMBER * (hot * (0.35 + 0.6 * crumbs)))


def paint_straw(point: Array, normal: Array, p: Parameters) -> Material:
    """White with a coloured spiral."""
    around = np.arctan2(dot(point - p.stick_start, p.stick_across), point[2] - p.stick_start[2])
    stripe = np.sin(_along(point, p) * (p.stick_length * 26) + around) > 0.2
    return Material(choose(stripe, p.object_color, _CREAM), OTHER_OBJECT, 0.3, 40.0)


def pen_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Barrel and point."""
    barrel = capsule(point, p.stick_start, p.stick_end, 0.060, 0.066)
    return np.minimum(barrel, capsule(point, p.stick_end, p.pen_point, 0.052, 0.012))


def paint_pen(point: Array, normal: Array, p: Parameters) -> Material:
    """Dark cap with a steel ring, a coloured barrel, a steel point."""
    along = _along(point, p)
    color = choose(along < 0.24, p.object_color * 0.3, p.object_color)
    steel = (np.abs(along - 0.25) < 0.02) | (along > 1.03)
    return Material(choose(steel, _STEEL, color), OTHER_OBJECT, 0.5, 40.0)


def lollipop_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Thin stick and a ball: at the lips if it is in the mouth, else at the far end."""
    stick = capsule(point, p.stick_start, p.stick_end, 0.040, 0.040)
    return np.minimum(stick, sphere(point - p.candy, 0.19))


def paint_lollipop(point: Array, normal: Array, p: Parameters) -> Material:
    """Swirls on the ball, a white stick."""
    offset = point - p.candy
    angle = np.arctan2(offset[1], offset[0]) * 3
    swirl = np.sin(angle + radius(offset[0], offset[1]) * 22) > 0
    candy = choose(swirl, mix(p.object_color, _CREAM, 0.75), p.object_color)
    color = choose(length(offset) < 0.195, candy, _PAPER)
    return Material(color, OTHER_OBJECT, 0.6, 50.0)


# --- phone and mug --------------------------------------------------------------------------------


def phone_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Flat box with a camera block on its back, which faces the viewer."""
    local = to_local(point, p.phone_rotation, p.phone_center)
    case = box(local, vector(0.28, 0.56, 0.05), 0.05)
    camera = box(local - vector(-0.13, 0.36, 0.055), vector(0.11, 0.11, 0.03), 0.03)
    return np.minimum(case, camera)


def paint_phone(point: Array, normal: Array, p: Parameters) -> Material:
    """Coloured case, a dark screen on the other side, two lenses."""
    local = to_local(point, p.phone_rotation, p.phone_center)
    color = choose(local[2] < -0.03, _GLASS, p.object_color * 0.8)
    block = (local[2] > 0.055) & (length(local - vector(-0.13, 0.36, 0.055)) < 0.17)
    color = choose(block, p.object_color * 0.3, color)
    upper = radius(local[0] + 0.085, local[1] - 0.405)
    lower = radius(local[0] + 0.175, local[1] - 0.315)
    lens = np.minimum(upper, lower)
    color = choose(block & (lens < 0.05), 0.01, color)
    return Material(color, OTHER_OBJECT, 0.5, 40.0)


def mug_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Cup with a rounded rim, a handle towards the hand, and coffee."""
    local = point - p.mug_center
    inside = cylinder(local - vector(0.0, 0.12, 0.0), 0.33, 0.255, rounding=0.01)
    cup = smooth_intersection(cylinder(local, 0.33, 0.29, rounding=0.04), -inside, 0.02)
    handle = torus(rotate(local - p.mug_handle, X, np.pi / 2), 0.17, 0.045)
    coffee = cylinder(local - vector(0.0, 0.10, 0.0), 0.12, 0.26, rounding=0.005)
    return np.minimum(np.minimum(cup, handle), coffee)


def paint_mug(point: Array, normal: Array, p: Parameters) -> Material:
    """Glaze with a white band; coffee inside."""
    local = point - p.mug_center
    from_axis = radius(local[0], local[2])
    band = smoothstep(0.105, 0.095, np.abs(local[1])) * (from_axis > 0.27)
    color = mix(p.object_color, _CREAM, band)
    is_coffee = (from_axis < 0.25) & (local[1] > 0.1) & (local[1] < 0.24)
    return Material(choose(is_coffee, _COFFEE, color), OTHER_OBJECT, 0.4, 40.0)


# --- solids ---------------------------------------------------------------------------------------


def _stick_bound(p: Parameters) -> Bound:
    # the candy or the pen's point sticks out at an end
    return Bound(p.stick_middle, p.stick_length * 0.5 + 0.24)


_SOLIDS = {
    CIGARETTE_NAME: Solid(CIGARETTE_NAME, _stick(0.074), paint_cigarette, _stick_bound, 1.0),
    "straw": Solid("straw", _stick(0.060), paint_straw, _stick_bound, 1.0),
    "pen": Solid("pen", pen_distance, paint_pen, _stick_bound, 0.95),
    "lollipop": Solid("lollipop", lollipop_distance, paint_lollipop, _stick_bound, 1.0),
    "phone": Solid("phone", phone_distance, paint_phone, lambda p: Bound(p.phone_center, 0.70)),
    "mug": Solid("mug", mug_distance, paint_mug, lambda p: Bound(p.mug_center, 0.60), 0.9),
}


def held_solids(values: Mapping[str, Any]) -> list[Solid]:
    """Return the object as a list of one, or an empty list for "nothing"."""
    return [_SOLIDS[values["object"]]] if values["object"] in _SOLIDS else []
