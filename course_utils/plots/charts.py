"""Charts: curves with bands, intervals, training and its result, predictions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter, StrMethodFormatter
from scipy import stats

from . import style
from .arrays import to_image, to_numpy
from .canvas import CourseFigure, Words, figure, finish
from .style import SERIES, format_percent


def _as_percent(*axes: Axis) -> None:
    """Label axes of fractions in per cent."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))


def _named(given: Any) -> dict[str, Any]:
    """Return what is to be drawn by name; a single thing gets an empty name."""
    named = dict(given) if isinstance(given, Mapping) else {"": given}
    if not named:
        raise ValueError("there is nothing to draw: the mapping is empty")
    return named


# ---------------------------------------------------------------------------- curves


def _plot_lines(
    lines: Mapping[str, tuple[Any, Any]], xlabel: str, ylabel: str, *, median: bool = False,
    what: str = "runs", faded: Sequence[str] = (), log: str = "", percent: str = "",
    reference: tuple[float | None, str] = (None, ""), bars: bool = False, **words: Unpack[Words]
) -> CourseFigure:  # fmt: skip
    """Draw lines (x, runs) with their bands and names on axes that are logarithmic or in %."""
    fig, axes = figure(height=4.8)
    axes.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
    ends, said, most = [], [], 1
    for index, (name, (x, values)) in enumerate(_named(lines).items()):
        x, runs = to_numpy(x).astype(float).ravel(), np.atleast_2d(to_numpy(values).astype(float))
        table = pd.DataFrame(runs, columns=x).melt(var_name="x", value_name="y")
        middle = np.median(runs, axis=0) if median else runs.mean(axis=0)
        if not np.isfinite(runs).all() or ("y" in log and middle.min() <= 0):
            raise ValueError(f"{name!r}: expected finite values, positive on a logarithmic axis")
        color = style.CONTROL if name in faded else SERIES[index % len(SERIES)]
        # mean ± the t quantile times the standard error is Student's interval
        band = ("pi", 50) if median else ("se", stats.t.ppf(0.975, max(len(runs) - 1, 1)))
        sns.lineplot(
            table, x="x", y="y", ax=axes, color=color, ls="--" if name in faded else "-",
            estimator="median" if median else "mean", errorbar=band if len(runs) > 2 else None,
            err_style="bars" if bars else "band",
            marker=style.MARKERS[index % len(style.MARKERS)] if len(x) < 20 else None,
        )  # fmt: skip
        ends.append((x[-1], middle[-1], name, color))
        first, last = (style.format_number(middle[place], 2) for place in (0, -1))
        said.append(f"{name} {first} at {x[0]:g}, {last} at {x[-1]:g}")
        most = max(most, len(runs))
    axes.set(xlabel=xlabel, ylabel=style.wrap(ylabel, 3.6, style.SIZE_TEXT))
    if "x" in log:
        gaps = np.diff(np.log10(x))
        axes.xaxis.set_minor_formatter("")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        if len(x) < 12 and (gaps > 0.07 * gaps.sum()).all():
            axes.xaxis.set_major_locator(FixedLocator(x))
    for axis in percent:
        getattr(axes, f"{axis}axis").set_major_formatter(lambda value, _: f"{100 * value:.6g} %")
    if reference[0] is not None:
        place = {"xycoords": ("axes fraction", "data"), "va": "bottom", "color": style.MUTED}
        axes.axhline(reference[0], color=style.MUTED, lw=1.2, ls="--", zorder=1)
        axes.annotate(reference[1], (0.01, reference[0]), fontsize=10, **place)
    _label_ends(axes, ends)
    note, drawn = " Grey: for comparison." if faded else "", "whiskers" if bars else "bands"
    if most > 2:
        band = "the middle half of them" if median else "its 95 % interval (Student's t)"
        note = f"Lines: {'median' if median else 'mean'} over {most} {what}; {drawn}: {band}.{note}"
    return finish(fig, f"{ylabel} against {xlabel}: {'; '.join(said)}.", note.strip(), **words)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write (x, y, name, colour) at the right ends of lines, pushed apart where they overlap."""
    axes.figure.draw_without_rendering()  # settles limits and the height of the axes
    names = [style.wrap(name, 1.9, style.SIZE_TEXT) for _, _, name, _ in ends]
    y = axes.transAxes.inverted().transform([axes.transData.transform(end[:2]) for end in ends])
    y, order = y[:, 1], np.argsort(y[:, 1], kind="stable")
    inches = axes.get_window_extent().height / axes.figure.dpi
    tall = np.array([style.height_of(names[i], style.SIZE_TEXT) for i in order]) / inches
    for _ in range(500):
        push = np.clip((tall[:-1] + tall[1:]) / 2 - np.diff(y[order]), 0, None) / 2
        y[order[:-1]] -= push
        y[order[1:]] += push
    for (*end, _, color), name, place in zip(ends, names, y, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "shrinkA": 0, "shrinkB": 4}
        kind = {"textcoords": "axes fraction", "va": "center", "annotation_clip": False}
        at = (1.04, place + max(0, tall[0] / 2 - y.min()))
        axes.annotate(name, end, at, color=color, weight="bold", arrowprops=arrow, **kind)


def plot_convergence(
    results: Mapping[str, tuple[Any, Any]], *, tolerance: float | None = None,
    highlight: Sequence[str] = (), xlabel: str = "gradient evaluations",
    ylabel: str = "completeness error, share of score difference", what: str = "photographs",
    **words: Unpack[Words]
) -> CourseFigure:  # fmt: skip
    """Show how errors fall with the number of gradient evaluations, on logarithmic axes.

    Parameters
    ----------
    results : mapping of name to (n_evaluations, errors)
        n_evaluations (n,); errors (n,) or (runs, n), positive. Lines are medians over runs, bands
        hold the middle half of them.
    tolerance : float, optional
        Drawn as a horizontal line.
    highlight : sequence of str, optional
        Names that stay in colour while the others turn grey.
    xlabel, ylabel, what : str
        Axis labels, and what the runs are.
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If shapes do not fit, or a value has no place on a logarithmic axis.
    """
    faded = [name for name in results if highlight and name not in highlight]
    line = (tolerance, f"{100 * (tolerance or 0):g} % error")
    return _plot_lines(
        results, xlabel, ylabel, median=True, what=what, faded=faded, log="xy", percent="y",
        reference=line, **words,
    )  # fmt: skip


def plot_curves(
    x: Any, curves: Mapping[str, Any], *, xlabel: str, ylabel: str,
    band: Literal["mean95", "quartiles"] = "mean95", controls: Sequence[str] = (),
    percent: bool = False, **words: Unpack[Words]
) -> CourseFigure:  # fmt: skip
    """Show curves over runs with a band, for deletion and insertion.

    Parameters
    ----------
    x : (n,)
    curves : mapping of name to (n,) or (runs, n)
    xlabel, ylabel : str
    band : "mean95" or "quartiles"
        Mean with its 95 % interval (Student's t), or median with the middle half of the runs.
    controls : sequence of str
        Names drawn in grey and dashed: what a method must beat.
    percent : bool
        Axes are fractions to be read as per cent.
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If shapes do not fit or values are not finite.
    """
    lines = {name: (x, values) for name, values in curves.items()}
    kind = {"median": {"mean95": False, "quartiles": True}[band], "percent": "xy" * percent}
    return _plot_lines(lines, xlabel, ylabel, faded=controls, **kind, **words)


def plot_accuracy_by_size(
    sizes: Any, accuracies: Mapping[str, Any], *, chance: float | None = None,
    xlabel: str = "training pictures", **words: Unpack[Words]
) -> CourseFigure:  # fmt: skip
    """Show accuracy against the number of training pictures, on a logarithmic axis.

    Parameters
    ----------
    sizes : (n,)
        Numbers of training pictures.
    accuracies : mapping of name to (n,) or (seeds, n)
        Fractions. Every run is a dot, the line their mean; from three seeds on, whiskers are the
        mean's 95 % interval (Student's t).
    chance : float, optional
        Accuracy of guessing, drawn as a line.
    xlabel : str
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If shapes do not fit, sizes are not positive, or an accuracy is not a fraction.
    """
    lines = {name: (sizes, values) for name, values in accuracies.items()}
    return _plot_lines(
        lines, xlabel, "accuracy on test pictures", what="seeds", log="x", percent="y", bars=True,
        reference=(chance, "guessing"), **words,
    )  # fmt: skip


def plot_history(histories: Any, **words: Unpack[Words]) -> CourseFigure:
    """Show loss and accuracy over the epochs, on training and on validation pictures.

    Parameters
    ----------
    histories : History, or mapping of name to History
        From ``cu.fit`` or ``cu.fit_head``.
    **words
        title, caption, alt, display: see `Words`.

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
                marker = "o" if len(values) == 1 else None
                axes.plot(range(1, len(values) + 1), values, line, color=color, marker=marker)
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


def _draw_interval(
    axes: Axes, y: float, value: float, low: float, high: float, text: str, color: str, fill: str
) -> None:
    """Draw a value with its interval as a row, and the value in words at the right."""
    axes.plot([low, high], [y, y], color=color, linewidth=2.6)
    axes.plot(value, y, "o", ms=8.5, mew=2, mec=color, mfc=fill)
    place = {"xycoords": ("axes fraction", "data"), "va": "center"}
    axes.annotate(text, (1.015, y), color=color, weight="bold", **place)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name rows at the left, the first at the top, without an axis line."""
    names = [style.wrap(name, 2.6, style.SIZE_TEXT) for name in names]
    axes.set_yticks(range(len(names)), labels=names, fontsize=style.SIZE_TEXT)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def plot_intervals(
    labels: Sequence[str], values: Any, lows: Any, highs: Any, *, quantity: str,
    controls: Sequence[str] = (), better: Literal["higher", "lower"] | None = None,
    reference: tuple[float, str] | None = None, percent: bool = False,
    interval: str = "95 % interval", **words: Unpack[Words]
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
    interval : str
        What the whiskers are.
    **words
        title, caption, alt, display: see `Words`.

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
        _draw_interval(axes, y, *ends, number(ends[0]), color, fill)
        value, low, high = map(number, ends)
        said.append(f"{label} {value} ({low} to {high})".replace(" (nan to nan)", ""))
    _name_rows(axes, [row[0] for row in rows])
    direction = {"higher": "  (higher is better →)", "lower": "  (← lower is better)"}
    axes.set_xlabel(style.wrap(quantity + direction.get(better or "", ""), 6, style.SIZE_TEXT))
    _as_percent(*([axes.xaxis] if percent else []))
    if reference is not None:
        place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        axes.axvline(reference[0], color=style.MUTED, lw=1.2, ls="--", zorder=0)
        axes.annotate(reference[1], (reference[0], 1), color=style.MUTED, fontsize=10, **place)
    note = f"Dots: measured value; whiskers: {interval}."
    if np.isnan([row[2:] for row in rows]).any():
        note += " No whisker: too few pictures for one."
    note += " Hollow and grey: controls that look at no network." if controls else ""
    return finish(fig, f"{quantity} with {interval}: {'; '.join(said)}.", note, **words)


def plot_parts(
    tables: Mapping[str, Any],
    *,
    quantity: str = "share of the map inside the part",
    **words: Unpack[Words],
) -> CourseFigure:
    """Show how much of the maps each part gets, over a bar as long as the part is large.

    Parameters
    ----------
    tables : mapping of method to rows
        From ``evaluation.part_table``; every method with the same parts in the same order.
    quantity : str
        The axis label.
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If there are no rows, or the methods' parts differ.
    """
    lists = {name: [row.part for row in table] for name, table in tables.items()}
    parts, step, said = next(iter(lists.values()), []), 0.8 / max(len(tables), 1), []
    if not parts or any(names != parts for names in lists.values()):
        raise ValueError(f"expected rows of the same parts for every method, got {lists}")
    fig, axes = figure(height=1.2 + (0.16 + 0.27 * len(tables)) * len(parts))
    for place, rows in enumerate(zip(*tables.values(), strict=True)):
        axes.barh(place, rows[0].area, height=0.8, color=style.FAINT)
        said.append(f"{rows[0].part}, {format_percent(rows[0].area)} of the picture:")
        for index, (name, row) in enumerate(zip(tables, rows, strict=True)):
            color, ends = (
                SERIES[index % len(SERIES)],
                (row.share.value, row.share.low, row.share.high),
            )
            text = f"{style.format_number(row.ratio.value, 2)} ×"
            y = place - 0.4 + step * (index + 0.5)
            _draw_interval(axes, y, *ends, text, color, color)
            said.append(f"{name} {format_percent(row.share.value)};")
    _name_rows(axes, parts)
    for index, name in enumerate(tables):
        axes.plot([], "o-", color=SERIES[index % len(SERIES)], label=name)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    axes.set(xlim=(0, None), xlabel=quantity)
    _as_percent(axes.xaxis)
    note = "Dots: mean over the images that show the part; whiskers: 95 % interval; grey bars: "
    note += "share of the picture that the part covers, which is chance. Right: dot / bar."
    return finish(fig, f"{quantity}. {' '.join(said)}", note, **words)


# ---------------------------------------------------------------------------- classifiers


def _heat_map(axes: Axes, shares: pd.DataFrame, texts: Any, title: str) -> None:
    """Draw a table of shares with a text in each cell, white at 0 and dark at 100 %."""
    size = min(style.SIZE_TEXT, 110 / len(shares))
    sns.heatmap(
        shares, annot=texts, fmt="", cmap=style.UNSIGNED, vmin=0, vmax=1, cbar=False, ax=axes,
        annot_kws={"fontsize": size}, xticklabels=True, yticklabels=True,
    )  # fmt: skip
    for text, share in zip(axes.texts, shares.to_numpy().ravel(), strict=False):
        text.set_color(style.INK if share < 0.58 else style.PAPER)
    axes.set_title(style.wrap(title, 4, style.SIZE_PANEL))
    axes.tick_params(length=0, labelrotation=0)
    if len(shares.columns) > 4:
        axes.tick_params(axis="x", labelrotation=90)


def plot_confusion(
    evaluations: Any, classes: Sequence[str] | None = None, **words: Unpack[Words]
) -> CourseFigure:
    """Show which class is taken for which: counts, and the share of the true class.

    Parameters
    ----------
    evaluations : Evaluation or matrix, or mapping of name to one
        From ``cu.evaluate``, or whole numbers (classes, classes): row true, column predicted.
        Several stand side by side, on one colour scale from 0 to 100 %.
    classes : sequence of str, optional
        Class names, for matrices.
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If a matrix is not square, or has another number of classes than there are names.
    """
    found, said = _named(evaluations), ["Confusion matrix."]
    side = 5.6 if len(found) == 1 else style.WIDTH / len(found)
    width = side * len(found) + (len(found) == 1)
    fig, panels = figure(len(found), width=width, height=side + 0.6, sharey=True, squeeze=False)
    for axes, (name, given) in zip(panels[0], found.items(), strict=True):
        names = getattr(given, "classes", classes)
        table = pd.DataFrame(to_numpy(getattr(given, "confusion", given)), names, names)
        right = np.trace(table) / max(table.to_numpy().sum(), 1)
        shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
        title = f"{name}: {format_percent(right)}" if name else ""
        _heat_map(axes, shares, table.map("{:,}".format) if len(table) < 40 else None, title)
        axes.set(xlabel="predicted class", aspect="equal")
        said.append(f"{name} {format_percent(right)} of {table.to_numpy().sum():,} pictures right.")
    panels[0, 0].set_ylabel("true class")
    note = "Cells: number of pictures; colour: share of the row's true class (white 0 %, dark "
    return finish(fig, " ".join(said), f"{note}100 %). The diagonal is right.", **words)


def plot_scores(evaluations: Any, **words: Unpack[Words]) -> CourseFigure:
    """Show precision, recall and F1 of every class, and their macro average.

    Parameters
    ----------
    evaluations : Evaluation, or mapping of name to Evaluation
        From ``cu.evaluate``; all of the same classes.
    **words
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If the evaluations' classes differ.
    """
    found, said = _named(evaluations), ["Precision, recall and F1."]
    fig, panels = figure(len(found), width=min(5.2 * len(found), style.WIDTH), squeeze=False)
    for axes, (name, given) in zip(panels[0], found.items(), strict=True):
        names = [f"{label} (n = {n:,})" for label, n in given.report["support"].items()]
        texts = given.report[["precision", "recall", "f1"]].set_axis(names).map(format_percent)
        _heat_map(axes, given.report[texts.columns].set_axis(names), texts, name)
        said += [f"{name} {label}: {', '.join(row)}." for label, *row in texts.itertuples()]
    note = "Precision: of those called so, the share that is right. Recall: of those that are so, "
    note += "the share that is found. F1: the harmonic mean of the two."
    return finish(fig, " ".join(said), note, **words)


def plot_calibration(evaluations: Any, *, bins: int = 10, **words: Unpack[Words]) -> CourseFigure:
    """Show whether confidence can be trusted: a reliability diagram over the number of pictures.

    Guo et al. 2017: On calibration of modern neural networks, figure 1.

    Parameters
    ----------
    evaluations : Evaluation, or mapping of name to Evaluation
        From ``cu.evaluate``. Several stand side by side.
    bins : int
        Of equal width from 0 to 1.
    **words
        title, caption, alt, display: see `Words`.
    """
    found, said = _named(evaluations), ["Reliability diagram."]
    grid = {"sharex": True, "sharey": "row", "squeeze": False, "height_ratios": [3, 1]}
    width = max(style.WIDTH / 2 * len(found), 5.6)
    fig, panels = figure(len(found), 2, width=width, height=5.3, **grid)
    for (upper, lower), (name, given) in zip(panels.T, found.items(), strict=True):
        bars = given.calibration(bins)
        upper.plot([0, 1], [0, 1], "--", color=style.MUTED, linewidth=1.2)
        for x, y, n in zip(bars.confidence, bars.accuracy, bars.count, strict=True):
            if n:
                ends = stats.binomtest(round(y * n), int(n)).proportion_ci(method="wilson")
                upper.plot([x, x], [ends.low, ends.high], color=SERIES[0], alpha=0.45)
                upper.plot([x, x], [x, y], color=SERIES[1], linewidth=5, solid_capstyle="butt")
        upper.plot(bars.confidence, bars.accuracy, "o", color=SERIES[0], markersize=7.5)
        lower.bar(bars.edges[:-1], bars.count, np.diff(bars.edges), align="edge", color=style.FAINT)
        said.append(f"{name} calibration error {format_percent(bars.ece)}".strip())
        upper.set(xlim=(0, 1), ylim=(-0.03, 1.03), title=said[-1], ylabel="share that is right")
        lower.set(xlabel="confidence in the predicted class", ylabel="pictures")
        _as_percent(upper.yaxis, lower.xaxis)
    note = "Each dot is a bin of confidence. On the dashed line confidence is as high as accuracy; "
    note += "below it the network is too sure (orange: the gap). Whiskers: 95 % interval (Wilson)."
    return finish(fig, " ".join(said), note, **words)


def plot_predictions(
    images: Any, predictions: Sequence[Any], *, k: int = 3, ncols: int | None = None,
    **words: Unpack[Words]
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
        title, caption, alt, display: see `Words`.

    Raises
    ------
    ValueError
        If there are not as many predictions as images.
    """
    images = images if isinstance(images, Mapping) else dict(enumerate(images, start=1))
    cards = list(zip(images.items(), predictions, strict=True))
    nrows = -(-len(cards) // min(ncols or 4, 4))
    ncols, said = -(-len(cards) // nrows), []
    side = min(style.WIDTH / ncols - 0.3, 3.0)
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
            share, weight = format_percent(guess.probability), "normal" if place else "bold"
            label, *rest = style.wrap(guess.label, side - 0.9, 11).split("\n")
            bars.barh(place, 1, 0.22, color=style.TRACK)
            bars.barh(place, guess.probability, 0.22, color=SERIES[0])
            kind = {"fontsize": 10.5, "weight": weight, "va": "bottom"}
            bars.text(0, place - 0.14, f"{label} …" if rest else label, **kind)
            bars.text(1, place - 0.14, share, ha="right", **kind)
            said.append(f"{name}: {guess.label} {share}.")
    return finish(fig, f"Likeliest classes. {' '.join(said)}", **words)
