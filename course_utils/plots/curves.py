"""Curves and measurements: along the path, errors against work, intervals with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from . import style
from .arrays import to_image, to_numpy
from .canvas import CourseFigure, figure, finish


def saturation_point(alphas: Any, derivatives: Any, fraction: float = 0.9) -> float:
    """Return the first α at which `fraction` of the path integral has been collected.

    Parameters
    ----------
    alphas : (n,)
        Increasing positions on the path.
    derivatives : (n,)
        Directional derivative of the output at these, (x − x′) · ∇F.
    fraction : float
        Of the whole integral, in (0, 1).

    Returns
    -------
    float
        Between two nodes by linear interpolation of the cumulative trapezoid rule. NaN if the
        integral is zero.
    """
    alphas, derivatives = _path(alphas, derivatives)
    collected = _cumulative(alphas, derivatives)
    if collected[-1] == 0:
        return float("nan")
    share = collected / collected[-1]
    after = int(np.argmax(share >= fraction))
    if after == 0:
        return float(alphas[0])
    low, high = share[after - 1], share[after]
    step = alphas[after] - alphas[after - 1]
    return float(alphas[after - 1] + step * (fraction - low) / (high - low))


def _cumulative(alphas: NDArray, derivatives: NDArray) -> NDArray:
    pieces = np.diff(alphas) * (derivatives[1:] + derivatives[:-1]) / 2
    return np.concatenate([[0.0], np.cumsum(pieces)])


def _path(alphas: Any, derivatives: Any) -> tuple[NDArray, NDArray]:
    alphas = to_numpy(alphas).astype(float).ravel()
    derivatives = to_numpy(derivatives).astype(float).ravel()
    if len(alphas) != len(derivatives) or len(alphas) < 2:
        raise ValueError(
            f"expected as many derivatives as alphas, at least 2; got {len(derivatives)} and "
            f"{len(alphas)}"
        )
    if not (np.isfinite(alphas).all() and np.isfinite(derivatives).all()):
        raise ValueError("alphas or derivatives hold NaN or infinite values")
    order = np.argsort(alphas)
    return alphas[order], derivatives[order]


def plot_path(
    alphas: Any,
    logits: Any,
    derivatives: Any,
    *,
    probabilities: Any = None,
    target: str = "target class",
    fraction: float = 0.9,
    images: Mapping[float, Any] | None = None,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show the output along the path from baseline to photograph, and its derivative below.

    The shaded area is the integral, which completeness says is the change of the output. A line
    marks where `fraction` of it has been collected: to the right of it the output saturates.

    Parameters
    ----------
    alphas : (n,)
        Positions on the path in [0, 1].
    logits, derivatives : (n,)
        F and (x − x′) · ∇F there.
    probabilities : (n,), optional
        Softmax probabilities, drawn beside the logits on a second axis.
    target : str
        Name of the explained class.
    fraction : float
        What counts as saturated, see `saturation_point`.
    images : mapping of α to picture, optional
        Shown as a strip above the curves.
    title, caption, alt, display
        As in `show_grid`.
    """
    order = np.argsort(to_numpy(alphas).ravel())
    logits = to_numpy(logits).astype(float).ravel()[order]
    alphas, derivatives = _path(alphas, derivatives)
    if len(logits) != len(alphas):
        raise ValueError(f"{len(logits)} logits but {len(alphas)} alphas")
    strip = bool(images)
    heights = [*([0.62] if strip else []), 1.0, 1.0]
    fig, axes = figure(
        1, len(heights), width=8.6, height=5.2 + 1.5 * strip, title=title, height_ratios=heights
    )
    if strip:
        _draw_strip(axes[0], images)
    upper, lower = axes[-2:]
    upper.plot(alphas, logits, color=style.INK)
    upper.set_ylabel("logit")
    upper.set_title(f"Output along the path: logit of “{target}”", pad=8)
    if probabilities is not None:
        _draw_probability(upper, alphas, to_numpy(probabilities).astype(float).ravel()[order])
    _draw_derivative(lower, alphas, derivatives)
    point = saturation_point(alphas, derivatives, fraction)
    if np.isfinite(point):
        _mark_saturation(upper, lower, point, fraction)
    for one in (upper, lower):
        one.set_xlim(0, 1)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("α: from the baseline (0) to the photograph (1)")
    area = _cumulative(alphas, derivatives)[-1]
    words = (
        f"{title + '. ' if title else ''}Two curves over α from 0 to 1. The logit of {target} goes "
        f"from {style.format_number(logits[0])} to {style.format_number(logits[-1])}; its "
        f"derivative along the path encloses an area of {style.format_number(area)}, of which "
        f"{100 * fraction:.0f} % is collected by α = {point:.2f}."
    )
    return finish(fig, alt, words, caption, display)


def _draw_strip(axes: Axes, images: Mapping[float, Any]) -> None:
    """Draw pictures along the path, each centred as near to its α as they fit without overlap."""
    axes.set_axis_off()
    for alpha, image in images.items():
        width = 1 / max(len(images), 5) * 0.94
        left = alpha * (1 - width)
        inset = axes.inset_axes([left, 0.0, width, 0.86])
        inset.imshow(to_image(image))
        inset.set_axis_off()
        inset.set_title(f"α = {alpha:g}", fontsize=style.SIZE_NOTE, loc="center", pad=3,
                        fontweight="normal")  # fmt: skip


def _draw_probability(axes: Axes, alphas: NDArray, probabilities: NDArray) -> None:
    """Draw probabilities on a second axis, named at its axis and not in a legend."""
    if len(probabilities) != len(alphas):
        raise ValueError(f"{len(probabilities)} probabilities but {len(alphas)} alphas")
    twin = axes.twinx()
    twin.plot(alphas, probabilities, color=style.MAGNITUDE, linestyle=(0, (4, 2)))
    twin.set_ylim(-0.03, 1.03)
    twin.set_ylabel("probability (dashed)", color=style.MAGNITUDE)
    twin.tick_params(axis="y", labelcolor=style.MAGNITUDE, color=style.MAGNITUDE)
    twin.spines["right"].set(visible=True, color=style.MAGNITUDE)
    twin.grid(visible=False)


def _draw_derivative(axes: Axes, alphas: NDArray, derivatives: NDArray) -> None:
    """Draw the derivative with the area under it in the colours of the signs."""
    for above, color in ((True, style.POSITIVE), (False, style.NEGATIVE)):
        part = derivatives >= 0 if above else derivatives <= 0
        axes.fill_between(
            alphas, derivatives, where=part, interpolate=True, color=color, alpha=0.28, linewidth=0
        )
    axes.plot(alphas, derivatives, color=style.INK)
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.set_ylabel("slope per unit α")
    area = style.format_number(_cumulative(alphas, derivatives)[-1])
    axes.set_title(f"Derivative along the path: shaded area = {area}", pad=8)


def _mark_saturation(upper: Axes, lower: Axes, point: float, fraction: float) -> None:
    """Mark where `fraction` of the integral has been collected."""
    for axes in (upper, lower):
        axes.axvspan(point, 1, color=style.TRACK, alpha=0.65, linewidth=0, zorder=0)
        axes.axvline(point, color=style.MUTED, linewidth=1.2, linestyle=(0, (2, 2)))
    text = f"{100 * fraction:.0f} % of the area\nleft of α = {point:.2f}"
    right = point < 0.66
    lower.annotate(
        text, (point, 0.94), xycoords=("data", "axes fraction"),
        xytext=(7 if right else -7, 0), textcoords="offset points", va="top",
        ha="left" if right else "right", fontsize=style.SIZE_NOTE, color=style.INK,
    )  # fmt: skip


# --------------------------------------------------------------------------- error against work


def plot_convergence(
    results: Mapping[str, tuple[Any, Any]],
    *,
    tolerance: float | None = None,
    highlight: Sequence[str] = (),
    slopes: Sequence[float] = (),
    xlabel: str = "gradient evaluations",
    ylabel: str = "completeness error / score difference",
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
    ends, words = [], []
    runs = 1
    for index, (name, (counts, errors)) in enumerate(results.items()):
        counts, errors = _errors(name, counts, errors)
        runs = max(runs, len(errors))
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
    _tidy_log_axes(axes)
    if tolerance is not None:
        _draw_tolerance(axes, tolerance)
    _draw_slopes(axes, slopes)
    label_line_ends(axes, ends)
    if runs > 2:
        note = f"Lines: median over {runs} {what}; bands: the middle half of them."
        caption = f"{note} {caption}" if caption else note
    automatic = f"{title + '. ' if title else ''}Log-log plot of {ylabel} against {xlabel}. "
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


def _tidy_log_axes(axes: Axes) -> None:
    """Plain numbers on logarithmic axes."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
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
    spread = _spread(places, pitch)
    for (x, y, text, color), place in zip(ends, spread, strict=True):
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            text, (x, y), xytext=(1.025, place), textcoords="axes fraction", va="center",
            fontsize=size, color=color, fontweight="bold", arrowprops=arrow, annotation_clip=False,
        )  # fmt: skip


def _spread(places: Sequence[float], pitch: float) -> NDArray:
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
        Names drawn in grey and dashed: what a method must beat.
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
    for index, (name, values) in enumerate(curves.items()):
        _, values = _rows(name, x, values)
        runs = max(runs, len(values))
        middle, low, high = _middle_and_band(values, band)
        control = name in controls
        color = "#8b95a1" if control else style.SERIES[index % len(style.SERIES)]
        if len(values) > 2:
            axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(x, middle, color=color, linestyle=(0, (4, 2)) if control else "-")
        mean_height = float(np.trapezoid(middle, x) / (x[-1] - x[0]))
        text = f"{name} ({style.format_number(mean_height, 2)})" if area else name
        ends.append((x[-1], middle[-1], text, color))
        words.append(
            f"{name} goes from {style.format_number(middle[0], 2)} to "
            f"{style.format_number(middle[-1], 2)}, on average {style.format_number(mean_height, 2)}"
        )
    axes.set_xlim(x[0], x[-1])
    if percent:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    label_line_ends(axes, ends)
    if runs > 2:
        kinds = {
            "mean95": f"Lines: mean over {runs} runs; bands: its 95 % interval.",
            "quartiles": f"Lines: median over {runs} runs; bands: the middle half of them.",
        }
        note = kinds[band] + (" In brackets: mean height of the curve." if area else "")
        caption = f"{note} {caption}" if caption else note
    automatic = f"{title + '. ' if title else ''}Curves of {ylabel} against {xlabel}: "
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
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    if reference is not None:
        _draw_reference(axes, *reference)
    note = f"Dots: measured value; whiskers: {interval}."
    note += " Hollow and grey: controls that look at no network." if controls else ""
    parts = [
        f"{label} {number(value)} ({number(low)} to {number(high)})"
        + (", a control" if label in controls else "")
        for label, value, low, high in zip(labels, values, lows, highs, strict=True)
    ]
    automatic = f"{title + '. ' if title else ''}{quantity} with {interval}: {'; '.join(parts)}."
    return finish(fig, alt, automatic, f"{note} {caption}" if caption else note, display)


def _draw_reference(axes: Axes, value: float, text: str) -> None:
    axes.axvline(value, color=style.MUTED, linewidth=1.1, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
        textcoords="offset points", ha="center", va="bottom",
        fontsize=style.SIZE_NOTE, color=style.MUTED,
    )  # fmt: skip
