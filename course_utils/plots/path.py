"""The path from baseline to photograph: the output along it, its derivative, its saturation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from . import style
from .arrays import to_image, to_numpy
from .canvas import CourseFigure, figure, finish
from .curves import spread


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
    upper, lower = axes[-2:]
    upper.plot(alphas, logits, color=style.INK)
    upper.set_ylabel("logit")
    upper.set_title(f"Logit of “{target}” along the path")
    if probabilities is not None:
        _draw_probability(upper, alphas, to_numpy(probabilities).astype(float).ravel()[order])
    _draw_derivative(lower, alphas, derivatives, logits[-1] - logits[0])
    point = saturation_point(alphas, derivatives, fraction)
    if np.isfinite(point):
        _mark_saturation(upper, lower, point, fraction)
    for one in (upper, lower):
        one.set_xlim(0, 1)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("α: from the baseline (0) to the photograph (1)")
    fig.get_layout_engine().set(h_pad=0.08, hspace=0.0)
    if strip:
        _draw_strip(axes[0], images)
    area = _cumulative(alphas, derivatives)[-1]
    words = (
        f"{style.sentence(title)} Two curves over α from 0 to 1. The logit of {target} goes "
        f"from {style.format_number(logits[0])} to {style.format_number(logits[-1])}; its "
        f"derivative along the path encloses an area of {style.format_number(area)}, of which "
        f"{100 * fraction:.0f} % is collected by α = {point:.2f}."
    )
    return finish(fig, alt, words, caption, display)


def _draw_strip(axes: Axes, images: Mapping[float, Any]) -> None:
    """Draw pictures along the path, each as near to its α as they fit without overlap."""
    axes.set_axis_off()
    axes.figure.draw_without_rendering()  # settles the width and height of the axes
    box = axes.get_window_extent()
    alphas = sorted(images)
    width = min(0.78 * box.height / box.width, 0.97 / len(alphas))
    pitch = width + 0.01
    middles = spread([width / 2 + alpha * (1 - width) for alpha in alphas], pitch)
    middles += max(0, width / 2 - middles[0]) + min(0, 1 - width / 2 - middles[-1])
    for alpha, middle in zip(alphas, middles, strict=True):
        inset = axes.inset_axes([middle - width / 2, 0.06, width, 0.78])
        inset.imshow(to_image(images[alpha]))
        inset.set_axis_off()
        inset.set_title(
            f"α = {alpha:g}", fontsize=style.SIZE_NOTE, loc="center", pad=3, fontweight="normal"
        )


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


def _draw_derivative(axes: Axes, alphas: NDArray, derivatives: NDArray, change: float) -> None:
    """Draw the derivative with the area under it in the colours of the signs."""
    for above, color in ((True, style.POSITIVE), (False, style.NEGATIVE)):
        part = derivatives >= 0 if above else derivatives <= 0
        axes.fill_between(
            alphas, derivatives, where=part, interpolate=True, color=color, alpha=0.28, linewidth=0
        )
    axes.plot(alphas, derivatives, color=style.INK)
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.set_ylabel("d logit / dα")
    area = style.format_number(_cumulative(alphas, derivatives)[-1])
    change_text = style.format_number(change)
    axes.set_title(f"Its derivative: shaded area {area}, change of the logit {change_text}")


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
