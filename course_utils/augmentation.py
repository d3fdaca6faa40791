"""Random changes that keep labels true, and batches of pictures that are in memory.

A `DataLoader` that decodes and augments picture by picture is right for sets that do not fit into
memory. Those of the course do, and on two cores the tensors are many times faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .checks import check_pixels

__all__ = ["Augment", "Batches", "batches"]


@dataclass(frozen=True)
class Augment:
    """Random changes of a batch that keep its labels true; every picture draws its own.

    Crop, flip and rotation are one affine map per picture, sampled once with `grid_sample`, so the
    picture is interpolated at most once; without rotation pixels are only moved, which is exact and
    several times faster. What comes from outside is black, as torchvision's RandomCrop and
    RandomRotation fill it. Then brightness and contrast change, in this order.

    Attributes
    ----------
    crop : int
        Shift by up to this many pixels: RandomCrop of the same size after padding by `crop`.
    flip : float
        Probability of mirroring left and right.
    rotation : float
        Rotate by up to this many degrees, either way.
    brightness, contrast : float
        Multiply by a factor from [1 - x, 1 + x].

    Examples
    --------
    >>> images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    >>> Augment(crop=4, flip=0.5)(images).shape
    torch.Size([8, 3, 32, 32])
    """

    crop: int = 0
    flip: float = 0.5
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Return changed copies as float32 in [0, 1].

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            uint8, or float in [0, 1].
        generator : torch.Generator, optional
            What to draw with (on the CPU); default PyTorch's own.

        Raises
        ------
        TypeError, ValueError
            For pictures of another range or type.
        """
        check_pixels(images, normalized=False)
        if self.crop or self.flip or self.rotation:
            images = self._move(images, generator)
        return self._color(to_float(images), generator)

    def _move(self, images: Tensor, generator: Generator | None) -> Tensor:
        count, _, height, width = images.shape
        mirrored = torch.rand(count, generator=generator) < self.flip
        angle = (2 * torch.rand(count, generator=generator) - 1) * math.radians(self.rotation)
        shift = torch.randint(-self.crop, self.crop + 1, (2, count), generator=generator)
        if not self.rotation:  # whole pixels, whatever their type
            padded, corners = F.pad(images, (self.crop,) * 4), (shift + self.crop).T.tolist()
            windows = zip(padded, corners, strict=True)
            moved = torch.stack([p[:, y : y + height, x : x + width] for p, (x, y) in windows])
            return torch.where(mirrored.to(moved.device).view(-1, 1, 1, 1), moved.flip(3), moved)
        images, mirror = to_float(images), 1 - 2 * mirrored.float()
        # where each output pixel is taken from, in pixels from the centre; grid_sample wants
        # coordinates in [-1, 1], which are half the width (height) apart
        cos, sin = angle.cos(), angle.sin()
        rows = [
            torch.stack([cos * mirror, -sin * height / width, 2 * shift[0] / width], dim=1),
            torch.stack([sin * mirror * width / height, cos, 2 * shift[1] / height], dim=1),
        ]
        maps = torch.stack(rows, dim=1).to(images.device)
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", align_corners=False)

    def _color(self, images: Tensor, generator: Generator | None) -> Tensor:
        def draw(limit: float) -> Tensor:
            factor = 1 + (2 * torch.rand(len(images), generator=generator) - 1) * limit
            return factor.to(images.device).view(-1, 1, 1, 1)

        if self.brightness:
            images = (images * draw(self.brightness)).clamp(0, 1)
        if self.contrast:  # around the mean luma (ITU-R BT.601)
            weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
            mean = (images * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
            images = (mean + (images - mean) * draw(self.contrast)).clamp(0, 1)
        return images


def to_float(images: Tensor) -> Tensor:
    """Return uint8 pictures as float32 in [0, 1]; float ones as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class Batches:
    """Batches of pictures that are in memory; iterate over it once per epoch.

    Attributes
    ----------
    images : Tensor, shape (N, 3, H, W)
        uint8 (as `to_tensors` makes them), or float in [0, 1]; or features, of any shape (N, …).
    labels : int64 Tensor, shape (N,)
    batch_size : int
    shuffle : bool
        Draw a new order in every epoch.
    augment : Augment, optional
        Random changes; on `device`.
    normalize : (mean, std), optional
        Per channel; applied last.
    generator : torch.Generator, optional
        What order and changes are drawn with (on the CPU); default PyTorch's own.
    device : torch.device, optional
        Where batches go; default where the tensors are.
    drop_last : bool
        Leave out the last batch if it is not full.
    """

    images: Tensor
    labels: Tensor
    batch_size: int = 64
    shuffle: bool = True
    augment: Augment | None = None
    normalize: tuple[Sequence[float], Sequence[float]] | None = None
    generator: Generator | None = None
    device: torch.device | str | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        check_pixels(self.images)
        if self.batch_size < 1 or len(self.images) != len(self.labels):
            counts = f"{len(self.images)} images and {len(self.labels)} labels"
            raise ValueError(f"{counts} in batches of {self.batch_size} do not go together")

    def __len__(self) -> int:
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count, device = len(self.images), self.device or self.images.device
        order = torch.arange(count)
        if self.shuffle:
            order = torch.randperm(count, generator=self.generator)
        for chosen in order.to(self.images.device).split(self.batch_size)[: len(self)]:
            images = self.images[chosen].to(device)
            images = self.augment(images, self.generator) if self.augment else to_float(images)
            if self.normalize is not None:
                mean, std = torch.tensor(self.normalize, device=device).view(2, 1, -1, 1, 1)
                images.sub_(mean).div_(std)  # in place: they are a copy of what was indexed
            yield images, self.labels[chosen].to(device)


def batches(data: Any, *more: Any, **options: Any) -> Batches:
    """Return the batches of pictures that are in memory.

    Parameters
    ----------
    data : ImageTensors, (images, labels), ImageDataset or Tensor
        What `to_tensors` returned; a split, whose pictures are of one size; or the images, with
        their labels as the next argument.
    more
        The labels, where `data` is the images alone; then `batch_size`.
    options
        As in `Batches`.

    Examples
    --------
    >>> images, labels = torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.zeros(10).long()
    >>> [len(labels) for _, labels in batches((images, labels), 4)]
    [4, 4, 2]
    """
    if hasattr(data, "to_tensors"):
        data = data.to_tensors()
    if isinstance(data, Tensor | np.ndarray) and more:
        data, *more = (data, more[0]), *more[1:]
    if not isinstance(data, tuple | list) or len(data) != 2:
        wanted = "batches takes images and labels, as split.to_tensors() returns them, or a split"
        raise TypeError(f"{wanted} such as data.train; got {type(data).__name__}")
    return Batches(*map(torch.as_tensor, data), *more, **options)
