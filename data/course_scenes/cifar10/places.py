"""Where the ten classes are found: floors, horizons, skies, and the camera in front of them.

With typical backgrounds, each class has its own mix of places, as in CIFAR-10: ships float on
water, airplanes fly, deer stand at the edge of a wood. Without, every class is drawn from all
places alike, by random numbers that do not know the class: then the background says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..drawing import Generator, draw_stage, hsv, pick, rounded, uniform
from ..families import Scene, suggest
from ..parameters import Values

Range = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """A kind of background.

    Attributes
    ----------
    floor : str
        Name of a floor texture, or "none".
    backdrops : dict
        What may be behind it, and how often.
    hue, saturation, value : tuple
        Range of the floor's colour.
    second : tuple
        Ranges of hue, saturation and value of its second colour.
    turned : float
        How far the floor's pattern may be turned, in radians: roads run across the picture.
    scale : tuple
        Range of the pattern's frequency.
    """

    floor: str
    backdrops: dict[str, float]
    hue: Range = (0.0, 1.0)
    saturation: Range = (0.1, 0.4)
    value: Range = (0.3, 0.8)
    second: tuple[Range, Range, Range] = ((0.0, 1.0), (0.1, 0.3), (0.3, 0.6))
    turned: float = np.pi
    scale: Range = (1.2, 2.2)


_OUTDOORS = {"sky": 0.4, "trees": 0.6}
PLACES: dict[str, Place] = {
    "sky": Place("none", {"sky": 1.0}),
    "meadow": Place(
        "grass",
        _OUTDOORS,
        (0.17, 0.32),
        (0.35, 0.7),
        (0.35, 0.7),
        ((0.12, 0.18), (0.4, 0.7), (0.6, 0.9)),
        scale=(0.9, 1.8),
    ),
    "wood": Place(
        "grass",
        {"trees": 1.0},
        (0.12, 0.30),
        (0.3, 0.6),
        (0.25, 0.5),
        ((0.08, 0.14), (0.4, 0.7), (0.4, 0.7)),
        scale=(0.9, 1.8),
    ),
    "street": Place(
        "road", {"sky": 0.35, "trees": 0.45, "blur": 0.2}, (0.1, 0.3), (0.2, 0.5), (0.3, 0.6),
        turned=0.45, scale=(1.0, 1.5),
    ),
    "water": Place(
        "water", {"sky": 0.75, "trees": 0.25}, (0.46, 0.62), (0.25, 0.75), (0.3, 0.7),
        turned=0.6, scale=(1.0, 2.0),
    ),
    "sand": Place("plain", {"sky": 0.6, "trees": 0.4}, (0.07, 0.13), (0.2, 0.5), (0.55, 0.85)),
    "snow": Place("plain", {"sky": 0.5, "trees": 0.5}, (0.55, 0.62), (0.02, 0.1), (0.85, 0.98)),
    "pavement": Place(
        "stone", {"sky": 0.2, "trees": 0.4, "blur": 0.4}, (0.0, 1.0), (0.02, 0.1), (0.4, 0.85),
        ((0.05, 0.12), (0.02, 0.2), (0.3, 0.6)),
    ),
    "boards": Place(
        "wood", {"blur": 1.0}, (0.06, 0.10), (0.3, 0.65), (0.5, 0.85),
        ((0.05, 0.08), (0.5, 0.75), (0.2, 0.45)),
    ),
    "cloth": Place(
        "cloth", {"blur": 1.0}, (0.0, 1.0), (0.05, 0.25), (0.8, 0.95),
        ((0.0, 1.0), (0.2, 0.7), (0.4, 0.75)), scale=(0.8, 1.6),
    ),
    "tiles": Place(
        "tile", {"blur": 1.0}, (0.0, 1.0), (0.02, 0.25), (0.6, 0.95),
        ((0.0, 1.0), (0.05, 0.35), (0.4, 0.8)),
    ),
    "carpet": Place("plain", {"blur": 1.0}, (0.0, 1.0), (0.1, 0.55), (0.25, 0.75)),
}  # fmt: skip

# How often each class is found where.
TYPICAL: dict[str, dict[str, float]] = {
    "airplane": {"sky": 0.75, "street": 0.2, "meadow": 0.05},
    "automobile": {"street": 0.6, "pavement": 0.15, "meadow": 0.1, "sand": 0.1, "snow": 0.05},
    "bird": {"sky": 0.35, "meadow": 0.2, "wood": 0.15, "water": 0.1, "sand": 0.1, "snow": 0.1},
    "cat": {"boards": 0.25, "cloth": 0.15, "carpet": 0.25, "tiles": 0.1, "meadow": 0.15,
            "pavement": 0.1},
    "deer": {"wood": 0.45, "meadow": 0.35, "sand": 0.1, "snow": 0.1},
    "dog": {"meadow": 0.35, "boards": 0.15, "carpet": 0.15, "sand": 0.1, "pavement": 0.1,
            "snow": 0.05, "street": 0.1},
    "frog": {"wood": 0.3, "meadow": 0.2, "pavement": 0.2, "water": 0.15, "sand": 0.15},
    "horse": {"meadow": 0.6, "sand": 0.2, "wood": 0.1, "snow": 0.05, "street": 0.05},
    "ship": {"water": 1.0},
    "truck": {"street": 0.6, "pavement": 0.15, "meadow": 0.1, "sand": 0.15},
}  # fmt: skip
ANYWHERE = {name: 1.0 for name in PLACES if name != "sky"}


def draw_place(
    rng: Generator,
    class_name: str,
    *,
    typical_backgrounds: bool = True,
    backdrop: str | None = None,
) -> Values:
    """Draw camera, light and background.

    Parameters
    ----------
    rng : Generator
        The stage's random numbers.
    class_name : str
        Decides the place, if backgrounds are typical.
    typical_backgrounds : bool
        Whether the class decides.
    backdrop : str, optional
        One of `PLACES`, for every scene alike.

    Raises
    ------
    ValueError
        For an unknown place.
    """
    distance, half_frame = uniform(rng, 5.5, 8.0), uniform(rng, 0.85, 1.25)
    values = draw_stage(
        rng,
        distance=distance,
        zoom=half_frame / distance,
        pitch=uniform(rng, 0.04, 0.45),
        target=[uniform(rng, -0.15, 0.15), uniform(rng, 0.38, 0.52), 0.0],
        grain=uniform(rng, 0.003, 0.012),
    )
    dim = uniform(rng, 0.65, 1.1)
    values["key"] = [dim * channel for channel in values["key"]]
    name = pick(rng, TYPICAL[class_name] if typical_backgrounds else ANYWHERE)
    upwards = uniform(rng, -0.5, 0.3)
    values |= background(rng, name if backdrop is None else backdrop)
    if values["floor"] == "none":
        values["pitch"] = upwards
    return values


def background(rng: Generator, name: str) -> Values:
    """Draw floor and backdrop of one of `PLACES`.

    Raises
    ------
    ValueError
        For an unknown place.
    """
    if name not in PLACES:
        raise ValueError(f"no backdrop {name!r}: {suggest(name, PLACES)}")
    place = PLACES[name]
    backdrop = pick(rng, place.backdrops)
    return {
        "place": name,
        "floor": place.floor,
        "floor_color": hsv(*(uniform(rng, *r) for r in (place.hue, place.saturation, place.value))),
        "floor_color2": hsv(*(uniform(rng, *r) for r in place.second)),
        "floor_offset": uniform(rng, 0, 31),
        "floor_turn": uniform(rng, -place.turned, place.turned),
        "floor_scale": uniform(rng, *place.scale),
        "backdrop": backdrop,
        **(_room(rng) if backdrop == "blur" else _weather(rng)),
        "backdrop_offset": uniform(rng, 0, 31),
    }


def _room(rng: Generator) -> Values:
    return {
        "backdrop_color": hsv(rng.random(), uniform(rng, 0.1, 0.4), uniform(rng, 0.3, 0.8)),
        "backdrop_color2": hsv(rng.random(), 0.3, uniform(rng, 0.3, 0.8)),
        "backdrop_detail": uniform(rng, 0, 1),
    }


def _weather(rng: Generator) -> Values:
    """Fair (60 %), overcast (25 %) or evening sky."""
    kind = rng.random()
    if kind < 0.6:
        low = hsv(0.57, uniform(rng, 0.05, 0.35), uniform(rng, 0.75, 0.98))
        high = hsv(uniform(rng, 0.57, 0.62), uniform(rng, 0.35, 0.75), uniform(rng, 0.55, 0.9))
    elif kind < 0.85:
        low = hsv(0.58, uniform(rng, 0.0, 0.1), uniform(rng, 0.7, 0.95))
        high = hsv(0.6, uniform(rng, 0.02, 0.15), uniform(rng, 0.5, 0.8))
    else:
        low = hsv(uniform(rng, 0.03, 0.12), uniform(rng, 0.2, 0.5), uniform(rng, 0.75, 0.95))
        high = hsv(uniform(rng, 0.58, 0.7), uniform(rng, 0.2, 0.5), uniform(rng, 0.45, 0.75))
    return {
        "backdrop_color": low,
        "backdrop_color2": high,
        "backdrop_detail": uniform(rng, 0, 1),
    }


def move_to(scene: Scene, kind: str) -> Scene:
    """Put the object before another background: meadow, street, water, sky, boards, ….

    The new place's colours come from the scene's own seed: the same change gives the same picture.
    """
    rng = np.random.default_rng([int(scene.parameters["grain_seed"]), 7])
    return scene.changed(**rounded(background(rng, kind)))
