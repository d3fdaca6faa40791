"""Training and its result: learning curves, confusion, scores, calibration, mistakes.

What is drawn comes from ``cu.fit`` and ``cu.evaluate``; anything with the same attributes will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from . import style
from .arrays import to_numpy
from .canvas import CourseFigure, figure, finish, percent_axis
from .curves import label_line_ends
from .maps import show_gallery

_DASHES = (0, (4, 2))
#: Up to so many classes a confusion matrix has room for counts and percentages.
_ROOMY = 6
#: Shares below this stand in dark letters on a pale cell.
_PALE = 0.58


def _named(given: Any, one: str) -> dict[str, Any]:
    """Return what is to be drawn by name; a single thing gets the name `one`."""
    named = dict(given) if isinstance(given, Mapping) else {one: given}
    if not named:
        raise ValueError("there is nothing to draw: the mapping is empty")
    return named


# ---------------------------------------------------------------------------- learning curves


def plot_history(
    histories: Any,
    *,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show loss and accuracy over the epochs, on training and on validation pictures.

    Parameters
    ----------
    histories : History, or mapping of name to History
        From ``cu.fit`` or ``cu.fit_head``. Training curves are dashed, validation curves solid; a
        ring marks the best epoch.
    title, caption, alt, display
        As in `show_grid`.

    Raises
    ------
    ValueError
        If a history has no finished epoch.
    """
    histories = _named(histories, "")
    fig, (left, right) = figure(2, height=4.1, title=title)
    words = []
    for index, (name, history) in enumerate(histories.items()):
        if not history.train_loss:
            raise ValueError(
                f"{name or 'the history'}: no finished epoch, so there is nothing to draw"
            )
        color = style.SERIES[index % len(style.SERIES)]
        for axes, what in ((left, "loss"), (right, "accuracy")):
            _draw_history(axes, history, what, color)
        words.append(_describe_history(name, history))
    left.set(xlabel="epoch", title="Loss (cross entropy, nats)")
    right.set(xlabel="epoch", title="Accuracy")
    left.set_ylim(bottom=0)
    percent_axis(right.yaxis)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    _history_legends(left, right, histories)
    note = "Training values are measured while the weights change; validation after each epoch."
    automatic = f"{style.sentence(title)} Learning curves. {' '.join(words)}"
    caption = f"{note} {caption}" if caption else note
    return finish(fig, alt, automatic, caption, display)


def _draw_history(axes: Axes, history: Any, what: str, color: str) -> None:
    train, validation = getattr(history, f"train_{what}"), getattr(history, f"validation_{what}")
    marker = "o" if len(train) == 1 else ""
    axes.plot(
        range(1, len(train) + 1), train, color=color, linestyle=_DASHES, linewidth=1.6,
        marker=marker, markersize=4,
    )  # fmt: skip
    if not validation:
        return
    axes.plot(range(1, len(validation) + 1), validation, color=color)
    best = history.best_epoch
    if best is not None:
        axes.plot(
            best, validation[best - 1], "o", markersize=10, markerfacecolor=style.PAPER,
            markeredgecolor=color, markeredgewidth=2.2, zorder=4,
        )  # fmt: skip


def _history_legends(left: Axes, right: Axes, histories: Mapping[str, Any]) -> None:
    """Kinds of lines beside the loss, names of the runs beside the accuracy."""
    kinds = [Line2D([], [], color=style.MUTED, linestyle=_DASHES, linewidth=1.6, label="training")]
    if any(history.validation_loss for history in histories.values()):
        ring = {"markersize": 9, "markerfacecolor": style.PAPER, "markeredgewidth": 2}
        kinds += [
            Line2D([], [], color=style.MUTED, label="validation"),
            Line2D([], [], color=style.MUTED, marker="o", ls="", label="best epoch", **ring),
        ]
    left.legend(handles=kinds, loc="upper right")
    if any(histories):
        runs = [
            Line2D([], [], color=style.SERIES[i % len(style.SERIES)], label=name)
            for i, name in enumerate(histories)
        ]
        right.legend(handles=runs, loc="lower right")


def _describe_history(name: str, history: Any) -> str:
    count = len(history.train_loss)
    text = f"{name}: " if name else ""
    text += f"{count} epoch{'s' * (count > 1)}"
    text += ", stopped early" if history.stopped_early else ""
    text += (
        f"; training accuracy {style.format_percent(history.train_accuracy[0])} to "
        f"{style.format_percent(history.train_accuracy[-1])}"
    )
    if history.validation_accuracy and history.best_epoch is not None:
        best = style.format_percent(history.validation_accuracy[history.best_epoch - 1])
        text += f"; best validation accuracy {best} in epoch {history.best_epoch}"
    return f"{text}."


# ---------------------------------------------------------------------------- confusion


def plot_confusion(
    evaluations: Any,
    classes: Sequence[str] | None = None,
    *,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show which class is taken for which: counts, and the share of the true class.

    Parameters
    ----------
    evaluations : Evaluation or matrix, or mapping of name to one
        From ``cu.evaluate``, or whole numbers (classes, classes): row true, column predicted.
        Several stand side by side, on one colour scale from 0 to 100 %.
    classes : sequence of str, optional
        Class names, for matrices.
    title, caption, alt, display
        As in `show_grid`.

    Raises
    ------
    ValueError
        If a matrix is not square, or has another number of classes than there are names.
    """
    found = {
        name: _confusion(given, classes) for name, given in _named(evaluations, "").items()
    }  # name -> (matrix, names)
    count = len(found)
    side = min(4.6, (style.WIDTH - 0.4) / count - (1.15 if count == 1 else 0.75))
    width = style.WIDTH if count > 1 else side + 2.2
    crowded = max(len(names) for _, names in found.values()) > _ROOMY
    height = side + 0.75 + 0.3 * any(found) + 0.4 * bool(title) + 0.45 * crowded
    fig, axes = figure(count, width=width, height=height, title=title)
    for place, (panel, (name, (matrix, names))) in enumerate(
        zip(np.atleast_1d(axes), found.items(), strict=True)
    ):
        right = matrix.trace() / max(matrix.sum(), 1)
        heading = f"{name}: {style.format_percent(right)}" if name else ""
        _draw_confusion(panel, matrix, names, heading, side, labelled=place == 0)
    roomy = any(len(names) <= _ROOMY for _, names in found.values())
    share = "share of the row's true class (white 0 %, dark 100 %)"
    note = f"Cells: number of pictures{', and their share' if roomy else ''}; colour: {share}. "
    note += "The diagonal is right."
    words = [_describe_confusion(name, *given) for name, given in found.items()]
    automatic = f"{style.sentence(title)} Confusion matrix. {' '.join(words)}"
    caption = f"{note} {caption}" if caption else note
    return finish(fig, alt, automatic, caption, display)


def _confusion(given: Any, classes: Sequence[str] | None) -> tuple[NDArray, list[str]]:
    names = getattr(given, "classes", classes)
    matrix = to_numpy(getattr(given, "confusion", given))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any():
        raise ValueError(f"a confusion matrix is square and counts pictures, got {matrix.shape}")
    if names is None or len(names) != len(matrix):
        raise ValueError(
            f"the matrix has {len(matrix)} classes and there are "
            f"{'no' if names is None else len(names)} names: pass classes=[…]"
        )
    return matrix, list(names)


def _draw_confusion(
    axes: Axes, matrix: NDArray, names: list[str], heading: str, side: float, *, labelled: bool
) -> None:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=style.UNSIGNED, vmin=0, vmax=1)
    count, cell = len(names), side / len(names)
    size = min(style.SIZE_TEXT, 20 * cell)
    for row, column in np.ndindex(count, count):
        number, share = matrix[row, column], shares[row, column]
        small = count <= _ROOMY
        text = f"{number:,}" + (f"\n{100 * share:.0f} %" if small and matrix[row].sum() else "")
        axes.text(
            column, row, text if number or small else "", ha="center", va="center", fontsize=size,
            color=style.INK if share < _PALE else style.PAPER, linespacing=1.1,
            fontweight="bold" if row == column else "normal",
        )  # fmt: skip
    crowded = max(style.text_width(name, style.SIZE_NOTE) for name in names) > 0.9 * cell
    rotation = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(count), labels=names, fontsize=style.SIZE_NOTE, **rotation)
    axes.set_yticks(range(count), labels=names, fontsize=style.SIZE_NOTE)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    if labelled:
        axes.set_ylabel("true class")
    if heading:
        axes.set_title(style.wrap(heading, side, style.SIZE_PANEL, bold=True))


def _describe_confusion(name: str, matrix: NDArray, names: list[str]) -> str:
    total, right = int(matrix.sum()), int(matrix.trace())
    text = f"{name}: " if name else ""
    text += f"{right:,} of {total:,} pictures right"
    off = matrix - np.diag(np.diag(matrix))
    if off.sum():
        row, column = np.unravel_index(off.argmax(), off.shape)
        text += (
            f"; most frequent mistake: {names[row]} taken for {names[column]}, {off.max():,} of "
            f"{matrix[row].sum():,}"
        )
    return f"{text}."


# ---------------------------------------------------------------------------- scores

_SCORES = ("precision", "recall", "f1")
_SCORE_TITLES = {
    "precision": "Precision\nof those called so, share right",
    "recall": "Recall\nof those that are so, share found",
    "f1": "F1\nharmonic mean of the two",
}


def plot_scores(
    evaluations: Any,
    *,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show precision, recall and F1 of every class, with its support, and their macro average.

    Parameters
    ----------
    evaluations : Evaluation, or mapping of name to Evaluation
        From ``cu.evaluate``; all of the same classes.
    title, caption, alt, display
        As in `show_grid`.

    Raises
    ------
    ValueError
        If the evaluations' classes differ.
    """
    evaluations = _named(evaluations, "")
    reports = {name: given.report.rename_axis("name") for name, given in evaluations.items()}
    tables = {name: list(report.reset_index().itertuples()) for name, report in reports.items()}
    lists = {name: [row.name for row in table] for name, table in tables.items()}
    classes = next(iter(lists.values()))
    if any(names != classes for names in lists.values()):
        raise ValueError(f"expected evaluations of the same classes, got {lists}")
    line, gap = 0.26, 0.14
    step = line * len(tables) + gap
    height = 1.45 + step * len(classes) + (0.4 if title else 0) + (0.3 if any(tables) else 0)
    fig, axes = figure(3, height=height, title=title, sharey=True)
    for panel, score in zip(axes, _SCORES, strict=True):
        for index, table in enumerate(tables.values()):
            color = style.SERIES[index % len(style.SERIES)]
            for place, row in enumerate(table):
                _draw_score(panel, getattr(row, score), place * step + index * line, line, color)
        head, _, meaning = _SCORE_TITLES[score].partition("\n")
        panel.set_title(head, pad=22)
        panel.annotate(
            meaning, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
            fontsize=style.SIZE_NOTE, color=style.MUTED,
        )  # fmt: skip
        panel.set_xlim(0, 1)
        panel.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        percent_axis(panel.xaxis)
        panel.grid(visible=False, axis="y")
        panel.spines["left"].set_visible(False)
        panel.tick_params(axis="y", length=0, labelsize=style.SIZE_TEXT)
        panel.axhline((len(classes) - 1) * step - gap / 2 - line / 2, color=style.FAINT, lw=1)
    middles = [place * step + line * (len(tables) - 1) / 2 for place in range(len(classes))]
    supports = [row.support for row in next(iter(tables.values()))]
    labels = [f"{name} (n = {n:,})" for name, n in zip(classes, supports, strict=True)]
    axes[0].set_yticks(middles, labels=labels)
    axes[0].set_ylim(step * len(classes) - gap - line / 2 + 0.05, -line / 2 - 0.05)
    if any(tables):
        _score_legend(fig, list(tables))
    words = [_describe_scores(name, table) for name, table in tables.items()]
    automatic = f"{style.sentence(title)} Precision, recall and F1 of every class. "
    return finish(fig, alt, automatic + " ".join(words), caption, display)


def _draw_score(axes: Axes, value: float, y: float, line: float, color: str) -> None:
    axes.barh(y, 1, height=line * 0.72, color=style.TRACK, zorder=1)
    axes.barh(y, value, height=line * 0.72, color=color, zorder=2)
    axes.annotate(
        f"{100 * value:.1f} %", (1.02, y), xycoords=("axes fraction", "data"), va="center",
        fontsize=style.SIZE_NOTE, color=color, fontweight="bold",
    )  # fmt: skip


def _score_legend(fig: CourseFigure, names: list[str]) -> None:
    handles = [
        Line2D([], [], color=style.SERIES[i % len(style.SERIES)], lw=6, label=name)
        for i, name in enumerate(names)
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=min(len(names), 4))


def _describe_scores(name: str, table: Sequence[Any]) -> str:
    rows = ", ".join(
        f"{row.name} {100 * row.precision:.0f}, {100 * row.recall:.0f} and {100 * row.f1:.0f} %"
        for row in table
    )
    return f"{name}: {rows}." if name else f"{rows[:1].upper()}{rows[1:]}."


# ---------------------------------------------------------------------------- calibration


def plot_calibration(
    evaluations: Any,
    *,
    bins: int = 10,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show whether confidence can be trusted: a reliability diagram over the number of pictures.

    Guo et al. 2017: On calibration of modern neural networks, figure 1.

    Parameters
    ----------
    evaluations : Evaluation, or mapping of name to Evaluation
        From ``cu.evaluate``; what ``Evaluation.calibration(bins)`` returns will do as well. Several
        stand side by side.
    bins : int
        Of equal width from 0 to 1.
    title, caption, alt, display
        As in `show_grid`.
    """
    found = {
        name: given.calibration(bins) if hasattr(given, "calibration") else given
        for name, given in _named(evaluations, "").items()
    }
    count = len(found)
    fig, axes = figure(
        count, 2, width=style.WIDTH if count > 1 else 5.6, height=5.3 + (0.3 if title else 0),
        title=title, sharex=True, height_ratios=[3, 1],
    )  # fmt: skip
    axes = axes.reshape(2, count)
    most = max(given.count.max() for given in found.values())
    for column, (name, given) in enumerate(found.items()):
        upper, lower = axes[:, column]
        _draw_reliability(upper, given)
        error = f"calibration error {style.format_percent(given.ece)}"
        upper.set_title(f"{name}: {error}" if name else f"C{error[1:]}")
        lower.bar(
            given.edges[:-1], given.count, np.diff(given.edges), align="edge",
            color=style.FAINT, edgecolor=style.PAPER,
        )  # fmt: skip
        lower.set(xlim=(0, 1), ylim=(0, 1.08 * most), xlabel="confidence in the predicted class")
        lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
        percent_axis(lower.xaxis)
    axes[0, 0].set_ylabel("share that is right")
    axes[1, 0].set_ylabel("pictures")
    note = (
        "Each dot is a bin of confidence: on the dashed line, confidence is as high as accuracy; "
        "under it the network is too sure of itself (orange: the gap). Whiskers: 95 % interval."
    )
    words = [_describe_calibration(name, given) for name, given in found.items()]
    automatic = f"{style.sentence(title)} Reliability diagram. {' '.join(words)}"
    caption = f"{note} {caption}" if caption else note
    return finish(fig, alt, automatic, caption, display)


def _draw_reliability(axes: Axes, given: Any) -> None:
    axes.plot([0, 1], [0, 1], color=style.MUTED, linestyle=_DASHES, linewidth=1.2, zorder=1)
    filled = given.count > 0
    x, y, n = given.confidence[filled], given.accuracy[filled], given.count[filled]
    low, high = _wilson(y, n)
    color = style.SERIES[0]
    axes.vlines(x, low, high, color=color, linewidth=2, alpha=0.45)
    axes.vlines(x, np.minimum(x, y), np.maximum(x, y), color=style.SERIES[1], linewidth=5, zorder=2)
    axes.plot(x, y, "o", color=color, markersize=7.5, zorder=3)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, 1))
    percent_axis(axes.yaxis)


def _wilson(share: NDArray, n: NDArray, z: float = 1.96) -> tuple[NDArray, NDArray]:
    """Return the ends of the 95 % interval of a share (Wilson 1927)."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _describe_calibration(name: str, given: Any) -> str:
    filled = given.count > 0
    weights = given.count[filled] / given.count.sum()
    confidence = float((given.confidence[filled] * weights).sum())
    accuracy = float((given.accuracy[filled] * weights).sum())
    start = f"{name}: mean" if name else "Mean"
    return (
        f"{start} confidence {style.format_percent(confidence)}, accuracy "
        f"{style.format_percent(accuracy)}, expected calibration error "
        f"{style.format_percent(given.ece)} over {int(given.count.sum()):,} pictures."
    )


# ---------------------------------------------------------------------------- mistakes


def show_mistakes(
    images: Any,
    mistakes: Sequence[Any],
    *,
    ncols: int | None = None,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show wrongly classified pictures with both classes and the probability of each.

    Parameters
    ----------
    images : pictures by index
        What the evaluation went through, in its order: a split, a tensor (N, 3, H, W), a list.
    mistakes : sequence of Mistake
        ``evaluation.mistakes(12)``. If there is none, the figure says so.
    ncols : int, optional
        Pictures in a row; by default at most six.
    title, caption, alt, display
        As in `show_grid`.
    """
    if not len(mistakes):
        return _no_mistakes(title, caption, alt, display)
    pictures = [images[mistake.index] for mistake in mistakes]
    pictures = [given[0] if isinstance(given, tuple) else given for given in pictures]
    titles = [f"{mistake.label} → {mistake.predicted}" for mistake in mistakes]
    notes = [
        f"{mistake.predicted} {style.format_percent(mistake.confidence)}\n"
        f"{mistake.label} {style.format_percent(mistake.probability_of_truth)}"
        for mistake in mistakes
    ]
    note = "Heading: true → predicted class. Below: the probabilities of the two, predicted first."
    listed = "; ".join(
        f"{mistake.label} taken for {mistake.predicted} at "
        f"{style.format_percent(mistake.confidence)}"
        for mistake in mistakes
    )
    automatic = f"{style.sentence(title)} {len(mistakes)} wrongly classified pictures: {listed}."
    return show_gallery(
        pictures, titles, notes=notes, ncols=ncols, title=title, alt=alt or automatic,
        caption=f"{note} {caption}" if caption else note, display=display,
    )  # fmt: skip


def _no_mistakes(
    title: str | None, caption: str | None, alt: str | None, display: bool
) -> CourseFigure:
    fig, axes = figure(width=5.6, height=1.4, title=title)
    axes.set_axis_off()
    axes.text(0, 0.5, "No picture was classified wrongly.", va="center", fontsize=style.SIZE_TEXT)
    automatic = f"{style.sentence(title)} There is nothing to show: no picture was wrong."
    return finish(fig, alt, automatic, caption, display)


# ---------------------------------------------------------------------------- scarcity


def plot_accuracy_by_size(
    sizes: Any,
    accuracies: Mapping[str, Any],
    *,
    chance: float | None = None,
    xlabel: str = "training pictures",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
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
    title, caption, alt, display
        As in `show_grid`.

    Raises
    ------
    ValueError
        If shapes do not fit, sizes are not positive, or an accuracy is not a fraction.
    """
    sizes = to_numpy(sizes).astype(float).ravel()
    fig, axes = figure(width=9.0, height=4.6, title=title)
    axes.set(xscale="log", xlabel=xlabel, ylabel="accuracy on test pictures")
    ends, words, most = [], [], 1
    for index, (name, given) in enumerate(accuracies.items()):
        runs = _runs(name, given, sizes)
        most = max(most, len(runs))
        color = style.SERIES[index % len(style.SERIES)]
        _draw_runs(axes, sizes, runs, color, style.MARKERS[index % len(style.MARKERS)])
        mean = runs.mean(axis=0)
        ends.append((sizes[-1], mean[-1], name, color))
        words.append(
            f"{name}: {style.format_percent(mean[0])} at {sizes[0]:,.0f}, "
            f"{style.format_percent(mean[-1])} at {sizes[-1]:,.0f}"
        )
    if len(sizes) <= 10:
        axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    percent_axis(axes.yaxis)
    if chance is not None:
        axes.axhline(chance, color=style.MUTED, linewidth=1.1, linestyle=_DASHES, zorder=0)
        axes.annotate(
            "guessing", (0.005, chance), xycoords=("axes fraction", "data"), xytext=(2, 3),
            textcoords="offset points", fontsize=style.SIZE_NOTE, color=style.MUTED,
        )  # fmt: skip
    label_line_ends(axes, ends)
    if most > 1:
        note = f"Small dots: runs with {most} seeds; lines: their mean"
        note += "; whiskers: its 95 % interval (Student's t)." if most > 2 else "."
        caption = f"{note} {caption}" if caption else note
    automatic = f"{style.sentence(title)} Accuracy against {xlabel}. {'; '.join(words)}."
    return finish(fig, alt, automatic, caption, display)


def _runs(name: str, given: Any, sizes: NDArray) -> NDArray:
    runs = np.atleast_2d(to_numpy(given).astype(float))
    if runs.shape[1] != len(sizes) or not ((runs >= 0) & (runs <= 1)).all():
        raise ValueError(
            f"{name!r}: expected fractions of shape ({len(sizes)},) or (seeds, {len(sizes)}), got "
            f"{runs.shape} from {np.nanmin(runs):.3g} to {np.nanmax(runs):.3g}"
        )
    if (sizes <= 0).any():
        raise ValueError(f"sizes: expected positive numbers of pictures, got {sizes}")
    return runs


def _draw_runs(axes: Axes, sizes: NDArray, runs: NDArray, color: str, marker: str) -> None:
    mean = runs.mean(axis=0)
    axes.plot(sizes, mean, color=color, marker=marker, zorder=3)
    if len(runs) > 1:
        axes.plot(sizes, runs.T, ".", color=color, markersize=5, alpha=0.45, zorder=2)
    if len(runs) > 2:
        from scipy.stats import t

        half = t.ppf(0.975, len(runs) - 1) * runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
        low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
        axes.fill_between(sizes, low, high, color=color, alpha=0.13, linewidth=0)
        axes.vlines(sizes, low, high, color=color, linewidth=1.4)
