"""From scenes to pictures: rays, light, smooth edges, film.

`render_batch` is the whole way: cast one ray per pixel, find what it meets, light it; cast four more
where the picture changes quickly; let the family paint over it (smoke, for instance); expose the
film. Part masks come from the one ray through the centre of each pixel, so they are exact integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .camera import Rays, camera_frame, cast, pixel_grid
from .geometry import clip, dot, length, mix, smoothstep, vector
from .marching import (
    FAR,
    OCCLUSION_REACH,
    TILE,
    Solid,
    light_reaching,
    march,
    openness,
    run_cones,
    surface_normal,
)
from .parameters import Array, Parameters, Values, padded, stack, where
from .shading import shade
from .surfaces import (
    BACKDROP_NUMBERS,
    BACKDROPS,
    FLOOR_NUMBERS,
    FLOORS,
    texture,
)

_UP = vector(0.0, 1.0, 0.0)
#: How many rays to compute together; more need more memory, fewer more Python.
_RAYS_AT_ONCE = 40_000
#: Neighbouring pixels that differ by more (in roughly perceptual units) are supersampled.
_EDGE_CONTRAST = 0.12
# Positions of the four extra rays within a pixel, in pixels: a square turned by 27°, so that edges
# along rows or columns meet four different offsets.
_OFFSETS = ((0.17, 0.5), (-0.5, 0.17), (-0.17, -0.5), (0.5, -0.17))


class Subject(Protocol):
    """What the engine needs to know about the things in a scene."""

    #: The backdrop follows the picture's frame instead of the ray's direction (portraits).
    backdrop_in_frame: bool

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]: ...
    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]: ...
    def composite(self, picture: Picture) -> None: ...


@dataclass
class Picture:
    """One picture before the film is exposed, for a family to paint over.

    Attributes
    ----------
    color : Array
        (3, S, S) linear light.
    mask : Array
        (S, S) part ids, int64.
    u, v : Array
        (S, S) position of the pixels' centres, in [-1, 1], v upwards.
    p : Parameters
        The scene's parameters, each with R = 1.
    """

    color: Array
    mask: Array
    u: Array
    v: Array
    p: Parameters

    def project(self, point: Array) -> tuple[Array, Array]:
        """Where a point (3, 1) of the world appears in the picture: (u, v), (1,) each."""
        offset = point - self.p.eye
        depth = dot(offset, self.p.forward) * self.p.zoom
        return dot(offset, self.p.right) / depth, dot(offset, self.p.upward) / depth


@dataclass
class View:
    """A batch of scenes of one structure, and what is known about it before rays are shaded."""

    subject: Subject
    solids: Sequence[Solid]
    p: Parameters
    size: int
    tile_starts: list[Array]

    @property
    def pixel(self) -> Array:
        """Size of a pixel divided by the distance, per scene."""
        return self.p.zoom * (2 / self.size)


def prepare(subject: Subject, values: Values) -> dict[str, Any]:
    """One scene's values with everything added that is the same for all of its rays."""
    ready = dict(values)
    ready.update(camera_frame(values))
    ready.update(
        floor=FLOOR_NUMBERS[values["floor"]],
        backdrop=BACKDROP_NUMBERS[values["backdrop"]],
        floor_cos=math.cos(values["floor_turn"]),
        floor_sin=math.sin(values["floor_turn"]),
    )
    ready.update(subject.derive(values))
    return ready


def structure(values: Values) -> tuple[tuple[str, str], ...]:
    """Strings that decide which formulas apply; scenes that agree in them are rendered together."""
    return tuple(
        (name, value)
        for name, value in sorted(values.items())
        if isinstance(value, str) and name not in ("floor", "backdrop")
    )


def solids_of(subject: Subject, values: Values) -> list[Solid]:
    """Solids of a scene, without those that its parameter `without` names ("*": all)."""
    without = str(values.get("without", "")).split()
    return [
        solid
        for solid in subject.solids(values)
        if "*" not in without and solid.name not in without
    ]


def render_group(
    subject: Subject, scenes: Sequence[Values], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Render scenes of one structure: uint8 images (N, S, S, 3) and masks (N, S, S)."""
    at_once = max(1, _RAYS_AT_ONCE // size**2)
    done = [
        render_batch(subject, scenes[start : start + at_once], size)
        for start in range(0, len(scenes), at_once)
    ]
    images, masks = zip(*done, strict=True)
    return np.concatenate(images), np.concatenate(masks)


def render_batch(
    subject: Subject, scenes: Sequence[Values], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Render a few scenes of one structure together."""
    p = stack([prepare(subject, values) for values in scenes])
    view = View(subject, solids_of(subject, scenes[0]), p, size, [])
    view.tile_starts = _tile_starts(view, len(scenes))
    color, mask = _one_ray_per_pixel(view, len(scenes))
    _smooth_edges(view, color, mask)
    u, v = (coordinate.reshape(size, size) for coordinate in pixel_grid(size))
    images = []
    for index in range(len(scenes)):
        picture = Picture(color[:, index], mask[index], u, v, p.for_scene(index))
        subject.composite(picture)
        color[:, index], mask[index] = picture.color, picture.mask
        images.append(expose(picture))
    return np.stack(images), mask.astype(np.uint8)


# --- rays -------------------------------------------------------------------------------------


def _tile_starts(view: View, count: int) -> list[Array]:
    """For each solid, how far the rays of each tile of each picture may jump ahead."""
    side = -(-view.size // TILE)
    # a tile may stick out of the picture: the grid is the picture's, in steps of TILE pixels
    middle = (np.arange(side, dtype=np.float32) + 0.5) * (TILE / view.size) * 2 - 1
    v, u = np.meshgrid(-middle, middle, indexing="ij")
    tiles = padded(np.arange(count * side * side))
    scene = tiles // (side * side)
    within = tiles % (side * side)
    rays = cast(view.p, scene, u.reshape(-1)[within], v.reshape(-1)[within], tiles)
    # half a tile's diagonal, and a little for the rays at the edge of its outermost pixels
    slope = rays.p.zoom * ((TILE / 2 + 0.3) * math.sqrt(2) * 2 / view.size)
    return [run_cones(solid, rays, slope)[: count * side * side] for solid in view.solids]


def _tile_of_pixel(size: int) -> Array:
    rows = np.arange(size) // TILE
    return (rows[:, None] * (-(-size // TILE)) + rows).reshape(-1)


def _one_ray_per_pixel(view: View, count: int) -> tuple[Array, Array]:
    """Linear colours (3, N, S, S) and part ids (N, S, S)."""
    size = view.size
    index = padded(np.arange(count * size * size))
    scene, pixel = index // (size * size), index % (size * size)
    u, v = pixel_grid(size)
    color, part = shoot(view, scene, pixel, u[pixel], v[pixel])
    total = count * size * size
    shape = (count, size, size)
    return clip(color[:, :total], 0.0, 4.0).reshape(3, *shape), part[:total].reshape(shape)


def _smooth_edges(view: View, color: Array, mask: Array) -> None:
    """Replace pixels that differ much from a neighbour by the mean of four rays."""
    size = view.size
    edges = where(_edges(color, mask).reshape(-1))
    if not len(edges):
        return
    scene, pixel = edges // (size * size), edges % (size * size)
    u, v = pixel_grid(size)
    step = 2 / size
    samples = [(u[pixel] + right * step, v[pixel] + upward * step) for right, upward in _OFFSETS]
    found, _ = shoot(
        view,
        np.tile(scene, 4),
        np.tile(pixel, 4),
        np.concatenate([sample[0] for sample in samples]),
        np.concatenate([sample[1] for sample in samples]),
    )
    rays = clip(found, 0.0, 1.5).reshape(3, 4, -1)
    mean = (rays[:, 0] + rays[:, 1] + rays[:, 2] + rays[:, 3]) * 0.25
    color.reshape(3, -1)[:, edges] = mean


def _edges(color: Array, mask: Array) -> Array:
    """Where a picture (of N) changes quickly to the right, left, up or down; (N, S, S) of bool."""
    tones = np.sqrt(color)
    edge = np.zeros(mask.shape, bool)
    for axis in (1, 2):
        jump = (np.abs(np.diff(tones, axis=axis + 1)) > _EDGE_CONTRAST).any(0)
        jump |= np.diff(mask, axis=axis) != 0
        before, after = (
            (slice(None),) * axis + (slice(-1),),
            (slice(None),) * axis + (slice(1, None),),
        )
        edge[before] |= jump
        edge[after] |= jump
    return edge


def shoot(view: View, scene: Array, pixel: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """What rays through (u, v) of the pictures `scene` bring back: colour (3, R), part id (R,)."""
    side = -(-view.size // TILE)
    tile = scene * (side * side) + _tile_of_pixel(view.size)[pixel]
    rays = cast(view.p, scene, u, v, tile)
    below = (rays.direction[1] < -1e-3) & (rays.p.floor >= 0)
    to_floor = -rays.origin[1] / np.minimum(rays.direction[1], -1e-3)
    to_floor = np.where(below, to_floor, np.float32(FAR))
    distance, nearest = _first_hits(view, rays, to_floor)
    hit = distance < FAR
    color, part = np.zeros((3, len(u)), np.float32), np.zeros(len(u), np.int64)
    sees_backdrop, sees_floor = where(~hit & (to_floor >= FAR)), where(~hit & (to_floor < FAR))
    if len(sees_backdrop):
        color[:, sees_backdrop] = _backdrop(view, rays.select(sees_backdrop))
    if len(sees_floor):
        color[:, sees_floor] = _floor(view, rays.select(sees_floor), to_floor[sees_floor])
    for number, solid in enumerate(view.solids):
        chosen = where(nearest == number)
        if len(chosen):
            color[:, chosen], part[chosen] = _surface(
                view, solid, rays.select(chosen), distance[chosen]
            )
    return color, part


def _first_hits(view: View, rays: Rays, to_floor: Array) -> tuple[Array, Array]:
    """Distance (R,) to the nearest solid, and which one it is (-1: none)."""
    distance = np.full_like(rays.u, FAR)
    nearest = np.full(distance.shape, -1, np.int32)
    pixel = rays.p.zoom * (2 / view.size)
    for number, solid in enumerate(view.solids):
        start = view.tile_starts[number][rays.tile]
        found = march(solid, rays, start, np.minimum(distance, to_floor), pixel)
        closer = found < distance
        distance = np.where(closer, found, distance)
        nearest = np.where(closer, np.int32(number), nearest)
    return distance, nearest


# --- light ------------------------------------------------------------------------------------


def _backdrop(view: View, rays: Rays, upside_down: bool = False) -> Array:
    height = rays.v * 0.35 if view.subject.backdrop_in_frame else rays.direction[1] * 1.6
    if upside_down:
        height = -height
    return texture(BACKDROPS, rays.p.backdrop, rays.u * 0.35, height, rays.p)


def _floor(view: View, rays: Rays, distance: Array) -> Array:
    p, point = rays.p, rays.at(distance)
    u = (p.floor_cos * point[0] - p.floor_sin * point[2]) * p.floor_scale
    v = (p.floor_sin * point[0] + p.floor_cos * point[2]) * p.floor_scale
    color = clip(texture(FLOORS, p.floor, u, v, p), 0.0, 1.0)
    open_share = np.ones_like(distance)
    near = where(length(point - p.center) < p.bound + OCCLUSION_REACH)
    if len(near):
        open_share[near] = openness(view.solids, point[:, near], _UP, p.for_rays(near))
    visible = light_reaching(view.solids, point, p.light, p)
    color = color * (p.ambient * open_share + p.key * (np.maximum(p.light[1], 0.0) * visible))
    color = _with_reflection(view, rays, color)
    return mix(color, p.backdrop_color, smoothstep(6.0, 40.0, distance) * 0.8)  # haze


def _with_reflection(view: View, rays: Rays, color: Array) -> Array:
    """Water mirrors a fifth of the backdrop."""
    wet = rays.p.floor == FLOOR_NUMBERS["water"]
    index = where(np.broadcast_to(wet, color.shape[1:]))
    if len(index):
        mirrored = _backdrop(view, rays.select(index), upside_down=True)
        color[:, index] = mix(color[:, index], mirrored, 0.2)
    return color


def _surface(view: View, solid: Solid, rays: Rays, distance: Array) -> tuple[Array, Array]:
    p, point = rays.p, rays.at(distance)
    normal = surface_normal(solid, point, p)
    material = solid.paint(point, normal, p)
    # a little off the surface, so that it does not shade itself
    visible = np.zeros_like(distance)
    lit = where(dot(normal, p.light) > 0)
    if len(lit):
        start = point[:, lit] + normal[:, lit] * 0.02
        own = p.for_rays(lit)
        visible[lit] = light_reaching(view.solids, start, own.light, own)
    open_share = openness(view.solids, point, normal, p)
    color = shade(material, normal, -rays.direction, p, visible, open_share)
    return color, np.broadcast_to(material.part, distance.shape)


# --- film -------------------------------------------------------------------------------------


def develop(color: Array, picture: Picture) -> Array:
    """Linear light (3, S, S) to screen values in [0, 1], before grain.

    The lens darkens the corners; film answers ``1 - exp(-light)``, so that bright parts never clip
    hard; a screen expects the power 1/2.2.
    """
    corners = 1 - 0.18 * (picture.u * picture.u + picture.v * picture.v)
    film = 1 - np.exp(color * (corners * (picture.p.exposure * -1.35)))
    return clip(film, 1e-5, 1.0) ** np.float32(1 / 2.2)


def expose(picture: Picture) -> np.ndarray:
    """Linear light to what a screen shows, uint8 (S, S, 3), with grain from the scene's own seed."""
    p, size = picture.p, len(picture.u)
    generator = np.random.default_rng(int(p.grain_seed[0]))
    grain = generator.standard_normal((3, size, size), dtype=np.float32)
    screen = clip(develop(picture.color, picture) + grain * p.grain, 0.0, 1.0)
    return np.ascontiguousarray((screen * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
