"""Automobile and truck.

Frame: x forwards, y up from the road, z to one side. Both stand on wheels of one kind; bodies are
boxes whose sides lean with the height, and windows, lamps and door gaps are painted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..drawing import Generator, uniform
from ..families import Model
from ..geometry import (
    Z,
    box,
    capsule,
    choose,
    cylinder,
    linear_color,
    radius,
    smooth_intersection,
    smooth_union,
    union,
    vector,
)
from ..marching import Solid
from ..parameters import Array, Parameters, Values
from ..shading import Material
from . import parts
from .places import draw_place
from .standing import Hsv, ball, in_ball, local_point, near, stand, to_frame

PAINTS: list[Hsv] = [
    (0.00, 0.85, 0.70), (0.60, 0.80, 0.60), (0.58, 0.10, 0.92), (0.00, 0.00, 0.12),
    (0.13, 0.80, 0.88), (0.35, 0.60, 0.40), (0.00, 0.02, 0.60), (0.05, 0.80, 0.80),
    (0.10, 0.25, 0.75), (0.55, 0.45, 0.70), (0.97, 0.70, 0.40), (0.00, 0.00, 0.95),
]  # fmt: skip
RUBBER, RIM = linear_color((0.13, 0.13, 0.14)), linear_color((0.72, 0.72, 0.74))
GLASS, TRIM = linear_color((0.10, 0.13, 0.16)), linear_color((0.17, 0.17, 0.18))
FRONT_LAMP, REAR_LAMP = linear_color((1.0, 0.97, 0.85)), linear_color((0.85, 0.08, 0.08))
PLATE = linear_color((0.9, 0.9, 0.85))

# Kinds of cars: (low, high) of the cabin's and body's measures. cabin: half its length at the belt;
# cabin_at: where its middle is; windscreen, rear: how far the roof's ends lean in per unit height.
CARS: dict[str, dict[str, tuple[float, float]]] = {
    "sedan": {
        "half_length": (0.92, 1.02), "half_width": (0.38, 0.42), "belt": (0.42, 0.46),
        "roof": (0.24, 0.28), "cabin": (0.52, 0.60), "cabin_at": (-0.12, -0.04),
        "windscreen": (0.8, 1.1), "rear": (0.6, 1.0), "wheel": (0.155, 0.175), "edge": (0.06, 0.10),
    },
    "hatchback": {
        "half_length": (0.76, 0.86), "half_width": (0.37, 0.41), "belt": (0.44, 0.48),
        "roof": (0.27, 0.32), "cabin": (0.56, 0.62), "cabin_at": (-0.16, -0.10),
        "windscreen": (0.7, 1.0), "rear": (0.15, 0.45), "wheel": (0.155, 0.175),
        "edge": (0.08, 0.12),
    },
    "offroad": {
        "half_length": (0.84, 0.96), "half_width": (0.41, 0.45), "belt": (0.55, 0.62),
        "roof": (0.30, 0.36), "cabin": (0.58, 0.66), "cabin_at": (-0.20, -0.12),
        "windscreen": (0.3, 0.7), "rear": (0.05, 0.25), "wheel": (0.19, 0.22), "edge": (0.04, 0.08),
    },
    "sports": {
        "half_length": (0.90, 1.00), "half_width": (0.42, 0.46), "belt": (0.36, 0.40),
        "roof": (0.18, 0.22), "cabin": (0.48, 0.56), "cabin_at": (-0.16, -0.08),
        "windscreen": (1.2, 1.6), "rear": (1.0, 1.5), "wheel": (0.165, 0.185), "edge": (0.09, 0.13),
    },
    "classic": {
        "half_length": (0.78, 0.90), "half_width": (0.36, 0.40), "belt": (0.46, 0.50),
        "roof": (0.26, 0.31), "cabin": (0.48, 0.54), "cabin_at": (-0.14, -0.06),
        "windscreen": (0.5, 0.8), "rear": (0.7, 1.1), "wheel": (0.165, 0.185), "edge": (0.14, 0.17),
    },
}  # fmt: skip
CLEARANCE = 0.14


def facing(rng: Generator) -> float:
    """Draw a yaw at which a vehicle shows its side or three quarters, seldom only its front."""
    away = np.radians(rng.uniform(12, 168))
    return float(np.sign(rng.uniform(-1, 1)) * away - np.pi / 2)


def paint_wheel(across: Array, size: Array) -> Array:
    """Rubber with a bright rim and a dark hub; `across`: distance from the axle."""
    rim = choose(across < size * 0.6, RIM, RUBBER)
    return choose((across < size * 0.42) & (across > size * 0.16), RIM * np.float32(0.45), rim)


class Automobile(Model):
    """Cars of five kinds."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, kind, measures, colour."""
        values = draw_place(stage, "automobile", **options)
        kind = str(shape.choice(list(CARS)))
        values |= {name: uniform(shape, *span) for name, span in CARS[kind].items()}
        values |= {
            "turned": facing(shape),
            "color": near(shape, PAINTS[shape.integers(len(PAINTS))]),
            "trim": uniform(shape, 0, 1),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute placement and bounds."""
        reach, height = values["half_length"] + 0.02, values["belt"] + values["roof"] + 0.02
        ready = stand(values["turned"], reach, height)
        ready["axle"] = 0.62 * values["half_length"]
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return body and wheels."""
        return [
            Solid("body", self.body, self.paint_body),
            Solid("wheels", self.wheels, self.paint_wheels, trust=0.95),
        ]

    @staticmethod
    def body(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance: a low box, a cabin that leans in, wheel arches cut out."""
        own = local_point(point, p)
        x, y, z = own
        middle = (p.belt + CLEARANCE) * 0.5
        beyond = np.maximum(np.abs(x) - p.half_length * 0.45, 0.0)
        lower = box(
            vector(x, y - middle, z),
            vector(
                p.half_length,
                (p.belt - CLEARANCE) * 0.5 - 0.10 * beyond,  # bonnet and boot slope down
                p.half_width - 0.10 * beyond * beyond,
            ),
            p.edge,
        )
        above = np.maximum(y - p.belt, 0.0)
        lean = (p.rear - p.windscreen) * above * 0.5
        half = p.cabin - (p.rear + p.windscreen) * above * 0.5
        cabin = box(
            vector(x - p.cabin_at - lean, y - p.belt - p.roof * 0.4, z),
            vector(np.maximum(half, 0.1), p.roof * 0.6, p.half_width * 0.92 - above * 0.3),
            0.05,
        )
        shell = smooth_union(lower * 0.9, cabin * 0.7, 0.05)
        arch = p.wheel + 0.03 - radius(np.abs(x) - p.axle, y - p.wheel)
        return smooth_intersection(shell, arch, 0.02) * p.scale

    @staticmethod
    def wheels(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to all four wheels: space is folded twice."""
        x, y, z = local_point(point, p)
        corner = vector(np.abs(x) - p.axle, y - p.wheel, np.abs(z) - p.half_width * 0.9)
        return cylinder(corner, 0.07, p.wheel, Z, 0.03) * p.scale

    @staticmethod
    def paint_wheels(point: Array, normal: Array, p: Parameters) -> Material:
        """Tyres and rims."""
        x, y, _ = local_point(point, p)
        return Material(
            paint_wheel(radius(np.abs(x) - p.axle, y - p.wheel), p.wheel), parts.WHEELS, 0.3, 30.0
        )

    @staticmethod
    def paint_body(point: Array, normal: Array, p: Parameters) -> Material:
        """Lacquer, windows between pillars, lamps, bumpers, grille, plates and door gaps."""
        x, y, z = local_point(point, p)
        side = np.abs(to_frame(normal, p)[2])
        above, end = y - p.belt, np.abs(x) / p.half_length
        half = p.cabin - (p.rear + p.windscreen) * above * 0.5
        along = (x - p.cabin_at - (p.rear - p.windscreen) * above * 0.5) / np.maximum(half, 0.1)
        in_band = (above > 0.03) & (above < p.roof - 0.045)
        pillar = (np.abs(along + 0.05) < 0.05) | (np.abs(along) > 0.88)
        side_window = in_band & (side > 0.5) & ~pillar
        screen = in_band & (side <= 0.5) & (np.abs(z) < p.half_width * 0.72 - above * 0.3)
        glass = side_window | screen
        lamp = (end > 0.93) & (np.abs(above + 0.11) < 0.045) & (np.abs(z) > p.half_width * 0.5)
        bumper = (y < CLEARANCE + 0.09) & ((end > 0.9) | (p.trim > 0.4))
        grille = (x > 0) & (end > 0.95) & (np.abs(above + 0.13) < 0.05)
        plate = (end > 0.95) & (np.abs(z) < 0.1) & (np.abs(y - CLEARANCE - 0.09) < 0.035)
        gap = (side > 0.7) & (above < 0) & (np.abs(np.abs(x - p.cabin_at) - 0.3) < 0.008)
        color = choose(bumper | grille | gap, TRIM, p.color)
        color = choose(plate, PLATE, color)
        color = choose(lamp, choose(x > 0, FRONT_LAMP, REAR_LAMP), color)
        part = choose(glass, parts.WINDOWS, choose(lamp, parts.LIGHTS, parts.BODY)).astype(int)
        return Material(choose(glass, GLASS, color), part, choose(bumper, 0.15, 0.9), 45.0)


# --- truck ------------------------------------------------------------------------------------

CARGO = ("box", "box", "box", "tank", "bed", "container")


class Truck(Model):
    """Lorries: a cab, and a box, a tank, an open bed or a container."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, kind of cargo, measures, colours."""
        values = draw_place(stage, "truck", **options)
        values |= {
            "cargo": str(shape.choice(CARGO)),
            "bonnet": "yes" if shape.random() < 0.4 else "no",
            "cargo_half": uniform(shape, 0.5, 0.95),
            "cargo_height": uniform(shape, 0.28, 0.46),
            "half_width": uniform(shape, 0.33, 0.40),
            "cab_half": uniform(shape, 0.22, 0.32),
            "cab_height": uniform(shape, 0.30, 0.42),
            "wheel": uniform(shape, 0.14, 0.18),
            "turned": facing(shape),
            "color": near(shape, PAINTS[shape.integers(len(PAINTS))]),
            "color2": near(
                shape, (PAINTS + [(0.1, 0.03, 0.9)] * 6)[shape.integers(len(PAINTS) + 6)]
            ),
            "ribs": uniform(shape, 0, 1),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute where the parts are: cargo behind, cab in front, on a common frame."""
        deck = 2 * values["wheel"] + 0.02
        bonnet = 0.42 if values["bonnet"] == "yes" else 0.0
        length = 2 * values["cargo_half"] + 2 * values["cab_half"] + bonnet + 0.08
        cab_at = length / 2 - bonnet - values["cab_half"]
        cargo_at = -length / 2 + values["cargo_half"]
        top = max(2 * values["cargo_height"], 2 * values["cab_height"])
        half, wide = values["cargo_half"], values["half_width"]
        ready = stand(values["turned"], length / 2 + 0.02, deck + top)
        front = length / 2 - values["wheel"] - 0.1
        rear = -length / 2 + values["wheel"] + 0.12
        ready |= {
            "deck": deck,
            "half_length": length / 2,
            "cab_at": cab_at,
            "cargo_at": cargo_at,
            "axles": [front, rear, rear + 2.15 * values["wheel"]],
        }
        cargo_middle = [cargo_at, deck + values["cargo_height"], 0]
        ready |= ball("cargo", ready, cargo_middle, np.hypot(half, np.hypot(wide, 0.5)) + 0.06)
        cab_middle = [cab_at + bonnet / 2, deck + 0.8 * values["cab_height"], 0]
        cab_reach = np.hypot(
            values["cab_half"] + bonnet / 2, np.hypot(wide, 1.3 * values["cab_height"])
        )
        ready |= ball("cab", ready, cab_middle, cab_reach + 0.08)
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return cab, cargo, wheels and the frame below."""
        return [
            Solid("cab", self.cab, self.paint_cab, in_ball("cab"), trust=0.9),
            Solid("cargo", self.cargo, self.paint_cargo, in_ball("cargo"), trust=0.9),
            Solid("wheels", self.wheels, self.paint_wheels, trust=0.95),
            Solid("frame", self.frame, self.paint_frame, trust=0.95),
        ]

    @staticmethod
    def cab(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the cab, with a bonnet before it or without."""
        x, y, z = local_point(point, p)
        up = y - p.deck + 0.1
        lean = np.maximum(up - p.cab_height * 1.1, 0.0) * 0.25
        shell = box(
            vector(x - p.cab_at + lean * 0.5, up - p.cab_height, z),
            vector(p.cab_half - lean * 0.5, p.cab_height, p.half_width * 0.95),
            0.05,
        )
        if p.bonnet == "yes":
            low = p.cab_height * 0.55
            nose = vector(x - p.cab_at - p.cab_half - 0.18, up - low, z)
            shell = smooth_union(
                shell, box(nose, vector(0.24, low, p.half_width * 0.8), 0.06), 0.03
            )
        return shell * p.scale

    @staticmethod
    def cargo(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to what is carried."""
        x, y, z = local_point(point, p)
        inside = vector(x - p.cargo_at, y - p.deck - p.cargo_height, z)
        if p.cargo == "tank":
            size = np.minimum(p.cargo_height, p.half_width)
            low = vector(x - p.cargo_at, y - p.deck - size, z)
            end = vector(p.cargo_half - size * 0.8, 0.0, 0.0)
            return capsule(low, -end, end, size, size) * p.scale
        if p.cargo == "bed":
            tall = p.cargo_height * 0.5
            wall = box(
                inside + vector(0.0, tall, 0.0), vector(p.cargo_half, tall, p.half_width), 0.02
            )
            hollow = vector(p.cargo_half - 0.05, tall, p.half_width - 0.05)
            lifted = inside + vector(0.0, tall * 0.75, 0.0)
            return smooth_intersection(wall, -box(lifted, hollow, 0.01), 0.01) * p.scale
        half = vector(p.cargo_half, p.cargo_height, p.half_width)
        shell = box(inside, half, 0.02)
        if p.cargo == "container" and detail:
            shell = shell + np.sin(inside[0] * 75) * 0.006
        return shell * p.scale

    @staticmethod
    def wheels(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to three axles' wheels, mirrored."""
        x, y, z = local_point(point, p)
        out = np.abs(z) - p.half_width * 0.85
        tyres = [
            cylinder(vector(x - at, y - p.wheel, out), 0.08, p.wheel, Z, 0.03) for at in p.axles
        ]
        return union(*tyres) * p.scale

    @staticmethod
    def frame(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the girders that everything rests on."""
        x, y, z = local_point(point, p)
        half = vector(p.half_length - 0.06, 0.05, p.half_width * 0.75)
        return box(vector(x, y - p.deck + 0.05, z), half, 0.01) * p.scale

    @staticmethod
    def paint_wheels(point: Array, normal: Array, p: Parameters) -> Material:
        """Tyres and rims."""
        x, y, _ = local_point(point, p)
        across = np.minimum(np.abs(x - p.axles[0]), np.abs(x - p.axles[1]))
        across = np.minimum(across, np.abs(x - p.axles[2]))
        return Material(paint_wheel(radius(across, y - p.wheel), p.wheel), parts.WHEELS, 0.2, 30.0)

    @staticmethod
    def paint_frame(point: Array, normal: Array, p: Parameters) -> Material:
        """Dark girders."""
        return Material(TRIM + 0 * point, parts.BODY, 0.1)

    @staticmethod
    def paint_cab(point: Array, normal: Array, p: Parameters) -> Material:
        """Lacquer, windscreen, side windows, grille, lamps, bumper."""
        x, y, z = local_point(point, p)
        ahead, _, side = to_frame(normal, p)
        up = (y - p.deck + 0.1) / p.cab_height
        band = (up > 1.05) & (up < 1.75)
        within = np.abs(x - p.cab_at) < p.cab_half * 0.7
        screen = (ahead > 0.6) & (x > p.cab_at) & (np.abs(z) < p.half_width * 0.82)
        glass = band & (screen | ((np.abs(side) > 0.6) & within))
        front = x > p.half_length - 0.1
        lamp = front & (np.abs(up - 0.42) < 0.12) & (np.abs(z) > p.half_width * 0.5)
        grille = front & (np.abs(up - 0.6) < 0.25) & (np.abs(z) < p.half_width * 0.45)
        bumper = up < 0.22
        color = choose(bumper | grille, TRIM, p.color)
        color = choose(lamp, FRONT_LAMP, color)
        part = choose(glass, parts.WINDOWS, choose(lamp, parts.LIGHTS, parts.CAB)).astype(int)
        return Material(choose(glass, GLASS, color), part, 0.7, 40.0)

    @staticmethod
    def paint_cargo(point: Array, normal: Array, p: Parameters) -> Material:
        """Second colour, with ribs, a stripe, tail lamps."""
        x, y, z = local_point(point, p)
        behind = to_frame(normal, p)[0] < -0.7
        ribs = 1 - 0.18 * (np.sin(x * 26) < -0.6) * (p.ribs > 0.5)
        stripe = (np.abs(y - p.deck - p.cargo_height * 0.7) < 0.045) & (p.ribs < 0.3)
        color = choose(stripe, p.color, p.color2) * ribs
        lamp = behind & (y < p.deck + 0.1) & (np.abs(z) > p.half_width * 0.6)
        gate = behind & (np.abs(z) < 0.012)
        color = choose(gate, color * np.float32(0.4), color)
        part = choose(lamp, parts.LIGHTS, parts.CARGO).astype(int)
        return Material(choose(lamp, REAR_LAMP, color), part, 0.3, 25.0)
