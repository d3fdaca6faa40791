"""Pictures and attribution maps: side by side on one stated scale, blended, in grids, as a poster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from . import style
from .arrays import Reduce, describe_map, to_image, to_map, to_mask
from .canvas import CourseFigure, Sheet, finish

Scale = Literal["shared", "row", "each"]

_MARGIN, _GAP, _MAX_PANEL = 0.14, 0.14, 2.9
_ROW_TITLE_WIDTH = 1.25
_BAR_HEIGHT = 0.52
#: A map whose largest value is below this share of the scale looks empty, so its panel says so.
_FAINT_SHARE = 0.02
#: Default opacity of the strongest values when a map is laid over the photograph.
_OPACITY = 0.9


@dataclass(frozen=True)
class Panel:
    """One cell of a grid: a picture, a map, or a map over a picture.

    Parameters
    ----------
    title, note : str
        Heading, and a second line in smaller type.
    image : picture, optional
        Anything that `to_image` takes. Without `values` it is shown as it is.
    values : attribution, optional
        (H, W) or (C, H, W); drawn on white, or over the grey `image` when `overlay` is given.
    mask : (H, W) of bool, optional
        Its outline is drawn.
    overlay : float, optional
        Opacity in (0, 1] of the strongest values over the photograph.
    signed : bool, optional
        Which colour map; by default signed if any map on the same scale has a negative value.
    limit : float, optional
        A scale of its own: colours span −limit..limit or 0..limit.
    reduce : str, optional
        What becomes of this map's channels, if not what the others' do.
    """

    title: str = ""
    image: Any = None
    values: Any = None
    note: str = ""
    mask: Any = None
    overlay: float | None = None
    signed: bool | None = None
    limit: float | None = None
    reduce: Reduce | None = None


@dataclass(frozen=True)
class _Ready:
    """A panel whose arrays are checked and whose scale is settled."""

    title: str
    note: str
    picture: NDArray | None
    values: NDArray | None
    mask: NDArray | None
    overlay: float | None
    signed: bool | None
    limit: float | None
    clipped: bool = False

    @property
    def aspect(self) -> float:
        """Height over width."""
        shape = self.picture.shape if self.picture is not None else self.values.shape
        return shape[0] / shape[1]


# --------------------------------------------------------------------------- preparation


def _prepare(panel: Panel | None, reduce: Reduce) -> _Ready | None:
    """Check a panel's arrays."""
    if panel is None:
        return None
    name = panel.title or "map"
    if panel.image is None and panel.values is None:
        raise ValueError(f"panel {name!r}: expected an image, values, or both")
    if panel.overlay is not None and not 0 < panel.overlay <= 1:
        raise ValueError(f"panel {name!r}: overlay={panel.overlay} is not an opacity in (0, 1]")
    picture = None if panel.image is None else to_image(panel.image)
    values = None if panel.values is None else to_map(panel.values, name, panel.reduce or reduce)
    note = panel.note
    if picture is not None and values is not None:
        note = _join(note, _check_fit(values.shape, picture.shape[:2], name))
    shape = picture.shape[:2] if picture is not None else values.shape
    mask = None if panel.mask is None else to_mask(panel.mask, shape)
    if panel.signed is False and values is not None and values.min() < 0:
        raise ValueError(
            f"{name!r} has negative values (lowest {values.min():.3g}) but signed=False: leave "
            "signed out, or ask for magnitudes with reduce='abs_sum'"
        )
    return _Ready(
        panel.title, note, picture, values, mask, panel.overlay, panel.signed, panel.limit
    )


def _check_fit(map_shape: tuple, picture_shape: tuple, name: str) -> str:
    """Return a note if the map is coarser than the picture; raise if it cannot belong to it."""
    if map_shape == picture_shape:
        return ""
    proportions = (map_shape[0] / map_shape[1]) / (picture_shape[0] / picture_shape[1])
    one_cell = 1 / min(map_shape)  # a coarse map's proportions are only right to within a cell
    too_large = map_shape[0] > picture_shape[0] or map_shape[1] > picture_shape[1]
    if too_large or abs(np.log(proportions)) > np.log1p(one_cell):
        raise ValueError(
            f"{name!r}: a map of {map_shape[0]} × {map_shape[1]} does not fit a picture of "
            f"{picture_shape[0]} × {picture_shape[1]}; expected the same size, or a coarser map of "
            "the same proportions. Pass the picture that the network saw (after resizing and "
            "cropping), not the file"
        )
    return f"{map_shape[0]} × {map_shape[1]} cells, enlarged"


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _set_scales(
    rows: list[list[_Ready | None]], scale: Scale, percentile: float | None, signed: bool | None
) -> list[list[_Ready | None]]:
    """Give every map its colour limits: shared by all, by a row, or its own."""
    if scale not in ("shared", "row", "each"):
        raise ValueError(f"scale={scale!r}: expected 'shared', 'row' or 'each'")
    if percentile is not None and not 0 < percentile <= 100:
        raise ValueError(f"clip_percentile={percentile}: expected a number in (0, 100]")
    cells = {(r, c): p for r, row in enumerate(rows) for c, p in enumerate(row)}
    scaled = [where for where, p in cells.items() if p and p.values is not None]
    keys = {"shared": lambda _: 0, "row": lambda where: where[0], "each": lambda where: where}
    groups: dict[Any, list] = {}
    for where in scaled:
        groups.setdefault(keys[scale](where), []).append(where)
    for group in groups.values():
        limit, clipped = _limit([cells[where].values for where in group], percentile)
        any_negative = any(cells[where].values.min() < 0 for where in group)
        for where in group:
            panel = cells[where]
            own = panel.signed if panel.signed is not None else signed
            cells[where] = replace(
                panel,
                signed=any_negative if own is None else own,
                limit=limit if panel.limit is None else panel.limit,
                clipped=clipped and panel.limit is None,
            )
    return [[cells[r, c] for c in range(len(row))] for r, row in enumerate(rows)]


def _limit(maps: list[NDArray], percentile: float | None) -> tuple[float, bool]:
    """Largest |value| over all maps, or its percentile; and whether anything is beyond it."""
    magnitudes = np.abs(np.concatenate([values.ravel() for values in maps]))
    largest = float(magnitudes.max())
    limit = float(np.percentile(magnitudes, percentile)) if percentile is not None else largest
    if limit == 0:  # nearly everything is zero: there is nothing to clip
        limit = largest
    return (limit or 1.0), limit < largest


# --------------------------------------------------------------------------- drawing


def _draw(axes: Axes, panel: _Ready, smooth: bool) -> None:
    """Draw one panel's content."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_anchor("N")
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.FAINT, linewidth=0.8)
    shape = panel.picture.shape[:2] if panel.picture is not None else panel.values.shape
    extent = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)
    if panel.values is None:
        axes.imshow(panel.picture, extent=extent)
    else:
        if panel.overlay is not None and panel.picture is not None:
            axes.imshow(_paled(panel.picture), extent=extent, cmap="gray", vmin=0, vmax=1)
        _draw_map(axes, panel, extent, smooth)
        _say_if_empty(axes, panel)
    if panel.mask is not None:
        draw_outline(axes, panel.mask)


def _paled(picture: NDArray) -> NDArray:
    """Return the photograph in light grey, so that colours over it keep their meaning."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    return 0.38 + 0.6 * grey


def _draw_map(axes: Axes, panel: _Ready, extent: tuple, smooth: bool) -> None:
    """Draw the map on white, or over the photograph with opacity growing with magnitude."""
    coarse = max(panel.values.shape) < 56
    over = panel.overlay is not None and panel.picture is not None
    # Coarse maps keep their cells visible, unless a smooth look is asked for.
    method = ("bicubic" if smooth else "nearest") if coarse else "auto"
    low = -panel.limit if panel.signed else 0.0
    magnitude = np.minimum(np.abs(panel.values) / panel.limit, 1)
    axes.imshow(
        panel.values,
        cmap=style.SIGNED if panel.signed else style.UNSIGNED,
        vmin=low,
        vmax=panel.limit,
        extent=extent,
        alpha=panel.overlay * np.sqrt(magnitude) if over else None,
        interpolation=method,
    )


def _say_if_empty(axes: Axes, panel: _Ready) -> None:
    """Write into a panel that would otherwise look blank why it does."""
    largest = float(np.abs(panel.values).max())
    if largest == 0:
        message, size = "all zero", style.SIZE_TEXT
    elif largest < _FAINT_SHARE * panel.limit:
        share = style.format_percent(largest / panel.limit)
        message, size = f"never above {share}\nof the scale", style.SIZE_NOTE
    else:
        return
    axes.text(
        0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center",
        fontsize=size, color=style.MUTED, style="italic",
        bbox={"facecolor": style.PAPER, "edgecolor": style.FAINT, "boxstyle": "round,pad=0.35"},
    )  # fmt: skip


def draw_outline(axes: Axes, mask: NDArray, color: str = style.INK) -> None:
    """Outline a mask: a dark line with a light edge, visible on any photograph."""
    if mask.all() or not mask.any():
        return
    padded = np.pad(mask.astype(float), 1)  # closes the outline along the picture's border
    rows, columns = padded.shape
    contour = axes.contour(
        np.arange(columns) - 1, np.arange(rows) - 1, padded, [0.5], colors=color, linewidths=1.3
    )
    contour.set_path_effects([patheffects.withStroke(linewidth=3.2, foreground=style.PAPER)])
    axes.set(xlim=(-0.5, columns - 2.5), ylim=(rows - 2.5, -0.5))


# --------------------------------------------------------------------------- sheets


@dataclass
class _Row:
    """Measured heights of one row of panels, in inches."""

    titles: list[str]
    notes: list[str]
    title_height: float
    note_height: float
    panel_height: float

    @property
    def height(self) -> float:
        return self.title_height + self.note_height + self.panel_height


def _measure(row: list[_Ready | None], width: float, max_aspect: float) -> _Row:
    """Break headings into lines and find how tall a row is."""
    panels = [panel or _Ready("", "", None, np.zeros((1, 1)), None, None, None, 1) for panel in row]
    titles = [style.wrap(p.title, width, style.SIZE_PANEL, bold=True) for p in panels]
    notes = [style.wrap(p.note, width, style.SIZE_NOTE) for p in panels]

    def height(texts: list[str], size: float) -> float:
        lines = max((text.count("\n") + 1 for text in texts if text), default=0)
        return style.text_height(lines, size) + (0.03 if lines else 0)

    aspect = max((p.aspect for p in row if p), default=1.0)
    return _Row(
        titles,
        notes,
        height(titles, style.SIZE_PANEL),
        height(notes, style.SIZE_NOTE),
        width * min(aspect, max_aspect),
    )


def show_grid(
    rows: Sequence[Sequence[Panel | None]],
    *,
    row_titles: Sequence[str] | None = None,
    scale: Scale = "shared",
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
        Which maps share their colour scale. With "row" and "each" the figure says that colours
        cannot be compared, and each map's (or row's) limit is written beside it.
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
        In inches; by default the row fills the page, at most 2.9.
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
    ready = [[_prepare(panel, reduce) for panel in row] for row in rows]
    if not any(panel for row in ready for panel in row):
        raise ValueError("expected at least one panel, got none")
    if row_titles is not None and len(row_titles) != len(ready):
        raise ValueError(f"{len(ready)} rows but {len(row_titles)} row titles")
    ready = _set_scales(ready, scale, clip_percentile, signed)
    ready = [[_state_own_scale(panel, scale) for panel in row] for row in ready]
    fig = _draw_sheet(
        ready, row_titles, scale, clip_percentile, quantity, smooth, title, panel_width
    )
    return finish(fig, alt, _describe(ready, scale, quantity, title), caption, display)


def _state_own_scale(panel: _Ready | None, scale: Scale) -> _Ready | None:
    """Write a map's limit into its note, where the maps do not share one scale."""
    if panel is None or panel.values is None or scale == "shared" or not panel.values.any():
        return panel
    return replace(panel, note=_join(panel.note, f"scale {_span(panel)}"))


def _span(panel: _Ready) -> str:
    """Return "±0.031" or "0 to 0.031"."""
    limit = style.format_number(panel.limit)
    return f"±{limit}" if panel.signed else f"0 to {limit}"


def _draw_sheet(
    rows: list[list[_Ready | None]],
    row_titles: Sequence[str] | None,
    scale: Scale,
    percentile: float | None,
    quantity: str,
    smooth: bool,
    title: str | None,
    panel_width: float | None,
) -> CourseFigure:
    """Lay out and draw all panels and the colour bars."""
    ncols = max(len(row) for row in rows)
    left = _MARGIN + (_ROW_TITLE_WIDTH if row_titles else 0)
    available = (style.WIDTH - left - _MARGIN - _GAP * (ncols - 1)) / ncols
    panel = panel_width or min(available, _MAX_PANEL)
    width = left + ncols * panel + _GAP * (ncols - 1) + _MARGIN
    width = max(width, 5.0)
    heading = style.wrap(title, width - 2 * _MARGIN, style.SIZE_TITLE, bold=True) if title else ""
    top = 0.12 + (
        style.text_height(heading.count("\n") + 1, style.SIZE_TITLE) + 0.1 if title else 0
    )
    measured = [_measure(row, panel, max_aspect=1.3) for row in rows]
    bars = _colour_bars(rows, scale, percentile, quantity)
    height = top + sum(row.height + 0.14 for row in measured) + _BAR_HEIGHT * len(bars)
    sheet = Sheet(width, height)
    if heading:
        sheet.text(_MARGIN, 0.12, heading, fontsize=style.SIZE_TITLE, fontweight="bold")
    y = top
    for index, (row, sizes) in enumerate(zip(rows, measured, strict=True)):
        if row_titles:
            _draw_row_title(sheet, row_titles[index], y + sizes.height - sizes.panel_height)
        _draw_row(sheet, row, sizes, left, y, panel, smooth)
        y += sizes.height + 0.14
    _draw_colour_bars(sheet, bars, left, y)
    return sheet.fig


def _draw_row_title(sheet: Sheet, text: str, y: float) -> None:
    text = style.wrap(text, _ROW_TITLE_WIDTH - 0.12, style.SIZE_PANEL, bold=True)
    sheet.text(_MARGIN, y, text, fontsize=style.SIZE_PANEL, fontweight="bold")


def _draw_row(
    sheet: Sheet,
    row: list[_Ready | None],
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
        x = left + column * (width + _GAP)
        y = top + sizes.title_height
        sheet.text(
            x, y - 0.07, sizes.titles[column], va="baseline",
            fontsize=style.SIZE_PANEL, fontweight="bold",
        )  # fmt: skip
        y += sizes.note_height
        sheet.text(
            x, y - 0.03 - sizes.note_height, sizes.notes[column],
            fontsize=style.SIZE_NOTE, color=style.MUTED,
        )  # fmt: skip
        _draw(sheet.axes(x, y, width, sizes.panel_height), panel, smooth)


@dataclass
class _Bar:
    """One colour bar."""

    signed: bool
    limit: float | None  # None: the maps differ, so the bar carries words instead of numbers
    extend: bool
    label: str


def _colour_bars(
    rows: list[list[_Ready | None]], scale: Scale, percentile: float | None, quantity: str
) -> list[_Bar]:
    """Decide which colour bars the figure needs and what they say."""
    maps = [p for row in rows for p in row if p and p.values is not None and p.signed is not None]
    if not any(panel.values.any() for panel in maps):
        return []
    bars = []
    clip = ""
    if percentile is not None:
        what = {"shared": "|values| of all maps", "row": "|values| in the row"}
        clip = (
            f"; clipped at the {_ordinal(percentile)} percentile of {what.get(scale, '|values|')}"
        )
        clip = clip if any(panel.clipped for panel in maps) else "; nothing clipped"
    for signed in sorted({panel.signed for panel in maps}, reverse=True):
        kind = [panel for panel in maps if panel.signed == signed]
        limits = {panel.limit for panel in kind}
        what = quantity if signed or not any(p.signed for p in maps) else f"|{quantity}|"
        if len(limits) == 1 and (scale == "shared" or len(kind) == 1):
            shared = "one scale for all maps: " if len(kind) > 1 else ""
            label = f"{what} ({shared}{_span(kind[0])}{clip})"
            bars.append(_Bar(signed, limits.pop(), kind[0].clipped, label))
        else:
            which = "row has" if scale == "row" else "map has"
            label = f"{what} (each {which} its own scale, written above it{clip})"
            bars.append(_Bar(signed, None, any(p.clipped for p in kind), label))
    return bars


def _ordinal(number: float) -> str:
    """Return "99th", "99.5th", "1st"."""
    text = f"{number:g}"
    endings = {"1": "st", "2": "nd", "3": "rd"}
    if "." in text or text[-2:] in ("11", "12", "13"):
        return f"{text}th"
    return text + endings.get(text[-1], "th")


def _draw_colour_bars(sheet: Sheet, bars: list[_Bar], left: float, y: float) -> None:
    """Draw the colour bars under the panels, each with its label to the right."""
    for bar in bars:
        first, last = _tick_labels(bar.signed, bar.limit)[:: 2 if bar.signed else 1]
        indent = style.text_width(first, style.SIZE_NOTE) / 2
        x = left + indent
        length = min(2.5, (sheet.width - x - _MARGIN) / 2)
        draw_colour_bar(sheet.axes(x, y + 0.08, length, 0.13), bar.signed, bar.limit, bar.extend)
        x += length + style.text_width(last, style.SIZE_NOTE) / 2 + 0.18
        text = style.wrap(bar.label, sheet.width - x - _MARGIN, style.SIZE_NOTE)
        sheet.text(x, y + 0.145, text, va="center", fontsize=style.SIZE_NOTE)
        y += _BAR_HEIGHT


def draw_colour_bar(axes: Axes, signed: bool, limit: float | None, extend: bool = False) -> None:
    """Draw a horizontal colour bar; without a limit, its ends carry words."""
    span = limit or 1.0
    norm = Normalize(-span if signed else 0, span)
    mappable = ScalarMappable(norm, style.SIGNED if signed else style.UNSIGNED)
    ends = ("both" if signed else "max") if extend else "neither"
    bar = axes.figure.colorbar(
        mappable, cax=axes, orientation="horizontal", extend=ends, extendfrac=0.04
    )
    bar.outline.set(edgecolor=style.FAINT, linewidth=0.8)
    ticks = [-span, 0, span] if signed else [0, span]
    bar.set_ticks(ticks, labels=_tick_labels(signed, limit))
    axes.tick_params(length=0, pad=2.5, labelsize=style.SIZE_NOTE)
    axes.minorticks_off()


def _tick_labels(signed: bool, limit: float | None) -> list[str]:
    """Return what stands under the ends and the zero of a colour bar."""
    if limit is None:
        return ["lowest", "0", "highest"] if signed else ["0", "highest"]
    top = style.format_number(limit)
    return [f"−{top}", "0", top] if signed else ["0", top]


def _describe(
    rows: list[list[_Ready | None]], scale: Scale, quantity: str, title: str | None
) -> str:
    """Alternative text from the content: what is shown, on which scale, where it is strong."""
    panels = [panel for row in rows for panel in row if panel]
    maps = [panel for panel in panels if panel.values is not None]
    pictures = [panel for panel in panels if panel.values is None]
    sentences = [f"{title}." if title else ""]
    if pictures:
        names = ", ".join(panel.title for panel in pictures if panel.title)
        many = f"{len(pictures)} pictures" if len(pictures) > 1 else "A picture"
        sentences.append(f"{many}{': ' + names if names else ''}.")
    if maps:
        one = f" on one scale, {_span(maps[0])}" if scale == "shared" and len(maps) > 1 else ""
        count = f"{len(maps)} maps" if len(maps) > 1 else "A map"
        sentences.append(f"{count} of {quantity}{one}.")
        sentences += [_describe_panel(panel) for panel in maps]
    return " ".join(sentence for sentence in sentences if sentence)


def _describe_panel(panel: _Ready) -> str:
    name = panel.title or "It"
    inside = ""
    mass = np.abs(panel.values)
    if panel.mask is not None and panel.mask.shape == mass.shape and mass.any():
        inside = f"; {100 * mass[panel.mask].sum() / mass.sum():.0f} % lies in the outlined region"
    return f"{name}: {describe_map(panel.values)}{inside}."
