"""What figures are made of: checked pictures, maps and masks, from tensors, arrays or PIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..checks import to_numpy


def _channels_first(array: NDArray, name: str, is_tensor: bool = True) -> NDArray:
    """Return (C, H, W) from that, (H, W, C), (H, W), or a batch of one of them."""
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "biuf":
        hint = "; pick one of the batch, e.g. images[0]" if array.ndim == 4 else ""
        given = f"{array.dtype} {array.shape}{hint}"
        raise ValueError(f"{name}: expected (C, H, W) or (H, W), got {given}")
    # a tensor (3, W, 3) has channels first, an array of that shape three rows of pixels
    last = array.shape[2] in (1, 3) and (array.shape[0] not in (1, 3) or not is_tensor)
    return np.moveaxis(array, -1, 0) if last else array


def to_image(image: Any) -> NDArray[np.float32]:
    """Turn a picture into an array that matplotlib draws.

    Parameters
    ----------
    image : PIL image, tensor or array
        (3, H, W), (H, W, 3), grey (H, W) or (1, H, W), each also as a batch of one. Floats are in
        [0, 1], whole numbers in 0..255; booleans are black and white.

    Returns
    -------
    ndarray of shape (H, W, 3), float32 in [0, 1]

    Raises
    ------
    ValueError
        If the shape is not a picture's, or the values are outside the range.
    """
    array = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else to_numpy(image)
    array = _channels_first(array, "picture", isinstance(image, torch.Tensor))
    low, high = float(array.min()), float(array.max())
    given = f"got {low:.3g} to {high:.3g}, {array.dtype} {array.shape}"
    if array.shape[0] not in (1, 3):
        raise ValueError(f"expected one picture, (3, H, W) or (H, W, 3), {given}")
    if array.dtype.kind in "iu":
        array, low, high = array / 255, low / 255, high / 255
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        advice = "if it is normalised, call network.denormalize(images) first"
        if low >= 0 and high > 20:
            advice = "it looks like 0..255; divide by 255"
        raise ValueError(f"expected values from 0 to 1 (whole numbers to 255), {given}: {advice}")
    array = np.moveaxis(np.clip(array, 0, 1), 0, -1).astype(np.float32)
    return array.repeat(3, axis=2) if array.shape[2] == 1 else array


def to_map(values: Any, name: str = "map") -> NDArray[np.float64]:
    """Turn an attribution into one map: the sum over its channels, which keeps completeness.

    Parameters
    ----------
    values : tensor, array or result, (H, W), (C, H, W) or (H, W, 3), each also as a batch of one
        On any device, of any precision, with or without gradient.
    name : str
        For error messages.

    Returns
    -------
    ndarray of shape (H, W), float64

    Raises
    ------
    ValueError
        If the shape is another, or values are NaN, infinite or complex.
    """
    array = _channels_first(to_numpy(values), repr(name)).astype(np.float64)
    if bad := int((~np.isfinite(array)).sum()):
        advice = "is there a division by zero where the map was computed?"
        raise ValueError(f"{name!r}: {bad} of {array.size} values are NaN or infinite; {advice}")
    return array.sum(axis=0)


def to_mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return a mask (H, W) of part numbers or booleans, checked against the picture's shape."""
    array = to_numpy(mask)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    if array.shape != shape:
        raise ValueError(f"the mask is {array.shape}, the picture {shape}; pass one image's mask")
    return array.astype(np.int64)
