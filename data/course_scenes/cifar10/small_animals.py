"""Bird and frog.

Frame: x forwards, y up from the ground, z to one side. A bird's wings are folded on the ground and
spread in the air.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..drawing import Generator, hsv, rotation_matrix, uniform
from ..families import Model
from ..geometry import (
    Z,
    box,
    capsule,
    choose,
    ellipsoid,
    length,
    mirror,
    mix,
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
from .places import PLACES, draw_place
from .standing import Hsv, ball, in_ball, local_point, near, stand

# Kinds of birds, (low, high): girth of the body, radius of the head, length of beak, tail, neck and
# legs, spread of one wing.
BIRDS: dict[str, dict[str, tuple[float, float]]] = {
    "songbird": {
        "girth": (0.24, 0.30), "head": (0.17, 0.21), "beak": (0.08, 0.14), "tail": (0.30, 0.50),
        "neck": (0.04, 0.10), "legs": (0.22, 0.32), "spread": (0.65, 0.85),
    },
    "gull": {
        "girth": (0.22, 0.27), "head": (0.14, 0.17), "beak": (0.16, 0.22), "tail": (0.25, 0.35),
        "neck": (0.06, 0.14), "legs": (0.25, 0.35), "spread": (1.0, 1.25),
    },
    "raptor": {
        "girth": (0.25, 0.30), "head": (0.15, 0.18), "beak": (0.10, 0.14), "tail": (0.35, 0.50),
        "neck": (0.08, 0.12), "legs": (0.25, 0.32), "spread": (0.95, 1.15),
    },
    "heron": {
        "girth": (0.20, 0.25), "head": (0.11, 0.14), "beak": (0.26, 0.36), "tail": (0.20, 0.30),
        "neck": (0.35, 0.50), "legs": (0.50, 0.70), "spread": (0.95, 1.15),
    },
    "duck": {
        "girth": (0.27, 0.32), "head": (0.15, 0.18), "beak": (0.14, 0.20), "tail": (0.18, 0.26),
        "neck": (0.14, 0.22), "legs": (0.16, 0.22), "spread": (0.75, 0.9),
    },
}  # fmt: skip
# Back, belly, head of each kind.
PLUMAGE: dict[str, list[tuple[Hsv, Hsv, Hsv]]] = {
    "songbird": [
        ((0.60, 0.60, 0.60), (0.06, 0.6, 0.75), (0.60, 0.65, 0.55)),
        ((0.00, 0.75, 0.60), (0.02, 0.7, 0.70), (0.00, 0.80, 0.65)),
        ((0.08, 0.50, 0.42), (0.09, 0.25, 0.80), (0.06, 0.55, 0.35)),
        ((0.14, 0.75, 0.85), (0.14, 0.60, 0.90), (0.00, 0.00, 0.15)),
        ((0.08, 0.35, 0.40), (0.04, 0.75, 0.75), (0.08, 0.35, 0.40)),
        ((0.00, 0.00, 0.12), (0.00, 0.00, 0.14), (0.00, 0.00, 0.12)),
        ((0.30, 0.60, 0.55), (0.16, 0.60, 0.80), (0.60, 0.55, 0.60)),
    ],
    "gull": [
        ((0.60, 0.06, 0.62), (0.10, 0.02, 0.95), (0.10, 0.02, 0.95)),
        ((0.00, 0.00, 0.20), (0.10, 0.02, 0.95), (0.10, 0.02, 0.95)),
    ],
    "raptor": [
        ((0.07, 0.60, 0.32), (0.09, 0.30, 0.65), (0.07, 0.50, 0.30)),
        ((0.07, 0.60, 0.25), (0.07, 0.60, 0.28), (0.10, 0.04, 0.95)),
    ],
    "heron": [
        ((0.58, 0.15, 0.60), (0.10, 0.03, 0.90), (0.10, 0.03, 0.92)),
        ((0.10, 0.03, 0.95), (0.10, 0.03, 0.95), (0.10, 0.03, 0.95)),
        ((0.95, 0.45, 0.90), (0.95, 0.40, 0.92), (0.95, 0.45, 0.92)),
    ],
    "duck": [
        ((0.08, 0.35, 0.45), (0.09, 0.12, 0.75), (0.38, 0.75, 0.35)),
        ((0.08, 0.45, 0.45), (0.09, 0.35, 0.60), (0.08, 0.45, 0.42)),
        ((0.10, 0.03, 0.95), (0.10, 0.03, 0.95), (0.10, 0.03, 0.95)),
    ],
}  # fmt: skip
#: How high a flying bird hangs above a floor, if there is one.
ALTITUDE = 0.32


class Bird(Model):
    """Birds of five kinds, standing or in flight."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, kind, measures, pose, plumage."""
        values = draw_place(stage, "bird", **options)
        flies = bool(shape.random() < 0.4)
        if options.get("typical_backgrounds", True):
            flies = PLACES[str(values["place"])].floor == "none"
        kind = str(shape.choice(list(BIRDS)))
        values |= {name: uniform(shape, *span) for name, span in BIRDS[kind].items()}
        back, belly, head = PLUMAGE[kind][shape.integers(len(PLUMAGE[kind]))]
        away = np.radians(uniform(shape, 15, 140))
        values |= {
            "pose": "flying" if flies else "standing",
            "turned": float(np.sign(shape.uniform(-1, 1)) * away - np.pi / 2),
            "flap": uniform(shape, -0.5, 0.8),
            "upright": 0.0 if flies else uniform(shape, 0.0, 0.6),
            "bank": float(shape.normal(0, 0.25)) if flies else 0.0,
            "color": near(shape, back),
            "color2": near(shape, belly),
            "color3": near(shape, head),
            "beak_color": hsv(uniform(shape, 0.07, 0.13), 0.85, uniform(shape, 0.4, 0.95)),
            "offset": uniform(shape, 0, 31),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute frames, placement and bounds."""
        girth, flies = values["girth"], values["pose"] == "flying"
        leg = 0.0 if flies else values["legs"]
        middle = leg + girth
        tilt = rotation_matrix(roll=values["upright"])
        neck = np.array([0.30 + 0.4 * values["neck"], 0.6 * girth + values["neck"], 0.0])
        if flies:  # the neck is stretched forwards
            neck = np.array([0.34 + 0.9 * values["neck"], 0.45 * girth, 0.0])
        wing = rotation_matrix(pitch=-values["flap"])
        reach = max(0.55 + values["tail"], neck[0] + values["head"] + values["beak"])
        if flies:
            reach = max(reach, 0.95 * values["spread"])
        height = middle + max(neck[1] + values["head"], girth)
        lift = ALTITUDE if flies else 0.0
        ready = stand(values["turned"], reach, height, lift=lift, roll=0.0, pitch=values["bank"])
        ready |= {
            "middle": [0.0, middle, 0.0],
            "tilt": tilt.ravel(),
            "neck_end": neck,
            "wing_turn": wing.ravel(),
            "leg": leg,
        }
        head_at = neck + np.array([0.5 * values["beak"], middle, 0.0])
        ready |= ball("head", ready, head_at, values["head"] + 0.6 * values["beak"] + 0.03)
        ready |= ball("legs", ready, [0.05, 0.5 * leg, 0.0], 0.5 * leg + 0.3)
        body_at = [0.05, middle + 0.25 * (neck[1] > 0.4), 0.0]
        ready |= ball("body", ready, body_at, max(0.62, float(np.linalg.norm(neck)) + 0.1))
        tail_way = tilt @ [-0.45 - 0.5 * values["tail"], 0.03, 0.0]
        ready |= ball(
            "tail", ready, tail_way + np.array([0.0, middle, 0.0]), 0.6 * values["tail"] + 0.3
        )
        wings = 1.05 * values["spread"] + 0.25 if flies else 0.75
        ready |= ball("wings", ready, [-0.1, middle, 0.0], wings)
        ready["bound"] = max(ready["bound"], 1.05 * wings * ready["scale"])
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return body, head, tail and wings; legs if it stands."""
        wings = self.spread_wings if values["pose"] == "flying" else self.folded_wings
        found = [
            Solid("body", self.body, self.paint_body, in_ball("body"), trust=0.8),
            Solid("head", self.head, self.paint_head, in_ball("head"), trust=0.9),
            Solid("tail", self.tail, self.paint_tail, in_ball("tail"), trust=0.8),
            Solid("wings", wings, self.paint_wings, in_ball("wings"), trust=0.8),
        ]
        if values["pose"] == "standing":
            found.append(Solid("legs", self.legs, self.paint_legs, in_ball("legs")))
        return found

    @staticmethod
    def _upright(point: Array, p: Parameters) -> tuple[Array, Array]:
        """Return points relative to the body's middle: level, and turned with the body."""
        level = local_point(point, p) - p.middle
        return level, to_local(level, p.tilt)

    @staticmethod
    def body(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to body and neck."""
        level, turned = Bird._upright(point, p)
        front, back = vector(0.15, 0.02, 0.0), vector(-0.30, 0.0, 0.0)
        trunk = capsule(turned, back, front, p.girth * 0.6, p.girth)
        neck = capsule(level, vector(0.12, 0.05, 0.0), p.neck_end, p.girth * 0.65, p.head * 0.7)
        return smooth_union(trunk, neck, 0.1) * p.scale

    @staticmethod
    def head(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to head and beak."""
        level, _ = Bird._upright(point, p)
        return union(*Bird._head_and_beak(level - p.neck_end, p)) * p.scale

    @staticmethod
    def _head_and_beak(own: Array, p: Parameters) -> tuple[Array, Array]:
        root, tip = vector(p.head * 0.75, 0.0, 0.0), vector(p.head + p.beak, -0.04, 0.0)
        return length(own) - p.head, capsule(own, root, tip, 0.06, 0.012)

    @staticmethod
    def tail(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the tail: a flat fan."""
        x, y, z = Bird._upright(point, p)[1] - vector(-0.40 - p.tail * 0.5, 0.05, 0.0)
        fan = 0.09 + np.clip(p.tail * 0.5 - x, 0.0, 0.6) * 0.25
        half = vector(p.tail * 0.58, 0.028, fan)
        return box(vector(x, y - 0.15 * x, z), half, 0.02) * (0.9 * p.scale)

    @staticmethod
    def spread_wings(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to open wings: an inner arm, and a hand that sweeps back to a tip."""
        level, _ = Bird._upright(point, p)
        folded = mirror(level, Z) - vector(0.0, p.girth * 0.45, p.girth * 0.4)
        x, y, z = to_local(folded, p.wing_turn)
        out = np.clip(z / p.spread, 0.0, 1.0)
        hand = np.maximum(out - 0.45, 0.0)
        chord = 0.27 * np.sqrt(np.maximum(1 - out * out, 0.0)) + 0.02
        bent = vector(x + hand * 0.45 * p.spread, y + hand * 0.25, z - p.spread * 0.5)
        thick = 0.022 + 0 * chord
        return box(bent, vector(chord, thick, p.spread * 0.5), 0.018) * (0.75 * p.scale)

    @staticmethod
    def folded_wings(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to wings at rest along the body."""
        _, turned = Bird._upright(point, p)
        own = mirror(turned, Z) - vector(-0.14, 0.05, p.girth * 0.72)
        return ellipsoid(own, vector(0.46, p.girth * 0.6, 0.09)) * p.scale

    @staticmethod
    def legs(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to legs and feet."""
        own = mirror(local_point(point, p), Z)
        hip, ankle = vector(0.0, p.leg + p.girth * 0.2, 0.1), vector(0.03, 0.02, 0.1)
        toe = vector(0.17, 0.02, 0.12)
        return (
            union(capsule(own, hip, ankle, 0.03, 0.022), capsule(own, ankle, toe, 0.022, 0.016))
            * p.scale
        )

    @staticmethod
    def _barbs(own: Array, p: Parameters) -> Array:
        return 0.82 + 0.36 * fractal_noise(own * vector(7.0, 12.0, 12.0) + p.offset)

    @staticmethod
    def paint_body(point: Array, normal: Array, p: Parameters) -> Material:
        """Dark back, light belly."""
        _, turned = Bird._upright(point, p)
        color = mix(p.color2, p.color, smoothstep(-0.05, 0.16, turned[1]))
        return Material(color * Bird._barbs(turned, p), parts.BODY, 0.06, 20.0)

    @staticmethod
    def paint_head(point: Array, normal: Array, p: Parameters) -> Material:
        """Head, beak, and an eye on either side."""
        own = Bird._upright(point, p)[0] - p.neck_end
        skull, beak = Bird._head_and_beak(own, p)
        eye_at = vector(p.head * 0.55, p.head * 0.30, p.head * 0.72)
        off = length(mirror(own, Z) - eye_at)
        eye = (off < p.head * 0.30) & (skull < beak)
        glint = eye & (length(mirror(own, Z) - eye_at - 0.06 * p.head) < p.head * 0.12)
        color = choose(beak < skull, p.beak_color, p.color3 * Bird._barbs(own, p))
        part = choose(beak < skull, parts.BEAK, choose(eye, parts.EYES, parts.HEAD)).astype(int)
        color = choose(eye, 0.01, color)
        return Material(color, part, choose(eye, 0.9, 0.1), 30.0, glow=glint * np.float32(0.7))

    @staticmethod
    def paint_tail(point: Array, normal: Array, p: Parameters) -> Material:
        """Long feathers side by side."""
        _, (x, _, z) = Bird._upright(point, p)
        feathers = 0.6 + 0.4 * (np.sin(z * 60 + x * 4) > -0.6)
        return Material(p.color * 0.85 * feathers, parts.TAIL, 0.06)

    @staticmethod
    def paint_wings(point: Array, normal: Array, p: Parameters) -> Material:
        """Rows of feathers, darker at the ends; light below."""
        _, turned = Bird._upright(point, p)
        x, _, z = mirror(turned, Z)
        rows = 0.65 + 0.4 * (np.sin(x * 38 + z * 7) > -0.35)
        ends = 1 - 0.6 * smoothstep(0.7, 0.95, z / p.spread)
        color = mix(p.color, p.color2, 0.6 * (normal[1] < -0.3) * (p.pose == "flying"))
        return Material(color * (rows * ends), parts.WINGS, 0.06)

    @staticmethod
    def paint_legs(point: Array, normal: Array, p: Parameters) -> Material:
        """Darker than the beak."""
        return Material(p.beak_color * np.float32(0.7) + 0 * point, parts.LEGS, 0.1)


# --- frog -------------------------------------------------------------------------------------

SKINS: list[tuple[Hsv, Hsv]] = [
    ((0.28, 0.70, 0.55), (0.18, 0.35, 0.85)),
    ((0.24, 0.60, 0.45), (0.14, 0.25, 0.85)),
    ((0.33, 0.60, 0.40), (0.16, 0.30, 0.80)),
    ((0.12, 0.50, 0.45), (0.12, 0.20, 0.85)),
    ((0.09, 0.50, 0.35), (0.10, 0.20, 0.80)),
    ((0.27, 0.80, 0.70), (0.15, 0.20, 0.90)),
    ((0.10, 0.20, 0.40), (0.10, 0.10, 0.75)),
    ((0.03, 0.70, 0.55), (0.12, 0.30, 0.80)),
]
IRISES: list[Hsv] = [(0.12, 0.8, 0.85), (0.02, 0.8, 0.75), (0.10, 0.4, 0.6)]


class Frog(Model):
    """Frogs and toads, sitting."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, measures, skin."""
        values = draw_place(stage, "frog", **options)
        back, belly = SKINS[shape.integers(len(SKINS))]
        away = np.radians(uniform(shape, 5, 140))
        values |= {
            "half_length": uniform(shape, 0.50, 0.65),
            "half_height": uniform(shape, 0.26, 0.36),
            "half_width": uniform(shape, 0.36, 0.46),
            "raised": uniform(shape, 0.15, 0.55),
            "eye_size": uniform(shape, 0.11, 0.155),
            "turned": float(np.sign(shape.uniform(-1, 1)) * away - np.pi / 2),
            "color": near(shape, back),
            "color2": near(shape, belly),
            "iris": near(shape, IRISES[shape.integers(len(IRISES))]),
            "blotches": uniform(shape, 0, 1) if shape.random() < 0.7 else 0.0,
            "stripe": float(shape.random() < 0.25),
            "offset": uniform(shape, 0, 31),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute frames, placement and bounds."""
        tilt = rotation_matrix(roll=values["raised"])
        head = tilt @ [0.72 * values["half_length"], 0.2, 0.0]
        ready = stand(values["turned"], 0.86, 0.36 + head[1] + 0.35)
        middle = np.array([0.0, 0.36, 0.0])
        ready |= {
            "middle": middle,
            "tilt": tilt.ravel(),
            "eye_place": [0.70 * values["half_length"], 0.22, 0.22],
        }
        ready |= ball(
            "body", ready, middle + np.array([0.05, 0.05, 0.0]), values["half_length"] + 0.3
        )
        ready |= ball("eyes", ready, middle + head, 0.25 + values["eye_size"])
        ready |= ball("legs", ready, [0.0, 0.2, 0.0], 1.0)
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return body, eyes and legs."""
        return [
            Solid("body", self.body, self.paint_body, in_ball("body")),
            Solid("eyes", self.eyes, self.paint_eyes, in_ball("eyes")),
            Solid("legs", self.legs, self.paint_legs, in_ball("legs")),
        ]

    @staticmethod
    def _tilted(point: Array, p: Parameters) -> tuple[Array, Array]:
        """Return points folded to one side: level, and turned with the raised body."""
        level = mirror(local_point(point, p) - p.middle, Z)
        return level, to_local(level, p.tilt)

    @staticmethod
    def body(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the trunk with its wide, flat head; warts in detail."""
        _, turned = Frog._tilted(point, p)
        trunk = ellipsoid(turned, vector(p.half_length, p.half_height, p.half_width))
        head = ellipsoid(turned - vector(p.half_length * 0.7, 0.03, 0.0), vector(0.36, 0.21, 0.36))
        shape = smooth_union(trunk, head, 0.15) * p.scale
        return shape - 0.008 * noise(turned * 14 + p.offset) if detail else shape

    @staticmethod
    def eyes(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the bulging eyes."""
        return (length(Frog._tilted(point, p)[1] - p.eye_place) - p.eye_size) * p.scale

    @staticmethod
    def legs(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to folded hind legs with long feet, and short arms."""
        own, _ = Frog._tilted(point, p)
        hip, knee = vector(-0.35, 0.0, 0.26), vector(0.12, -0.04, 0.52)
        heel, toe = vector(-0.24, -0.30, 0.54), vector(0.16, -0.32, 0.68)
        shoulder, wrist, finger = (
            vector(0.38, 0.0, 0.28),
            vector(0.45, -0.3, 0.42),
            vector(0.62, -0.33, 0.48),
        )
        return (
            union(
                capsule(own, hip, knee, 0.18, 0.115),
                capsule(own, knee, heel, 0.105, 0.06),
                capsule(own, heel, toe, 0.06, 0.045),
                capsule(own, shoulder, wrist, 0.10, 0.06),
                capsule(own, wrist, finger, 0.055, 0.042),
            )
            * p.scale
        )

    @staticmethod
    def _skin(point: Array, normal: Array, p: Parameters) -> Array:
        own, _ = Frog._tilted(point, p)
        blotch = smoothstep(0.55, 0.64, noise(own * 6 + p.offset)) * p.blotches
        bands = smoothstep(0.05, 0.03, np.abs(own[2])) * p.stripe * (normal[1] > 0.2)
        color = mix(p.color, p.color * 0.35, blotch)
        color = mix(color, p.color2, np.maximum(smoothstep(0.1, -0.5, normal[1]), bands))
        return color * (0.8 + 0.4 * fractal_noise(own * 7 + p.offset))

    @staticmethod
    def paint_body(point: Array, normal: Array, p: Parameters) -> Material:
        """Wet skin with blotches, a light belly, a wide mouth."""
        _, turned = Frog._tilted(point, p)
        mouth = (np.abs(turned[1] + 0.03) < 0.02) & (turned[0] > p.half_length * 0.6)
        color = choose(mouth, 0.012, Frog._skin(point, normal, p))
        head = turned[0] > p.half_length * 0.55
        return Material(color, choose(head, parts.HEAD, parts.BODY).astype(int), 0.45, 35.0)

    @staticmethod
    def paint_legs(point: Array, normal: Array, p: Parameters) -> Material:
        """Skin as on the trunk."""
        return Material(Frog._skin(point, normal, p), parts.LEGS, 0.45, 35.0)

    @staticmethod
    def paint_eyes(point: Array, normal: Array, p: Parameters) -> Material:
        """Golden irises with level pupils, lids of skin."""
        x, y, z = Frog._tilted(point, p)[1] - p.eye_place
        eye = (z + x * 0.6 > p.eye_size * 0.35) & (y < p.eye_size * 0.75)
        pupil = (
            eye
            & (np.abs(y - p.eye_size * 0.1) < p.eye_size * 0.33)
            & (z + x * 0.6 > p.eye_size * 0.6)
        )
        color = choose(eye, p.iris, Frog._skin(point, normal, p))
        return Material(choose(pupil, 0.008, color), parts.EYES, choose(eye, 0.9, 0.4), 45.0)
