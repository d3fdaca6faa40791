"""How far an explanation is from the exact values of the parts, and a ranking from another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from course_utils.checks import to_numpy
from course_utils.evaluation import Interval, bootstrap_interval
from course_utils.evaluation.arrays import Floats


class Agreement(NamedTuple):
    """How well what a map gives to the parts of one picture agrees with their true values.

    Attributes
    ----------
    tau : float
        Kendall's rank correlation (tau-b) in [-1, 1]: are the parts in the right order? NaN where
        fewer than two parts count or the truth does not tell them apart; 0 for a constant map.
    scale_error : float
        Distance from the truth after multiplication with the best factor that is not negative, as a
        share of the truth's length: 0 is exact, 1 is as good as a map that says nothing.
    wrong_signs : float
        Share of the truth, by magnitude, that lies on parts to which the map gives another sign.
    completeness_gap : float
        abs(sum of the map - sum of the truth) / sum of the truth's magnitudes, over all parts.
    """

    tau: float
    scale_error: float
    wrong_signs: float
    completeness_gap: float


def part_agreement(found: Any, truth: Any, ranked: Any = None) -> Agreement:
    """Compare what an explanation gives to each part with the exact values.

    Parameters
    ----------
    found, truth : array, tensor or list (n,)
        The map summed over each part, and the parts' Shapley values.
    ranked : array of bool (n,), optional
        Parts that count, for instance those large enough to be seen. The completeness gap takes all
        of them.

    Returns
    -------
    Agreement
    """
    found, truth = (to_numpy(row).astype(np.float64) for row in (found, truth))
    if found.shape != truth.shape or found.ndim != 1:
        raise ValueError(f"found {found.shape} and truth {truth.shape}: expected one number a part")
    total = np.abs(truth).sum()
    gap = abs(found.sum() - truth.sum()) / total if total else np.nan
    chosen = slice(None) if ranked is None else to_numpy(ranked).astype(bool)
    found, truth = found[chosen], truth[chosen]
    size, length = np.linalg.norm(found), np.linalg.norm(truth)
    if len(truth) < 2 or np.ptp(truth) == 0 or not np.isfinite(found).all():
        return Agreement(np.nan, np.nan, np.nan, gap)
    order = np.sign([found[:, None] - found, truth[:, None] - truth])
    ties = np.sqrt(np.square(order).sum((1, 2)).prod())
    tau = order.prod(0).sum() / ties if np.ptp(found) > 1e-12 * size else 0.0
    cosine = np.clip(found @ truth / (size * length), 0, 1) if size else 0.0
    wrong = np.abs(truth[found * truth < 0]).sum() / np.abs(truth).sum()
    return Agreement(float(tau), float(np.sqrt(1 - cosine**2)), float(wrong), float(gap))


def rank_agreement(scores: Any, truth: Any, *, n_resamples: int = 500, seed: int = 0) -> Interval:
    """Kendall's tau between two rankings of methods, with a paired bootstrap over pictures.

    Parameters
    ----------
    scores, truth : array (N, M)
        What a metric gives to M methods on N pictures, high for good, and the agreement of the
        same methods with the truth. Methods are ranked by their means over pictures; a picture
        with NaN is left out.
    n_resamples, seed : int
        Pictures are drawn together for both.

    Returns
    -------
    Interval
        Of fewer than 20 pictures without ends, see `bootstrap_interval`. Drawing adds noise to both
        rankings, so the interval lies rather too low than too high.
    """
    pair = [to_numpy(rows).astype(np.float64) for rows in (scores, truth)]
    if pair[0].shape != pair[1].shape or pair[0].ndim != 2:
        raise ValueError(f"{pair[0].shape} and {pair[1].shape}: expected pictures x methods, twice")

    def tau(rows: Floats) -> float:
        return stats.kendalltau(*np.split(rows.mean(axis=0), 2)).statistic

    return bootstrap_interval(np.hstack(pair), tau, n_resamples=n_resamples, seed=seed)
