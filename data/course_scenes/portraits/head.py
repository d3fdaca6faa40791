"""The head: skull, face, eyes, brows, beard and glasses.

The head's own coordinates have their origin between the ears, y up, z towards where the face looks;
the head is about two units high (a unit is some 12 cm). Faces are symmetrical: most features are
made once and mirrored. A feature that no other shape must blend with is a solid of its own: it can
be taken away, and rays that pass far from it never compute it.
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
    choose,
    ellipsoid,
    length,
    linear_color,
    mirror,
    mix,
    radius,
    smooth_intersection,
    smooth_union,
    smoothstep,
    sphere,
    to_local,
    union,
    vector,
)
from ..marching import Bound, Solid
from ..noise import fractal_noise, noise
from ..parameters import Parameters
from ..shading import Material
from .parts import CLOTHES, EYES, HAIR, MOUTH, SKIN

# --- where things are, in the head's coordinates ------------------------------------------------

_CRANIUM = vector(0.0, 0.14, -0.08)
_JAW = vector(0.0, -0.36, 0.14)
_CHEEK = vector(0.30, -0.25, 0.45)
_CHIN = vector(0.0, -0.80, 0.42)
_EYE = vector(0.285, 0.05, 0.555)
_EYE_SOCKET = vector(0.285, 0.05, 0.90)
_MOUTH_HEIGHT = -0.455
_BROW = ((0.12, 0.265, 0.735), (0.28, 0.31, 0.70), (0.43, 0.25, 0.58))  # inner end to outer
#: Where a stick between the lips begins; x is to be multiplied by the side.
LIPS = (0.07, -0.46, 0.70)

_WHITE_OF_THE_EYE = linear_color((0.89, 0.87, 0.85))


def derive_head(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers about the head that are the same for all rays of a picture."""
    turn = rotation_matrix(values["head_turn"], values["head_nod"], values["head_tilt"])
    width, nose, nose_drop = values["head_width"], values["nose_size"], values["nose_length"]
    lift, tilt = values["brow_lift"], values["brow_tilt"]
    thickness = values["brow_thickness"]
    inner, middle, outer = ([*point] for point in _BROW)
    inner[1] += lift + tilt
    middle[1] += lift
    outer[1] += lift - tilt
    return {
        "head_rotation": turn.reshape(-1),
        "face_center": turn @ [0.0, 0.02, 0.02],
        "eyes_center": turn @ [0.0, 0.05, 0.56],
        "brows_center": turn @ [0.0, 0.27 + lift, 0.64],
        "glasses_center": turn @ [0.0, 0.03, 0.40],
        "beard_center": turn @ [0.0, -0.50, 0.22],
        "cranium_radii": [width, values["head_height"], width * 1.16],
        "jaw_radii": [values["jaw_width"], 0.54, 0.53],
        "ear": [width, -0.07, -0.02],
        "nose_bridge": [0.0, -nose_drop + 0.04, 0.79],
        "nose_bridge_radius": nose * 0.8,
        "nose_tip": [0.0, -nose_drop, 0.80],
        "nose_wing": [nose * 0.85, -nose_drop - 0.025, 0.73],
        "nose_wing_radius": nose * 0.62,
        "smile_curve": values["smile"] / 0.04,
        "eyelid_radius": values["eye_size"] * 1.13,
        "lower_lid": -values["eye_opening"] * 0.85 - values["smile"] * 1.2,
        "brow_inner": inner,
        "brow_middle": middle,
        "brow_outer": outer,
        "brow_end": thickness * 0.5,
        "wrinkles": min(max((values["age"] - 45) / 30, 0.0), 1.0),
    }


def head_space(point: Array, p: Parameters) -> Array:
    """World coordinates (3, R) to the head's own."""
    return to_local(point, p.head_rotation)


def skull(point: Array, p: Parameters) -> Array:
    """Cranium and jaw without features: what hair and beard grow on."""
    cranium = ellipsoid(point - _CRANIUM, p.cranium_radii)
    jaw = ellipsoid(point - _JAW, p.jaw_radii)
    return smooth_union(cranium, jaw, 0.35)


# --- face -----------------------------------------------------------------------------------------


def face_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Skin of the head: skull, cheeks, chin, eye sockets and lids, nose, ears, lips."""
    local = head_space(point, p)
    folded = mirror(local, X)
    face = smooth_union(skull(local, p), sphere(folded - _CHEEK, 0.20), 0.22)
    face = smooth_union(face, sphere(local - _CHIN, p.chin_size), 0.22)
    face = smooth_intersection(face, 0.20 - length(folded - _EYE_SOCKET), 0.14)
    face = _add_nose(face, local, folded, p)
    face = smooth_union(face, _ear(folded, p), 0.05)
    face = smooth_union(face, _lips(local, folded, p), 0.045)
    return smooth_union(face, _eyelids(folded, p), 0.03)


def face_obstacle(point: Array, p: Parameters) -> Array:
    """Face without lids, lips and ears, whose shadows are too small to see."""
    local = head_space(point, p)
    folded = mirror(local, X)
    face = smooth_union(skull(local, p), sphere(folded - _CHEEK, 0.20), 0.22)
    face = smooth_intersection(face, 0.20 - length(folded - _EYE_SOCKET), 0.14)
    # a smaller nose: its shadow on the lip would look like a moustache
    return smooth_union(face, sphere(local - p.nose_tip, p.nose_size) + 0.02, 0.05)


def _add_nose(face: Array, local: Array, folded: Array, p: Parameters) -> Array:
    root = vector(0.0, 0.10, 0.66)
    face = smooth_union(face, capsule(local, root, p.nose_bridge, 0.055, p.nose_bridge_radius), 0.1)
    face = smooth_union(face, sphere(local - p.nose_tip, p.nose_size), 0.07)
    return smooth_union(face, sphere(folded - p.nose_wing, p.nose_wing_radius), 0.05)


def _ear(folded: Array, p: Parameters) -> Array:
    offset = folded - p.ear
    hollow = 0.09 - length(offset - vector(0.09, 0.02, 0.05))
    return smooth_intersection(ellipsoid(offset, vector(0.09, 0.19, 0.13)), hollow, 0.05)


def mouth_line(across: Array, p: Parameters) -> Array:
    """Height of the line between the lips: a smile lifts the corners."""
    return _MOUTH_HEIGHT + p.smile_curve * (across * across)


def _lips(local: Array, folded: Array, p: Parameters) -> Array:
    """Two soft ridges that thin out towards the corners."""
    share = folded[0] / p.mouth_width
    square = share * share
    fullness = (1 - 0.55 * np.minimum(square, 1)) * p.lip_fullness
    above = local[1] - mouth_line(folded[0], p)
    depth = local[2] - 0.655
    common = square * square * 0.18 + depth * depth * 0.7
    upper, lower = above - 0.032 * fullness, above + 0.045 * fullness
    upper = np.sqrt(common + upper * upper) - 0.048 * fullness
    lower = np.sqrt(common + lower * lower) - 0.056 * fullness
    return np.minimum(upper, lower)


def lid_height(offset: Array, p: Parameters) -> Array:
    """Edge of the upper lid above the middle of the eye, in eye radii; it falls to the sides."""
    sideways = offset[0] / p.eye_size
    return p.eye_opening - 0.18 * (sideways * sideways)


def _eyelids(folded: Array, p: Parameters) -> Array:
    """Wrap a shell around the eye, open between the lids."""
    offset = folded - _EYE
    height = offset[1] / p.eye_size
    open_gap = np.maximum(height - lid_height(offset, p), p.lower_lid - height)
    return np.maximum(length(offset) - p.eyelid_radius, -open_gap * (p.eye_size * 0.8))


def paint_face(point: Array, normal: Array, p: Parameters) -> Material:
    """Skin with everything that is drawn on it, lips, and the lashes along the lid."""
    local = head_space(point, p)
    folded = mirror(local, X)
    in_front = local[2] > 0.3
    skin = p.skin * (0.94 + 0.12 * fractal_noise(local * 5 + p.pattern_offset))
    skin = skin * (1 - _redness(local, folded, p) * vector(0.0, 0.26, 0.24))
    skin = skin * (1 - _lines_of_age(local, folded, p) * in_front)
    skin = skin * (1 - _freckles(local, folded, p) * vector(0.2, 0.36, 0.4))
    skin = mix(skin, p.brow_color, _stubble(local, folded, p))
    skin = mix(skin, p.brow_color, _shaved_scalp(local, p))
    lips, seam = _lips_on_skin(local, folded, p)
    lips, seam = lips & in_front, seam * in_front
    chapped = 0.92 + 0.16 * noise(local * vector(40.0, 8.0, 8.0))
    color = choose(lips, p.lip_color * chapped, skin) * (1 - 0.72 * seam)
    color = color * (1 - 0.86 * _lashes(folded, p))
    part = choose(lips, MOUTH, SKIN)
    return Material(
        color,
        part,
        specular=choose(lips, 0.26, 0.09),
        gloss=12.0,
        translucency=choose(lips, 0.0, 0.8),
    )


def _redness(local: Array, folded: Array, p: Parameters) -> Array:
    """Where blood shines through: cheeks, tip of the nose, ears."""
    cheeks = smoothstep(0.34, 0.08, length(folded - vector(0.36, -0.22, 0.58)))
    nose = smoothstep(0.20, 0.04, length(local - p.nose_tip))
    ears = smoothstep(0.22, 0.05, length(folded - p.ear))
    return np.minimum(0.45 * cheeks + 0.35 * nose + 0.3 * ears, 1)


def _lines_of_age(local: Array, folded: Array, p: Parameters) -> Array:
    """Rings under the eyes and folds beside the mouth, deeper with age; lines on the forehead."""
    height = local[1]
    from_eye = radius(folded[0] - 0.285, height - 0.05)
    ring = smoothstep(0.05, 0.01, np.abs(from_eye - 0.20)) * (height < 0)
    fold_at = 0.17 + np.maximum(-0.2 - height, 0) * 0.55
    fold = np.exp(-(((folded[0] - fold_at) / 0.018) ** 2))
    fold = fold * smoothstep(-0.2, -0.27, height) * smoothstep(-0.56, -0.46, height)
    wave = np.sin((height + 0.03 * np.cos(local[0] * 6)) * 38)
    forehead = np.exp(-(((wave - 1) / 0.22) ** 2)) * smoothstep(0.45, 0.25, folded[0])
    forehead = forehead * smoothstep(0.36, 0.42, height) * smoothstep(0.62, 0.56, height)
    age = p.wrinkles
    return (0.08 + 0.20 * age) * ring + (0.06 + 0.36 * age) * fold + 0.36 * age * forehead


def _freckles(local: Array, folded: Array, p: Parameters) -> Array:
    spots = smoothstep(0.62, 0.72, noise(local * 26 + p.pattern_offset))
    return spots * smoothstep(0.42, 0.2, length(folded - vector(0.22, -0.12, 0.7))) * p.freckles


def _lips_on_skin(local: Array, folded: Array, p: Parameters) -> tuple[Array, Array]:
    """Which points are lips, and how dark the line between them is."""
    share = folded[0] / p.mouth_width
    fullness = np.maximum(1 - 0.55 * share * share, 0) * p.lip_fullness
    middle = mouth_line(folded[0], p)
    bow = 0.014 * np.exp(-((folded[0] / 0.035) ** 2))  # the dip below the nose
    above = local[1] - middle
    lips = (share < 1) & (above < 0.060 * fullness - bow) & (above > -0.095 * fullness)
    seam = np.exp(-((above / 0.014) ** 2)) * (share < 1.08)
    return lips, seam


def _lashes(folded: Array, p: Parameters) -> Array:
    """1 on a dark line along the edge of the upper lid."""
    offset = folded - _EYE
    above_lid = offset[1] / p.eye_size - lid_height(offset, p)
    on_edge = (above_lid > -0.10) & (above_lid < p.lash_width)
    near_eye = (length(offset) < p.eye_size * 1.2) & (offset[2] > 0)
    return (on_edge & near_eye) * 1.0


# --- beard and shaved hair ------------------------------------------------------------------------


def hairline(local: Array, p: Parameters) -> Array:
    """Positive where hair grows, in units of length: above a line from forehead to nape."""
    receding = 0.10 * np.maximum(np.abs(local[0]) - 0.25, 0)
    line = (local[1] - 0.54 - (local[2] - 0.62) + receding) * 0.7
    if p.hair == "balding":
        line = np.minimum(line, (0.18 - local[1] - 0.25 * np.maximum(local[2], 0)) * 0.8)
    return np.minimum(line, local[1] + 0.62)


def _beard_cover(local: Array, folded: Array, p: Parameters) -> Array:
    """Share of beard, 0 to 1: below the cheekbones, around the lips, not under the nose's tip."""
    cheek = 0.55 * np.maximum(folded[0] - 0.30, 0)
    low = smoothstep(-0.12, -0.34, local[1] - cheek) * smoothstep(-0.12, 0.10, local[2])
    from_mouth = radius(
        folded[0] / (p.mouth_width + 0.02), (local[1] - mouth_line(folded[0], p)) / 0.09
    )
    from_nose = length(local - p.nose_tip - vector(0.0, 0.0, 0.06))
    return low * smoothstep(0.8, 1.25, from_mouth) * smoothstep(0.20, 0.30, from_nose)


def _stubble(local: Array, folded: Array, p: Parameters) -> Array:
    """Share of beard colour on the skin: all of a stubble, the edge of a beard."""
    if p.beard == "none":
        return np.zeros_like(local[0])
    strength = 0.25 if p.beard == "moustache" else 1.0
    cover = _beard_cover(local, folded, p)
    return cover * (0.35 + 0.30 * noise(local * 44)) * strength


def _shaved_scalp(local: Array, p: Parameters) -> Array:
    """Share of hair colour on the scalp where the hair is very short or gone."""
    strength = {"cropped": 0.45, "balding": 0.12, "bald": 0.10}.get(p.hair)
    if strength is None:
        return np.zeros_like(local[0])
    return smoothstep(0.0, 0.10, hairline(local, p)) * strength * (0.7 + 0.6 * noise(local * 30))


def beard_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Full beard: the jaw, thicker by as much as hair grows, thinner than skin elsewhere."""
    local = head_space(point, p)
    folded = mirror(local, X)
    jaw = smooth_union(skull(local, p), sphere(local - _CHIN, p.chin_size), 0.22)
    jaw = smooth_union(jaw, sphere(folded - _CHEEK, 0.20), 0.22)
    cover = _beard_cover(local, folded, p)
    thickness = 0.115 * cover - 0.03
    if detail:
        tufts = noise(local * vector(14.0, 6.0, 14.0) + p.pattern_offset) - 0.5
        thickness = thickness + 0.03 * tufts * cover
    return jaw - thickness


def moustache_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Two tapered strands on each side, from under the nose to beside the mouth."""
    folded = mirror(head_space(point, p), X)
    middle = vector(0.13, -0.365, 0.715)
    inner = capsule(folded, vector(0.02, -0.345, 0.75), middle, 0.034, 0.042)
    return smooth_union(
        inner, capsule(folded, middle, vector(0.28, -0.47, 0.60), 0.042, 0.016), 0.03
    )


def brows_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Arch of two sticks that thins out towards the temple."""
    folded = mirror(head_space(point, p), X)
    inner = capsule(folded, p.brow_inner, p.brow_middle, p.brow_thickness, p.brow_thickness)
    outer = capsule(folded, p.brow_middle, p.brow_outer, p.brow_thickness, p.brow_end)
    return np.minimum(inner, outer)


def paint_facial_hair(point: Array, normal: Array, p: Parameters) -> Material:
    """Beard, moustache and brows: short strands."""
    local = head_space(point, p)
    strand = noise(local * vector(30.0, 10.0, 30.0) + p.pattern_offset)
    return Material(p.brow_color * (0.7 + 0.6 * strand), HAIR, specular=0.10, gloss=10.0)


# --- eyes and glasses -----------------------------------------------------------------------------


def eyes_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Two balls, deep enough in the head that only what the lids leave open shows."""
    return sphere(mirror(head_space(point, p), X) - _EYE, p.eye_size)


def paint_eyes(point: Array, normal: Array, p: Parameters) -> Material:
    """White, iris with a dark rim, pupil, and a catchlight on the side of the lamp."""
    local = head_space(point, p)
    offset = mirror(local, X) - _EYE
    sideways = (local[0] - np.sign(local[0]) * _EYE[0]) / p.eye_size - p.gaze_right
    height = offset[1] / p.eye_size
    upwards = height - p.gaze_up
    from_pupil = radius(sideways, upwards)
    rays = 0.85 + 0.3 * noise(vector(np.arctan2(upwards, sideways) * 5, from_pupil * 2, 0.0))
    rim = 1 - 0.75 * smoothstep(0.52, 0.62, from_pupil)
    iris = p.eye_color * ((0.55 + smoothstep(0.25, 0.6, from_pupil)) * rim * rays)
    color = choose(from_pupil < 0.62, iris, _WHITE_OF_THE_EYE)
    color = choose(from_pupil < 0.30, 0.006, color)
    under_lid = 0.55 + 0.45 * smoothstep(0.0, 0.35, lid_height(offset, p) - height)
    catchlight = radius(sideways - 0.17 * np.sign(p.light[0]), upwards - 0.24) < 0.13
    glow = np.broadcast_to(catchlight * 0.8, color.shape)
    return Material(color * under_lid, EYES, specular=0.45, gloss=60.0, glow=glow)


def glasses_distance(point: Array, p: Parameters, detail: bool) -> Array:
    """Two rings, a bridge, and the temples that lead back to the ears."""
    folded = mirror(head_space(point, p), X)
    offset = folded - vector(0.285, 0.03, 0.80)
    bend = offset[2] + 0.12 * np.maximum(offset[0], 0)
    ring = radius(radius(offset[0], offset[1] * 1.15) - 0.205, bend) - 0.02
    bridge = capsule(folded, vector(0.0, 0.07, 0.83), vector(0.085, 0.06, 0.81), 0.018, 0.018)
    temple = capsule(folded, vector(0.49, 0.07, 0.77), vector(0.73, 0.03, -0.02), 0.018, 0.018)
    return union(ring, bridge, temple)


def paint_glasses(point: Array, normal: Array, p: Parameters) -> Material:
    """Frame of one colour; what one wears counts as clothes."""
    color = np.broadcast_to(p.frame_color, point.shape)
    return Material(color, CLOTHES, specular=0.5, gloss=40.0)


# --- solids ---------------------------------------------------------------------------------------


def _bound(center: str, radii: tuple[float, float, float]) -> Callable[[Parameters], Bound]:
    """Build the bound of a solid that turns with the head."""
    half_axes = vector(*radii)
    return lambda p: Bound(p[center], half_axes, p.head_rotation)


_FACE = Solid(
    "face",
    face_distance,
    paint_face,
    _bound("face_center", (0.95, 1.16, 1.08)),
    obstacle=face_obstacle,
)
_EYES = Solid(
    "eyes", eyes_distance, paint_eyes, _bound("eyes_center", (0.54, 0.24, 0.24)), 1.0, False
)
_BROWS = Solid(
    "brows",
    brows_distance,
    paint_facial_hair,
    _bound("brows_center", (0.58, 0.17, 0.24)),
    0.95,
    False,
)
_BEARD_BOUND = _bound("beard_center", (0.85, 0.78, 0.86))
_BEARD = Solid("beard", beard_distance, paint_facial_hair, _BEARD_BOUND, 0.75)
_MOUSTACHE = Solid(
    "moustache",
    moustache_distance,
    paint_facial_hair,
    _BEARD_BOUND,
    0.95,
    False,
)
_GLASSES = Solid(
    "glasses",
    glasses_distance,
    paint_glasses,
    _bound("glasses_center", (0.95, 0.36, 0.66)),
    0.9,
    False,
)


def head_solids(values: Mapping[str, Any]) -> list[Solid]:
    """Face, eyes and brows, and what this person has besides."""
    solids = [_FACE, _EYES, _BROWS]
    if values["beard"] == "full":
        solids.append(_BEARD)
    if values["beard"] in ("full", "moustache"):
        solids.append(_MOUSTACHE)
    if values["glasses"] == "yes":
        solids.append(_GLASSES)
    return solids
