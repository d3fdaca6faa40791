"""What figures are made of: pictures and maps from tensors, arrays or PIL images, checked."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .style import format_number

#: How the channels of an attribution (C, H, W) become one map (H, W).
Reduce = Literal["sum", "abs_sum", "abs_max", "max", "mean", "l2"]

_REDUCE = {
    "sum": lambda a: a.sum(axis=0),
    "abs_sum": lambda a: np.abs(a).sum(axis=0),
    "abs_max": lambda a: np.abs(a).max(axis=0),
    "max": lambda a: a.max(axis=0),
    "mean": lambda a: a.mean(axis=0),
    "l2": lambda a: np.sqrt(np.square(a).sum(axis=0)),
}


def to_numpy(values: Any) -> NDArray:
    """Return an array on the CPU, from a tensor on any device, with or without gradient."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def to_image(image: Any) -> NDArray[np.float32]:
    """Turn a picture into an array that matplotlib draws.

    Parameters
    ----------
    image : PIL image, tensor or array
        Tensors are (3, H, W), (1, H, W) or (1, 3, H, W) with values in [0, 1]; arrays may also be
        (H, W), (H, W, 3) or (H, W, 4); whole numbers are read as 0..255.

    Returns
    -------
    ndarray of shape (H, W, 3), float32 in [0, 1]

    Raises
    ------
    TypeError, ValueError
        If the shape is not a picture's, or the values are outside [0, 1].
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    array = to_numpy(image)
    given = f"{type(image).__name__} of shape {tuple(array.shape)}"
    if array.dtype == object or array.size == 0:
        raise TypeError(f"expected a picture (PIL image, tensor or array), got {given}")
    array = _channels_last(array, given, channels_first=isinstance(image, torch.Tensor))
    array = _unit_range(array, given)
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:  # transparent parts show the paper
        return array[..., :3] * array[..., 3:] + (1 - array[..., 3:])
    return array


def _channels_last(array: NDArray, given: str, channels_first: bool) -> NDArray:
    """Return the picture as (H, W, channels)."""
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        return array[..., None]
    last_is_color = array.ndim == 3 and array.shape[2] in (1, 3, 4) and not channels_first
    if array.ndim == 3 and array.shape[0] in (1, 3) and not last_is_color:
        return np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        return array
    raise ValueError(
        f"expected one picture, (3, H, W) or (H, W, 3), got {given}"
        + ("; pick one of the batch, e.g. images[0]" if array.ndim == 4 else "")
    )


def _unit_range(array: NDArray, given: str) -> NDArray[np.float32]:
    """Return the values as float32 in [0, 1], or say what seems to be wrong with them."""
    if array.dtype == bool:
        return array.astype(np.float32)
    if np.issubdtype(array.dtype, np.integer):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise ValueError(f"whole numbers must be within 0..255, got {low}..{high} ({given})")
        return array.astype(np.float32) / 255
    if not np.isfinite(array).all():
        raise ValueError(f"the picture holds NaN or infinite values ({given})")
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:
        advice = (
            "it looks normalised; call network.denormalize(images) first"
            if low < -1e-3
            else "it looks like 0..255; divide by 255"
            if high > 20
            else "clip it, or call network.denormalize(images) if it is normalised"
        )
        raise ValueError(
            f"expected values in [0, 1], got {low:.3g} to {high:.3g} ({given}): {advice}"
        )
    return np.clip(array, 0, 1).astype(np.float32)


def to_map(values: Any, name: str = "map", reduce: Reduce = "sum") -> NDArray[np.float64]:
    """Turn an attribution into one map.

    Parameters
    ----------
    values : tensor or array, (H, W), (C, H, W), (1, H, W) or (1, C, H, W)
        On any device, with or without gradient.
    name : str
        For error messages.
    reduce : str
        What becomes of the channels: "sum" keeps completeness (the map adds up to what the
        attribution adds up to), "abs_sum", "abs_max" and "l2" give magnitudes.

    Returns
    -------
    ndarray of shape (H, W), float64

    Raises
    ------
    ValueError
        If the shape is another, or values are NaN or infinite.
    """
    array = to_numpy(values)
    shape = tuple(array.shape)
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype == object:
        advice = "; pass one image's attribution, e.g. attributions[0]" if len(shape) == 4 else ""
        raise ValueError(f"{name!r}: expected (H, W) or (C, H, W), got shape {shape}{advice}")
    if np.iscomplexobj(array):
        raise ValueError(f"{name!r}: expected real values, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"{name!r}: {bad} of {array.size} values are NaN or infinite, so there is nothing to "
            "draw; look for a division by zero or an overflow where the map was computed"
        )
    if array.ndim == 2:
        return array
    if reduce not in _REDUCE:
        raise ValueError(f"reduce={reduce!r}: expected one of {', '.join(map(repr, _REDUCE))}")
    return _REDUCE[reduce](array)


def to_mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask (H, W) as booleans, checked against the picture's shape."""
    array = to_numpy(mask)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.shape != shape:
        raise ValueError(f"mask: expected the picture's shape {shape}, got {array.shape}")
    return array.astype(bool)


_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")


def strongest_region(values: NDArray) -> tuple[str, float]:
    """Say which ninth of a map holds most of its mass.

    Parameters
    ----------
    values : ndarray of shape (H, W)

    Returns
    -------
    (str, float)
        For example ``("upper left", 0.31)``: that ninth holds 31 % of the sum of |values|.
        An all-zero map gives ``("nowhere", 0.0)``.
    """
    mass = np.abs(values)
    total = mass.sum()
    if total == 0:
        return "nowhere", 0.0
    shares = np.zeros((3, 3))
    row_of = np.arange(mass.shape[0]) * 3 // max(mass.shape[0], 1)
    column_of = np.arange(mass.shape[1]) * 3 // max(mass.shape[1], 1)
    np.add.at(shares, (row_of[:, None], column_of[None, :]), mass)
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    name = "centre" if (row, column) == (1, 1) else f"{_ROWS[row]} {_COLUMNS[column]}"
    return name, float(shares[row, column] / total)


def describe_map(values: Any, name: str = "map", reduce: Reduce = "sum") -> str:
    """Describe a map in words, for alternative text.

    Returns
    -------
    str
        For example "strongest in the upper left ninth of the picture (31 % of its magnitude), from
        −0.01 to 0.04".
    """
    array = to_map(values, name, reduce)
    if not array.any():
        return "zero everywhere"
    region, share = strongest_region(array)
    extent = f"from {format_number(array.min())} to {format_number(array.max())}"
    if share < 0.15:
        return f"spread over the whole picture, {extent}"
    return f"strongest in the {region} ninth ({100 * share:.0f} % of its magnitude), {extent}"
