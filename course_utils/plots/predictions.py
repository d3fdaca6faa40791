"""What a network says about photographs: the likeliest classes with their confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from . import style
from .arrays import to_image, to_numpy
from .canvas import CourseFigure, Sheet, finish

_MARGIN = 0.14


def plot_top_k(
    image: Any,
    predictions: Any,
    *,
    truth: str | int | None = None,
    k: int = 5,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show a photograph with the likeliest classes as bars beside it.

    Parameters
    ----------
    image : picture
        Anything that `to_image` takes.
    predictions : sequence of Prediction, or (labels, probabilities), or probabilities
        ``network.top_k(image)[0]``; or two sequences; or all classes' probabilities with `labels`.
    truth : str or int, optional
        The true class by label or index, marked among the bars.
    k : int
        How many bars.
    labels : sequence of str, optional
        Class names, for plain probabilities.
    title, caption, alt, display
        As in `show_grid`.

    Returns
    -------
    CourseFigure

    Raises
    ------
    ValueError
        If a probability is outside [0, 1].
    """
    entries = _entries(predictions, k, labels)
    picture = to_image(image)
    aspect = min(picture.shape[0] / picture.shape[1], 1.3)
    heading = style.wrap(title, 8.0, style.SIZE_TITLE, bold=True) if title else ""
    lines = heading.count("\n") + 1 if title else 0
    top = 0.14 + style.text_height(lines, style.SIZE_TITLE) + (0.1 if title else 0)
    photo = 3.3 if aspect > 0.85 else 4.0
    bars_height = 0.56 * (len(entries) + bool(_missing(entries, truth)))
    tall = max(photo * aspect, bars_height)
    sheet = Sheet(photo + 4.9 + 3 * _MARGIN, top + tall + 0.16)
    if heading:
        sheet.text(_MARGIN, 0.12, heading, fontsize=style.SIZE_TITLE, fontweight="bold")
    _draw_photo(sheet.axes(_MARGIN, top, photo, tall), picture)
    axes = sheet.axes(photo + 0.3 + _MARGIN, top, 4.7, tall)
    draw_bars(axes, entries, truth, width=4.7, height=tall, size=style.SIZE_PANEL)
    return finish(sheet.fig, alt, _describe([entries], [truth], title), caption, display)


def plot_predictions(
    images: Mapping[str, Any] | Sequence[Any],
    predictions: Sequence[Any],
    *,
    truths: Sequence[str | int | None] | None = None,
    k: int = 3,
    labels: Sequence[str] | None = None,
    ncols: int = 4,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show several photographs, each with its likeliest classes as bars under it.

    Parameters
    ----------
    images : mapping of title to picture, or sequence of pictures
    predictions : one entry for each image, as in `plot_top_k`
        For example ``network.top_k(images)``.
    truths : sequence of str, int or None, optional
    k : int
        How many bars under each.
    ncols : int
        Photographs in a row.
    labels, title, caption, alt, display
        As in `plot_top_k`.
    """
    names = list(images) if isinstance(images, Mapping) else [""] * len(images)
    pictures = [to_image(image) for image in (images.values() if any(names) else images)]
    entries = [_entries(prediction, k, labels) for prediction in predictions]
    truths = list(truths) if truths is not None else [None] * len(pictures)
    if not len(pictures) == len(entries) == len(truths):
        raise ValueError(
            f"{len(pictures)} images, {len(entries)} predictions and {len(truths)} truths: "
            "expected as many of each"
        )
    ncols = min(ncols, len(pictures))
    width = min((style.WIDTH - 2 * _MARGIN - 0.25 * (ncols - 1)) / ncols, 3.0)
    tallest = max(min(p.shape[0] / p.shape[1], 1.0) for p in pictures)
    extra = any(_missing(entry, truth) for entry, truth in zip(entries, truths, strict=True))
    name_height = 0.27 if any(names) else 0.0
    bars_height = 0.43 * (k + extra)
    card = name_height + width * tallest + 0.08 + bars_height + 0.22
    heading = style.wrap(title, style.WIDTH - 0.3, style.SIZE_TITLE, bold=True) if title else ""
    lines = heading.count("\n") + 1 if title else 0
    top = 0.14 + style.text_height(lines, style.SIZE_TITLE) + (0.1 if title else 0)
    nrows = -(-len(pictures) // ncols)
    full = max(2 * _MARGIN + ncols * width + 0.25 * (ncols - 1), 4.5)
    sheet = Sheet(full, top + nrows * card)
    if heading:
        sheet.text(_MARGIN, 0.12, heading, fontsize=style.SIZE_TITLE, fontweight="bold")
    for index, picture in enumerate(pictures):
        x = _MARGIN + (index % ncols) * (width + 0.25)
        y = top + (index // ncols) * card
        name = style.shorten(names[index], width, style.SIZE_PANEL, bold=True)
        sheet.text(x, y, name, fontsize=style.SIZE_PANEL, fontweight="bold")
        y += name_height
        _draw_photo(sheet.axes(x, y, width, width * tallest), picture)
        axes = sheet.axes(x, y + width * tallest + 0.08, width, bars_height)
        slots = k + extra
        draw_bars(
            axes, entries[index], truths[index], width, bars_height, style.SIZE_NOTE, slots=slots
        )
    return finish(sheet.fig, alt, _describe(entries, truths, title, names), caption, display)


def _draw_photo(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture)
    axes.set_anchor("NW")
    axes.set_axis_off()


def _entries(
    predictions: Any, k: int, labels: Sequence[str] | None
) -> list[tuple[str, int | None, float]]:
    """Return the k likeliest classes as (label, index, probability), likeliest first."""
    if isinstance(predictions, tuple) and len(predictions) == 2:
        names, values = predictions
        entries = [
            (str(name), None, float(value))
            for name, value in zip(names, to_numpy(values).ravel(), strict=True)
        ]
    elif labels is not None:
        values = to_numpy(predictions).ravel()
        if len(values) != len(labels):
            raise ValueError(f"{len(values)} probabilities but {len(labels)} labels")
        entries = [(str(labels[i]), i, float(value)) for i, value in enumerate(values)]
    else:
        try:
            entries = [(str(p.label), int(p.index), float(p.probability)) for p in predictions]
        except (AttributeError, TypeError) as error:
            raise TypeError(
                "expected network.top_k(image)[0], or (labels, probabilities), or probabilities "
                f"with labels=...; got {type(predictions).__name__}"
            ) from error
    entries = sorted(entries, key=lambda entry: -entry[2])[:k]
    wrong = [value for _, _, value in entries if not 0 <= value <= 1 + 1e-6]
    if wrong or not entries:
        raise ValueError(
            f"expected probabilities in [0, 1], got {wrong}: logits need softmax first"
        )
    return entries


def _is_truth(entry: tuple[str, int | None, float], truth: str | int | None) -> bool:
    if truth is None:
        return False
    return entry[0] == truth if isinstance(truth, str) else entry[1] == truth


def _missing(entries: list, truth: str | int | None) -> bool:
    """Whether there is a true class that is not among the bars."""
    return truth is not None and not any(_is_truth(entry, truth) for entry in entries)


def draw_bars(
    axes: Axes,
    entries: list[tuple[str, int | None, float]],
    truth: str | int | None,
    width: float,
    height: float,
    size: float,
    slots: int | None = None,
) -> None:
    """Draw confidence bars into axes of `width` × `height` inches: label above, bar on a track."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(height, 0))
    slots = slots or len(entries) + _missing(entries, truth)
    pitch = height / slots
    text_height = size / 72
    thick = min(0.13, pitch * 0.28)
    for place, entry in enumerate(entries):
        label, _, probability = entry
        baseline = place * pitch + text_height
        true = _is_truth(entry, truth)
        number = style.format_percent(min(probability, 1.0))
        mark = "  ✓ true class" if true else ""
        room = width - style.text_width(number, size) - style.text_width(mark, size) - 0.1
        bold = place == 0
        label = style.shorten(label, room, size, bold)
        weight = "bold" if bold else "normal"
        axes.text(0, baseline, label, fontsize=size, fontweight=weight, va="baseline")
        if true:
            after = style.text_width(label, size, bold) / width
            axes.text(after, baseline, mark, fontsize=size, va="baseline", color=style.SERIES[2])
        axes.text(1, baseline, number, fontsize=size, ha="right", va="baseline")
        top = baseline + 0.07
        axes.barh(top + thick / 2, 1, thick, color=style.TRACK)
        color = style.SERIES[2] if true else style.SERIES[0]
        axes.barh(top + thick / 2, probability, thick, color=color)
    if _missing(entries, truth):
        name = truth if isinstance(truth, str) else f"class {truth}"
        text = style.shorten(f"True class {name}: not among these", width, size)
        baseline = len(entries) * pitch + text_height
        axes.text(0, baseline, text, fontsize=size, va="baseline", color=style.MUTED)


def _describe(
    entries: list, truths: list, title: str | None, names: Sequence[str] | None = None
) -> str:
    """Alternative text: every bar's label and number."""
    sentences = [f"{title}." if title else ""]
    for index, (bars, truth) in enumerate(zip(entries, truths, strict=True)):
        name = (names or [""] * len(entries))[index]
        what = name or ("The photograph" if len(entries) == 1 else f"Photograph {index + 1}")
        listed = ", ".join(f"{label} {style.format_percent(min(p, 1.0))}" for label, _, p in bars)
        sentences.append(f"{what} is classified as: {listed}.")
        if truth is not None and len(entries) == 1:
            absent = " (not among them)" if _missing(bars, truth) else ""
            sentences.append(f"True class: {truth}{absent}.")
    return " ".join(sentence for sentence in sentences if sentence)
