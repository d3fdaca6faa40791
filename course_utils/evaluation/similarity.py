"""How alike two batches of maps are, image by image.

Sanity checks ask whether maps change when they should (the network was randomised), attacks on
explanations whether they change when they should not. No measure here knows which map is right, and
they disagree: order, structure and edges are different things. All are between -1 (or 0) and 1,
which means equal up to scale, and do not depend on the units of the two maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from ._arrays import (
    Floats,
    Reduce,
    divide,
    find_defined,
    to_maps,
    to_strengths,
    top_membership,
)


def spearman_similarity(
    first: Any, second: Any, *, absolute: bool = False, reduce: Reduce = "sum"
) -> Floats:
    """Spearman's rank correlation of the pixels: the same ones are high, the same ones low.

    Adebayo et al.: Sanity checks for saliency maps, NeurIPS 2018, use it with and without absolute
    values. With the sign it also counts a flipped sign as unlike; without, most of it comes from
    the many weak pixels, because every rank counts as much.

    Parameters
    ----------
    first, second : tensor or array (N, C, H, W) or (N, H, W)
        ``first[i]`` is compared with ``second[i]``; their scales may differ.
    absolute : bool
        Compare magnitudes.
    reduce : {"sum", "abs_sum", "abs_max", "max", "mean"}
        What becomes of the channels.

    Returns
    -------
    ndarray (N,) in [-1, 1]
        NaN, with a warning, where a map is the same everywhere.

    Raises
    ------
    ValueError
        If the shapes differ, or maps hold NaN.
    """
    ranks = [rankdata(rows, axis=1) for rows in _rows(first, second, reduce, absolute)]
    return _pearson(*ranks)


def cosine_similarity(
    first: Any, second: Any, *, absolute: bool = False, reduce: Reduce = "sum"
) -> Floats:
    """Cosine of the angle between two maps: dominated by their strongest pixels.

    Parameters
    ----------
    first, second, absolute, reduce
        As in `spearman_similarity`.

    Returns
    -------
    ndarray (N,) in [-1, 1]
        NaN, with a warning, where a map is zero everywhere.
    """
    first, second = _rows(first, second, reduce, absolute)
    return _cosine(first, second)


def ssim_similarity(
    first: Any,
    second: Any,
    *,
    absolute: bool = True,
    reduce: Reduce = "sum",
    window: int = 7,
) -> Floats:
    """Structural similarity: local means, contrasts and correlations agree.

    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, IEEE TIP 2004, equation 13; for
    saliency maps Adebayo et al. 2018. It depends on the scale of the maps, so each is divided by
    its largest magnitude first. It is made for values that are not negative (of two local means of
    opposite sign the product would be negative), so signed maps are shifted to [0, 1], where zero
    is 0.5. Two maps that are nearly zero nearly everywhere score high for that
    alone: compare with the score of unrelated maps.

    Parameters
    ----------
    first, second, absolute, reduce
        As in `spearman_similarity`.
    window : int
        Side of the sliding window in pixels, odd, at most the side of the maps.

    Returns
    -------
    ndarray (N,) in [-1, 1]
        NaN, with a warning, where a map is zero everywhere.
    """
    shape, (first, second) = _scaled(first, second, reduce, absolute)
    if window % 2 == 0 or not 3 <= window <= min(shape[1:]):
        raise ValueError(f"window={window}: expected an odd number, 3 to {min(shape[1:])}")
    defined = _both_defined(first, second)
    if not absolute:
        first, second = (first + 1) / 2, (second + 1) / 2
    values = [
        structural_similarity(one, other, win_size=window, data_range=1.0)
        for one, other in zip(first, second, strict=True)
    ]
    return np.where(defined, values, np.nan)


def hog_similarity(
    first: Any,
    second: Any,
    *,
    absolute: bool = True,
    reduce: Reduce = "sum",
    cell: int | None = None,
) -> Floats:
    """Pearson correlation of histograms of oriented gradients: edges run the same way.

    Dalal, Triggs: Histograms of oriented gradients for human detection, CVPR 2005; for saliency
    maps Adebayo et al. 2018. Each cell is normalised by itself, so faint noise counts as much as a
    strong edge.

    Parameters
    ----------
    first, second, absolute, reduce
        As in `spearman_similarity`.
    cell : int, optional
        Side of a cell in pixels; by default a fourteenth of the map's side (16 of 224), at least 4.

    Returns
    -------
    ndarray (N,) in [-1, 1]
        NaN, with a warning, where a map is the same everywhere.
    """
    shape, pair = _scaled(first, second, reduce, absolute)
    cell = cell or max(4, min(shape[1:]) // 14)
    options = {"orientations": 8, "pixels_per_cell": (cell, cell), "cells_per_block": (1, 1)}
    if not 1 <= cell <= min(shape[1:]):
        raise ValueError(f"cell={cell}: expected pixels, 1 to {min(shape[1:])}")
    return _pearson(*(np.stack([hog(one, **options) for one in maps]) for maps in pair))


def top_k_intersection(
    first: Any,
    second: Any,
    *,
    k: float = 0.1,
    absolute: bool = True,
    reduce: Reduce = "sum",
) -> Floats:
    """Share of the strongest pixels that two maps have in common.

    Ghorbani, Abid, Zou: Interpretation of neural networks is fragile, AAAI 2019. Chance is k.
    Pixels of equal strength share the last places equally.

    Parameters
    ----------
    first, second, absolute, reduce
        As in `spearman_similarity`.
    k : float in (0, 1]
        Share of the pixels that count as strongest.

    Returns
    -------
    ndarray (N,) in [0, 1]
        NaN, with a warning, where a map is zero everywhere.
    """
    if not 0 < k <= 1:
        raise ValueError(f"k={k}: expected a share of the pixels in (0, 1], such as 0.1")
    rows = _rows(first, second, reduce, absolute)
    counts = np.full(len(rows[0]), max(1, round(k * rows[0].shape[1])))
    one, other = (top_membership(values, counts) for values in rows)
    return divide(np.minimum(one, other).sum(axis=1), counts, _both_defined(*rows))


#: The four measures of Adebayo et al. 2018, by the names that figures give them.
SIMILARITIES: dict[str, Callable[[Any, Any], Floats]] = {
    "Rank correlation": spearman_similarity,
    "Rank correlation, absolute": lambda first, second: spearman_similarity(
        first, second, absolute=True
    ),
    "SSIM": ssim_similarity,
    "HOG": hog_similarity,
}


def compare_maps(first: Any, second: Any) -> dict[str, Floats]:
    """Measure how alike two batches of maps are by each of `SIMILARITIES`.

    Parameters
    ----------
    first, second : tensor or array (N, C, H, W) or (N, H, W)

    Returns
    -------
    dict of str to ndarray (N,)
    """
    return {name: similarity(first, second) for name, similarity in SIMILARITIES.items()}


def _pair(first: Any, second: Any, reduce: Reduce, absolute: bool) -> tuple[Floats, Floats]:
    make = to_strengths if absolute else to_maps
    first, second = make(first, reduce=reduce), make(second, reduce=reduce)
    if first.shape != second.shape:
        raise ValueError(
            f"expected two batches of maps of one shape, got {first.shape} and {second.shape}"
        )
    return first, second


def _rows(first: Any, second: Any, reduce: Reduce, absolute: bool) -> list[Floats]:
    """Both batches as (N, pixels)."""
    return [maps.reshape(len(maps), -1) for maps in _pair(first, second, reduce, absolute)]


def _scaled(
    first: Any, second: Any, reduce: Reduce, absolute: bool
) -> tuple[tuple[int, ...], list[Floats]]:
    """Both batches (N, H, W), each map divided by its largest magnitude."""
    pair = _pair(first, second, reduce, absolute)
    scaled = []
    for maps in pair:
        largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
        scaled.append(maps / np.where(largest > 0, largest, 1))
    return pair[0].shape, scaled


def _both_defined(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Where neither map is zero everywhere; warns about the others."""
    flat = np.stack([maps.reshape(len(maps), -1) for maps in (first, second)], axis=1)
    weaker = np.abs(flat).max(axis=2).min(axis=1)
    return find_defined(weaker[:, None, None])


def _cosine(first: Floats, second: Floats) -> Floats:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return divide((first * second).sum(axis=1), norms, _both_defined(first, second))


def _pearson(first: Floats, second: Floats) -> Floats:
    """Pearson correlation of rows: the cosine of what differs from the mean."""
    return _cosine(*(rows - rows.mean(axis=1, keepdims=True) for rows in (first, second)))
