"""How sure a measured number is: bootstrap intervals and permutation tests over images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._arrays import Floats, one_of, to_numpy

#: Which differences speak against chance: both kinds, positive ones, negative ones.
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Interval:
    """A measured value with the interval that resampling the images gives.

    Attributes
    ----------
    value : float
        Of the images at hand.
    low, high : float
        Ends of the interval; NaN if there are fewer than two images.
    n : int
        Images that count.
    n_undefined : int
        Images left out because their value is NaN.
    level : float
        Confidence, 0.95 for 95 %.
    """

    value: float
    low: float
    high: float
    n: int
    n_undefined: int = 0
    level: float = 0.95

    def __str__(self) -> str:
        left_out = f", {self.n_undefined} undefined" if self.n_undefined else ""
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] (n = {self.n}{left_out})"


def bootstrap_interval(
    values: Any,
    statistic: Callable[[Floats], float] = np.mean,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap: draw the images again, with replacement, and look how values spread.

    Efron: Bootstrap methods: another look at the jackknife, Annals of Statistics 1979. It holds for
    other pictures of the same kind; it knows nothing of another training run or another data set,
    and with fewer than about twenty images it is too narrow.

    Parameters
    ----------
    values : array or tensor (N,) or (N, K)
        One row per image. Rows with NaN are left out and counted.
    statistic : callable
        From rows (n,) or (n, K) to one number; the mean by default.
    level : float in (0, 1)
    n_resamples, seed : int
        The same seed gives the same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are no values, or `level` is outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a share such as 0.95")
    rows = to_numpy(values).astype(np.float64)
    if rows.ndim not in (1, 2) or len(rows) == 0:
        raise ValueError(f"values: expected one row per image, (N,) or (N, K), got {rows.shape}")
    kept = rows[~np.isnan(rows.reshape(len(rows), -1)).any(axis=1)]
    undefined = len(rows) - len(kept)
    value = float(statistic(kept)) if len(kept) else math.nan
    if len(kept) < 2:
        return Interval(value, math.nan, math.nan, len(kept), undefined, level)
    rng = np.random.default_rng(seed)
    drawn = [statistic(kept[rng.integers(len(kept), size=len(kept))]) for _ in range(n_resamples)]
    if np.isnan(drawn).all():  # a statistic that has no value, such as a constant's correlation
        return Interval(value, math.nan, math.nan, len(kept), undefined, level)
    low, high = np.nanpercentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    # equal values may round differently in another order; an interval contains its value
    return Interval(
        value, min(float(low), value), max(float(high), value), len(kept), undefined, level
    )


@dataclass(frozen=True)
class PermutationTest:
    """What a permutation test found.

    Attributes
    ----------
    difference : float
        Mean of the first minus mean of the second.
    p_value : float
        How often chance alone gives a difference at least as large.
    exact : bool
        Whether all rearrangements were counted, or a sample of them.
    n : int
        Pairs (or values of both groups) that count.
    """

    difference: float
    p_value: float
    exact: bool
    n: int

    def __str__(self) -> str:
        kind = "exact" if self.exact else "sampled"
        return f"difference {self.difference:+.3g}, p = {self.p_value:.2g} ({kind}, n = {self.n})"


def permutation_test(
    first: Any,
    second: Any = 0.0,
    *,
    paired: bool = True,
    alternative: Alternative = "two-sided",
    n_resamples: int = 9999,
    seed: int = 0,
) -> PermutationTest:
    """Ask whether chance alone would make two sets of values differ as much in the mean.

    Paired: if chance alone decided which of an image's two values is called the first, every
    difference could as well have the other sign (Fisher: The Design of Experiments, 1935). Not
    paired: any values could as well belong to either group. All rearrangements are counted where
    there are at most `n_resamples` of them, else that many are drawn, and the observed one is
    counted among them, so that p is never 0 (Phipson & Smyth 2010).

    Parameters
    ----------
    first, second : array or tensor (N,); for groups (N,) and (M,)
        A single number as `second` stands for that number in each pair. NaN is left out; from pairs
        together with its partner.
    paired : bool
        Whether ``first[i]`` and ``second[i]`` belong to the same image.
    alternative : {"two-sided", "greater", "less"}
        "greater" asks whether the first is larger.
    n_resamples, seed : int

    Returns
    -------
    PermutationTest

    Raises
    ------
    ValueError
        If pairs are of unequal number, or nothing is left to compare.
    """
    one_of("alternative", alternative, ["two-sided", "greater", "less"])
    first, second = (to_numpy(values).astype(np.float64) for values in (first, second))
    rng = np.random.default_rng(seed)
    if paired:
        differences = _differences(first, second)
        n, observed = len(differences), differences.mean()
        exact = 2**n <= n_resamples
        null = _signs(n, exact, n_resamples, rng) @ differences / n
    else:
        first, second = (_group(values) for values in (first, second))
        n, observed = len(first) + len(second), first.mean() - second.mean()
        exact = math.comb(n, len(first)) <= n_resamples
        null = _regrouped(first, second, exact, n_resamples, rng)
    p_value = _share_as_extreme(null, observed, alternative, exact)
    return PermutationTest(float(observed), p_value, exact, n)


def _differences(first: Floats, second: Floats) -> Floats:
    if first.ndim != 1 or second.shape not in {first.shape, ()}:
        raise ValueError(
            f"pairs need as many values on both sides, got shapes {first.shape} and "
            f"{second.shape}; for two groups of different images say paired=False"
        )
    differences = first - second
    differences = differences[~np.isnan(differences)]
    if len(differences) == 0:
        raise ValueError("no pair is left to compare: all values are NaN")
    return differences


def _group(values: Floats) -> Floats:
    kept = values[~np.isnan(values)] if values.ndim == 1 else values
    if kept.ndim != 1 or len(kept) == 0:
        raise ValueError(f"a group is (N,) with at least one number, got shape {values.shape}")
    return kept


def _signs(n: int, exact: bool, n_resamples: int, rng: np.random.Generator) -> NDArray:
    """All 2**n rows of n signs, or a sample of them."""
    if exact:
        flips = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        flips = rng.integers(0, 2, (n_resamples, n), dtype=np.int8)
    return 1 - 2 * flips


def _regrouped(
    first: Floats, second: Floats, exact: bool, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """Differences of means after dealing all values out again."""
    pooled = np.concatenate([first, second])
    if exact:
        chosen = np.array(list(itertools.combinations(range(len(pooled)), len(first))))
    else:
        places = np.tile(np.arange(len(pooled)), (n_resamples, 1))
        chosen = rng.permuted(places, axis=1)[:, : len(first)]
    sums = pooled[chosen].sum(axis=1)
    return sums / len(first) - (pooled.sum() - sums) / len(second)


def _share_as_extreme(
    null: Floats, observed: float, alternative: Alternative, exact: bool
) -> float:
    if alternative == "two-sided":
        null, observed = np.abs(null), abs(observed)
    elif alternative == "less":
        null, observed = -null, -observed
    # the same numbers added up in another order differ in the last digits
    slack = 1e-9 * max(float(np.abs(null).max()), abs(observed))
    count = int((null >= observed - slack).sum())
    return count / len(null) if exact else (count + 1) / (len(null) + 1)
