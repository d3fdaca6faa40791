"""Charts: learning curves, intervals, confusion matrices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator

from ..checks import to_numpy
from . import style
from .canvas import CourseFigure, figure, finish
from .style import SERIES, format_percent


def _as_percent(*axes: Axis) -> None:
    """Label axes of fractions in per cent."""
    for axis in axes:
        axis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def _named(given: Any) -> dict[str, Any]:
    """Return what is to be drawn by name; a single thing gets an empty name."""
    named = dict(given) if isinstance(given, Mapping) else {"": given}
    if not named:
        raise ValueError("there is nothing to draw: the mapping is empty")
    return named


# ---------------------------------------------------------------------------- training


def plot_history(histories: Any, **words: Any) -> CourseFigure:
    """Show loss and accuracy over the epochs, on training and on validation pictures.

    Parameters
    ----------
    histories : History, or mapping of name to History
        From ``cu.fit`` or ``cu.fit_head``.
    **words
        title, caption, alt, display: as everywhere in `plots`.

    Raises
    ------
    ValueError
        If a history has no finished epoch.
    """
    said, (fig, panels) = ["Learning curves."], figure(2, height=4.1)
    for (name, history), color in zip(_named(histories).items(), itertools.cycle(SERIES)):
        if history.best_epoch is None:
            raise ValueError(f"{name} has no finished epoch, so there is nothing to draw")
        best = {"marker": "o", "ms": 10, "mfc": style.PAPER, "markevery": [history.best_epoch - 1]}
        for axes, what in zip(panels, ("loss", "accuracy"), strict=True):
            train, valid = (getattr(history, f"{kind}_{what}") for kind in ("train", "validation"))
            axes.plot(range(1, len(train) + 1), train, "--", color=color)
            said.append(f"{name} training {what} from {train[0]:.3g} to {train[-1]:.3g}.")
            if valid:
                axes.plot(range(1, len(train) + 1), valid, color=color, **best)
                score = valid[history.best_epoch - 1]
                said.append(f"Validation {score:.3g} in the best epoch, {history.best_epoch}.")
        place = {"xytext": (10, 0), "textcoords": "offset points", "va": "center"}
        end = (len(train), (valid or train)[-1])
        axes.annotate(name, end, color=color, weight="bold", annotation_clip=False, **place)
    for axes, what in zip(panels, ("Loss", "Accuracy"), strict=True):
        axes.set(xlabel="epoch", title=what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    panels[0].set_ylim(bottom=0)
    _as_percent(panels[1].yaxis)
    note = "Dashed: training, measured while the weights change. Solid: validation, after each "
    return finish(fig, " ".join(said), f"{note}epoch; ring: the best epoch.", **words)


# ---------------------------------------------------------------------------- intervals


def plot_intervals(
    labels: Sequence[str], values: Any, lows: Any, highs: Any, *, quantity: str,
    controls: Sequence[str] = (), better: Literal["higher", "lower"] | None = None,
    reference: tuple[float, str] | None = None, percent: bool = False,
    **words: Any
) -> CourseFigure:  # fmt: skip
    """Show measured values with their intervals, controls in grey: "Measure it" in one picture.

    Parameters
    ----------
    labels : sequence of str
        One for each value, drawn from top to bottom in this order.
    values, lows, highs : (n,)
        Value and the ends of its interval; NaN where there is none.
    quantity : str
        What is measured, with its unit; the axis label.
    controls : sequence of str
        Labels of controls, drawn hollow and grey: a random map, an edge detector, the centre.
    better : "higher" or "lower", optional
        Said at the axis.
    reference : (value, text), optional
        A vertical line, such as chance.
    percent : bool
        Values are fractions to be read as per cent.
    **words
        title, caption, alt, display: as everywhere in `plots`.

    Raises
    ------
    ValueError
        If there are not as many of each, or an interval does not hold its value.
    """
    ends = (to_numpy(column).astype(float).ravel() for column in (values, lows, highs))
    rows = list(zip(map(str, labels), *ends, strict=True))
    if any(low > value + 1e-9 or high < value - 1e-9 for _, value, low, high in rows):
        raise ValueError("an interval does not contain its value: is lows/highs an error instead?")
    if not set(controls) <= {row[0] for row in rows}:
        raise ValueError(f"controls {list(controls)} are not all among the labels {list(labels)}")
    fig, axes = figure(height=1.1 + 0.42 * len(rows))
    number, said = (format_percent if percent else style.format_number), []
    for y, (label, *ends) in enumerate(rows):
        color, fill = (style.CONTROL, style.PAPER) if label in controls else (SERIES[0],) * 2
        value, low, high = map(number, ends)
        axes.plot(ends[1:], [y, y], color=color, linewidth=2.6)
        axes.plot(ends[0], y, "o", ms=8.5, mew=2, mec=color, mfc=fill)
        place = {"xycoords": ("axes fraction", "data"), "va": "center"}
        axes.annotate(value, (1.015, y), color=color, weight="bold", **place)
        said.append(f"{label} {value}" + f" ({low} to {high})" * bool(ends[1] == ends[1]))
    names = [style.wrap(row[0], 2.6, style.SIZE_TEXT) for row in rows]
    axes.set_yticks(range(len(rows)), labels=names, fontsize=style.SIZE_TEXT)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    direction = {"higher": "  (higher is better →)", "lower": "  (← lower is better)"}
    axes.set_xlabel(style.wrap(quantity + direction.get(better or "", ""), 6, style.SIZE_TEXT))
    if percent:
        _as_percent(axes.xaxis)
    if reference is not None:
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        axes.axvline(reference[0], color=style.MUTED, lw=1.2, ls="--", zorder=0)
        axes.annotate(reference[1], (reference[0], 1), color=style.MUTED, fontsize=10, **place)
    note = "Dots: measured value; whiskers: 95 % interval."
    if np.isnan([row[2:] for row in rows]).any():
        note += " No whisker: too few pictures for one."
    note += " Hollow and grey: controls that look at no network." if controls else ""
    return finish(fig, f"{quantity} with 95 % interval: {'; '.join(said)}.", note, **words)


# ---------------------------------------------------------------------------- classifiers


def plot_confusion(evaluations: Any, **words: Any) -> CourseFigure:
    """Show which class is taken for which: counts, and the share of the true class.

    Parameters
    ----------
    evaluations : Evaluation, or mapping of name to one
        From ``cu.evaluate``. Several stand side by side, on one colour scale from 0 to 100 %.
    **words
        title, caption, alt, display: as everywhere in `plots`.
    """
    found, said = _named(evaluations), ["Confusion matrix."]
    side = 5.6 if len(found) == 1 else style.WIDTH / len(found)
    fig, panels = figure(
        len(found), width=max(side * len(found), 6.6), height=side + 0.6, sharey=True, squeeze=False
    )
    for axes, (name, given) in zip(panels[0], found.items(), strict=True):
        table = pd.DataFrame(given.confusion, given.classes, given.classes)
        right = format_percent(np.trace(table) / max(table.to_numpy().sum(), 1))
        shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
        sns.heatmap(
            shares, annot=table.map("{:,}".format), fmt="", cmap=style.UNSIGNED, vmin=0, vmax=1,
            cbar=False, square=True, ax=axes, annot_kws={"fontsize": min(11, 110 / len(table))},
        )  # fmt: skip
        for text, share in zip(axes.texts, shares.to_numpy().ravel(), strict=True):
            text.set_color(style.INK if share < 0.58 else style.PAPER)
        axes.set(xlabel="predicted class", title=f"{name}: {right}" if name else "")
        axes.tick_params(axis="y", rotation=0)
        said.append(f"{name} {right} of {table.to_numpy().sum():,} pictures right.")
    panels[0, 0].set_ylabel("true class")
    note = "Cells: number of pictures; colour: share of the row's true class (white 0 %, dark "
    return finish(fig, " ".join(said), f"{note}100 %). The diagonal is right.", **words)
