"""One cell of a sheet: a picture, a map or a map over a picture, and the scale it is drawn on."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from numpy.typing import NDArray

from . import style
from .arrays import Reduce, describe_map, to_image, to_map, to_mask

#: Which maps share their colour scale: all, those in a row, or none.
Scale = Literal["shared", "row", "each"]

#: A map whose largest value is below this share of the scale looks empty, so its panel says so.
_FAINT_SHARE = 0.02
#: Maps smaller than this are drawn as visible cells.
_COARSE = 56


@dataclass(frozen=True)
class Panel:
    """One cell of a grid: a picture, a map, a map over a picture, or a text.

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
    reduce : str, optional
        What becomes of this map's channels, if not what the others' do.
    text : str
        Written into a cell that has neither image nor values.
    name : str
        What alternative text calls the panel, if not by its title.
    """

    title: str = ""
    image: Any = None
    values: Any = None
    note: str = ""
    mask: Any = None
    overlay: float | None = None
    signed: bool | None = None
    reduce: Reduce | None = None
    text: str = ""
    name: str = ""


@dataclass(frozen=True)
class Ready:
    """A panel whose arrays are checked; `on_scales` settles its colours' limit."""

    title: str = ""
    note: str = ""
    name: str = ""
    text: str = ""
    picture: NDArray | None = None
    values: NDArray | None = None
    mask: NDArray | None = None
    overlay: float | None = None
    signed: bool | None = None
    limit: float = 1.0
    clipped: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels of what is drawn."""
        if self.picture is not None:
            return self.picture.shape[:2]
        return self.values.shape if self.values is not None else (1, 1)

    @property
    def is_overlay(self) -> bool:
        """Whether a map lies over a photograph."""
        return self.overlay is not None and self.picture is not None and self.values is not None

    @property
    def span(self) -> str:
        """The colours' range in words: "±0.031" or "0 to 0.031"."""
        limit = style.format_number(self.limit)
        return f"±{limit}" if self.signed else f"0\u00a0to\u00a0{limit}"

    def describe(self) -> str:
        """Say in a sentence where the map is strong."""
        inside = ""
        mass = np.abs(self.values)
        if self.mask is not None and self.mask.shape == mass.shape and mass.any():
            share = style.format_percent(mass[self.mask].sum() / mass.sum())
            inside = f"; {share} of it lies in the outlined region"
        return f"{self.name or 'The map'}: {describe_map(self.values)}{inside}."


def prepare(panel: Panel | None, reduce: Reduce, smooth: bool) -> Ready | None:
    """Check a panel's arrays."""
    if panel is None:
        return None
    name = panel.name or panel.title
    if panel.image is None and panel.values is None and not panel.text:
        raise ValueError(f"panel {name!r}: expected an image, values, or a text")
    if panel.overlay is not None and not 0 < panel.overlay <= 1:
        raise ValueError(f"panel {name!r}: overlay={panel.overlay} is not an opacity in (0, 1]")
    picture = None if panel.image is None else to_image(panel.image)
    values = None
    note = panel.note
    if panel.values is not None:
        values = to_map(panel.values, name or "map", panel.reduce or reduce)
        if picture is not None:
            note = join(note, _fit_note(values.shape, picture.shape[:2], name, smooth))
    ready = Ready(
        panel.title, note, name, panel.text, picture, values, None, panel.overlay, panel.signed
    )
    return replace(ready, mask=None if panel.mask is None else to_mask(panel.mask, ready.shape))


def join(*parts: str) -> str:
    """Join what is not empty."""
    return " · ".join(part for part in parts if part)


def _fit_note(
    map_shape: tuple[int, int], picture_shape: tuple[int, int], name: str, smooth: bool
) -> str:
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
    cells = f"{map_shape[0]} × {map_shape[1]} cells".replace(" ", "\u00a0")
    return f"{cells}, smoothed" if smooth else cells


def on_scales(
    rows: list[list[Ready | None]],
    scale: Scale,
    percentile: float | None = None,
    signed: bool | None = None,
    limit: float | None = None,
) -> list[list[Ready | None]]:
    """Give every map its colour limit: shared by all, by a row, or its own."""
    if scale not in ("shared", "row", "each"):
        raise ValueError(f"scale={scale!r}: expected 'shared', 'row' or 'each'")
    if percentile is not None and not 0 < percentile <= 100:
        raise ValueError(f"clip_percentile={percentile}: expected a number in (0, 100]")
    if limit is not None and (percentile is not None or scale != "shared" or not limit > 0):
        raise ValueError(
            f"limit={limit}: expected a positive number, scale='shared' and no clip_percentile"
        )
    groups: dict[Hashable, list[Ready]] = {}

    def key(row: int, column: int) -> Hashable:
        return {"shared": 0, "row": row, "each": (row, column)}[scale]

    for r, row in enumerate(rows):
        for c, panel in enumerate(row):
            if panel is not None and panel.values is not None:
                groups.setdefault(key(r, c), []).append(panel)
    scales = {group: _limit(maps, percentile, limit) for group, maps in groups.items()}
    negative = {g: any(panel.values.min() < 0 for panel in maps) for g, maps in groups.items()}

    def settled(panel: Ready | None, group: Hashable) -> Ready | None:
        if panel is None or panel.values is None:
            return panel
        own = panel.signed if panel.signed is not None else signed
        kind = negative[group] if own is None else own
        if not kind and panel.values.min() < 0:
            raise ValueError(
                f"{panel.name!r} has negative values (lowest {panel.values.min():.3g}) but "
                "signed=False: leave signed out, or ask for magnitudes with reduce='abs_sum'"
            )
        return replace(
            panel, signed=kind, limit=scales[group], clipped=scales[group] < _largest(groups[group])
        )

    return [
        [settled(panel, key(r, c)) for c, panel in enumerate(row)] for r, row in enumerate(rows)
    ]


def _largest(maps: list[Ready]) -> float:
    """Largest |value| in any of the maps."""
    return max(float(np.abs(panel.values).max()) for panel in maps)


def _limit(maps: list[Ready], percentile: float | None, fixed: float | None) -> float:
    """Largest |value| over all maps, or its percentile; 1 if everything is zero."""
    if fixed is not None:
        return float(fixed)
    limit = 0.0
    if percentile is not None:
        magnitudes = np.abs(np.concatenate([panel.values.ravel() for panel in maps]))
        limit = float(np.percentile(magnitudes, percentile))
    # A percentile of zero means that nearly everything is zero: there is nothing to clip.
    return limit or _largest(maps) or 1.0


# --------------------------------------------------------------------------- drawing


def draw_panel(axes: Axes, panel: Ready, smooth: bool) -> None:
    """Draw one panel's content."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_anchor("NW")
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.FAINT, linewidth=0.8)
    height, width = panel.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    if panel.values is not None:
        if panel.is_overlay:
            axes.imshow(_paled(panel.picture), extent=extent, cmap="gray", vmin=0, vmax=1)
        _draw_map(axes, panel, extent, smooth)
        _say_if_empty(axes, panel)
    elif panel.picture is not None:
        axes.imshow(panel.picture, extent=extent)
    else:
        _draw_text(axes, panel.text)
    if panel.mask is not None:
        draw_outline(axes, panel.mask)


def _draw_text(axes: Axes, text: str) -> None:
    """Fill a cell with a few words."""
    axes.set_facecolor(style.TRACK)
    width = axes.get_position().width * axes.figure.get_figwidth() - 0.2
    text = style.wrap(text, width, style.SIZE_NOTE)
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center",
        fontsize=style.SIZE_NOTE, color=style.MUTED,
    )  # fmt: skip


def _paled(picture: NDArray) -> NDArray:
    """Return the photograph in light grey, so that colours over it keep their meaning."""
    return 0.36 + 0.6 * (picture @ np.array([0.299, 0.587, 0.114]))


def _draw_map(
    axes: Axes, panel: Ready, extent: tuple[float, float, float, float], smooth: bool
) -> None:
    """Draw the map on white, or over the photograph with opacity growing with magnitude."""
    coarse = max(panel.values.shape) < _COARSE
    colours, _ = style.colormaps(panel.signed, panel.overlay if panel.is_overlay else None)
    magnitude = np.minimum(np.abs(panel.values) / panel.limit, 1)
    axes.imshow(
        panel.values,
        cmap=colours,
        vmin=-panel.limit if panel.signed else 0.0,
        vmax=panel.limit,
        extent=extent,
        alpha=style.opacity(magnitude, panel.overlay) if panel.is_overlay else None,
        # Coarse maps keep their cells visible, unless a smooth look is asked for.
        interpolation=("bicubic" if smooth else "nearest") if coarse else "auto",
    )


def _say_if_empty(axes: Axes, panel: Ready) -> None:
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
