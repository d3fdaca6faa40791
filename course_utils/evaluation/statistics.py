"""How sure a measured number is: intervals and tests over images, by SciPy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ..checks import to_numpy
from .arrays import Floats

#: From rows (n,) or (n, K), one per image, to one number.
Statistic = Callable[[Floats], float]
#: Fewer values than this get no bootstrap, whose intervals are too narrow then.
FEW = 20


@dataclass(frozen=True)
class Interval:
    """A measured value with a 95 % interval that says how sure it is.

    Attributes
    ----------
    value : float
        Of the images at hand.
    low, high : float
        Ends of the interval; NaN if there are too few images for one.
    n : int
        Images that count.
    n_undefined : int
        Images left out because their value is NaN or infinite.
    """

    value: float
    low: float
    high: float
    n: int
    n_undefined: int = 0

    def __str__(self) -> str:
        ends = ", no interval" if math.isnan(self.low) else f" [{self.low:.3g}, {self.high:.3g}]"
        left_out = f", {self.n_undefined} undefined" if self.n_undefined else ""
        return f"{self.value:.3g}{ends} (n = {self.n}{left_out})"


def bootstrap_interval(
    values: Any, statistic: Statistic = np.mean, *, n_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap: draw the images again, with replacement, and look how values spread.

    Efron: Bootstrap methods: another look at the jackknife, Annals of Statistics 1979. It holds for
    other pictures of the same kind; it knows nothing of another training run or another data set.

    With fewer than 20 images a bootstrap is too narrow. The mean then gets, with a warning, the
    interval of all values that the exact sign-flip test (`permutation_test`) does not reject; it
    holds if values scatter symmetrically (Hartigan: Using subsample values as typical values, JASA
    1969), and needs 6 images for 95 %. Other statistics get none. For hits and misses take
    SciPy's ``binomtest(hits, n).proportion_ci()``.

    Parameters
    ----------
    values : array, tensor or list (N,) or (N, K)
        One row per image. Rows with NaN or infinity are left out and counted.
    statistic : callable
        From rows (n,) or (n, K) to one number; the mean by default.
    n_resamples, seed : int
        The same seed gives the same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are no values.
    """
    rows = to_numpy(values).astype(np.float64)
    if rows.ndim not in (1, 2) or len(rows) == 0:
        raise ValueError(f"values: expected one row per image, (N,) or (N, K), got {rows.shape}")
    kept = rows[np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)]
    n = len(kept)
    value, low, high = float(statistic(kept)) if n else math.nan, math.nan, math.nan
    if n >= FEW:
        with warnings.catch_warnings():  # single draws may have no value, such as a correlation
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            drawn = stats.bootstrap(
                (np.arange(n),), lambda chosen: statistic(kept[chosen]), vectorized=False,
                method="percentile", n_resamples=n_resamples, rng=seed,
            ).bootstrap_distribution  # fmt: skip
        if not np.isnan(drawn).all():
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
    else:
        if statistic is np.mean and rows.ndim == 1:
            low, high = _sign_flip_interval(kept)
        instead = "no interval" if math.isnan(low) else "the interval is that of the sign-flip test"
        warnings.warn(f"{n} images are too few for a bootstrap: {instead}", stacklevel=2)
    # equal values may round differently in another order; an interval contains its value
    low, high = float(np.minimum(low, value)), float(np.maximum(high, value))
    return Interval(value, low, high, n, len(rows) - n)


def _sign_flip_interval(values: Floats) -> tuple[float, float]:
    """All means that the exact sign-flip test does not reject: ends among the subsets' means."""
    sums, sizes = np.zeros(1), np.zeros(1)
    for value in values:
        sums, sizes = np.append(sums, sums + value), np.append(sizes, sizes + 1)
    means = np.sort(sums[1:] / sizes[1:])
    rank = len(sums) // 40  # 2.5 % at each end
    return (float(means[rank - 1]), float(means[-rank])) if rank else (math.nan, math.nan)


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
    first: Any, second: Any = 0.0, *, paired: bool = True, n_resamples: int = 9999, seed: int = 0
) -> PermutationTest:
    """Ask whether chance alone would make two sets of values differ as much in the mean.

    Paired: if chance alone decided which of an image's two values is called the first, every
    difference could as well have the other sign (Fisher: The Design of Experiments, 1935). Not
    paired: any values could as well belong to either group. Two-sided. All rearrangements are
    counted where there are at most `n_resamples` of them (13 pairs), else that many are drawn, and
    the observed one is counted among them, so that p is never 0 (Phipson & Smyth 2010).

    Parameters
    ----------
    first, second : array, tensor or list (N,); for groups (N,) and (M,)
        A single number as `second` stands for that number in each pair. What is not finite is left
        out; from pairs together with its partner.
    paired : bool
        Whether ``first[i]`` and ``second[i]`` belong to the same image.
    n_resamples, seed : int

    Returns
    -------
    PermutationTest
        With p NaN if fewer than two pairs (or values of a group) are left.

    Raises
    ------
    ValueError
        If pairs are of unequal number.
    """
    first, second = (to_numpy(values).astype(np.float64) for values in (first, second))
    if first.ndim != 1 or second.ndim > 1 or (paired and second.shape not in {first.shape, ()}):
        shapes = f"{first.shape} and {second.shape}; groups of different images need paired=False"
        raise ValueError(f"expected pairs of values, one per image, got shapes {shapes}")
    groups = [first - second] if paired else [first, np.atleast_1d(second)]
    groups = [group[np.isfinite(group)] for group in groups]
    n, smallest = sum(map(len, groups)), min(map(len, groups))

    def difference(*samples: Floats, axis: int = -1) -> Floats:
        means = [sample.mean(axis=axis) for sample in samples]
        return means[0] - sum(means[1:])

    p_value = math.nan  # one value cannot be rearranged
    if smallest > 1:
        # the same numbers added up in another order differ in the last digits: hence rounded
        largest = max(np.abs(group).max() for group in groups) or 1.0
        p_value = stats.permutation_test(
            groups, lambda *samples, axis: abs(difference(*samples, axis=axis) / largest).round(12),
            permutation_type="samples" if paired else "independent", alternative="greater",
            vectorized=True, n_resamples=n_resamples, batch=max(1, 10**6 // n), rng=seed,
        ).pvalue  # fmt: skip
    exact = (2**n if paired else math.comb(n, smallest)) <= n_resamples
    return PermutationTest(float(difference(*groups)), float(p_value), exact, n)


def pearson(first: Floats, second: Floats) -> Floats:
    """Pearson's correlation along the last axis; NaN where one side is constant (of ranks)."""
    first, second = (rows - rows.mean(axis=-1, keepdims=True) for rows in (first, second))
    size = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return (first * second).sum(axis=-1) / np.where(size > 0, size, np.nan)
