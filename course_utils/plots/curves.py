"""Curves and measurements: errors against work, curves over runs, intervals with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from . import style
from .arrays import to_numpy
from .canvas import CourseFigure, figure, finish, percent_axis


def plot_convergence(
    results: Mapping[str, tuple[Any, Any]],
    *,
    tolerance: float | None = None,
    highlight: Sequence[str] = (),
    slopes: Sequence[float] = (),
    xlabel: str = "gradient evaluations",
    ylabel: str = "completeness error, share of score difference",
    what: str = "photographs",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show how errors fall with the number of gradient evaluations, on logarithmic axes.

    Parameters
    ----------
    results : mapping of name to (n_evaluations, errors)
        n_evaluations (n,); errors (n,) or (runs, n), not negative. Lines are medians over runs,
        bands hold the middle half of them. Zero errors cannot be drawn on a logarithmic axis and
        raise.
    tolerance : float, optional
        Drawn as a horizontal line.
    highlight : sequence of str, optional
        Names that stay in colour while the others turn grey.
    slopes : sequence of float, optional
        Reference lines error ∝ n^−slope.
    xlabel, ylabel, what : str
        Axis labels, and what the runs are.
    title, caption, alt, display
        As in `show_grid`.
    """
    fig, axes = figure(width=9.2, height=5.0, title=title)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ends, words, all_counts, runs = [], [], set(), 1
    for index, (name, (counts, errors)) in enumerate(results.items()):
        counts, errors = _errors(name, counts, errors)
        runs = max(runs, len(errors))
        all_counts.update(counts)
        faded = bool(highlight) and name not in highlight
        color = "#9aa3ae" if faded else style.SERIES[index % len(style.SERIES)]
        median = np.median(errors, axis=0)
        if len(errors) > 2:
            low, high = np.percentile(errors, [25, 75], axis=0)
            axes.fill_between(counts, low, high, color=color, alpha=0.13, linewidth=0)
        marker = style.MARKERS[index % len(style.MARKERS)]
        axes.plot(counts, median, color=color, marker=marker, zorder=2 if faded else 3)
        ends.append((counts[-1], median[-1], name, color))
        words.append(
            f"{name}: {style.format_number(median[0], 2)} at {counts[0]:.0f}, "
            f"{style.format_number(median[-1], 2)} at {counts[-1]:.0f}"
        )
    _tidy_log_axes(axes, sorted(all_counts))
    if tolerance is not None:
        _draw_tolerance(axes, tolerance)
    _draw_slopes(axes, slopes)
    label_line_ends(axes, ends)
    if runs > 2:
        note = f"Lines: median over {runs} {what}; bands: the middle half of them."
        caption = f"{note} {caption}" if caption else note
    automatic = f"{style.sentence(title)} Log-log plot of {ylabel} against {xlabel}. "
    return finish(fig, alt, automatic + "; ".join(words) + ".", caption, display)


def _errors(name: str, counts: Any, errors: Any) -> tuple[NDArray, NDArray]:
    """Check one line's numbers; errors become (runs, n)."""
    counts = to_numpy(counts).astype(float).ravel()
    errors = np.atleast_2d(to_numpy(errors).astype(float))
    if errors.shape[1] != len(counts):
        raise ValueError(
            f"{name!r}: {len(counts)} numbers of evaluations but errors of shape {errors.shape}; "
            "expected (n,) or (runs, n)"
        )
    if not np.isfinite(errors).all() or (errors < 0).any() or (counts <= 0).any():
        raise ValueError(f"{name!r}: errors must be finite and not negative, counts positive")
    if (np.median(errors, axis=0) == 0).any():
        raise ValueError(f"{name!r}: an error of exactly zero has no place on a logarithmic axis")
    return counts, errors


def _tidy_log_axes(axes: Axes, counts: Sequence[float]) -> None:
    """Plain numbers on logarithmic axes; the counts themselves where they have room."""
    ratios = np.diff(np.log10(counts))
    if 1 < len(counts) <= 12 and ratios.min() > 0.12 * ratios.sum() / 2:
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    if high < 60 * low:  # less than two decades: powers of ten alone would leave one label
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain_percent(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain_percent(value: float) -> str:
    """Return 0.001 as "0.1 %"."""
    return f"{100 * value:.6f}".rstrip("0").rstrip(".") + " %"


def _draw_tolerance(axes: Axes, tolerance: float) -> None:
    axes.axhline(tolerance, color=style.INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    axes.annotate(
        f"{_plain_percent(tolerance)} error", (0.005, tolerance),
        xycoords=("axes fraction", "data"), xytext=(2, 3), textcoords="offset points",
        fontsize=style.SIZE_NOTE, color=style.INK, va="bottom",
    )  # fmt: skip


def _draw_slopes(axes: Axes, slopes: Sequence[float]) -> None:
    """Draw reference lines through the upper right of the data, labelled with their order."""
    if not slopes:
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for slope in slopes:
        x = np.array([left * (right / left) ** 0.55, left * (right / left) ** 0.8])
        y = top * 0.75 * (x / x[0]) ** -slope
        axes.plot(x, y, color=style.MUTED, linewidth=1.2, linestyle=(0, (1, 1.5)))
        axes.annotate(
            f"error ∝ 1/n{'' if slope == 1 else _superscript(slope)}", (x[-1], y[-1]),
            xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=style.SIZE_NOTE, color=style.MUTED,
        )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _superscript(number: float) -> str:
    return f"{number:g}".translate(str.maketrans("0123456789.", "⁰¹²³⁴⁵⁶⁷⁸⁹·"))


def label_line_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names at the right ends of lines, pushed apart where they would overlap.

    Parameters
    ----------
    axes : Axes
        With its final limits and scales.
    ends : sequence of (x, y, text, colour)
    """
    axes.figure.draw_without_rendering()  # settles limits and the height of the axes
    size = style.SIZE_TEXT
    height = axes.get_window_extent().height
    pitch = size * 1.25 * axes.figure.dpi / 72 / height
    places = [
        axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1]
        for x, y, _, _ in ends
    ]
    free = spread(places, pitch)
    for (x, y, text, color), place in zip(ends, free, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            text, (x, y), xytext=(1.025, place), textcoords="axes fraction", va="center",
            fontsize=size, color=color, fontweight="bold", arrowprops=arrow, annotation_clip=False,
        )  # fmt: skip


def spread(places: Sequence[float], pitch: float) -> NDArray:
    """Move positions apart to at least `pitch`, as little as possible, keeping their order."""
    order = np.argsort(places)
    moved = np.asarray(places, dtype=float)[order]
    blocks: list[list[float]] = []  # [mean of wanted first positions, number of labels]
    for place in moved:
        blocks.append([place, 1])
        while len(blocks) > 1 and blocks[-1][0] < blocks[-2][0] + pitch * blocks[-2][1]:
            start, count = blocks.pop()
            before, number = blocks.pop()
            wanted = (before * number + (start - pitch * number) * count) / (number + count)
            blocks.append([wanted, number + count])
    result = np.empty(len(moved))
    flat = [start + pitch * i for start, count in blocks for i in range(int(count))]
    result[order] = flat
    return result


# --------------------------------------------------------------------------- measurements


def plot_curves(
    x: Any,
    curves: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    band: Literal["mean95", "quartiles"] = "mean95",
    controls: Sequence[str] = (),
    area: bool = False,
    percent: bool = False,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show curves over runs with a band, for deletion and insertion.

    Parameters
    ----------
    x : (n,)
    curves : mapping of name to (n,) or (runs, n)
    xlabel, ylabel : str
    band : "mean95" or "quartiles"
        Mean with its 95 % interval (mean ± 1.96 standard errors), or median with the middle half of
        the runs.
    controls : sequence of str
        Names drawn in grey, each with its own dashes: what a method must beat.
    area : bool
        Write the area under each curve (trapezoid rule, divided by the range of x) at its name.
    percent : bool
        Axes are fractions to be read as per cent.
    title, caption, alt, display
        As in `show_grid`.
    """
    x = to_numpy(x).astype(float).ravel()
    fig, axes = figure(width=9.2, height=4.6, title=title)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    ends, words, runs = [], [], 1
    dashes = cycle([(0, (4, 2)), (0, (1, 1.3)), (0, (6, 2, 1, 2))])
    for index, (name, values) in enumerate(curves.items()):
        _, values = _rows(name, x, values)
        runs = max(runs, len(values))
        middle, low, high = _middle_and_band(values, band)
        control = name in controls
        color = "#8b95a1" if control else style.SERIES[index % len(style.SERIES)]
        if len(values) > 2:
            axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(x, middle, color=color, linestyle=next(dashes) if control else "-")
        mean_height = float(np.trapezoid(middle, x) / (x[-1] - x[0]))
        text = f"{name} ({style.format_number(mean_height, 2)})" if area else name
        ends.append((x[-1], middle[-1], text, color))
        words.append(
            f"{name} goes from {style.format_number(middle[0], 2)} to "
            f"{style.format_number(middle[-1], 2)}, "
            f"on average {style.format_number(mean_height, 2)}"
        )
    axes.set_xlim(x[0], x[-1])
    if percent:
        for axis in (axes.xaxis, axes.yaxis):
            percent_axis(axis)
    label_line_ends(axes, ends)
    if runs > 2:
        kinds = {
            "mean95": f"Lines: mean over {runs} runs; bands: its 95 % interval.",
            "quartiles": f"Lines: median over {runs} runs; bands: the middle half of them.",
        }
        note = kinds[band] + (" In brackets: mean height of the curve." if area else "")
        caption = f"{note} {caption}" if caption else note
    automatic = f"{style.sentence(title)} Curves of {ylabel} against {xlabel}: "
    return finish(fig, alt, automatic + "; ".join(words) + ".", caption, display)


def _rows(name: str, x: NDArray, values: Any) -> tuple[NDArray, NDArray]:
    values = np.atleast_2d(to_numpy(values).astype(float))
    if values.shape[1] != len(x) or not np.isfinite(values).all():
        raise ValueError(
            f"{name!r}: expected finite values of shape ({len(x)},) or (runs, {len(x)}), got "
            f"{values.shape}"
        )
    return x, values


def _middle_and_band(values: NDArray, band: str) -> tuple[NDArray, NDArray, NDArray]:
    if band == "quartiles":
        low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
        return middle, low, high
    if band != "mean95":
        raise ValueError(f"band={band!r}: expected 'mean95' or 'quartiles'")
    middle = values.mean(axis=0)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(middle)
    half = 1.96 * spread / np.sqrt(len(values))
    return middle, middle - half, middle + half


def plot_intervals(
    labels: Sequence[str],
    values: Any,
    lows: Any,
    highs: Any,
    *,
    quantity: str,
    controls: Sequence[str] = (),
    better: Literal["higher", "lower"] | None = None,
    reference: tuple[float, str] | None = None,
    percent: bool = False,
    interval: str = "95 % interval",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show measured values with their intervals, controls in grey: "Measure it" in one picture.

    Parameters
    ----------
    labels : sequence of str
        One for each value, drawn from top to bottom in this order.
    values, lows, highs : (n,)
        Value and the ends of its interval.
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
    title, caption, alt, display
        As in `show_grid`.
    """
    values, lows, highs = (to_numpy(v).astype(float).ravel() for v in (values, lows, highs))
    if not len(labels) == len(values) == len(lows) == len(highs):
        raise ValueError(
            f"{len(labels)} labels, {len(values)} values, {len(lows)} lows, {len(highs)} highs: "
            "expected as many of each"
        )
    if (lows > values).any() or (highs < values).any():
        raise ValueError("an interval does not contain its value: is lows/highs an error instead?")
    unknown = set(controls) - set(labels)
    if unknown:
        raise ValueError(f"controls {sorted(unknown)} are not among the labels {list(labels)}")
    fig, axes = figure(width=8.6, height=1.35 + 0.42 * len(labels), title=title)
    number = style.format_percent if percent else style.format_number
    for place, (label, value, low, high) in enumerate(
        zip(labels, values, lows, highs, strict=True)
    ):
        control = label in controls
        color = "#8b95a1" if control else style.SERIES[0]
        axes.plot([low, high], [place, place], color=color, linewidth=2.6, solid_capstyle="round")
        axes.plot(
            value, place, "o", markersize=9, markeredgewidth=2, markeredgecolor=color,
            color=style.PAPER if control else color,
        )  # fmt: skip
        axes.annotate(
            number(value), (1.01, place), xycoords=("axes fraction", "data"), va="center",
            fontsize=style.SIZE_TEXT, color=style.MUTED if control else style.INK,
            fontweight="normal" if control else "bold",
        )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels=labels, fontsize=style.SIZE_TEXT)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_color(style.MUTED if label in controls else style.INK)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    direction = {"higher": "  (higher is better →)", "lower": "  (← lower is better)"}
    axes.set_xlabel(quantity + direction.get(better or "", ""))
    if percent:
        percent_axis(axes.xaxis)
    if reference is not None:
        _draw_reference(axes, *reference)
    note = f"Dots: measured value; whiskers: {interval}."
    note += " Hollow and grey: controls that look at no network." if controls else ""
    parts = [
        f"{label} {number(value)} ({number(low)} to {number(high)})"
        + (", a control" if label in controls else "")
        for label, value, low, high in zip(labels, values, lows, highs, strict=True)
    ]
    automatic = f"{style.sentence(title)} {quantity} with {interval}: {'; '.join(parts)}."
    return finish(fig, alt, automatic, f"{note} {caption}" if caption else note, display)


def _draw_reference(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=style.MUTED, linewidth=1.1, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
        textcoords="offset points", ha="center", va="bottom",
        fontsize=style.SIZE_NOTE, color=style.MUTED,
    )  # fmt: skip
