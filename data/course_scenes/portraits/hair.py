"""Hair and hats.

Hair that is pasted on as a cap looks like a helmet. Here it *grows*: its surface is the skull's,
moved outwards by a thickness that starts below zero in front of the hairline, where no hair can be
seen, and rises behind it. Noise that runs along the strands makes the hairline ragged and the
surface combed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..drawing import rotation_matrix
from ..geometry import (
    Array,
    X,
    capsule,
    ellipsoid,
    length,
    radius,
    rotate,
    smooth_intersection,
    smooth_union,
    smoothstep,
    sphere,
    vector,
)
from ..marching import Bound, Solid
from ..noise import noise
from ..parameters import Parameters
from ..shading import Material
from .head import hairline, head_space, skull
from .parts import CLOTHES, HAIR

#: Styles whose strands run from the forehead to the back of the head.
_COMBED_BACK = ("short", "bun")
_CURLS = ("curly", "afro")

# Where bounds lie: centre and half axes in the head's coordinates.
_CAP_BOUND = ((0.0, 0.18, -0.10), (1.12, 1.14, 1.20))
_BOUNDS = {
    "afro": ((0.0, 0.28, -0.17), (1.12, 1.08, 1.14)),
    "curly": ((0.0, 0.18, -0.10), (1.16, 1.18, 1.24)),
    "bun": ((0.0, 0.30, -0.18), (1.02, 1.14, 1.12)),
    "bob": ((0.0, 0.08, -0.16), (1.14, 1.22, 1.16)),
    "long": ((0.0, -0.20, -0.16), (1.16, 1.52, 1.18)),
}
_HAT_BOUND = ((0.0, 0.62, -0.08), (1.02, 0.72, 1.12))


def derive_hair(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers about hair that are the same for all rays of a picture."""
    turn = rotation_matrix(values["head_turn"], values["head_nod"], values["head_tilt"])
    center, _ = _BOUNDS.get(values["hair"], _CAP_BOUND)
    width = values["head_width"]
    return {
        "hair_center": turn @ center,
        "hat_center": turn @ _HAT_BOUND[0],
        "crown_thickness": 0.05 + 0.12 * values["hair_volume"],
        "swept_side": -1.0 if values["parting"] > 0 else 1.0,
        "back_hair_center": [0.0, -0.35 if values["hair"] == "long" else -0.05, -0.32],
        "back_hair_radii": [width * 1.2, 1.15 if values["hair"] == "long" else 0.85, 0.56],
        "hat_radii": [width * 1.18, 0.84, width * 1.33],
        "hat_rim": [width, width * 1.14],
    }


def _strands(local: Array, p: Parameters, fineness: float) -> Array:
    """Coordinates that change quickly across strands of hair and slowly along them."""
    if p.hair in _COMBED_BACK:
        around, along = np.arctan2(local[0], local[1] + 0.3), local[2]
    else:  # falling from the parting
        sideways = local[0] - p.parting * (local[1] > 0.4)
        around, along = np.arctan2(sideways, local[2] + 0.1), local[1]
    return vector(around * fineness, along * 1.6, length(local) * 3) + p.pattern_offset


# --- the part that covers the skull --------------------------------------------------------------


class _Scalp:
    """What all styles need to know about a point: computed once."""

    def __init__(self, local: Array, p: Parameters, *, combed: bool = True) -> None:
        self.local, self.p = local, p
        self.skull = skull(local, p)
        #: -0.5 to 0.5, constant along strands; the least where they are left out
        self.tufts = (noise(_strands(local, p, 5.0)) if combed else 0.0) - 0.5
        self.line = hairline(local, p) + 0.07 * self.tufts
        #: 0 at the ears, 1 on the crown
        self.height = smoothstep(0.10, 0.80, local[1])

    def grow(self, thickness: Array | float, rise: float = 0.24) -> Array:
        """Skull plus a thickness that rises from the hairline over a length of `rise`."""
        grown = smoothstep(-0.02, rise, self.line)
        below_skin = 0.05 * smoothstep(0.02, -0.10, self.line)
        return self.skull - thickness * grown + below_skin

    def parting(self, at: Array, width: float) -> Array:
        """1 in the furrow where the hair is parted, on the crown only."""
        return np.exp(-(((self.local[0] - at) / width) ** 2)) * self.height


def _cropped(scalp: _Scalp) -> Array:
    return scalp.grow(0.035, rise=0.10)


def _balding(scalp: _Scalp) -> Array:
    return scalp.grow(0.06 + 0.03 * scalp.tufts, rise=0.10)


def _short(scalp: _Scalp) -> Array:
    crown = scalp.p.crown_thickness * scalp.height
    return scalp.grow(0.05 + crown * (1 + scalp.tufts) + 0.035 * scalp.tufts)


def _parted(scalp: _Scalp) -> Array:
    p = scalp.p
    swept = smoothstep(0.0, 0.35, (scalp.local[0] - p.parting) * p.swept_side)
    thickness = 0.05 + (p.crown_thickness - 0.03 + 0.09 * swept) * scalp.height
    furrow = 1 - 0.55 * scalp.parting(p.parting, 0.05)
    return scalp.grow(thickness * furrow + 0.035 * scalp.tufts)


def _curly(scalp: _Scalp) -> Array:
    point = scalp.local * 5.2 + scalp.p.pattern_offset
    curls = noise(point) + 0.5 * noise(point * 2 + 5) - 0.75
    return scalp.grow(0.15 + 0.06 * scalp.height + 0.17 * curls, rise=0.16) * 0.85


def _afro(scalp: _Scalp) -> Array:
    ball = ellipsoid(scalp.local - vector(0.0, 0.30, -0.18), vector(0.98, 0.92, 0.92))
    ball = np.minimum(ball, scalp.skull - 0.12)
    return smooth_intersection(ball, -scalp.line - 0.02, 0.10)


def _pinned_up(scalp: _Scalp) -> Array:
    cap = scalp.grow(0.06 + 0.03 * scalp.height + 0.03 * scalp.tufts)
    offset = scalp.local - vector(0.0, 0.98, -0.38)
    turns = np.sin(np.arctan2(offset[0], offset[2]) * 5 + offset[1] * 14)
    return smooth_union(cap, sphere(offset, 0.30) - 0.025 * turns, 0.05)


def _falling(scalp: _Scalp, front_end: tuple[float, float, float], end: float) -> Array:
    """Cap, a lock on each side of the face, and hair behind the neck, cut at a height."""
    p, local = scalp.p, scalp.local
    furrow = 1 - 0.5 * scalp.parting(p.parting * 0.6, 0.045)
    cap = scalp.grow((0.06 + p.crown_thickness * 0.6 * scalp.height) * furrow)
    waves = 0.06 * p.waviness * np.sin(local[1] * 7 + p.pattern_offset)
    folded = vector(np.abs(local[0]) + waves, local[1], local[2])
    temple = vector(0.70, 0.20, 0.16)
    lock = capsule(folded, vector(0.30, 0.80, 0.30), temple, 0.10, 0.15)
    lock = smooth_union(lock, capsule(folded, temple, vector(*front_end), 0.15, 0.17), 0.15)
    behind = ellipsoid(folded - p.back_hair_center, p.back_hair_radii)
    behind = smooth_intersection(behind, local[2] - 0.12, 0.10)
    fall = smooth_union(lock, behind, 0.15)
    fall = smooth_intersection(fall, end - local[1] - 0.12 * scalp.tufts, 0.06)
    return smooth_union(cap, fall - 0.05 * scalp.tufts, 0.12)


def _bob(scalp: _Scalp) -> Array:
    return _falling(scalp, front_end=(0.72, -0.50, 0.12), end=-0.72)


def _long(scalp: _Scalp) -> Array:
    return _falling(scalp, front_end=(0.74, -0.75, 0.10), end=-1.42)


_STYLES: dict[str, Callable[[_Scalp], Array]] = {
    "cropped": _cropped,
    "balding": _balding,
    "short": _short,
    "parted": _parted,
    "curly": _curly,
    "afro": _afro,
    "bun": _pinned_up,
    "bob": _bob,
    "long": _long,
}
#: All hair styles.
HAIR_STYLES = (*_STYLES, "bald")


def hair_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Hair of the scene's style; under a hat only what hangs out."""
    local = head_space(point, p)
    hair = _STYLES[p.hair](_Scalp(local, p))
    if p.hat == "yes":
        hair = smooth_intersection(hair, local[1] - 0.44, 0.05)
    if detail and p.hair == "afro":
        hair = hair - 0.05 * (noise(local * 12 + p.pattern_offset) - 0.5)
    elif detail and p.hair not in ("cropped", "curly"):
        hair = hair - 0.018 * (noise(_strands(local, p, 16.0)) - 0.5)
    return hair


def hair_obstacle(point: Array, p: Parameters) -> Array:
    """Hair without strands, a little thinner."""
    local = head_space(point, p)
    hair = _STYLES[p.hair](_Scalp(local, p, combed=False)) + 0.02
    return smooth_intersection(hair, local[1] - 0.44, 0.05) if p.hat == "yes" else hair


def paint_hair(point: Array, normal: Array, p: Parameters) -> Material:
    """Strands of different brightness."""
    local = head_space(point, p)
    if p.hair in _CURLS:
        fine, coarse = noise(local * 18 + p.pattern_offset), noise(local * 6 + p.pattern_offset)
    else:
        fine, coarse = noise(_strands(local, p, 22.0)), noise(_strands(local, p, 6.0) + 9)
    color = p.hair_color * (0.55 + 0.55 * fine + 0.45 * coarse)
    return Material(color, HAIR, specular=0.05 if p.hair in _CURLS else 0.14, gloss=18.0)


# --- hat ------------------------------------------------------------------------------------------


def hat_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Knitted hat: a dome and a folded rim, with ribs."""
    local = head_space(point, p)
    dome = ellipsoid(local - vector(0.0, 0.30, -0.08), p.hat_radii)
    dome = smooth_intersection(dome, 0.36 - local[1] - 0.125 * local[2], 0.05)
    tilted = rotate(local - vector(0.0, 0.42, -0.06), X, 0.14)
    from_rim = (radius(tilted[0] / p.hat_rim[0], tilted[2] / p.hat_rim[1]) - 1.0) * 0.7
    fold = radius(from_rim, np.maximum(np.abs(tilted[1]) - 0.10, 0)) - 0.08
    hat = np.minimum(dome, fold)
    if detail:
        hat = hat + 0.012 * np.sin(np.arctan2(local[0], local[2]) * 30)
    return hat


def paint_hat(point: Array, normal: Array, p: Parameters) -> Material:
    """Ribbed wool."""
    local = head_space(point, p)
    ribs = 0.75 + 0.25 * np.sin(np.arctan2(local[0], local[2]) * 30)
    return Material(p.hat_color * (ribs * (0.9 + 0.2 * noise(local * 30))), CLOTHES, specular=0.02)


def hair_solids(values: Mapping[str, Any]) -> list[Solid]:
    """Hair and hat, as far as this person has them."""
    solids = []
    if values["hair"] != "bald":
        _, half_axes = _BOUNDS.get(values["hair"], _CAP_BOUND)
        axes = vector(*half_axes)
        solids.append(
            Solid(
                "hair",
                hair_distance,
                paint_hair,
                lambda p: Bound(p.hair_center, axes, p.head_rotation),
                trust=0.75,
                obstacle=hair_obstacle,
            )
        )
    if values["hat"] == "yes":
        axes_of_hat = vector(*_HAT_BOUND[1])
        solids.append(
            Solid(
                "hat",
                hat_distance,
                paint_hat,
                lambda p: Bound(p.hat_center, axes_of_hat, p.head_rotation),
            )
        )
    return solids
