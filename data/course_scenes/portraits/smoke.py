"""Smoke of a cigarette, steam of a mug: a plume in the plane of the picture.

Smoke has no surface that a ray could meet. It is painted over the finished picture, in linear
light: three filaments rise from their source, bend as noise tells them and widen with height. Each
lets a share of the light behind it through and adds some of its own; it ends at a finite distance
from its middle.

**The mask** of the smoke is exact: smoke that would change every colour channel of a pixel by at
most `VISIBLE` grey levels, before film grain, is not painted there, and all other pixels that the
plume covers belong to it. So the mask is the set of pixels that `remove_smoke` changes; white smoke
before a white cloud is not counted. The cigarette keeps its pixels.
"""

from __future__ import annotations

import numpy as np

from ..geometry import Array, clip, mix, smoothstep, vector
from ..noise import fractal_noise, noise
from ..rendering import Picture, develop
from .held import CIGARETTE_NAME
from .parts import CIGARETTE, OTHER_OBJECT, SMOKE

#: Grey levels (of 255) by which smoke must change a pixel to be painted there at all.
VISIBLE = 4
_TINT = vector(0.96, 0.98, 1.02)
_FILAMENTS = 3
_VEIL = 0.03


def paint_smoke(picture: Picture) -> None:
    """Paint the plume of a cigarette or a mug over a picture, and note it in the mask."""
    p = picture.p
    smokes = p.object == CIGARETTE_NAME
    if not (smokes or p.object == "mug") or p.smoke_amount[0] == 0:
        return
    opacity = _opacity(picture) * (1.0 if smokes else 0.6)
    light = (p.key[0] + p.ambient[0]) * 0.55 * _TINT
    with_smoke = mix(picture.color, light[:, :, None], opacity)
    change = np.abs(develop(with_smoke, picture) - develop(picture.color, picture)).max(0)
    visible = change > VISIBLE / 255
    picture.color = np.where(visible, with_smoke, picture.color)
    # steam hides nothing that a lesson asks for: it counts only before the background
    free = picture.mask != CIGARETTE if smokes else picture.mask == 0
    part = SMOKE if smokes else OTHER_OBJECT
    picture.mask = np.where(visible & free, np.int64(part), picture.mask)


def _opacity(picture: Picture) -> Array:
    """Share of the light behind that the plume keeps away, (S, S), 0 where it does not reach."""
    p, shape = picture.p, picture.u.shape
    source_u, source_v = picture.project(p.smoke_source)
    sideways = (picture.u - source_u).reshape(-1)
    height = (picture.v - source_v).reshape(-1)
    transparency = np.ones_like(height)
    rises = smoothstep(0.0, 0.06, height) * smoothstep(1.0, 0.25, height / p.smoke_height)
    for number in range(_FILAMENTS):
        transparency = transparency * (1 - rises * _filament(sideways, height, number, picture))
    # a thin veil all around is cut off, so that the plume has an edge
    return np.maximum(1 - transparency - _VEIL, 0).reshape(shape) / (1 - _VEIL)


def _filament(sideways: Array, height: Array, number: int, picture: Picture) -> Array:
    """Opacity of one filament at points relative to the source, in half picture widths."""
    p = picture.p
    up, seed = np.maximum(height, 0), p.smoke_seed
    slow = noise(vector(up * 1.6 + number * 0.2, seed + number * 2.3, seed * 0.3)) - 0.5
    quick = noise(vector(up * 5.0, seed + 4 + number, seed * 0.3)) - 0.5
    middle = p.smoke_drift * up
    middle = middle + slow * 1.1 * np.minimum(up * 1.2, 1) + quick * 0.25 * np.minimum(up * 2, 1)
    width = p.smoke_width * (0.35 + up * (1.5 + 0.8 * number))
    across = (sideways - middle) / width
    profile = np.maximum(1 - across * across, 0)
    wisps = fractal_noise(vector(sideways * 5 - middle * 4, height * 2.2, seed + number))
    strength = p.smoke_amount * (0.9 - 0.2 * number) / (1 + up * 1.2)
    return clip(profile * profile * (0.25 + 1.3 * wisps) * strength, 0, 0.95)
