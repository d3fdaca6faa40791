"""The poster: every method on one photograph, in groups, around the photograph itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from . import style
from .arrays import Reduce, strongest_region
from .canvas import CourseFigure, finish
from .panels import Panel, Ready, draw_panel, on_scales, prepare
from .predictions import draw_bars, top_entries
from .sheets import MARGIN, ColourBar, Sheet, draw_colour_bars, heading_height, ordinal

_COLUMNS = 6
_GAP, _ROW_GAP, _GROUP, _NAME = 0.13, 0.16, 0.33, 0.21
_PANEL = (style.WIDTH - 2 * MARGIN - _GAP * (_COLUMNS - 1)) / _COLUMNS
#: The photograph takes this many columns and rows at the upper left.
_HERO = 2
_OPACITY = 0.9


@dataclass(frozen=True)
class _Place:
    """Where a run of one group's panels stands."""

    row: int
    column: int
    group: str
    names: list[str]


def poster(
    image: Any,
    groups: Mapping[str, Mapping[str, Any]],
    *,
    predictions: Any = None,
    overlay: Collection[str] = (),
    clip_percentile: float | None = 99.0,
    reduce: Reduce = "sum",
    smooth: bool = True,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show every method on one photograph, grouped, each map on a scale of its own.

    Their units differ (gradients, contributions, activations, drops of the output), so colours
    cannot be compared between maps; the figure says so.

    Parameters
    ----------
    image : picture
        What the network saw; shown large.
    groups : mapping of group to mapping of method to map
        Maps as in `show_attributions`; a `Panel` or a PIL image stands for itself.
    predictions : optional
        ``network.top_k(image)[0]``: the three likeliest classes are shown under the photograph.
    overlay : collection of str
        Methods whose maps are laid over the photograph, for coarse ones.
    clip_percentile : float, optional
        Colours saturate at this percentile of each map's |values|; the figure says so.
    reduce, smooth, title, caption, alt, display
        As in `show_grid`.

    Returns
    -------
    CourseFigure
    """
    names = [name for maps in groups.values() for name in maps]
    if not names:
        raise ValueError("groups holds no maps: expected {group: {method: map, ...}, ...}")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated or not set(overlay) <= set(names):
        raise ValueError(f"method names must differ and include all of overlay={list(overlay)}")
    ready: dict[str, Ready] = {}
    for name, content in ((n, c) for maps in groups.values() for n, c in maps.items()):
        opacity = _OPACITY if name in overlay else None
        panel = prepare(_as_panel(name, content, image, opacity), reduce, smooth)
        ready[name] = on_scales([[panel]], "each", clip_percentile)[0][0]
    places = _arrange(groups)
    fig = _draw(image, ready, places, predictions, clip_percentile, smooth, title)
    return finish(fig, alt, _describe(groups, ready, title), caption, display)


def _as_panel(name: str, content: Any, image: Any, overlay: float | None) -> Panel:
    """Make a panel of whatever stands for a method."""
    if isinstance(content, Panel):
        return content
    if hasattr(content, "convert"):  # a PIL image
        return Panel(name, content)
    return Panel(name, image, content, overlay=overlay)


def _arrange(groups: Mapping[str, Mapping[str, Any]]) -> list[_Place]:
    """Fill rows from left to right; the first rows leave room for the photograph."""
    places: list[_Place] = []
    row, column = 0, _HERO
    for group, maps in groups.items():
        names = list(maps)
        while names:
            first = _HERO if row < _HERO else 0
            free = _COLUMNS - column
            if free == 0 or (column > first and len(names) > free):
                row += 1
                column = _HERO if row < _HERO else 0
                continue
            here, names = names[:free], names[free:]
            places.append(_Place(row, column, group, here))
            column += len(here)
    return places


def _draw(
    image: Any,
    ready: Mapping[str, Ready],
    places: list[_Place],
    predictions: Any,
    percentile: float | None,
    smooth: bool,
    title: str | None,
) -> CourseFigure:
    """Lay out and draw everything."""
    photograph = prepare(Panel(image=image), "sum", smooth=False)
    aspects = [panel.shape[0] / panel.shape[1] for panel in (photograph, *ready.values())]
    tall = _PANEL * min(max(aspects), 1.3)
    pitch = _GROUP + _NAME + tall + _ROW_GAP
    rows = max(_HERO, max(place.row for place in places) + 1)
    top = heading_height(title, style.WIDTH)
    sheet = Sheet(style.WIDTH, top + rows * pitch + 0.5)
    if title:
        sheet.heading(title)
    _draw_photograph(sheet, photograph, predictions, top + 0.02, _HERO * pitch - _ROW_GAP)
    for place in places:
        x = MARGIN + place.column * (_PANEL + _GAP)
        y = top + place.row * pitch
        _draw_group(sheet, place, ready, x, y, tall, smooth)
    _draw_legend(sheet, list(ready.values()), percentile, top + rows * pitch)
    return sheet.fig


def _draw_photograph(
    sheet: Sheet, photograph: Ready, predictions: Any, top: float, height: float
) -> None:
    """Draw the photograph large, and under it what the network says."""
    width = _HERO * _PANEL + (_HERO - 1) * _GAP
    tall = min(width * photograph.shape[0] / photograph.shape[1], height)
    draw_panel(sheet.axes(MARGIN, top, width, tall), photograph, smooth=False)
    left = height - tall - 0.1
    if predictions is None or left < 0.4:
        return
    entries = top_entries(predictions, min(3, int(left / 0.33)))
    high = min(left, 0.42 * len(entries))
    axes = sheet.axes(MARGIN, top + tall + 0.1, width, high)
    draw_bars(axes, entries, None, width, high, len(entries), style.SIZE_NOTE)


def _draw_group(
    sheet: Sheet,
    place: _Place,
    ready: Mapping[str, Ready],
    x: float,
    y: float,
    tall: float,
    smooth: bool,
) -> None:
    """Draw a run of panels under its group's name and rule."""
    width = len(place.names) * (_PANEL + _GAP) - _GAP
    sheet.rule(x, y + 0.02, width, style.INK)
    heading = style.shorten(place.group, width, style.SIZE_PANEL, bold=True)
    sheet.text(x, y + 0.22, heading, va="baseline", fontsize=style.SIZE_PANEL, fontweight="bold")
    y += _GROUP
    for index, name in enumerate(place.names):
        left = x + index * (_PANEL + _GAP)
        text = style.shorten(name, _PANEL, style.SIZE_NOTE)
        sheet.text(left, y + _NAME - 0.06, text, va="baseline", fontsize=style.SIZE_NOTE)
        draw_panel(sheet.axes(left, y + _NAME, _PANEL, tall), ready[name], smooth)


def _draw_legend(sheet: Sheet, panels: list[Ready], percentile: float | None, y: float) -> None:
    """Say what the colours mean, and that they cannot be compared between maps."""
    maps = [panel for panel in panels if panel.values is not None]
    label = "Each map has its own scale, for the units differ: compare where, not how much."
    if any(panel.clipped for panel in maps):
        label += f" Colours end at the {ordinal(percentile)} percentile of its |values|."
    kinds = sorted({bool(panel.signed) for panel in maps}, reverse=True)
    bars = [
        ColourBar(style.colormaps(signed)[0], signed, None, extend=False, label=label)
        for signed in kinds
    ]
    draw_colour_bars(sheet, bars, MARGIN, y, style.WIDTH - 2 * MARGIN)


def _describe(
    groups: Mapping[str, Mapping[str, Any]], ready: Mapping[str, Ready], title: str | None
) -> str:
    """Alternative text: the groups and where each map is strongest."""
    sentences = [style.sentence(title), "A photograph and the maps that methods make of it."]
    for group, maps in groups.items():
        listed = ", ".join(
            name if ready[name].values is None else f"{name} ({_where(ready[name])})"
            for name in maps
        )
        sentences.append(f"{group}: {listed}.")
    sentences.append("Each map has its own colour scale.")
    return " ".join(sentence for sentence in sentences if sentence)


def _where(panel: Ready) -> str:
    region, share = strongest_region(panel.values)
    if share == 0:
        return "zero everywhere"
    return f"strongest in the {region}" if share >= 0.15 else "spread out"
