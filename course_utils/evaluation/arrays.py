"""The border of this package: maps, masks and values become NumPy arrays, checked once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import to_numpy

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: Part ids that count as inside; None stands for everything but the background, 0.
Parts = int | Sequence[int] | None


def to_maps(maps: Any) -> Floats:
    """Turn a batch of attributions into one signed map per image: channels are added up.

    The sum keeps completeness: what the map adds up to.

    Parameters
    ----------
    maps : tensor, array or list, (N, C, H, W) or (N, H, W)

    Returns
    -------
    ndarray of shape (N, H, W), float64
        NaN throughout where a map holds NaN or infinity.

    Raises
    ------
    ValueError
        If the shape is another, there are no images, or values are no real numbers.
    """
    array = to_numpy(maps)
    if array.ndim not in (3, 4) or array.size == 0 or array.dtype.kind not in "biuf":
        got = f"{array.dtype} of shape {array.shape}; one map becomes a batch with [None]"
        raise ValueError(f"maps: expected real numbers, (N, C, H, W) or (N, H, W), got {got}")
    if array.ndim == 4 and array.shape[3] <= 4 < min(array.shape[1:3]):
        raise ValueError(f"maps: expected channels second, got {array.shape}: move them first")
    array = array.astype(np.float64)
    array[~np.isfinite(array.reshape(len(array), -1)).all(axis=1)] = np.nan
    return array.sum(axis=1) if array.ndim == 4 else array


def to_masks(masks: Any, maps: Any, parts: Parts = None) -> Bools:
    """Turn masks into booleans that fit the maps.

    Parameters
    ----------
    masks : tensor, array or list of bool or int, (N, H, W), (N, 1, H, W) or (H, W)
        True, or a part's id, where the thing looked for is; 0 is the background.
    maps : tensor, array or list, (N, C, H, W) or (N, H, W)
        One mask (H, W) may stand for all where they have four dimensions: with three it could as
        well be one picture's (C, H, W).
    parts : int or sequence of int, optional
        Ids that count as inside; by default all but 0.

    Returns
    -------
    ndarray of bool, (N, H, W)

    Raises
    ------
    TypeError
        If masks are not bool or int, or `parts` are no ids of these masks.
    ValueError
        If the shape does not fit the maps.
    """
    array, given = to_numpy(masks), np.shape(to_numpy(maps))
    shape = (given[0], *given[-2:])
    if array.dtype.kind not in "biu":
        raise TypeError(f"masks: expected bool or part ids, got {array.dtype}; take masks > 0.5?")
    array = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
    if array.shape != shape and (array.shape != shape[1:] or len(given) == 3):
        hint = f"masks {shape}, or one picture's map (C, H, W) as maps[None]"
        raise ValueError(f"masks {array.shape} do not fit maps {given}: expected {hint}")
    if parts is None:
        return np.broadcast_to(array != 0, shape)
    wanted = np.atleast_1d(to_numpy(parts))
    if array.dtype == bool or wanted.dtype.kind not in "iu":
        raise TypeError(f"parts={parts!r} of {array.dtype} masks: expected ids, see part_ids()")
    return np.broadcast_to(np.isin(array, wanted), shape)


def measured_pair(maps: Any, masks: Any, parts: Parts) -> tuple[Floats, Bools, Bools]:
    """Return magnitudes and masks, both (N, H, W), and where a measure of both is defined (N,).

    A map that is zero everywhere points nowhere, and what is in no mask cannot be pointed at. One
    warning counts them; maps that are not finite come back as zeros.
    """
    strengths, inside = np.nan_to_num(np.abs(to_maps(maps))), to_masks(masks, maps, parts)
    usable, shown = strengths.any(axis=(1, 2)), inside.any(axis=(1, 2))
    warn_of({"maps are blank or not finite": ~usable, "masks are empty": ~shown})
    return strengths, inside, usable & shown


def warn_of(found: dict[str, Bools], consequence: str = "NaN there") -> None:
    """Warn once of all that is true of some images, counted."""
    words = [f"{at.sum()} of {at.size} {what}" for what, at in found.items() if at.any()]
    if words:
        warnings.warn(f"{', '.join(words)}: {consequence}", stacklevel=4)


def divide(numerator: Any, denominator: Any, defined: Bools) -> Floats:
    """Divide where it is defined; NaN elsewhere."""
    return np.divide(numerator, denominator, out=np.full(defined.shape, np.nan), where=defined)
