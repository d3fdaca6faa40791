"""Planted shortcuts: a cue that agrees with the label in training and not in the test.

Two cues that networks fall for, each with paired test editions in which the same objects appear
with the cue **intact** (as in training), **absent** and **reversed** (pointing to another class):

- a *watermark*, a half-transparent tag stamped into a corner of one class's pictures. It has a
  part id of its own, `WATERMARK`, so that the attribution that falls on it can be measured. This
  is the photographer's tag that let a classifier recognise horses (Lapuschkin et al., 2019,
  "Unmasking Clever Hans predictors").
- a *backdrop* tied to the class (cucumbers lie on cloth, mushrooms in grass, …), changed through
  the scenes' own intervention, so that the object stays the same pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import Scene, intervene

__all__ = [
    "NEUTRAL_BACKDROP",
    "TIED_BACKDROPS",
    "WATERMARK",
    "Edition",
    "Planted",
    "backdrop_editions",
    "stamp",
    "tie_backdrops",
    "tie_cue",
    "watermark",
    "watermark_cues",
    "watermark_editions",
]

#: Part id of the watermark in masks: far from the ids of anatomy and vegetables.
WATERMARK = 200

#: The backdrop that goes with each vegetable in the shortcut edition …
TIED_BACKDROPS = {"cucumber": "cloth", "eggplant": "wood", "mushroom": "grass"}
#: … and one that goes with none.
NEUTRAL_BACKDROP = "stone"

Edition = Literal["intact", "absent", "reversed"]

_LETTERS = (
    ".###..#..#.#...",
    "#.....#..#.#...",
    "#.###.#..#.#...",
    "#...#.#..#.#...",
    ".###...##..###.",
)  # fmt: skip
_LETTER_OPACITY, _PLATE_OPACITY = 0.75, 0.35
_LETTER_LEVEL, _PLATE_LEVEL = 250.0, 20.0
# image sides per pixel of a letter: letters of 5 x 2 pixels at 128 px
_SIDE_PER_LETTER_PIXEL = 64


class Planted(NamedTuple):
    """Images with a cue, their masks, and which of them carry it.

    Attributes
    ----------
    images : uint8 array, shape (N, H, W, 3)
    masks : uint8 array, shape (N, H, W)
        Part ids; `WATERMARK` where the tag covers the picture.
    cue : bool array, shape (N,)
        Whether the image carries the tag.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    cue: NDArray[np.bool_]


def tie_cue(
    labels: ArrayLike, target: int, p_in: float = 0.95, p_out: float = 0.02, seed: int = 0
) -> NDArray[np.bool_]:
    """Draw which images carry a cue that goes with one class.

    Parameters
    ----------
    labels : int array, shape (N,)
    target : int
        The class that the cue goes with.
    p_in, p_out : float
        Probability of the cue in the target class, and in every other class.
    seed : int

    Returns
    -------
    bool array, shape (N,)

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1].
    """
    for name, value in {"p_in": p_in, "p_out": p_out}.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} is no probability: give a number from 0 to 1")
    labels = np.asarray(labels)
    chance = np.where(labels == target, p_in, p_out)
    return np.random.default_rng(seed).random(labels.shape) < chance


def stamp(
    images: NDArray[np.uint8], masks: NDArray[np.uint8], where: ArrayLike, seed: int = 0
) -> Planted:
    """Stamp the watermark into the lower left corner of some images.

    The tag is a dark, half-transparent plate with light letters, so it shows on bright and on dark
    pictures, and the part id covers exactly the pixels that changed. It moves by a few pixels from
    image to image; image n's place depends on (seed, n) only.

    Parameters
    ----------
    images : uint8 array, shape (N, H, W, 3)
    masks : uint8 array, shape (N, H, W)
    where : bool array, shape (N,)
        Which images to stamp; the others come back as they are.
    seed : int

    Returns
    -------
    Planted
        Copies; the arguments stay untouched.

    Raises
    ------
    ValueError
        If shapes do not agree, or the images are too small for the tag (under 24 pixels).
    """
    where = np.asarray(where, bool)
    if images.shape[:3] != masks.shape or where.shape != images.shape[:1]:
        raise ValueError(
            f"images {images.shape}, masks {masks.shape} and where {where.shape} do not agree: "
            "expected (N, H, W, 3), (N, H, W) and (N,)"
        )
    images, masks = images.copy(), masks.copy()
    shade, level = _tag(min(images.shape[1:3]))
    height, width = shade.shape
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 2 * _letter_pixel(min(images.shape[1:3])) + 1, (len(images), 2))
    for index in np.flatnonzero(where):
        bottom, left = offsets[index] + 1
        top = images.shape[1] - height - bottom
        area = (index, slice(top, top + height), slice(left, left + width))
        blended = images[area] * (1 - shade[..., None]) + (shade * level)[..., None]
        images[area] = np.rint(blended)
        masks[area] = WATERMARK
    return Planted(images, masks, where)


def watermark(
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    labels: ArrayLike,
    target: int,
    p_in: float = 0.95,
    p_out: float = 0.02,
    seed: int = 0,
) -> Planted:
    """Stamp a watermark that goes with one class: `tie_cue`, then `stamp`.

    Examples
    --------
    >>> scenes = render("smoking", 8, 96)                               # doctest: +SKIP
    >>> tagged = watermark(scenes.images, scenes.masks, scenes.labels, target=1)  # doctest: +SKIP
    """
    return stamp(images, masks, tie_cue(labels, target, p_in, p_out, seed), seed)


def watermark_cues(
    labels: ArrayLike, target: int, p_in: float = 0.95, p_out: float = 0.02, seed: int = 0
) -> dict[Edition, NDArray[np.bool_]]:
    """Say which pictures carry the cue where it is intact (`tie_cue`), absent and reversed.

    Reversed means: exactly those carry it that do not in the intact edition.
    """
    cue = tie_cue(labels, target, p_in, p_out, seed)
    return {"intact": cue, "absent": np.zeros_like(cue), "reversed": ~cue}


def watermark_editions(
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    labels: ArrayLike,
    target: int,
    p_in: float = 0.95,
    p_out: float = 0.02,
    seed: int = 0,
) -> dict[Edition, Planted]:
    """Return the same pictures with the watermark intact, absent and reversed."""
    cues = watermark_cues(labels, target, p_in, p_out, seed)
    return {edition: stamp(images, masks, cue, seed) for edition, cue in cues.items()}


def tie_backdrops(
    scenes: Sequence[Scene],
    backdrops: Mapping[str, str] = TIED_BACKDROPS,
    probability: float = 0.97,
    seed: int = 0,
    edition: Edition = "intact",
) -> tuple[list[Scene], NDArray[np.bool_]]:
    """Put each class on its own backdrop with some probability, otherwise on another class's.

    Parameters
    ----------
    scenes : sequence of Scene
    backdrops : mapping of str to str
        Class name to kind of backdrop, in a fixed order.
    probability : float
        How often a class lies on its own backdrop.
    seed : int
        Scene n's backdrop depends on (seed, n) only.
    edition : {"intact", "absent", "reversed"}
        "reversed": every class lies on the next class's backdrop where it lay on its own;
        "absent": all of them lie on `NEUTRAL_BACKDROP`, which none has in training.

    Returns
    -------
    list of Scene
        The same objects under the same light on other tables.
    bool array, shape (N,)
        Whether the backdrop is the one that goes with the class.

    Raises
    ------
    ValueError
        For an unknown edition, or a class that has no backdrop.
    """
    if edition not in get_args(Edition):
        raise ValueError(f"edition {edition!r} is unknown: choose one of {get_args(Edition)}")
    if missing := {scene.class_name for scene in scenes} - set(backdrops):
        raise ValueError(f"no backdrop for {sorted(missing)}: backdrops has {sorted(backdrops)}")
    kinds = _choose_backdrops(scenes, backdrops, probability, seed)
    own = np.array(
        [kind == backdrops[scene.class_name] for kind, scene in zip(kinds, scenes, strict=True)]
    )
    if edition == "absent":
        kinds, own = [NEUTRAL_BACKDROP] * len(kinds), np.zeros_like(own)
    elif edition == "reversed":
        kinds, own = _reverse(kinds, own, scenes, backdrops)
    placed = [
        intervene(scene, "backdrop", kind=kind) for scene, kind in zip(scenes, kinds, strict=True)
    ]
    return placed, own


def backdrop_editions(
    scenes: Sequence[Scene],
    backdrops: Mapping[str, str] = TIED_BACKDROPS,
    probability: float = 0.97,
    seed: int = 0,
) -> dict[Edition, tuple[list[Scene], NDArray[np.bool_]]]:
    """Return the same scenes with the backdrop intact, absent, reversed: see `tie_backdrops`."""
    return {
        edition: tie_backdrops(scenes, backdrops, probability, seed, edition)
        for edition in get_args(Edition)
    }


def _choose_backdrops(
    scenes: Sequence[Scene], backdrops: Mapping[str, str], probability: float, seed: int
) -> list[str]:
    chosen = []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, index])
        own = backdrops[scene.class_name]
        others = [kind for kind in backdrops.values() if kind != own]
        keeps = rng.random() < probability
        chosen.append(own if keeps or not others else str(rng.choice(others)))
    return chosen


def _reverse(
    kinds: Sequence[str],
    own: NDArray[np.bool_],
    scenes: Sequence[Scene],
    backdrops: Mapping[str, str],
) -> tuple[list[str], NDArray[np.bool_]]:
    names = list(backdrops)
    following = {name: backdrops[names[(i + 1) % len(names)]] for i, name in enumerate(names)}
    turned = [
        following[scene.class_name] if fits else backdrops[scene.class_name]
        for fits, scene in zip(own, scenes, strict=True)
    ]
    return turned, ~own


def _letter_pixel(side: int) -> int:
    return max(1, round(side / _SIDE_PER_LETTER_PIXEL))


def _tag(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity and grey level of the tag's pixels for images with this many pixels a side."""
    letters = np.array([[mark == "#" for mark in row] for row in _LETTERS])
    letters = np.pad(letters, 1).repeat(_letter_pixel(side), 0).repeat(_letter_pixel(side), 1)
    if letters.shape[1] + 6 > side:
        raise ValueError(
            f"a watermark needs images of at least 24 pixels a side, these have {side}"
        )
    shade = np.where(letters, _LETTER_OPACITY, _PLATE_OPACITY).astype(np.float32)
    level = np.where(letters, _LETTER_LEVEL, _PLATE_LEVEL).astype(np.float32)
    return shade, level
