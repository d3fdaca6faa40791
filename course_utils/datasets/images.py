"""A split as an ordinary PyTorch data set, with whatever is known about its pictures beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from .layouts import Record
from .stores import Store
from .tensors import ImageTensors, decode_all, decode_masks
from .truth import Truth

Transform = Callable[[Image.Image], Any]


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
        What ``dataset[i]`` does with the PIL picture (8-bit RGB); None leaves it as it is.
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        store: Store,
        root: str,
        records: Sequence[Record],
        truth: Truth | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.name, self.classes, self.transform = name, tuple(classes), transform
        self.labels = torch.tensor([record.label for record in records], dtype=torch.int64)
        self.paths = [record.file for record in records]
        self.parts = dict(truth.parts) if truth is not None else {}
        self._store, self._root, self._truth = store, root, truth
        self._tensors: dict[tuple[object, ...], Any] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = self.image(index)
        label = int(self.labels[index])
        return (picture if self.transform is None else self.transform(picture)), label

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.class_counts.items())
        counts = counts if len(self.classes) <= 10 else f"{len(self.classes)} classes"
        return f"<{self.name}: {len(self)} pictures ({counts})>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tensors": {}}  # workers decode for themselves

    # ------------------------------------------------------------------ pictures

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
        return self._store.image(self._root + self.paths[index])

    def to_tensors(
        self,
        size: int | None = None,
        *,
        indices: Sequence[int] | None = None,
        progress: bool = True,
    ) -> ImageTensors:
        """Decode the whole split into one tensor of bytes, once; the next call returns the same.

        Parameters
        ----------
        size : int, optional
            Resize the shorter side to this and cut out the centre square. Needed where pictures
            differ in size.
        indices : sequence of int, optional
            Only these pictures.
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
            If the tensor would be larger than `tensors.MAX_BYTES`.
        DatasetError
            If a picture is damaged, or pictures differ in size and `size` was not given.
        """
        if indices is not None:
            return self.subset(indices).to_tensors(size, progress=progress)
        if ("images", size) not in self._tensors:
            names = [self._root + path for path in self.paths]
            images = decode_all(self._store, names, size, progress=progress, title=self.name)
            self._tensors["images", size] = ImageTensors(images, self.labels)
        return self._tensors["images", size]

    # ------------------------------------------------------------------ parts of it

    def with_transform(self, transform: Transform | None) -> ImageDataset:
        """Return the same pictures with another transform."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def subset(self, indices: Sequence[int] | Tensor) -> ImageDataset:
        """Return the pictures at these positions, in this order, with all that is known of them."""
        chosen = [range(len(self))[int(index)] for index in indices]
        records = [Record(self.paths[i], int(self.labels[i])) for i in chosen]
        return self._like(self.name, records)

    def _like(self, name: str, records: Sequence[Record]) -> ImageDataset:
        return ImageDataset(
            name, self.classes, self._store, self._root, records, self._truth, self.transform
        )

    # ------------------------------------------------------------------ what is known

    @property
    def has_masks(self) -> bool:
        """Whether every picture has a mask of its parts."""
        return self._truth is not None and all(path in self._truth.masks for path in self.paths)

    def mask(self, index: int) -> Tensor:
        """Return the part id of every pixel of a picture, uint8 (H, W); 0 is the background.

        Raises
        ------
        LookupError
            If no mask is known, as of photographs.
        """
        return torch.from_numpy(
            self._known(f"no mask of {self.paths[index]}").mask(self.paths[index])
        )

    @property
    def masks(self) -> Tensor | None:
        """All masks, uint8 (N, H, W), decoded once; None where they are not known."""
        return self.masks_at(None) if self.has_masks and len(self) else None

    def masks_at(self, size: int | None) -> Tensor:
        """Return all masks at the size of ``to_tensors(size)``, uint8 (N, size, size).

        Part ids are kept: each pixel takes the id of the nearest one.

        Raises
        ------
        LookupError
            If masks are not known.
        """
        truth = self._known("no masks of these pictures")
        if ("masks", size) not in self._tensors:
            self._tensors["masks", size] = decode_masks(truth, self.paths, size, title=self.name)
        return self._tensors["masks", size]

    def details(self, index: int) -> dict[str, Any]:
        """Return a picture's line of ``scenes.jsonl``: file, split, class, scene and cue.

        Raises
        ------
        LookupError
            If the picture was not rendered.
        """
        path = self.paths[index]
        scenes = self._known(f"no scene of {path}").scenes
        if path not in scenes:
            raise LookupError(f"no scene of {path} is stored")
        return scenes[path]

    def scene(self, index: int) -> Any:
        """Return the scene from which a picture was rendered (`course_scenes.Scene`).

        `scenes.render_scenes` renders it again, at any size; `scenes.intervene` changes one thing.

        Raises
        ------
        LookupError
            If the picture was not rendered.
        """
        details = self.details(index)
        from course_scenes import Scene

        return Scene.from_dict(details["scene"])

    @property
    def cues(self) -> Tensor | None:
        """In a shortcut edition, whether each picture carries the planted cue, bool (N,).

        None elsewhere.
        """
        lines = [self._truth.scenes.get(path, {}) if self._truth else {} for path in self.paths]
        if not lines or any("cue" not in line for line in lines):
            return None
        return torch.tensor([bool(line["cue"]) for line in lines])

    @property
    def interventions(self) -> tuple[str, ...]:
        """Names of the interventions that are stored for pictures of this split."""
        if self._truth is None:
            return ()
        here = set(self.paths)
        pairs = self._truth.interventions
        return tuple(sorted(name for name in pairs if here & pairs[name].keys()))

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
        if name not in self.interventions:
            there = ", ".join(self.interventions) or "none"
            raise LookupError(
                f"{self.name} has no stored intervention {name!r} (there are: {there}). Rendered "
                'pictures (source="embedded") have them in their test split; for any other, '
                "change scene(i) with scenes.intervene and render it with scenes.render_scenes"
            )
        truth = self._known("")
        changed = truth.interventions[name]
        indices = [i for i, path in enumerate(self.paths) if path in changed]
        records = []
        for i in indices:
            file = changed[self.paths[i]]
            now = truth.scenes[file].get("class")
            label = self.classes.index(now) if now in self.classes else int(self.labels[i])
            records.append(Record(file, label))
        after = self._like(f"{self.name}, {name}", records)
        return Pairs(name, torch.tensor(indices), self.subset(indices), after)

    def _known(self, lacking: str) -> Truth:
        if self._truth is None:
            raise LookupError(
                f"{lacking} is known: only rendered pictures have masks, scenes and interventions, "
                'so load the data set with source="embedded"'
            )
        return self._truth


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
    seed : int
        What the splits and their order were drawn with.
    reason : str
        Why the embedded copy is used although the real one was wanted first; else empty.
    skipped : tuple of str
        What ``on_error="skip"`` left out, a sentence each.
    """

    name: str
    edition: str
    source: str
    train: ImageDataset
    val: ImageDataset
    test: ImageDataset
    origin: Path
    seed: int = 0
    reason: str = ""
    skipped: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[ImageDataset]:
        return iter((self.train, self.val, self.test))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return self.train.classes

    @property
    def parts(self) -> dict[int, str]:
        """Part id in the masks to name; empty for photographs."""
        return self.train.parts

    @property
    def caption(self) -> str:
        """What a figure should call this data set; says which copy it is."""
        edition = f", {self.edition} edition" if self.edition != "plain" else ""
        what = "real photographs" if self.source == "real" else "rendered by the course"
        return f"{self.name}{edition} ({what})"

    @property
    def banner(self) -> str:
        """One line that says what was loaded, and the reason if it is not what was wanted first."""
        sizes = " + ".join(f"{len(split)} {split.name.split()[-1]}" for split in self)
        line = f"{self.caption}: {sizes} pictures, {len(self.classes)} classes"
        if self.skipped:
            line += f"; {len(self.skipped)} skipped"
        return f"{line}\n  not the real ones: {self.reason}" if self.reason else line

    def __str__(self) -> str:
        return self.banner
