"""Sheets: rows of panels laid out in inches, with headings, colour bars and alternative text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D

from . import style
from .arrays import Reduce
from .canvas import CourseFigure, finish
from .panels import Panel, Ready, Scale, draw_panel, join, on_scales, prepare

MARGIN, GAP, ROW_GAP = 0.14, 0.14, 0.14
_MAX_PANEL, _MIN_WIDTH = 2.6, 5.0
_ROW_TITLE_WIDTHS = (0.8, 1.9)
_BAR_HEIGHT = 0.52
#: Panels taller than this, as a multiple of their width, are shown smaller.
_MAX_ASPECT = 1.3


class Sheet:
    """A figure laid out in inches from its upper left corner.

    Pictures have fixed proportions and headings of one to three lines; counting in inches keeps
    every row aligned, which matplotlib's automatic layouts do not.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.fig = CourseFigure(figsize=(width, height))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes whose upper left corner is `x` inches from the left, `y` from the top."""
        bottom = 1 - (y + height) / self.height
        return self.fig.add_axes((x / self.width, bottom, width / self.width, height / self.height))

    def text(self, x: float, y: float, text: str, **kwargs: Any) -> None:
        """Write text whose upper left corner (or as `ha`, `va` say) is at `x`, `y` inches."""
        kwargs = {"ha": "left", "va": "top", "linespacing": style.LINE_SPACING * 0.9, **kwargs}
        self.fig.text(x / self.width, 1 - y / self.height, text, **kwargs)

    def heading(self, text: str) -> None:
        """Write the title, wrapped, at the top."""
        text = style.wrap(text, self.width - 2 * MARGIN, style.SIZE_TITLE, bold=True)
        self.text(MARGIN, 0.12, text, fontsize=style.SIZE_TITLE, fontweight="bold")

    def rule(self, x: float, y: float, width: float, color: str = style.FAINT) -> None:
        """Draw a thin horizontal line."""
        height = 1 - y / self.height
        ends = [x / self.width, (x + width) / self.width]
        self.fig.add_artist(Line2D(ends, [height, height], color=color, linewidth=1.0))


def heading_height(title: str | None, width: float) -> float:
    """Inches from the top of a sheet to its first row."""
    if not title:
        return 0.12
    lines = style.wrap(title, width - 2 * MARGIN, style.SIZE_TITLE, bold=True).count("\n") + 1
    return 0.22 + style.text_height(lines, style.SIZE_TITLE)


def show_grid(
    rows: Sequence[Sequence[Panel | None]],
    *,
    row_titles: Sequence[str] | None = None,
    scale: Scale = "shared",
    limit: float | None = None,
    signed: bool | None = None,
    clip_percentile: float | None = None,
    reduce: Reduce = "sum",
    quantity: str = "attribution",
    smooth: bool = False,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    panel_width: float | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show rows of pictures and maps, aligned, with their scale stated.

    Parameters
    ----------
    rows : sequence of sequences of Panel or None
        None leaves a cell empty.
    row_titles : sequence of str, optional
        Written to the left of the rows.
    scale : "shared", "row" or "each"
        Which maps share their colour scale. With "row" and "each" the figure says so, and each
        map's limit is written above it.
    limit : float, optional
        Fix the shared scale's end, for example to compare two figures.
    signed : bool, optional
        Signed or magnitude colours for all maps; by default signed where a scale has a negative
        value.
    clip_percentile : float, optional
        Colours saturate at this percentile of |values| (of all maps that share the scale) instead
        of at the largest; the figure says so.
    reduce : str
        What becomes of an attribution's channels, see `to_map`.
    quantity : str
        What the colours measure, for the colour bar's label: "contribution to the logit".
    smooth : bool
        Interpolate coarse maps instead of showing their cells.
    title, caption, alt : str, optional
        Heading, text drawn under the figure, and alternative text (made from the content if left
        out).
    panel_width : float, optional
        In inches; by default the row fills the page, at most 2.6.
    display : bool
        False only returns the figure.

    Returns
    -------
    CourseFigure

    Raises
    ------
    ValueError
        If a map holds NaN, does not fit its picture, or is negative and said to be unsigned.
    """
    ready = [[prepare(panel, reduce, smooth) for panel in row] for row in rows]
    if not any(panel for row in ready for panel in row):
        raise ValueError("expected at least one panel, got none")
    if row_titles is not None and len(row_titles) != len(ready):
        raise ValueError(f"{len(ready)} rows but {len(row_titles)} row titles")
    ready = on_scales(ready, scale, clip_percentile, signed, limit)
    ready = [[_with_own_scale(panel, scale) for panel in row] for row in ready]
    bars = colour_bars(ready, scale, clip_percentile, quantity)
    fig = _draw_sheet(ready, bars, row_titles, smooth, title, panel_width)
    return finish(fig, alt, _describe(ready, scale, quantity, title), caption, display)


def _with_own_scale(panel: Ready | None, scale: Scale) -> Ready | None:
    """Write a map's limit into its note, where the maps do not share one scale."""
    if panel is None or panel.values is None or scale == "shared" or not panel.values.any():
        return panel
    return replace(panel, note=join(panel.note, panel.span))


# --------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class _Row:
    """Headings broken into lines, and heights of one row in inches."""

    titles: list[str]
    notes: list[str]
    title_height: float
    note_height: float
    panel_height: float

    @property
    def height(self) -> float:
        return self.title_height + self.note_height + self.panel_height


def _measure(row: list[Ready | None], width: float) -> _Row:
    """Break headings into lines and find how tall a row is."""
    titles = [style.wrap(p.title, width, style.SIZE_PANEL, bold=True) if p else "" for p in row]
    notes = [style.wrap(p.note, width, style.SIZE_NOTE) if p else "" for p in row]
    aspects = [panel.shape[0] / panel.shape[1] for panel in row if panel]

    def height(texts: list[str], size: float) -> float:
        lines = max((text.count("\n") + 1 for text in texts if text), default=0)
        return style.text_height(lines, size) + (0.03 if lines else 0)

    return _Row(
        titles,
        notes,
        height(titles, style.SIZE_PANEL),
        height(notes, style.SIZE_NOTE),
        width * min(max(aspects, default=1.0), _MAX_ASPECT),
    )


def _draw_sheet(
    rows: list[list[Ready | None]],
    bars: list[ColourBar],
    row_titles: Sequence[str] | None,
    smooth: bool,
    title: str | None,
    panel_width: float | None,
) -> CourseFigure:
    """Lay out and draw all panels and the colour bars."""
    ncols = max(len(row) for row in rows)
    title_width = _row_title_width(row_titles)
    left = MARGIN + title_width
    available = (style.WIDTH - left - MARGIN - GAP * (ncols - 1)) / ncols
    panel = panel_width or min(available, _MAX_PANEL)
    width = max(left + ncols * panel + GAP * (ncols - 1) + MARGIN, _MIN_WIDTH)
    measured = [_measure(row, panel) for row in rows]
    y = heading_height(title, width)
    bars_height = _BAR_HEIGHT if bars else 0.0
    sheet = Sheet(width, y + sum(row.height + ROW_GAP for row in measured) + bars_height)
    if title:
        sheet.heading(title)
    for index, (row, sizes) in enumerate(zip(rows, measured, strict=True)):
        if row_titles:
            text = style.wrap(row_titles[index], title_width - 0.12, style.SIZE_PANEL, bold=True)
            top = y + sizes.height - sizes.panel_height
            sheet.text(MARGIN, top, text, fontsize=style.SIZE_PANEL, fontweight="bold")
        _draw_row(sheet, row, sizes, left, y, panel, smooth)
        y += sizes.height + ROW_GAP
    draw_colour_bars(sheet, bars, left, y, sheet.width - left - MARGIN)
    return sheet.fig


def _row_title_width(row_titles: Sequence[str] | None) -> float:
    """Inches that row titles need at the left: as wide as their longest word, within reason."""
    if not row_titles:
        return 0.0
    words = [word for title in row_titles for word in title.split()]
    widest = max((style.text_width(word, style.SIZE_PANEL, True) for word in words), default=0)
    return min(max(widest + 0.15, _ROW_TITLE_WIDTHS[0]), _ROW_TITLE_WIDTHS[1])


def _draw_row(
    sheet: Sheet,
    row: list[Ready | None],
    sizes: _Row,
    left: float,
    top: float,
    width: float,
    smooth: bool,
) -> None:
    """Draw one row: headings end on one line, so that pictures start on one line."""
    for column, panel in enumerate(row):
        if panel is None:
            continue
        x = left + column * (width + GAP)
        y = top + sizes.title_height
        title, note = sizes.titles[column], sizes.notes[column]
        weight = {"fontsize": style.SIZE_PANEL, "fontweight": "bold"}
        sheet.text(x, y - 0.07, title, va="baseline", **weight)
        sheet.text(x, y - 0.03, note, fontsize=style.SIZE_NOTE, color=style.MUTED)
        y += sizes.note_height
        draw_panel(sheet.axes(x, y, width, sizes.panel_height), panel, smooth)


# --------------------------------------------------------------------------- colour bars


@dataclass(frozen=True)
class ColourBar:
    """One colour bar; without a limit its ends carry words, because the maps' scales differ."""

    colours: Colormap
    signed: bool
    limit: float | None
    extend: bool
    label: str

    @property
    def tick_labels(self) -> list[str]:
        """What stands under the ends and the zero."""
        if self.limit is None:
            return ["lowest", "0", "highest"] if self.signed else ["0", "highest"]
        top = style.format_number(self.limit)
        return [f"−{top}", "0", top] if self.signed else ["0", top]

    @property
    def overhang(self) -> tuple[float, float]:
        """How far the outer labels reach beyond the bar's ends, in inches."""
        labels = self.tick_labels
        ends = [style.text_width(text, style.SIZE_NOTE) / 2 for text in (labels[0], labels[-1])]
        return ends[0], ends[1]

    def draw(self, axes: Axes) -> None:
        """Draw the bar into flat, wide axes."""
        span = self.limit or 1.0
        mappable = ScalarMappable(Normalize(-span if self.signed else 0, span), self.colours)
        ends = ("both" if self.signed else "max") if self.extend else "neither"
        bar = axes.figure.colorbar(
            mappable, cax=axes, orientation="horizontal", extend=ends, extendfrac=0.05
        )
        bar.outline.set(edgecolor=style.FAINT, linewidth=0.8)
        bar.set_ticks([-span, 0, span] if self.signed else [0, span], labels=self.tick_labels)
        axes.tick_params(length=0, pad=2.5, labelsize=style.SIZE_NOTE)
        axes.minorticks_off()


def colour_bars(
    rows: list[list[Ready | None]], scale: Scale, percentile: float | None, quantity: str
) -> list[ColourBar]:
    """Decide which colour bars a figure needs and what they say; none if all maps are zero."""
    maps = [panel for row in rows for panel in row if panel and panel.values is not None]
    if not any(panel.values.any() for panel in maps):
        return []
    one_limit = len({panel.limit for panel in maps}) == 1 and (scale == "shared" or len(maps) == 1)
    both_kinds = len({panel.signed for panel in maps}) == 2
    label = quantity[:1].upper() + quantity[1:] + (" and its magnitude" if both_kinds else "")
    clip = _clip_words(maps, scale, percentile)
    if one_limit:
        widest = maps[0] if not both_kinds else next(panel for panel in maps if panel.signed)
        which = "one scale for all maps: " if len(maps) > 1 else "scale "
        label = f"{label} · {which}{widest.span}{clip}"
    else:
        which = "row" if scale == "row" else "map"
        label = f"{label} · each {which} has its own scale, written above it{clip}"
    bars = []
    for signed in sorted({panel.signed for panel in maps}, reverse=True):
        kind = [panel for panel in maps if panel.signed == signed]
        opacity = kind[0].overlay if all(panel.is_overlay for panel in kind) else None
        _, colours = style.colormaps(signed, opacity)
        limit = kind[0].limit if one_limit else None
        bars.append(ColourBar(colours, signed, limit, any(p.clipped for p in kind), label))
    return bars


def _clip_words(maps: list[Ready], scale: Scale, percentile: float | None) -> str:
    """Say where colours saturate."""
    if not any(panel.clipped for panel in maps):
        return "" if percentile is None else "; nothing is clipped"
    if percentile is None:
        return "; larger values are clipped"
    whose = {"shared": "all |values|", "row": "its |values|", "each": "its |values|"}[scale]
    whose = "|values|" if len(maps) == 1 else whose
    return f", clipped at the {ordinal(percentile)} percentile of {whose}"


def ordinal(number: float) -> str:
    """Return "99th", "99.5th", "1st"."""
    text = f"{number:g}"
    if "." in text or text[-2:] in ("11", "12", "13"):
        return f"{text}th"
    return text + {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")


def draw_colour_bars(
    sheet: Sheet, bars: list[ColourBar], left: float, y: float, room: float
) -> None:
    """Draw colour bars side by side, and their common label to the right of them."""
    if not bars:
        return
    length = min(2.4, room * 0.45) if len(bars) == 1 else min(1.5, room * 0.25)
    x = left
    for bar in bars:
        before, after = bar.overhang
        bar.draw(sheet.axes(x + before, y + 0.08, length, 0.13))
        x += before + length + after + 0.2
    text = style.wrap(bars[0].label, left + room - x, style.SIZE_NOTE)
    sheet.text(x, y + 0.2, text, va="center", fontsize=style.SIZE_NOTE)


# --------------------------------------------------------------------------- words


def _describe(
    rows: list[list[Ready | None]], scale: Scale, quantity: str, title: str | None
) -> str:
    """Alternative text from the content: what is shown, on which scale, where it is strong."""
    panels = [panel for row in rows for panel in row if panel]
    maps = [panel for panel in panels if panel.values is not None]
    pictures = [panel for panel in panels if panel.values is None and panel.picture is not None]
    sentences = [style.sentence(title)]
    if pictures:
        names = ", ".join(panel.name for panel in pictures if panel.name)
        many = f"{len(pictures)} pictures" if len(pictures) > 1 else "A picture"
        sentences.append(f"{many}{': ' + names if names else ''}.")
    if maps:
        widest = next((panel for panel in maps if panel.signed), maps[0])
        one = f" on one scale, {widest.span}" if scale == "shared" else " on scales of their own"
        count = f"{len(maps)} maps" if len(maps) > 1 else "A map"
        sentences.append(f"{count} of {quantity}{one if len(maps) > 1 else ''}.")
        sentences += [panel.describe() for panel in maps]
    return " ".join(sentence for sentence in sentences if sentence)
