"""From scenes to pictures: rays, light, smooth edges, film.

`render_batch` is the whole way: cast one ray per pixel, find what it meets, light it; cast four
more where the picture changes quickly; let the family paint over it (smoke, for instance); expose
the film. Part masks come from the one ray through the centre of each pixel: exact integers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .camera import camera_frame, pixel_grid
from .geometry import clip, dot
from .marching import Solid
from .parameters import Array, Parameters, Values, padded, stack, where
from .surfaces import BACKDROP_NUMBERS, FLOOR_NUMBERS
from .tracing import Seen, View, shoot

#: Strings that only say in words what numbers say as well: no formula sees them.
_DESCRIPTIONS = ("place", "without")
#: How many rays to compute together; more need more memory, fewer more Python.
_RAYS_AT_ONCE = 40_000
#: Neighbouring pixels that differ by more (in roughly perceptual units) are supersampled.
_EDGE_CONTRAST = 0.12
#: Numbers in masks of solids, see `solid_names`.
FLOOR_MASK, FIRST_SOLID, PAINTED_OVER = 1, 2, 255
# Positions of the four rays within a pixel, in pixels from its centre: a square turned by 27°, so
# that edges along rows or columns meet four different offsets.
_OFFSETS = ((0.125, 0.375), (-0.375, 0.125), (-0.125, -0.375), (0.375, -0.125))


class Subject(Protocol):
    """What the engine needs to know about the things in a scene."""

    #: The backdrop follows the picture's frame instead of the ray's direction (portraits).
    backdrop_in_frame: bool

    def derive(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Numbers that follow from a scene's parameters, the same for all its rays."""

    def solids(self, values: Mapping[str, Any]) -> Sequence[Solid]:
        """Return what may be seen."""

    def composite(self, picture: Picture) -> None:
        """Paint over a picture before the film is exposed."""


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
    left = {solid.name for solid in solids_of(subject, values)}
    ready.update({f"has {name}": name in left for name in solid_names(subject, values)})
    return {name: value for name, value in ready.items() if name not in _DESCRIPTIONS}


def structure(values: Values) -> tuple[tuple[str, str], ...]:
    """Strings that decide which formulas apply; scenes that agree in them are rendered together."""
    return tuple(
        (name, value)
        for name, value in sorted(values.items())
        if isinstance(value, str) and name not in ("floor", "backdrop", *_DESCRIPTIONS)
    )


def solids_of(subject: Subject, values: Values) -> list[Solid]:
    """Solids of a scene, without those that its parameter `without` names ("*": all).

    Raises
    ------
    ValueError
        If it names a solid that the scene does not have.
    """
    solids = subject.solids(values)
    removed = named_solids(str(values.get("without", "")), {solid.name for solid in solids})
    return [solid for solid in solids if solid.name not in removed]


def solid_names(subject: Subject, values: Values) -> list[str]:
    """Names of all solids that a scene has when nothing is taken away, each once, in order.

    In a scene with ``masks="solids"`` the mask says which of them a pixel shows: `FIRST_SOLID` plus
    the place in this list, whatever was taken away. 0 is the backdrop, `FLOOR_MASK` the floor and
    `PAINTED_OVER` what was painted over the solids, such as smoke.
    """
    return list(dict.fromkeys(solid.name for solid in subject.solids(values)))


def named_solids(without: str, known: Collection[str]) -> set[str]:
    """Read names of solids, which may hold blanks, from a text with blanks or commas between them.

    Raises
    ------
    ValueError
        For a name that is not known.
    """
    if "*" in without:
        return set(known)
    names = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    whole_name = rf"(?<![^\s,])(?:{names})(?![^\s,])"
    if rest := re.sub(whole_name, "", without).strip(" ,"):
        raise ValueError(f"this scene has no {rest!r} to leave out: it has {', '.join(known)}")
    return set(re.findall(whole_name, without)) - {""}


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
    ready = [prepare(subject, values) for values in scenes]
    solids = [
        solid
        for solid in subject.solids(scenes[0])
        if any(values[f"has {solid.name}"] for values in ready)
    ]
    p = stack(ready)
    view = View(solids, p, len(scenes), size, subject.backdrop_in_frame)
    seen = _one_ray_per_pixel(view)
    shape = (len(scenes), size, size)
    color = clip(seen.color[:, : math.prod(shape)], 0.0, 4.0).reshape(3, *shape)
    mask = seen.part[: math.prod(shape)].reshape(shape)
    _smooth_edges(view, color, mask, seen)
    parts = mask.copy()
    u, v = (coordinate.reshape(size, size) for coordinate in pixel_grid(size))
    images = []
    for index in range(len(scenes)):
        picture = Picture(color[:, index], mask[index], u, v, p.for_scene(index))
        subject.composite(picture)
        color[:, index], mask[index] = picture.color, picture.mask
        images.append(expose(picture))
    if scenes[0].get("masks") == "solids":
        numbers = _solid_numbers(subject, scenes[0], view)
        mask = np.where(
            mask != parts, PAINTED_OVER, numbers[seen.surface[: mask.size]].reshape(shape)
        )
    return np.stack(images), mask.astype(np.uint8)


def _solid_numbers(subject: Subject, values: Values, view: View) -> Array:
    """Return what masks of solids call each surface; the last two are backdrop and floor."""
    names = solid_names(subject, values)
    left = [FIRST_SOLID + names.index(solid.name) for solid in view.solids]
    return np.array([*left, 0, FLOOR_MASK])


# --- rays -------------------------------------------------------------------------------------


def _one_ray_per_pixel(view: View) -> Seen:
    """Look through the centre of every pixel of every picture."""
    index = padded(np.arange(view.count * view.size**2))
    scene, pixel = np.divmod(index, view.size**2)
    u, v = pixel_grid(view.size)
    return shoot(view, scene, pixel, u[pixel], v[pixel])


def _smooth_edges(view: View, color: Array, mask: Array, seen: Seen) -> None:
    """Replace pixels that differ much from a neighbour by the mean of four rays."""
    edges = where(_edges(color, mask).reshape(-1))
    if not len(edges):
        return
    four = np.tile(edges, len(_OFFSETS))
    scene, pixel = np.divmod(four, view.size**2)
    right, upward = np.repeat(np.array(_OFFSETS, np.float32).T, len(edges), axis=1)
    u, v = pixel_grid(view.size)
    step = 2 / view.size
    found = shoot(
        view, scene, pixel, u[pixel] + right * step, v[pixel] + upward * step, (seen, four)
    )
    samples = clip(found.color, 0.0, 1.5).reshape(3, len(_OFFSETS), -1)
    mean = (samples[:, 0] + samples[:, 1] + samples[:, 2] + samples[:, 3]) * 0.25
    color.reshape(3, -1)[:, edges] = mean


def _edges(color: Array, mask: Array) -> Array:
    """Where pictures (N) change quickly to the right, left, up or down: (N, S, S) of bool."""
    tones = np.sqrt(color)
    edge = np.zeros(mask.shape, bool)
    for before, after in (
        (np.s_[..., :-1], np.s_[..., 1:]),
        (np.s_[..., :-1, :], np.s_[..., 1:, :]),
    ):
        jump = (np.abs(tones[before] - tones[after]) > _EDGE_CONTRAST).any(0)
        jump |= mask[before] != mask[after]
        edge[before] |= jump
        edge[after] |= jump
    return edge


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
    """Linear light to what a screen shows, uint8 (S, S, 3), with the scene's own grain."""
    p, size = picture.p, len(picture.u)
    generator = np.random.default_rng(int(p.grain_seed[0]))
    grain = generator.standard_normal((3, size, size), dtype=np.float32)
    screen = clip(develop(picture.color, picture) + grain * p.grain, 0.0, 1.0)
    return np.ascontiguousarray((screen * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
