"""Drawing a person, and the camera, light and backdrop of a portrait.

Everything here is drawn before, and independently of, the question whether the person smokes: two
portraits that differ in their class only differ in what is held.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..drawing import Generator, draw_stage, hsv, light_direction, pick, uniform
from ..parameters import Values
from . import palette
from .held import POSES

BACKDROPS = {"blur": 0.5, "sky": 0.22, "trees": 0.28}
_POSE_SHARES = dict(zip(POSES, (0.34, 0.33, 0.33), strict=True))
# Features come in two sets with different averages, as faces do. No parameter stores which.
_HAIR_SHARES = {
    "soft": {
        "long": 0.28, "bob": 0.20, "bun": 0.15, "curly": 0.14, "afro": 0.08, "short": 0.10,
        "parted": 0.05,
    },
    "strong": {
        "short": 0.36, "parted": 0.27, "cropped": 0.13, "curly": 0.09, "afro": 0.05, "bald": 0.05,
        "long": 0.05,
    },
}  # fmt: skip
_BALDING_SHARE = 0.35
_BEARD_SHARES = {"none": 0.45, "stubble": 0.25, "full": 0.20, "moustache": 0.10}
_NECKLINE_SHARES = {"crew": 0.42, "v-neck": 0.23, "polo": 0.20, "scarf": 0.15}
_PATTERN_SHARES = {"plain": 0.5, "stripes": 0.28, "knit": 0.22}
_FRAME_COLORS = ("#1a1a1c", "#5a3a22", "#7a1f2b", "#8d8d90")


def draw_camera_and_light(rng: Generator, side: float, **given: Any) -> Values:
    """Stage of a portrait: a long lens, close; a lamp in front; a backdrop."""
    backdrop = pick(rng, BACKDROPS)
    rooms = [hsv(rng.random(), rng.uniform(0.08, 0.42), rng.uniform(0.25, 0.8)) for _ in range(2)]
    azimuth, elevation = rng.uniform(-1.1, 1.1), rng.uniform(0.35, 0.9)
    target = [side * rng.uniform(0.05, 0.32), rng.uniform(-0.20, -0.03), 0.0]
    yaw, pitch, roll = rng.normal(0, 0.20), rng.normal(0.03, 0.05), rng.normal(0, 0.035)
    zoom = uniform(rng, 0.143, 0.159)
    stage = draw_stage(rng)
    values = {
        **stage,
        "yaw": float(np.clip(yaw, -0.45, 0.45)),
        "pitch": float(pitch),
        "roll": float(roll),
        "distance": 9.0,
        "zoom": zoom,
        "target": target,
        "center": [0.0, -1.0, 0.0],
        "bound": 3.2,
        "light": light_direction(azimuth, elevation),
        "key": [0.7 * part for part in stage["key"]],
        "grain": 0.45 * stage["grain"],
        "backdrop": backdrop,
        **backdrop_colors(backdrop, rooms),
        "room_colors": [*rooms[0], *rooms[1]],
    }
    return values | given


def backdrop_colors(backdrop: str, rooms: list[list[float]]) -> Values:
    """Colours of a backdrop: two of a room, or those of the sky."""
    if backdrop == "blur":
        return {"backdrop_color": rooms[0], "backdrop_color2": rooms[1]}
    return {"backdrop_color": hsv(0.58, 0.22, 0.92), "backdrop_color2": hsv(0.60, 0.50, 0.78)}


def draw_person(rng: Generator) -> Values:
    """Age, colours, features, hair, clothes, posture."""
    features = pick(rng, {"soft": 0.5, "strong": 0.5})
    age = 19 + 60 * float(rng.beta(1.1, 1.9))
    tone = palette.draw_tone(rng)
    return {
        "age": age,
        **_draw_colors(rng, tone, age, features),
        **_draw_face(rng, features),
        **_draw_expression(rng),
        **_draw_hair(rng, age, features),
        **_draw_clothes(rng, features),
        "pattern_offset": uniform(rng, 0, 31),
    }


def _draw_colors(rng: Generator, tone: float, age: float, features: str) -> Values:
    skin = palette.skin_color(tone) * (1 + rng.normal(0, 0.02, 3))
    hair, brows = palette.draw_hair_colors(rng, tone, age)
    redness = rng.uniform(0, 0.9) if features == "soft" else rng.uniform(0, 0.25)
    freckled = palette.stretch_of(tone) == "light" and rng.random() < 0.25
    return {
        "skin": skin.tolist(),
        "hair_color": hair.tolist(),
        "brow_color": brows.tolist(),
        "lip_color": palette.lip_color(skin, redness).tolist(),
        "eye_color": palette.draw_eye_color(rng, tone).tolist(),
        "freckles": rng.uniform(0.3, 1.0) if freckled else 0.0,
    }


def _draw_face(rng: Generator, features: str) -> Values:
    soft = features == "soft"
    return {
        "head_width": uniform(rng, 0.66, 0.73),
        "head_height": uniform(rng, 0.80, 0.87),
        "jaw_width": uniform(rng, 0.42, 0.48) if soft else uniform(rng, 0.46, 0.55),
        "chin_size": uniform(rng, 0.10, 0.14) if soft else uniform(rng, 0.13, 0.18),
        "nose_size": uniform(rng, 0.085, 0.108) + (0.0 if soft else 0.012),
        "nose_length": uniform(rng, 0.18, 0.24),
        "eye_size": uniform(rng, 0.145, 0.160) + (0.007 if soft else 0.0),
        "lash_width": 0.20 if soft else 0.11,
        "brow_thickness": uniform(rng, 0.018, 0.026) if soft else uniform(rng, 0.026, 0.038),
        "mouth_width": uniform(rng, 0.19, 0.24),
        "lip_fullness": uniform(rng, 0.8, 1.15) + (0.15 if soft else 0.0),
        "neck_width": uniform(rng, 0.27, 0.31) if soft else uniform(rng, 0.32, 0.39),
        "shoulder_width": uniform(rng, 1.0, 1.2) if soft else uniform(rng, 1.2, 1.45),
    }


def _draw_expression(rng: Generator) -> Values:
    return {
        "eye_opening": uniform(rng, 0.46, 0.68),
        "gaze_right": float(np.clip(rng.normal(0, 0.15), -0.35, 0.35)),
        "gaze_up": float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
        "brow_lift": uniform(rng, 0.0, 0.05),
        "brow_tilt": float(rng.normal(0.010, 0.007)),
        "smile": uniform(rng, 0.012, 0.075),
        "head_turn": float(rng.normal(0, 0.12)),
        "head_nod": float(rng.normal(0.0, 0.045)),
        "head_tilt": float(rng.normal(0, 0.06)),
    }


def _draw_hair(rng: Generator, age: float, features: str) -> Values:
    hair = pick(rng, _HAIR_SHARES[features])
    balding, hat = rng.random() < _BALDING_SHARE, rng.random() < 0.09
    beard = pick(rng, _BEARD_SHARES)
    if features == "strong" and age > 45 and balding:
        hair = "balding"
    fits_under_hat = hair not in ("afro", "bun", "curly")
    return {
        "hair": hair,
        "beard": beard if features == "strong" else "none",
        "hat": "yes" if hat and fits_under_hat else "no",
        "glasses": "yes" if rng.random() < 0.22 else "no",
        "hair_volume": uniform(rng, 0.5, 1.25),
        "parting": float(rng.choice([-1.0, 1.0])) * uniform(rng, 0.1, 0.35),
        "waviness": uniform(rng, 0.3, 1.0) if rng.random() < 0.5 else 0.0,
    }


def _draw_clothes(rng: Generator, features: str) -> Values:
    return {
        "neckline": pick(rng, _NECKLINE_SHARES),
        "pattern": pick(rng, _PATTERN_SHARES),
        "cloth_color": palette.draw_cloth_color(rng),
        "cloth_color2": palette.draw_cloth_color(rng),
        "hat_color": palette.draw_cloth_color(rng),
        "frame_color": palette.linear(str(rng.choice(_FRAME_COLORS))).tolist(),
    }


def draw_pose(rng: Generator, side: float) -> Values:
    """Where hand and stick are, and how smoke would rise: the same for whatever is held."""
    pose = pick(rng, _POSE_SHARES)
    at_mouth = [uniform(rng, 0.75, 1.0), uniform(rng, -0.30, 0.10), uniform(rng, 0.30, 0.65)]
    beside = [uniform(rng, 0.3, 0.8), uniform(rng, 0.2, 0.7), uniform(rng, 0.1, 0.4)]
    direction = np.array(beside if pose == "hand_beside" else at_mouth)
    return {
        "pose": pose,
        "side": side,
        "stick_direction": (direction / math.sqrt(float(direction @ direction))).tolist(),
        "hand_place": [
            uniform(rng, 0.52, 0.75),
            uniform(rng, -0.60, -0.28),
            uniform(rng, 0.55, 0.8),
        ],
        "object_size": uniform(rng, 0.92, 1.1),
        "object_color": hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.9)),
        "smoke_amount": uniform(rng, 0.6, 0.95) if rng.random() < 0.87 else 0.0,
        "smoke_width": uniform(rng, 0.055, 0.10),
        "smoke_height": uniform(rng, 0.8, 1.5),
        "smoke_drift": float(rng.normal(0, 0.22)),
        "smoke_seed": uniform(rng, 0, 31),
    }
