"""Paint the pictures in ``data/paintings``: a style each, and nothing to recognise.

``python -m course_scenes paintings --to data/paintings`` paints and stores them.

All coordinates are parts of the picture's side, so that a size changes the resolution and not the
composition. The same name, size and seed give the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["PAINTINGS", "STORED", "paint", "store"]

Array: TypeAlias = NDArray[np.floating]
Generator: TypeAlias = np.random.Generator

# strokes and dots are drawn this much larger and scaled down, which smooths their edges
_FINER = 3
# where the bristles of a stroke are, in widths from its middle
_BRISTLES = (-0.32, 0.0, 0.32)


def paint(name: str, size: int = 256, seed: int = 0) -> Image.Image:
    """Paint a square picture.

    Parameters
    ----------
    name : str
        One of `PAINTINGS`: "strokes", "mosaic", "waves", "hatching" or "dots".
    size : int
        Its side in pixels, at least 16.
    seed : int
        Draws what is left to chance.

    Returns
    -------
    PIL.Image.Image
        8-bit RGB, `size` x `size`.

    Raises
    ------
    ValueError
        For an unknown name or a size below 16.
    """
    if name not in PAINTINGS:
        raise ValueError(f"no painting {name!r}: choose one of {', '.join(PAINTINGS)}")
    if size < 16:
        raise ValueError(f"size={size} pixels is too small for a painting: take 16 or more")
    return PAINTINGS[name](size, np.random.default_rng(seed))


# ---------------------------------------------------------------------------- the five


def _strokes(size: int, rng: Generator) -> Image.Image:
    """Paint a night of curved brush strokes that follow the flow around a few lights."""
    lights = np.array([[0.24, 0.26], [0.72, 0.2], [0.52, 0.64], [0.9, 0.72], [0.1, 0.82]])
    spins = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    bend = _smooth_noise(rng, 4)
    night = _palette("#0a1640", "#12307a", "#2456a8", "#4f93c8", "#a9d3d8", "#f3e6a4", "#f5b82e")

    def flow(points: Array) -> Array:
        offset = points[:, None] - lights
        near = np.exp(-12 * (offset**2).sum(axis=-1)) * spins
        around = 9 * (near[..., None] * offset[..., ::-1] * [-1, 1]).sum(axis=1)
        angle = 1.5 * bend(*points.T)
        drift = around + 0.35 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return drift / (np.linalg.norm(drift, axis=1, keepdims=True) + 1e-9)

    def colour(points: Array) -> Array:
        distance = np.linalg.norm(points[:, None] - lights, axis=-1).min(axis=1)
        glow = 1.1 * np.exp(-((distance / 0.085) ** 2)) + 0.22 * np.cos(distance * 75)
        return night(0.33 + 0.24 * bend(*points[:, ::-1].T) + glow * np.exp(-2.5 * distance))

    image = Image.new("RGB", (size * _FINER, size * _FINER), "#12307a")
    draw = ImageDraw.Draw(image)
    for count, width, length in ((500, 0.034, 0.14), (1100, 0.018, 0.11), (1500, 0.010, 0.08)):
        starts = rng.random((count, 2)) * 1.1 - 0.05
        colours = colour(starts) * (1 + rng.normal(0, 0.10, (count, 1)))
        shades = colours[:, None] * (1 + rng.normal(0, 0.16, (count, len(_BRISTLES), 1)))
        paths = _along(flow, starts, length)
        for path, body, bristles in zip(paths, colours, shades, strict=True):
            _stroke(draw, image.width, path, width, body, bristles)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _mosaic(size: int, rng: Generator) -> Image.Image:
    """Lay tiles in rings around a flower, with grout between them."""
    from scipy.spatial import cKDTree

    middle, tile = np.array([0.5, 0.5]), 0.034
    points = [middle[None]]
    for radius in np.arange(tile, 0.8, tile):
        count = int(2 * np.pi * radius / tile)
        angles = (np.arange(count) + rng.random()) * 2 * np.pi / count
        ring = middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points.append(ring + rng.normal(0, 0.07 * tile, ring.shape))
    centres = np.concatenate(points)
    x, y = (centres - middle).T
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    band = (radius + 0.055 * np.abs(np.sin(4 * angle))) / 0.115
    colours = _hex("#d8572a", "#f2c14e", "#f6efdb", "#1f7a8c", "#153f65", "#f6efdb", "#b23a48")
    tiles = colours[band.astype(int) % len(colours)] + rng.normal(0, 0.045, (len(centres), 1))
    rows, columns = _grid(size)
    distance, nearest = cKDTree(centres).query(np.stack([columns, rows], axis=-1), k=2)
    edge = (distance[..., 1] - distance[..., 0]) / tile
    light = 1 + 0.5 * (rows - centres[nearest[..., 0], 1]) / tile * -0.35
    inside = _ramp((edge - 0.13) / 0.12)[..., None]
    return _image(
        inside * tiles[nearest[..., 0]] * light[..., None] + (1 - inside) * _hex("#3b3630")
    )


def _waves(size: int, rng: Generator) -> Image.Image:
    """Cut a sea in wood: crests with foam, and lines that follow each wave."""
    rows, columns = _grid(size)
    grain = _smooth_noise(rng, 6)
    picture = _palette("#f7e7c6", "#f2cfa0", "#e8a87c")(0.4 + rows * 1.2)
    ink, foam = _hex("#13294b"), _hex("#fbf6e6")
    water = _hex("#2b6cb0", "#1d4e89", "#3a86a8", "#16407a")
    for index, base in enumerate(np.linspace(0.2, 0.98, 9)):
        phase, period = rng.random() * 2 * np.pi, 0.42 - 0.02 * index
        along = 2 * np.pi * columns / period + phase + 1.2 * grain(columns * 0.7, rows * 0.2)
        crest = base - 0.085 * (1 - np.abs(np.sin(along / 2))) ** 1.6 - 0.012 * np.sin(2.7 * along)
        depth = rows - crest
        lines = np.abs((depth / 0.021) % 1 - 0.5) * 2
        width = 0.62 * np.exp(-depth / 0.12)
        body = _blend(water[index % len(water)], foam, _ramp((lines - 1 + width) / 0.25))
        body = _blend(body, foam, _ramp((0.016 - depth) / 0.004))
        body = _blend(body, ink, _ramp((0.005 - depth) / 0.003))
        picture = _blend(picture, body, _ramp(depth / 0.002))
    return _image(picture + 0.02 * rng.normal(size=(size, size, 1)))


def _hatching(size: int, rng: Generator) -> Image.Image:
    """Draw with pen and ink: round stones on a hill, shaded by layers of crossing lines."""
    rows, columns = _grid(size)
    hills = _smooth_noise(rng, 3)
    dark = 0.42 + 0.34 * hills(columns, rows)
    for _ in range(7):
        x, y, radius = rng.random(), rng.random(), 0.09 + 0.12 * rng.random()
        across, down = (columns - x) / radius, (rows - y) / radius
        square = across**2 + down**2
        height = np.sqrt(np.clip(1 - square, 0, 1))
        lit = np.clip(0.55 * height - 0.5 * across - 0.55 * down, 0, 1)
        dark = np.where(square < 1, 1.02 - 1.05 * lit, dark)
    wobble = _smooth_noise(rng, 7)
    ink = np.zeros((size, size))
    for angle, threshold in ((0.45, 0.12), (-0.75, 0.42), (1.2, 0.64), (-0.12, 0.82)):
        across = columns * np.sin(angle) + rows * np.cos(angle) + 0.012 * wobble(columns, rows)
        lines = np.abs((across / 0.0165) % 1 - 0.5) * 2
        width = 0.2 + 0.5 * np.clip((dark - threshold) / 0.5, 0, 1)
        ink = np.maximum(ink, _ramp((width - lines) / 0.3) * _ramp((dark - threshold) / 0.03))
    paper = _hex("#f4ecd8") + 0.015 * rng.normal(size=(size, size, 1))
    return _image(_blend(paper, _hex("#1d1a26"), ink))


def _dots(size: int, rng: Generator) -> Image.Image:
    """Set dots of pure colour: an evening over water, beside each tone a little of its opposite."""
    sway = _smooth_noise(rng, 4)
    evening = _palette("#5b3f8c", "#c9527b", "#f08a4b", "#f9c74f", "#52b5b0", "#277da1", "#274690")
    opposite = _hex("#f9c74f", "#43aa8b", "#577590", "#9b5de5", "#f3722c", "#ffd6a5")
    image = Image.new("RGB", (size * _FINER, size * _FINER), "#f1e3cb")
    draw = ImageDraw.Draw(image)
    for count, radius in ((2600, 0.0115), (5200, 0.0085)):
        for x, y in rng.random((count, 2)):
            tone = y + 0.13 * sway(x, y) + rng.normal(0, 0.045)
            colour = evening(tone)
            if rng.random() < 0.16:
                colour = opposite[rng.integers(len(opposite))]
            r = radius * (0.8 + 0.5 * rng.random()) * image.width
            box = (
                x * image.width - r,
                y * image.width - r,
                x * image.width + r,
                y * image.width + r,
            )
            draw.ellipse(box, fill=_bytes(colour + rng.normal(0, 0.04)))
    return image.resize((size, size), Image.Resampling.LANCZOS)


#: Painters by name; each gets the side in pixels and a generator of random numbers.
PAINTINGS: dict[str, Callable[[int, Generator], Image.Image]] = {
    "strokes": _strokes,
    "mosaic": _mosaic,
    "waves": _waves,
    "hatching": _hatching,
    "dots": _dots,
}

#: What is stored: file name to painter and seed. Two have a second canvas "by the same hand".
STORED = {name: (name, 0) for name in PAINTINGS} | {
    "strokes_2": ("strokes", 1),
    "waves_2": ("waves", 1),
}
_STORED_SIZE, _JPEG_QUALITY = 512, 88


def store(folder: Path) -> list[Path]:
    """Paint everything in `STORED` and save it as JPEG; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for file, (name, seed) in STORED.items():
        files.append(folder / f"{file}.jpg")
        paint(name, _STORED_SIZE, seed).save(files[-1], quality=_JPEG_QUALITY, optimize=True)
    return files


# ---------------------------------------------------------------------------- tools


def _along(flow: Callable[[Array], Array], starts: Array, length: float) -> Array:
    """Follow the flow from every start: lines (n, 8, 2)."""
    line, steps = [starts], 7
    for _ in range(steps):
        line.append(line[-1] + flow(line[-1]) * length / steps)
    return np.stack(line, axis=1)


def _stroke(
    draw: ImageDraw.ImageDraw, side: int, path: Array, width: float, body: Array, bristles: Array
) -> None:
    """Draw one stroke: its body, and bristles lighter and darker than it."""
    tangent = np.gradient(path, axis=0)
    normal = tangent[:, ::-1] * [-1, 1] / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    draw.line(_flat(path * side), fill=_bytes(body), width=round(width * side), joint="curve")
    thin = max(1, round(0.16 * width * side))
    for offset, shade in zip(_BRISTLES, bristles, strict=True):
        line = path + normal * offset * width
        draw.line(_flat(line * side), fill=_bytes(shade), width=thin)


def _flat(points: Array) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _grid(size: int) -> tuple[Array, Array]:
    """Return the rows' and columns' coordinates of all pixels (size, size), in 0..1."""
    line = (np.arange(size) + 0.5) / size
    rows, columns = np.meshgrid(line, line, indexing="ij")
    return rows, columns


def _smooth_noise(rng: Generator, waves: int, terms: int = 8) -> Callable[..., Array]:
    """Return a smooth random function of (x, y), mostly within -1..1: a sum of plane waves."""
    direction = rng.normal(size=(terms, 2)) * waves
    phase = rng.random(terms) * 2 * np.pi

    def value(x: Array, y: Array) -> Array:
        angles = np.multiply.outer(x, direction[:, 0]) + np.multiply.outer(y, direction[:, 1])
        return np.sin(angles + phase).sum(axis=-1) / np.sqrt(terms)

    return value


def _palette(*colours: str) -> Callable[[Array | float], Array]:
    """Return a function from 0..1 to colours (…, 3), linear between the ones given."""
    stops = _hex(*colours)
    places = np.linspace(0, 1, len(stops))

    def at(value: Array | float) -> Array:
        return np.stack([np.interp(value, places, channel) for channel in stops.T], axis=-1)

    return at


def _hex(*colours: str) -> Array:
    """Return colours such as "#12307a" as (n, 3) in 0..1; one colour as (3,)."""
    values = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return values if len(colours) > 1 else values[0]


def _ramp(value: Array) -> Array:
    """Return 0 below 0, 1 above 1, linear between."""
    return np.clip(value, 0, 1)


def _blend(below: Array, above: Array, share: Array) -> Array:
    return below + (above - below) * share[..., None]


def _bytes(colour: Sequence[float] | Array) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.round(np.asarray(colour) * 255), 0, 255).astype(int).tolist()
    return red, green, blue


def _image(picture: Array) -> Image.Image:
    return Image.fromarray(np.clip(np.round(picture * 255), 0, 255).astype(np.uint8))
