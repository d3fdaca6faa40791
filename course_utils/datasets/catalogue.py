"""The data sets of the course: their classes, layouts, archives, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import layouts
from .layouts import Parser

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes
    ----------
    title : str
        For people.
    classes : tuple of str
        Class names in the order of their labels; empty to take every folder.
    parse : callable
        The parser of its layout, for the real and the embedded copy.
    asset : str
        Name of the real copy in ``data/assets.toml``.
    embedded : mapping of str to str
        Edition to archive in ``data/embedded``.
    count : int
        Pictures in the real copy.
    inner : str or None
        Pattern of the tar archive inside the real zip that holds the pictures.
    validation : float
        Share of the training pictures that becomes validation, where the set has none.
    pool : int or None
        Put all splits together, draw so many pictures (all, where there are fewer), and split anew.
    labelled_as : tuple of str
        The classes that the files are labelled with, where these are more than `classes`.
    """

    title: str
    classes: tuple[str, ...]
    parse: Parser
    asset: str
    embedded: Mapping[str, str] = field(default_factory=dict)
    count: int = 0
    inner: str | None = None
    validation: float = 0.15
    pool: int | None = None
    labelled_as: tuple[str, ...] = ()

    @property
    def file_classes(self) -> tuple[str, ...]:
        """The classes that the files are labelled with, whichever of them are wanted."""
        return self.labelled_as or self.classes


def _editions(name: str, *more: str) -> dict[str, str]:
    return {"plain": name, **{edition: f"{name}_{edition}" for edition in more}}


DATASETS: dict[str, Entry] = {
    "cifar10": Entry(
        title="CIFAR-10",
        classes=CIFAR10_CLASSES,
        parse=layouts.cifar10,
        asset="cifar10",
        embedded=_editions("cifar10"),
        count=60_000,
        validation=0.1,
    ),
    "vegetables": Entry(
        title="vegetables",
        classes=("cucumber", "eggplant", "mushroom"),
        parse=layouts.labelled_table,
        asset="vegetables",
        embedded=_editions("vegetables", "shortcut"),
        count=186,
    ),
    "smoking": Entry(
        title="smoking",
        classes=("notsmoking", "smoking"),
        parse=layouts.file_prefix,
        asset="smoking",
        embedded=_editions("smoking", "shortcut"),
        count=1_120,
    ),
    "animals": Entry(
        title="animals (CIFAR-10's cats, dogs and horses)",
        classes=("cat", "dog", "horse"),
        parse=layouts.cifar10,
        asset="cifar10",
        embedded=_editions("cifar10"),
        count=18_000,
        pool=5_000,
        labelled_as=CIFAR10_CLASSES,
    ),
    "caltech101": Entry(
        title="Caltech-101",
        classes=(),
        parse=layouts.category_folders,
        asset="caltech101",
        count=8_677,
        inner="*101_ObjectCategories.tar.gz",
    ),
}

__all__ = ["CIFAR10_CLASSES", "DATASETS", "Entry"]
