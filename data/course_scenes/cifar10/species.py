"""Measures and coats of cat, dog, deer and horse: the tables that `quadrupeds` draws from."""

from __future__ import annotations

from typing import Any

from .standing import Hsv

Range = tuple[float, float]

# What every animal of a species is drawn from: (low, high).
# half_length: of the torso; chest, rump: radii of its ends; belly_drop, belly_fullness: how far the
# belly hangs and how round it is; leg: height of the torso's axis; thickness: of the legs; neck,
# neck_angle: length, and angle above the horizon; head: radius of the skull; snout: how far the
# muzzle sticks out; tail, tail_radius, tail_angle, tail_curl: length, …, angle at the root, and how
# much each of its three bones turns against the one before; tail_bush: thickness of its middle.
RANGES: dict[str, dict[str, Range]] = {
    "cat": {
        "half_length": (0.34, 0.42), "chest": (0.17, 0.20), "rump": (0.17, 0.21),
        "belly_drop": (0.02, 0.06), "belly_fullness": (0.9, 1.1),
        "leg": (0.40, 0.48), "thickness": (0.050, 0.062),
        "neck": (0.16, 0.22), "neck_angle": (0.5, 0.9),
        "head": (0.215, 0.25), "snout": (-0.01, 0.02),
        "tail": (0.60, 0.85), "tail_radius": (0.035, 0.055), "tail_bush": (0.9, 1.3),
        "tail_angle": (-0.4, 1.2), "tail_curl": (-0.1, 0.5),
    },
    "dog": {
        "half_length": (0.36, 0.50), "chest": (0.20, 0.27), "rump": (0.16, 0.21),
        "belly_drop": (-0.02, 0.02), "belly_fullness": (0.80, 0.95),
        "leg": (0.42, 0.68), "thickness": (0.058, 0.088),
        "neck": (0.26, 0.36), "neck_angle": (0.7, 1.1),
        "head": (0.19, 0.23), "snout": (0.09, 0.22),
        "tail": (0.30, 0.60), "tail_radius": (0.040, 0.060), "tail_bush": (0.8, 1.5),
        "tail_angle": (0.2, 1.2), "tail_curl": (0.0, 0.5),
    },
    "deer": {
        "half_length": (0.46, 0.56), "chest": (0.22, 0.26), "rump": (0.21, 0.25),
        "belly_drop": (-0.02, 0.02), "belly_fullness": (0.90, 1.00),
        "leg": (0.80, 0.95), "thickness": (0.042, 0.052),
        "neck": (0.46, 0.62), "neck_angle": (0.75, 1.2),
        "head": (0.135, 0.155), "snout": (0.14, 0.19),
        "tail": (0.14, 0.20), "tail_radius": (0.045, 0.055), "tail_bush": (1.0, 1.2),
        "tail_angle": (-1.0, 0.2), "tail_curl": (-0.1, 0.1),
    },
    "horse": {
        "half_length": (0.52, 0.62), "chest": (0.28, 0.33), "rump": (0.28, 0.33),
        "belly_drop": (0.00, 0.04), "belly_fullness": (0.92, 1.04),
        "leg": (0.88, 1.02), "thickness": (0.060, 0.075),
        "neck": (0.56, 0.70), "neck_angle": (0.6, 1.05),
        "head": (0.155, 0.175), "snout": (0.30, 0.36),
        "tail": (0.65, 0.85), "tail_radius": (0.070, 0.090), "tail_bush": (1.0, 1.4),
        "tail_angle": (-0.9, -0.3), "tail_curl": (-0.6, -0.3),
    },
}  # fmt: skip

# What all animals of a species share. Face measures are in radii of the skull.
FIXED: dict[str, dict[str, Any]] = {
    "cat": {
        "toe": 1.0, "neck_radius": [0.15, 0.13], "droop": 0.1,
        "muzzle": [0.50, 0.32], "cheek": 0.48,
        "tail_tip": 0.8, "eye_at": [0.82, 0.17, 0.42], "eye_radius": 0.22, "pupil": 0.38,
        "nose": 0.17,
        "nose_color": [0.38, 0.14, 0.14], "muzzle_white": 0.6, "hoof": 0.0, "pale_belly": 0.6,
        "hind_bend": 1.0, "nod": 0.0,
    },
    "dog": {
        "toe": 1.1, "neck_radius": [0.17, 0.13], "droop": 0.3,
        "muzzle": [0.60, 0.42], "cheek": 0.30,
        "tail_tip": 0.5, "eye_at": [0.80, 0.28, 0.42], "eye_radius": 0.17, "pupil": 1.0,
        "nose": 0.25,
        "nose_color": [0.006, 0.006, 0.006], "muzzle_white": 0.0, "hoof": 0.0, "pale_belly": 0.5,
        "hind_bend": 0.9, "nod": 0.0,
    },
    "deer": {
        "toe": 0.6, "neck_radius": [0.17, 0.10], "droop": 0.45,
        "muzzle": [0.68, 0.42], "cheek": 0.2,
        "tail_tip": 0.6, "eye_at": [0.55, 0.25, 0.68], "eye_radius": 0.22, "pupil": 1.0,
        "nose": 0.28,
        "nose_color": [0.008, 0.008, 0.008], "muzzle_white": 0.5, "hoof": 0.05, "pale_belly": 0.9,
        "hind_bend": 0.7, "nod": -0.15,
    },
    "horse": {
        "toe": 0.5, "neck_radius": [0.25, 0.14], "droop": 0.5,
        "muzzle": [0.80, 0.55], "cheek": 0.3,
        "tail_tip": 0.5, "eye_at": [0.50, 0.35, 0.72], "eye_radius": 0.18, "pupil": 1.0,
        "nose": 0.0,
        "nose_color": [0.02, 0.02, 0.02], "muzzle_white": 0.0, "hoof": 0.09, "pale_belly": 0.0,
        "hind_bend": 0.6, "nod": -0.2,
    },
}  # fmt: skip

# Ears: root and tip in radii of the skull, flattening along each axis, radii of root and tip,
# whether their inside is pink.
EARS: dict[str, dict[str, Any]] = {
    "pointed": {
        "ear_root": [-0.08, 0.72, 0.50], "ear_tip": [-0.05, 1.38, 0.80],
        "ear_flat": [0.5, 1.0, 1.0], "ear_radius": [0.40, 0.05], "ear_pink": 1.0,
    },
    "pricked": {
        "ear_root": [-0.15, 0.70, 0.55], "ear_tip": [-0.10, 1.45, 0.72],
        "ear_flat": [0.5, 1.0, 1.0], "ear_radius": [0.36, 0.07], "ear_pink": 1.0,
    },
    "hanging": {
        "ear_root": [-0.10, 0.62, 0.72], "ear_tip": [0.05, -0.45, 1.12],
        "ear_flat": [1.0, 1.0, 0.42], "ear_radius": [0.26, 0.36], "ear_pink": 0.0,
    },
    "folded": {
        "ear_root": [-0.10, 0.72, 0.62], "ear_tip": [0.22, 0.45, 1.12],
        "ear_flat": [0.9, 0.6, 1.0], "ear_radius": [0.28, 0.20], "ear_pink": 0.0,
    },
    "leaf": {
        "ear_root": [-0.25, 0.62, 0.62], "ear_tip": [-0.50, 1.15, 1.65],
        "ear_flat": [0.5, 1.0, 1.0], "ear_radius": [0.24, 0.20], "ear_pink": 1.0,
    },
    "small": {
        "ear_root": [-0.25, 0.80, 0.42], "ear_tip": [-0.15, 1.55, 0.52],
        "ear_flat": [0.7, 1.0, 1.0], "ear_radius": [0.22, 0.06], "ear_pink": 0.0,
    },
}  # fmt: skip
EAR_KINDS: dict[str, tuple[str, ...]] = {
    "cat": ("pointed",),
    "dog": ("hanging", "hanging", "pricked", "folded"),
    "deer": ("leaf",),
    "horse": ("small",),
}

# How the second colour of a coat is laid over the first.
SOLID, TABBY, PATCHES, SADDLE, WHITE_SOCKS, SPOTS, POINTS = map(float, range(7))

WHITE: Hsv = (0.10, 0.06, 0.93)
BLACK: Hsv = (0.00, 0.00, 0.10)
COATS: dict[str, list[tuple[Hsv, Hsv, float]]] = {
    "cat": [
        ((0.08, 0.62, 0.72), (0.06, 0.75, 0.42), TABBY),
        ((0.09, 0.25, 0.58), (0.07, 0.30, 0.22), TABBY),
        ((0.10, 0.12, 0.62), (0.00, 0.00, 0.20), TABBY),
        (BLACK, BLACK, SOLID),
        (BLACK, WHITE, WHITE_SOCKS),
        ((0.10, 0.08, 0.45), WHITE, WHITE_SOCKS),
        ((0.07, 0.65, 0.68), WHITE, WHITE_SOCKS),
        (WHITE, (0.07, 0.65, 0.60), PATCHES),
        (WHITE, BLACK, PATCHES),
        ((0.10, 0.22, 0.88), (0.07, 0.45, 0.25), POINTS),
        (WHITE, WHITE, SOLID),
        ((0.60, 0.08, 0.45), (0.60, 0.08, 0.45), SOLID),
    ],
    "dog": [
        ((0.09, 0.50, 0.72), (0.09, 0.40, 0.80), SOLID),
        ((0.07, 0.62, 0.42), (0.08, 0.50, 0.60), SOLID),
        (BLACK, WHITE, WHITE_SOCKS),
        (BLACK, (0.07, 0.65, 0.50), SOLID),
        ((0.075, 0.62, 0.58), BLACK, SADDLE),
        (WHITE, (0.07, 0.60, 0.42), PATCHES),
        (WHITE, BLACK, SPOTS),
        (WHITE, WHITE, SOLID),
        ((0.07, 0.60, 0.60), WHITE, WHITE_SOCKS),
        ((0.09, 0.30, 0.85), (0.09, 0.30, 0.85), SOLID),
        (WHITE, (0.06, 0.65, 0.35), SADDLE),
        ((0.10, 0.05, 0.50), WHITE, WHITE_SOCKS),
    ],
    "deer": [
        ((0.075, 0.58, 0.58), (0.10, 0.20, 0.90), SPOTS),
        ((0.07, 0.50, 0.48), WHITE, SOLID),
        ((0.08, 0.45, 0.62), WHITE, SOLID),
        ((0.07, 0.42, 0.38), WHITE, SOLID),
    ],
    "horse": [
        ((0.05, 0.68, 0.42), BLACK, SOLID),
        ((0.045, 0.70, 0.32), WHITE, SOLID),
        (BLACK, WHITE, SOLID),
        ((0.10, 0.06, 0.82), WHITE, SOLID),
        ((0.10, 0.02, 0.55), WHITE, SOLID),
        ((0.09, 0.45, 0.72), WHITE, SOLID),
        (WHITE, (0.05, 0.65, 0.40), PATCHES),
        ((0.05, 0.70, 0.36), WHITE, WHITE_SOCKS),
    ],
}
EYE_COLORS: dict[str, list[Hsv]] = {
    "cat": [(0.25, 0.6, 0.7), (0.12, 0.8, 0.8), (0.55, 0.5, 0.8)],
    "dog": [(0.06, 0.7, 0.2)],
    "deer": [(0.06, 0.7, 0.2)],
    "horse": [(0.06, 0.7, 0.2)],
}
#: How often a cat or dog is found sitting, a deer with antlers.
SITS = {"cat": 0.4, "dog": 0.3, "deer": 0.0, "horse": 0.0}
WITH_ANTLERS = 0.55
