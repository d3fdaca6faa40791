"""Vegetables on a table: cucumbers (whole, cut, sliced), eggplants, mushrooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .drawing import Generator, draw_stage, hsv, pick, rotation_matrix, uniform
from .families import Family, Model, Scene
from .geometry import (
    capsule,
    choose,
    ellipsoid,
    smooth_intersection,
    smooth_union,
    to_local,
    vector,
)
from .marching import Bound, Solid
from .noise import fractal_noise, noise
from .parameters import Parameters, Values
from .shading import Material


class Eggplant(Model):
    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        values = draw_stage(
            stage,
            floor="wood",
            pitch=0.6,
            distance=6.5,
            zoom=0.2,
            target=[0.0, 0.25, 0.0],
            center=[0.0, 0.4, 0.0],
            bound=1.75,
            floor_color=hsv(0.08, 0.5, 0.6),
            floor_color2=hsv(0.06, 0.7, 0.3),
            backdrop="blur",
        )
        thick, thin = uniform(shape, 0.36, 0.48), uniform(shape, 0.17, 0.25)
        half = uniform(shape, 0.45, 0.75)
        roll = np.arctan2(thick - thin, 2 * half)
        values.update(
            thick=thick,
            thin=thin,
            half=half,
            bend=uniform(shape, -0.22, 0.22),
            spin=uniform(shape, 0, 6.3),
            rotation=rotation_matrix(uniform(shape, -3.1, 3.1), 0, -roll).ravel().tolist(),
            position=[0, (thick + thin) / 2, 0],
            tint=hsv(
                shape.uniform(0.74, 0.85), shape.uniform(0.45, 0.8), shape.uniform(0.16, 0.36)
            ),
            green=hsv(
                shape.uniform(0.22, 0.32), shape.uniform(0.45, 0.7), shape.uniform(0.35, 0.6)
            ),
            lobes=uniform(shape, 0.14, 0.26),
            stem=uniform(shape, 0.12, 0.32),
            stem_bend=uniform(shape, -0.12, 0.12),
            offset=uniform(shape, 0, 31),
        )
        return values

    def solids(self, values):
        return [
            Solid("body", self.body, self.paint_body, trust=0.75),
            Solid("calyx", self.calyx, self.paint_calyx, trust=0.75),
        ]

    @staticmethod
    def bent(point, p):
        local = to_local(point, p.rotation, p.position)
        return np.stack([local[0], local[1], local[2] - p.bend * (local[0] ** 2 - 0.3)])

    def body(self, point, p, detail):
        b = self.bent(point, p)
        d = smooth_union(
            ellipsoid(
                b + vector(p.half * 0.55, 0.0, 0.0), vector(p.thick * 1.15, p.thick, p.thick)
            ),
            capsule(
                b, vector(-p.half * 0.4, 0.0, 0.0), vector(p.half, 0.0, 0.0), p.thick * 0.8, p.thin
            ),
            0.25,
        )
        return d - 0.004 * noise(b * 5 + p.offset) if detail else d

    def calyx(self, point, p, detail):
        b = self.bent(point, p)
        a = np.arctan2(b[1], b[2]) + p.spin
        edge = p.half + 0.05 - p.lobes * (0.55 + 0.9 * np.abs(np.cos(a * 2.5)) ** 1.5)
        d = smooth_intersection(self.body(point, p, False) - 0.022, (edge - b[0]) * 0.6, 0.03)
        stem = capsule(
            b,
            vector(p.half + p.thin * 0.8, 0.0, 0.0),
            vector(p.half + p.thin + p.stem, 0.05, p.stem_bend),
            0.075,
            0.055,
        )
        d = smooth_union(d, stem, 0.10)
        return d - 0.012 * noise(b * 16 + p.offset) if detail else d

    def paint_body(self, point, normal, p):
        return Material(
            p.tint
            * (0.75 + 0.5 * fractal_noise(to_local(point, p.rotation, p.position) * 2 + p.offset)),
            3,
            1.1,
            70.0,
        )

    def paint_calyx(self, point, normal, p):
        return Material(
            p.green
            * (0.6 + 0.8 * fractal_noise(to_local(point, p.rotation, p.position) * 9 + p.offset)),
            4,
            0.12,
            12.0,
        )


VEGETABLES = Family(
    "vegetables", {"eggplant": Eggplant()}, {0: "background", 3: "body", 4: "calyx"}
)
