"""Explanations against masks: how much of a map, and which of its pixels, lie on a known thing.

A mask says where a thing *is*, not that the network uses it: a good score is only worth what it
has over the controls, and says less than an intervention (`course_utils.evaluation.interventions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ._arrays import (
    Floats,
    Parts,
    Reduce,
    Sign,
    divide,
    find_defined,
    to_maps,
    to_masks,
    to_numpy,
    to_strengths,
    top_membership,
)
from .intervals import Interval, bootstrap_interval


class RelevanceMass(NamedTuple):
    """Share of each map inside its mask, beside what a map that knows nothing would get.

    Attributes
    ----------
    share : ndarray (N,) in [0, 1]
        Of the map's total.
    area : ndarray (N,) in [0, 1]
        Of the picture: the share that a uniform map has inside, chance level.
    ratio : ndarray (N,)
        share / area; 1 is chance.
    """

    share: Floats
    area: Floats
    ratio: Floats


def relevance_mass(
    maps: Any,
    masks: Any,
    *,
    parts: Parts = None,
    sign: Sign = "absolute",
    reduce: Reduce = "sum",
) -> RelevanceMass:
    r"""Share of a map that lies inside a mask: relevance mass accuracy.

    .. math:: \frac{\sum_{p \in M} |a_p|}{\sum_p |a_p|}

    Arras, Osman, Samek: CLEVR-XAI, Information Fusion 2022, "relevance mass accuracy" (there of
    maps that were made non-negative first).

    Parameters
    ----------
    maps : tensor or array (N, C, H, W) or (N, H, W)
        Attributions as large as the masks, on any device, of any scale.
    masks : tensor or array of bool or int, (N, H, W), or (H, W) for all
        True, or a part's id, inside; 0 is the background.
    parts : int or sequence of int, optional
        Part ids that count as inside; by default all but 0. `part_ids` finds them by name.
    sign : {"absolute", "positive", "negative"}
        What of the map counts: its magnitude, what speaks for the class, what speaks against it.
    reduce : {"sum", "abs_sum", "abs_max", "max", "mean"}
        What becomes of the channels, before `sign` is applied.

    Returns
    -------
    RelevanceMass
        NaN, with a warning, where a map is zero everywhere or a mask is empty.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, maps hold NaN, or masks are not bool or int.
    """
    strengths = to_strengths(maps, sign, reduce)
    inside = to_masks(masks, strengths.shape, parts)
    defined = find_defined(strengths, inside)
    share = divide((strengths * inside).sum(axis=(1, 2)), strengths.sum(axis=(1, 2)), defined)
    area = inside.mean(axis=(1, 2))
    return RelevanceMass(share, area, divide(share, area, defined))


def energy_pointing_game(
    maps: Any, masks: Any, *, parts: Parts = None, reduce: Reduce = "sum"
) -> Floats:
    """Share of the positive part of a map that lies in the thing's bounding box.

    Wang et al.: Score-CAM, CVPR workshops 2020, "energy-based pointing game". It is
    `relevance_mass` with the box in place of the mask, for data sets that know boxes only; chance
    is the area of the box.

    Parameters
    ----------
    maps, masks, parts, reduce
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,) in [0, 1]
        NaN, with a warning, where a map has nothing positive or a mask is empty.
    """
    strengths = to_strengths(maps, "positive", reduce)
    boxes = _boxes(to_masks(masks, strengths.shape, parts))
    defined = find_defined(strengths, boxes)
    return divide((strengths * boxes).sum(axis=(1, 2)), strengths.sum(axis=(1, 2)), defined)


def bounding_boxes(masks: Any, parts: Parts = None) -> NDArray[np.bool_]:
    """Fill the smallest upright box around each mask.

    Parameters
    ----------
    masks : tensor or array of bool or int (N, H, W)
    parts : int or sequence of int, optional
        As in `relevance_mass`.

    Returns
    -------
    ndarray of bool (N, H, W)
        Empty where the mask is.
    """
    array = to_numpy(masks)
    if array.ndim != 3:
        raise ValueError(f"masks: expected (N, H, W), got shape {array.shape}")
    return _boxes(to_masks(array, array.shape, parts))


def _boxes(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    def between_ends(hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
        forwards = np.logical_or.accumulate(hit, axis=1)
        return forwards & np.logical_or.accumulate(hit[:, ::-1], axis=1)[:, ::-1]

    rows, columns = between_ends(inside.any(axis=2)), between_ends(inside.any(axis=1))
    return rows[:, :, None] & columns[:, None, :]


def pointing_game(
    maps: Any,
    masks: Any,
    *,
    tolerance: float = 0.0,
    parts: Parts = None,
    sign: Sign = "absolute",
    reduce: Reduce = "sum",
) -> Floats:
    """Whether the strongest pixel of a map lies on the thing.

    Zhang et al.: Top-down neural attention by excitation backprop, IJCV 2018; there a hit is a
    maximum within 15 pixels of the object, in pictures of a few hundred pixels. A map that has
    its maximum at several pixels hits with the share of them that do. Chance is the share of the
    picture within the tolerance.

    Parameters
    ----------
    maps, masks, parts, sign, reduce
        As in `relevance_mass`.
    tolerance : float
        In pixels, Euclidean; 0 asks for a pixel of the mask itself.

    Returns
    -------
    ndarray (N,) in [0, 1]
        1 for a hit, 0 for a miss; NaN, with a warning, where a map is zero everywhere or a mask is
        empty.

    Raises
    ------
    TypeError, ValueError
        As `relevance_mass`; ValueError also for a negative tolerance.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance}: expected pixels, 0 or more")
    strengths = to_strengths(maps, sign, reduce)
    inside = to_masks(masks, strengths.shape, parts)
    defined = find_defined(strengths, inside)
    if tolerance > 0:
        inside = np.stack([distance_transform_edt(~mask) <= tolerance for mask in inside])
    strongest = strengths == strengths.max(axis=(1, 2), keepdims=True)
    hits = (strongest & inside).sum(axis=(1, 2))
    return divide(hits, strongest.sum(axis=(1, 2)), defined)


def relevance_rank(
    maps: Any,
    masks: Any,
    *,
    parts: Parts = None,
    sign: Sign = "absolute",
    reduce: Reduce = "sum",
) -> Floats:
    r"""Share of the K strongest pixels that lie inside a mask of K pixels: relevance rank accuracy.

    .. math:: \frac{|P_{\mathrm{top}\,K} \cap M|}{|M|}, \qquad K = |M|

    Arras, Osman, Samek: CLEVR-XAI, Information Fusion 2022, "relevance rank accuracy". Only the
    order of the pixels counts, so one extreme value cannot decide. Pixels of equal strength share
    the last places. Chance is the area of the mask.

    Parameters
    ----------
    maps, masks, parts, sign, reduce
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,) in [0, 1]
        NaN, with a warning, where a map is zero everywhere or a mask is empty.
    """
    overlap, count, defined = _top_overlap(maps, masks, parts, sign, reduce)
    return divide(overlap, count, defined)


def mask_iou(
    maps: Any,
    masks: Any,
    *,
    parts: Parts = None,
    sign: Sign = "absolute",
    reduce: Reduce = "sum",
) -> Floats:
    """Intersection over union of a mask and as many of the strongest pixels.

    Cutting the map at the mask's own area leaves no threshold to choose. With r the
    `relevance_rank`, it is r / (2 - r): the same order of methods on another scale, which is the
    one that segmentation uses. Chance is area / (2 - area).

    Parameters
    ----------
    maps, masks, parts, sign, reduce
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,) in [0, 1]
        NaN, with a warning, where a map is zero everywhere or a mask is empty.
    """
    overlap, count, defined = _top_overlap(maps, masks, parts, sign, reduce)
    return divide(overlap, 2 * count - overlap, defined)


def _top_overlap(
    maps: Any, masks: Any, parts: Parts, sign: Sign, reduce: Reduce
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Pixels that a mask and the strongest ones share, the mask's pixels, where it is defined."""
    strengths = to_strengths(maps, sign, reduce)
    inside = to_masks(masks, strengths.shape, parts)
    defined = find_defined(strengths, inside)
    flat, inside = (array.reshape(len(strengths), -1) for array in (strengths, inside))
    count = inside.sum(axis=1)
    overlap = (top_membership(flat, np.maximum(count, 1)) * inside).sum(axis=1)
    return overlap, count, defined


def part_relevance(maps: Any, masks: Any, *, parts: Parts = None, reduce: Reduce = "sum") -> Floats:
    """Sum of a signed map over a mask: what the explanation says the part is worth.

    For a complete method (Integrated Gradients, DeepLift) in the unit of the score: it claims that
    the score would fall by about this much if the part became its baseline. `effect_correlation`
    asks whether that is so.

    Parameters
    ----------
    maps, masks, parts, reduce
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,)
        0 where the mask is empty.
    """
    signed = to_maps(maps, reduce)
    return (signed * to_masks(masks, signed.shape, parts)).sum(axis=(1, 2))


def part_ids(names: Mapping[int, str], *wanted: str) -> list[int]:
    """Look part ids up by name.

    Parameters
    ----------
    names : mapping of int to str
        ``split.parts``.
    wanted : str

    Returns
    -------
    list of int

    Raises
    ------
    KeyError
        If there is no such part.

    Examples
    --------
    >>> part_ids({0: "background", 1: "skin", 2: "smoke"}, "smoke")
    [2]
    """
    ids = {name: number for number, name in names.items()}
    unknown = [name for name in wanted if name not in ids]
    if unknown:
        raise KeyError(f"no part is called {unknown}: choose from {sorted(ids)}")
    return [ids[name] for name in wanted]


class PartRow(NamedTuple):
    """How much of the maps one part gets.

    Attributes
    ----------
    part : str
    share : Interval
        Mean share of the map inside the part, over the images that show it.
    area : float
        Mean share of the picture that it covers there.
    ratio : Interval
        Mean share divided by mean area; 1 is chance.
    """

    part: str
    share: Interval
    area: float
    ratio: Interval

    def __str__(self) -> str:
        return (
            f"{self.part:<20} {self.share.value:6.1%} of the map "
            f"[{self.share.low:.1%}, {self.share.high:.1%}] on {self.area:6.1%} of the picture: "
            f"{self.ratio.value:5.2f} x [{self.ratio.low:.2f}, {self.ratio.high:.2f}] "
            f"({self.share.n} images)"
        )


def part_table(
    maps: Any,
    masks: Any,
    names: Mapping[int, str],
    *,
    sign: Sign = "absolute",
    reduce: Reduce = "sum",
    seed: int = 0,
) -> list[PartRow]:
    """Relevance mass of every part, with bootstrap intervals over the images that show the part.

    Parameters
    ----------
    maps, masks, sign, reduce
        As in `relevance_mass`; masks hold part ids.
    names : mapping of int to str
        ``split.parts``; with 0, the background, if that is to be a row.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of PartRow
        In the order of `names`, without parts that no image shows. Print a row to read it.
    """
    strengths = to_strengths(maps, sign, reduce)
    defined = find_defined(strengths)
    rows = []
    for number, part in names.items():
        inside = to_masks(masks, strengths.shape, [number])
        shown = inside.any(axis=(1, 2)) & defined
        if not shown.any():
            continue
        mass = relevance_mass(strengths[shown], inside[shown])
        pairs = np.stack([mass.share, mass.area], axis=1)
        ratio = bootstrap_interval(pairs, _ratio_of_means, seed=seed)
        share = bootstrap_interval(mass.share, seed=seed)
        rows.append(PartRow(part, share, float(mass.area.mean()), ratio))
    return rows


def _ratio_of_means(pairs: Floats) -> float:
    """Mean share by mean area: steadier than the mean of ratios, where tiny parts rule."""
    share, area = pairs.mean(axis=0)
    return share / area
