"""Charts: curves with bands, intervals, training and its result, predictions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ..checks import to_numpy
from . import style
from .arrays import to_image
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


# ---------------------------------------------------------------------------- curves


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write (x, y, name, colour) at the right ends of lines, pushed apart where they overlap."""
    axes.figure.draw_without_rendering()  # settles limits and the height of the axes
    names = [style.wrap(name, 1.9, style.SIZE_TEXT) for _, _, name, _ in ends]
    points = 72 / axes.figure.dpi * axes.transData.transform([end[:2] for end in ends])[:, 1]
    y, order = points.copy(), points.argsort(kind="stable")
    tall = np.array([72 * style.height_of(names[i], style.SIZE_TEXT) for i in order])
    for _ in range(500):
        push = np.clip((tall[:-1] + tall[1:]) / 2 - np.diff(y[order]), 0, None) / 2
        y[order[:-1]] -= push
        y[order[1:]] += push
    kind = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    for (*end, _, color), name, shift in zip(ends, names, y - points, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(name, end, (34, shift), color=color, weight="bold", arrowprops=arrow, **kind)


def plot_convergence(
    results: Mapping[str, tuple[Any, Any]], *, xlabel: str = "gradient evaluations",
    ylabel: str = "completeness error, share of score difference", **words: Any
) -> CourseFigure:  # fmt: skip
    """Show how errors fall with the number of gradients or calls, on logarithmic axes.

    Parameters
    ----------
    results : mapping of name to (n_evaluations, errors)
        n_evaluations (n,); errors (n,) or (runs, n), positive. Lines are medians over runs, bands
        hold the middle half of them.
    xlabel, ylabel : str
        What is counted, and what the errors are.
    **words
        title, caption, alt, display: as everywhere in `plots`.

    Raises
    ------
    ValueError
        If shapes do not fit, or a value has no place on a logarithmic axis.
    """
    fig, axes = figure(height=4.8)
    ends, said, most = [], [], 1
    for index, (name, (x, values)) in enumerate(_named(results).items()):
        x, runs = to_numpy(x).astype(float).ravel(), np.atleast_2d(to_numpy(values).astype(float))
        middle = np.median(runs, axis=0)
        if not np.isfinite(runs).all() or middle.min() <= 0:
            raise ValueError(f"{name!r}: expected finite values, positive on a logarithmic axis")
        color = SERIES[index % len(SERIES)]
        sns.lineplot(
            pd.DataFrame(runs, columns=x).melt(var_name="x", value_name="y"), x="x", y="y",
            ax=axes, color=color, marker="o" if len(x) < 20 else None, estimator="median",
            errorbar=("pi", 50) if len(runs) > 2 else None,
        )  # fmt: skip
        ends.append((x[-1], middle[-1], name, color))
        first, last = (style.format_number(middle[place], 2) for place in (0, -1))
        said.append(f"{name} {first} at {x[0]:g}, {last} at {x[-1]:g}")
        most = max(most, len(runs))
    axes.set(xlabel=xlabel, ylabel=style.wrap(ylabel, 3.6, style.SIZE_TEXT))
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(x, [f"{value:,.0f}" for value in x])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())  # which would not be in per cent
    _as_percent(axes.yaxis)
    _label_ends(axes, ends)
    note = f"Lines: median over {most} photographs; bands: the middle half of them." * (most > 2)
    return finish(fig, f"{ylabel} against {xlabel}: {'; '.join(said)}.", note, **words)


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
    histories, said = _named(histories), ["Learning curves."]
    fig, panels = figure(2, height=4.1)
    for axes, what in zip(panels, ("loss", "accuracy"), strict=True):
        ends = []
        for (name, history), color in zip(histories.items(), itertools.cycle(SERIES)):
            train, valid = (getattr(history, f"{kind}_{what}") for kind in ("train", "validation"))
            if not train:
                raise ValueError(f"{name} has no finished epoch, so there is nothing to draw")
            for values, line in ((train, "--"), (valid, "-")):
                axes.plot(range(1, len(values) + 1), values, line, color=color, marker=".")
            said.append(f"{name} training {what} from {train[0]:.3g} to {train[-1]:.3g}.")
            if valid and history.best_epoch is not None:
                best = (history.best_epoch, valid[history.best_epoch - 1])
                axes.plot(*best, "o", ms=10, mfc=style.PAPER, mec=color, mew=2.2)
                said.append(f"Validation {best[1]:.3g} in the best epoch, {best[0]}.")
            ends.append((len(train), (valid or train)[-1], name, color))
        axes.set(xlabel="epoch", title=what.capitalize())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    panels[0].set_ylim(bottom=0)
    _as_percent(panels[1].yaxis)
    if any(histories):
        _label_ends(panels[1], ends)
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


def plot_predictions(
    images: Any, predictions: Sequence[Any], *, k: int = 3, ncols: int | None = None,
    **words: Any
) -> CourseFigure:  # fmt: skip
    """Show photographs, each with its likeliest classes as bars below it.

    Parameters
    ----------
    images : mapping of title to picture, or sequence of pictures
    predictions : one sequence of Prediction for each image
        ``network.top_k(images)``.
    k : int
        How many bars.
    ncols : int, optional
        Photographs in a row; by default at most four.
    **words
        title, caption, alt, display: as everywhere in `plots`.

    Raises
    ------
    ValueError
        If there are not as many predictions as images.
    """
    images = images if isinstance(images, Mapping) else dict(enumerate(images, start=1))
    cards, said = list(zip(images.items(), predictions, strict=True)), []
    ncols = min(len(cards), ncols or 4)
    nrows, side = -(-len(cards) // ncols), min(style.WIDTH / ncols - 0.3, 3.0)
    fig, panels = figure(
        ncols, 2 * nrows, width=max(ncols * (side + 0.3), 4.5), squeeze=False,
        height=nrows * (side + 0.42 * k + 0.6), height_ratios=[side, 0.42 * k] * nrows,
    )  # fmt: skip
    fig.get_layout_engine().set(w_pad=0.12, h_pad=0.05)
    for axes in panels.flat:
        axes.set_axis_off()
    above, below = panels[::2].flat, panels[1::2].flat
    for ((name, image), guesses), photo, bars in zip(cards, above, below, strict=False):
        photo.imshow(to_image(image))
        photo.set(anchor="SW", title=style.wrap(str(name), side, style.SIZE_PANEL))
        bars.set(xlim=(0, 1), ylim=(k - 0.75, -0.75))
        for place, guess in enumerate(list(guesses)[:k]):
            share = format_percent(guess.probability)
            label, *rest = style.wrap(guess.label, side - 0.9, 11).split("\n")
            bars.barh(place, [1, guess.probability], 0.22, color=[style.TRACK, SERIES[0]])
            kind = {"fontsize": 10.5, "weight": "normal" if place else "bold", "va": "bottom"}
            bars.text(0, place - 0.14, f"{label} …" if rest else label, **kind)
            bars.text(1, place - 0.14, share, ha="right", **kind)
            said.append(f"{name}: {guess.label} {share}.")
    return finish(fig, f"Likeliest classes. {' '.join(said)}", **words)
