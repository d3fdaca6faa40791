"""What a bundle of rays brings back: the nearest surface, its texture, the light on it.

Which surface a ray meets is found by `marching`; what that surface looks like by its own paint, and
`shading`. The light that reaches a point (shadow, occlusion) is the costly part and changes slowly
across a picture, so rays through the same pixel share it where they meet the same surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .camera import Rays, cast
from .geometry import clip, dot, mix, smoothstep, vector
from .marching import (
    FAR,
    TILE,
    Solid,
    light_reaching,
    march,
    openness,
    run_cones,
    surface_normal,
)
from .parameters import Array, Parameters, padded, where
from .shading import shade
from .surfaces import BACKDROPS, FLOOR_NUMBERS, FLOORS, texture

_UP = vector(0.0, 1.0, 0.0)
#: What a ray meets, beside solids, which are numbered from 0.
FLOOR, BACKDROP = -1, -2


@dataclass
class View:
    """A batch of pictures of one structure, and what rays need to know about it.

    Attributes
    ----------
    solids : sequence of Solid
        What may be seen.
    p : Parameters
        One column per picture.
    count, size : int
        How many pictures, and their side in pixels.
    backdrop_in_frame : bool
        The backdrop follows the picture's frame instead of the ray's direction.
    """

    solids: Sequence[Solid]
    p: Parameters
    count: int
    size: int
    backdrop_in_frame: bool = False

    def __post_init__(self) -> None:
        self.tiles_a_side = -(-self.size // TILE)
        self.tile_starts = self._run_ahead()

    def tile_of(self, scene: Array, pixel: Array) -> Array:
        """Return the tile that each pixel (numbered row by row) of each scene lies in."""
        row, column = pixel // self.size // TILE, pixel % self.size // TILE
        return (scene * self.tiles_a_side + row) * self.tiles_a_side + column

    def _run_ahead(self) -> list[Array]:
        """For each solid, how far the rays of each tile of each picture may jump ahead."""
        side = self.tiles_a_side
        middle = (np.arange(side, dtype=np.float32) + 0.5) * (TILE / self.size) * 2 - 1
        v, u = np.meshgrid(-middle, middle, indexing="ij")
        tiles = padded(np.arange(self.count * side * side))
        scene, within = tiles // (side * side), tiles % (side * side)
        rays = cast(self.p, scene, u.reshape(-1)[within], v.reshape(-1)[within], tiles)
        # half a tile's diagonal, and a little for the rays at the edge of its outermost pixels
        slope = rays.p.zoom * ((TILE / 2 + 0.3) * math.sqrt(2) * 2 / self.size)
        return [run_cones(solid, rays, slope) for solid in self.solids]


@dataclass
class Seen:
    """What R rays bring back.

    Attributes
    ----------
    color : Array
        (3, R) linear light.
    part : Array
        (R,) part ids.
    surface : Array
        (R,) number of the solid, or `FLOOR` or `BACKDROP`.
    light, sky : Array
        (R,) shares of the lamp and of the sky that the surface sees there.
    """

    color: Array
    part: Array
    surface: Array
    light: Array
    sky: Array

    @classmethod
    def nothing(cls, rays: int) -> Seen:
        """Return room for so many rays."""
        return cls(
            np.zeros((3, rays), np.float32),
            np.zeros(rays, np.int64),
            np.full(rays, BACKDROP, np.int32),
            np.zeros(rays, np.float32),
            np.ones(rays, np.float32),
        )


def shoot(
    view: View,
    scene: Array,
    pixel: Array,
    u: Array,
    v: Array,
    neighbor: tuple[Seen, Array] | None = None,
) -> Seen:
    """Follow rays through points (u, v) of the pictures `scene`.

    Parameters
    ----------
    view : View
        The pictures.
    scene, pixel : Array
        (R,) which picture, and which of its pixels, row by row.
    u, v : Array
        (R,) where in the picture, in [-1, 1].
    neighbor : (Seen, Array), optional
        Rays followed before, and for each of the new rays the one whose light it may share if both
        meet the same surface.
    """
    rays = cast(view.p, scene, u, v, view.tile_of(scene, pixel))
    distance, surface = _nearest_surface(view, rays)
    seen = Seen.nothing(len(u))
    seen.surface = surface
    unlit = np.ones(len(u), bool)
    if neighbor is not None:
        before, index = neighbor
        unlit = before.surface[index] != surface
        seen.light, seen.sky = before.light[index], before.sky[index]
    chosen = where(surface == BACKDROP)
    if len(chosen):
        seen.color[:, chosen] = _backdrop(view, rays.select(chosen))
    # all surfaces are lit together: few long bundles of rays are quicker than many short ones
    normal = _normals(view, rays, distance, surface)
    _light_up(view, rays, distance, normal, where(unlit & (surface != BACKDROP)), seen)
    chosen = where(surface == FLOOR)
    if len(chosen):
        _look_at_floor(view, rays.select(chosen), distance[chosen], chosen, seen)
    for number, solid in enumerate(view.solids):
        chosen = where(surface == number)
        if len(chosen):
            own = rays.select(chosen)
            _look_at_solid(solid, own, distance[chosen], normal[:, chosen], chosen, seen)
    return seen


def _nearest_surface(view: View, rays: Rays) -> tuple[Array, Array]:
    """Distance (R,) to the nearest surface, and which one it is."""
    falls = (rays.direction[1] < -1e-3) & (rays.p.floor >= 0)
    to_floor = -rays.origin[1] / np.minimum(rays.direction[1], -1e-3)
    distance = np.where(falls, to_floor, np.float32(FAR))
    surface = np.where(falls, np.int32(FLOOR), np.int32(BACKDROP))
    pixel = rays.p.zoom * (2 / view.size)
    for number, solid in enumerate(view.solids):
        start = view.tile_starts[number][rays.tile]
        found = march(solid, rays, start, distance, pixel)
        closer = found < distance
        distance = np.where(closer, found, distance)
        surface = np.where(closer, np.int32(number), surface)
    return distance, surface


def _backdrop(view: View, rays: Rays, upside_down: bool = False) -> Array:
    height = rays.v * 0.35 if view.backdrop_in_frame else rays.direction[1] * 1.6
    height = -height if upside_down else height
    return texture(BACKDROPS, rays.p.backdrop, rays.u * 0.35, height, rays.p)


def _normals(view: View, rays: Rays, distance: Array, surface: Array) -> Array:
    """Outward normals (3, R) of the surfaces that rays meet; upwards where they meet none."""
    normal = np.zeros((3, len(distance)), np.float32)
    normal[1] = 1.0
    for number, solid in enumerate(view.solids):
        chosen = where(surface == number)
        if len(chosen):
            own = rays.select(chosen)
            normal[:, chosen] = surface_normal(solid, own.at(distance[chosen]), own.p)
    return normal


def _light_up(
    view: View, rays: Rays, distance: Array, normal: Array, index: Array, seen: Seen
) -> None:
    """Find the shares of lamp and sky that the surfaces met by the rays `index` see."""
    if not len(index):
        return
    chosen = rays.select(index)
    point, normal, p = chosen.at(distance[index]), normal[:, index], chosen.p
    seen.sky[index] = openness(view.solids, point, normal, p)
    faces_lamp = where(dot(normal, p.light) > 0)
    light = np.zeros(len(index), np.float32)
    if len(faces_lamp):
        # a little off the surface, so that it does not shade itself
        start = (point + normal * 0.02)[:, faces_lamp]
        light[faces_lamp] = light_reaching(view.solids, start, p.for_rays(faces_lamp))
    seen.light[index] = light


def _look_at_floor(view: View, rays: Rays, distance: Array, index: Array, seen: Seen) -> None:
    """Fill in what the rays `index` see of the floor."""
    p, point = rays.p, rays.at(distance)
    u = (p.floor_cos * point[0] - p.floor_sin * point[2]) * p.floor_scale
    v = (p.floor_sin * point[0] + p.floor_cos * point[2]) * p.floor_scale
    color = clip(texture(FLOORS, p.floor, u, v, p), 0.0, 1.0)
    lamp = np.maximum(p.light[1], 0.0) * seen.light[index]
    color = color * (p.ambient * seen.sky[index] + p.key * lamp)
    _mirror_backdrop(view, rays, color)
    haze = smoothstep(6.0, 40.0, distance) * 0.8
    seen.color[:, index] = mix(color, p.backdrop_color, haze)


def _mirror_backdrop(view: View, rays: Rays, color: Array) -> None:
    """Let water mirror a fifth of the backdrop."""
    wet = rays.p.floor == FLOOR_NUMBERS["water"]
    index = where(np.broadcast_to(wet, color.shape[1:]))
    if len(index):
        mirrored = _backdrop(view, rays.select(index), upside_down=True)
        color[:, index] = mix(color[:, index], mirrored, 0.2)


def _look_at_solid(
    solid: Solid, rays: Rays, distance: Array, normal: Array, index: Array, seen: Seen
) -> None:
    """Fill in what the rays `index` see of the one solid that they meet."""
    p, point = rays.p, rays.at(distance)
    material = solid.paint(point, normal, p)
    seen.color[:, index] = shade(
        material, normal, -rays.direction, p, seen.light[index], seen.sky[index]
    )
    seen.part[index] = material.part
