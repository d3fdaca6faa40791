"""Maps and masks as NumPy arrays: checked once, here, so that every measure can be a formula."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Part ids that count as inside; None stands for everything but the background, 0.
Parts = int | Sequence[int] | None
#: What of a signed map is measured: its magnitude, what speaks for the class, what speaks against.
Sign = Literal["absolute", "positive", "negative"]
#: How the channels of an attribution (N, C, H, W) become one map (N, H, W).
Reduce = Literal["sum", "abs_sum", "abs_max", "max", "mean"]

_REDUCE = {
    "sum": lambda maps: maps.sum(axis=1),
    "abs_sum": lambda maps: np.abs(maps).sum(axis=1),
    "abs_max": lambda maps: np.abs(maps).max(axis=1),
    "max": lambda maps: maps.max(axis=1),
    "mean": lambda maps: maps.mean(axis=1),
}
_STRENGTH = {
    "absolute": np.abs,
    "positive": lambda maps: np.clip(maps, 0, None),
    "negative": lambda maps: np.clip(-maps, 0, None),
}


def to_numpy(values: Any) -> NDArray:
    """Return an array on the CPU, from a tensor on any device, with or without gradient."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value`, or raise ValueError unless it is allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")
    return value


def to_maps(maps: Any, reduce: Reduce = "sum", name: str = "maps") -> Floats:
    """Turn a batch of attributions into one signed map per image.

    Parameters
    ----------
    maps : tensor or array, (N, C, H, W) or (N, H, W)
    reduce : str
        What becomes of the channels. "sum" keeps completeness: what the map adds up to.
    name : str
        For error messages.

    Returns
    -------
    ndarray of shape (N, H, W), float64

    Raises
    ------
    ValueError
        If the shape is another, there are no images, or values are NaN, infinite or complex.
    """
    array = to_numpy(maps)
    one_of("reduce", reduce, list(_REDUCE))
    if array.ndim not in (3, 4) or array.size == 0 or array.dtype == object:
        advice = f"; add the batch dimension with {name}[None]" if array.ndim == 2 else ""
        raise ValueError(
            f"{name}: expected a batch of maps, (N, C, H, W) or (N, H, W), got shape "
            f"{array.shape}{advice}"
        )
    if np.iscomplexobj(array):
        raise ValueError(f"{name}: expected real values, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"{name}: {bad} of {array.size} values are NaN or infinite; look for a division by "
            "zero or an overflow where the maps were computed"
        )
    return _REDUCE[reduce](array) if array.ndim == 4 else array


def to_strengths(maps: Any, sign: Sign = "absolute", reduce: Reduce = "sum") -> Floats:
    """Turn a batch of attributions into non-negative maps (N, H, W): the chosen part of each."""
    return _STRENGTH[one_of("sign", sign, list(_STRENGTH))](to_maps(maps, reduce))


def to_masks(masks: Any, shape: tuple[int, int, int], parts: Parts = None) -> NDArray[np.bool_]:
    """Turn masks into booleans that fit the maps.

    Parameters
    ----------
    masks : tensor or array of bool or int, (N, H, W), (N, 1, H, W), or (H, W) for all images
        True, or a part's id, where the thing looked for is; 0 is the background.
    shape : (N, H, W)
        Of the maps.
    parts : int or sequence of int, optional
        Ids that count as inside; by default all but 0.

    Returns
    -------
    ndarray of bool, (N, H, W)

    Raises
    ------
    TypeError
        If masks are not bool or int, or `parts` is asked of masks that are bool.
    ValueError
        If the shape does not fit the maps.
    """
    array = to_numpy(masks)
    if array.dtype.kind not in "biu":
        raise TypeError(
            f"masks: expected bool or integer part ids, got {array.dtype}; for a soft mask decide "
            "what counts as inside, e.g. masks > 0.5"
        )
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape not in {shape, shape[1:]}:
        raise ValueError(
            f"masks: expected shape {shape} or {shape[1:]} to fit the maps, got {array.shape}; "
            "scale maps up to the picture, or take split.masks_at(size)"
        )
    return np.broadcast_to(_inside(array, parts), shape)


def _inside(array: NDArray, parts: Parts) -> NDArray[np.bool_]:
    if parts is None:
        return array != 0
    if array.dtype == bool:
        raise TypeError("parts: these masks are True or False and know no parts; leave it out")
    wanted = np.atleast_1d(np.asarray(parts))
    if wanted.dtype.kind not in "iu":
        raise TypeError(
            f"parts: expected part ids such as 2 or [2, 3], got {parts!r}; part_ids(names, ...) "
            "looks them up"
        )
    return np.isin(array, wanted)


def find_defined(
    strengths: Floats, inside: NDArray[np.bool_] | None = None, consequence: str = "NaN there"
) -> NDArray[np.bool_]:
    """Say for which images a measure has a value, and warn about the others.

    A map that is zero everywhere points nowhere, and what is in no mask cannot be pointed at: both
    give NaN, which the averages of this package leave out and count.

    Returns
    -------
    ndarray of bool, (N,)
    """
    blank = ~strengths.any(axis=(1, 2))
    absent = np.zeros_like(blank) if inside is None else ~inside.any(axis=(1, 2))
    found = []
    if blank.any():
        found.append(f"{blank.sum()} of {len(blank)} maps are blank, with nothing to measure")
    if absent.any():
        found.append(f"{absent.sum()} of {len(absent)} masks are empty")
    if found:
        warnings.warn(f"{', '.join(found)}: {consequence}", stacklevel=3)
    return ~(blank | absent)


def divide(numerator: Any, denominator: Any, defined: NDArray[np.bool_]) -> Floats:
    """Divide where it is defined; NaN elsewhere."""
    nothing = np.full(defined.shape, np.nan)
    return np.divide(numerator, denominator, out=nothing, where=defined)


def top_membership(strengths: Floats, counts: NDArray[np.int64]) -> Floats:
    """Say how far each pixel belongs to the `counts` strongest ones of its map.

    Where the last places go to several pixels of equal strength, each gets an equal part of them:
    that is what drawing lots would give on average, and it cannot favour a corner.

    Parameters
    ----------
    strengths : ndarray (N, P)
    counts : ndarray of int (N,)
        1 .. P.

    Returns
    -------
    ndarray (N, P) in [0, 1]
        Row n adds up to ``counts[n]``.
    """
    images, pixels = strengths.shape
    weakest = np.sort(strengths, axis=1)[np.arange(images), pixels - counts][:, None]
    above, tied = strengths > weakest, strengths == weakest
    places = counts - above.sum(axis=1)
    return above + tied * (places / tied.sum(axis=1))[:, None]
