"""Whole splits as one tensor of bytes, and augmentation of a batch at a time on such tensors.

A `DataLoader` that decodes and augments picture by picture is right for sets that do not fit into
memory. Those of the course do, and on two cores the tensors are many times faster: decoded once, an
epoch is indexing and a few vectorised operations.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from .. import runtime
from .stores import DatasetError, MemoryStore, Store
from .truth import Truth

#: Largest tensor that `decode_all` makes, in bytes: 26,000 pictures of 224 pixels.
MAX_BYTES = 4_000_000_000


class ImageTensors(NamedTuple):
    """Pictures and labels in memory: uint8 (N, 3, H, W) and int64 (N,)."""

    images: Tensor
    labels: Tensor


# ---------------------------------------------------------------------------- decoding


def decode_all(
    store: Store, names: Sequence[str], size: int | None, *, progress: bool = True, title: str = ""
) -> Tensor:
    """Decode pictures into one uint8 tensor (N, 3, H, W), in threads; `size` as in `square`."""
    if not names:
        return torch.empty((0, 3, size or 0, size or 0), dtype=torch.uint8)
    first = store.image(names[0]) if size is None else square(store.image(names[0]), size)
    shape = (len(names), 3, first.height, first.width)
    _check_memory(shape, title)
    if isinstance(store, MemoryStore) and size is None:
        return torch.from_numpy(np.stack([store.array(n) for n in names])).permute(0, 3, 1, 2)
    images = torch.empty(shape, dtype=torch.uint8)
    target = images.numpy()

    def decode(index: int) -> None:
        picture = store.image(names[index])
        if size is not None:
            picture = square(picture, size)
        elif picture.size != first.size:
            raise DatasetError(
                f"{names[index]} is {picture.width} x {picture.height} pixels and {names[0]} "
                f"{first.width} x {first.height}: give to_tensors a size, such as to_tensors(224)"
            )
        target[index] = np.asarray(picture).transpose(2, 0, 1)

    _for_each(decode, len(names), f"decoding {title}", progress, threads=_threads(shape[2:]))
    return images


def decode_masks(
    truth: Truth, files: Sequence[str], size: int | None, *, title: str = ""
) -> Tensor:
    """Decode masks into one uint8 tensor (N, H, W), cut like the pictures, nearest part id."""
    if not files:
        return torch.empty((0, size or 0, size or 0), dtype=torch.uint8)

    def read(file: str) -> np.ndarray:
        mask = truth.mask(file)
        if size is None:
            return mask
        return np.asarray(square(Image.fromarray(mask), size, Image.Resampling.NEAREST))

    first = read(files[0])
    masks = np.empty((len(files), *first.shape), dtype=np.uint8)

    def decode(index: int) -> None:
        masks[index] = read(files[index])

    _for_each(decode, len(files), f"masks of {title}", True, threads=_threads(first.shape))
    return torch.from_numpy(masks)


def square(
    image: Image.Image, size: int, method: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """Cut out the centre square and resize it to `size`, as ImageNet's preprocessing does."""
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), method, box=(left, top, left + side, top + side))


def _check_memory(shape: Sequence[int], title: str) -> None:
    size = math.prod(shape)
    if size > MAX_BYTES:
        raise ValueError(
            f"{title} would take {size / 1e9:.1f} GB of memory as one tensor of {tuple(shape)}, "
            f"more than {MAX_BYTES / 1e9:g} GB: use a smaller size, load fewer pictures "
            "(load_dataset(subset=…)), or let a DataLoader read them one by one"
        )


def _threads(size: Sequence[int]) -> int:
    """How many threads decode fastest: for small pictures one, as opening them is all Python."""
    return min(8, os.cpu_count() or 1) if math.prod(size) > 100 * 100 else 1


def _for_each(
    task: Callable[[int], None], count: int, description: str, progress: bool, threads: int
) -> None:
    """Run `task(index)` for every index; the first error stops all."""
    options = {} if progress else {"disable": True}
    with (
        ThreadPoolExecutor(threads) as pool,
        runtime.progress(total=count, description=description, **options) as bar,
    ):
        chunk = 64  # a task per picture would cost more than decoding a small one

        def run(start: int) -> int:
            stop = min(start + chunk, count)
            for index in range(start, stop):
                task(index)
            return stop - start

        try:
            for done in pool.map(run, range(0, count, chunk)):
                bar.update(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ---------------------------------------------------------------------------- augmentation


@dataclass(frozen=True)
class Augment:
    """Random changes of a batch that keep its labels true; every picture draws its own.

    Crop, flip and rotation are one affine map per picture, sampled once with `grid_sample`, so the
    picture is interpolated at most once; without rotation pixels are only moved, which is exact and
    several times faster. What comes from outside is black, as torchvision's RandomCrop and
    RandomRotation fill it. Then brightness, contrast, saturation and hue change, in
    this order.

    Attributes
    ----------
    crop : int
        Shift by up to this many pixels: RandomCrop of the same size after padding by `crop`.
    flip : float
        Probability of mirroring left and right.
    rotation : float
        Rotate by up to this many degrees, either way.
    brightness, contrast, saturation : float
        Multiply by a factor from [1 - x, 1 + x].
    hue : float
        Turn the colours by up to this share of the colour circle, 0 to 0.5, either way (in YIQ,
        where it is a rotation; torchvision's, in HSV, differs a little).

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
    saturation: float = 0.0
    hue: float = 0.0

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Return changed copies as float32 in [0, 1].

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            uint8, or float in [0, 1].
        generator : torch.Generator, optional
            What to draw with (on the CPU); default PyTorch's own.
        """
        if self.crop or self.flip or self.rotation:
            images = self._move(images, generator)
        return self._color(to_float(images), generator)

    def _move(self, images: Tensor, generator: Generator | None) -> Tensor:
        count, _, height, width = images.shape

        def draw(limit: float) -> Tensor:
            return (2 * torch.rand(count, generator=generator) - 1) * limit

        mirrored = torch.rand(count, generator=generator) < self.flip
        angle = draw(math.radians(self.rotation))
        shift = torch.randint(-self.crop, self.crop + 1, (2, count), generator=generator)
        if not self.rotation:
            return shift_and_mirror(images, shift, mirrored)
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
        def draw(limit: float, middle: float) -> Tensor:
            amount = middle + (2 * torch.rand(len(images), generator=generator) - 1) * limit
            return amount.to(images.device).view(-1, 1, 1, 1)

        if self.brightness:
            images = (images * draw(self.brightness, 1)).clamp(0, 1)
        if self.contrast:
            mean = to_grey(images).mean(dim=(2, 3), keepdim=True)
            images = (mean + (images - mean) * draw(self.contrast, 1)).clamp(0, 1)
        if self.saturation:
            grey = to_grey(images)
            images = (grey + (images - grey) * draw(self.saturation, 1)).clamp(0, 1)
        if self.hue:
            images = turn_hue(images, draw(self.hue, 0)).clamp(0, 1)
        return images


def shift_and_mirror(images: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror pictures left and right, or not, and move each by whole pixels; black comes in.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
        Of any type.
    shift : int64 Tensor, shape (2, N)
        How many pixels further right and further down each output pixel is taken from.
    mirrored : bool Tensor, shape (N,)
        Which pictures are mirrored.
    """
    count, channels, height, width = images.shape
    margin = int(shift.abs().max()) if count else 0
    columns, rows = torch.arange(width), torch.arange(height)
    columns = torch.where(mirrored[:, None], columns.flip(0), columns) + shift[0, :, None]
    rows = rows + shift[1, :, None]
    # one number per output pixel: where it lies in the padded picture, row after row
    source = (rows[:, :, None] + margin) * (width + 2 * margin) + columns[:, None, :] + margin
    source = source.to(images.device).view(count, 1, -1).expand(-1, channels, -1)
    padded = F.pad(images, (margin,) * 4).flatten(2)
    return padded.gather(2, source).view(images.shape)


def to_float(images: Tensor) -> Tensor:
    """Return uint8 pictures as float32 in [0, 1]; float ones as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def to_grey(images: Tensor) -> Tensor:
    """Luma of RGB pictures (ITU-R BT.601), (N, 3, H, W) to (N, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


# RGB to YIQ: luma, and two axes of colour in which a change of hue is a rotation
_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
)  # fmt: skip


def turn_hue(images: Tensor, share: Tensor) -> Tensor:
    """Turn the colours of each picture by `share` of the colour circle; luma stays.

    Parameters
    ----------
    images : Tensor, shape (N, 3, H, W)
    share : Tensor with N elements
        -0.5 to 0.5.
    """
    angle = 2 * math.pi * share.flatten().cpu()
    turn = torch.eye(3).repeat(len(images), 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = angle.sin(), -angle.sin()  # from red to green, as in HSV
    maps = (torch.linalg.inv(_YIQ) @ turn @ _YIQ).to(images.device, images.dtype)
    return torch.einsum("nij,njhw->nihw", maps, images)


# ---------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Batches:
    """Batches of pictures that are in memory; iterate over it once per epoch.

    Attributes
    ----------
    images : Tensor, shape (N, 3, H, W)
        uint8 (as `to_tensors` makes them), or float in [0, 1].
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
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"{len(self.images)} images and {len(self.labels)} labels do not match"
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")

    def __len__(self) -> int:
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.images)
        if self.shuffle:
            order = torch.randperm(count, generator=self.generator)
        else:
            order = torch.arange(count)
        order = order.to(self.images.device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            chosen = order[start : start + self.batch_size]
            images = self.images[chosen].to(self.device or self.images.device)
            yield self._prepared(images), self.labels[chosen].to(images.device)

    def _prepared(self, images: Tensor) -> Tensor:
        augment = self.augment
        images = to_float(images) if augment is None else augment(images, self.generator)
        if self.normalize is None:
            return images
        mean, std = (
            torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in self.normalize
        )
        return images.sub_(mean).div_(std)  # in place: they are a copy of what was indexed


def batches(
    tensors: ImageTensors | tuple[Tensor, Tensor], batch_size: int = 64, **options: object
) -> Batches:
    """Return the batches of what `to_tensors` returned; options as in `Batches`.

    Examples
    --------
    >>> tensors = ImageTensors(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.zeros(10).long())
    >>> [len(labels) for _, labels in batches(tensors, 4)]
    [4, 4, 2]
    """
    images, labels = tensors
    return Batches(images, labels, batch_size, **options)  # type: ignore[arg-type]
