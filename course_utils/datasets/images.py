"""A split as an ordinary PyTorch data set, with masks, scenes and interventions where known."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from .. import runtime
from .layouts import DatasetError, Listing, Record

#: Largest tensor that is made of a split, in gigabytes: 26,000 pictures of 224 pixels.
MAX_GB = 4
_ONLY_RENDERED = 'only rendered pictures have one: load them with source="embedded"'


class ImageTensors(NamedTuple):
    """Pictures and labels in memory: uint8 (N, 3, H, W) and int64 (N,)."""

    images: Tensor
    labels: Tensor


class ImageDataset(Dataset):
    """Labelled pictures: ``dataset[i]`` is (picture, label).

    Attributes
    ----------
    name : str
        Data set and split, for captions: "vegetables train".
    classes : tuple of str
        Class names; a label is an index into them.
    labels : int64 Tensor, shape (N,)
        The label of every picture.
    paths : list of str
        The file of every picture, below the data set's folder.
    parts : dict of int to str
        Part id in the masks to name; empty where no masks are known.
    transform : callable or None
        What ``dataset[i]`` does with the PIL picture (8-bit RGB); None, as at first, leaves it so.
    """

    def __init__(
        self, name: str, listing: Listing, records: Sequence[Record], transform: Any = None
    ) -> None:
        self.name, self.classes, self.parts = name, listing.classes, listing.parts
        self.paths = [record.file for record in records]
        self.labels = torch.tensor([record.label for record in records], dtype=torch.int64)
        self.transform, self._listing = transform, listing
        self._tensors: dict[tuple[str, int | None], Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = self.image(index)
        picture = picture if self.transform is None else self.transform(picture)
        return picture, int(self.labels[index])

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} pictures of {len(self.classes)} classes>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tensors": {}}  # workers decode for themselves

    @property
    def class_counts(self) -> dict[str, int]:
        """How many pictures each class has."""
        counts = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def image(self, index: int) -> Image.Image:
        """Return a picture as 8-bit RGB, whatever `transform` is.

        Raises
        ------
        DatasetError
            If its file is missing or damaged; the message names it.
        """
        return self._listing.files.image(self._listing.root + self.paths[index])

    def to_tensors(self, size: int | None = None, *, progress: bool = True) -> ImageTensors:
        """Decode the whole split into one tensor of bytes, once; the next call returns the same.

        Parameters
        ----------
        size : int, optional
            Cut out the centre square and resize it to this. Needed where pictures differ in size.
        progress : bool
            Show a bar if it takes longer than a second.

        Returns
        -------
        ImageTensors
            Images, uint8 (N, 3, H, W), and labels, int64 (N,). They take N·3·H·W bytes: 1,000
            pictures of 32 pixels 3 MB, of 224 pixels 150 MB.

        Raises
        ------
        ValueError
            If the tensor would be larger than `MAX_GB` gigabytes.
        DatasetError
            If a picture is damaged, or pictures differ in size and `size` was not given.
        """
        return ImageTensors(self._decoded("images", self.image, size, progress), self.labels)

    def _decoded(
        self, kind: str, read: Callable[[int], Image.Image], size: int | None, progress: bool = True
    ) -> Tensor:
        """Return all images, uint8 (N, 3, H, W), or all masks, (N, H, W), as `read` gives them."""
        if (kind, size) in self._tensors:
            return self._tensors[kind, size]
        method = Image.Resampling.BILINEAR if kind == "images" else Image.Resampling.NEAREST
        result = np.empty((0, *([3, 0, 0] if kind == "images" else [0, 0])), np.uint8)
        indices = range(len(self))
        for index in runtime.progress(indices, description=f"decoding {self.name}", shown=progress):
            picture = read(index)
            pixels = np.asarray(ImageOps.fit(picture, (size, size), method) if size else picture)
            pixels = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels
            if index == 0:
                shape = (len(self), *pixels.shape)
                if (size_in_gb := math.prod(shape) / 1e9) > MAX_GB:
                    message = f"{self.name} as a tensor {shape} would take {size_in_gb:.1f} GB"
                    raise ValueError(f"{message}: use a smaller size, subset= or a DataLoader")
                result = np.empty(shape, np.uint8)
            if pixels.shape != result.shape[1:]:
                what = f"{self.paths[index]} is of another size than {self.paths[0]}"
                raise DatasetError(f"{what}: give to_tensors a size, such as to_tensors(224)")
            result[index] = pixels
        return self._tensors.setdefault((kind, size), torch.from_numpy(result))

    def subset(self, indices: Iterable[int] | Tensor) -> ImageDataset:
        """Return the pictures at these positions, in this order, with all that is known of them."""
        chosen = [range(len(self))[int(index)] for index in indices]
        records = [Record(self.paths[i], int(self.labels[i])) for i in chosen]
        return ImageDataset(self.name, self._listing, records, self.transform)

    # ------------------------------------------------------------------ what is known

    def _mask_file(self, index: int) -> str:
        return f"{self._listing.root}masks/{PurePosixPath(self.paths[index]).with_suffix('.png')}"

    @property
    def has_masks(self) -> bool:
        """Whether every picture has a mask of its parts."""
        return all(self._mask_file(index) in self._listing.files for index in range(len(self)))

    def _mask(self, index: int) -> Image.Image:
        """Return the part id of every pixel of a picture; LookupError where it is not known."""
        name = self._mask_file(index)
        if name not in self._listing.files:
            raise LookupError(f"no mask of {self.paths[index]} is known: {_ONLY_RENDERED}")
        try:
            return Image.open(io.BytesIO(self._listing.files.read(name))).convert("L")
        except OSError as error:
            raise DatasetError(f"{name} is damaged: {error}") from error

    @property
    def masks(self) -> Tensor | None:
        """All masks, uint8 (N, H, W), decoded once; None where they are not known."""
        return self.masks_at(None) if len(self) and self.has_masks else None

    def masks_at(self, size: int | None) -> Tensor:
        """Return all masks at the size of ``to_tensors(size)``, uint8 (N, size, size).

        Part ids are kept: each pixel takes the id of the nearest one.

        Raises
        ------
        LookupError
            If masks are not known.
        """
        return self._decoded("masks", self._mask, size)

    def scene(self, index: int) -> Any:
        """Return the scene from which a picture was rendered (`course_scenes.Scene`).

        `course_scenes` renders it again, at any size, or with one thing changed.

        Raises
        ------
        LookupError
            If the picture was not rendered.
        """
        path = self.paths[index]
        if path not in self._listing.scenes:
            raise LookupError(f"no scene of {path} is known: {_ONLY_RENDERED}")
        from course_scenes import Scene

        return Scene.from_dict(self._listing.scenes[path]["scene"])

    @property
    def cues(self) -> Tensor | None:
        """Whether each picture carries the planted cue, bool (N,); None in a plain edition."""
        cues = [self._listing.scenes.get(path, {}).get("cue") for path in self.paths]
        return None if None in cues or not cues else torch.tensor(cues, dtype=torch.bool)

    def _changed(self) -> list[dict[str, Any]]:
        """Return the scenes of the changed pictures of this split."""
        here = set(self.paths)
        return [line for line in self._listing.scenes.values() if line.get("original") in here]

    @property
    def interventions(self) -> tuple[str, ...]:
        """Names of the interventions that are stored for pictures of this split."""
        return tuple(sorted({line["intervention"] for line in self._changed()}))

    def intervention(self, name: str) -> Pairs:
        """Return the pictures of this split for which an intervention is stored, before and after.

        Parameters
        ----------
        name : str
            One of `interventions`.

        Raises
        ------
        LookupError
            If none is stored under this name.
        """
        pairs = {line["original"]: line for line in self._changed() if line["intervention"] == name}
        if not pairs:
            there = ", ".join(self.interventions) or "none"
            raise LookupError(f"no intervention {name!r} is stored for {self.name}, only: {there}")
        indices = [i for i, path in enumerate(self.paths) if path in pairs]
        lines = [pairs[self.paths[i]] for i in indices]
        records = [Record(line["file"], self.classes.index(line["class"])) for line in lines]
        after = ImageDataset(f"{self.name}, {name}", self._listing, records, self.transform)
        return Pairs(name, torch.tensor(indices), self.subset(indices), after)


class Pairs(NamedTuple):
    """Pictures before and after an intervention: ``before[k]`` and ``after[k]`` belong together.

    `indices` says where the pictures are in the split. ``after.labels`` are those of the changed
    scenes: someone whose cigarette became a pen no longer smokes. Where the object was taken away
    altogether, it is still the original's.
    """

    name: str
    indices: Tensor
    before: ImageDataset
    after: ImageDataset


@dataclass(frozen=True)
class DatasetSplits:
    """A data set, ready to use.

    Attributes
    ----------
    name, edition : str
        As asked for.
    source : {"real", "embedded"}
        Which copy this is.
    train, val, test : ImageDataset
        For training, for choosing settings, for the final figures.
    origin : Path
        The folder or archive that is read.
    reason : str
        Why the embedded copy is used although the real one was wanted first; else empty.
    skipped : tuple of str
        What was left out, a sentence each.
    """

    name: str
    edition: str
    source: str
    train: ImageDataset
    val: ImageDataset
    test: ImageDataset
    origin: Path
    reason: str = ""
    skipped: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ImageDataset]:
        return iter((self.train, self.val, self.test))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return self.train.classes

    def open(self, file: str) -> io.BytesIO:
        """Open a file of the data set: ``pandas.read_csv(vegetables.open("train.csv"))``.

        Raises
        ------
        DatasetError
            If it has none of this name.
        """
        listing = self.train._listing
        return io.BytesIO(listing.files.read(listing.root + file))

    @property
    def caption(self) -> str:
        """What a figure should call this data set; says which copy it is."""
        edition = f", {self.edition} edition" if self.edition != "plain" else ""
        what = "real photographs" if self.source == "real" else "rendered by the course"
        return f"{self.name}{edition} ({what})"

    def __str__(self) -> str:
        """Say what was loaded, and the reason if it is not what was wanted first."""
        sizes = " + ".join(f"{len(split)} {split.name.split()[-1]}" for split in self)
        line = f"{self.caption}: {sizes} pictures, {len(self.classes)} classes"
        line += f"; {len(self.skipped)} files skipped" if self.skipped else ""
        return f"{line}\n  not the real ones: {self.reason}" if self.reason else line
