"""Vegetables on a table: cucumbers (whole, cut, sliced), eggplants, mushrooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
        values = draw_stage(stage, floor="wood", pitch=0.6, distance=6.5, zoom=0.2,
                            target=[0.0, 0.25, 0.0], center=[0.0, 0.4, 0.0], bound=1.75,
                            floor_color=hsv(.08, .5, .6), floor_color2=hsv(.06, .7, .3), backdrop="blur")
        thick, thin = uniform(shape, .36, .48), uniform(shape, .17, .25)
        half = uniform(shape, .45, .75)
        roll = np.arctan2(thick - thin, 2 * half)
        values.update(
            thick=thick, thin=thin, half=half, bend=uniform(shape, -.22, .22), spin=uniform(shape, 0, 6.3),
            rotation=rotation_matrix(uniform(shape, -3.1, 3.1), 0, -roll).ravel().tolist(),
            position=[0, (thick + thin) / 2, 0],
            tint=hsv(shape.uniform(.74, .85), shape.uniform(.45, .8), shape.uniform(.16, .36)),
            green=hsv(shape.uniform(.22, .32), shape.uniform(.45, .7), shape.uniform(.35, .6)),
            lobes=uniform(shape, .14, .26), stem=uniform(shape, .12, .32), stem_bend=uniform(shape, -.12, .12),
            offset=uniform(shape, 0, 31))
        return values

    def solids(self, values):
        return [Solid("body", self.body, self.paint_body, trust=0.75),
                Solid("calyx", self.calyx, self.paint_calyx, trust=0.75)]

    @staticmethod
    def bent(point, p):
        local = to_local(point, p.rotation, p.position)
        return torch.stack([local[0], local[1], local[2] - p.bend * (local[0]**2 - .3)])

    def body(self, point, p, detail):
        b = self.bent(point, p)
        d = smooth_union(ellipsoid(b + vector(p.half * .55, 0., 0.), vector(p.thick * 1.15, p.thick, p.thick)),
                         capsule(b, vector(-p.half * .4, 0., 0.), vector(p.half, 0., 0.), p.thick * .8, p.thin), .25)
        return d - .004 * noise(b * 5 + p.offset) if detail else d

    def calyx(self, point, p, detail):
        b = self.bent(point, p)
        a = torch.atan2(b[1], b[2]) + p.spin
        edge = p.half + .05 - p.lobes * (.55 + .9 * torch.cos(a * 2.5).abs() ** 1.5)
        d = smooth_intersection(self.body(point, p, False) - .022, (edge - b[0]) * .6, .03)
        stem = capsule(b, vector(p.half + p.thin * .8, 0., 0.), vector(p.half + p.thin + p.stem, .05, p.stem_bend), .075, .055)
        d = smooth_union(d, stem, .10)
        return d - .012 * noise(b * 16 + p.offset) if detail else d

    def paint_body(self, point, normal, p):
        return Material(p.tint * (.75 + .5 * fractal_noise(to_local(point, p.rotation, p.position) * 2 + p.offset)), 3, 1.1, 70.)

    def paint_calyx(self, point, normal, p):
        return Material(p.green * (.6 + .8 * fractal_noise(to_local(point, p.rotation, p.position) * 9 + p.offset)), 4, .12, 12.)


VEGETABLES = Family("vegetables", {"eggplant": Eggplant()}, {0: "background", 3: "body", 4: "calyx"})
