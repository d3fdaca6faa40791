"""Vegetables on a table: cucumbers (whole, cut, sliced), eggplants and mushrooms.

The table, the camera and the light are drawn before, and independently of, what lies on the table,
and every vegetable is scaled to the same random extent: the background alone says nothing about the
class. Each vegetable is described in units of its own, about 1 from the middle to the tip, and
scaled; `_Placed` holds what they share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .drawing import Generator, draw_stage, hsv, pick, rotation_matrix, uniform
from .families import Family, Model, Scene, suggest
from .geometry import (
    Array,
    capsule,
    choose,
    cylinder,
    ellipsoid,
    linear_color,
    mix,
    radius,
    smooth_intersection,
    smooth_union,
    smoothstep,
    to_local,
    vector,
)
from .marching import Bound, Solid
from .noise import fractal_noise, noise
from .parameters import Parameters, Values
from .shading import Material

PARTS = {
    0: "background",
    1: "cucumber skin",
    2: "cucumber stalk",
    3: "cut face",
    4: "seeds",
    5: "eggplant skin",
    6: "eggplant calyx",
    7: "mushroom cap",
    8: "mushroom stem",
    9: "mushroom gills",
}
(
    _BACKGROUND,
    CUCUMBER_SKIN,
    CUCUMBER_STALK,
    CUT_FACE,
    SEEDS,
    EGGPLANT_SKIN,
    CALYX,
    CAP,
    STEM,
    GILLS,
) = PARTS

# --- the table --------------------------------------------------------------------------------

#: Kinds of table tops, and how often they are drawn.
TABLES = {"wood": 0.25, "cloth": 0.2, "stone": 0.2, "tile": 0.15, "plain": 0.12, "grass": 0.08}


def _table_colors(rng: Generator, kind: str) -> tuple[list[float], list[float]]:
    """Two colours that suit this kind of table top."""
    hue, light, dark = rng.random(), rng.random(), rng.random()
    if kind == "wood":
        tone = 0.07 + 0.03 * hue
        return hsv(tone, 0.3 + 0.35 * dark, 0.45 + 0.4 * light), hsv(0.06, 0.7, 0.2 + 0.2 * dark)
    if kind == "cloth":
        return hsv(0.1, 0.05, 0.95), hsv(hue, 0.2 + 0.6 * light, 0.4 + 0.5 * dark)
    if kind == "stone":
        return hsv(hue, 0.08, 0.5 + 0.45 * light), hsv(hue, 0.1, 0.25 + 0.35 * dark)
    if kind == "tile":
        return hsv(hue, 0.05 + 0.35 * light, 0.9), hsv(hue + 0.05, 0.4, 0.7)
    if kind == "grass":
        return hsv(0.24 + 0.06 * hue, 0.55 + 0.1 * light, 0.5 + 0.2 * dark), hsv(0.15, 0.7, 0.9)
    return hsv(hue, 0.1 + 0.5 * light, 0.3 + 0.6 * dark), hsv(hue, 0.3, 0.5)


def set_table(stage: Generator, backdrop: str | None = None) -> Values:
    """Draw camera, light and table, and how large the thing on it shall be.

    Parameters
    ----------
    stage : Generator
        Source of chance.
    backdrop : str, optional
        A kind of table top from `TABLES`; by default one is drawn.
    """
    drawn = pick(stage, TABLES)
    kind = drawn if backdrop is None else _known_table(backdrop)
    first, second = _table_colors(stage, kind)
    distance, zoom, fill = 6.5, uniform(stage, 0.15, 0.215), uniform(stage, 0.66, 0.9)
    half_frame = distance * zoom
    # the thing is somewhere near the middle of the picture, and never cut by its frame
    shift, angle = (0.96 - fill) * half_frame * stage.random(), stage.uniform(0, 2 * np.pi)
    room = [hsv(stage.random(), 0.3, 0.5), hsv(stage.random(), 0.4, 0.7)]
    values = draw_stage(
        stage,
        floor=kind,
        floor_color=first,
        floor_color2=second,
        floor_scale=uniform(stage, 0.7, 1.3),
        backdrop="blur",
        backdrop_color=room[0],
        backdrop_color2=room[1],
        yaw=uniform(stage, -np.pi, np.pi),
        pitch=uniform(stage, 0.3, 1.15),
        distance=distance,
        zoom=zoom,
        target=[float(shift * np.cos(angle)), 0.25, float(shift * np.sin(angle))],
    )
    extent = fill * half_frame
    values.update(extent=extent, center=[0.0, 0.35, 0.0], bound=1.25 * extent + 0.2)
    return values


def _known_table(kind: str) -> str:
    if kind not in TABLES:
        raise ValueError(f"no backdrop {kind!r} for vegetables: {suggest(kind, TABLES)}")
    return kind


class _Placed(Model):
    """A thing with a scale, a rotation and a position on the table.

    Parameters of every such thing: `scale`, `rotation` (object to world), `position`, `offset`
    (where in the noise its texture lies).
    """

    def draw(self, stage: Generator, shape: Generator, **options: Any) -> Values:
        """Draw the table, then the thing; option `backdrop`: the kind of table top."""
        values = set_table(stage, **options)
        values["offset"] = uniform(shape, 0, 31)
        values.update(self.draw_shape(shape, values["extent"], values["yaw"]))
        return values

    def draw_shape(self, shape: Generator, extent: float, camera: float) -> Values:
        """Draw everything that is the vegetable's own, for a camera at this yaw."""
        raise NotImplementedError


def _scaled(distance: Callable[..., Array]) -> Callable[..., Array]:
    """Turn a distance in the thing's own units and coordinates into one in the world's."""

    @functools.wraps(distance)
    def in_world(point: Array, p: Parameters, detail: bool) -> Array:
        return distance(_own(point, p), p, detail) * p.scale

    return in_world


def _own(point: Array, p: Parameters) -> Array:
    """World coordinates to those of the thing."""
    return to_local(point, p.rotation, p.position) / p.scale


def _seen_from_the_side(shape: Generator, camera: float) -> float:
    """Draw the yaw of a long thing so that it is hardly ever seen along its axis."""
    return camera + shape.uniform(-1.05, 1.05) + np.pi * shape.integers(2)


def _mostly_facing(shape: Generator, camera: float) -> float:
    """Draw the yaw of a row of slices: mostly so that their cut sides can be seen."""
    side = 1 if shape.random() < 0.8 else -1
    return camera + side * shape.uniform(0.3, np.pi - 0.3)


def _bend(point: Array, amount: Array) -> Array:
    """Bend a thing that lies along x sideways, into a parabola."""
    bent = point.copy()
    bent[2] -= amount * (point[0] * point[0] - 0.35)
    return bent


# --- cucumber ---------------------------------------------------------------------------------

_PALE = linear_color((0.86, 0.93, 0.66))
_JUICY = linear_color((0.70, 0.84, 0.42))
_SEED = linear_color((0.95, 0.95, 0.80))
_SEEDS_AROUND = 15
_SLICE_THICKNESS = 0.055


class Cucumber(_Placed):
    """A cucumber along x: whole, cut with slices beside it, or slices only."""

    def draw_shape(self, shape: Generator, extent: float, camera: float) -> Values:
        """Draw form, size, colours and where the slices are."""
        form = pick(shape, {"whole": 0.45, "cut": 0.33, "slices": 0.22})
        thickness = uniform(shape, 0.19, 0.27)
        scale = extent / 1.1
        yaw = _mostly_facing if form == "slices" else _seen_from_the_side
        values: Values = {
            "form": form,
            "scale": scale,
            "thickness": thickness,
            "bend": uniform(shape, -0.25, 0.25),
            "cut": uniform(shape, -0.15, 0.2),
            "rotation": rotation_matrix(yaw(shape, camera)).ravel().tolist(),
            "position": [0.0, thickness * scale, 0.0],
            "tint": hsv(
                shape.uniform(0.26, 0.36), shape.uniform(0.6, 0.85), shape.uniform(0.26, 0.5)
            ),
            "stripes": uniform(shape, 0, 1),
            "warts": uniform(shape, 0.3, 1),
            "stalk": uniform(shape, 0.05, 0.16),
            "stalk_bend": uniform(shape, -0.06, 0.06),
            "slices": "0",
        }
        if form != "whole":
            values.update(_draw_slices(shape, values))
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Slices in the world; where the middle of a cut cucumber is."""
        rotation = np.reshape(values["rotation"], (3, 3))
        right_end = values["cut"] if values["form"] == "cut" else 1.0
        middle = np.array([(right_end - 1.0 - values["stalk"]) / 2, 0, 0])
        derived = {
            "right_end": right_end,
            "body_center": rotation @ middle * values["scale"] + values["position"],
            "body_length": (right_end + 1.0 + values["stalk"]) / 2,
            "stalk_center": rotation @ [-1.0 - values["stalk"] / 2, 0, 0] * values["scale"]
            + values["position"],
        }
        for index in range(int(values["slices"])):
            turn = rotation_matrix(
                yaw=values[f"slice_{index}_yaw"], roll=values[f"slice_{index}_tilt"]
            )
            derived[f"slice_{index}_rotation"] = turn.ravel()
        return derived

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Body and stalk if there are any, and each slice for itself."""
        found = []
        if values["form"] != "slices":
            found += [
                Solid("body", self.body, self.paint_body, self.around_body, trust=0.78),
                Solid("stalk", self.stalk, self.paint_stalk, self.around_stalk),
            ]
        for index in range(int(values["slices"])):
            own = functools.partial
            found.append(
                Solid(
                    "slices",
                    own(self.slice, index),
                    own(self.paint_slice, index),
                    own(self.around_slice, index),
                    trust=1.0,
                )
            )
        return found

    @staticmethod
    def around_body(p: Parameters) -> Bound:
        """Return an ellipsoid along the cucumber."""
        across = p.thickness * 1.55 + np.abs(p.bend) * 0.65
        half_axes = vector(p.body_length * 1.18, p.thickness * 1.6, across)
        return Bound(p.body_center, half_axes * p.scale, p.rotation)

    @staticmethod
    @_scaled
    def body(point: Array, p: Parameters, detail: bool) -> Array:
        """Bent, tapering towards its ends; cut off at `right_end`; warts and ribs as detail."""
        bent = _bend(point, p.bend)
        along = bent[0] * bent[0]
        width = p.thickness * np.maximum(1 - 0.2 * along * along, 0.6)
        half = 1.0 - p.thickness
        distance = capsule(bent, vector(-half, 0.0, 0.0), vector(half, 0.0, 0.0), width, width)
        distance = smooth_intersection(distance, bent[0] - p.right_end, 0.03)
        if detail:
            distance = distance - _cucumber_bumps(bent, p)
        return distance

    @staticmethod
    def paint_body(point: Array, normal: Array, p: Parameters) -> Material:
        """Green skin with lighter stripes and ends; flesh and seeds on the cut."""
        bent = _bend(_own(point, p), p.bend)
        angle = np.arctan2(bent[1], bent[2])
        streak = smoothstep(0.1, 0.9, np.cos(angle * 5 + noise(bent * 3 + p.offset) * 3))
        skin = mix(p.tint, p.tint * 1.7 + 0.04, streak * p.stripes * 0.6)
        skin = skin * (0.7 + 0.6 * fractal_noise(bent * 7 + p.offset))
        skin = mix(skin, p.tint * 1.9 + 0.07, smoothstep(0.6, 1.0, np.abs(bent[0])) * 0.6)
        flesh, is_seed = _flesh(radius(bent[1], bent[2]) / p.thickness, angle, p)
        is_cut = bent[0] > p.right_end - 0.012
        part = np.where(is_cut, np.where(is_seed, SEEDS, CUT_FACE), CUCUMBER_SKIN)
        return Material(
            np.where(is_cut, flesh, skin), part, 0.32, 30.0, translucency=is_cut * np.float32(0.5)
        )

    @staticmethod
    def around_stalk(p: Parameters) -> Bound:
        """Return a ball around the stalk."""
        return Bound(p.stalk_center, (0.2 + p.stalk + np.abs(p.bend) * 0.7) * p.scale)

    @staticmethod
    @_scaled
    def stalk(point: Array, p: Parameters, detail: bool) -> Array:
        """Return a short, slightly flared stick at the left end."""
        bent = _bend(point, p.bend)
        stick = capsule(
            bent,
            vector(-0.97, 0.0, 0.0),
            vector(-1.0 - p.stalk, 0.03, p.stalk_bend),
            0.05,
            0.036,
        )
        cap = ellipsoid(bent - vector(-0.985, 0.0, 0.0), vector(0.045, 0.09, 0.09))
        return smooth_union(stick, cap, 0.04)

    @staticmethod
    def paint_stalk(point: Array, normal: Array, p: Parameters) -> Material:
        """Lighter and drier than the skin."""
        own = _own(point, p)
        dry = mix(p.tint, linear_color((0.62, 0.66, 0.36)), 0.55)
        return Material(
            dry * (0.6 + 0.8 * fractal_noise(own * 14 + p.offset)), CUCUMBER_STALK, 0.08
        )

    @staticmethod
    def around_slice(index: int, p: Parameters) -> Bound:
        """Return a flat ellipsoid around one slice."""
        half_axes = vector(p.thickness * 1.25, _SLICE_THICKNESS * 2.2, p.thickness * 1.25)
        return Bound(
            p[f"slice_{index}_position"], half_axes * p.scale, p[f"slice_{index}_rotation"]
        )

    @staticmethod
    def slice(index: int, point: Array, p: Parameters, detail: bool) -> Array:
        """Return a disc; its axis is y in its own coordinates."""
        local = to_local(point, p[f"slice_{index}_rotation"], p[f"slice_{index}_position"])
        return cylinder(local, _SLICE_THICKNESS * p.scale, p.thickness * p.scale, rounding=0.012)

    @staticmethod
    def paint_slice(index: int, point: Array, normal: Array, p: Parameters) -> Material:
        """Flesh and seeds inside, a green rim."""
        local = to_local(point, p[f"slice_{index}_rotation"], p[f"slice_{index}_position"])
        share = radius(local[0], local[2]) / (p.thickness * p.scale)
        flesh, is_seed = _flesh(share, np.arctan2(local[0], local[2]), p)
        is_rim = share > 0.94
        part = np.where(is_rim, CUCUMBER_SKIN, np.where(is_seed, SEEDS, CUT_FACE))
        return Material(flesh, part, 0.35, 30.0, translucency=0.5)


def _draw_slices(shape: Generator, values: Values) -> Values:
    """Slices in a row, each leaning on the one before, or scattered over the table."""
    thickness, scale = float(values["thickness"]), float(values["scale"])
    in_row = values["form"] == "cut" or shape.random() < 0.45
    if values["form"] == "slices":
        thickness = uniform(shape, 0.27, 0.36)
    spots = _row_of_slices(shape, thickness, values) if in_row else _scattered(shape, thickness)
    drawn: Values = {"slices": str(len(spots)), "thickness": thickness}
    for index, (position, yaw, tilt) in enumerate(spots):
        height = (thickness * abs(np.sin(tilt)) + _SLICE_THICKNESS * np.cos(tilt)) * scale
        x, z = position * scale
        drawn[f"slice_{index}_position"] = [float(x), float(height), float(z)]
        drawn[f"slice_{index}_yaw"], drawn[f"slice_{index}_tilt"] = float(yaw), float(tilt)
    return drawn


def _row_of_slices(
    shape: Generator, thickness: float, values: Values
) -> list[tuple[np.ndarray, float, float]]:
    """Place discs like fallen dominoes, along the cucumber's own direction."""
    tilt = shape.uniform(0.35, 0.75)
    step = 2.15 * _SLICE_THICKNESS / np.sin(tilt)
    if values["form"] == "cut":
        first, last = float(values["cut"]) + 1.1 * thickness, 1.0 - 0.8 * thickness
    else:
        first, last = -0.9 + thickness, 0.9 - thickness
    count = int(np.clip((last - first) / step + 1, 2, 6))
    middle = (first + last) / 2 if values["form"] == "slices" else first + (count - 1) * step / 2
    rotation = np.reshape(values["rotation"], (3, 3))
    yaw = float(np.arctan2(-rotation[2, 0], rotation[0, 0]))
    drift = shape.uniform(-0.25, 0.25)
    found = []
    for index in range(count):
        along = middle + (index - (count - 1) / 2) * step
        across = drift * (along - middle)
        x, _, z = rotation @ [along, 0.0, across]
        found.append((np.array([x, z]), yaw + shape.normal(0, 0.05), tilt))
    return found


def _scattered(shape: Generator, thickness: float) -> list[tuple[np.ndarray, float, float]]:
    """Place flat discs that do not overlap."""
    wanted = int(shape.integers(3, 7))
    spots: list[np.ndarray] = []
    for _ in range(80):
        angle, reach = shape.uniform(0, 2 * np.pi), np.sqrt(shape.random()) * (1.05 - thickness)
        spot = reach * np.array([np.cos(angle), np.sin(angle)])
        if all(np.linalg.norm(spot - other) > 2.08 * thickness for other in spots):
            spots.append(spot)
        if len(spots) == wanted:
            break
    return [(spot, float(shape.uniform(-np.pi, np.pi)), 0.0) for spot in spots]


def _cucumber_bumps(bent: Array, p: Parameters) -> Array:
    """Warts in loose rows, and ribs."""
    angle = np.arctan2(bent[1], bent[2])
    rows = np.sin(bent[0] * 27 + 5 * noise(bent * 3 + p.offset))
    ranks = np.sin(angle * 5 + 5 * noise(bent * 3 - p.offset))
    on_skin = smoothstep(0.0, 0.04, p.right_end - bent[0])
    warts = 0.016 * p.warts * smoothstep(0.55, 1.0, rows * ranks)
    return (warts + 0.006 * np.cos(angle * 7)) * on_skin


def _flesh(share: Array, angle: Array, p: Parameters) -> tuple[Array, Array]:
    """Colour (3, R) of a cut cucumber and where its seeds are, by radius (0 to 1) and angle."""
    ring = smoothstep(0.25, 0.6, share) * smoothstep(0.95, 0.6, share)
    color = mix(_PALE, _JUICY, ring)
    turn = angle * (_SEEDS_AROUND / (2 * np.pi)) + p.offset
    sideways = (turn - np.floor(turn) - 0.5) * share * (2 * np.pi / _SEEDS_AROUND)
    outward = share - 0.5
    from_seed = radius(outward / 0.15, sideways / 0.055)
    # three spokes of firm flesh have no seeds
    between_spokes = np.cos(angle * 3 + p.offset) < 0.75
    is_seed = (from_seed < 1) & between_spokes
    color = mix(color, _SEED, smoothstep(1.15, 0.8, from_seed) * between_spokes)
    jelly = smoothstep(1.8, 1.0, from_seed) * between_spokes * (from_seed >= 1)
    color = color * (1 - 0.25 * jelly)
    return mix(color, p.tint, smoothstep(0.9, 0.97, share)), is_seed


# --- eggplant ---------------------------------------------------------------------------------


class Eggplant(_Placed):
    """An eggplant along x, its calyx at the right end."""

    def draw_shape(self, shape: Generator, extent: float, camera: float) -> Values:
        """Draw form and colours: mostly dark purple, sometimes pale or streaked."""
        thick, thin = uniform(shape, 0.40, 0.58), uniform(shape, 0.17, 0.26)
        half = uniform(shape, 0.5, 0.78)
        pale, streaked = shape.random() < 0.1, shape.random() < 0.15
        stem = uniform(shape, 0.15, 0.34)
        reach = (half * 1.55 + 1.15 * thick + thin + stem) / 2
        scale = extent / (reach * 1.02)
        roll = np.arctan2(thick - thin, 1.5 * half)
        yaw = _seen_from_the_side(shape, camera)
        middle = (half + thin + stem - half * 0.55 - 1.15 * thick) / 2
        rotation = rotation_matrix(yaw, 0.0, -roll)
        down = rotation @ [-middle, 0.0, 0.0] * scale
        tint = hsv(shape.uniform(0.74, 0.84), shape.uniform(0.5, 0.85), shape.uniform(0.16, 0.34))
        light_tint = hsv(0.82, shape.uniform(0.25, 0.45), shape.uniform(0.55, 0.75))
        return {
            "scale": scale,
            "thick": thick,
            "thin": thin,
            "half": half,
            "stem": stem,
            "stem_bend": uniform(shape, -0.12, 0.12),
            "bend": uniform(shape, -0.25, 0.25),
            "spin": uniform(shape, 0, 2 * np.pi),
            "lobes": uniform(shape, 0.14, 0.26),
            "rotation": rotation.ravel().tolist(),
            "position": [
                float(down[0]),
                self._height(thick, thin, half, roll, scale),
                float(down[2]),
            ],
            "tint": light_tint if pale else tint,
            "streaks": uniform(shape, 0.5, 1) if streaked else 0.0,
            "green": hsv(
                shape.uniform(0.2, 0.31), shape.uniform(0.45, 0.7), shape.uniform(0.35, 0.6)
            ),
        }

    @staticmethod
    def _height(thick: float, thin: float, half: float, roll: float, scale: float) -> float:
        """Height of the origin at which the tilted body just touches the table."""
        bulb = thick + 0.55 * half * -np.sin(roll)
        neck = thin + half * np.sin(roll)
        return float(max(bulb, neck) * scale)

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Middles and lengths for the bounds."""
        rotation = np.reshape(values["rotation"], (3, 3))

        def at(x: float) -> np.ndarray:
            return rotation @ [x, 0.0, 0.0] * values["scale"] + values["position"]

        half, thick, thin, stem = (values[name] for name in ("half", "thick", "thin", "stem"))
        left, right = -0.55 * half - 1.15 * thick, half + thin
        return {
            "body_center": at((left + right) / 2),
            "body_length": (right - left) / 2,
            "calyx_center": at(half + (thin + stem) / 2),
        }

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Body and calyx."""
        return [
            Solid("body", self.body, self.paint_body, self.around_body, trust=0.78),
            Solid("calyx", self.calyx, self.paint_calyx, self.around_calyx, trust=0.7),
        ]

    @staticmethod
    def around_body(p: Parameters) -> Bound:
        """Return an ellipsoid along the eggplant."""
        across = p.thick * 1.4 + np.abs(p.bend) * 0.4
        half_axes = vector(p.body_length * 1.25, p.thick * 1.45, across)
        return Bound(p.body_center, half_axes * p.scale, p.rotation)

    @staticmethod
    def around_calyx(p: Parameters) -> Bound:
        """Return a ball around calyx and stem."""
        size = p.lobes * 1.2 + p.thin + (p.thin + p.stem) * 0.6 + np.abs(p.bend) * 0.5
        return Bound(p.calyx_center, size * p.scale)

    @staticmethod
    @_scaled
    def body(point: Array, p: Parameters, detail: bool) -> Array:
        """Return a bulb smoothly joined to a neck."""
        bent = _bend(point, p.bend)
        bulb = ellipsoid(
            bent + vector(p.half * 0.55, 0.0, 0.0), vector(p.thick * 1.15, p.thick, p.thick)
        )
        neck = capsule(
            bent, vector(-p.half * 0.4, 0.0, 0.0), vector(p.half, 0.0, 0.0), p.thick * 0.8, p.thin
        )
        distance = smooth_union(bulb, neck, 0.25)
        return distance - 0.004 * noise(bent * 5 + p.offset) if detail else distance

    @staticmethod
    def paint_body(point: Array, normal: Array, p: Parameters) -> Material:
        """Glossy purple skin, lighter under the calyx; some have white streaks."""
        own = _own(point, p)
        skin = p.tint * (0.75 + 0.5 * fractal_noise(own * 2 + p.offset))
        angle = np.arctan2(own[1], own[2])
        # around a circle in the noise, so that it closes
        ring = vector(np.cos(angle) * 1.7, np.sin(angle) * 1.7, own[0] * 0.9)
        wave = noise(ring + p.offset) * 0.7 + noise(ring * vector(4.0, 4.0, 1.5) + p.offset) * 0.3
        skin = mix(skin, skin * 1.5 + 0.22, smoothstep(0.48, 0.62, wave) * p.streaks)
        near_calyx = smoothstep(p.half - 0.15, p.half + 0.25, own[0])
        return Material(mix(skin, skin * 1.5 + 0.04, near_calyx), EGGPLANT_SKIN, 1.0, 70.0)

    @staticmethod
    @_scaled
    def calyx(point: Array, p: Parameters, detail: bool) -> Array:
        """Return a shell around the end of the body, with five lobes, and the stem."""
        bent = _bend(point, p.bend)
        neck = capsule(
            bent, vector(-p.half * 0.4, 0.0, 0.0), vector(p.half, 0.0, 0.0), p.thick * 0.8, p.thin
        )
        lobe = np.abs(np.cos((np.arctan2(bent[1], bent[2]) + p.spin) * 2.5))
        edge = p.half + 0.05 - p.lobes * (0.55 + 0.9 * lobe * np.sqrt(lobe))
        shell = smooth_intersection(neck - 0.026, (edge - bent[0]) * 0.6, 0.03)
        stem = capsule(
            bent,
            vector(p.half + p.thin * 0.8, 0.0, 0.0),
            vector(p.half + p.thin + p.stem, 0.05, p.stem_bend),
            0.075,
            0.055,
        )
        distance = smooth_union(shell, stem, 0.10)
        return distance - 0.012 * noise(bent * 16 + p.offset) if detail else distance

    @staticmethod
    def paint_calyx(point: Array, normal: Array, p: Parameters) -> Material:
        """Dull green."""
        own = _own(point, p)
        return Material(
            p.green * (0.6 + 0.8 * fractal_noise(own * 9 + p.offset)), CALYX, 0.12, 12.0
        )


# --- mushrooms --------------------------------------------------------------------------------

_GILLS_AROUND = 40


class Mushroom(_Placed):
    """One to three mushrooms of a kind, each with the middle of its cap as origin."""

    def draw_shape(self, shape: Generator, extent: float, camera: float) -> Values:
        """Draw the kind, and each mushroom's form and place."""
        kind = pick(shape, {"white": 0.4, "brown": 0.38, "fly agaric": 0.22})
        count = int(shape.choice([1, 2, 3], p=[0.45, 0.33, 0.22]))
        caps = {
            "white": hsv(0.09, shape.uniform(0.05, 0.22), shape.uniform(0.8, 0.95)),
            "brown": hsv(0.07, shape.uniform(0.4, 0.65), shape.uniform(0.4, 0.7)),
            "fly agaric": hsv(0.01, 0.85, shape.uniform(0.65, 0.85)),
        }
        values: Values = {
            "count": str(count),
            "tint": caps[kind],
            "spots": 1.0 if kind == "fly agaric" else 0.0,
            "scales": uniform(shape, 0.1, 0.5) if kind == "brown" else 0.1,
            "white": hsv(0.1, shape.uniform(0.05, 0.2), shape.uniform(0.8, 0.95)),
            "gill_color": hsv(0.06, shape.uniform(0.2, 0.5), shape.uniform(0.35, 0.75)),
            "gills": "yes",
        }
        start = shape.uniform(0, 2 * np.pi)
        for index in range(count):
            around = start + index * 2 * np.pi / count
            values.update(_draw_mushroom(shape, index, count, around, extent))
        return values

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Middles of the stems, for their bounds."""
        derived = {}
        for index in range(int(values["count"])):
            rotation = np.reshape(values[f"rotation_{index}"], (3, 3))
            middle = rotation @ [0.0, -values[f"stem_length_{index}"] / 2, 0.0]
            derived[f"stem_center_{index}"] = middle + values[f"position_{index}"]
        return derived

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return a cap and a stem for each mushroom."""
        found = []
        for index in range(int(values["count"])):
            own = functools.partial
            found += [
                Solid(
                    "cap",
                    own(self.cap, index),
                    own(self.paint_cap, index),
                    own(self.around_cap, index),
                    trust=0.72,
                ),
                Solid(
                    "stem",
                    own(self.stem, index),
                    own(self.paint_stem, index),
                    own(self.around_stem, index),
                ),
            ]
        return found

    @staticmethod
    def around_cap(index: int, p: Parameters) -> Bound:
        """Return an ellipsoid around the cap."""
        width, height = p[f"width_{index}"], p[f"height_{index}"]
        return Bound(
            p[f"position_{index}"],
            vector(width * 1.08, height * 1.15, width * 1.08),
            p[f"rotation_{index}"],
        )

    @staticmethod
    def around_stem(index: int, p: Parameters) -> Bound:
        """Return a ball around the stem."""
        length = p[f"stem_length_{index}"] + p[f"height_{index}"] * 0.3
        return Bound(p[f"stem_center_{index}"], length * 0.62 + p[f"stem_width_{index}"] * 1.2)

    @staticmethod
    def cap(index: int, point: Array, p: Parameters, detail: bool) -> Array:
        """Return half an ellipsoid, hollow below; gills and bumps as detail."""
        local = to_local(point, p[f"rotation_{index}"], p[f"position_{index}"])
        width, height = p[f"width_{index}"], p[f"height_{index}"]
        dome = ellipsoid(local + vector(0.0, 0.02, 0.0), vector(width, height, width))
        share = radius(local[0], local[2]) / width
        below = _underside(share, height) - local[1]
        if detail:
            dome = dome - 0.02 * width * noise(local * 4 + p.offset)
            if p.gills == "yes":
                ridge = np.cos(np.arctan2(local[0], local[2]) * _GILLS_AROUND)
                below = below + 0.035 * width * ridge * _where_gills_are(share)
        return smooth_intersection(dome, below, 0.08 * width)

    @staticmethod
    def paint_cap(index: int, point: Array, normal: Array, p: Parameters) -> Material:
        """Cap from above, gills from below."""
        local = to_local(point, p[f"rotation_{index}"], p[f"position_{index}"])
        width, height = p[f"width_{index}"], p[f"height_{index}"]
        share = radius(local[0], local[2]) / width
        skin = p.tint * (0.75 + 0.5 * fractal_noise(local * 4 + p.offset))
        flecks = smoothstep(0.55, 0.75, noise(local * (9 / width) + p.offset))
        skin = skin * (1 - 0.45 * p.scales * flecks)
        skin = skin * (1 - 0.25 * smoothstep(0.5, 1.0, share) * (1 - p.spots))
        dots = smoothstep(0.64, 0.69, noise(local * (6.5 / width) + p.offset)) * p.spots
        skin = mix(skin, p.white, dots)
        is_below = (local[1] < _underside(share, height) + 0.03 * height) & (share < 0.97)
        if p.gills == "yes":
            ridge = np.cos(np.arctan2(local[0], local[2]) * _GILLS_AROUND)
            below, part = p.gill_color * (0.55 + 0.45 * ridge), np.where(is_below, GILLS, CAP)
        else:
            below, part = p.white * (0.8 + 0.3 * fractal_noise(local * 6 + p.offset)), CAP
        color = np.where(is_below, below, skin)
        shine = choose(is_below, 0.06, 0.18 + 0.5 * p.spots)
        return Material(color, part, shine, 22.0, translucency=0.3)

    @staticmethod
    def stem(index: int, point: Array, p: Parameters, detail: bool) -> Array:
        """Return a stick, cut off flat at its foot."""
        local = to_local(point, p[f"rotation_{index}"], p[f"position_{index}"])
        length, width = p[f"stem_length_{index}"], p[f"stem_width_{index}"]
        stick = capsule(
            local,
            vector(0.0, -length, 0.0),
            vector(0.0, p[f"height_{index}"] * 0.3, 0.0),
            width * 1.15,
            width * 0.85,
        )
        return smooth_intersection(stick, -(local[1] + length + width * 0.3), 0.05)

    @staticmethod
    def paint_stem(index: int, point: Array, normal: Array, p: Parameters) -> Material:
        """White with fibres along it, earthy at the foot."""
        local = to_local(point, p[f"rotation_{index}"], p[f"position_{index}"])
        fibres = fractal_noise(local * vector(9.0, 2.0, 9.0) + p.offset)
        foot = smoothstep(0.75, 1.15, -local[1] / p[f"stem_length_{index}"])
        earth = linear_color((0.45, 0.36, 0.26))
        color = mix(p.white * (0.75 + 0.4 * fibres), earth, foot * 0.5 * fibres)
        return Material(color, STEM, 0.06, 22.0, translucency=0.3)


def _underside(share: Array, height: Array) -> Array:
    """Height of the cap's lower surface at a distance (0 to 1) from its axis: hollow."""
    return 0.35 * height * (1 - share * share) - 0.02


def _where_gills_are(share: Array) -> Array:
    return smoothstep(0.1, 0.4, share) * smoothstep(0.88, 0.65, share)


def _draw_mushroom(
    shape: Generator, index: int, count: int, around: float, extent: float
) -> Values:
    """Draw one of several mushrooms: its form, and a place where it touches the table."""
    size = extent * shape.uniform(0.85, 1.0) * [1.15, 0.66, 0.56][count - 1]
    width, height = size * shape.uniform(0.5, 0.66), size * shape.uniform(0.3, 0.46)
    length, stem = size * shape.uniform(0.5, 0.8), size * shape.uniform(0.15, 0.22)
    pose = pick(shape, {"standing": 0.45, "lying": 0.35, "upside down": 0.2})
    tilt = {
        "standing": 0.0,
        "lying": float(np.arctan2(length, width - 1.1 * stem)),  # on the rim and the foot
        "upside down": np.pi,
    }[pose] + shape.normal(0, 0.07 if pose != "upside down" else 0.3)
    rotation = rotation_matrix(shape.uniform(0, 2 * np.pi), tilt)
    lowest = (rotation @ _outline(width, height, length, stem))[1].min()
    # the middle of the mushroom, not of its cap, goes to its place
    middle = rotation @ [0.0, (height - length) / 2, 0.0]
    reach = 0.0 if count == 1 else 0.6 * extent
    position = [
        float(reach * np.cos(around) - middle[0]),
        float(-lowest),
        float(reach * np.sin(around) - middle[2]),
    ]
    return {
        f"rotation_{index}": rotation.ravel().tolist(),
        f"position_{index}": position,
        f"width_{index}": float(width),
        f"height_{index}": float(height),
        f"stem_length_{index}": float(length),
        f"stem_width_{index}": float(stem),
    }


def _outline(width: float, height: float, length: float, stem: float) -> np.ndarray:
    """Points (3, N) on a mushroom: of its cap, and of the edge of its foot."""
    around, upward = np.meshgrid(np.linspace(0, 2 * np.pi, 24), np.linspace(0, np.pi / 2, 10))
    cap = [
        width * np.cos(upward) * np.cos(around),
        height * np.sin(upward) - 0.02,
        width * np.cos(upward) * np.sin(around),
    ]
    edge = around[0]
    foot = [1.1 * stem * np.cos(edge), np.full(24, -length - 0.3 * stem), 1.1 * stem * np.sin(edge)]
    return np.concatenate([np.reshape(cap, (3, -1)), foot], axis=1)


# --- interventions ----------------------------------------------------------------------------


def remove_object(scene: Scene) -> Scene:
    """Take everything off the table: the background only."""
    return scene.changed(without="*")


def remove_calyx(scene: Scene) -> Scene:
    """Take away an eggplant's calyx with its stem, or a cucumber's stalk."""
    return _without(scene, {"eggplant": "calyx", "cucumber": "stalk"}, "calyx")


def remove_stem(scene: Scene) -> Scene:
    """Take away the stems of mushrooms: caps only."""
    return _without(scene, {"mushroom": "stem"}, "stem")


def remove_slices(scene: Scene) -> Scene:
    """Take away a cucumber's slices."""
    return _without(scene, {"cucumber": "slices"}, "slices")


def remove_gills(scene: Scene) -> Scene:
    """Make the underside of mushrooms smooth and pale."""
    if scene.class_name != "mushroom":
        raise ValueError(f"{scene.class_name}s have no gills: use mushroom")
    return scene.changed(gills="no")


def backdrop(scene: Scene, kind: str = "stone") -> Scene:
    """Put the same vegetable, in the same light, on another kind of table top."""
    rng = np.random.default_rng(
        [int(scene.parameters["grain_seed"]), list(TABLES).index(_known_table(kind))]
    )
    first, second = _table_colors(rng, kind)
    return scene.changed(floor=kind, floor_color=first, floor_color2=second)


def color(scene: Scene, hue: float = 0.0, saturation: float = 0.8, value: float = 0.6) -> Scene:
    """Paint the vegetable in another colour (hue 0 and 1: red, 1/3: green, 2/3: blue)."""
    for name, number in (("hue", hue), ("saturation", saturation), ("value", value)):
        if not 0 <= number <= 1:
            raise ValueError(f"{name} is a number from 0 to 1, not {number}")
    return scene.changed(tint=hsv(hue, saturation, value))


def _without(scene: Scene, solid_of: Mapping[str, str], what: str) -> Scene:
    """Leave out the solid that the scene's class has, if this scene has it."""
    name = scene.class_name
    if name not in solid_of:
        raise ValueError(f"{name}s have no {what}: use {' or '.join(solid_of)}")
    solid = solid_of[name]
    model = VEGETABLES.models[name]
    if solid not in {found.name for found in model.solids(scene.parameters)}:
        raise ValueError(f"this {name} has no {solid}: it is {scene.parameters['form']!r}")
    return scene.changed(without=solid)


VEGETABLES = Family(
    "vegetables",
    {"cucumber": Cucumber(), "eggplant": Eggplant(), "mushroom": Mushroom()},
    PARTS,
    {
        "remove_object": remove_object,
        "remove_calyx": remove_calyx,
        "remove_stem": remove_stem,
        "remove_slices": remove_slices,
        "remove_gills": remove_gills,
        "backdrop": backdrop,
        "color": color,
    },
)
