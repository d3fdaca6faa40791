"""Sphere tracing: how far a ray travels before it meets a surface, and what lies in its way.

A signed distance says how far one may step without hitting anything. So a ray starts at the camera,
steps by the distance at its point, and repeats: it arrives at the first surface (Hart 1996). Three
ideas make it fast here.

*Bounds.* Every solid lies in a ball or ellipsoid; a ray that misses the bound misses the solid.

*Cones.* The rays of a tile of 4 × 4 pixels begin almost together. One thick ray, a cone around all
of them, runs ahead until the solid is nearer than the cone is wide; the rays start from there. Most
tiles find that they see nothing of the solid (Fulcrum 2012, "cone marching").

*Each solid alone.* A ray meets the solids one after another, and the nearest hit wins. A solid's
surface is then found by the same steps whether or not other solids are there: **taking one away
leaves every pixel that does not show it, or its shadow, exactly as it was**.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .camera import Rays
from .geometry import clip, dot, length, normalize, smoothstep, to_local, vector
from .parameters import Array, Parameters, where
from .shading import Material

#: "Never": the distance of a ray that meets nothing.
FAR = 1e4
_FAR = np.float32(FAR)
#: Pixels along the side of a tile.
TILE = 4
_CONE_STEPS = 24
_RAY_STEPS = 40
#: Rays that have arrived or left are taken out of the bundle after so many steps.
_SWEEP_EVERY = 4


@dataclass(frozen=True)
class Bound:
    """A ball or ellipsoid around a solid.

    Attributes
    ----------
    center : Array
        (3, 1) or (3, R).
    radius : Array or float
        (R,) for a ball; (3, R) half axes for an ellipsoid, along the axes of `rotation`.
    rotation : Array, optional
        (9, R) object-to-world matrix, as for `geometry.to_local`.
    """

    center: Array
    radius: Array | float
    rotation: Array | None = None

    def crossing(
        self, origin: Array, direction: Array, margin: Array | float = 0.0
    ) -> tuple[Array, Array]:
        """Distances (R,) at which rays enter (≥ 0) and leave; entry is `FAR` where they miss."""
        start, along = self._unit(origin, margin), self._unit_direction(direction, margin)
        squared = dot(along, along)
        half = dot(start, along)
        discriminant = half * half - squared * (dot(start, start) - 1)
        root = np.sqrt(np.maximum(discriminant, 0.0))
        leave = (root - half) / squared
        enter = np.maximum((-half - root) / squared, 0.0)
        misses = (discriminant <= 0) | (leave <= 0)
        return np.where(misses, _FAR, enter), leave

    def near(self, point: Array, margin: float) -> Array:
        """Whether points (3, R) may lie within the bound, grown by a margin; (R,)."""
        offset = point - self.center
        return dot(offset, offset) < self._reach(margin)

    def ahead(self, point: Array, direction: Array, margin: float) -> Array:
        """Whether rays may cross the bound, grown by a margin: a quick, coarse `crossing`."""
        offset = point - self.center
        along = dot(offset, direction)
        reach = self._reach(margin)
        squared = dot(offset, offset)
        return (squared - along * along < reach) & ((along < 0) | (squared < reach))

    def _reach(self, margin: float) -> Array:
        """Squared radius of the ball around everything."""
        radius = np.asarray(self.radius)
        largest = (radius.max(0) if radius.ndim == 2 else radius) + margin
        return largest * largest

    def _unit(self, point: Array, margin: Array | float) -> Array:
        """Coordinates in which the bound is the unit ball."""
        offset = point - self.center
        if self.rotation is not None:
            offset = to_local(offset, self.rotation)
        return offset / (self.radius + margin)

    def _unit_direction(self, direction: Array, margin: Array | float) -> Array:
        if self.rotation is not None:
            direction = to_local(direction, self.rotation)
        return direction / (self.radius + margin)


@dataclass(frozen=True)
class Solid:
    """One thing that can be seen, and taken away, by itself.

    Attributes
    ----------
    name : str
        What interventions call it.
    distance : callable
        ``distance(point, p, detail)``: signed distance (R,) at points (3, R). `detail` asks for the
        small bumps that only the surface's normal needs; they must stay below about 0.02.
    paint : callable
        ``paint(point, normal, p)``: the `Material` at points of the surface.
    bound : callable, optional
        ``bound(p)``: a `Bound` that contains the solid. Default: the ball around ``p.center`` with
        radius ``p.bound``.
    trust : float
        Share of the distance that a step may use: 1 for exact distances, less for shapes that were
        bent or tapered and whose distance is therefore too large.
    casts_shadow : bool
        False for glass, glow and the like.
    obstacle : callable, optional
        ``obstacle(point, p)``: a simpler shape that keeps light away in the solid's place, from
        others and from itself; quicker where the shape has many small features. It must not stick
        out of the shape, which would then shade itself.
    """

    name: str
    distance: Callable[[Array, Parameters, bool], Array]
    paint: Callable[[Array, Array, Parameters], Material]
    bound: Callable[[Parameters], Bound] | None = None
    trust: float = 0.8
    casts_shadow: bool = True
    obstacle: Callable[[Array, Parameters], Array] | None = None

    def in_the_way(self, point: Array, p: Parameters) -> Array:
        """Signed distance (R,) to what keeps light away."""
        if self.obstacle is not None:
            return self.obstacle(point, p)
        return self.distance(point, p, False)

    def there(self, p: Parameters) -> Array | bool:
        """Whether it is in the ray's scene, (R,): scenes of a batch may lack some of its solids."""
        return getattr(p, f"has {self.name}", 1.0) > 0

    def bound_for(self, p: Parameters) -> Bound:
        """Return the bound, the scene's own if the solid has none."""
        return self.bound(p) if self.bound is not None else Bound(p.center, p.bound)


def run_cones(solid: Solid, tiles: Rays, slope: Array) -> Array:
    """Distance (T,) up to which no ray of a tile can meet the solid; `FAR` if none ever does.

    Parameters
    ----------
    solid : Solid
        What to look for.
    tiles : Rays
        One ray through the middle of each tile.
    slope : Array
        (T,) or (1,): radius of the cone divided by the distance along it.
    """
    margin = slope * (length(tiles.p.eye - tiles.p.center) + tiles.p.bound)
    enter, leave = solid.bound_for(tiles.p).crossing(tiles.origin, tiles.direction, margin)
    result = np.full_like(enter, FAR)
    index = where((enter < leave) & solid.there(tiles.p))
    if not len(index):
        return result
    rays, distance, leave = tiles.select(index), enter[index], leave[index]
    slope = np.broadcast_to(slope, tiles.u.shape)[index]
    arrived = np.zeros(distance.shape, bool)
    for step in range(_CONE_STEPS):
        free = solid.distance(rays.at(distance), rays.p, False) * solid.trust
        arrived = arrived | (free < slope * distance)
        # the ball of radius `free` contains the cone up to here
        ahead = (distance + free) / (1 + slope)
        distance = np.where(arrived, distance, ahead)
        if step % _SWEEP_EVERY == _SWEEP_EVERY - 1 or step == _CONE_STEPS - 1:
            result[index] = np.where(distance < leave, distance, _FAR)
            going = where(~arrived & (distance < leave))
            if not len(going):
                break
            index, rays = index[going], rays.select(going)
            distance, leave, slope = distance[going], leave[going], slope[going]
            arrived = arrived[going]
    return result


def march(solid: Solid, rays: Rays, start: Array, stop: Array, pixel: Array) -> Array:
    """Distance (R,) at which rays meet the solid; `FAR` where they do not.

    Parameters
    ----------
    solid : Solid
        What to look for.
    rays : Rays
        R rays.
    start, stop : Array
        (R,) where to begin (`FAR`: not at all) and where to give up.
    pixel : Array
        (R,) or (1,): size of a pixel divided by the distance. It is a hit when the surface is
        nearer than a share of a pixel: 0.05 at first, growing to 1 for rays that creep along a
        silhouette and would otherwise leave a dotted line of holes in what lies behind.
    """
    enter, leave = solid.bound_for(rays.p).crossing(rays.origin, rays.direction)
    start, stop = np.maximum(start, enter), np.minimum(stop, leave)
    result = np.full_like(start, FAR)
    index = where(start < stop)
    if not len(index):
        return result
    rays, distance, stop = rays.select(index), start[index], stop[index]
    pixel = np.broadcast_to(pixel, result.shape)[index]
    for step in range(_RAY_STEPS):
        free = solid.distance(rays.at(distance), rays.p, False)
        distance = distance + free * solid.trust
        if step % _SWEEP_EVERY == _SWEEP_EVERY - 1:
            share_of_pixel = 0.05 + 0.95 * (step / _RAY_STEPS) ** 2
            tolerance = np.maximum(pixel * distance * share_of_pixel, 1e-3)
            hit = free < tolerance
            result[index] = np.where(hit, distance, _FAR)
            going = where(~hit & (distance < stop))
            if not len(going):
                break
            index, rays = index[going], rays.select(going)
            distance, stop, pixel = distance[going], stop[going], pixel[going]
    return result


# Four corners of a tetrahedron: the fewest points whose distances give the gradient.
_TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


def surface_normal(solid: Solid, point: Array, p: Parameters, offset: float = 1.5e-3) -> Array:
    """Direction (3, R) in which the distance grows: the outward normal, by finite differences."""
    total = np.zeros_like(point)
    for corner in _TETRAHEDRON:
        direction = vector(*corner)
        total = total + direction * solid.distance(point + direction * offset, p, True)
    return normalize(total)


# Soft shadows: a lamp is not a point. A ray towards it that passes a solid at distance d, after
# travelling t, is dimmed where the angle d / t is smaller than the lamp's (Quilez 2010).
_SHARPNESS = 9.0
_SHADOW_STEPS = 14
#: A shadow reaches this far beyond the straight line to the light, in world units.
PENUMBRA = 0.25


def light_reaching(solids: Sequence[Solid], point: Array, p: Parameters) -> Array:
    """Share of the lamp that points (3, R) see past all solids: 0 in full shadow, 1 in none."""
    visible = np.ones_like(point[0])
    for solid in solids:
        if not solid.casts_shadow:
            continue
        ahead = solid.bound_for(p).ahead(point, p.light, PENUMBRA)
        # darker than dark is not possible
        index = where(ahead & (visible > 0) & solid.there(p))
        if len(index):
            past = _light_past(solid, point[:, index], p.for_rays(index))
            visible[index] = np.minimum(visible[index], past)
    return smoothstep(0.0, 1.0, visible)


def _light_past(solid: Solid, point: Array, p: Parameters) -> Array:
    """Share of the lamp that points (3, R) see past one solid, before smoothing."""
    enter, leave = solid.bound_for(p).crossing(point, p.light, PENUMBRA)
    result = np.ones_like(enter)
    index = where(enter < leave)
    if not len(index):
        return result
    point, leave, p = point[:, index], leave[index], p.for_rays(index)
    distance = enter[index] + 0.02
    visible = np.ones_like(distance)
    for step in range(_SHADOW_STEPS):
        free = solid.in_the_way(point + p.light * distance, p)
        seen = clip(_SHARPNESS * free / np.maximum(distance, 0.05) + 0.1, 0.0, 1.0)
        visible = np.where(distance > leave, visible, np.minimum(visible, seen))
        distance = distance + clip(free, 0.03, 0.35)
        if step % _SWEEP_EVERY == _SWEEP_EVERY - 1 or step == _SHADOW_STEPS - 1:
            result[index] = visible
            going = where((visible > 0) & (distance < leave))
            if not len(going):
                break
            index, point, p = index[going], point[:, going], p.for_rays(going)
            distance, leave, visible = distance[going], leave[going], visible[going]
    return result


# (height above the surface, weight): a solid nearer to the probe than the probe to the surface
# keeps some of the sky's light away.
_PROBES = ((0.04, 4.0), (0.12, 2.0), (0.30, 0.8))
#: Ambient occlusion reaches this far, in world units.
OCCLUSION_REACH = 2 * _PROBES[-1][0]


def openness(solids: Sequence[Solid], point: Array, normal: Array, p: Parameters) -> Array:
    """Share of the sky (0.15 to 1) that surface points (3, R) see: ambient occlusion."""
    blocked = np.zeros_like(point[0])
    near = [
        where(solid.bound_for(p).near(point, OCCLUSION_REACH) & solid.there(p)) for solid in solids
    ]
    local = [p.for_rays(index) for index in near]
    for height, weight in _PROBES:
        probe = point + normal * height
        free = np.full_like(point[0], height)
        for solid, index, own in zip(solids, near, local, strict=True):
            if len(index):
                found = solid.in_the_way(probe[:, index], own)
                free[index] = np.minimum(free[index], found)
        blocked = blocked + weight * (height - free)
    return clip(1 - blocked, 0.15, 1.0)
