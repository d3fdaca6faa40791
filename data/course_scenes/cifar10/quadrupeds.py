"""Cat, dog, deer, horse: one anatomy with different measures.

An animal is a skeleton of joints dressed in capsules (sticks with round ends): torso, neck, four
legs of two or three bones each, a tail of three. `joints` computes where they are from an animal's
measures and pose; `body` and `head` are the signed distances around them; `paint` gives it a coat.

Body frame: x forward, y up from the ground, z to one side. Lengths are such that a horse's torso is
about 1.2 long.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawing import Generator, hsv, rotation_matrix, uniform
from ..families import Model
from ..geometry import (
    Z,
    capsule,
    choose,
    clip,
    length,
    linear_color,
    mirror,
    mix,
    radius,
    smooth_union,
    smoothstep,
    to_local,
    union,
    vector,
)
from ..marching import Solid
from ..noise import fractal_noise, noise
from ..parameters import Array, Parameters, Values
from ..shading import Material
from . import parts
from .places import draw_place
from .species import (
    COATS,
    EAR_KINDS,
    EARS,
    EYE_COLORS,
    FIXED,
    RANGES,
    SITS,
    WITH_ANTLERS,
)
from .standing import ball, in_ball, local_point, near, stand

# --- the skeleton -----------------------------------------------------------------------------


def joints(values: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Where the joints are, in the body frame, from measures and pose."""
    points = _trunk(values)
    points |= _fore_leg(values, points)
    points |= _sitting_leg(values, points) if values["sitting"] else _hind_leg(values, points)
    return points | _tail(values, points)


def _direction(angle: float) -> NDArray[np.float64]:
    """Return the unit vector in the plane of symmetry, `angle` above the forward direction."""
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def _trunk(values: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    half, sitting = values["half_length"], values["sitting"]
    if sitting:
        hips = np.array([-0.55 * half, 0.95 * values["rump"], 0.0])
        shoulders = hips + 1.84 * half * _direction(values["pitch_of_back"])
    else:
        hips = np.array([-half, values["leg"], 0.0])
        shoulders = hips + 2 * half * _direction(values["pitch_of_back"])
    raised = values["neck_angle"] + 0.25 * sitting
    withers = np.array([0.0, 0.35 * values["chest"], 0.0])
    return {
        "hips": hips,
        "shoulders": shoulders,
        "head_center": shoulders + withers + values["neck"] * _direction(raised),
        "belly": (hips + shoulders) / 2 - [0.0, values["belly_drop"], 0.0],
        "neck_root": shoulders + np.array([0.1, 0.25, 0.0]) * values["chest"],
    }


def _fore_leg(
    values: Mapping[str, Any], points: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    shoulders, chest = points["shoulders"], values["chest"]
    top = shoulders + np.array([-0.02, -0.35 * chest, 0.52 * chest])
    ahead = 0.06 if values["sitting"] else 0.0
    paw = np.array([shoulders[0] + 0.02 + ahead, 0.8 * values["thickness"], 0.5 * chest])
    elbow = (top + paw) / 2 - [0.05 * values["leg"], 0.0, 0.0]
    return {"fore_top": top, "elbow": elbow, "fore_paw": paw}


def _hind_leg(
    values: Mapping[str, Any], points: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    hips, leg, bend = points["hips"], values["leg"], values["hind_bend"]
    side, ground = 0.58 * values["rump"], 0.8 * values["thickness"]
    return {
        "hind_top": hips + np.array([0.0, -0.05, 0.85 * side]),
        "knee": np.array([hips[0] + 0.14 * leg * bend, 0.56 * leg, side]),
        "hock": np.array([hips[0] - 0.17 * leg * bend, 0.30 * leg, side]),
        "hind_paw": np.array([hips[0] - 0.08 * leg * bend, ground, side]),
    }


def _sitting_leg(
    values: Mapping[str, Any], points: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    hips, leg = points["hips"], values["leg"]
    side, ground = 0.58 * values["rump"], 0.8 * values["thickness"]
    return {
        "hind_top": hips + np.array([0.06, 0.02, 0.8 * side]),
        "knee": hips + np.array([0.42 * leg, 0.10, 1.25 * side]),
        "hock": np.array([hips[0] + 0.10 * leg, 1.2 * ground, 1.25 * side]),
        "hind_paw": np.array([hips[0] + 0.62 * leg, ground, 1.3 * side]),
    }


def _tail(
    values: Mapping[str, Any], points: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    back, rump = values["pitch_of_back"], values["rump"]
    joint = points["hips"] - 0.75 * rump * _direction(back)
    joint = joint + 0.45 * rump * _direction(back + np.pi / 2)
    chain = {"tail0": joint}
    angle = values["tail_angle"]
    for number in (1, 2, 3):
        backwards = np.array([-np.cos(angle), np.sin(angle), 0.0])
        joint = joint + backwards * values["tail"] / 3
        joint[1] = max(joint[1], 1.1 * values["tail_radius"])  # it may lie on the ground, not in it
        chain[f"tail{number}"] = joint
        angle = angle + values["tail_curl"]
    return chain


# --- shapes -----------------------------------------------------------------------------------


def trunk_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to torso, belly and neck."""
    own = local_point(point, p)
    torso = smooth_union(
        capsule(own, p.hips, p.shoulders, p.rump, p.chest),
        length(own - p.belly) - p.belly_radius,
        0.2,
    )
    neck = capsule(own, p.neck_root, p.nape, p.neck_radius[0], p.neck_radius[1])
    return smooth_union(torso, neck, 0.12) * p.scale


def _stepping(point: Array, p: Parameters, direction: float) -> Array:
    """Fold both sides into one, and swing the legs of either side against each other."""
    own = local_point(point, p)
    down = np.maximum(1 - own[1] / p.leg, 0.0)  # 0 at the shoulder, 1 on the ground
    swing = p.stride * np.sign(own[2]) * down * direction
    return np.stack([own[0] - swing, own[1], np.abs(own[2])])


def fore_legs_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to the fore legs: upper arm, forearm, paw."""
    own, thick = _stepping(point, p, 1.0), p.thickness
    bones = union(
        capsule(own, p.fore_top, p.elbow, thick * 1.55, thick * 1.05),
        capsule(own, p.elbow, p.fore_paw, thick * 1.05, thick * 0.8),
        capsule(own, p.fore_paw, p.fore_toe, thick * 0.95, thick * 0.8),
    )
    return bones * p.scale


def hind_legs_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to the hind legs: thigh, shank, metatarsus, paw."""
    own, thick = _stepping(point, p, -1.0), p.thickness
    bones = union(
        capsule(own, p.hind_top, p.knee, p.rump * 0.62, thick * 1.35),
        capsule(own, p.knee, p.hock, thick * 1.3, thick * 0.85),
        capsule(own, p.hock, p.hind_paw, thick * 0.85, thick * 0.8),
        capsule(own, p.hind_paw, p.hind_toe, thick * 0.95, thick * 0.8),
    )
    return bones * p.scale


def tail_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to the tail: three bones."""
    own, root, middle = local_point(point, p), p.tail_radius, p.tail_radius * p.tail_bush
    bones = union(
        capsule(own, p.tail0, p.tail1, root, root),
        capsule(own, p.tail1, p.tail2, root, middle),
        capsule(own, p.tail2, p.tail3, middle, root * p.tail_tip),
    )
    return bones * p.scale


def head_point(point: Array, p: Parameters) -> Array:
    """World coordinates to those of the head: origin in the skull, x through the nose."""
    return to_local(local_point(point, p), p.head_rotation, p.head_center)


def head_parts(point: Array, p: Parameters) -> tuple[Array, Array]:
    """Distances to skull with muzzle, and ears, at points of the head frame."""
    size, folded = p.head, mirror(point, Z)
    muzzle = capsule(
        point,
        vector(size * 0.35, size * -0.22, 0.0),
        vector(size * 0.78 + p.snout, size * -0.30 - p.snout * p.droop, 0.0),
        size * p.muzzle[0],
        size * p.muzzle[1],
    )
    cheek_at = vector(size * 0.55, size * -0.28, size * 0.26)
    cheeks = length(folded - cheek_at) - size * p.cheek
    skull = length(point * vector(1.0, 1.03, 1.06)) - size
    face = smooth_union(smooth_union(skull, muzzle, 0.07), cheeks, 0.05)
    # flat ears: a capsule in a space that is stretched across them
    stretched = (folded - p.ear_root * size) / p.ear_flat
    tip = (p.ear_tip - p.ear_root) / p.ear_flat * size
    ears = capsule(stretched, tip * 0, tip, size * p.ear_radius[0], size * p.ear_radius[1]) * 0.5
    return face, ears


def head_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to skull, muzzle and ears."""
    return union(*head_parts(head_point(point, p), p)) * p.scale


def antlers_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to antlers: one beam of three bones with three tines, mirrored."""
    folded = mirror(head_point(point, p), Z) / p.head
    root, first = vector(0.0, 0.8, 0.35), vector(-0.55, 1.7, 0.95)
    second, end = vector(-0.35, 2.7, 1.55), vector(0.35, 3.3, 1.45)
    branches = union(
        capsule(folded, root, first, 0.17, 0.14),
        capsule(folded, first, second, 0.14, 0.12),
        capsule(folded, second, end, 0.12, 0.07),
        capsule(folded, vector(-0.15, 1.1, 0.55), vector(0.65, 1.75, 0.75), 0.11, 0.06),
        capsule(folded, first, vector(0.35, 2.45, 1.2), 0.12, 0.06),
        capsule(folded, second, vector(-0.9, 3.4, 1.75), 0.11, 0.06),
    )
    return branches * (p.head * p.scale)


def mane_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Signed distance to a horse's mane: a crest along the neck, and a forelock."""
    own = local_point(point, p)
    thin = vector(1.0, 1.0, 0.5)
    crest = capsule(own / thin, p.crest_low, p.crest_high, 0.10, 0.09)
    forelock = capsule(
        head_point(point, p) / thin,
        vector(p.head * -0.3, p.head * 0.9, 0.0),
        vector(p.head * 0.5, p.head * 0.75, 0.0),
        p.head * 0.35,
        p.head * 0.2,
    )
    return union(crest, forelock) * (0.6 * p.scale)


# --- coats ------------------------------------------------------------------------------------


@dataclass
class Skin:
    """A point of an animal's surface in the coordinates that its colours are made from.

    Attributes
    ----------
    own, head : Array
        (3, R) position in the body frame; in the mirrored head frame, in radii of the skull.
    normal, head_normal : Array
        (3, R) in the same frames.
    part : Array
        (R,) part id.
    mottle : Array
        (R,) slow noise.
    """

    own: Array
    head: Array
    normal: Array
    head_normal: Array
    part: Array
    mottle: Array

    def on(self, *ids: int) -> Array:
        """Whether points belong to one of these parts, (R,)."""
        return functools.reduce(np.logical_or, [self.part == number for number in ids])


def _skin(point: Array, normal: Array, p: Parameters, part: Array) -> Skin:
    own = local_point(point, p)
    own_normal = to_local(normal, p.rotation)
    return Skin(
        own,
        mirror(to_local(own, p.head_rotation, p.head_center), Z) / p.head,
        own_normal,
        to_local(own_normal, p.head_rotation),
        part,
        fractal_noise(own * 3 + p.offset),
    )


def _share_of_second_color(skin: Skin, p: Parameters) -> Array:
    """How much of the coat's second colour shows, (R,), by the animal's pattern."""
    on_trunk, on_head, on_legs = skin.part == parts.BODY, skin.on(parts.HEAD), skin.on(parts.LEGS)
    on_ears, on_tail = skin.on(parts.EARS), skin.on(parts.TAIL)
    x, y, _ = skin.own
    upwards, nothing = skin.normal[1], np.zeros_like(skin.mottle)

    wave = np.sin(x / p.half_length * 17 + noise(skin.own * 4 + p.offset) * 3.5 + y * 3)
    stripes = smoothstep(0.35, 0.75, wave) * smoothstep(-0.6, 0.1, upwards)
    rings = smoothstep(0.2, 0.6, np.sin((y - x * 0.4) * 42))
    brow = smoothstep(0.3, 0.7, np.sin(skin.head[2] * 11)) * (skin.head[1] > 0.35)
    tabby = 0.8 * np.where(on_head, brow, np.where(on_legs | on_tail, rings, stripes))

    patches = smoothstep(0.50, 0.56, noise(skin.own * p.patch_size + p.offset))

    back = upwards * 0.55 + (y - p.hips[1]) * 2.2 - 0.05 + (skin.mottle - 0.5) * 0.5
    crown = smoothstep(0.35, 0.6, skin.head[1] - skin.head[0] * 0.55 + 0.3)
    saddle = np.where(on_head, crown, smoothstep(-0.15, 0.15, back))
    saddle = np.where(on_legs, nothing, np.where(on_tail | on_ears, nothing + 1, saddle))

    blaze = (skin.head[0] > 0.62) & (skin.head[1] < 0.05 + 0.5 * (skin.head[2] < 0.16))
    bib = smoothstep(0.3, 0.7, skin.normal[0]) * (x > 0.5 * p.half_length)
    belly = smoothstep(0.0, -0.5, upwards)
    white = clip(belly + bib, 0.0, 1.0) * on_trunk + (on_head & blaze) + (on_legs & (y < p.sock))
    white = white + (on_tail & (skin.mottle > 0.58))

    spots = smoothstep(0.66, 0.72, noise(skin.own * 11 + p.offset))
    spots = spots * on_trunk * smoothstep(-0.2, 0.3, upwards)

    points = smoothstep(0.3, 0.8, skin.head[0]) * on_head + smoothstep(0.20, 0.08, y) * on_legs
    points = points + (on_ears | on_tail)

    patterns = (nothing, tabby, patches, saddle, white, spots, points)
    share = nothing
    for number, pattern in enumerate(patterns):
        share = np.where(p.pattern == number, pattern, share)
    return np.float32(1) * share


def _coat(skin: Skin, p: Parameters) -> Array:
    """Linear colour (3, R) of the fur, without the face."""
    color = mix(p.color, p.color2, _share_of_second_color(skin, p))
    below = smoothstep(0.1, -0.8, skin.normal[1]) * (skin.on(parts.BODY, parts.HEAD) * 0.55)
    color = mix(color, p.color * 0.5 + 0.4, below * p.pale_belly)
    hair = fractal_noise(skin.own * vector(9.0, 22.0, 22.0) + p.offset)
    fibres = 0.72 + 0.45 * hair
    color = np.where(skin.on(parts.MANE), p.mane_color, color)
    color = np.where(skin.on(parts.ANTLERS), linear_color((0.72, 0.60, 0.44)), color)
    return color * (fibres * (0.88 + 0.24 * skin.mottle))


def _face(skin: Skin, p: Parameters, color: Array) -> tuple[Array, Array, Array]:
    """Add ears, muzzle, nose and eyes; returns colour, where the eyes are, where a light glints."""
    on_head = skin.part == parts.HEAD
    forwards = skin.head * p.head  # lengths again
    ear = skin.on(parts.EARS) & (skin.head_normal[0] > 0.35) & (p.ear_pink > 0)
    color = np.where(ear, mix(color, linear_color((0.85, 0.55, 0.5)), 0.6), color)
    end = p.head * 0.95 + p.snout * 0.8
    muzzle = vector(end, p.head * -0.40 - p.snout * p.droop, p.head * 0.15)
    on_muzzle = on_head & (length(forwards - muzzle) < p.head * 0.42)
    light = mix(color, linear_color((0.95, 0.92, 0.88)), p.muzzle_white)
    color = np.where(on_muzzle & (p.muzzle_white > 0), light, color)

    from_eye = skin.head - p.eye_at
    off = length(from_eye)
    eye, lid = on_head & (off < p.eye_radius), on_head & (off < p.eye_radius * 1.3)
    in_pupil = radius(from_eye[2] / p.pupil, from_eye[1]) < p.eye_radius * 0.8
    iris = p.eye_color * (0.6 + 0.8 * (from_eye[1] < 0))
    color = np.where(lid, color * 0.25, color)
    color = np.where(eye, np.where(in_pupil, np.full_like(color, 0.008), iris), color)
    glint = eye & (length(from_eye - vector(0.05, 0.09, -0.03)) < p.eye_radius * 0.38)

    tip = p.head * p.muzzle[1]
    nose = vector(
        p.head * 0.82 + p.snout + tip * 0.8,
        p.head * -0.30 - p.snout * p.droop + tip * 0.55,
        0.0,
    )
    on_nose = on_head & (length((forwards - nose) / vector(1.0, 0.8, 1.15)) < p.head * p.nose)
    return np.where(on_nose, p.nose_color, color), eye | on_nose, glint


def paint_as(part: int) -> Callable[[Array, Array, Parameters], Material]:
    """Return what paints the coat of one part: trunk, legs, tail, mane or antlers."""

    def paint(point: Array, normal: Array, p: Parameters) -> Material:
        skin = _skin(point, normal, p, np.full(point.shape[1], part))
        color = _coat(skin, p)
        if part == parts.LEGS:
            color = choose(skin.own[1] < p.hoof, linear_color((0.16, 0.13, 0.11)), color)
        return Material(color, part, 0.05, 30.0)

    return paint


def paint_head(point: Array, normal: Array, p: Parameters) -> Material:
    """Coat and face of the head."""
    face, ears = head_parts(head_point(point, p), p)
    skin = _skin(point, normal, p, np.where(ears < face, parts.EARS, parts.HEAD))
    color, shiny, glint = _face(skin, p, _coat(skin, p))
    eyes = shiny & (length(skin.head - p.eye_at) < p.eye_radius)
    part = np.where(eyes, parts.EYES, skin.part)
    return Material(color, part, choose(shiny, 0.7, 0.05), 30.0, glow=glint * np.float32(0.8))


# --- the model --------------------------------------------------------------------------------


def _balls(ready: Mapping[str, Any]) -> dict[str, tuple[NDArray[np.float64], float]]:
    """Center and radius, in the body frame, of balls around each solid."""
    skull, thick, stride = ready["head"], ready["thickness"], abs(ready["stride"])
    turn = np.reshape(ready["head_rotation"], (3, 3))
    girth = max(ready["chest"], ready["rump"], ready["belly_radius"] + abs(ready["belly_drop"]))
    trunk = [ready[name] for name in ("hips", "shoulders", "nape", "neck_root")]
    fore = _both_sides(ready[name] for name in ("fore_top", "elbow", "fore_paw", "fore_toe"))
    hind = _both_sides(ready[name] for name in ("hind_top", "knee", "hock", "hind_toe"))
    crest = (ready["crest_low"], ready["crest_high"], ready["head_center"])
    tail = [ready[f"tail{number}"] for number in range(4)]
    return {
        "trunk": _around(trunk, girth + 0.04),
        "head": (ready["head_center"], skull * 2.0 + max(ready["snout"], 0.0)),
        "fore legs": _around(fore, 1.6 * thick + stride),
        "hind legs": _around(hind, max(0.62 * ready["rump"], 1.4 * thick) + stride),
        "tail": _around(tail, ready["tail_radius"] * max(1.0, ready["tail_bush"])),
        "antlers": (ready["head_center"] + turn @ [-0.2 * skull, 2.0 * skull, 0.0], 2.7 * skull),
        "mane": _around(crest, max(0.12, 1.5 * skull)),
    }


def _both_sides(points: Iterable[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return [point * side for point in points for side in ([1.0, 1.0, 1.0], [1.0, 1.0, -1.0])]


def _around(
    points: Sequence[NDArray[np.float64]], margin: float
) -> tuple[NDArray[np.float64], float]:
    """Return a ball around points, and some more."""
    middle = (np.max(points, 0) + np.min(points, 0)) / 2
    return middle, float(np.linalg.norm(np.array(points) - middle, axis=1).max()) + margin


class Quadruped(Model):
    """One of the four species.

    Parameters
    ----------
    species : {"cat", "dog", "deer", "horse"}
    """

    def __init__(self, species: str) -> None:
        self.species = species

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, then measures, pose and coat."""
        species = self.species
        values = draw_place(stage, species, **options)
        values |= {name: uniform(shape, *span) for name, span in RANGES[species].items()}
        sitting = float(shape.random() < SITS[species])
        pitch = uniform(shape, 0.75, 1.0) if sitting else uniform(shape, -0.03, 0.05)
        away = np.radians(uniform(shape, 8, 125))  # mostly from the side or the front
        values |= {
            "kind": species,
            "turned": float(np.sign(shape.uniform(-1, 1)) * away - np.pi / 2),
            "sitting": sitting,
            "pitch_of_back": pitch,
            "stride": 0.0 if sitting else 0.2 * values["leg"] * uniform(shape, -1, 1),
            "head_turn": float(shape.normal(0, 0.45)),
            "head_nod": float(shape.normal(FIXED[species]["nod"], 0.1)),
            "ears": str(shape.choice(EAR_KINDS[species])),
            "antlers": "yes" if species == "deer" and shape.random() < WITH_ANTLERS else "no",
        }
        return values | self._draw_coat(shape)

    def _draw_coat(self, shape: Generator) -> Values:
        first, second, pattern = COATS[self.species][shape.integers(len(COATS[self.species]))]
        eyes = EYE_COLORS[self.species]
        color = near(shape, first)
        manes = ([0.3 * channel for channel in color], hsv(0.1, 0.2, 0.85), hsv(0, 0, 0.08))
        return {
            "color": color,
            "color2": near(shape, second),
            "pattern": pattern,
            "patch_size": uniform(shape, 2.0, 3.5),
            "sock": uniform(shape, 0.05, 0.2),
            "offset": uniform(shape, 0, 31),
            "eye_color": hsv(*eyes[shape.integers(len(eyes))]),
            "mane_color": manes[shape.integers(3)],
        }

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute joints, frames and bounds."""
        measures = FIXED[self.species] | EARS[values["ears"]]
        points = joints(measures | values)
        toe = np.array([measures["toe"] * values["thickness"], 0.0, 0.0])
        points |= {"fore_toe": points["fore_paw"] + toe, "hind_toe": points["hind_paw"] + toe}
        head_rotation = rotation_matrix(values["head_turn"], 0, values["head_nod"])
        skull, chest = values["head"], values["chest"]
        along_neck = points["head_center"] - points["neck_root"]
        along_neck = along_neck / np.linalg.norm(along_neck)
        off_neck = np.array([-along_neck[1], along_neck[0], 0.0])
        crest_low = points["neck_root"] + 0.95 * measures["neck_radius"][0] * off_neck
        crest_high = points["head_center"] + 0.85 * skull * off_neck - 0.3 * skull * along_neck
        height = points["head_center"][1] + 1.5 * skull
        reach = values["half_length"] + chest + 0.1
        ready: dict[str, Any] = measures | points
        ready |= {
            "head_rotation": head_rotation.ravel(),
            "nape": points["head_center"] - [0.25 * skull, 0.1 * skull, 0.0],
            "belly_radius": values["belly_fullness"] * (values["rump"] + chest) / 2,
            "crest_low": crest_low,
            "crest_high": crest_high,
        }
        ready |= stand(values["turned"], reach, height)
        for name, (middle, size) in _balls(values | ready).items():
            ready |= ball(name, ready, middle, size)
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return body and head, and what else the animal has."""
        found = [
            Solid("head", head_distance, paint_head, in_ball("head")),
            Solid("trunk", trunk_distance, paint_as(parts.BODY), in_ball("trunk")),
            Solid("fore legs", fore_legs_distance, paint_as(parts.LEGS), in_ball("fore legs")),
            Solid("hind legs", hind_legs_distance, paint_as(parts.LEGS), in_ball("hind legs")),
            Solid("tail", tail_distance, paint_as(parts.TAIL), in_ball("tail"), trust=0.9),
        ]
        if values["antlers"] == "yes":
            paint = paint_as(parts.ANTLERS)
            found.append(Solid("antlers", antlers_distance, paint, in_ball("antlers")))
        if self.species == "horse":
            found.append(Solid("mane", mane_distance, paint_as(parts.MANE), in_ball("mane")))
        return found
