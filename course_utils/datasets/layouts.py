"""How each data set is laid out: which picture has which label, and in which split it is.

Files that do not fit are not dropped silently: they are problems, which `load_dataset` raises or,
with ``on_error="skip"``, counts; what is no picture of the data set is named in a warning.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from torchvision.datasets import CIFAR10

from .. import assets
from .files import DatasetError, Files, is_picture, tidy

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
#: Folder names that data sets use for their splits.
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
#: Caltech-101's folder of pictures that show none of its objects.
BACKGROUND = "BACKGROUND_Google"
#: What lies beside the pictures in an embedded archive, and is none of its labelled pictures.
BESIDE = ("masks/", "interventions/")
_ROOT_AND_SPLIT = rf"(?P<root>(?:.*?/)??)(?P<split>{'|'.join(SPLIT_FOLDERS)})/"


class Entry(NamedTuple):
    """A data set of the course.

    Attributes
    ----------
    title : str
        For people.
    classes, file_classes : tuple of str
        Class names in the order of their labels, those that are wanted and those that the files are
        labelled with; empty to take every folder.
    example : str
        A file of it, for messages.
    layout : str
        Regular expression of a picture's file, with groups root, label and maybe split;
        ``CLASSES`` stands for the classes. Empty: a table, ``train.csv``.
    asset : str
        Name of the real copy in ``data/assets.toml``.
    count : int
        Pictures in the real copy.
    embedded : dict of str to str
        Edition to archive in ``data/embedded``.
    validation : float
        Share of the training pictures that becomes validation, where the set has none.
    pool : int or None
        Put all splits together, draw so many pictures (all, where there are fewer), and split anew.
    """

    title: str
    classes: tuple[str, ...]
    file_classes: tuple[str, ...]
    example: str
    layout: str
    asset: str
    count: int
    embedded: dict[str, str]
    validation: float = 0.15
    pool: int | None = None


def _entry(title: str, classes: str, example: str, layout: str, count: int) -> Entry:
    editions = {"plain": title, "shortcut": f"{title}_shortcut"}
    names = tuple(classes.split())
    return Entry(title, names, names, example, layout, title, count, editions)


_CIFAR = Entry(
    "CIFAR-10", CIFAR10_CLASSES, CIFAR10_CLASSES, "train/airplane/0001.jpg",
    _ROOT_AND_SPLIT + "(?P<label>CLASSES)/[^/]+", "cifar10", 60_000, {"plain": "cifar10"}, 0.1,
)  # fmt: skip
_ANIMALS = {"title": "animals (CIFAR-10's)", "classes": ("cat", "dog", "horse")}
# Kaggle unpacks to Training/Training/
_SMOKING = _ROOT_AND_SPLIT + r"(?:[^/]+/)?(?P<label>CLASSES)_[^/]+"
_CALTECH = r"(?P<root>(?:.*/)?)(?P<label>[^/]+)/image_\d+\.[^/]+"
DATASETS = {
    "cifar10": _CIFAR,
    "vegetables": _entry("vegetables", "cucumber eggplant mushroom", "train.csv", "", 186),
    "smoking": _entry("smoking", "notsmoking smoking", "Training/smoking_1.jpg", _SMOKING, 1_120),
    "animals": _CIFAR._replace(**_ANIMALS, count=18_000, pool=5_000),
    "caltech101": _entry("caltech101", "", "accordion/image_0001.jpg", _CALTECH, 8_677)._replace(
        embedded={}
    ),
}


class Record(NamedTuple):
    """One picture: its file below the data set's root, class index, and split if one is given."""

    file: str
    label: int
    split: str | None = None


@dataclass
class Listing:
    """What was found of a data set.

    Attributes
    ----------
    files : Files
        What holds the pictures.
    root : str
        Prefix of the data set's files; empty or ending in a slash.
    classes : tuple of str
        Class names; a label is an index into them.
    records : list of Record
    problems, ignored : list of str
        What does not fit, and what is no picture of the data set; a sentence each.
    parts : dict of int to str
        Of rendered pictures: part id in the masks to name; 0 is the background.
    scenes : dict of str to dict
        Of rendered pictures: the line of ``scenes.jsonl`` (or ``interventions.jsonl``) of a file.
    """

    files: Files
    root: str
    classes: tuple[str, ...]
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    parts: dict[int, str] = field(default_factory=dict)
    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)


def find_listing(entry: Entry, path: Path) -> Listing:
    """List the pictures of a data set in a folder or archive, or in an archive that is in it.

    Raises
    ------
    DatasetError
        If it is not there.
    """
    parse = _parse_paths if entry.layout else _parse_table
    files = Files(path)
    listing = parse(entry, files) or parse(entry, files.inner())
    if listing is None:
        there = ", ".join(sorted(files)[:3]) or "nothing"
        raise DatasetError(f"{path} should hold files such as {entry.example}; it holds {there}")
    _read_truth(listing)
    return listing


def _parse_paths(entry: Entry, files: Files) -> Listing | None:
    """Take label and split from folders and file names."""
    if entry.asset == "cifar10":
        files = _decode_batches(files)
    pattern = re.compile(entry.layout.replace("CLASSES", "|".join(entry.file_classes)), re.I)
    found = {name: pattern.fullmatch(name) for name in files if is_picture(name)}
    found = {name: match.groupdict() for name, match in found.items() if match}
    if not found:
        return None
    root = min({match["root"] for match in found.values()}, key=lambda root: (len(root), root))
    found = {name: match for name, match in found.items() if match["root"] == root}
    folders = {match["label"] for match in found.values()}
    listing = Listing(files, root, entry.file_classes or tuple(sorted(folders, key=str.lower)))
    index = {name.lower(): label for label, name in enumerate(listing.classes)}
    for name, match in found.items():
        split = SPLIT_FOLDERS.get(match.get("split", "").lower())
        listing.records.append(Record(name[len(root) :], index[match["label"].lower()], split))
    _note_others(listing, set(found), f"is not laid out like {entry.example}, so it has no label")
    return listing


def _decode_batches(files: Files) -> Files:
    """Replace ``cifar-10-batches-py`` by its pictures, ``train/airplane/00012.png``.

    torchvision compares the MD5 of each batch before it unpickles it.
    """
    found = [name for name in files if f"/{name}".endswith("/data_batch_1")]
    if not found:
        return files
    location = files.location
    try:
        folder = location if location.is_dir() else assets.unpack(location)
        folder = (folder / found[0]).resolve().parent.parent
        parts = {split: CIFAR10(str(folder), train=split == "train") for split in ("train", "test")}
    except RuntimeError as error:
        raise DatasetError(f"{location} has no intact copy of CIFAR-10: {error}") from error
    pictures = (
        (f"{split}/{CIFAR10_CLASSES[label]}/{i:05d}.png", part.data[i])
        for split, part in parts.items()
        for i, label in enumerate(part.targets)
    )
    return Files(location, pictures)


def _parse_table(entry: Entry, files: Files) -> Listing | None:
    """Take labels from ``train.csv`` with the columns ``img_path`` and ``label``.

    A path may be absolute, as on the machine where the table was made: then the file's name counts,
    if it is the only one. A label may be the index of a class, or its name.
    """
    tables = [name for name in files if f"/{name}".lower().endswith("/train.csv")]
    if not tables:
        return None
    name = min(tables, key=lambda name: (name.count("/"), name))
    listing = Listing(files, name[: -len("train.csv")], entry.classes)
    table = _read_table(files.read(name), f"{name} in {files.location}")
    inside = [other[len(listing.root) :] for other in files if other.startswith(listing.root)]
    paths = {file.lower(): file for file in inside if not file.startswith(BESIDE)}
    names = [path.rpartition("/")[2] for path in paths]
    once = {name for name, count in Counter(names).items() if count == 1}
    paths = {name: paths[p] for name, p in zip(names, paths, strict=True) if name in once} | paths
    labels = {title: label for label, title in enumerate(entry.classes)}
    labels = {str(label): label for label in labels.values()} | labels
    rows: dict[str, int] = {}
    for row, path, text in zip(table.index + 2, table["img_path"], table["label"], strict=True):
        key, label = tidy(path).lower(), labels.get(re.sub(r"\.0*$", "", text.lower()))
        file = paths.get(key) or paths.get(key.rpartition("/")[2])
        if file and label is not None and file not in rows:
            listing.records.append(Record(file, label))
        else:
            what = f"has the label {text!r}, which should be one of {', '.join(labels)}"
            what = f"has a row already, line {rows[file]}" if file in rows else what
            what = what if file else "is not in the data set"
            listing.problems.append(f"train.csv, line {row}: {path!r} {what}")
        rows.setdefault(file or path, row)
    _note_others(listing, {listing.root + file for file in rows}, "has no row in train.csv")
    return listing


def _read_table(data: bytes, given: str) -> pd.DataFrame:
    """Read a table as people's programs write them: UTF-8, UTF-16 or Latin-1; comma, ; or tab."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = re.split(r"\r\n|\r|\n", text)
    separator = max(",;\t", key=lines[0].count)
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(lines)), sep=separator, engine="python", dtype=str,
            keep_default_na=False, index_col=False, skip_blank_lines=False, skipinitialspace=True,
            on_bad_lines=lambda fields: fields[: lines[0].count(separator) + 1],
        )  # fmt: skip
        table.columns = [str(column).strip().lower() for column in table.columns]
        table = table[["img_path", "label"]].fillna("").map(str.strip)
    except (ValueError, AttributeError, csv.Error, LookupError) as error:
        message = f"{given} is no table with the columns img_path and label: {error}; it begins"
        raise DatasetError(f"{message} with {lines[0][:80]!r}") from error
    return table[(table != "").any(axis=1)]


def _note_others(listing: Listing, taken: set[str], why: str) -> None:
    """Note the pictures without a label, and other files that lie among the pictures."""
    folders = {name.rpartition("/")[0] for name in taken}
    beside = tuple(listing.root + folder for folder in BESIDE)
    for name in sorted(set(listing.files) - taken):
        if is_picture(name) and not name.startswith(listing.root):
            listing.ignored.append(f"{name} lies outside of the data set")
        elif is_picture(name) and not name.startswith(beside):
            listing.problems.append(f"{name} {why}")
        elif name.rpartition("/")[0] in folders and not name.lower().endswith(".csv"):
            listing.ignored.append(f"{name} is not of a kind that Pillow opens")


def _read_truth(listing: Listing) -> None:
    """Read what a renderer has stored beside its pictures; there is nothing beside photographs."""
    files, root = listing.files, listing.root
    try:
        if root + "parts.json" in files:
            parts = json.loads(files.read(root + "parts.json"))
            listing.parts = {int(part): str(title) for part, title in parts.items()}
        for name in {root + "scenes.jsonl", root + "interventions.jsonl"} & files.keys():
            for line in map(json.loads, files.read(name).decode().splitlines()):
                listing.scenes[line["file"]] = line
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"the .json or .jsonl files in {files.location} are damaged: {error!r}"
        raise DatasetError(message) from error
