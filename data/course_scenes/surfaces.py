"""Floors and backdrops: textures computed from coordinates, so that they have any resolution.

A floor is a function of the position (u, v) on it, in world units, and of the scene's two floor
colours. A backdrop is a function of the direction one looks in. Both are looked up by name, so a
batch may mix them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .geometry import Array, choose, clip, linear_color, mix, radius, smoothstep, vector
from .noise import fractal_noise, noise
from .parameters import Parameters, where

Texture = Callable[[Array, Array, Parameters], Array]


def wood(u: Array, v: Array, p: Parameters) -> Array:
    """Boards along v, with grain, each of its own brightness."""
    across, seed = u * 1.1, p.floor_offset
    board = np.floor(across)
    from_middle = np.abs(across - board - 0.5)
    wave = fractal_noise(vector(u * 6 + seed, v * 0.7 + board * 9.3, board * 3.1 + seed))
    rings = (np.sin((wave * 9 + u * 3) * 5) * 0.5 + 0.5) * 0.35
    fibres = noise(vector(u * 60, v * 3 + board * 5, seed)) * 0.3
    tone = 0.75 + 0.4 * noise(vector(board * 1.7, seed, seed))
    gap = np.maximum(smoothstep(0.5, 0.485, from_middle), 0.35)
    return mix(p.floor_color, p.floor_color2, clip(rings + fibres, 0.0, 1.0)) * (tone * gap)


def cloth(u: Array, v: Array, p: Parameters) -> Array:
    """Gingham: two sets of stripes, and the weave of the threads."""
    stripes = (np.sin(u * 6.6) > 0) * 0.5 + (np.sin(v * 6.6) > 0) * 0.5
    weave = 0.85 + 0.15 * np.sin(u * 70) * np.sin(v * 70)
    folds = 0.8 + 0.35 * fractal_noise(vector(u * 1.2, v * 1.2, p.floor_offset))
    return mix(p.floor_color, p.floor_color2, np.float32(stripes)) * (weave * folds)


def grass(u: Array, v: Array, p: Parameters) -> Array:
    """Blades at two scales, meadow patches, and dry spots of the second colour."""
    seed = p.floor_offset
    drift = noise(vector(u * 3, v * 3, seed)) * 3
    blades = fractal_noise(vector(u * 14 + drift, v * 5, seed))
    fine = noise(vector(u * 37 - drift, v * 11, seed + 7))
    patches = fractal_noise(vector(u * 0.8 + v * 0.23, v * 0.8, seed + 3))
    blade = smoothstep(0.25, 0.75, blades * 0.75 + fine * 0.25)
    green = mix(p.floor_color * 0.45, p.floor_color * 1.25, blade) * (0.7 + 0.6 * patches)
    return green + p.floor_color2 * (0.10 * smoothstep(0.58, 0.68, patches))


def stone(u: Array, v: Array, p: Parameters) -> Array:
    """Marble: clouds of two colours and dark veins where a second noise passes through 1/2."""
    seed = p.floor_offset
    clouds = fractal_noise(vector(u * 1.3, v * 1.3, seed), 4)
    from_vein = np.abs(fractal_noise(vector(u * 1.1 + clouds * 2, v * 1.1, seed + 5)) - 0.5)
    vein = 0.65 + 0.35 * smoothstep(0.0, 0.05, from_vein)
    crystals = 0.9 + 0.2 * noise(vector(u * 40, v * 40, seed))
    return mix(p.floor_color, p.floor_color2, clouds) * (vein * crystals)


def tile(u: Array, v: Array, p: Parameters) -> Array:
    """Square tiles of slightly different tones, with grouting."""
    seed = p.floor_offset
    column, row = np.floor(u * 1.3), np.floor(v * 1.3)
    from_middle = np.maximum(np.abs(u * 1.3 - column - 0.5), np.abs(v * 1.3 - row - 0.5))
    tone = noise(vector(column * 3.3 + 0.5, row * 5.7 + 0.5, seed))
    glaze = mix(p.floor_color, p.floor_color2, tone * 0.5)
    grouted = mix(glaze, p.floor_color * 0.4, smoothstep(0.455, 0.48, from_middle))
    return grouted * (0.9 + 0.2 * fractal_noise(vector(u * 5, v * 5, seed)))


def road(u: Array, v: Array, p: Parameters) -> Array:
    """Asphalt with a broken white line, and verges of the floor's colour."""
    seed = p.floor_offset
    grit = 0.45 + 0.25 * noise(vector(u * 40, v * 40, seed))
    grit = grit + 0.3 * fractal_noise(vector(u, v, seed))
    asphalt = linear_color((0.5, 0.5, 0.52)) * grit
    dash = smoothstep(0.07, 0.04, np.abs(v - 1.15)) * (np.sin(u * 2.2 + seed) > -0.2)
    verge = p.floor_color * (0.4 + 0.9 * fractal_noise(vector(u * 6, v * 6, seed)))
    return choose((v < -1.5) | (v > 2.4), verge, mix(asphalt, 0.8, dash))


def water(u: Array, v: Array, p: Parameters) -> Array:
    """Waves of three lengths, each running its own way, with bright crests."""
    seed = p.floor_offset
    bend = noise(vector(u * 0.5, v * 0.7, seed + 9)) * 2
    swell = noise(vector(u * 0.9 + bend, v * 2.1 - u * 0.3, seed))
    waves = noise(vector(u * 2.7 - bend, v * 7.3 + u * 0.8, seed + 2))
    ripples = noise(vector(u * 8.3 + v, v * 19.0 - u * 2.0, seed + 4))
    height = swell * 0.5 + waves * 0.32 + ripples * 0.18
    body = mix(p.floor_color * 0.5, p.floor_color * 1.1, height)
    return body + 0.5 * smoothstep(0.62, 0.80, height)


def plain(u: Array, v: Array, p: Parameters) -> Array:
    """One colour, a little uneven."""
    return p.floor_color * (0.8 + 0.4 * fractal_noise(vector(u * 2, v * 2, p.floor_offset), 4))


#: Floors by name; "none" stands for no floor at all.
FLOORS: Mapping[str, Texture] = {
    "wood": wood,
    "cloth": cloth,
    "grass": grass,
    "stone": stone,
    "tile": tile,
    "road": road,
    "water": water,
    "plain": plain,
}
NO_FLOOR = "none"


def sky(u: Array, v: Array, p: Parameters) -> Array:
    """Two colours from the horizon upwards, and clouds; `backdrop_detail` is their strength."""
    gradient = mix(p.backdrop_color, p.backdrop_color2, smoothstep(-0.2, 0.45, v))
    seed = p.backdrop_offset
    clouds = fractal_noise(vector(u * 4.5 + seed, v * 9 - u, seed), 4)
    return mix(gradient, 0.9, smoothstep(0.52, 0.75, clouds) * p.backdrop_detail)


def blur(u: Array, v: Array, p: Parameters) -> Array:
    """Draw a room out of focus: soft blobs, and discs of light."""
    seed, u, v = p.backdrop_offset, u * 3, v * 3
    blobs = noise(vector(u * 1.3 + seed, v * 1.3, seed))
    room = mix(p.backdrop_color, p.backdrop_color2, smoothstep(0.3, 0.7, blobs))
    room = room * (0.8 + 0.3 * fractal_noise(vector(u * 2, v * 2, seed), 2))
    x, y = u * 2.2 + seed, v * 2.2
    column, row = np.floor(x), np.floor(y)
    lamp_is_lit = noise(vector(column * 3.7 + 0.3, row * 5.1 + 0.4, seed)) > 0.6
    disc = smoothstep(0.42, 0.36, radius(x - column - 0.5, y - row - 0.5))
    return room + (p.backdrop_color2 + 0.2) * (0.25 * p.backdrop_detail * disc * lamp_is_lit)


def trees(u: Array, v: Array, p: Parameters) -> Array:
    """Draw a line of trees before the sky."""
    seed = p.backdrop_offset
    leaves = fractal_noise(vector(u * 14 + seed, v * 14, seed), 4)
    crowns = 0.02 + 0.2 * fractal_noise(vector(u * 4.5 + seed, seed, 0.0))
    foliage = mix(
        linear_color((0.10, 0.22, 0.08)),
        linear_color((0.38, 0.52, 0.22)),
        smoothstep(0.3, 0.7, leaves),
    )
    above = smoothstep(-0.01, 0.01, v - crowns - 0.1 * (leaves - 0.5))
    return mix(foliage, sky(u, v, p), above)


#: Backdrops by name.
BACKDROPS: Mapping[str, Texture] = {"sky": sky, "blur": blur, "trees": trees}

# Textures are named in scenes and numbered in a batch, where a number fits into a tensor.
FLOOR_NUMBERS = {name: float(number) for number, name in enumerate(FLOORS)} | {NO_FLOOR: -1.0}
BACKDROP_NUMBERS = {name: float(number) for number, name in enumerate(BACKDROPS)}


def texture(
    textures: Mapping[str, Texture], numbers: Array, u: Array, v: Array, p: Parameters
) -> Array:
    """Colour (3, R) at (u, v): for each ray the texture that its scene's number names."""
    color = np.zeros((3, len(u)), np.float32)
    functions = list(textures.values())
    for number in np.unique(numbers).tolist():
        if number < 0:
            continue
        if len(numbers) == 1:
            color[:] = functions[int(number)](u, v, p)
            return color
        chosen = where(numbers == number)
        color[:, chosen] = functions[int(number)](u[chosen], v[chosen], p.for_rays(chosen))
    return color
