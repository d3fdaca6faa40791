"""From what was measured of each network to two tables with intervals.

The paired bootstrap draws scenes: the same scenes for all methods and all networks of a group, so
that differences between methods are not blurred by scenes that are hard for all. What another
training run would give is another question: the spread over seeds stands beside the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.evaluation import own_gain, rank_agreement

from .measure import GAMES, MODES, REFERENCES, SPOILED, agreements
from .methods import METHODS
from .metrics import METRICS

MEASURES = ("tau", "scale_error", "wrong_signs", "completeness_gap")
RESAMPLES = 1000


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over scenes with a percentile bootstrap interval; NaN is left out."""
    values = values[np.isfinite(values)]
    if not len(values):
        return (np.nan,) * 3
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))]
    return values.mean(), *np.percentile(drawn.mean(axis=1), [2.5, 97.5])


def kind_of(method: str) -> str:
    """Return the kind of a method, of a reference or of an untrained control."""
    if method in REFERENCES:
        return "reference"
    return "control" if method.startswith("untrained") else METHODS[method].kind


def scene_table(parts: Mapping[tuple[str, str, int], pd.DataFrame]) -> pd.DataFrame:
    """Agreement of every method with the truth, scene by scene, for all networks.

    Parameters
    ----------
    parts : mapping of (family, regime, seed) to DataFrame
        From `measure.measure_methods`.
    """
    rows = []
    for (family, regime, seed), table in parts.items():
        rows.append(agreements(table).assign(family=family, regime=regime, seed=seed))
    return pd.concat(rows, ignore_index=True)


def gain_table(parts: Mapping[tuple[str, str, int], pd.DataFrame]) -> pd.DataFrame:
    """Own gain of every method, scene by scene, for groups of networks that differ by seed."""
    rows = []
    for family, regime in dict.fromkeys((family, regime) for family, regime, _ in parts):
        seeds = [key[2] for key in parts if key[:2] == (family, regime)]
        if len(seeds) < 2:
            continue
        index = ["method", "game", "mode", "scene"]
        crossed = {
            (a, b): agreements(parts[family, regime, a], parts[family, regime, b]).set_index(index)
            for a in seeds
            for b in seeds
        }
        taus = pd.DataFrame({pair: table["tau"] for pair, table in crossed.items()})
        count = len(seeds)
        square = taus.to_numpy().T.reshape(count, count, -1)
        found = pd.DataFrame({"own_gain": own_gain(square)}, index=taus.index).reset_index()
        rows.append(found.assign(family=family, regime=regime))
    return pd.concat(rows, ignore_index=True)


def method_table(
    scenes: pd.DataFrame, gains: pd.DataFrame, costs: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Table 1: every method, in groups of networks that differ by seed.

    Returns
    -------
    DataFrame
        One row per family, regime, game, mode, method and measure: value, low, high (mean over
        scenes of the mean over seeds), spread (standard deviation over seeds), scene_sd (standard
        deviation over scenes), n (scenes), kind; and passes and seconds per picture.
    """
    keys, rows = ["family", "regime", "game", "mode", "method"], []
    for key, found in scenes.groupby(keys, sort=False):
        for measure in MEASURES:
            wide = found.pivot_table(index="scene", columns="seed", values=measure)
            rows.append((*key, measure, *_summary(wide)))
    for key, found in gains.groupby(keys, sort=False):
        rows.append((*key, "own_gain", *_summary(found[["own_gain"]])))
    names = [*keys, "measure", "value", "low", "high", "spread", "scene_sd", "n"]
    table = pd.DataFrame(rows, columns=names)
    table["kind"] = table["method"].map(kind_of)
    return (
        table
        if costs is None
        else table.merge(costs, on=["family", "regime", "method"], how="left")
    )


def _summary(wide: pd.DataFrame) -> tuple[float, ...]:
    over_seeds = wide.mean(axis=1).to_numpy()
    spread = wide.mean(axis=0).std() if wide.shape[1] > 1 else np.nan
    count = int(np.isfinite(over_seeds).sum())
    return (*interval(over_seeds), spread, np.nanstd(over_seeds), count)


def cost_table(parts: Mapping[tuple[str, str, int], pd.DataFrame]) -> pd.DataFrame:
    """Average passes and seconds per picture over seeds."""
    rows = pd.concat(parts.values())[["family", "regime", "method", "passes", "seconds"]]
    return rows.groupby(["family", "regime", "method"], as_index=False).mean()


def metric_table(
    metrics: Mapping[tuple[str, str, int], pd.DataFrame], scenes: pd.DataFrame
) -> pd.DataFrame:
    """Table 2: how well each metric puts methods into the order of the truth.

    Returns
    -------
    DataFrame
        One row per network, game and metric: value (Kendall's tau between the ranking that the
        metric gives to the methods and the one by agreement with the truth), low, high, n, methods;
        ``without_controls``, the same without them; ``spoiled``, Kendall's tau between how little
        a map was spoiled and what the metric gives, mean over scenes.
    """
    rows = []
    for (family, regime, seed), table in metrics.items():
        own = scenes.query("family == @family and regime == @regime and seed == @seed")
        truths = {
            game: _usual(own[own["game"] == game]).pivot_table(
                index="scene", columns="method", values="tau"
            )
            for game in GAMES
        }
        for name, found in table.groupby("metric", sort=False):
            metric = METRICS[str(name)]
            wide = found.pivot_table(index="scene", columns="method", values="value", dropna=False)
            wide = wide * (1 if metric.direction == "higher" else -1)
            # a blank map has no value, and gets the worst one
            wide = wide.fillna(wide.min().min())
            spoiled = _order_of_spoiled(wide)
            for game, truth in truths.items():
                used = [method for method in wide if method in truth]
                own_truth = truth.loc[wide.index, used].to_numpy()
                all_methods = rank_agreement(wide[used].to_numpy(), own_truth)
                explaining = [kind_of(method) != "control" for method in used]
                some = rank_agreement(
                    wide[used].to_numpy()[:, explaining], own_truth[:, explaining]
                )
                ends = (all_methods.value, all_methods.low, all_methods.high)
                others = (some.value, some.low, some.high)
                count = (all_methods.n, len(used))
                rows.append((family, regime, seed, game, name, *ends, *others, *count, spoiled))
    names = ["family", "regime", "seed", "game", "metric", "value", "low", "high"]
    without = [f"{name}_without_controls" for name in ("value", "low", "high")]
    return pd.DataFrame(rows, columns=[*names, *without, "n", "methods", "spoiled"])


def _usual(scenes: pd.DataFrame) -> pd.DataFrame:
    """Rows of maps as they are usually shown, compared with the signed truth."""
    modes = {name: method.usual for name, method in METHODS.items()}
    own = scenes["method"].map(modes)
    return scenes[own.notna() & (scenes["mode"] == own)]


def _order_of_spoiled(wide: pd.DataFrame) -> float:
    """Kendall's tau per scene between quality and the metric over maps that were spoiled."""
    names = ["DeepLift", *(f"spoiled {share}" for share in SPOILED)]
    if not set(names) <= set(wide):
        return np.nan
    order = -np.arange(len(names))
    found = [
        stats.kendalltau(row, order).statistic if np.ptp(row) else 0.0
        for row in wide[names].to_numpy()
        if np.isfinite(row).all()
    ]
    return float(np.mean(found)) if found else np.nan


def cue_table(cues: Mapping[tuple[str, str, int], pd.DataFrame]) -> pd.DataFrame:
    """Say which maps tell a network that uses the planted cue from one that does not.

    Returns
    -------
    DataFrame
        One row per method: value, the probability that the map gives the tag a larger share when
        the network uses it than when not (AUC, over all pairs of networks and scenes), low, high
        (bootstrap over scenes), and the mean shares ``with_cue`` and ``without_cue``.
    """
    tables = pd.concat(cues.values())
    rows = []
    for name, found in tables.groupby("method", sort=False):
        wide = {
            use: part.pivot_table(index="scene", columns="seed", values="share").to_numpy()
            for use, part in found.groupby(found["regime"] == "shortcut")
        }
        if len(wide) < 2 or not all(len(part) for part in wide.values()):
            continue
        count, generator = len(wide[True]), np.random.default_rng(0)
        draws = [generator.integers(0, count, count) for _ in range(300)]
        drawn = [_auc(wide[True][chosen], wide[False][chosen]) for chosen in draws]
        ends = np.percentile(drawn, [2.5, 97.5])
        value = _auc(wide[True], wide[False])
        rows.append((name, value, *ends, wide[True].mean(), wide[False].mean(), count))
    names = ["method", "value", "low", "high", "with_cue", "without_cue", "n"]
    return pd.DataFrame(rows, columns=names)


def _auc(using: np.ndarray, other: np.ndarray) -> float:
    using, other = using.ravel(), other.ravel()
    statistic = stats.mannwhitneyu(using, other).statistic
    return float(statistic / (len(using) * len(other)))


def wide_table(table: pd.DataFrame, **chosen: Any) -> pd.DataFrame:
    """Show one number per method and measure: ``wide_table(table, family="animals", …)``."""
    for name, value in chosen.items():
        table = table[table[name] == value]
    return table.pivot_table(index="method", columns="measure", values="value", sort=False)


def best_of(values: Mapping[str, float], count: int = 3) -> Sequence[str]:
    """Names with the highest values."""
    return sorted(values, key=lambda name: -values[name])[:count]


Aggregate = Callable[[pd.DataFrame], pd.DataFrame]
__all__ = [
    "MEASURES", "MODES", "best_of", "cost_table", "cue_table", "gain_table", "interval", "kind_of",
    "method_table", "metric_table", "scene_table", "wide_table",
]  # fmt: skip
