"""How each data set is laid out: which picture has which label, and in which split it is.

Files lie below a folder, or are read out of an archive into memory: that takes no more memory than
on disk, and nothing is written. Their names are relative, with forward slashes and composed
accents (NFC), whatever made the folder or the archive.

Files that do not fit are not dropped silently: they are problems, which `load_dataset` raises or,
with ``on_error="skip"``, counts; what is no picture of the data set is named in a warning.
"""

from __future__ import annotations

import csv
import io
import json
import operator
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from torchvision.datasets import CIFAR10

from .. import archives, assets
from ..photos import PhotoError, load_photo

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
#: Folder names that data sets use for their splits, in lower case.
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
#: Caltech-101's folder of pictures that show none of its objects.
BACKGROUND = "BACKGROUND_Google"
#: What lies beside the pictures in an embedded archive, and is none of its labelled pictures.
BESIDE = ("masks/", "interventions/")

_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
#: The tables of rendered pictures, and what each line must hold beside the class.
TRUTH = {
    "scenes.jsonl": ("file",), "interventions.jsonl": ("file", "original", "intervention"),
}  # fmt: skip
_ROOT_AND_SPLIT = rf"(?P<root>(?:.*?/)??)(?P<split>{'|'.join(SPLIT_FOLDERS)})/"


class Entry(NamedTuple):
    """A data set of the course.

    Attributes
    ----------
    asset : str
        Name of the real copy in ``data/assets.toml``.
    count : int
        Pictures in the real copy.
    example : str
        A file of it, for messages.
    layout : str
        Regular expression of a picture's file, with groups root, label and maybe split. Empty: a
        table, ``train.csv``.
    classes : tuple of str
        Class names in the order of their labels; other files that fit `layout` are passed over.
        Empty to take every folder but `BACKGROUND`.
    editions : tuple of str
        Which ones are in ``data/embedded``.
    validation : float
        Share of the training pictures that becomes validation, where the set has none.
    pool : int or None
        Put all splits together, draw so many pictures (all, where there are fewer), and split anew.
    """

    asset: str
    count: int
    example: str
    layout: str
    classes: tuple[str, ...] = ()
    editions: tuple[str, ...] = ("plain", "shortcut")
    validation: float = 0.15
    pool: int | None = None


_CIFAR = Entry(
    "cifar10", 60_000, "train/airplane/0001.jpg",
    _ROOT_AND_SPLIT + rf"(?P<label>{'|'.join(CIFAR10_CLASSES)})/[^/]+",
    CIFAR10_CLASSES, editions=("plain",), validation=0.1,
)  # fmt: skip
DATASETS = {
    "cifar10": _CIFAR,
    "vegetables": Entry(
        "vegetables", 186, "train.csv", "", ("cucumber", "eggplant", "mushroom")
    ),
    "smoking": Entry(  # Kaggle unpacks to Training/Training/
        "smoking", 1_120, "Training/smoking_1.jpg",
        _ROOT_AND_SPLIT + r"(?:[^/]+/)?(?P<label>notsmoking|smoking)_[^/]+",
        ("notsmoking", "smoking"),
    ),
    "animals": _CIFAR._replace(count=18_000, classes=("cat", "dog", "horse"), pool=5_000),
    "caltech101": Entry(
        "caltech101", 8_677, "accordion/image_0001.jpg",
        r"(?P<root>(?:.*/)?)(?P<label>[^/]+)/image_\d+\.[^/]+", editions=(),
    ),
}  # fmt: skip


class DatasetError(ValueError):
    """A data set that is not as it should be; the message names the file and says what to do."""


# ------------------------------------------------------------------------------------ files


def is_picture(name: str) -> bool:
    """Whether a file's name ends like those that Pillow opens, in upper or lower case."""
    suffix = PurePosixPath(name).suffix.lower()
    return Image.registered_extensions().get(suffix) in Image.OPEN


def tidy(name: str) -> str:
    """Return a file's name with forward slashes and composed accents, without ``./`` before it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


class Files(dict[str, Path | bytes | np.ndarray | Exception]):
    """Name to file, bytes, decoded picture, or why it cannot be read.

    Attributes
    ----------
    location : Path
        The folder or archive that holds them all.

    Raises
    ------
    DatasetError
        If it is not there, is neither, is damaged, or has two files of one name.
    """

    def __init__(self, location: Path, found: Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.location = location
        try:
            for given, content in _found_in(location) if found is None else found:
                name = tidy(given)
                if name in self:
                    raise ValueError(f"it holds {name!r} twice")
                if not archives.CLUTTER.search(name):
                    self[name] = content
        except DatasetError:  # of an archive in it, which it names
            raise
        except Exception as error:  # decoders raise all kinds of errors on damaged bytes
            advice = "pass the data set's folder, or another archive, with folder="
            raise DatasetError(f"{location} cannot be read: {error}; {advice}") from error

    def read(self, name: str) -> Any:
        """Return a file's bytes, or decoded picture; DatasetError if it is missing or damaged."""
        content = self.get(name, LookupError("it is not there"))
        if isinstance(content, Exception):
            raise DatasetError(f"{name} in {self.location} cannot be read: {content}")
        return content.read_bytes() if isinstance(content, Path) else content

    def image(self, name: str) -> Image.Image:
        """Return the picture in a file as upright 8-bit RGB; DatasetError if there is none."""
        content = self.read(name)
        try:
            known = isinstance(content, np.ndarray)
            return Image.fromarray(content) if known else load_photo(content)
        except PhotoError as error:
            raise DatasetError(f"{name} in {self.location} cannot be used: {error}") from error

    def unpacked(self) -> Path:
        """Return the folder, or that to which the archive is unpacked, once."""
        return self.location if self.location.is_dir() else assets.unpack(self.location)


def _found_in(path: Path) -> Iterator[tuple[str, Path | bytes | Exception]]:
    if not path.is_dir():
        for name, opener in archives.members(path):
            try:
                with opener() as file:
                    yield name, file.read()
            except Exception as error:  # one damaged picture does not spoil the others
                yield name, error
        return

    def refuse(error: OSError) -> None:  # by itself it would pass over what it cannot read
        raise error

    for folder, inside, names in os.walk(path, followlinks=True, onerror=refuse):
        inside[:] = [name for name in inside if not archives.CLUTTER.search(name)]
        files = [Path(folder, name) for name in names]
        yield from ((str(file.relative_to(path)), file) for file in files)


def _found_in_archives(files: Files) -> Iterator[tuple[str, Any]]:
    """Yield what the archives among these files hold."""
    if any(map(_ARCHIVE.search, files)):
        for name, path in Files(files.unpacked()).items():
            if _ARCHIVE.search(name):
                yield from ((f"{name}/{file}", held) for file, held in Files(path).items())


def _found_in_batches(files: Files, batch: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the pictures of ``cifar-10-batches-py``, as ``train/airplane/00012.png``.

    torchvision compares the MD5 of each batch before it unpickles it.
    """
    folder = str((files.unpacked() / batch).resolve().parent.parent)
    for split in ("train", "test"):
        try:
            part = CIFAR10(folder, train=split == "train")
        except RuntimeError as error:
            raise ValueError("it has no intact copy of CIFAR-10's batches") from error
        for i, label in enumerate(part.targets):
            yield f"{split}/{CIFAR10_CLASSES[label]}/{i:05d}.png", part.data[i]


# ------------------------------------------------------------------------------------ layouts


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
    listing = parse(entry, files) or parse(entry, Files(path, _found_in_archives(files)))
    if listing is None:
        there = ", ".join(sorted(files)[:3]) or "nothing"
        raise DatasetError(f"{path} should hold files such as {entry.example}; it holds {there}")
    _read_truth(listing)
    return listing


def _parse_paths(entry: Entry, files: Files) -> Listing | None:
    """Take label and split from folders and file names."""
    batches = [name for name in files if f"/{name}".endswith("/data_batch_1")]
    if batches and entry.asset == "cifar10":
        files = Files(files.location, _found_in_batches(files, batches[0]))
    matches = {name: re.fullmatch(entry.layout, name, re.I) for name in filter(is_picture, files)}
    roots = {match["root"] for match in matches.values() if match}
    if not roots:
        return None
    root = min(roots, key=lambda root: (len(root), root))
    found = {n: m.groupdict() for n, m in matches.items() if m and m["root"] == root}
    folders = {match["label"] for match in found.values()} - {BACKGROUND}
    listing = Listing(files, root, entry.classes or tuple(sorted(folders, key=str.lower)))
    index = {name.lower(): label for label, name in enumerate(listing.classes)}
    for name, match in found.items():
        split = SPLIT_FOLDERS.get(match.get("split", "").lower())
        if (label := index.get(match["label"].lower())) is not None:
            listing.records.append(Record(name[len(root) :], label, split))
    _note_others(listing, set(found), f"is not laid out like {entry.example}, so it has no label")
    return listing


def _parse_table(entry: Entry, files: Files) -> Listing | None:
    """Take labels from ``train.csv`` with the columns ``img_path`` and ``label``.

    A path may be absolute, as on the machine where the table was made: then its end counts. If its
    folder is not here at all, the file's name counts, where only one file has it. A label may be
    the index of a class, or its name.
    """
    tables = [name for name in files if f"/{name}".lower().endswith("/train.csv")]
    if not tables:
        return None
    name = min(tables, key=lambda name: (name.count("/"), name))
    listing = Listing(files, name[: -len("train.csv")], entry.classes)
    inside = [other[len(listing.root) :] for other in files if other.startswith(listing.root)]
    paths = {file.lower(): file for file in inside if not file.startswith(BESIDE)}
    names = Counter(path.rpartition("/")[2] for path in paths)
    once = {path.rpartition("/")[2]: file for path, file in paths.items()}
    once = {name: file for name, file in once.items() if names[name] == 1}
    folders = {path.rpartition("/")[0].rpartition("/")[2] for path in paths} - {""}
    labels = {str(label): label for label in range(len(entry.classes))}
    labels |= {title: label for label, title in enumerate(entry.classes)}
    rows: dict[str, int] = {}
    for row, path, text in _read_table(files.read(name), f"{name} in {files.location}"):
        steps, label = tidy(path).lower().split("/"), labels.get(re.sub(r"\.0*$", "", text.lower()))
        ends = ("/".join(steps[start:]) for start in range(len(steps)))
        file = next((paths[end] for end in ends if end in paths), None)
        if file is None and not folders & {*steps[-2:-1]}:
            file = once.get(steps[-1])
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


def _read_table(data: bytes, given: str) -> list[tuple[int, str, str]]:
    """Return line, path and label of each row of a table as people's programs write them.

    They write UTF-8, UTF-16 or Windows-1252, with comma, semicolon or tab, and Excel may announce
    which one.
    """
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # as Excel writes it
    announced, text = re.fullmatch(
        "(sep=[^\n]*\n)?(.*)", re.sub("\r\n?", "\n", text), re.S
    ).groups()
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, engine="python", dtype=str, keep_default_na=False,
            index_col=False, skip_blank_lines=False, skipinitialspace=True,
            on_bad_lines=lambda fields: fields[: header.count(separator) + 1],
        )  # fmt: skip
        table.columns = [str(column).strip().lower() for column in table.columns]
        table = table[["img_path", "label"]].fillna("").map(str.strip)
    except (ValueError, AttributeError, csv.Error, LookupError) as error:
        message = f"{given} is no table with the columns img_path and label: {error}; it begins"
        raise DatasetError(f"{message} with {header[:80]!r}") from error
    first = 3 if announced else 2
    return [(i + first, path, label) for i, path, label in table.itertuples() if path or label]


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
    files, root, where = listing.files, listing.root, "parts.json"
    try:
        if root + where in files:
            parts = json.loads(files.read(root + where))
            listing.parts = {int(part): str(title) for part, title in parts.items()}
        for name, keys in TRUTH.items():
            lines = files.read(root + name).decode().splitlines() if root + name in files else []
            for number, text in enumerate(lines, 1):
                where = f"{name}, line {number}"
                line = json.loads(text)
                file, *_ = operator.itemgetter(*keys, "class")(line)
                listing.scenes[file] = line
        known = {file: line.get("split") for file, line in listing.scenes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{where} in {files.location} is damaged: {error!r}"
        raise DatasetError(message) from error
    listing.records = [r._replace(split=r.split or known.get(r.file)) for r in listing.records]
