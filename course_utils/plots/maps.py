"""An image with its maps, the signed parts of a map, baselines and what they lead to, galleries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import style
from .arrays import Reduce, to_map
from .canvas import CourseFigure
from .panels import Panel, Scale
from .sheets import show_grid

#: Default opacity of the strongest values when a map is laid over the photograph.
OPACITY = 0.9


def show_attributions(
    image: Any,
    maps: Mapping[str, Any],
    *,
    scale: Scale = "shared",
    limit: float | None = None,
    signed: bool | None = None,
    clip_percentile: float | None = None,
    reduce: Reduce = "sum",
    overlay: bool | float = False,
    mask: Any = None,
    notes: Mapping[str, str] | None = None,
    quantity: str = "attribution",
    smooth: bool = False,
    ncols: int | None = None,
    image_title: str = "Photograph",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show an image with any number of attribution maps on one stated scale.

    Parameters
    ----------
    image : PIL image, tensor (3, H, W) or array (H, W, 3) in [0, 1]
        What the network saw, not normalised.
    maps : mapping of name to attribution (H, W) or (C, H, W)
        On any device. Coarser maps of the same proportions are enlarged, and their panels say so.
    scale : "shared", "row" or "each"
        One scale for all maps (the default: only then can colours be compared), or one for each.
    limit : float, optional
        Fix the shared scale's end, for example to compare two figures.
    signed : bool, optional
        By default signed colours if any map has a negative value.
    clip_percentile : float, optional
        Saturate colours at this percentile of |values|; the figure states it.
    reduce : str
        What becomes of the channels, see `to_map`.
    overlay : bool or float
        Lay the maps over the photograph in grey; a number is the opacity of the strongest values.
    mask : (H, W) of bool, optional
        Outlined in every panel, for example the object's true pixels.
    notes : mapping of name to str, optional
        A second heading line for some of the maps.
    quantity : str
        What the colours measure: "contribution to the logit".
    smooth : bool
        Interpolate coarse maps.
    ncols : int, optional
        Panels in a row, the image included.
    image_title, title, caption, alt, display
        As in `show_grid`; the alternative text is made from the maps if left out.

    Returns
    -------
    CourseFigure

    Raises
    ------
    ValueError
        If a map holds NaN or infinite values, or does not fit the image.
    """
    if not maps:
        raise ValueError("maps is empty: expected {name: attribution, ...}")
    unknown = set(notes or {}) - set(maps)
    if unknown:
        raise ValueError(f"notes for {sorted(unknown)}, but the maps are {list(maps)}")
    photograph = Panel(title=image_title, image=image, mask=mask)
    panels = [
        Panel(name, image, values, (notes or {}).get(name, ""), mask, _opacity(overlay))
        for name, values in maps.items()
    ]
    # The photograph stands at the left of the first row, and nothing below it.
    rows = _in_rows(panels, ncols - 1 if ncols else None, most=4)
    rows = [[photograph if index == 0 else None, *row] for index, row in enumerate(rows)]
    return show_grid(
        rows, scale=scale, limit=limit, signed=signed, clip_percentile=clip_percentile,
        reduce=reduce, quantity=quantity, smooth=smooth, title=title, caption=caption, alt=alt,
        display=display,
    )  # fmt: skip


def _opacity(overlay: bool | float) -> float | None:
    """Read the `overlay` argument: False is none, True the usual opacity."""
    return OPACITY if overlay is True else (overlay or None)


def _in_rows(panels: Sequence[Panel], ncols: int | None, most: int = 5) -> list[list[Panel]]:
    """Cut a list of panels into rows of nearly equal length."""
    if ncols is None:
        nrows = -(-len(panels) // most)
        ncols = -(-len(panels) // nrows)
    return [list(panels[start : start + ncols]) for start in range(0, len(panels), ncols)]


def show_signed_parts(
    image: Any,
    attribution: Any,
    *,
    clip_percentile: float | None = None,
    overlay: float = OPACITY,
    mask: Any = None,
    quantity: str = "contribution to the logit",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show one attribution in five ways: blended, by sign, positive, negative, magnitude.

    All five share one scale, so that the negative part looks as weak or as strong as it is. Above
    the parts stand their sums; positive and negative together give the attribution's sum, which
    completeness compares with the change of the output.

    Parameters
    ----------
    image, mask, clip_percentile, quantity, title, caption, alt, display
        As in `show_attributions`.
    attribution : tensor or array (C, H, W) or (H, W)
        Channels are summed before the parts are taken.
    overlay : float
        Opacity of the strongest values in the blended panel.
    """
    values = to_map(attribution, "attribution")
    positive, negative = np.maximum(values, 0), np.minimum(values, 0)
    total, up, down = (style.format_number(v.sum()) for v in (values, positive, negative))
    panels = [
        Panel("Blended", image, values, "over the photograph", mask, overlay, signed=True),
        Panel("All contributions", image, values, f"sum {total}", mask, signed=True),
        Panel("Positive", image, positive, f"sum {up}", mask, signed=True),
        Panel("Negative", image, negative, f"sum {down}", mask, signed=True),
        Panel("Magnitude", image, np.abs(values), "sign left out", mask, signed=False),
    ]
    return show_grid(
        [panels], clip_percentile=clip_percentile, quantity=quantity, title=title,
        caption=caption, alt=alt, display=display,
    )  # fmt: skip


def show_baselines(
    image: Any,
    baselines: Mapping[str, Any],
    attributions: Mapping[str, Any],
    deltas: Mapping[str, float] | None = None,
    *,
    clip_percentile: float | None = None,
    overlay: bool | float = False,
    quantity: str = "contribution to the logit",
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show what each baseline looks like and, below it, the attribution it leads to.

    Parameters
    ----------
    image : picture
        The photograph that is explained.
    baselines : mapping of name to picture or None
        Pictures in [0, 1] (denormalised); None for an average over many baselines.
    attributions : mapping of the same names to (C, H, W) or (H, W)
        All on one scale.
    deltas : mapping of name to float, optional
        Completeness errors (the map's sum minus the change of the output), written above the maps.
    clip_percentile, overlay, quantity, title, caption, alt, display
        As in `show_attributions`.
    """
    if set(baselines) != set(attributions):
        raise ValueError(
            f"baselines {list(baselines)} and attributions {list(attributions)} must have the "
            "same names"
        )
    above = [Panel("Photograph", image)]
    below = [Panel(text="Attributions of the photograph against the baseline above")]
    for name, baseline in baselines.items():
        many = Panel(name, text="many baselines, averaged")
        above.append(many if baseline is None else Panel(name, baseline))
        known = deltas is not None and name in deltas
        note = f"δ = {style.format_number(deltas[name], 2)}" if known else ""
        below.append(
            Panel("", image, attributions[name], note, overlay=_opacity(overlay), name=name)
        )
    if deltas:
        meaning = "δ: completeness error, the map's sum minus the change of the output."
        caption = f"{meaning} {caption}" if caption else meaning
    return show_grid(
        [above, below], clip_percentile=clip_percentile, quantity=quantity, title=title,
        caption=caption, alt=alt, display=display,
    )  # fmt: skip


def show_gallery(
    images: Mapping[str, Any] | Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    notes: Sequence[str] | None = None,
    ncols: int | None = None,
    title: str | None = None,
    caption: str | None = None,
    alt: str | None = None,
    display: bool = True,
) -> CourseFigure:
    """Show pictures as a contact sheet.

    Parameters
    ----------
    images : mapping of title to picture, or sequence of pictures
        Anything that `to_image` takes; a tensor (N, 3, H, W) is a sequence of pictures.
    titles, notes : sequence of str, optional
        Headings and second lines, one for each picture.
    ncols : int, optional
        Pictures in a row; by default at most six.
    title, caption, alt, display
        As in `show_grid`.
    """
    if isinstance(images, Mapping):
        titles, images = list(images), list(images.values())
    images = list(images)
    for name, texts in (("titles", titles), ("notes", notes)):
        if texts is not None and len(texts) != len(images):
            raise ValueError(f"{len(images)} images but {len(texts)} {name}")
    panels = [
        Panel(titles[i] if titles else "", image, note=notes[i] if notes else "")
        for i, image in enumerate(images)
    ]
    rows = _in_rows(panels, ncols, most=6)
    return show_grid(rows, title=title, caption=caption, alt=alt, display=display)
