"""Exact values of the parts of a picture, and how far an explanation is from them.

A *game* is a table: the value v(S) of every subset S of n players, here the parts of a scene, and a
network's score of a picture that shows these parts only. Entry b of the table belongs to the subset
whose members are the bits of b: entry 0 to the empty set, 1 to the first player alone, the last to
all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import comb

from ..checks import to_numpy
from .arrays import Floats
from .statistics import Interval, bootstrap_interval


def shapley_values(values: Any) -> Floats:
    """Exact Shapley values: what each player adds, on average over all orders of joining.

    Shapley: A value for n-person games, 1953. They add up to v(all) - v(none), and are the only
    such shares that are symmetric, linear, and zero for a player who changes nothing.

    Parameters
    ----------
    values : array, tensor or list (..., 2**n)
        Tables of games, in the order of the module.

    Returns
    -------
    ndarray (..., n)

    Raises
    ------
    ValueError
        If the number of values is no power of two, or they are not finite.

    Examples
    --------
    >>> shapley_values([0, 1, 2, 3])  # two players who do not interact
    array([1., 2.])
    """
    table, inside = _table(values)
    others = inside.sum(axis=1, keepdims=True) - inside
    players = inside.shape[1]
    return table @ (np.where(inside, 1, -1) / (players * comb(players - 1, others)))


def shapley_interactions(values: Any) -> Floats:
    """Exact pairwise interactions: how much more two players add together than each alone.

    Grabisch & Roubens: An axiomatic approach to the concept of interaction among players in
    cooperative games, 1999. Positive where one needs the other, negative where one stands in for
    the other, and zero everywhere in an additive game.

    Parameters
    ----------
    values : array, tensor or list (..., 2**n)
        As in `shapley_values`.

    Returns
    -------
    ndarray (..., n, n)
        Symmetric, with zeros on the diagonal.
    """
    table, inside = _table(values)
    players = inside.shape[1]
    if players < 2:
        return np.zeros((*table.shape[:-1], players, players))
    first, second = inside[:, :, None], inside[:, None, :]
    others = np.maximum(inside.sum(axis=1)[:, None, None] - first - second, 0)
    sign = np.where(first == second, 1, -1) * ~np.eye(players, dtype=bool)
    weight = sign / ((players - 1) * comb(players - 2, others).clip(min=1))
    return np.einsum("...s,sij->...ij", table, weight)


def _table(values: Any) -> tuple[Floats, Any]:
    """Values (..., 2**n), and who is in which subset, int (2**n, n)."""
    table = to_numpy(values).astype(np.float64)
    players = (table.shape[-1] if table.ndim else 0).bit_length() - 1
    if players < 1 or table.shape[-1] != 2**players or not np.isfinite(table).all():
        wanted = "2**n finite numbers along the last axis, one for every subset of n players"
        raise ValueError(f"values {table.shape}: expected {wanted}")
    return table, np.arange(2**players)[:, None] >> np.arange(players) & 1


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


def part_agreement(
    found: Any, truth: Any, ranked: Any = None, *, absolute: bool = False
) -> Agreement:
    """Compare what an explanation gives to each part with the exact values.

    Parameters
    ----------
    found, truth : array, tensor or list (n,)
        The map summed over each part, and the parts' Shapley values.
    ranked : array of bool (n,), optional
        Parts that count, for instance those large enough to be seen. The completeness gap takes all
        of them.
    absolute : bool
        Compare magnitudes.

    Returns
    -------
    Agreement
    """
    found, truth = (to_numpy(row).astype(np.float64) for row in (found, truth))
    if found.shape != truth.shape or found.ndim != 1:
        raise ValueError(f"found {found.shape} and truth {truth.shape}: expected one number a part")
    if absolute:
        found, truth = np.abs(found), np.abs(truth)
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


def own_gain(agreement: Any) -> Floats:
    """Say whether maps tell their own network from others of the same kind, picture by picture.

    Parameters
    ----------
    agreement : array (K, K, N)
        Entry [a, b, i]: agreement of the map made for network a of picture i with the truth of
        network b, for instance its `Agreement.tau`.

    Returns
    -------
    ndarray (N,)
        Mean agreement with one's own network minus mean agreement with others. A method at 0
        explains what all these networks have in common, or the picture.
    """
    agreement = to_numpy(agreement).astype(np.float64)
    if agreement.ndim != 3 or agreement.shape[0] != agreement.shape[1] or len(agreement) < 2:
        raise ValueError(f"agreement {agreement.shape}: expected (K, K, N) of two networks or more")
    own = np.eye(len(agreement), dtype=bool)
    return agreement[own].mean(axis=0) - agreement[~own].mean(axis=0)


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
