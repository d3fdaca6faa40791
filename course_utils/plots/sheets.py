"""Figures by the thousand: a photograph beside its map, and contact sheets, as plain images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from . import style
from .arrays import to_image, to_map

_GAP = 12


def draw_pair(image: Any, values: Any, words: str = "", side: int = 224) -> Image.Image:
    """Put a picture beside its map, in a hundredth of the time that a figure of matplotlib takes.

    The map lies over the grey picture, smoothed a little for the eye. Its colours have a scale of
    their own, up to percentile 99.5 of |values|; the last of the words say how far they reach.

    Parameters
    ----------
    image, values : picture and attribution
        Anything that `to_image` and `to_map` take, of one size.
    words : str
        Written below, in at most three lines.
    side : int
        Of each of the two, in pixels.
    """
    picture, values = to_image(image), to_map(values)
    values = gaussian_filter(values, 1.5 * len(values) / 224)
    signed, limit = values.min() < 0, np.percentile(np.abs(values), 99.5) or 1.0
    colors = style.overlay_colors(signed, 0.9)((values / limit + signed) / (1 + signed))
    grey = 0.36 + 0.6 * (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    both = np.hstack([picture, grey + (colors[..., :3] - grey) * colors[..., 3:]])
    page = Image.new("RGB", (2 * side, side + 70), style.PAPER)
    page.paste(Image.fromarray((255 * both).round().astype("uint8")).resize((2 * side, side)))
    words += f"colours {'±' if signed else '0 to '}{limit:.2g}"
    options = {"fill": style.INK, "font": ImageFont.load_default(15), "spacing": 3}
    ImageDraw.Draw(page).multiline_text((2, side + 4), words, **options)
    return page


def contact_sheet(images: Sequence[Image.Image], across: int = 3) -> Image.Image:
    """Paste images of one size into rows."""
    wide, high = (side + _GAP for side in images[0].size)
    across = min(across, len(images))
    sheet = Image.new("RGB", (across * wide, -(-len(images) // across) * high), style.PAPER)
    for place, image in enumerate(images):
        sheet.paste(image, (place % across * wide + _GAP // 2, place // across * high + _GAP // 2))
    return sheet
