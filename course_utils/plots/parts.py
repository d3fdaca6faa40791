"""Masks of parts: tinted pictures, and each part's name written where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from . import style
from .arrays import to_image

#: How much of a tinted pixel is its part's colour.
_TINT = 0.62


def color_parts(image: Any, mask: Any) -> NDArray[np.float32]:
    """Tint a picture by parts; what belongs to none becomes pale grey.

    Parameters
    ----------
    image : picture
        Anything that `to_image` takes, (H, W).
    mask : array or tensor (H, W) of int
        Part numbers; 0 is the background. Colours follow the numbers and repeat after the seventh.

    Returns
    -------
    array (H, W, 3) of float
        In [0, 1].

    Raises
    ------
    ValueError
        If the mask's height and width are not the picture's.
    """
    picture = to_image(image)
    numbers = _numbers(mask)
    if numbers.shape != picture.shape[:2]:
        raise ValueError(f"the mask is {numbers.shape}, the picture {picture.shape[:2]}")
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    colors = np.array([to_rgb(color) for color in style.SERIES], np.float32)
    tinted = (1 - _TINT) * grey + _TINT * colors[(numbers - 1) % len(colors)]
    return np.where(numbers[..., None] > 0, tinted, 0.55 + 0.45 * grey).astype(np.float32)


def label_parts(
    axes: Axes, mask: Any, parts: Mapping[int, str], *, smallest: float = 0.01
) -> list[str]:
    """Write each part's name where the part is widest, on axes that show its picture.

    Parameters
    ----------
    axes : matplotlib Axes
        They show an image of the mask's size (a panel of `show_grid`).
    mask : array or tensor (H, W) of int
        Part numbers.
    parts : mapping of int to str
        The parts' names; numbers that are missing here are not labelled.
    smallest : float
        Parts below this share of the picture get no label, which would hide them.

    Returns
    -------
    list of str
        The names that were written, by number.
    """
    numbers = _numbers(mask)
    written = []
    for number, name in sorted(parts.items()):
        inside = numbers == number
        if number == 0 or inside.mean() < smallest:
            continue
        depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        axes.text(
            column,
            row,
            name,
            ha="center",
            va="center",
            fontsize=style.SIZE_NOTE - 1.5,
            color=style.INK,
            path_effects=[withStroke(linewidth=2.4, foreground="white")],
            clip_on=True,
        )
        written.append(name)
    return written


def _numbers(mask: Any) -> NDArray[np.int64]:
    numbers = np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)
    if numbers.ndim != 2 or numbers.dtype.kind not in "iub":
        raise ValueError(
            f"a mask is integers (H, W), got {numbers.dtype} {numbers.shape}; pass one image's mask"
        )
    return numbers.astype(np.int64)
