"""Contact sheets: many small pictures on one page, to look at a set before believing it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["color_parts", "contact_sheet"]

# background black, then twenty colours, those of neighbouring numbers far apart
_PALETTE = np.array(
    [
        (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
        (213, 94, 0), (204, 121, 167), (153, 153, 153), (255, 255, 255), (140, 86, 75),
        (148, 103, 189), (188, 189, 34), (23, 190, 207), (255, 152, 150), (44, 160, 44),
        (255, 187, 120), (197, 176, 213), (214, 39, 40), (152, 223, 138), (247, 182, 210),
    ],
    np.uint8,
)  # fmt: skip


def color_parts(masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give every part id a colour: (…, H, W) to (…, H, W, 3); 0, the background, stays black."""
    repeated = (masks.astype(int) - 1) % (len(_PALETTE) - 1) + 1
    return _PALETTE[np.where(masks == 0, 0, repeated)]


def contact_sheet(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], columns: int = 8, scale: int = 1
) -> Image.Image:
    """Lay out pictures of one size, row by row.

    Parameters
    ----------
    images : uint8 array, shape (N, H, W, 3)
    columns : int
    scale : int
        Screen pixels per picture pixel, so that 32 px can be looked at.

    Returns
    -------
    PIL.Image.Image
    """
    images = np.asarray(images)
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    page = np.full((rows * columns, height, width, 3), 255, np.uint8)
    page[:count] = images
    page = page.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    page = page.reshape(rows * height, columns * width, 3)
    return Image.fromarray(page.repeat(scale, 0).repeat(scale, 1))
