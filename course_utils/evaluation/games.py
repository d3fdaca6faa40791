"""Exact values of the parts of a picture.

A *game* is a table: the value v(S) of every subset S of n players, here the parts of a scene, and a
network's score of a picture that shows these parts only. Entry b of the table belongs to the subset
whose members are the bits of b: entry 0 to the empty set, 1 to the first player alone, the last to
all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import comb

from ..checks import to_numpy
from .arrays import Floats


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


def own_gain(agreement: Any) -> Floats:
    """Say whether maps tell their own network from others of the same kind, picture by picture.

    Parameters
    ----------
    agreement : array (K, K, N)
        Entry [a, b, i]: agreement of the map made for network a of picture i with the truth of
        network b, for instance a rank correlation.

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
