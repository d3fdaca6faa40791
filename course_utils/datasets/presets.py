"""Transforms for item access (``dataset[i]``, DataLoader), put together from torchvision's v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

#: What torchvision's ImageNet weights expect: mean and standard deviation of each channel.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def preset_transform(
    size: int = 224,
    *,
    augment: bool = False,
    crop: int = 0,
    flip: float = 0.5,
    rotation: float = 15.0,
    jitter: float = 0.2,
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None = (IMAGENET_MEAN, IMAGENET_STD),
) -> Callable[[Any], torch.Tensor]:
    """Return a transform from a PIL picture to a float tensor (3, size, size).

    The shorter side is resized to `size` and the centre cut out, then come the random changes (for
    training only), then normalisation.

    Parameters
    ----------
    size : int
        Pixels a side.
    augment : bool
        Change each picture at random: crop, flip, rotation, colour jitter.
    crop : int
        With `augment`: pad by so many pixels and cut out a random square.
    flip : float
        With `augment`: probability of mirroring left and right.
    rotation : float
        With `augment`: most degrees, either way.
    jitter : float
        With `augment`: brightness, contrast and saturation change by up to this share, hue by a
        quarter of it.
    normalize : (mean, std) or None
        Default ImageNet's; None leaves values in [0, 1].

    Examples
    --------
    >>> from PIL import Image
    >>> preset_transform(64)(Image.new("RGB", (80, 100))).shape
    torch.Size([3, 64, 64])
    """
    from torchvision.transforms import v2

    steps: list[Callable[[Any], Any]] = [v2.ToImage(), v2.Resize(size), v2.CenterCrop(size)]
    if augment:
        if crop:
            steps.append(v2.RandomCrop(size, padding=crop))
        steps += [v2.RandomHorizontalFlip(flip), v2.RandomRotation(rotation)]
        steps.append(v2.ColorJitter(jitter, jitter, jitter, jitter / 4))
    steps += [v2.ToDtype(torch.float32, scale=True)]
    if normalize is not None:
        steps.append(v2.Normalize(*map(list, normalize)))
    return v2.Compose([*steps, v2.ToPureTensor()])
