"""The page of the site that shows both tables: ``docs/scoreboard.md`` and its two figures.

``python -m scoreboard.page`` writes it from ``data/scoreboard.parquet``; so does the end of
``make scoreboard``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.transforms import Bbox

from course_utils import plots
from course_utils.assets import course_file

from .metrics import METRICS

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Kinds of methods; each has its colour.
KINDS = dict(
    zip(("path", "rules", "gradients", "perturbation", "grid"), plots.style.SERIES, strict=False)
)
FAMILIES = dict(zip(("animals", "smoking"), plots.style.SERIES, strict=False))
MUTED, INK = plots.style.MUTED, plots.style.INK
#: Colours on a dark page.
DARK = {
    INK: "#e8ecf1", "#262626": "#e8ecf1", MUTED: "#a9b4c0", plots.style.TRACK: "#2f353d",
    "#0072b2": "#56b4e9", "#d55e00": "#f0883e", "#009e73": "#3cc99f", "#a8437f": "#dd8bbc",
    "#3d4654": "#b8c2cc",
}  # fmt: skip


def methods_figure(table: pd.DataFrame) -> plots.canvas.CourseFigure:
    """Agreement with the truth against cost, and who is beaten by none in both (Pareto)."""
    rows = chosen(table).dropna(subset=["passes"])
    limit = rows.loc[rows["kind"] == "control", "high"].max()
    rows = rows[~rows["kind"].isin(["control", "reference"])]
    rows = rows.sort_values(["passes", "value"], ascending=[True, False])
    fig, ax = plots.figure(height=6.4, title="What does agreement with the exact truth cost?")
    colors = [KINDS[kind] for kind in rows["kind"]]
    ax.vlines(rows["passes"], rows["low"], rows["high"], colors=colors, lw=1.2, alpha=0.45)
    ax.scatter(rows["passes"], rows["value"], c=colors, s=52, zorder=3)
    front = rows[rows["value"] > rows["value"].cummax().shift(fill_value=-1)]
    ax.plot(front["passes"], front["value"], color=MUTED, lw=1, ls="--", zorder=0)
    ax.axhspan(-1, limit, color=MUTED, alpha=0.13, lw=0, zorder=0)
    text = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "top", "color": MUTED}
    ax.text(0.99, limit - 0.01, "controls reach up to here", **text)
    low, high = rows["low"].min() - 0.05, rows["high"].max() + 0.05
    ax.set(xscale="log", xlim=(1.5, 420), ylim=(low, high), xticks=[2, 5, 10, 20, 50, 100, 200])
    ax.set(xlabel="passes through the network per picture", ylabel="Kendall's τ with exact values")
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.minorticks_off()
    for place, (kind, color) in enumerate(KINDS.items()):
        words = {"path": "paths", "rules": "other rules", "grid": "CAMs"}.get(kind, kind)
        ax.text(0.99, 0.23 - 0.045 * place, words, transform=ax.transAxes, color=color, ha="right")
    _label(ax, rows, colors)
    return fig


def _label(ax: Axes, rows: pd.DataFrame, colors: Any) -> None:
    """Write names beside points, each where it covers least of points, intervals and names."""
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    ax.figure.draw_without_rendering()
    spots, lows, highs = (
        ax.transData.transform(rows[["passes", name]]) for name in ("value", "low", "high")
    )
    taken = [Bbox.from_extents(a - 6, b - 6, a + 6, b + 6) for a, b in spots]
    taken += [
        Bbox.from_extents(a - 3, low, a + 3, high)
        for (a, low), (_, high) in zip(lows, highs, strict=True)
    ]
    ways = [(8, 7, "left"), (8, 0, "left"), (8, -8, "left"), (-8, 0, "right"), (-8, 8, "right")]
    ways += [(-8, -8, "right"), (0, 13, "center"), (0, -13, "center"), (8, 17, "left")]
    ways += [(-8, 17, "right"), (-8, -17, "right")]
    points = rows[["passes", "value"]].itertuples(index=False, name=None)
    for spot, name, color in zip(points, rows["method"], colors, strict=True):
        tries = []
        for number, (across, up, side) in enumerate(ways):
            note = ax.annotate(
                name, spot, (across, up), textcoords="offset points", ha=side, va="center",
                size=plots.style.SIZE_NOTE - 1, color=color,
            )  # fmt: skip
            box = note.get_window_extent(renderer)
            shared = [Bbox.intersection(box, other) for other in taken]
            covered = sum(one.width * one.height for one in shared if one is not None)
            outside = 1e6 * (not ax.bbox.contains(box.x0, box.y0) or box.x1 > ax.bbox.x1)
            tries.append((covered + outside + number, note, box))
        best = min(tries, key=lambda one: one[0])
        taken.append(best[2])
        for one in tries:
            if one is not best:
                one[1].remove()


def metrics_figure(table: pd.DataFrame) -> plots.canvas.CourseFigure:
    """Show how well each metric ranks methods like the truth, one point per network."""
    rows = table[table["game"] == "plays"]
    order = rows.groupby("metric", observed=True)["value"].mean().sort_values(ascending=False).index
    place = {name: number for number, name in enumerate(order)}
    fig, ax = plots.figure(height=6, title="Which metrics rank methods like the exact truth?")
    for _, one in rows.groupby("metric", observed=True):
        one = one.sort_values(["family", "seed"])
        heights = place[one["metric"].iloc[0]] + 0.14 * (np.arange(len(one)) - (len(one) - 1) / 2)
        colors = [FAMILIES[name] for name in one["family"]]
        ax.hlines(heights, one["low"], one["high"], colors=colors, lw=1.2, alpha=0.45)
        ax.scatter(one["value"], heights, c=colors, s=26, zorder=3)
    ax.axvline(0, color=MUTED, lw=1)
    ax.text(-0.02, -0.75, "the reverse order", ha="right", color=MUTED)
    ax.text(0.02, -0.75, "the truth's order", color=MUTED)
    for number, (name, color) in enumerate(FAMILIES.items()):
        words = f"networks on {name}"
        ax.text(0.99, 0.06 - 0.045 * number, words, transform=ax.transAxes, color=color, ha="right")
    ax.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.4, -1.1))
    ax.set(xlim=(-0.75, 1), xlabel="Kendall's τ between the two rankings of methods")
    ax.grid(visible=False, axis="y")
    return fig


def chosen(table: pd.DataFrame, **changed: str) -> pd.DataFrame:
    """Return the rows of table 1 that are shown first, or others by naming what is different."""
    main = {"family": "animals", "regime": "complete", "game": "plays", "mode": "shown"}
    for name, value in {**main, "measure": "tau", **changed}.items():
        table = table[table[name] == value]
    return table


def _save(fig: plots.canvas.CourseFigure, name: str, docs: Path) -> None:
    """Save a figure without paper, for light and for dark pages."""
    options = {"dpi": 150, "bbox_inches": "tight", "transparent": True}
    fig.savefig(docs / "_static" / f"scoreboard_{name}.png", **options)
    for artist in fig.findobj():
        for part in ("color", "facecolor", "edgecolor"):
            with contextlib.suppress(AttributeError, ValueError, TypeError):
                found = getattr(artist, f"get_{part}")()
                many = np.ndim(found) == 2
                new = [DARK.get(to_hex(one), one) for one in (found if many else [found])]
                getattr(artist, f"set_{part}")(new if many else new[0])
    fig.savefig(docs / "_static" / f"scoreboard_{name}_dark.png", **options)


def write_page(docs: Path = DOCS) -> Path:
    """Write the page and its figures; return the page."""
    from . import load_scoreboard

    tables, about = load_scoreboard(course_file("scoreboard.parquet"))
    _save(methods_figure(tables["methods"]), "methods", docs)
    _save(metrics_figure(tables["metrics"]), "metrics", docs)
    path = docs / "scoreboard.md"
    path.write_text(_text(tables, about), encoding="utf-8")
    return path


def _text(tables: dict[str, pd.DataFrame], about: dict[str, Any]) -> str:
    counts = about["scenes"].items()
    scenes = " and ".join(f"{count} scenes of {family}" for family, count in counts)
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    methods, metrics = tables["methods"], tables["metrics"]
    best = chosen(methods).sort_values("value", ascending=False)
    best = best[~best["kind"].isin(["control", "reference"])]
    sure = metrics[metrics["game"] == "plays"].groupby("metric", observed=True)["low"].min()
    sure = sure.sort_values(ascending=False)
    first = ", ".join(f"{row.method} ({_ends(row)})" for row in best.head(3).itertuples())
    return f"""# Scoreboard

How far is each explanation method, and each popular metric of explanations, from the **exact truth**? A rendered scene has 5 to 8 parts; every subset of them is rendered again and shown to the network, which gives the exact Shapley value of each part. A map is added up over the parts and compared with that. {{doc}}`Lesson 11 <notebooks/11_measuring_explanations>` explains it, repeats a part of it, and shows how a method of your own joins.

**In front:** {first}. **Metrics that surely rank like the truth (τ above 0.3 on every network):** {", ".join(sure[sure > 0.3].index) or "none"}.

Computed by `{about["command"]}`: {scenes}, three training runs of each small network; metrics and the planted cue on {about["fewer"]} scenes; {about["processor_seconds"] / 60:.0f} minutes of one processor core ({about["machine"]}); {versions}. The numbers are in `data/scoreboard.parquet`. Intervals are 95 %, a paired bootstrap over scenes; *spread* is the standard deviation over training runs, which the intervals do not hold.

## Methods

{_picture("methods", "Every method as a point, passes through the network against rank agreement with the exact values of the parts")}

Networks trained on complete animals. The score is the logit of the class minus its strongest rival's. **τ**: Kendall's rank agreement of a map's sums over the parts with the exact values (1 is the right order, 0 is chance), for maps as they are usually shown: saliency, SmoothGrad and the pictures of controls without signs, all others with signs. It is given for two games: the background is a *player*, or it always *stays*. *Signed*: every map with its signs. *Absolute*: every map's magnitudes, against the same truth. *Grey truth*: as shown, against Shapley values of pictures whose parts are covered with grey instead of being rendered anew.

{_methods(methods)}

The same methods by other measures. **Own gain**: τ with one's own network's truth minus τ with that of another training run; a map at 0 does not tell its network from another. In one scene of six the networks have different rivals, so they are asked different questions; without these scenes gains, measured once, are at most 0.04 smaller. *Scale error*: after the best factor, 0 is exact and 1 says nothing. *Wrong signs*: share of the truth that gets the wrong sign. *Gap*: what the map's sum misses of the whole score, as a share of all parts' magnitudes; it says something only of methods whose maps claim to add up to the score.

{_details(methods)}

τ on other networks (background plays): small ones trained on complete scenes, or also on incomplete ones, and both bundled networks with a trained head (6 scenes, so no intervals; LRP has no rules for efficientnet_lite0). "Untrained" is a small untrained network throughout.

{_families(methods)}

## Metrics

{_picture("metrics", "Every metric with one point per network, tau between its ranking of methods and the ranking by the truth")}

τ between the ranking that a metric gives to the methods and the ranking by agreement with the truth: mean over networks, lowest and highest end of their intervals. *Notices noise*: τ between how little a good map was spoiled and what the metric gives. Metrics that explain again were not run for LIME, KernelSHAP and RISE, which would take too long.

{_metrics(metrics)}

## A planted cue

Networks that use a photographer's tag against networks that do not: the probability (AUC) that a map gives the tag a larger share in the first kind; 0.5 is chance. *Without signs*: the same for the share of the map's magnitude. A map that is sure to be wrong about the sign is far below 0.5 with signs, and above it without.

{_cue(tables["cue"])}
"""  # noqa: E501 - paragraphs are one line in Markdown


def _picture(name: str, alt: str) -> str:
    kinds = (("", "only-light"), ("_dark", "only-dark"))
    return "\n\n".join(
        f"```{{image}} _static/scoreboard_{name}{end}.png\n:alt: {alt}\n:class: {kind}\n```"
        for end, kind in kinds
    )


def _ends(row: Any) -> str:
    if pd.isna(row.low):
        return _two(row.value)
    return f"{_two(row.value)} [{_two(row.low)}, {_two(row.high)}]"


def _two(value: float) -> str:
    """Write a number with two digits, without minus zero; nothing where there is none."""
    return "" if pd.isna(value) else f"{round(value, 2) + 0.0:.2f}"


def _column(table: pd.DataFrame, **changed: str) -> pd.Series:
    return pd.Series(
        {row.method: _ends(row) for row in chosen(table, **changed).itertuples()}, dtype=object
    )


def _value(table: pd.DataFrame, **changed: str) -> pd.Series:
    return chosen(table, **changed).set_index("method")["value"]


def _methods(table: pd.DataFrame) -> str:
    rows = chosen(table).sort_values("value", ascending=False).set_index("method")
    columns = {
        "kind": rows["kind"],
        "τ, background plays": _column(table),
        "spread": rows["spread"],
        "τ, background stays": _column(table, game="stays"),
        "signed": _value(table, mode="signed"),
        "absolute": _value(table, mode="absolute"),
        "grey truth": _value(table, game="covered"),
        "passes": rows["passes"].round(),
        "ms": 1000 * rows["seconds"],
    }
    return _markdown(pd.DataFrame(columns).loc[rows.index])


def _details(table: pd.DataFrame) -> str:
    rows = chosen(table).sort_values("value", ascending=False).set_index("method")
    columns = {
        "own gain": _column(table, measure="own_gain"),
        "own gain, background stays": _column(table, measure="own_gain", game="stays"),
        "scale error": _value(table, measure="scale_error"),
        "wrong signs": _value(table, measure="wrong_signs"),
        "gap": _value(table, measure="completeness_gap"),
    }
    return _markdown(pd.DataFrame(columns).loc[rows.index])


def _families(table: pd.DataFrame) -> str:
    rows = table.query("game == 'plays' and mode == 'shown' and measure == 'tau'")
    names = rows["family"].astype(str) + ", " + rows["regime"].astype(str)
    wide = rows.assign(network=names, text=[_ends(row) for row in rows.itertuples()])
    order = chosen(table).sort_values("value", ascending=False)["method"]
    wide = wide.pivot_table("text", "method", "network", aggfunc="first")
    return _markdown(wide.loc[order].drop(columns="animals, complete"))


def _metrics(table: pd.DataFrame) -> str:
    rows = table[table["game"] == "plays"].groupby("metric", observed=True)
    other = table[table["game"] == "stays"].groupby("metric", observed=True)["value"].mean()
    shown = pd.DataFrame(
        {
            "τ": rows["value"].mean(),
            "lowest": rows["low"].min(),
            "highest": rows["high"].max(),
            "without controls": rows["value_without_controls"].mean(),
            "background stays": other,
            "notices noise": rows["spoiled"].mean(),
            "networks": rows.size().astype(str),
        }
    ).sort_values("τ", ascending=False)
    shown["measures"] = [METRICS[name].measures for name in shown.index]
    shown["fooled by"] = [METRICS[name].fooled_by for name in shown.index]
    shown["source"] = [METRICS[name].source for name in shown.index]
    return _markdown(shown)


def _cue(table: pd.DataFrame) -> str:
    rows = table.sort_values("value", ascending=False).set_index("method")
    plain = rows[["magnitude", "magnitude_low", "magnitude_high"]]
    plain = plain.set_axis(["value", "low", "high"], axis=1)
    columns = {
        "AUC": [_ends(row) for row in rows.itertuples()],
        "AUC without signs": [_ends(row) for row in plain.itertuples()],
        "share with cue": rows["with_cue"],
        "share without": rows["without_cue"],
    }
    return _markdown(pd.DataFrame(columns, index=rows.index))


def _markdown(table: pd.DataFrame) -> str:
    """Return a Markdown table; numbers with two digits, nothing where there is none."""

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return value
        return f"{value:.0f}" if abs(value) >= 10 else _two(value)

    head = [table.index.name or "method", *table.columns]
    lines = [head, ["---"] * len(head)]
    lines += [
        [str(name), *map(cell, row)]
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(write_page())
