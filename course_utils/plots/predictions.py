"""What a network says about photographs: the likeliest classes with their confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from numpy.typing import NDArray

from . import style
from .arrays import to_image, to_numpy
from .canvas import CourseFigure, finish
from .sheets import MARGIN, Sheet, heading_height

#: Label, class index if known, probability.
Entry = tuple[str, int | None, float]


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
    entries = top_entries(predictions, k, labels)
    picture = to_image(image)
    aspect = picture.shape[0] / picture.shape[1]
    photo = 4.0 if aspect < 0.85 else min(3.3, 4.3 / aspect)
    bars = 4.7
    width = photo + bars + 3 * MARGIN + 0.2
    slots = len(entries) + _missing(entries, truth)
    height = max(photo * aspect, 0.5 * slots)
    top = heading_height(title, width)
    sheet = Sheet(width, top + height + 0.16)
    if title:
        sheet.heading(title)
    _draw_photo(sheet.axes(MARGIN, top, photo, height), picture)
    axes = sheet.axes(width - MARGIN - bars, top, bars, height)
    draw_bars(axes, entries, truth, bars, height, slots, style.SIZE_PANEL)
    return finish(sheet.fig, alt, _describe([entries], [truth], title), caption, display)


def plot_predictions(
    images: Mapping[str, Any] | Sequence[Any],
    predictions: Sequence[Any],
    *,
    truths: Sequence[str | int | None] | None = None,
    k: int = 3,
    labels: Sequence[str] | None = None,
    ncols: int | None = None,
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
        Photographs in a row; by default at most four.
    labels, title, caption, alt, display
        As in `plot_top_k`.
    """
    names = list(images) if isinstance(images, Mapping) else [""] * len(images)
    pictures = [to_image(image) for image in (images.values() if any(names) else images)]
    entries = [top_entries(prediction, k, labels) for prediction in predictions]
    truths = list(truths) if truths is not None else [None] * len(pictures)
    if not len(pictures) == len(entries) == len(truths):
        raise ValueError(
            f"{len(pictures)} images, {len(entries)} predictions and {len(truths)} truths: "
            "expected as many of each"
        )
    ncols = min(ncols or -(-len(pictures) // -(-len(pictures) // 4)), len(pictures))
    width = min((style.WIDTH - 2 * MARGIN - _CARD_GAP * (ncols - 1)) / ncols, 2.5)
    cards = _Cards(
        width=width,
        photo=width * max(min(p.shape[0] / p.shape[1], 1.0) for p in pictures),
        name=0.27 if any(names) else 0.0,
        slots=max(
            len(bars) + _missing(bars, truth) for bars, truth in zip(entries, truths, strict=True)
        ),
    )
    full = max(2 * MARGIN + ncols * width + _CARD_GAP * (ncols - 1), 4.5)
    top = heading_height(title, full)
    sheet = Sheet(full, top + -(-len(pictures) // ncols) * cards.height - 0.1)
    if title:
        sheet.heading(title)
    for index, card in enumerate(zip(names, pictures, entries, truths, strict=True)):
        x = MARGIN + (index % ncols) * (width + _CARD_GAP)
        cards.draw(sheet, x, top + (index // ncols) * cards.height, *card)
    if any(truth is not None for truth in truths):
        meaning = "✓: the true class."
        caption = f"{meaning} {caption}" if caption else meaning
    return finish(sheet.fig, alt, _describe(entries, truths, title, names), caption, display)


_CARD_GAP = 0.25


@dataclass(frozen=True)
class _Cards:
    """Sizes in inches that all cards of a sheet share."""

    width: float
    photo: float
    name: float
    slots: int

    @property
    def bars(self) -> float:
        return 0.41 * self.slots

    @property
    def height(self) -> float:
        return self.name + self.photo + 0.08 + self.bars + 0.28

    def draw(
        self,
        sheet: Sheet,
        x: float,
        y: float,
        name: str,
        picture: NDArray,
        entries: list[Entry],
        truth: str | int | None,
    ) -> None:
        """Draw a photograph, its name above it and its bars under it."""
        name = style.shorten(name, self.width, style.SIZE_PANEL, bold=True)
        kind = {"fontsize": style.SIZE_PANEL, "fontweight": "bold"}
        sheet.text(x, y + 0.19, name, va="baseline", **kind)
        y += self.name
        _draw_photo(sheet.axes(x, y, self.width, self.photo), picture)
        y += self.photo + 0.08
        axes = sheet.axes(x, y, self.width, self.bars)
        draw_bars(axes, entries, truth, self.width, self.bars, self.slots, style.SIZE_NOTE, "✓")


def _draw_photo(axes: Axes, picture: NDArray) -> None:
    axes.imshow(picture)
    axes.set_anchor("NW")
    axes.set_axis_off()


def top_entries(predictions: Any, k: int, labels: Sequence[str] | None = None) -> list[Entry]:
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


def _is_truth(entry: Entry, truth: str | int | None) -> bool:
    if truth is None:
        return False
    return entry[0] == truth if isinstance(truth, str) else entry[1] == truth


def _missing(entries: list, truth: str | int | None) -> bool:
    """Whether there is a true class that is not among the bars."""
    return truth is not None and not any(_is_truth(entry, truth) for entry in entries)


def draw_bars(
    axes: Axes,
    entries: list[Entry],
    truth: str | int | None,
    width: float,
    height: float,
    slots: int,
    size: float,
    true_mark: str = "✓ true class",
) -> None:
    """Draw confidence bars, each under its label and on a track that stands for 100 %.

    Parameters
    ----------
    axes : Axes
        Of `width` × `height` inches.
    entries : list of (label, index, probability)
    truth : str, int or None
        Class that is marked.
    slots : int
        Places for bars; those left over stay empty.
    size : float
        Of the text, in points.
    true_mark : str
        Written beside the true class.
    """
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    thick = 0.011 * size
    line = size / 72 + 0.055 + thick  # a label, a gap, a bar
    pitch = min((height - line) / max(slots - 1, 1), 0.8)
    for place, (label, index, probability) in enumerate(entries):
        baseline = place * pitch + size / 72
        true = _is_truth((label, index, probability), truth)
        number = style.format_percent(min(probability, 1.0))
        mark = f" {true_mark}" if true else ""
        bold = place == 0
        room = width - style.text_width(number, size) - style.text_width(mark, size) - 0.12
        label = style.shorten(label, room, size, bold)
        kind = {"fontsize": size, "va": "baseline"}
        axes.text(0, baseline, label, fontweight="bold" if bold else "normal", **kind)
        axes.text(style.text_width(label, size, bold), baseline, mark, color=style.TRUE, **kind)
        axes.text(width, baseline, number, ha="right", **kind)
        middle = baseline + 0.055 + thick / 2
        color = style.TRUE if true else style.SERIES[0]
        axes.barh(middle, width, thick, color=style.TRACK)
        axes.barh(middle, width * probability, thick, color=color)
    if _missing(entries, truth):
        name = truth if isinstance(truth, str) else f"class {truth}"
        text = style.shorten(f"{true_mark}, not among these: {name}", width, size)
        baseline = len(entries) * pitch + size / 72
        axes.text(0, baseline, text, fontsize=size, va="baseline", color=style.MUTED)


def _describe(
    entries: list, truths: list, title: str | None, names: Sequence[str] | None = None
) -> str:
    """Alternative text: every bar's label and number."""
    sentences = [style.sentence(title)]
    for index, (bars, truth) in enumerate(zip(entries, truths, strict=True)):
        name = (names or [""] * len(entries))[index]
        what = name or ("The photograph" if len(entries) == 1 else f"Photograph {index + 1}")
        listed = ", ".join(f"{label} {style.format_percent(min(p, 1.0))}" for label, _, p in bars)
        sentences.append(f"{what} is classified as: {listed}.")
        if truth is not None and len(entries) == 1:
            absent = " (not among them)" if _missing(bars, truth) else ""
            sentences.append(f"True class: {truth}{absent}.")
    return " ".join(sentence for sentence in sentences if sentence)
