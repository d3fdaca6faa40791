"""Ships: freighters, liners, sailing boats, fishing boats, warships.

Frame: x to the bow, y up from the waterline, z to one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..drawing import Generator, hsv, uniform
from ..families import Model
from ..geometry import (
    box,
    capsule,
    choose,
    linear_color,
    mix,
    union,
    vector,
)
from ..marching import Solid
from ..noise import noise
from ..parameters import Array, Parameters, Values
from ..shading import Material
from . import parts
from .places import draw_place
from .road_vehicles import facing
from .standing import Hsv, ball, in_ball, local_point, near, stand

# (low, high) of: half_length, half_width and freeboard of the hull; deckhouse: half its length, its
# height, and where it stands (-1 stern, 1 bow); mast.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "freighter": {
        "half_length": (1.05, 1.25), "half_width": (0.20, 0.26), "freeboard": (0.14, 0.20),
        "house": (0.12, 0.16), "house_height": (0.18, 0.26), "house_at": (-0.78, -0.66),
        "mast": (0.30, 0.40),
    },
    "liner": {
        "half_length": (1.05, 1.25), "half_width": (0.20, 0.26), "freeboard": (0.16, 0.22),
        "house": (0.62, 0.74), "house_height": (0.14, 0.20), "house_at": (-0.14, 0.0),
        "mast": (0.30, 0.40),
    },
    "sailing boat": {
        "half_length": (0.60, 0.75), "half_width": (0.16, 0.22), "freeboard": (0.10, 0.15),
        "house": (0.16, 0.24), "house_height": (0.04, 0.06), "house_at": (-0.2, -0.05),
        "mast": (1.0, 1.35),
    },
    "fishing boat": {
        "half_length": (0.60, 0.75), "half_width": (0.22, 0.28), "freeboard": (0.16, 0.22),
        "house": (0.14, 0.20), "house_height": (0.16, 0.22), "house_at": (-0.3, 0.25),
        "mast": (0.45, 0.65),
    },
    "warship": {
        "half_length": (1.1, 1.3), "half_width": (0.14, 0.18), "freeboard": (0.12, 0.16),
        "house": (0.28, 0.36), "house_height": (0.10, 0.14), "house_at": (-0.1, 0.1),
        "mast": (0.45, 0.60),
    },
}  # fmt: skip
SHARES = {
    "freighter": 0.28, "liner": 0.2, "sailing boat": 0.22, "fishing boat": 0.2, "warship": 0.1,
}  # fmt: skip
HULLS: list[Hsv] = [
    (0.00, 0.80, 0.55), (0.60, 0.75, 0.45), (0.00, 0.00, 0.12), (0.10, 0.04, 0.92),
    (0.35, 0.60, 0.35), (0.13, 0.75, 0.80), (0.55, 0.55, 0.55), (0.05, 0.75, 0.65),
]  # fmt: skip
BOTTOMS: list[Hsv] = [(0.0, 0.75, 0.4), (0.6, 0.6, 0.35), (0.0, 0.0, 0.15), (0.35, 0.5, 0.3)]
WHITE: Hsv = (0.10, 0.03, 0.93)
WOOD, CANVAS = linear_color((0.62, 0.48, 0.33)), linear_color((0.95, 0.94, 0.90))
DARK = linear_color((0.10, 0.13, 0.17))


def _vivid(color: Array) -> Array:
    """Stretch middling colours away from grey."""
    stretched = np.clip(0.5 + 2.2 * (color - 0.5), 0.02, 0.95)
    return stretched * stretched


class Ship(Model):
    """Ships of five kinds."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, kind, measures, colours, list and trim in the waves."""
        values = draw_place(stage, "ship", **options)
        kind = str(shape.choice(list(SHARES), p=list(SHARES.values())))
        values |= {name: uniform(shape, *span) for name, span in KINDS[kind].items()}
        hull = WHITE if kind in ("liner", "sailing boat") else HULLS[shape.integers(len(HULLS))]
        if shape.random() < 0.3:
            hull = HULLS[shape.integers(len(HULLS))]
        grey: Hsv = (0.58, 0.08, 0.55)
        values |= {
            "kind": kind,
            "turned": facing(shape),
            "trim": float(shape.normal(0, 0.03)),
            "heel": float(shape.normal(0, 0.05)),
            "color": near(shape, grey if kind == "warship" else hull),
            "color2": near(shape, grey if kind == "warship" else WHITE),
            "color3": near(shape, BOTTOMS[shape.integers(len(BOTTOMS))]),
            "funnel_color": hsv(shape.random(), uniform(shape, 0.4, 0.9), uniform(shape, 0.2, 0.8)),
            "offset": uniform(shape, 0, 31),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute placement and bounds."""
        half, deck = values["half_length"], values["freeboard"]
        storeys = 3.2 if values["kind"] in ("freighter", "fishing boat") else 2.4
        top = deck + max(values["mast"], storeys * values["house_height"]) + 0.1
        ready = stand(values["turned"], half + 0.02, top, pitch=values["heel"], roll=values["trim"])
        house_at = values["house_at"] * half
        ready["house_x"] = house_at
        ready["mast_x"] = {"sailing boat": 0.06, "fishing boat": house_at - 0.3 * half}.get(
            values["kind"], house_at
        )
        size = np.hypot(values["house"] + 0.1, storeys * values["house_height"] * 0.6 + 0.2)
        middle = [house_at, deck + storeys * values["house_height"] * 0.4, 0.0]
        ready |= ball("house", ready, middle, float(size) + 0.1)
        mast_middle = [ready["mast_x"], deck + values["mast"] / 2, 0.0]
        ready |= ball("mast", ready, mast_middle, values["mast"] / 2 + 0.12)
        ready |= ball("sails", ready, mast_middle, float(np.hypot(values["mast"] / 2, 0.55)))
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return the hull and what stands on it."""
        kind = values["kind"]
        found = [
            Solid("hull", self.hull, self.paint_hull, trust=0.9),
            Solid("deckhouse", self.house, self.paint_house, in_ball("house"), trust=0.95),
            Solid("mast", self.mast, self.paint_mast, in_ball("mast"), trust=0.95),
        ]
        if kind == "sailing boat":
            found.append(Solid("sails", self.sails, self.paint_sails, in_ball("sails")))
        if kind == "freighter":
            found.append(Solid("cargo", self.cargo, self.paint_cargo, trust=0.9))
        return found

    @staticmethod
    def hull(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance: a box whose sides close to the bow and lean out with the height."""
        x, y, z = local_point(point, p)
        forward = np.maximum(x / p.half_length, 0.0)
        bow = forward * forward
        sheer = 0.10 * bow  # the deck rises to the bow
        width = p.half_width * (1 - 0.94 * bow * forward) + (y - p.freeboard) * 0.18 * forward
        moved = vector(x - 0.10 * forward * y, y - p.freeboard * 0.3 - sheer, z)
        half = vector(p.half_length, p.freeboard * 0.7, np.maximum(width, 0.012))
        return box(moved, half, 0.015) * (0.8 * p.scale)

    @staticmethod
    def house(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the deckhouse: storeys, each smaller than the one below."""
        x, y, z = local_point(point, p)
        up, tall = y - p.freeboard, p.house_height
        back = x - p.house_x

        def storey(bottom: float, height: float, length: float, width: float) -> Array:
            middle = vector(back, up - tall * (bottom + height / 2), z)
            return box(
                middle, vector(p.house * length, tall * height / 2, p.half_width * width), 0.012
            )

        floors = [storey(-0.3, 1.3, 1.0, 0.85)]
        if p.kind in ("freighter", "fishing boat"):
            floors.append(storey(1.0, 0.8, 0.75, 0.75))
        if p.kind == "freighter":
            floors.append(storey(1.8, 0.6, 0.6, 1.0))
        if p.kind in ("liner", "warship"):
            floors.append(storey(1.0, 0.7, 0.7, 0.7))
        if p.kind == "liner":
            chimney = vector(back + p.house * 0.25, up - tall * 2.1, z)
            floors.append(box(chimney, vector(0.08, tall * 0.5, 0.06), 0.03))
        if p.kind == "warship":
            gun = vector(x - p.half_length * 0.55, up - 0.06, z)
            floors.append(box(gun, vector(0.08, 0.06, 0.06), 0.02))
        return union(*floors) * p.scale

    @staticmethod
    def mast(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the mast; freighters have a funnel as well."""
        own = local_point(point, p)
        foot = vector(p.mast_x, p.freeboard - 0.02, 0.0)
        sticks = [capsule(own, foot, foot + vector(0.0, p.mast, 0.0), 0.022, 0.014)]
        if p.kind == "freighter":
            base = vector(p.house_x - p.house * 0.7, p.freeboard, 0.0)
            top = base + vector(-0.03, p.house_height * 2.5, 0.0)
            sticks.append(capsule(own, base, top, 0.06, 0.05))
        if p.kind in ("fishing boat", "warship"):
            cross = foot + vector(0.0, p.mast * 0.75, 0.0)
            arm = vector(0.0, 0.0, p.half_width * 0.6)
            sticks.append(capsule(own, cross - arm, cross + arm, 0.013, 0.013))
        return union(*sticks) * p.scale

    @staticmethod
    def sails(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to mainsail and jib: thin triangles, full of wind."""
        x, y, z = local_point(point, p)
        up = (y - p.freeboard - 0.1) / p.mast
        left = np.clip(1 - up, 0.0, 1.0)
        belly = 0.35 * left * (1 - left)
        half = p.mast * 0.44
        middle = y - p.freeboard - 0.1 - half
        main = vector(x - p.mast_x + 0.02 + 0.24 * left, middle, z - belly)
        jib = vector(x - p.mast_x - 0.02 - 0.20 * left, middle + half * 0.08, z - belly * 0.7)
        return union(
            box(main, vector(0.24 * left + 0.004, half, 0.014), 0.008),
            box(jib, vector(0.17 * left + 0.004, half * 0.92, 0.012), 0.008),
        ) * (0.75 * p.scale)

    @staticmethod
    def cargo(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to containers on the deck, in stacks; space is repeated."""
        x, y, z = local_point(point, p)
        gap = p.half_length * 0.2
        stack = np.clip(np.round(x / gap - 0.5), -2.0, 2.0) + 0.5
        half = vector(gap * 0.46, p.house_height * 0.75, p.half_width * 0.72)
        return (
            box(vector(x - stack * gap, y - p.freeboard - p.house_height * 0.6, z), half, 0.01)
            * p.scale
        )

    @staticmethod
    def paint_hull(point: Array, normal: Array, p: Parameters) -> Material:
        """Topsides, a red or blue bottom at the waterline, a wooden deck."""
        _, y, _ = local_point(point, p)
        color = choose(y < p.freeboard * 0.28, p.color3, p.color)
        rail = (y > p.freeboard * 0.86) & (normal[1] < 0.7)
        color = choose(rail, mix(p.color, p.color2, 0.7), color)
        return Material(choose(normal[1] > 0.7, WOOD, color), parts.BODY, 0.25, 20.0)

    @staticmethod
    def paint_house(point: Array, normal: Array, p: Parameters) -> Material:
        """White storeys with rows of windows, a coloured funnel on liners."""
        x, y, _ = local_point(point, p)
        up = (y - p.freeboard) / p.house_height
        row = np.abs(up - np.floor(up / 0.55) * 0.55 - 0.3) < 0.11
        glass = row & (np.sin(x * 52) > -0.2) & (normal[1] < 0.5) & (up > 0.1)
        funnel = (up > 1.75) & (p.kind == "liner")
        color = choose(funnel, p.funnel_color, p.color2)
        part = choose(funnel, parts.MAST, choose(glass, parts.WINDOWS, parts.DECKHOUSE)).astype(int)
        return Material(choose(glass & ~funnel, DARK, color), part, 0.3, 25.0)

    @staticmethod
    def paint_mast(point: Array, normal: Array, p: Parameters) -> Material:
        """Wood, or the funnel's colour."""
        x, _, _ = local_point(point, p)
        thick = (np.abs(x - p.mast_x) > 0.04) & (p.kind == "freighter")
        return Material(choose(thick, p.funnel_color, WOOD * np.float32(0.8)), parts.MAST, 0.2)

    @staticmethod
    def paint_sails(point: Array, normal: Array, p: Parameters) -> Material:
        """Canvas with seams."""
        _, y, _ = local_point(point, p)
        seam = np.abs(np.sin(y * 22)) < 0.06
        return Material(CANVAS * choose(seam, 0.85, 1.0), parts.SAIL, 0.05, translucency=0.3)

    @staticmethod
    def paint_cargo(point: Array, normal: Array, p: Parameters) -> Material:
        """Containers of many colours, two high."""
        x, y, z = local_point(point, p)
        column = np.floor(x / (p.half_length * 0.2))
        row = np.floor((y - p.freeboard) / (p.house_height * 0.5))
        lane = np.floor(z / (p.half_width * 0.36))
        cell = vector(column * 2.7, row * 3.1, lane * 1.9) + p.offset
        color = np.stack([noise(cell + 0.37 + 5.3 * channel) for channel in range(3)])
        ribs = 0.85 + 0.15 * (np.sin(x * 120) > 0)
        return Material(_vivid(color) * ribs, parts.CARGO, 0.2)
