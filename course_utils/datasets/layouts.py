"""One parser per folder layout: which picture has which label, and in which split it is.

Every parser gets the `Store` and returns a `Listing`. Files that do not fit are not dropped
silently: they are problems, which `load_dataset` raises or, with ``on_error="skip"``, counts.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from .stores import DatasetError, MemoryStore, Store

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
#: Folder names that data sets use for their splits.
SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# beside the pictures in an embedded archive, and not pictures of the data set themselves
_BESIDE = ("masks/", "interventions/")


class Record(NamedTuple):
    """One picture: its file below the data set's root, class index, and split if one is given."""

    file: str
    label: int
    split: str | None = None


@dataclass
class Listing:
    """What a parser found.

    Attributes
    ----------
    store : Store
        What holds the pictures: the one that was parsed, or one in memory.
    root : str
        Prefix of every file in the store; empty or ending in a slash.
    classes : tuple of str
        Class names; a label is an index into them.
    records : list of Record
    problems : list of str
        What does not fit, a sentence each, naming the file.
    """

    store: Store
    root: str
    classes: tuple[str, ...]
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


Parser = Callable[[Store, Sequence[str]], Listing]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES)


def _root_of(names: Sequence[str], pattern: str, store: Store, expected: str) -> str:
    """Return the shortest prefix before a file that fits `pattern` (a regular expression)."""
    matcher = re.compile(rf"(?P<root>(?:.*?/)??){pattern}")
    roots = {match["root"] for name in names if (match := matcher.fullmatch(name))}
    roots = {root for root in roots if not any(f"/{part}" in f"/{root}" for part in _BESIDE)}
    if not roots:
        some = ", ".join(names[:3]) or "nothing"
        raise DatasetError(
            f"{store.location} is not the expected data set: {expected} should be in it, and there "
            f"is {some}{', …' if len(names) > 3 else ''}. Pass the folder or zip of the data set"
        )
    return min(roots, key=lambda root: (len(root), root))


def image_folder(store: Store, classes: Sequence[str]) -> Listing:
    """Parse ``train/<class>/<picture>`` and ``test/<class>/<picture>``, as in CIFAR-10's JPEG copy.

    Any of the names in `SPLIT_FOLDERS` will do. A folder that is no class is a problem; a class
    that is missing altogether raises DatasetError.
    """
    names = [name for name in store.names() if _is_picture(name)]
    splits = "|".join(SPLIT_FOLDERS)
    pattern = rf"(?i:{splits})/(?:{'|'.join(map(re.escape, classes))})/[^/]+"
    root = _root_of(names, pattern, store, f"train/{classes[0]}/ with pictures")
    listing = Listing(store, root, tuple(classes))
    labels = {name: label for label, name in enumerate(classes)}
    strangers: dict[str, int] = defaultdict(int)
    for name in names:
        if not name.startswith(root) or name[len(root) :].startswith(_BESIDE):
            continue
        parts = name[len(root) :].split("/")
        split = SPLIT_FOLDERS.get(parts[0].lower())
        if split is None or len(parts) != 3 or parts[1] not in labels:
            strangers["/".join(parts[:-1])] += 1
        else:
            listing.records.append(Record(name[len(root) :], labels[parts[1]], split))
    for folder, count in strangers.items():
        listing.problems.append(f"folder {folder!r} with {count} pictures is no split and class")
    return listing


def labelled_table(store: Store, classes: Sequence[str]) -> Listing:
    """Parse ``train.csv`` with the columns ``img_path,label``, as in the vegetable photographs.

    Problems are rows whose picture is not there, pictures without a row, rows that are there twice,
    and labels that are no class index.
    """
    names = store.names()
    root = _root_of(names, r"train\.csv", store, "train.csv")
    listing = Listing(store, root, tuple(classes))
    text = store.read(f"{root}train.csv").decode("utf-8-sig", errors="replace")
    table = csv.DictReader(io.StringIO(text))
    if not {"img_path", "label"} <= set(table.fieldnames or ()):
        raise DatasetError(
            f"train.csv in {store.location} should have the columns img_path and label, and has "
            f"{table.fieldnames}"
        )
    there = {name[len(root) :] for name in names if name.startswith(root) and _is_picture(name)}
    there = {name for name in there if not name.startswith(_BESIDE)}
    seen: set[str] = set()
    for number, row in enumerate(table, start=2):  # the header is line 1
        file = (row["img_path"] or "").strip().replace("\\", "/").removeprefix("./")
        problem = _row_problem(file, row["label"], there, seen, len(classes))
        if problem:
            listing.problems.append(f"train.csv, line {number}: {problem}")
        else:
            listing.records.append(Record(file, int(row["label"])))
        seen.add(file)
    for file in sorted(there - seen):
        listing.problems.append(f"{file} has no row in train.csv")
    return listing


def _row_problem(
    file: str, label: str | None, there: set[str], seen: set[str], class_count: int
) -> str | None:
    if file not in there:
        return f"{file!r} is not in the data set"
    if file in seen:
        return f"{file!r} has a row already"
    if not re.fullmatch(r"\s*\d+\s*", label or "") or int(label or 0) >= class_count:
        return f"{file!r} has the label {label!r}, which should be 0 to {class_count - 1}"
    return None


def file_prefix(store: Store, classes: Sequence[str]) -> Listing:
    """Parse ``Training/<class>_<number>.jpg``, as in the smoking photographs.

    The split folder may lie inside another of the same name, as Kaggle's unpacking leaves it.
    """
    names = [name for name in store.names() if _is_picture(name)]
    prefixes = "|".join(map(re.escape, classes))
    splits = "|".join(SPLIT_FOLDERS)
    pattern = rf"(?i:{splits})/(?:[^/]+/)?(?i:{prefixes})_[^/]+"
    root = _root_of(names, pattern, store, f"Training/{classes[0]}_0001.jpg")
    listing = Listing(store, root, tuple(classes))
    for name in names:
        file = name[len(root) :]
        if not name.startswith(root) or file.startswith(_BESIDE):
            continue
        split = SPLIT_FOLDERS.get(file.partition("/")[0].lower())
        prefix = PurePosixPath(file).name.partition("_")[0].lower()
        if split is None or prefix not in classes:
            listing.problems.append(f"{file} is not named SPLIT/CLASS_NUMBER, so it has no label")
        else:
            listing.records.append(Record(file, classes.index(prefix), split))
    return listing


def category_folders(store: Store, classes: Sequence[str]) -> Listing:
    """Parse ``101_ObjectCategories/<class>/image_0001.jpg``, as in Caltech-101.

    Without `classes` every folder is a class, sorted by name, except ``BACKGROUND_Google``, which
    holds pictures of anything.
    """
    names = [name for name in store.names() if _is_picture(name)]
    pattern = r"[^/]+/image_\d+\.jpe?g"
    root = _root_of(names, pattern, store, "101_ObjectCategories/accordion/image_0001.jpg")
    files = [name[len(root) :] for name in names if name.startswith(root)]
    folders = sorted({file.partition("/")[0] for file in files} - {BACKGROUND}, key=str.lower)
    chosen = tuple(classes or folders)
    labels = {name: label for label, name in enumerate(chosen)}
    listing = Listing(store, root, chosen)
    for file in files:
        folder = file.partition("/")[0]
        if folder in labels:
            listing.records.append(Record(file, labels[folder]))
    return listing


#: Caltech-101's folder of pictures that show none of its objects.
BACKGROUND = "BACKGROUND_Google"


def cifar_batches(folder: Path, classes: Sequence[str]) -> Listing:
    """Read ``cifar-10-batches-py`` with torchvision, which compares the MD5 of every batch.

    The batches are pickles, which can run code when they are opened; they are not opened before
    the comparison.

    Raises
    ------
    DatasetError
        If a batch is missing or its digest is wrong.
    """
    from torchvision.datasets import CIFAR10

    images, records = {}, []
    for split in ("train", "test"):
        try:
            part = CIFAR10(str(folder), train=split == "train", download=False)
        except RuntimeError as error:
            raise DatasetError(
                f"{folder / CIFAR10.base_folder} is not an intact copy of CIFAR-10 ({error}): "
                "delete it, and the next call gets it again"
            ) from error
        images[split] = np.asarray(part.data)
        named = [part.classes[label] for label in part.targets]
        records += [
            Record(f"{split}/{index:05d}", classes.index(name), split)
            for index, name in enumerate(named)
        ]
    return Listing(MemoryStore(folder, images), "", tuple(classes), records)


def cifar10(store: Store, classes: Sequence[str]) -> Listing:
    """Parse CIFAR-10 in either of its layouts: the pickled batches, or folders of pictures."""
    batches = store.location / "cifar-10-batches-py"
    if store.location.name == batches.name and (store.location / "data_batch_1").is_file():
        return cifar_batches(store.location.parent, classes)
    if batches.is_dir():
        return cifar_batches(store.location, classes)
    return image_folder(store, classes)
