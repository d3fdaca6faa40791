"""Maps against masks, and maps against each other.

Masks: how much of a map, and which of its pixels, lie on a known thing. A mask says where a thing
*is*, not that the network uses it: a good score is only worth what it has over the controls, and
says less than an intervention.

Likeness: sanity checks ask whether maps change when they should (the network was randomised),
attacks on explanations whether they change when they should not. No measure here knows which map is
right, and they disagree: the order of all pixels and the strongest ones are different things. Both
are at most 1, which means equal up to scale, and do not depend on the units of the two maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from .arrays import Floats, Parts, divide, measured_pair, to_maps, to_masks, warn_of
from .statistics import pearson


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


def relevance_mass(maps: Any, masks: Any, *, parts: Parts = None) -> RelevanceMass:
    r"""Share of a map that lies inside a mask: relevance mass accuracy.

    .. math:: \frac{\sum_{p \in M} |a_p|}{\sum_p |a_p|}

    Arras, Osman, Samek: CLEVR-XAI, Information Fusion 2022, "relevance mass accuracy" (there of
    maps that were made non-negative first).

    Parameters
    ----------
    maps : tensor, array or list, (N, C, H, W) or (N, H, W)
        Attributions as large as the masks, on any device, of any scale. Channels are added up, then
        magnitudes count: pass ``maps.abs().sum(1)`` for magnitudes channel by channel, or
        ``maps.clamp(min=0)`` for what speaks for the class only.
    masks : tensor, array or list of bool or int, (N, H, W) or (N, 1, H, W)
        True, or a part's id, inside; 0 is the background. With maps of four dimensions one mask
        (H, W) may stand for all.
    parts : int or sequence of int, optional
        Part ids that count as inside; by default all but 0. `part_ids` finds them by name.

    Returns
    -------
    RelevanceMass
        NaN, with one warning, where a map is zero everywhere or not finite, or a mask is empty.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, or masks are not bool or int.
    """
    strengths, inside, defined = measured_pair(maps, masks, parts)
    share = divide((strengths * inside).sum(axis=(1, 2)), strengths.sum(axis=(1, 2)), defined)
    area = inside.mean(axis=(1, 2))
    return RelevanceMass(share, area, divide(share, area, defined))


def pointing_game(maps: Any, masks: Any, *, parts: Parts = None) -> Floats:
    """Whether the strongest pixel of a map lies on the thing.

    Zhang et al.: Top-down neural attention by excitation backprop, IJCV 2018; there a hit is a
    maximum within 15 pixels of the object, in pictures of a few hundred pixels; here it has to lie
    on the mask, which may be dilated first. A map that has its maximum at several pixels hits with
    the share of them that do. Chance is the area of the mask.

    Parameters
    ----------
    maps, masks, parts
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,) in [0, 1]
        1 for a hit, 0 for a miss; NaN, with one warning, as in `relevance_mass`.

    Raises
    ------
    TypeError, ValueError
        As `relevance_mass`.
    """
    strengths, inside, defined = measured_pair(maps, masks, parts)
    strongest = strengths == strengths.max(axis=(1, 2), keepdims=True)
    return divide((strongest & inside).sum(axis=(1, 2)), strongest.sum(axis=(1, 2)), defined)


def mask_iou(maps: Any, masks: Any, *, parts: Parts = None) -> Floats:
    """Intersection over union of a mask of K pixels and the K strongest pixels of the map.

    Cutting the map at the mask's own area leaves no threshold to choose. Where the last places go
    to several pixels of equal strength, each gets an equal part of them. Chance is
    area / (2 - area).

    Parameters
    ----------
    maps, masks, parts
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,) in [0, 1]
        NaN, with one warning, as in `relevance_mass`.
    """
    strengths, inside, defined = measured_pair(maps, masks, parts)
    strengths, inside = (array.reshape(len(array), -1) for array in (strengths, inside))
    count = inside.sum(axis=1)
    weakest = np.sort(strengths, axis=1)[np.arange(len(count)), -np.maximum(count, 1)][:, None]
    above, tied = strengths > weakest, strengths == weakest
    lots = (count - above.sum(axis=1)) / tied.sum(axis=1)
    overlap = (above & inside).sum(axis=1) + lots * (tied & inside).sum(axis=1)
    return divide(overlap, 2 * count - overlap, defined)


def part_relevance(maps: Any, masks: Any, *, parts: Parts = None) -> Floats:
    """Sum of a signed map over a mask: what the explanation says the part is worth.

    For a complete method (Integrated Gradients, DeepLift) in the unit of the score: it claims that
    the score would fall by about this much if the part became its baseline; an
    intervention tells whether it does.

    Parameters
    ----------
    maps, masks, parts
        As in `relevance_mass`.

    Returns
    -------
    ndarray (N,)
        0 where the mask is empty; NaN where the map is not finite.
    """
    return (to_maps(maps) * to_masks(masks, maps, parts)).sum(axis=(1, 2))


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
    if not set(wanted) <= set(ids):
        raise KeyError(f"no part is called {set(wanted) - set(ids)}: choose from {sorted(ids)}")
    return [ids[name] for name in wanted]


def spearman_similarity(first: Any, second: Any, *, absolute: bool = False) -> Floats:
    """Spearman's rank correlation of the pixels: the same ones are high, the same ones low.

    Adebayo et al.: Sanity checks for saliency maps, NeurIPS 2018, use it with and without absolute
    values. With the sign it also counts a flipped sign as unlike; without, most of it comes from
    the many weak pixels, because every rank counts as much.

    Parameters
    ----------
    first, second : tensor, array or list, (N, C, H, W) or (N, H, W)
        ``first[i]`` is compared with ``second[i]``, their channels added up; scales may differ.
    absolute : bool
        Compare magnitudes.

    Returns
    -------
    ndarray (N,) in [-1, 1]
        NaN, with one warning, where a map is the same everywhere or not finite.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    pair = [np.nan_to_num(to_maps(maps)) for maps in (first, second)]
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"maps of different shapes: {pair[0].shape} and {pair[1].shape}")
    pair = [np.abs(maps) for maps in pair] if absolute else pair
    ranks = (stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in pair)
    values = pearson(*ranks)
    warn_of({"maps are blank, constant or not finite": np.isnan(values)})
    return values
