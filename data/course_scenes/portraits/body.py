"""Neck, clothes, sleeve and hand, in world coordinates: the head's centre is the origin.

A hand is a palm with five fingers of two segments each. What the fingers do is the *grip*: around a
stick, around something thick, or at rest. The palm's place, the wrist and the arm do not depend on
what is held, so that another object in the same hand changes the hand's surroundings and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..geometry import (
    Array,
    X,
    Y,
    Z,
    capsule,
    dot,
    ellipsoid,
    length,
    mirror,
    mix,
    rotate,
    smooth_intersection,
    smooth_union,
    smoothstep,
    to_local,
    torus,
    vector,
)
from ..marching import Bound, Solid
from ..noise import fractal_noise
from ..parameters import Parameters
from ..shading import Material
from .parts import CLOTHES, HAND, SKIN

_NECK_TOP, _NECK_BASE = vector(0.0, -0.45, -0.12), vector(0.0, -1.50, -0.20)
_COLLAR_TOP = vector(0.0, -0.90, -0.15)
_SHOULDERS_MIDDLE = vector(0.0, -1.62, -0.22)
_CHEST = vector(0.0, -2.90, -0.20)
#: From the grip to the wrist, and from there to the elbow; x points away from the head's middle.
WRIST, FOREARM = (0.20, -0.60, -0.10), (0.45, -1.40, -0.35)
#: The sleeve begins at this share of the way from wrist to elbow.
_CUFF = 0.16


def derive_body(values: Mapping[str, Any], grip: np.ndarray) -> dict[str, Any]:
    """Numbers about torso, arm and hand; `grip` is where the fingers meet, (3,)."""
    outwards = np.array([values["side"], 1.0, 1.0])
    wrist = grip + outwards * WRIST
    elbow = wrist + outwards * FOREARM
    cuff = wrist + (elbow - wrist) * _CUFF
    shoulders, neck = values["shoulder_width"], values["neck_width"]
    return {
        "shoulder": [shoulders, -2.0, -0.25],
        "chest_radii": [shoulders * 1.08, 1.25, 0.60],
        "neck_base": neck * 1.12,
        "neckline_radius": neck + 0.13,
        "grip": grip,
        "hand_frame": np.diag([values["side"], 1.0, 1.0]).reshape(-1),
        "hand_center": grip + outwards * [0.08, -0.22, 0.02],
        "cuff": cuff,
        "elbow": elbow,
        "arm_middle": (cuff + elbow) / 2,
        "arm_direction": (elbow - wrist) / np.linalg.norm(elbow - wrist),
    }


# --- torso ----------------------------------------------------------------------------------------


def _torso(point: Array, p: Parameters) -> Array:
    """Shoulders and chest."""
    folded = mirror(point, X)
    shoulders = capsule(folded, _SHOULDERS_MIDDLE, p.shoulder, 0.36, 0.34)
    return smooth_union(shoulders, ellipsoid(point - _CHEST, p.chest_radii), 0.35)


def neck_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Neck, and the skin below the clothes that a neckline shows."""
    neck = capsule(point, _NECK_TOP, _NECK_BASE, p.neck_width, p.neck_base)
    return smooth_union(neck, _torso(point, p) + 0.02, 0.18)


def neck_obstacle(point: Array, p: Parameters) -> Array:
    """Neck without the chest, where the clothes throw the same shadow."""
    return capsule(point, _NECK_TOP, _NECK_BASE, p.neck_width, p.neck_base)


def paint_neck(point: Array, normal: Array, p: Parameters) -> Material:
    """Skin."""
    skin = p.skin * (0.94 + 0.12 * fractal_noise(point * 5 + p.pattern_offset))
    return Material(skin, SKIN, specular=0.09, gloss=12.0, translucency=0.8)


def clothes_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Torso with an opening for the neck, or with a tube around it (a polo neck)."""
    torso = _torso(point, p)
    if p.neckline == "polo":
        tube = capsule(point, _COLLAR_TOP, _NECK_BASE, p.neck_width + 0.06, p.neck_base + 0.07)
        tube = np.maximum(tube, point[1] + 0.98 + 0.1 * point[2])
        return smooth_union(torso, tube, 0.20)
    opening = p.neckline_radius - length(point - vector(0.0, -1.16, -0.04))
    clothes = smooth_intersection(torso, opening, 0.02)
    if p.neckline == "v-neck":
        beside = np.maximum(np.abs(point[0]) * 0.8 - (point[1] + 1.95) * 0.5, -point[2])
        clothes = np.maximum(clothes, -beside)
    return clothes


def scarf_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Two loops of wool with folds."""
    upper = torus(rotate(point - vector(0.0, -1.16, -0.08), X, 0.22), 0.40, 0.17)
    lower = torus(rotate(point - vector(0.0, -1.32, -0.06), X, 0.30), 0.46, 0.15)
    folds = np.sin(np.arctan2(point[0], point[2]) * 16 + point[1] * 10)
    return smooth_union(upper, lower, 0.05) - 0.02 * folds


def paint_clothes(point: Array, normal: Array, p: Parameters) -> Material:
    """Plain, striped or knitted cloth, unevenly lit by its folds."""
    color = np.broadcast_to(p.cloth_color, point.shape)
    if p.pattern == "stripes":
        color = mix(color, p.cloth_color2, smoothstep(0.1, 0.3, np.sin(point[1] * 15)))
    elif p.pattern == "knit":
        color = color * (0.85 + 0.2 * np.sin(point[0] * 60) * np.sin(point[1] * 60))
    folds = 0.82 + 0.34 * fractal_noise(point * 5 + p.pattern_offset)
    return Material(color * folds, CLOTHES, specular=0.03, gloss=8.0)


def paint_scarf(point: Array, normal: Array, p: Parameters) -> Material:
    """Coarse wool in the second colour."""
    weave = 0.8 + 0.2 * np.sin(point[0] * 40 + point[1] * 50)
    return Material(p.cloth_color2 * weave, CLOTHES, specular=0.02, gloss=8.0)


# --- arm and hand ---------------------------------------------------------------------------------


def sleeve_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Tapered tube from the cuff to the elbow."""
    tube = capsule(point, p.cuff, p.elbow, 0.185, 0.29)
    before_cuff = -dot(point - p.cuff, p.arm_direction) - 0.03
    return smooth_intersection(tube, before_cuff, 0.04)


Chain = tuple[tuple[float, float, float], ...]

# Fingers as chains of three points (knuckle, joint, tip) in the hand's coordinates: origin where
# the grip is, x away from the middle of the face, y up, z towards the camera. First the index.
_STICK_GRIP: tuple[Chain, ...] = (
    ((0.10, -0.12, 0.12), (0.00, 0.06, 0.15), (-0.05, 0.20, 0.10)),
    ((0.17, -0.11, -0.02), (0.12, 0.10, -0.13), (0.03, 0.27, -0.10)),
    ((0.24, -0.12, 0.00), (0.20, 0.00, 0.14), (0.10, -0.09, 0.20)),
    ((0.31, -0.18, 0.00), (0.29, -0.10, 0.13), (0.20, -0.18, 0.19)),
    ((0.04, -0.32, 0.08), (-0.08, -0.19, 0.13), (-0.07, -0.05, 0.14)),
)
_REST: tuple[Chain, ...] = (
    ((0.08, -0.12, 0.10), (-0.05, -0.02, 0.17), (-0.13, -0.13, 0.17)),
    ((0.14, -0.08, 0.04), (0.00, 0.03, 0.16), (-0.10, -0.08, 0.20)),
    *_STICK_GRIP[2:4],
    ((0.04, -0.32, 0.08), (-0.08, -0.19, 0.13), (-0.02, -0.08, 0.22)),
)
_WRAP: tuple[Chain, ...] = (
    ((0.24, 0.170, 0.05), (0.13, 0.175, 0.20), (-0.06, 0.160, 0.16)),
    ((0.24, 0.055, 0.05), (0.13, 0.060, 0.20), (-0.10, 0.045, 0.16)),
    ((0.24, -0.060, 0.05), (0.13, -0.055, 0.20), (-0.08, -0.070, 0.16)),
    ((0.24, -0.175, 0.05), (0.13, -0.170, 0.20), (-0.02, -0.185, 0.16)),
    ((0.16, 0.020, -0.06), (0.12, 0.200, -0.02), (0.00, 0.300, 0.04)),
)
_FINGER_RADII = (0.068, 0.066, 0.064, 0.060, 0.075)


def _finger_bundle(chains: Sequence[Chain]) -> tuple[Array, ...]:
    """Arrange all K finger segments: starts and ends (3, K, 1), radii there (K, 1)."""
    starts = [chain[joint] for chain in chains for joint in (0, 1)]
    ends = [chain[joint + 1] for chain in chains for joint in (0, 1)]
    start_radii = [size * taper for size in _FINGER_RADII for taper in (1.0, 0.95)]
    end_radii = [size * taper for size in _FINGER_RADII for taper in (0.95, 0.80)]
    columns = [np.array(points, np.float32).T[:, :, None] for points in (starts, ends)]
    radii = [np.array(sizes, np.float32)[:, None] for sizes in (start_radii, end_radii)]
    return *columns, *radii


_FINGERS = {
    name: _finger_bundle(chains)
    for name, chains in {"stick": _STICK_GRIP, "rest": _REST, "wrap": _WRAP}.items()
}


def _fingers(local: Array, grip: str) -> Array:
    """Distance (R,) to the nearest segment; all are computed at once, which saves time."""
    starts, ends, start_radii, end_radii = _FINGERS[grip]
    return capsule(local[:, None], starts, ends, start_radii, end_radii).min(0)


def hand_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Palm, fingers and wrist."""
    local = to_local(point, p.hand_frame, p.grip)
    wrist = vector(WRIST[0] * 1.07, WRIST[1] * 1.3, WRIST[2] * 1.2)
    if p.grip_kind == "wrap":
        palm = ellipsoid(
            rotate(local - vector(0.20, -0.06, -0.02), Y, 0.2), vector(0.15, 0.27, 0.17)
        )
        heel = vector(0.20, -0.20, -0.02)
    else:
        palm = ellipsoid(
            rotate(local - vector(0.16, -0.30, -0.02), Z, 0.35), vector(0.18, 0.23, 0.13)
        )
        heel = vector(0.17, -0.36, -0.03)
    palm = smooth_union(palm, capsule(local, heel, wrist, 0.13, 0.12), 0.12)
    return smooth_union(palm, _fingers(local, p.grip_kind), 0.045)


def paint_hand(point: Array, normal: Array, p: Parameters) -> Material:
    """Skin, a little redder at the fingertips."""
    local = to_local(point, p.hand_frame, p.grip)
    red = smoothstep(-0.05, 0.25, local[1] - local[0] * 0.5) * vector(0.0, 0.10, 0.10)
    skin = p.skin * (0.92 + 0.14 * fractal_noise(point * 6 + p.pattern_offset)) * (1 - red)
    return Material(skin, HAND, specular=0.09, gloss=12.0, translucency=0.8)


# --- solids ---------------------------------------------------------------------------------------


def _torso_bound(p: Parameters) -> Bound:
    return Bound(vector(0.0, -2.6, -0.2), vector(2.3, 2.0, 1.25))


def _neck_bound(p: Parameters) -> Bound:
    # the skin under the clothes reaches further, but only where the clothes hide it
    return Bound(vector(0.0, -1.20, -0.05), vector(0.85, 1.05, 0.85))


def _scarf_bound(p: Parameters) -> Bound:
    return Bound(vector(0.0, -1.30, -0.15), vector(0.80, 0.62, 0.80))


def _hand_bound(p: Parameters) -> Bound:
    return Bound(p.hand_center, vector(0.50, 0.78, 0.50))


def _sleeve_bound(p: Parameters) -> Bound:
    return Bound(p.arm_middle, 1.0)


_NECK = Solid("neck", neck_distance, paint_neck, _neck_bound, 0.9, obstacle=neck_obstacle)
_CLOTHES = Solid("clothes", clothes_distance, paint_clothes, _torso_bound, 0.9)
_SCARF = Solid("scarf", scarf_distance, paint_scarf, _scarf_bound, 0.8)
_HAND = Solid("hand", hand_distance, paint_hand, _hand_bound, 0.9)
_SLEEVE = Solid("sleeve", sleeve_distance, paint_clothes, _sleeve_bound, 0.95)


def body_solids(values: Mapping[str, Any], grip_kind: str) -> list[Solid]:
    """Neck and clothes; hand and sleeve unless the grip is "none"."""
    solids = [_NECK, _CLOTHES]
    if values["neckline"] == "scarf":
        solids.append(_SCARF)
    if grip_kind != "none":
        solids += [_HAND, _SLEEVE]
    return solids
