"""Pictures and maps in rows: aligned, on a stated scale, described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..checks import one_of
from . import style
from .arrays import to_image, to_map, to_mask
from .canvas import CourseFigure, finish

#: Which maps share their colour scale: all unless one goes blank, those in a row, or none.
Scale = Literal["auto", "row", "each"]

#: A map whose largest value is below this share of the scale looks blank.
_BLANK = 0.02
#: Opacity of the strongest values over a photograph; smoothing in pixels of a map of 224.
_OPACITY, _SMOOTH = 0.9, 1.5
#: Inches: the narrowest and the widest panel, and between panels.
_NARROW, _WIDE, _GAP = 1.65, 2.7, 0.16


@dataclass(frozen=True)
class Panel:
    """One cell of a grid: a picture, a map, or a map over a picture.

    Parameters
    ----------
    title : str
        Heading.
    image : picture, optional
        Anything that `to_image` takes. Without `values` it is shown as it is.
    values : attribution, optional
        Anything that `to_map` takes. Drawn on white, or over the grey `image`.
    note : str
        Written below, in smaller type.
    mask : (H, W) of bool, optional
        Its outline is drawn.
    overlay : bool or float, optional
        Whether the map lies over the picture; a number is the opacity of its strongest values. By
        default maps that are coarser than their picture do.
    name : str
        What errors and alternative text call the panel, if not by its title.
    """

    title: str = ""
    image: Any = None
    values: Any = None
    note: str = ""
    mask: Any = None
    overlay: bool | float | None = None
    name: str = ""


class _Cell:
    """A panel whose arrays are checked and ready to be drawn."""

    limit, signed, clipped, coarse, overlay = 1.0, False, False, False, 0.0

    def __init__(self, panel: Panel) -> None:
        self.title, self.notes = panel.title, [panel.note]
        self.name = " ".join((panel.name or panel.title or "without a title").split())
        self.has_map = panel.values is not None
        self.picture = to_image(panel.image) if panel.image is not None else None
        self.values = to_map(panel.values, self.name) if self.has_map else self.picture
        if self.values is None:
            raise ValueError(f"panel {self.name!r}: expected an image or values, got neither")
        self.shape = (self.values if self.picture is None else self.picture).shape[:2]
        self.mask = None if panel.mask is None else to_mask(panel.mask, self.shape) > 0
        if self.has_map and self.picture is not None:
            self._lay_over(panel.overlay)
        sigma = _SMOOTH * min(self.shape) / 224
        self.smoothed = self.has_map and not self.coarse and sigma > 0.3
        self.shown = gaussian_filter(self.values, sigma) if self.smoothed else self.values
        self.largest = float(np.abs(self.shown).max())

    def _lay_over(self, overlay: bool | float | None) -> None:
        """Find out whether the map is coarse and lies over its picture, or cannot belong to it."""
        (h, w), (height, width) = self.values.shape, self.shape
        self.coarse = (h, w) != (height, width)
        # the proportions of a coarse map are only right to within one of its cells
        if h > height or w > width or abs(np.log(h * width / w / height)) > np.log1p(1 / min(h, w)):
            sizes = f"a map of {h} × {w} does not fit a picture of {height} × {width}"
            raise ValueError(f"{self.name!r}: {sizes}; pass the picture that the network saw")
        self.notes += [f"{h} × {w} cells"] if self.coarse else []
        opacity = self.coarse if overlay is None else overlay
        self.overlay = _OPACITY if opacity is True else float(opacity)

    @property
    def span(self) -> str:
        """The colours' range in words."""
        limit = style.format_number(self.limit)
        return f"±{limit}" if self.signed else f"0 to {limit}"

    @property
    def colors(self) -> ScalarMappable:
        """The colour map and its range."""
        cmap = style.SIGNED if self.signed else style.UNSIGNED
        cmap = style.overlay_colors(self.signed, self.overlay) if self.overlay else cmap
        return ScalarMappable(Normalize(-self.limit if self.signed else 0, self.limit), cmap)

    def draw(self, axes: Axes) -> None:
        """Draw the picture, the map on white or over the grey picture, and the outline."""
        height, width = self.shape
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        if self.overlay:
            pale = 0.36 + 0.6 * self.picture @ np.array([0.299, 0.587, 0.114])
            axes.imshow(pale, extent=extent, cmap="gray", vmin=0, vmax=1)
        colors = self.colors
        # small maps keep their cells visible, unless they lie over a finer picture
        kind = "bilinear" if self.coarse and self.overlay else "auto"
        axes.imshow(
            self.shown, cmap=colors.cmap, norm=colors.norm, extent=extent, interpolation=kind
        )
        if self.mask is not None and self.mask.any() and not self.mask.all():
            padded = np.pad(self.mask.astype(float), 1)  # closes the outline at the border
            x, y = (np.arange(n + 2) - 1 for n in (width, height))
            line = axes.contour(x, y, padded, [0.5], colors=style.INK, linewidths=1.3)
            line.set_path_effects([patheffects.withStroke(linewidth=3.2, foreground=style.PAPER)])
        axes.set(xlim=extent[:2], ylim=extent[2:])


def show_grid(
    rows: Sequence[Sequence[Panel | None]], *, row_titles: Sequence[str] | None = None,
    scale: Scale = "auto", clip_percentile: float = 100, quantity: str = "attribution",
    panel_width: float = _WIDE, **words: Any
) -> CourseFigure:  # fmt: skip
    """Show rows of pictures and maps, aligned, with their scale stated.

    Colours are signed where a scale has a negative value. Pixel maps are smoothed a little for the
    eye, and the figure says so; small maps are not; overlaid coarse maps are interpolated.

    Parameters
    ----------
    rows : sequence of sequences of Panel or None
        None leaves a cell empty.
    row_titles : sequence of str, optional
        Written to the left of the rows.
    scale : "auto", "row" or "each"
        Which maps share their colour scale. Only colours on one scale can be compared, so "auto"
        gives all maps the same, unless that would leave one of them blank; then each has its own.
        With "row" and "each", each map's limit is written below it.
    clip_percentile : float
        Colours saturate at this percentile of |values| (of all maps that share the scale) instead
        of at the largest; the figure says so.
    quantity : str
        What the colours measure, for the colour bar's label: "contribution to the logit".
    panel_width : float
        In inches, at least 1.65; less where the row would be wider than the page.
    **words
        title, caption, alt, display: as everywhere in `plots`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a map holds NaN or does not fit its picture, or there are not as many rows as titles.
    """
    cells = [[panel and _Cell(panel) for panel in row] for row in rows]
    shown = [cell for row in cells for cell in row if cell]
    if not shown:
        raise ValueError("expected at least one panel, got none")
    used = _set_scales(cells, scale, clip_percentile)
    fig, maps = _lay_out(cells, row_titles, panel_width), [cell for cell in shown if cell.has_map]
    alt = f"Rows: {', '.join(row_titles)}. " if row_titles else ""
    for kind in (False, True):
        names = dict.fromkeys(cell.name for cell in shown if cell.has_map == kind)
        alt += f"{'Maps' if kind else 'Pictures'}: {', '.join(names)}. " if names else ""
    if not maps:
        return finish(fig, alt, **words)
    _draw_color_bars(fig, maps, used == "auto", quantity)
    note = f"Each {used.replace('each', 'map')} has its own scale"
    if used == "auto":
        note = f"{'One scale for all maps' if maps[1:] else 'Scale'}: {maps[0].span}"
    if any(cell.clipped for cell in maps):
        note += f", clipped at percentile {clip_percentile:g} of |values|"
    alt += f"Colours: {quantity}. {note}."
    if any(cell.smoothed for cell in maps):
        note += f"; smoothed for display (Gaussian, σ = {_SMOOTH} px of 224)"
    return finish(fig, alt, f"{note}.", **words)


def _set_scales(cells: list[list[_Cell | None]], scale: Scale, percentile: float) -> Scale:
    """Give every map its colours and their limit; return which maps share a scale."""
    rows = [[cell for cell in row if cell and cell.has_map] for row in cells]
    maps = [cell for row in rows for cell in row]
    groups = {"auto": [maps], "row": rows, "each": [[cell] for cell in maps]}
    for group in filter(None, groups[one_of("scale", scale, groups)]):
        magnitudes = np.abs(np.concatenate([cell.shown.ravel() for cell in group]))
        # a percentile of zero means that nearly everything is zero: there is nothing to clip
        end = np.percentile(magnitudes, percentile) or magnitudes.max() or 1.0
        negative = any(cell.values.min() < 0 for cell in group)
        for cell in group:
            cell.signed, cell.limit, cell.clipped = negative, float(end), end < magnitudes.max()
    if scale == "auto" and any(0 < cell.largest < _BLANK * cell.limit for cell in maps):
        return _set_scales(cells, "each", percentile)
    for cell in maps:
        if not cell.largest or scale != "auto":
            cell.notes.append(cell.span if cell.largest else "all zero")
    return scale


def _lay_out(
    cells: list[list[_Cell | None]], row_titles: Sequence[str] | None, panel_width: float
) -> CourseFigure:
    """Draw all panels; the figure has the size that their pictures and words need."""
    ncols = max(len(row) for row in cells)
    titles = [style.wrap(title, 1.3, style.SIZE_PANEL) for title in row_titles or []]
    letters = max((len(line) for title in titles for line in title.split("\n")), default=0)
    left = letters * 0.68 * style.SIZE_PANEL / 72 + 0.1
    room = (style.WIDTH - left - 0.2) / ncols - _GAP
    width = min(room, max(panel_width, _NARROW))
    # titles break at blanks only: if their longest word is too wide, all of them become smaller
    words = " ".join(cell.title for row in cells for cell in row if cell).split()
    longest = max(map(len, words), default=1) * style.BOLD_LETTER * style.SIZE_PANEL / 72
    shrink = min(1.0, max(0.55, width / longest))
    size, aspects, height = shrink * style.SIZE_PANEL, [], 0.1
    for row in cells:
        shown = [cell for cell in row if cell]
        for cell in shown:
            cell.title = style.wrap(cell.title, width / shrink, style.SIZE_PANEL)
            cell.note = style.wrap("\n".join(filter(None, cell.notes)), width, style.SIZE_NOTE)
        aspects.append(min(max((c.shape[0] / c.shape[1] for c in shown), default=1.0), 1.4))
        above = max((style.height_of(c.title, size) for c in shown), default=0.0)
        below = max((style.height_of(c.note, style.SIZE_NOTE) for c in shown), default=0.0)
        height += width * aspects[-1] + above + below + 0.2
    full = max(left + ncols * (width + _GAP) + 0.2, 4.5)
    fig = CourseFigure(figsize=(full, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=_GAP / 2, h_pad=0.05, wspace=0.0, hspace=0.0)
    bare = {"xticks": [], "yticks": [], "anchor": "NW", "frame_on": False}
    grid = fig.subplots(len(cells), ncols, squeeze=False, height_ratios=aspects, subplot_kw=bare)
    for axes, row, title in zip(grid, cells, titles or [""] * len(cells), strict=True):
        for panel, cell in zip(axes, row, strict=False):
            if cell:
                cell.draw(panel)
                panel.set_title(cell.title, fontsize=size)
                panel.set_xlabel(cell.note, loc="left", fontsize=10, color=style.MUTED)
        axes[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=12, weight="bold")
    return fig


def _draw_color_bars(fig: CourseFigure, maps: list[_Cell], one_scale: bool, quantity: str) -> None:
    """Draw a colour bar for each kind of colours."""
    panels = list(fig.axes)
    for first in {cell.signed: cell for cell in reversed(maps)}.values():
        clipped = any(cell.clipped for cell in maps if cell.signed == first.signed)
        fig.set_figheight(fig.get_figheight() + 0.75)
        bar = fig.colorbar(
            first.colors, ax=panels, location="bottom", shrink=2.8 / fig.get_figwidth(), aspect=20,
            pad=0.01, anchor=(0.5, 0.5), label=quantity,
            extend=("both" if first.signed else "max") if clipped else "neither",
        )  # fmt: skip
        end = style.format_number(first.limit) if one_scale else "largest"
        ticks = [-first.limit, 0, first.limit] if first.signed else [0, first.limit]
        bar.set_ticks(ticks, labels=[f"−{end}", "0", end][-len(ticks) :])
        bar.ax.set_facecolor("#bdbdbd" if first.overlay else style.PAPER)
        bar.outline.set(edgecolor=style.FAINT)


def show_attributions(
    image: Any, maps: Any, *, overlay: bool | float | None = None, mask: Any = None,
    notes: Mapping[str, str] | None = None, ncols: int | None = None,
    image_title: str = "Photograph", **options: Any
) -> CourseFigure:  # fmt: skip
    """Show an image with any number of attribution maps on one stated scale.

    Parameters
    ----------
    image : picture
        What the network saw, not normalised; anything that `to_image` takes.
    maps : mapping of name to attribution, or attributions
        Each is anything that `to_map` takes. Without names: a list, a batch (N, C, H, W), or one.
    overlay : bool or float, optional
        Lay the maps over the photograph in grey; a number is the opacity of the strongest values.
        By default coarse maps are, and maps of the picture's size are drawn on white.
    mask : (H, W) of bool, optional
        Outlined in every panel, for example the object's true pixels.
    notes : mapping of name to str, optional
        Written below some of the maps.
    ncols : int, optional
        Panels in a row, the image included; at most 5.
    image_title : str
    **options
        scale, clip_percentile, quantity, title, caption, alt, display: as in `show_grid`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no maps, or one holds NaN or infinite values or does not fit the image.
    """
    if not isinstance(maps, Mapping):
        maps = {f"Map {number}": values for number, values in enumerate(_each(maps), start=1)}
    if not maps or not set(notes or {}) <= set(maps):
        raise ValueError(f"expected maps by name and notes for some, got {list(maps)}, {notes}")
    panels = [Panel(image_title, image, mask=mask)]
    for name, values in maps.items():
        panels.append(Panel(str(name), image, values, (notes or {}).get(name, ""), mask, overlay))
    return show_grid(_in_rows(panels, ncols), **options)


def _each(given: Any) -> list[Any]:
    """Return a list of pictures or maps, from one, a batch or a sequence of them."""
    given = getattr(given, "attributions", given)
    shape = getattr(given, "shape", ())
    flat = len(shape) == 3 and (shape[0] in (1, 3) or shape[2] in (1, 3, 4))
    return [given] if len(shape) == 2 or flat or isinstance(given, Image.Image) else list(given)


def _in_rows(panels: Sequence[Panel], ncols: int | None) -> list[list[Panel]]:
    """Cut a list of panels into rows of nearly equal length, of at most five."""
    length = -(-len(panels) // -(-len(panels) // 5)) if ncols is None or ncols > 5 else ncols
    return [list(panels[start : start + length]) for start in range(0, len(panels), length)]


def show_gallery(
    images: Any, titles: Sequence[str] | None = None, *, notes: Sequence[str] | None = None,
    ncols: int | None = None, **options: Any
) -> CourseFigure:  # fmt: skip
    """Show pictures as a contact sheet.

    Parameters
    ----------
    images : mapping of title to picture, sequence of pictures, batch (N, 3, H, W), or one picture
        Anything that `to_image` takes.
    titles, notes : sequence of str, optional
        Headings, and words below; one for each picture.
    ncols : int, optional
        Pictures in a row; at most 5.
    **options
        panel_width, title, caption, alt, display: as in `show_grid`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no pictures, or titles or notes are not as many.
    """
    if isinstance(images, Mapping):
        titles, images = [str(name) for name in images], list(images.values())
    images = _each(images)
    titles, notes = (texts or [""] * len(images) for texts in (titles, notes))
    if not 0 < len(images) == len(titles) == len(notes):
        raise ValueError(
            f"expected pictures, and as many titles and notes: got {len(images)} images, "
            f"{len(titles)} titles, {len(notes)} notes"
        )
    panels = [Panel(t, image, note=n) for t, image, n in zip(titles, images, notes, strict=True)]
    return show_grid(_in_rows(panels, ncols), **options)
