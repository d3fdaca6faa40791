"""Airplanes: airliners, propeller planes, fighters; in the air or on a runway.

Frame: the origin in the middle of the fuselage, x forwards, y up, z along the right wing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..drawing import Generator, uniform
from ..families import Model
from ..geometry import (
    X,
    Z,
    box,
    capsule,
    choose,
    cylinder,
    linear_color,
    mirror,
    smooth_union,
    union,
    vector,
)
from ..marching import Solid
from ..noise import fractal_noise
from ..parameters import Array, Parameters, Values
from ..shading import Material
from . import parts
from .places import PLACES, draw_place
from .standing import Hsv, ball, fly, in_ball, local_point, near

# Measures of each kind (low, high): half_length and radius of the fuselage, span of one wing, chord
# at its root and tip, sweep of the wing per unit of span, height of the fin.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "airliner": {
        "half_length": (0.95, 1.15), "girth": (0.11, 0.15), "span": (0.85, 1.1),
        "chord": (0.20, 0.26), "tip": (0.07, 0.10), "sweep": (0.35, 0.65), "fin": (0.30, 0.40),
        "wing_at": (-0.05, 0.15), "wing_height": (-0.07, -0.04), "engine": (0.06, 0.085),
    },
    "propeller": {
        "half_length": (0.70, 0.85), "girth": (0.12, 0.17), "span": (0.85, 1.05),
        "chord": (0.17, 0.22), "tip": (0.13, 0.18), "sweep": (-0.02, 0.10), "fin": (0.24, 0.32),
        "wing_at": (0.10, 0.22), "wing_height": (-0.10, 0.14), "engine": (0.05, 0.06),
    },
    "fighter": {
        "half_length": (0.95, 1.10), "girth": (0.09, 0.12), "span": (0.50, 0.68),
        "chord": (0.36, 0.46), "tip": (0.05, 0.09), "sweep": (0.75, 1.05), "fin": (0.28, 0.36),
        "wing_at": (-0.05, 0.08), "wing_height": (-0.02, 0.01), "engine": (0.05, 0.06),
    },
}  # fmt: skip
SHARES = {"airliner": 0.55, "propeller": 0.28, "fighter": 0.17}
PAINTS: dict[str, list[Hsv]] = {
    "airliner": [(0.6, 0.03, 0.95)] * 4 + [(0.6, 0.04, 0.78), (0.6, 0.6, 0.6), (0.0, 0.75, 0.7)],
    "propeller": [(0.6, 0.03, 0.92), (0.0, 0.8, 0.7), (0.14, 0.8, 0.85), (0.6, 0.65, 0.6),
                  (0.25, 0.3, 0.35), (0.6, 0.04, 0.7)],
    "fighter": [(0.6, 0.06, 0.55), (0.6, 0.1, 0.4), (0.25, 0.3, 0.35), (0.12, 0.3, 0.5)],
}  # fmt: skip
ACCENTS: list[Hsv] = [
    (0.00, 0.85, 0.70), (0.60, 0.80, 0.60), (0.62, 0.8, 0.35), (0.13, 0.80, 0.88),
    (0.35, 0.60, 0.40), (0.05, 0.80, 0.80), (0.55, 0.6, 0.7), (0.00, 0.00, 0.25),
]  # fmt: skip
#: Altitude in the air; height of the fuselage over the runway, in its own frame.
ALTITUDE, GEAR = 0.55, 0.40


class Airplane(Model):
    """Airplanes of three kinds."""

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw a scene: place, kind, measures, attitude, colours."""
        values = draw_place(stage, "airplane", **options)
        typical = options.get("typical_backgrounds", True)
        on_runway = shape.random() < 0.5
        if typical:
            on_runway = PLACES[str(values["place"])].floor != "none"
        kind = str(shape.choice(list(SHARES), p=list(SHARES.values())))
        values |= {name: uniform(shape, *span) for name, span in KINDS[kind].items()}
        pitch, bank = shape.normal(0, [0.28, 0.35])
        accent = ACCENTS[shape.integers(len(ACCENTS))]
        values |= {
            "kind": kind,
            "gear": "down" if on_runway else "up",
            "turned": uniform(shape, -np.pi, np.pi),
            "climb": 0.0 if on_runway else float(pitch),
            "bank": 0.0 if on_runway else float(bank),
            "color": near(shape, PAINTS[kind][shape.integers(len(PAINTS[kind]))]),
            "color2": near(shape, accent),
            "livery": uniform(shape, 0, 1),
            "offset": uniform(shape, 0, 31),
        }
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Compute placement and bounds."""
        half, span = values["half_length"], values["span"]
        reach = float(np.hypot(half, 0.3 * span) if half > span else np.hypot(span, 0.3 * half))
        ready = fly(values["turned"], values["bank"], values["climb"], reach, ALTITUDE)
        if values["gear"] == "down":
            ready["position"] = ready["center"] = np.array([0.0, GEAR * ready["scale"], 0.0])
        ready["bound"] = ready["scale"] * 1.12 * max(half + 0.1, span + 0.2)
        ready |= ball("tail", ready, [-0.9 * half, values["fin"] * 0.4, 0.0], 0.62)
        ready |= ball("gear", ready, [0.25, -0.2, 0.0], 0.62)
        ready |= ball("propeller", ready, [half + 0.03, 0.0, 0.0], 0.32)
        return ready

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return fuselage, wings and tail, and engines, propeller, gear where there are any."""
        found = [
            Solid("fuselage", self.fuselage, self.paint_fuselage),
            Solid("wings", self.wings, self.paint_wings, trust=0.9),
            Solid("tail", self.tail, self.paint_tail, in_ball("tail"), trust=0.9),
        ]
        if values["kind"] == "airliner":
            found.append(Solid("engines", self.engines, self.paint_engines, trust=0.95))
        if values["kind"] == "propeller":
            around = in_ball("propeller")
            found.append(Solid("propeller", self.propeller, self.paint_engines, around))
        if values["gear"] == "down":
            found.append(Solid("gear", self.gear, self.paint_gear, in_ball("gear"), trust=0.95))
        return found

    @staticmethod
    def fuselage(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance: a tube that tapers upwards to the tail, and a canopy if small."""
        own = local_point(point, p)
        nose = 0.45 if p.kind == "fighter" else 1.0
        front = vector(p.half_length * 0.35, 0.0, 0.0)
        tube = union(
            capsule(own, vector(p.half_length * -0.4, 0.0, 0.0), front, p.girth, p.girth),
            capsule(own, front, vector(p.half_length * 0.95, p.girth * -0.2, 0.0), p.girth,
                    p.girth * 0.6 * nose),
        )  # fmt: skip
        tail = vector(-p.half_length, p.girth * 0.5, 0.0)
        cone = capsule(own, vector(p.half_length * -0.35, 0.0, 0.0), tail, p.girth, p.girth * 0.3)
        hull = smooth_union(tube, cone, 0.1)
        if p.kind != "airliner":
            seat = vector(p.half_length * 0.3, p.girth * 0.75, 0.0)
            canopy = capsule(own, seat, seat + vector(p.half_length * -0.3, 0.0, 0.0),
                             p.girth * 0.55, p.girth * 0.6)  # fmt: skip
            hull = smooth_union(hull, canopy, 0.05)
        return hull * p.scale

    @staticmethod
    def wings(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to both wings: tapered, swept back, tilted up a little."""
        x, y, z = mirror(local_point(point, p), Z)
        chord = p.chord + (p.tip - p.chord) * np.minimum(z / p.span, 1.0)
        bent = vector(x - p.wing_at + p.sweep * z, y - p.wing_height - 0.07 * z, z - p.span * 0.5)
        thick = chord * 0.09 + 0.008
        slope = 0.8 if p.kind != "fighter" else 0.65  # a sheared box is nearer than it says
        return box(bent, vector(chord, thick, p.span * 0.5), 0.012) * (slope * p.scale)

    @staticmethod
    def tail(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to tailplane and fin."""
        x, y, z = mirror(local_point(point, p), Z)
        back = x + p.half_length * 0.9
        plane = vector(back + 0.5 * z, y - p.girth * 0.5, z - 0.17)
        low = box(plane, vector(0.14 - 0.2 * np.clip(z, 0.0, 0.4), 0.018, 0.17), 0.01)
        up = np.maximum(y, 0.0)
        fin = vector(back + 0.55 * up, y - p.fin * 0.55, z)
        high = box(fin, vector(np.maximum(0.17 - 0.2 * up, 0.04), p.fin * 0.5, 0.018), 0.01)
        return union(low, high) * (0.8 * p.scale)

    @staticmethod
    def engines(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the engines below the wings."""
        own = mirror(local_point(point, p), Z)
        out = p.span * 0.36
        middle = vector(
            p.wing_at + p.chord * 0.7 - p.sweep * out, p.wing_height - p.engine * 0.9, out
        )
        return cylinder(own - middle, 0.13, p.engine, X, 0.03) * p.scale

    @staticmethod
    def propeller(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the disc of the turning blades, and the spinner."""
        ahead = local_point(point, p) - vector(p.half_length * 0.95 + p.girth * 0.6, 0.0, 0.0)
        hub = capsule(ahead, vector(-0.05, 0.0, 0.0), vector(0.04, 0.0, 0.0), 0.05, 0.02)
        x, y, z = ahead
        blade = box(
            vector(x, y * 0.8 + z * 0.6, z * 0.8 - y * 0.6), vector(0.01, 0.26, 0.035), 0.008
        )
        return union(hub, blade) * p.scale

    @staticmethod
    def gear(point: Array, p: Parameters, detail: bool) -> Array:
        """Signed distance to the landing gear: two legs below the wings, one below the nose."""
        own = mirror(local_point(point, p), Z)
        main, front = vector(-0.05, -GEAR + 0.07, 0.2), vector(0.55, -GEAR + 0.06, 0.0)
        return (
            union(
                cylinder(own - main, 0.04, 0.07, Z, 0.02),
                cylinder(own - front, 0.03, 0.06, Z, 0.02),
                capsule(own, vector(-0.05, -0.02, 0.1), main, 0.022, 0.022),
                capsule(own, vector(0.55, -0.02, 0.0), front, 0.02, 0.02),
            )
            * p.scale
        )

    @staticmethod
    def paint_fuselage(point: Array, normal: Array, p: Parameters) -> Material:
        """Two colours, windows in a row or a canopy of glass."""
        x, y, _ = local_point(point, p)
        if p.kind == "airliner":
            row = np.abs(y - p.girth * 0.35) < p.girth * 0.16
            glass = row & (np.sin(x * 42) > -0.1) & (np.abs(x) < p.half_length * 0.62)
            ahead = (x > p.half_length * 0.86) & (x < p.half_length * 0.98)
            glass = glass | (ahead & (y > p.girth * 0.22) & (y < p.girth * 0.55))
        else:
            glass = (y > p.girth * 0.8) & (x > p.half_length * -0.05)
        stripe = (np.abs(y + p.girth * 0.1) < p.girth * 0.18) & (p.livery < 0.5)
        stern = (x + y * 1.2 < p.half_length * -0.62) & (p.livery > 0.35)
        color = choose(stripe | stern, p.color2, p.color)
        color = color * (0.92 + 0.16 * fractal_noise(point * 6 + p.offset))
        part = choose(glass, parts.WINDOWS, parts.BODY).astype(int)
        dark = linear_color((0.12, 0.16, 0.2))
        return Material(choose(glass, dark, color), part, choose(glass, 0.9, 0.5), 35.0)

    @staticmethod
    def paint_wings(point: Array, normal: Array, p: Parameters) -> Material:
        """First colour; flaps a little darker, tips in the second."""
        x, _, z = mirror(local_point(point, p), Z)
        chord = p.chord + (p.tip - p.chord) * np.minimum(z / p.span, 1.0)
        flap = (x - p.wing_at + p.sweep * z) < chord * -0.6
        color = choose((z > p.span * 0.9) & (p.livery > 0.5), p.color2, p.color)
        return Material(color * choose(flap, 0.8, 0.97), parts.WINGS, 0.4, 30.0)

    @staticmethod
    def paint_tail(point: Array, normal: Array, p: Parameters) -> Material:
        """Fin in the second colour."""
        _, y, z = local_point(point, p)
        fin = (np.abs(z) < 0.03) & (y > p.girth * 0.6)
        return Material(choose(fin, p.color2, p.color), parts.TAIL, 0.4, 30.0)

    @staticmethod
    def paint_engines(point: Array, normal: Array, p: Parameters) -> Material:
        """Grey metal."""
        return Material(linear_color((0.55, 0.56, 0.58)) + 0 * point, parts.ENGINE, 0.6, 40.0)

    @staticmethod
    def paint_gear(point: Array, normal: Array, p: Parameters) -> Material:
        """Black tyres and struts."""
        return Material(linear_color((0.14, 0.14, 0.15)) + 0 * point, parts.WHEELS, 0.2, 20.0)
