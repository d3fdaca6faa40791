"""How each data set is laid out: which picture has which label, and in which split it is.

Files that do not fit are not dropped silently: they are problems, which `load_dataset` raises or,
with ``on_error="skip"``, counts; what is no picture of the data set is named in a warning.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from torchvision.datasets import CIFAR10

from .. import assets
from .files import DatasetError, Files, is_picture, open_files, open_inner, tidy

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
DATASETS = {
    "cifar10": _CIFAR,
    "vegetables": _entry("vegetables", "cucumber eggplant mushroom", "train.csv", "", 186),
    "smoking": _entry(  # Kaggle's own unpacking puts the split folder into one of the same name
        "smoking", "notsmoking smoking", "Training/notsmoking_0001.jpg",
        _ROOT_AND_SPLIT + "(?:[^/]+/)?(?P<label>CLASSES)_[^/]+", 1_120,
    ),
    "animals": _CIFAR._replace(
        title="animals (CIFAR-10's cats, dogs and horses)", classes=("cat", "dog", "horse"),
        count=18_000, pool=5_000,
    ),
    "caltech101": Entry(
        "Caltech-101", (), (), "101_ObjectCategories/accordion/image_0001.jpg",
        r"(?P<root>(?:.*/)?)(?P<label>[^/]+)/image_\d+\.[^/]+", "caltech101", 8_677, {},
    ),
}  # fmt: skip


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
    files = open_files(path)
    listing = parse(entry, files) or parse(entry, open_inner(files))
    if listing is None:
        names = ", ".join(sorted(files)[:3]) or "nothing"
        raise DatasetError(
            f"{path} is not the expected data set: {entry.example} should be in it, and there is "
            f"{names}{', …' if len(files) > 3 else ''}. Pass the data set's folder or archive"
        )
    _read_truth(listing)
    return listing


def _parse_paths(entry: Entry, files: Files) -> Listing | None:
    """Take label and split from folders and file names."""
    if entry.asset == "cifar10":
        files = _decode_batches(files)
    choice = "|".join(map(re.escape, entry.file_classes))
    pattern = re.compile(entry.layout.replace("CLASSES", choice), re.IGNORECASE)
    found = {name: pattern.fullmatch(name) for name in files if is_picture(name)}
    found = {name: match.groupdict() for name, match in found.items() if match}
    if not found:
        return None
    root = min((match["root"] for match in found.values()), key=lambda root: (len(root), root))
    found = {name: match for name, match in found.items() if match["root"] == root}
    folders = {match["label"] for match in found.values()}
    classes = entry.file_classes or tuple(sorted(folders, key=str.lower))
    index = {name.lower(): label for label, name in enumerate(classes)}
    listing = Listing(files, root, classes)
    for name, match in found.items():
        split = SPLIT_FOLDERS.get(match.get("split", "").lower())
        label = index[match["label"].lower()]
        listing.records.append(Record(name.removeprefix(root), label, split))
    _note_others(listing, set(found), f"is not laid out like {entry.example}, so it has no label")
    return listing


def _decode_batches(files: Files) -> Files:
    """Replace ``cifar-10-batches-py`` by its pictures, as ``train/airplane/00012.png``.

    torchvision compares the MD5 of each batch before it unpickles it.
    """
    found = [name for name in files if f"/{name}".endswith(f"/{CIFAR10.train_list[0][0]}")]
    if not found:
        return files
    folder = files.location if files.location.is_dir() else assets.unpack("cifar10", files.location)
    folder = (folder / found[0]).resolve().parent.parent
    pictures = Files(folder)
    for split in ("train", "test"):
        try:
            part = CIFAR10(str(folder), train=split == "train")
        except RuntimeError as error:
            raise DatasetError(
                f"{folder} holds no intact copy of CIFAR-10 ({error}): pass another with folder="
            ) from error
        for i, (pixels, label) in enumerate(zip(part.data, part.targets, strict=True)):
            pictures[f"{split}/{CIFAR10_CLASSES[label]}/{i:05d}.png"] = pixels
    return pictures


def _parse_table(entry: Entry, files: Files) -> Listing | None:
    """Take labels from ``train.csv`` with the columns ``img_path`` and ``label``.

    A path may be absolute, as on the machine where the table was made; a label may be the index of
    a class, or its name.
    """
    tables = [name for name in files if f"/{name}".lower().endswith("/train.csv")]
    if not tables:
        return None
    name = min(tables, key=lambda name: (name.count("/"), name))
    listing = Listing(files, name[: -len("train.csv")], entry.classes)
    table = _read_table(files.read(name), f"{name} in {files.location}")
    ends: dict[str, set[str]] = defaultdict(set)  # every way in which a file's path can end
    for other in files:
        if other.startswith(listing.root) and not _is_beside(listing, other):
            for end in _ends(other.removeprefix(listing.root)):
                ends[end.lower()].add(other.removeprefix(listing.root))
    labels = {str(label): label for label in range(len(entry.classes))}
    labels |= {name.lower(): label for label, name in enumerate(entry.classes)}
    rows: dict[str, int] = {}
    for row, path, label in zip(table.index, table["img_path"], table["label"], strict=True):
        found = _files_of(tidy(path).lower(), ends)
        number = labels.get(re.sub(r"\.0*$", "", label.lower()))
        if len(found) != 1:
            what = f"could be any of {', '.join(sorted(found))}" if found else "is not in it"
        elif found & rows.keys():
            what = f"has a row already, line {rows[next(iter(found))]}"
        elif number is None:
            what = f"has the label {label!r}, which should be one of {', '.join(labels)}"
        else:
            what = ""
            listing.records.append(Record(next(iter(found)), number))
        if what:
            listing.problems.append(f"train.csv, line {row + 2}: {path!r} {what}")
        rows = dict.fromkeys(found, row + 2) | rows
    _note_others(listing, {listing.root + file for file in rows}, "has no row in train.csv")
    return listing


def _read_table(data: bytes, given: str) -> pd.DataFrame:
    """Read a table as people's programs write them: UTF-8, UTF-16 or Latin-1; comma, ; or tab."""
    try:
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if wide else "utf-8-sig")
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
    except (ValueError, csv.Error, LookupError) as error:
        raise DatasetError(f"{given} cannot be read as a table: {error}") from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    if not {"img_path", "label"} <= set(table.columns) or not table.columns.is_unique:
        raise DatasetError(
            f"{given} should have the columns img_path and label, and has {list(table.columns)}"
        )
    table = table[["img_path", "label"]].fillna("").map(str.strip)
    return table[(table != "").any(axis=1)]


def _ends(path: str) -> list[str]:
    """Return all ends of a path, the longest first: a/b/c.jpg, b/c.jpg, c.jpg."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _files_of(path: str, ends: dict[str, set[str]]) -> set[str]:
    """Return the files that a row can mean: those whose paths end like it, as far as can be."""
    for end in _ends(path):
        # a relative path that loses its folder could mean another file of the same name
        if end in ends and (end == path or "/" in end or re.match(r"/|~|[a-z][\w+.-]*:", path)):
            return ends[end]
    return set()


def _is_beside(listing: Listing, name: str) -> bool:
    """Whether a file of an embedded archive belongs to its masks or interventions."""
    return name.startswith((f"{listing.root}masks/", f"{listing.root}interventions/"))


def _note_others(listing: Listing, taken: set[str], why: str) -> None:
    """Note the pictures without a label, and other files that lie among the pictures."""
    folders = {name.rpartition("/")[0] for name in taken}
    for name in sorted(set(listing.files) - taken):
        inside = name.startswith(listing.root)
        if is_picture(name) and not _is_beside(listing, name):
            sink = listing.problems if inside else listing.ignored
            sink.append(f"{name} {why if inside else 'lies outside of the data set'}")
        elif name.rpartition("/")[0] in folders and not name.lower().endswith(".csv"):
            listing.ignored.append(f"{name} is not of a kind that Pillow opens")


def _read_truth(listing: Listing) -> None:
    """Read what a renderer has stored beside its pictures; there is nothing beside photographs."""
    for name in ("parts.json", "scenes.jsonl", "interventions.jsonl"):
        name = listing.root + name
        if name not in listing.files:
            continue
        data = listing.files.read(name)
        try:
            if name.endswith("parts.json"):
                listing.parts = {int(part): str(title) for part, title in json.loads(data).items()}
            else:
                lines = map(json.loads, data.decode().splitlines())
                listing.scenes |= {line["file"]: line for line in lines}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{name} in {listing.files.location} is damaged: {error}") from error
