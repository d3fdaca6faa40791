"""From what was measured of each network to two tables with intervals.

The paired bootstrap draws scenes: the same scenes for all methods and all networks of a group, so
that differences between methods are not blurred by scenes that are hard for all. What another
training run would give is another question: the spread over seeds stands beside the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.evaluation import own_gain

from .agreement import part_agreement, rank_agreement
from .measure import GAMES, REFERENCES, SPOILED
from .methods import METHODS
from .metrics import METRICS

#: Which sums over parts meet the truth, which keeps its signs: those of the map; those of its
#: magnitudes; those of the map as it is usually shown (saliency without signs, say).
MODES = ("signed", "absolute", "shown")
#: Game to the rows that hold its truth. The last is what one gets who cannot render.
TRUTHS = {game: f"truth, {game}" for game in GAMES} | {"covered": "Shapley, parts covered"}
MEASURES = ("tau", "scale_error", "wrong_signs", "completeness_gap")
RESAMPLES = 1000
FEW = 20


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over scenes with a percentile bootstrap interval; NaN is left out.

    Fewer than 20 scenes get no ends: a bootstrap of so few is too narrow. All resamples at once:
    `course_utils.evaluation.bootstrap_interval` takes any statistic, and a minute for the tables.
    """
    values = values[np.isfinite(values)]
    if len(values) < FEW:
        return (values.mean() if len(values) else np.nan), np.nan, np.nan
    drawn = values[np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))]
    return values.mean(), *np.percentile(drawn.mean(axis=1), [2.5, 97.5])


def kind_of(method: str) -> str:
    """Return the kind of a method, of a reference or of an untrained control."""
    if method in REFERENCES:
        return "reference"
    return "control" if method.startswith("untrained") else METHODS[method].kind


def usual_of(name: str) -> str:
    """Say how the maps of a method, a reference or an untrained control are usually shown."""
    name = name.removeprefix("untrained: ")
    return METHODS[name].usual if name in METHODS else "signed"


def agreements(
    parts: pd.DataFrame, truth: pd.DataFrame | None = None, modes: Sequence[str] = MODES
) -> pd.DataFrame:
    """Compare the parts of maps with the truth, scene by scene.

    Parameters
    ----------
    parts : DataFrame
        Of one network, from `measure_methods`.
    truth : DataFrame, optional
        Of another network, to compare with that one's truth. Default: its own, also the one with
        covered parts.
    modes : sequence of {"signed", "absolute", "shown"}

    Returns
    -------
    DataFrame
        One row per scene, method, game and mode, with the fields of `Agreement`.
    """
    source, rows = parts if truth is None else truth, []
    known = {key: table["signed"].to_numpy() for key, table in source.groupby(["method", "scene"])}
    games = TRUTHS if truth is None else GAMES
    for (name, scene), found in parts.groupby(["method", "scene"], sort=False):
        for game in games if not name.startswith("truth") else ():
            exact = known.get((TRUTHS[game], scene))
            if exact is None:
                continue
            inside = np.isfinite(exact)
            ranked = found["visible"].to_numpy()[inside]
            agreed = {
                column: part_agreement(found[column].to_numpy()[inside], exact[inside], ranked)
                for column in dict.fromkeys(usual_of(name) if m == "shown" else m for m in modes)
            }
            for mode in modes:
                column = usual_of(name) if mode == "shown" else mode
                rows.append((name, scene, game, mode, *agreed[column]))
    names = ["method", "scene", "game", "mode", "tau", "scale_error", "wrong_signs"]
    return pd.DataFrame(rows, columns=[*names, "completeness_gap"])


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
    """Own gain of every method, scene by scene, for networks that differ by seed."""
    rows = []
    for family, regime in dict.fromkeys((family, regime) for family, regime, _ in parts):
        seeds = [key[2] for key in parts if key[:2] == (family, regime)]
        if len(seeds) < 2:
            continue
        index = ["method", "game", "mode", "scene"]
        crossed = {
            (a, b): agreements(
                parts[family, regime, a], parts[family, regime, b], ["signed", "shown"]
            ).set_index(index)
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
    return (*interval(over_seeds), spread, wide.mean(axis=1).std(ddof=0), count)


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
            game: own.query("game == @game and mode == 'shown'").pivot_table(
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
                all_methods = rank_agreement(wide[used].to_numpy(), own_truth, n_resamples=300)
                explaining = [kind_of(method) != "control" for method in used]
                some = rank_agreement(
                    wide[used].to_numpy()[:, explaining],
                    own_truth[:, explaining],
                    n_resamples=300,
                )
                ends = (all_methods.value, all_methods.low, all_methods.high)
                others = (some.value, some.low, some.high)
                count = (all_methods.n, len(used))
                rows.append((family, regime, seed, game, name, *ends, *others, *count, spoiled))
    names = ["family", "regime", "seed", "game", "metric", "value", "low", "high"]
    without = [f"{name}_without_controls" for name in ("value", "low", "high")]
    return pd.DataFrame(rows, columns=[*names, *without, "n", "methods", "spoiled"])


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
        (bootstrap over scenes), the mean shares ``with_cue`` and ``without_cue``; ``magnitude``,
        ``magnitude_low``, ``magnitude_high``: the AUC of shares without signs.
    """
    # a blank map gives the tag nothing
    tables = pd.concat(cues.values()).fillna({"share": 0, "magnitude": 0})
    rows = []
    for name, found in tables.groupby("method", sort=False):
        signed, plain = (_cue_pair(found, column) for column in ("share", "magnitude"))
        if signed is None or plain is None:
            continue
        means = [part.mean() for part in signed]
        rows.append((name, *_auc_ends(*signed), *means, len(signed[0]), *_auc_ends(*plain)))
    names = ["method", "value", "low", "high", "with_cue", "without_cue", "n"]
    return pd.DataFrame(rows, columns=[*names, "magnitude", "magnitude_low", "magnitude_high"])


def _cue_pair(found: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Shares (scenes, seeds) of networks that use the cue, and of those that do not."""
    wide = {
        use: part.pivot_table(index="scene", columns="seed", values=column).to_numpy()
        for use, part in found.groupby(found["regime"] == "shortcut")
    }
    return (wide[True], wide[False]) if len(wide) == 2 and all(map(len, wide.values())) else None


def _auc_ends(using: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    generator, count = np.random.default_rng(0), len(using)
    draws = [generator.integers(0, count, count) for _ in range(300)]
    drawn = [_auc(using[chosen], other[chosen]) for chosen in draws]
    return _auc(using, other), *np.percentile(drawn, [2.5, 97.5])


def _auc(using: np.ndarray, other: np.ndarray) -> float:
    using, other = using.ravel(), other.ravel()
    statistic = stats.mannwhitneyu(using, other).statistic
    return float(statistic / (len(using) * len(other)))
